"""Those who ask a model server many questions, made to ask the same ones: personalab, and what others have written.

Each client is a function of the server's address and a number of questions, and returns a callable that asks them all
and gives the number of answers it got; what it loads and makes beforehand is not timed.
"""

# mypy: disable-error-code="import-untyped,import-not-found"
# What is imported here comes without types, and is absent where no peer is measured.

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from personalab import llm
from personalab.llm import replies

AT_ONCE = 64
SDK_RETRIES = 8  # openai's client tries twice more by default, which loses a third of the answers of a busy server
RULES = "You write the members of a population for research, one at a time, as JSON. Be specific and plain. " * 24
FACTS = (
    "Facts\nnumber: {}\nrank: Gold\nregion: Europe\nage: 24\nhours_per_week: 14\nmain_role: support\n" + "detail " * 40
)

Client = Callable[[str, int], Callable[[], int]]


class Persona(BaseModel):
    """What is asked for: four short texts."""

    name: str
    backstory: str
    tagline: str
    portrait: str


def questions(n: int) -> list[list[dict[str, str]]]:
    """The conversations: some 600 tokens that are always the same, and some 100 that differ."""
    system = {"role": "system", "content": RULES}
    return [[system, {"role": "user", "content": FACTS.format(i)}] for i in range(n)]


def personalab_client(url: str, n: int) -> Callable[[], int]:
    """Ours, with every answer kept in a store on disk."""
    import openai  # noqa: F401

    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-benchmark"}
    folder = tempfile.TemporaryDirectory()

    async def ask_all() -> int:
        try:
            async with asyncio.TaskGroup() as group:
                asks = [
                    group.create_task(connection.ask(each, Persona, max_tokens=4000, temperature=0.8))
                    for each in questions(n)
                ]
        except ExceptionGroup as failed:  # the first failure ends the run, as it ends a population's
            raise failed.exceptions[0] from None
        return sum(isinstance(ask.result(), Persona) for ask in asks)

    def run() -> int:
        with folder:
            return llm.run(ask_all())

    with replies.use(folder.name):
        connection = llm.connect("openai/m")
    return run


def instructor_client(url: str, n: int, retries: int = SDK_RETRIES) -> Callable[[], int]:
    """Instructor behind a semaphore, as its documentation shows it, with more of the client's own retries."""
    import instructor
    import openai

    logging.getLogger("instructor").setLevel(logging.CRITICAL)

    async def ask_all() -> list[Any]:
        gate = asyncio.Semaphore(AT_ONCE)
        async with openai.AsyncOpenAI(base_url=url, api_key="sk-benchmark", max_retries=retries) as plain:
            client = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)

            async def ask(messages: Any) -> Any:
                async with gate:
                    return await client.chat.completions.create(
                        model="m", messages=messages, response_model=Persona, max_tokens=4000, temperature=0.8
                    )

            return await asyncio.gather(*map(ask, questions(n)), return_exceptions=True)

    return lambda: sum(isinstance(answer, Persona) for answer in asyncio.run(ask_all()))


def default_client(url: str, n: int) -> Callable[[], int]:
    """The same with the client's own number of retries."""
    return instructor_client(url, n, retries=2)


def edsl_client(url: str, n: int) -> Callable[[], int]:
    """EDSL with its limits lifted: a free question a scenario, a text and no form, so its job is the smaller one."""
    os.environ |= {
        "EXPECTED_PARROT_URL": "https://127.0.0.1:9",  # no other machine is to be asked, and nobody is there
        "EDSL_FETCH_TOKEN_PRICES": "False",
        "EDSL_SERVICE_RPM_BASELINE": "1000000",
        "EDSL_SERVICE_TPM_BASELINE": "1000000000",
        "EDSL_API_TIMEOUT": "120",
        "OPENAI_COMPATIBLE_API_KEY": "sk-benchmark",
        "OPENAI_COMPATIBLE_BASE_URL": url,
    }
    from edsl import Agent, Cache, Model, QuestionFreeText, ScenarioList, Survey

    question = QuestionFreeText(question_name="persona", question_text=FACTS.format("{{ scenario.number }}"))
    survey = Survey([question]).by(ScenarioList.from_list("number", list(range(n)))).by(Agent(instruction=RULES))
    jobs = survey.by(Model("m", service_name="openai_compatible", max_tokens=4000, temperature=0.8))

    def run() -> int:
        results = jobs.run(
            cache=Cache(),
            use_api_proxy=False,
            offload_execution=False,
            disable_remote_cache=True,
            disable_remote_inference=True,
            max_concurrency=AT_ONCE,
            progress_bar=False,
            verbose=False,
            print_exceptions=False,
        )
        return sum(bool(answer) for answer in results.select("answer.persona").to_list())

    return run


def designer_client(url: str, n: int) -> Callable[[], int]:
    """Data Designer with as many requests in parallel: a text column, so its job is the smaller, too."""
    os.environ["NEMO_TELEMETRY_ENABLED"] = "false"
    import data_designer.config as dd
    from data_designer.interface import DataDesigner

    params = dd.ChatCompletionInferenceParams(max_parallel_requests=AT_ONCE, max_tokens=4000, temperature=0.8)
    model = dd.ModelConfig(alias="m", model="m", provider="bench", inference_parameters=params, skip_health_check=True)
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.add_column(
        dd.SamplerColumnConfig(name="number", sampler_type=dd.SamplerType.UUID, params=dd.UUIDSamplerParams())
    )
    prompt = FACTS.format("{{ number }}")
    builder.add_column(dd.LLMTextColumnConfig(name="persona", prompt=prompt, system_prompt=RULES, model_alias="m"))
    folder = tempfile.TemporaryDirectory()
    provider = dd.ModelProvider(name="bench", endpoint=url, provider_type="openai", api_key="sk-benchmark")
    designer = DataDesigner(artifact_path=folder.name, model_providers=[provider], auto_configure_logging=False)

    def run() -> int:
        with folder:
            frame = designer.create(builder, num_records=n).load_dataset()
        return int(frame["persona"].astype(bool).sum())

    return run
