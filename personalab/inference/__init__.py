"""Inference: one sentence in, a blueprint out that samples.

A strong model writes the whole draft in one answer (`personalab.inference.draft`); validation's findings go back
to it, at most twice. A small model is led through it in stages (`personalab.inference.stages`). What either still
gets wrong is mended by rule and noted (`personalab.inference.repair`). A strong model whose drafts are of no use is
led through the stages too, before the call is given up with the model's answer attached.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from personalab import llm
from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import validate
from personalab.errors import BlueprintError, ProviderError, RequestError
from personalab.inference.draft import Draft, conversation, wire
from personalab.inference.repair import lacks, repaired
from personalab.inference.stages import infer_in_stages
from personalab.llm.fencing import fenced
from personalab.llm.progress import Progress, bar

if TYPE_CHECKING:
    from personalab.llm import Budget, Connection, Model

GROUNDINGS = ("off", "web", "research")
CORRECTIONS = 2  # how often findings go back to the model
ROOM = 8000  # tokens for a whole draft; one of nine fields with conditionals takes about 3,000
UNUSABLE = ("invalid_output", "output_truncated")
OTHERWISE = "word the prompt otherwise, or use a larger model"


def infer(
    prompt: str,
    *,
    grounding: str = "off",
    model: str | Model | None = None,
    budget: Budget | None = None,
) -> Blueprint:
    """Infer what makes a population believable from one sentence.

    Parameters
    ----------
    prompt : str
        Who the population is, such as ``"10 League of Legends players from around the globe"``.
    grounding : {"off"}
        Whether to look things up first; only ``"off"`` in this version.
    model : str or Model, optional
        Which model to ask, see `personalab.generate`.
    budget : Budget, optional
        How much may be used, such as ``Budget(tokens=100_000)``.

    Returns
    -------
    Blueprint
        One that samples; ``sources`` say where its numbers come from, ``notes`` what was mended by rule.

    Raises
    ------
    RequestError
        If the prompt is empty or the grounding unknown; nothing is asked then.
    ProviderError
        If the model cannot be had, gives nothing that can be made to sample, or the budget is used up.
    """
    check_request(prompt, grounding)
    connection = llm.connect(model, budget)
    progress = Progress.of(connection)
    progress.begin("inferring the blueprint")
    with bar(progress) as tick:
        return llm.run_with(connection, infer_with(prompt, connection), tick)


def check_request(prompt: str, grounding: str) -> None:
    """Refuse an empty prompt or a grounding that is not to be had, before any model is asked."""
    if not isinstance(prompt, str):
        raise RequestError(f"the prompt is {prompt!r}, not a text", hint="describe the population in a sentence")
    if not prompt.strip():
        raise RequestError("the prompt is empty", hint="describe the population in a sentence")
    if not prompt.isprintable() and any("\ud800" <= char <= "\udfff" for char in prompt):
        raise RequestError("the prompt holds bytes that are no text", hint="pass it as UTF-8")
    if grounding not in GROUNDINGS:
        raise RequestError(f"grounding {grounding!r} is not known", hint='use grounding="off"')
    if grounding != "off":
        raise RequestError(f"grounding {grounding!r} is not available in this version", hint='use grounding="off"')


async def infer_with(prompt: str, connection: Connection) -> Blueprint:
    """Infer a blueprint over a connection; as `infer`, without its checks."""
    if connection.is_small:
        data = await infer_in_stages(prompt, connection)
        return _finished(data, prompt, connection)
    try:
        return await _one_answer(prompt, connection)
    except ProviderError as error:
        if error.category not in UNUSABLE:
            raise
    data = await infer_in_stages(prompt, connection)
    return _finished(data, prompt, connection)


async def _one_answer(prompt: str, connection: Connection) -> Blueprint:
    """A whole draft, with what is wrong with it sent back, and the last one mended."""
    messages = conversation(prompt)
    draft = await _draft(connection, messages)
    for _ in range(CORRECTIONS):
        faults = findings(wire(draft))
        if not faults:
            break
        messages = [*messages, *_correction(draft, faults)]
        try:
            draft = await _draft(connection, messages)
        except ProviderError as error:
            if error.category not in UNUSABLE:
                raise
            break  # the draft before is better than none
    data = wire(draft)
    if not any(field["kind"] != "text" for field in data["fields"]):
        raise ProviderError(
            f"{connection.name} drafted no field that can be sampled",
            category="invalid_output",
            answer=draft.model_dump_json(),
            hint=OTHERWISE,
        )
    return _finished(data, prompt, connection)


async def _draft(connection: Connection, messages: list[dict[str, str]]) -> Draft:
    return await connection.ask(messages, Draft, stage="blueprint", max_tokens=ROOM)


def findings(data: dict[str, Any]) -> list[str]:
    """What is wrong with a draft, as sentences for the model: validation's findings, and what every blueprint needs."""
    told = list(data.get("notes") or ())
    try:
        bp = Blueprint.from_dict(data)
    except BlueprintError as error:
        return [*told, str(error)]
    found = [str(finding) for finding in validate(bp) if finding.level != "note"]
    return [*told, *found, *(f"{lack} → {advice}" for lack, advice in lacks(bp))]


def _correction(draft: Draft, faults: list[str]) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": json.dumps(draft.model_dump(), ensure_ascii=False)},
        {
            "role": "user",
            "content": f"This draft has faults:\n{fenced(*faults)}\nWrite the whole blueprint again without them.",
        },
    ]


def _finished(data: dict[str, Any], prompt: str, connection: Connection) -> Blueprint:
    grade = "estimated (small model)" if connection.is_small else "estimated by the model"
    # The writer knows the population by its blueprint alone, and a domain of two words says less than the sentence.
    why = f"{data['rationale'].strip()} Asked for: {' '.join(prompt.split())}".strip()
    data = data | {"rationale": why, "sources": [f"{grade}: {connection.name}; nothing was looked up"]}
    try:
        return repaired(data)
    except BlueprintError as error:
        raise ProviderError(
            f"what {connection.name} wrote cannot be made to sample",
            category="invalid_output",
            answer=json.dumps(data, ensure_ascii=False),
            hint=OTHERWISE,
        ) from error
