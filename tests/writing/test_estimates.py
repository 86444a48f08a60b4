"""Estimates: what a call would use, held against what a server then counts."""

from __future__ import annotations

import json
import socket

import pytest

import personalab as lab
from personalab.errors import RequestError
from personalab.inference.draft import EXAMPLE, wire
from personalab.inference.repair import repaired
from personalab.llm import Count, replies
from personalab.writing.estimates import Estimate, past
from personalab.writing.estimates.past import rewritten
from tests.fluent import Fluent, fluent
from tests.server import Answer, Server

BP = repaired(wire(EXAMPLE))
MODEL = "openai/m"
CLOSE = 0.15  # of what the server counts


class Characters(Server):
    """Counts as OpenAI does on average: four characters a token, the form being part of the prompt."""

    def tokens(self, request, content):
        """Count."""
        form = json.dumps(request["response_format"]["json_schema"]["schema"])
        return (sum(len(message["content"]) for message in request["messages"]) + len(form)) // 4, len(content) // 4


class Counted:
    """What a server counted inside a ``with`` statement."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.before = self._now()
        return self

    def __exit__(self, *_):
        self.total = Count(*(now - then for now, then in zip(self._now(), self.before, strict=True)))

    def _now(self):
        return self.server.completions, self.server.prompt_tokens, self.server.completion_tokens


pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(params=[Characters, Server], ids=["characters", "words"])
def server(request, monkeypatch):
    """Two servers that write alike and count tokens differently."""
    with request.param(fluent) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        yield running


def _off(estimate, counted):
    """By how much an estimate is off, as a share: calls, prompt tokens, completion tokens."""
    pairs = zip(vars(estimate.total).values(), vars(counted.total).values(), strict=True)
    return [abs(told - true) / true for told, true in pairs if true]


def test_after_a_handful_of_people_an_estimate_is_close(server):
    """Eight people are enough, whatever the server takes for a token."""
    bp = lab.infer("street musicians", model=MODEL)
    frame = lab.sample(bp, 60, seed=3)
    lab.write(frame.head(8), bp, model=MODEL)
    told = lab.estimate(bp, 60, seed=3, model=MODEL)
    with Counted(server) as counted:
        lab.write(frame, bp, model=MODEL)
    assert max(_off(told, counted)) < CLOSE
    assert told.replayed["personas"].calls == 8
    assert told.low.tokens < counted.total.tokens < told.high.tokens
    assert told.basis == "Reckoned from 8 kept answers of openai/m in this form."


def test_with_nothing_kept_general_lengths_are_close(monkeypatch):
    """The first estimate of all rests on four characters a token, and the whole is close where a server counts so."""
    with Characters(fluent) as server, Counted(server) as counted:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        told = lab.estimate(BP, 40, seed=3, model=MODEL)
        lab.write(lab.sample(BP, 40, seed=3), BP, model=MODEL)
    assert abs(told.total.tokens / counted.total.tokens - 1) < CLOSE
    assert told.low.completion_tokens < counted.total.completion_tokens < told.high.completion_tokens
    assert "general lengths" in told.basis


def test_after_an_update_only_who_changed_is_counted(server):
    """Of 40 people those count whose texts the update took."""
    before = lab.write(lab.sample(BP, 40, seed=3), BP, model=MODEL)
    weights = {**BP["commitment"].base.weights, "hobby": 0.17, "full time": 0.42}
    after = BP.replace("commitment", weights=weights)
    frame = lab.update(before, BP, after)
    told = lab.estimate(after, frame, model=MODEL)
    changed = frame[frame["portrait"].isna()]
    assert told.people == len(changed) > 4
    with Counted(server) as counted:
        lab.write(changed, after, model=MODEL)
    assert max(_off(told, counted)) < CLOSE


def test_what_is_among_the_replies_costs_nothing():
    """A call that was made is estimated as what it was: nothing to pay, and every answer found."""
    model = Fluent()
    model.name = "fluent"
    frame = lab.sample(BP, 90, seed=5)
    assert lab.write(frame, BP, model=model).attrs["doubles"] == []
    kept = len(replies.current())
    told = lab.estimate(BP, 90, seed=5, model=model)
    assert (told.calls, told.replayed["personas"].calls) == (0, kept)
    assert kept > 90  # doubles were written again, and are found as well
    assert told.basis.endswith("nothing would be asked.")


def test_a_sentence_is_estimated_with_its_blueprint(server):
    """What inferring would take is told too; once the blueprint is among the replies, it is taken from there."""
    rough = lab.estimate("street musicians", 20, seed=3, model=MODEL)
    assert rough.paid["blueprint"].calls == 1
    assert "typical" in rough.basis
    with Counted(server) as counted:
        bp = lab.infer("street musicians", model=MODEL)
    known = lab.estimate("street musicians", 20, seed=3, model=MODEL)
    assert (known.paid["blueprint"], known.replayed["blueprint"]) == (Count(), counted.total)
    assert known.paid["personas"] == lab.estimate(bp, 20, seed=3, model=MODEL).paid["personas"]


def test_an_answer_that_fell_through_is_counted_with_those_that_follow(monkeypatch):
    """Whoever contradicts every third row at first is expected to go on like that."""
    seen = set()

    def forgetful(request, _number):
        person, facts = json.loads(fluent(request)), request["messages"][-1]["content"]
        forgets = facts not in seen and len(seen) % 3 == 0
        seen.add(facts)
        return json.dumps(person | ({"portrait": "A 99-year-old."} if forgets else {}))

    with Characters(forgetful) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        frame = lab.sample(BP, 70, seed=6)
        lab.write(frame.head(30), BP, model=MODEL)
        told = lab.estimate(BP, frame.tail(40), model=MODEL)
        with Counted(server) as counted:
            lab.write(frame.tail(40), BP, model=MODEL)
    assert counted.total.calls > 50
    assert max(_off(told, counted)) < CLOSE


def test_a_refusal_among_the_replies_is_not_taken_for_a_person(monkeypatch):
    """What was kept of a run that ended in the middle of a person is found, and the next draw is to be paid."""
    frame = lab.sample(BP, 1, seed=4)
    bad = [Answer("", refusal="no"), Answer(status=401, body={"error": {"message": "no"}})]
    with Server(lambda _request, number: bad[number - 1]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        with pytest.raises(lab.PersonalabError):
            lab.write(frame, BP, model=MODEL)
    told = lab.estimate(BP, frame, model=MODEL)
    assert (told.calls, told.replayed["personas"].calls) == (1, 1)


def test_an_estimate_needs_no_key_no_socket_and_no_file(monkeypatch, tmp_path):
    """Nothing is opened and nothing is written, even where no model is named."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was opened"))
    told = lab.estimate("street musicians", 5)
    assert told.model == "openai/gpt-5-mini"
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_name_is_asked_every_time():
    """Whose replies are not kept, is paid for again."""
    frame = lab.sample(BP, 3, seed=3)
    lab.write(frame, BP, model=Fluent())
    assert lab.estimate(BP, frame, model=Fluent()).calls == 3


