"""What `personalab.population` promises: count members in the contract's shape, or an error with a name."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from personalab import Blueprint, Population, generate, report, sample
from personalab.errors import ProviderError, RequestError
from personalab.population import escaped
from personalab.writing.write import write
from tests.fluent import Fluent, fluent
from tests.server import Answer, Server, error

ROOT = Path(__file__).parents[1]
PROMPT = "10 League of Legends players from around the globe"
MODELS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "personalab" / "models"


pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a script, and let it be the model."""
    running = []

    def start(script=fluent):
        running.append(Server(script).__enter__())
        monkeypatch.setenv("OPENAI_BASE_URL", running[-1].base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        return running[-1]

    yield start
    for server in running:
        server.stop()


def _contract() -> dict[str, Any]:
    """The contract's own population."""
    bp = Blueprint.load(ROOT / "data" / "blueprints" / "league-of-legends.json")
    frame = write(sample(bp, 10, seed=7), bp, model=Fluent())
    return Population(PROMPT, bp, frame, report(frame, bp)).to_dict()


# the shape


def test_a_population_has_the_contracts_shape():
    """Key by key: personas, blueprint, diversity and marginals, and nothing else."""
    result = _contract()
    assert list(result) == ["personas", "blueprint", "diversity", "marginals"]
    assert list(result["personas"][0]) == ["persona_id", "fields", "system_prompt", "markdown"]
    assert list(result["diversity"]) == ["max_pairwise_similarity", "mean_pairwise_similarity", "duplicate_pairs"]
    assert [list(row) for row in result["marginals"]] == [["attribute", "cells", "total_variation_distance"]] * 3
    assert list(result["marginals"][0]["cells"][0]) == ["key", "requested", "achieved"]


def test_fields_are_flat_strings_in_the_blueprints_order():
    """Every persona has exactly the blueprint's fields; whole numbers have no point."""
    result = _contract()
    names = [field["name"] for field in result["blueprint"]["fields"]]
    for persona in result["personas"]:
        assert list(persona["fields"]) == names
        assert all(isinstance(value, str) and value for value in persona["fields"].values())
        assert persona["fields"]["hours_per_week"].isdecimal()


def test_a_population_survives_json():
    """What goes on the wire is plain data, and ids count from p_01."""
    result = _contract()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [persona["persona_id"] for persona in result["personas"]] == [f"p_{i:02d}" for i in range(1, 11)]


def test_a_single_persona_has_no_reports():
    """Diversity and marginals are there for more than one persona only."""
    assert list(generate(PROMPT, model=Fluent()).to_dict()) == ["personas", "blueprint"]


# the call


@pytest.mark.parametrize(
    ("prompt", "options"),
    [("", {}), (" ", {}), (None, {}), ("x", {"count": 0}), ("x", {"count": -3}), ("x", {"count": 10_001}),
     ("x", {"count": 2.0}), ("x", {"count": "2"}), ("x", {"count": True}), ("x", {"count": None}),
     ("x", {"grounding": "web"}), ("x", {"grounding": "deep"}), ("x", {"seed": -1}), ("x", {"seed": "7"}),
     ("x", {"seed": 0.5}), ("x", {"model": 7}), ("x", {"model": "nobody/knows"}), ("x", {"method": "dice"}),
     ("x", {"method": ""}), ("x", {"rounding": "up"}), ("x", {"rounding": ""})],
)  # fmt: skip
def test_a_wrong_call_asks_no_model(serve, prompt, options):
    """The server is not asked once, and the error says what would have been right."""
    server = serve()
    with pytest.raises(RequestError) as caught:
        generate(prompt, **options)
    assert server.requests == []
    assert caught.value.__notes__


def test_the_limit_can_be_set(monkeypatch):
    """PERSONALAB_LIMIT sets the largest count, and must be a number."""
    monkeypatch.setenv("PERSONALAB_LIMIT", "3")
    assert len(generate(PROMPT, np.int64(3), model=Fluent())) == 3
    with pytest.raises(RequestError, match="outside 1 to 3"):
        generate(PROMPT, 4, model=Fluent())
    monkeypatch.setenv("PERSONALAB_LIMIT", "many")
    with pytest.raises(RequestError, match="'many'"):
        generate(PROMPT, 1, model=Fluent())


@pytest.mark.parametrize("prompt", [PROMPT, "ten thousand nurses", "1 person", "0 people"])
def test_a_number_in_the_prompt_is_description(prompt):
    """How many are made is the count's to say."""
    assert len(generate(prompt, 3, seed=1, model=Fluent())) == 3


def test_the_same_seed_and_replies_give_the_same_population(serve):
    """A second run asks for nothing and is equal; another seed is another population."""
    server = serve()
    first = generate(PROMPT, 8, seed=4)
    asked = len(server.requests)
    assert generate(PROMPT, 8, seed=4) == first
    assert len(server.requests) == asked
    assert generate(PROMPT, 8, seed=5) != first


def test_people_are_drawn_as_asked():
    """Method and rounding reach the draw, and frame and report say which they were."""
    asked = {"method": "quota", "rounding": "unbiased", "seed": 3}
    population = generate(PROMPT, 12, model=Fluent(), **asked)
    found = population.report
    assert {"method": found.method, "rounding": found.rounding, "seed": found.seed} == asked
    drawn = sample(population.blueprint, 12, **asked)
    assert population.frame[list(drawn)].equals(drawn)


# the model


def _at_first(fault: Any) -> Any:
    """A script that gives a fault for each request's first sending, then answers well."""
    seen = set()

    def script(request, number):
        key = json.dumps(request["messages"])
        if key in seen:
            return fluent(request, number)
        seen.add(key)
        return fault

    return script


FAULTS = {
    "truncated": Answer('{"rationale": "It', finish_reason="length"),
    "no JSON": Answer("Certainly! Here you are."),
    "wrong types": Answer('{"rationale": [1], "fields": 7, "name": {}}'),
    "too often": error(429, headers={"Retry-After": "0"}),
    "broken": error(500),
    "dropped": Answer(drop=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_passing_fault_costs_no_member(serve, fault):
    """Whatever goes wrong once, the population has all its members in the end."""
    serve(_at_first(fault))
    assert len(generate(PROMPT, 4, seed=1)) == 4


CATEGORIES = {
    "truncated": (FAULTS["truncated"], "output_truncated"),
    "no JSON": (FAULTS["no JSON"], "invalid_output"),
    "refuses": (Answer(None, refusal="I cannot do that."), "content_refused"),
    "too often": (FAULTS["too often"], "rate_limited"),
    "broken": (FAULTS["broken"], "provider_error"),
    "dropped": (FAULTS["dropped"], "provider_error"),
    "wrong key": (error(401), "auth_error"),
    "silent": (Answer(hang=True), "provider_timeout"),
}


@pytest.mark.parametrize(("fault", "category"), CATEGORIES.values(), ids=CATEGORIES)
@pytest.mark.parametrize("stage", ["blueprint", "personas"])
def test_a_lasting_fault_is_an_error_with_a_name(serve, monkeypatch, fault, category, stage):
    """From the start, or once the blueprint is there: one sentence, a hint, and a category to branch on."""
    monkeypatch.setenv("PERSONALAB_TIMEOUT", "0.3")
    is_fine = {"blueprint": lambda _: False, "personas": lambda number: number == 1}[stage]
    serve(lambda request, number: fluent(request) if is_fine(number) else fault)
    with pytest.raises(ProviderError) as caught:
        generate(PROMPT, 3, seed=1)
    assert caught.value.category in (category, "invalid_output" if category == "output_truncated" else category)
    assert "\n" not in str(caught.value)
    assert caught.value.__notes__


def test_a_server_that_is_gone_is_unreachable(serve):
    """Nobody there is another category than nobody answering."""
    serve().stop()
    with pytest.raises(ProviderError) as caught:
        generate(PROMPT, 2, seed=1)
    assert caught.value.category == "provider_unreachable"


def test_a_failure_leaves_no_noise_behind(serve, tmp_path):
    """With warnings as errors, a failed run in a process of its own says one error and nothing of asyncio."""
    server = serve(lambda request, number: fluent(request) if number < 3 else error(500))
    code = (
        "import personalab as lab\n"
        "try: lab.generate('x', 12, seed=1)\n"
        "except lab.PersonalabError as error: print(type(error).__name__, error.category)"
    )
    env = {**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k", "PERSONALAB_BACKOFF": "0.001"}
    env |= {"PERSONALAB_REPLIES": str(tmp_path / "own"), "PYTHONPATH": str(ROOT)}
    python = [sys.executable, "-W", "error", "-c", code]
    ended = subprocess.run(python, env=env, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("ProviderError provider_error\n", "")


def test_what_was_paid_for_before_a_failure_is_kept(serve):
    """The same call goes on where the last one failed."""
    server = serve(lambda request, number: fluent(request) if number == 1 else error(401))
    with pytest.raises(ProviderError):
        generate(PROMPT, 6, seed=1)
    refused = len(server.requests)
    server.script = lambda request, _number: fluent(request)
    assert len(generate(PROMPT, 6, seed=1)) == 6
    drafts = [request for request in server.requests if "constraints" in json.dumps(request["response_format"])]
    assert (len(drafts), len(server.requests) >= refused + 6) == (1, True)


# the files


def _hostile() -> Any:
    """A model whose people are called what a file must not be called."""

    class Hostile(Fluent):
        names = iter(["../../etc/passwd", "a/b\\c", "<script>alert(1)</script>", "[x](javascript:alert(1))", "CON"] * 9)

        def complete(self, messages, schema):
            told = json.loads(super().complete(messages, schema))
            return json.dumps(told | ({"name": next(self.names)} if "name" in told else {}))

    return Hostile()


def test_a_population_is_saved_as_files_that_read_back(tmp_path):
    """JSON, CSV and YAML say the same as the population."""
    population = generate(PROMPT, 5, seed=1, model=Fluent())
    folder = population.save(tmp_path / "new" / "out")
    assert json.loads((folder / "population.json").read_text("utf-8")) == population.to_dict()
    assert Blueprint.load(folder / "blueprint.yaml") == population.blueprint
    rows = pd.read_csv(folder / "personas.csv", dtype=str, keep_default_na=False)
    assert rows["name"].tolist() == population.frame["name"].tolist()
    assert len(list((folder / "personas").iterdir())) == 5


def _two(ids: list[str], **texts: list[str]) -> Population:
    """Two people with ids and texts of somebody else's."""
    population = generate(PROMPT, 2, seed=1, model=Fluent())
    frame = population.frame.assign(**texts).set_axis(pd.Index(ids, name="persona_id"))
    return dataclasses.replace(population, frame=frame)


@pytest.mark.parametrize("ids", [["../../out", "/tmp/absolute"], ["p_01", "p_01"], ["", "x" * 300], ["a\0b", "CON"]])
def test_a_sheet_is_named_by_its_row(tmp_path, ids):
    """An id is data and may be anything, also twice the same: it is no path, and nobody is without a sheet."""
    population = _two(ids)
    folder = population.save(tmp_path / "deep" / "out")
    sheets = {path.name: path.read_text("utf-8") for path in (folder / "personas").iterdir()}
    assert sheets == dict(zip(["p_01.md", "p_02.md"], population.frame["markdown"], strict=True))
    assert {path.name for path in tmp_path.rglob("*.md")} == set(sheets)


HOSTILE_TEXTS = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1d1", "safe"]


def test_formulas_are_kept_or_escaped(tmp_path):
    """Only on request does an apostrophe stand before what a spreadsheet would run; numbers stay numbers."""
    for text in HOSTILE_TEXTS:
        population = _two([text, "p_02"], name=[text, "Ada"])
        for formulas, before in (("keep", ""), ("escape", "" if text == "safe" else "'")):
            path = population.save(tmp_path, formulas=formulas) / "personas.csv"
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            assert (rows[0]["persona_id"], rows[0]["name"]) == (before + text, before + text)
            assert rows[0]["age"] == str(population.frame["age"].iloc[0])
    assert escaped(pd.DataFrame({"name": ["a\r=1"]}))["name"].tolist() == ["a\n=1"]  # else a row that begins with it
    with pytest.raises(RequestError, match="formulas is 'run'"):
        population.save(tmp_path, formulas="run")


ODD = {"a link": lambda path: path.symlink_to("mine"), "a pipe": os.mkfifo, "a folder": Path.mkdir}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("name", ["population.json", "report.html", "personas/p_02.md"])
def test_nothing_is_written_through_what_is_no_file(tmp_path, what, name):
    """A folder from somebody else leads nowhere but into itself; it is refused before anything is written."""
    (tmp_path / "personas").mkdir()
    ODD[what](tmp_path / name)
    with pytest.raises(RequestError, match=f"{name}' is {what}, where a file belongs"):
        _two(["a", "b"]).save(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_of_sheets_is_no_link(tmp_path):
    """Sheets stay in the folder that was named."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "personas").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="personas' is a link"):
        _two(["a", "b"]).save(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_names_are_no_paths_and_no_markup(tmp_path):
    """Whatever people are called, files are called by their ids, and pages show text."""
    folder = generate(PROMPT, 5, seed=1, model=_hostile()).save(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("p_*")) == [f"p_0{i}.md" for i in range(1, 6)]
    assert "<script>alert" not in (folder / "report.html").read_text("utf-8")
    sheets = [path.read_text("utf-8") for path in sorted((folder / "personas").iterdir())]
    assert not any("<script>" in sheet or "# [x]" in sheet for sheet in sheets)


def test_a_smaller_population_leaves_no_stale_sheets(tmp_path):
    """A folder holds one population; files that are not ours stay, and sheets that somebody has changed."""
    generate(PROMPT, 5, seed=1, model=Fluent()).save(tmp_path)
    kept = ["notes.md", "p_03.md", "p_06.md", "p_notes.md"]
    for name in kept:
        (tmp_path / "personas" / name).write_text("mine")
    generate(PROMPT, 2, seed=1, model=Fluent()).save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "personas").iterdir()) == sorted(["p_01.md", "p_02.md", *kept])


@pytest.mark.parametrize("text", ["[" * 100_000, '{"personas": 7}', '{"personas": [{"markdown": "mine"}]}', "\xff"])
def test_what_an_earlier_population_was_is_not_taken_on_trust(tmp_path, text):
    """A file that says somebody's notes were a sheet of it removes nothing but what is that, to the letter."""
    (tmp_path / "personas").mkdir()
    (tmp_path / "population.json").write_text(text)
    (tmp_path / "personas" / "p_03.md").write_text("notes")
    _two(["a", "b"]).save(tmp_path)
    assert (tmp_path / "personas" / "p_03.md").read_text() == "notes"


def test_a_folder_that_cannot_be_is_a_request_error(tmp_path):
    """A file in the way is said in a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written"):
        generate(PROMPT, 1, model=Fluent()).save(tmp_path / "file")


# a real model


@pytest.mark.skipif(not list(MODELS.glob("*135*")), reason="the small weights are not on this machine")
def test_a_real_model_makes_a_whole_population(monkeypatch):
    """The smallest embedded model, led through the stages, gives two people in the contract's shape."""
    monkeypatch.setenv("PERSONALAB_THREADS", "1")
    population = generate(PROMPT, 2, seed=1, model="local-tiny")
    result = population.to_dict()
    assert list(result) == ["personas", "blueprint", "diversity", "marginals"]
    assert len(result["personas"]) == 2
    assert len(population.blueprint.roots) >= 2
    assert {field.kind for field in population.blueprint.fields} == {"categorical", "numeric", "text"}


def test_what_failed_for_its_answers_is_asked_again(serve):
    """A call that failed because a model spoke nonsense goes to the model again, not to the kept nonsense."""
    server = serve(lambda request, _number: fluent(request) if "constraints" in json.dumps(request) else "nonsense")
    with pytest.raises(ProviderError) as caught:
        generate(PROMPT, 2, seed=1)
    assert caught.value.category == "invalid_output"
    server.script = lambda request, _number: fluent(request)
    assert len(generate(PROMPT, 2, seed=1)) == 2
