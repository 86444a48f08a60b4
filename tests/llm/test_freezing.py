"""Tests of `personalab.llm.freezing`, and that what was recorded replays to the last byte."""

from __future__ import annotations

import json
import socket

import pytest

import personalab as lab
from personalab.errors import ProviderError, RequestError
from personalab.llm import replies
from tests.fluent import fluent
from tests.server import Answer, error

PROMPT = "10 street musicians"
COUNT, SEED = 8, 4
SMALL = 3000  # bytes a persona


def _faulty(request, number):
    """Of three sendings, one goes wrong: refused, cut off, truncated, of the wrong form, dropped."""
    faults = [
        error(429, headers={"Retry-After": "0"}),
        Answer('{"rationale": "It', finish_reason="length"),
        '{"rationale": [1], "fields": 7, "name": {}}',
        "Certainly! Here you are.",
        Answer(drop=True),
        Answer(None, refusal="I cannot do that."),
    ]
    return faults[number // 3 % len(faults)] if number % 3 == 0 else fluent(request)


def _files(population, folder):
    population.save(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _fall_over(*_arguments):
    raise AssertionError("a socket was opened")


@pytest.fixture
def offline(monkeypatch):
    """Take key and server away, and let nobody connect."""

    def take_away():
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.delenv("OPENAI_BASE_URL")
        monkeypatch.setattr(socket.socket, "connect", _fall_over)

    return take_away


def test_a_run_replays_to_the_last_byte(serve, offline, tmp_path):
    """From the folder and from the frozen file: people, files and usage, with no key and no socket."""
    server = serve(_faulty)
    live = lab.generate(PROMPT, COUNT, seed=SEED)
    file = lab.freeze(tmp_path / "study.jsonl")
    files = _files(live, tmp_path / "live")
    asked = len(server.requests)
    offline()
    for path in (tmp_path / "calls", file):
        with replies.use(path, mode="replay"):
            again = lab.generate(PROMPT, COUNT, seed=SEED)
        assert (again, again.to_dict()) == (live, live.to_dict())
        assert again.frame.equals(live.frame)
        assert again.usage.total_replayed == live.usage.total
        assert _files(again, tmp_path / f"again from {path.name}") == files
    assert len(server.requests) == asked


def test_a_replay_that_lacks_something_says_what_to_do(serve, offline, tmp_path):
    """Another prompt was never asked, and the error names the way to record it."""
    serve(fluent)
    lab.generate(PROMPT, 2, seed=SEED)
    file = lab.freeze(tmp_path / "study.jsonl")
    offline()
    with replies.use(file, mode="replay"), pytest.raises(ProviderError, match="replay asks no model") as caught:
        lab.generate("12 bakers", 2, seed=SEED)
    assert caught.value.category == "replay_miss"
    assert 'record it in mode "auto"' in caught.value.__notes__[0]


def _frozen(folder, path, mode="auto"):
    """The bytes of a run's frozen file, which is made in a store of its own."""
    with replies.use(folder, mode):
        lab.generate(PROMPT, COUNT, seed=SEED)
        return lab.freeze(path).read_bytes()


def test_the_same_run_freezes_to_the_same_bytes(serve, tmp_path):
    """Whether it was paid for, found among others or replayed, also into the file that is being read."""
    serve(fluent)
    with replies.use(tmp_path / "b"):
        lab.generate("12 bakers", 2, seed=1)
    study, other = tmp_path / "study.jsonl", tmp_path / "other.jsonl"
    paid = _frozen(tmp_path / "a", study)
    assert _frozen(tmp_path / "b", other) == paid
    assert _frozen(tmp_path / "b", other) == paid
    assert _frozen(study, other, "replay") == paid
    assert _frozen(study, study, "replay") == paid


def test_a_frozen_file_reads_well_and_is_small(serve, tmp_path):
    """It says what it is; each line has the model, the end of the question and the answer, people in their order."""
    serve(fluent)
    lab.generate(PROMPT, COUNT, seed=SEED)
    file = lab.freeze(tmp_path / "study.jsonl")
    head, *lines = map(json.loads, file.read_text("utf-8").splitlines())
    assert head["note"] == f"{len(lines)} replies of openai/gpt-5-mini, used by one run"
    assert {tuple(line) for line in lines} == {("key", "by", "model", "sample", "asked", "reply")}
    people = [line for line in lines if "Facts" in line["asked"]]
    assert [line["sample"] for line in people] == sorted(line["sample"] for line in people)
    assert PROMPT in next(line["asked"] for line in lines if line not in people)
    assert sum(len(json.dumps(line, ensure_ascii=False).encode()) for line in people) < SMALL * COUNT


def test_what_was_forgotten_is_not_frozen(alone, tmp_path):
    """An answer of no use that will be asked for again is left out."""
    store = replies.current()
    for sample in range(3):
        store.put({"model": "m", "sample": sample}, {"content": str(sample)}, by="openai/m")
    store.forget({"model": "m", "sample": 1})
    lines = lab.freeze(tmp_path / "study.jsonl").read_text("utf-8").splitlines()[1:]
    assert [json.loads(line)["reply"]["content"] for line in lines] == ["0", "2"]
    assert store.path == alone


def test_where_replies_come_from_is_carried_on(tmp_path):
    """A file written by hand stays one, however often it is frozen."""
    (tmp_path / "hand.jsonl").write_text('{"note": "Written by hand."}\n')
    with replies.use(tmp_path / "hand.jsonl"):
        replies.current().put({"model": "m"}, {"content": "x"}, by="openai/m")
    notes = []
    for before, after in (("hand", "first"), ("first", "second")):
        with replies.use(tmp_path / f"{before}.jsonl", mode="replay") as store:
            store.get({"model": "m"})
            notes.append(replies.Replies(lab.freeze(tmp_path / f"{after}.jsonl")).note)
    assert notes == ["1 reply of openai/m, used by one run. Where they come from: Written by hand."] * 2


@pytest.mark.usefixtures("alone")
def test_a_place_that_will_not_do_is_refused(tmp_path):
    """Another ending, nothing used, the replies' own folder, a folder in the way: each is said."""
    with pytest.raises(RequestError, match="no name for a file of replies"):
        lab.freeze(tmp_path / "study.json")
    with pytest.raises(RequestError, match="nothing to freeze") as caught:
        lab.freeze(tmp_path / "study.jsonl")
    assert "run what is to be repeated first" in caught.value.__notes__[0]
    replies.current().put({"model": "m"}, {"content": "x"})
    with pytest.raises(RequestError, match="lies among the replies"):
        lab.freeze(tmp_path / "calls" / "study.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(RequestError, match="cannot be written"):
        lab.freeze(tmp_path / "folder.jsonl")
    assert lab.freeze(str(tmp_path / "new" / "study.jsonl")) == tmp_path / "new" / "study.jsonl"


def test_the_file_in_use_keeps_what_this_run_did_not_use(tmp_path):
    """Freezing into it is refused as long as that would drop a reply."""
    path = tmp_path / "study.jsonl"
    for sample in range(2):
        replies.Replies(path).put({"model": "m", "sample": sample}, {"content": "x"}, by="openai/m")
    before = path.read_bytes()
    with replies.use(path) as store:
        store.get({"model": "m", "sample": 0})
        with pytest.raises(RequestError, match="1 of them, which this process has not used, would be lost"):
            lab.freeze(path)
        assert path.read_bytes() == before
        store.get({"model": "m", "sample": 1})
        lab.freeze(path)
        store.put({"model": "m", "sample": 2}, {"content": "y"})
    assert len(replies.Replies(path)) == 3