def test_money_is_tokens_times_prices():
    """Prices are of a million tokens; without them nothing is said of money."""
    told = lab.estimate(BP, 100, seed=3, model=MODEL, prices=(1.0, 10.0))
    assert told.cost == pytest.approx(told.prompt_tokens / 1e6 + told.completion_tokens / 1e5)
    assert "cost" in str(told)
    assert "cost" not in str(lab.estimate(BP, 100, seed=3, model=MODEL))


def test_an_estimate_shows_itself_as_a_table():
    """A line a stage, their sum, the range, what is found, and what it rests on."""
    stages = {"blueprint": Count(1, 1900, 2000), "personas": Count(10, 4500, 1500)}
    told = Estimate(MODEL, 10, stages, {"personas": Count(2, 900, 300)}, Count(10, 5, 3), Count(13, 9, 7), "Guessed.")
    assert str(told).splitlines() == [
        "10 people, openai/m          calls  prompt tokens  completion tokens",
        "blueprint                        1          1,900              2,000",
        "personas                        10          4,500              1,500",
        "all                             11          6,400              3,500",
        "at least                        10              5                  3",
        "at most                         13              9                  7",
        "personas, among the replies      2            900                300",
        "Guessed.",
    ]
    assert "<table" in told._repr_html_()
    assert repr(told) == "Estimate('openai/m', 10 people: 11 calls, 6,400 + 3,500 tokens)"


def test_a_frame_without_a_field_is_refused():
    """As `write` would refuse it."""
    with pytest.raises(RequestError, match="city"):
        lab.estimate(BP, lab.sample(BP, 2, seed=1).drop(columns="city"), model=MODEL)


def test_shared_names_grow_with_the_population():
    """A model that has named 30 people with 5 names will do so again; one that has not is trusted, within limits."""
    assert rewritten(30, 0, 30, 25).likely > 25
    assert rewritten(30, 0, 30, 0).likely < 2
    assert rewritten(1000, 0, 0, 0).low < 100 < rewritten(1000, 0, 0, 0).high


@pytest.mark.parametrize(
    "text", ['{"key": "x", "request": 3, "model": "m", "reply": {}}', "[1]", '{"model": "m"', "{}"]
)
def test_lines_that_are_none_are_left_out(text, tmp_path):
    """What a file holds besides replies of ours does not disturb an estimate."""
    folder = tmp_path / "calls"
    folder.mkdir()
    (folder / "a.jsonl").write_text(text + "\n")
    assert lab.estimate(BP, 3, seed=1, model=MODEL).calls == 3


def test_brackets_without_end_are_no_texts():
    """A kept answer that nests more deeply than Python reads does not disturb an estimate."""
    assert [past._read(text) for text in ("[" * 100_000, "[1]", '{"name": "Ada", "age": 3}')] == [
        {},
        {},
        {"name": "Ada"},
    ]
