"""Tests of `personalab.llm.forms`, and of how `personalab.llm.habits` learns the manner that suits a server."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from personalab import llm
from personalab.errors import ProviderError
from personalab.llm import faults
from personalab.llm.forms import OPTIONS, RUNGS, Manner, heeds, lower, plainer, read, unwrapped, wire, without
from tests.loopback import Loopback, Script
from tests.server import Server, answer_well, error

ASKED = [{"role": "user", "content": "who is it"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


class Person(BaseModel):
    """Someone."""

    name: str
    age: int


class Place(BaseModel):
    """Somewhere."""

    country: str


@pytest.fixture(scope="module")
def started():
    """Start one server for all tests here; each changes what it knows."""
    with Loopback() as server:
        yield server


pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def serve(started, monkeypatch):
    """Return a connection to the server with a script of its own, and a function that tells what it was asked since."""
    monkeypatch.setenv("OPENAI_BASE_URL", started.base_url)

    def start(**script):
        started.change(**{**vars(Script()), **script})
        before = len(started.requests())
        return llm.connect("openai/m"), lambda: [_rung(sent) for sent in started.requests()[before:]]

    return start


def _rung(sent):
    """The rung of the ladder on which a request asks."""
    if "tools" in sent:
        return "tools"
    form = sent.get("response_format", {})
    if form.get("type") == "json_schema":
        return "strict" if form["json_schema"].get("strict") else "schema"
    return "json" if form else "prompt"


def _ask(connection, type_=Person, **options):
    return llm.run(connection.ask(ASKED, type_, **options))


# the wire


def test_every_rung_tells_the_schema():
    """Whichever way a server is asked, it can know the form of the answer."""
    asked = {"messages": ASKED, "schema": SCHEMA}
    sent = {rung: wire(asked, "A b", "m", Manner(rung)) for rung in RUNGS}
    assert [_rung(each) for each in sent.values()] == list(RUNGS)
    assert sent["tools"]["tools"][0]["function"]["parameters"] == SCHEMA
    assert sent["tools"]["tool_choice"]["function"]["name"] == "A_b"
    assert all(json.dumps(SCHEMA) in sent[rung]["messages"][0]["content"] for rung in ("json", "prompt"))
    assert all(each["messages"][-1] == ASKED[0] for each in sent.values())


def test_the_schema_is_added_to_the_words_of_the_system():
    """A second message of the system is one more than some models take."""
    messages = [{"role": "system", "content": "Be brief."}, *ASKED]
    sent = wire({"messages": messages, "schema": SCHEMA}, "A", "m", Manner("prompt"))
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][0]["content"].startswith("Be brief.\n\nAnswer with one JSON object")
    assert messages[0]["content"] == "Be brief."


def test_options_that_are_not_known_are_left_out():
    """Room for the answer has two names; a seed is sent only where it is wanted."""
    asked = {"messages": [], "schema": SCHEMA, "max_tokens": 9, "temperature": 0.5, "sample": 3}
    full = wire(asked, "A", "m", Manner(), is_seeded=True)
    assert (full["max_tokens"], full["temperature"], full["seed"]) == (9, 0.5, 3)
    assert "seed" not in wire(asked, "A", "m", Manner())
    other = wire(asked, "A", "m", Manner(left_out=frozenset({"max_tokens", "temperature"})))
    assert (other["max_completion_tokens"], "max_tokens" in other, "temperature" in other) == (9, False, False)
    assert not set(OPTIONS) & set(wire(asked, "A", "m", Manner(left_out=frozenset(OPTIONS)), is_seeded=True))


def test_the_ladder_has_an_end():
    """Going down takes each rung once, then leaves out the options, then stops; prose skips to the prompt."""
    way, manner = [], Manner()
    while manner:
        way.append(manner)
        manner = lower(manner)
    assert [step.rung for step in way] == [*RUNGS, "prompt"]
    assert way[-1].left_out == set(OPTIONS)
    assert [plainer(Manner(rung)).rung for rung in RUNGS] == ["json", "json", "json", "prompt", "strict"]


def test_what_is_not_known_says_where_to_go_on():
    """Each parameter that a server may refuse has a rung without it."""
    found = {name: without(Manner(), name).rung for name in faults.PARAMETERS}
    assert found == {
        **dict.fromkeys(OPTIONS, "strict"),
        "strict": "schema",
        "json_schema": "tools",
        "response_format": "tools",
        "tools": "json",
        "tool_choice": "json",
        "json_object": "prompt",
    }
    assert without(Manner("json"), "response_format").rung == "prompt"


# the answer


def _body(message, reason="stop", **more):
    return {"choices": [{"message": message, "finish_reason": reason}], **more}


CALL = {"tool_calls": [{"function": {"name": "A", "arguments": '{"a": "b"}'}}], "content": None}
READ = {
    "text": (_body({"content": "hi"}), "hi"),
    "a called function": (_body(CALL, "tool_calls"), '{"a": "b"}'),
    "no call after all": (_body({"content": "hi", "tool_calls": []}), "hi"),
    "arguments as an object": (_body({"tool_calls": [{"function": {"arguments": {"a": "b"}}}]}), '{"a": "b"}'),
    "parts": (_body({"content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}), "hi"),
    "nothing": (_body({"content": None}), ""),
    "half a character": (_body({"content": "caf\ud83d"}), "caf?"),
    "no usage": (_body({"content": "hi"}, usage=None), "hi"),
    "odd usage": (_body({"content": "hi"}, usage={"prompt_tokens": "many", "completion_tokens": -1}), "hi"),
}


@pytest.mark.parametrize("kind", READ)
def test_answers_of_many_shapes_are_read(kind):
    """What servers send in place of a plain text, and of counts, does not stop a run."""
    body, content = READ[kind]
    reply = read(body)
    assert (reply["content"], reply["finish_reason"], reply["refusal"]) == (content, "stop", None)
    assert reply["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}


@pytest.mark.parametrize("body", ["<html>", None, [], {}, {"error": {}}, {"choices": []}, {"choices": [{}]}, 3])
def test_what_is_no_answer_is_refused(body):
    """A page, an error sent as a success, or nothing at all is no chat completion."""
    with pytest.raises(ValueError, match="no chat completion"):
        read(body)


@pytest.mark.parametrize("choices", [[], None, [None], [{}], [{"message": None}]])
def test_an_answer_that_says_nothing_is_counted(choices):
    """A server that tells the tokens of an empty answer may charge for them."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4}
    assert read({"choices": choices, "usage": usage}) == {**_reply(""), "usage": usage}


def _reply(content, reason="stop", refusal=None):
    return {"content": content, "finish_reason": reason, "refusal": refusal}


def test_prose_is_told_from_a_form_that_was_heeded():
    """Half an object tells nothing, nor does a refusal; other keys tell that the schema was not seen."""
    assert [heeds(_reply(text), SCHEMA) for text in ('{"a": "b"}', '```\n{"a": 1}\n```')] == [True, True]
    assert [heeds(_reply(text), SCHEMA) for text in ("Sure!", '{"b": 1}', "[1]", "")] == [False] * 4
    assert heeds(_reply('{"a": "b'), SCHEMA) is None
    assert heeds(_reply("{", "length"), SCHEMA) is heeds(_reply("", refusal="no"), SCHEMA) is None


def test_what_is_no_object_is_left_as_it_is():
    """Only an object is taken out of the words around it."""
    assert [unwrapped(text) for text in ("none {at} all", "x [1]", '{"a"')] == ["none {at} all", "x [1]", '{"a"']


def test_brackets_without_end_are_an_answer_of_no_use():
    """What nests more deeply than Python reads is drawn again like any other nonsense."""
    for deep in ("[" * 100_000, 'Sure: {"a":' + "[" * 100_000 + "}"):
        assert heeds(_reply(deep), SCHEMA) is False
        assert unwrapped(deep) == deep
    assert heeds(_reply('{"a":' + "[" * 100_000), SCHEMA) is None


# the search for the manner


LADDERS = {
    "all": ((), ["strict"]),
    "no promise": (("strict",), ["strict", "schema"]),
    "no schema": (("json_schema",), ["strict", "tools"]),
    "no form": (("response_format",), ["strict", "tools"]),
    "nor a choice": (("json_schema", "tool_choice"), ["strict", "tools", "json"]),
    "nor a tool": (("json_schema", "tools"), ["strict", "tools", "json"]),
    "nor an object": (("json_schema", "tools", "json_object"), ["strict", "tools", "json", "prompt"]),
    "nothing": (("response_format", "tools"), ["strict", "tools", "json", "prompt"]),
}


@pytest.mark.parametrize("known", LADDERS)
def test_a_server_is_asked_in_the_best_form_it_knows(serve, known):
    """What it refuses by name is refused once; later requests, also of another type, start where the first ended."""
    unsupported, way = LADDERS[known]
    connection, asked = serve(unsupported=unsupported)
    assert isinstance(_ask(connection), Person)
    assert asked() == way
    _ask(connection, sample=1)
    _ask(llm.connect("openai/m"), Place)
    assert asked() == [*way, way[-1], way[-1]]


WORDS = {
    "temperature: only 1 is allowed for this model": "temperature",
    "invalid temperature: must be 1": "temperature",
    "max_tokens is too large: 4000. This model supports at most 2048 completion tokens": "max_tokens",
    "'max_tokens' must be less than or equal to 2048": "max_tokens",
    "response_format is not supported by this model": "response_format",
    "response_format must be followed by a schema": None,
    "Invalid schema for response_format": None,
    "the prompt must be shorter": None,
}


@pytest.mark.parametrize("words", WORDS)
def test_a_refused_option_is_found_in_many_words(words):
    """An option with a value that the server does not take is left out; a form is not, unless it is not known."""
    error = SimpleNamespace(status_code=400, param=None, body={"message": words})
    sent = wire({"messages": [], "schema": SCHEMA, "max_tokens": 4000, "temperature": 0.8}, "A", "m", Manner())
    assert faults.refused_parameter(error, sent) == WORDS[words]


UNHELPFUL = [(), ("strict",), ("json_schema",), ("json_schema", "tools"), ("response_format", "tools")]


@pytest.mark.parametrize("unsupported", UNHELPFUL)
def test_a_server_that_gives_no_reason_is_asked_for_less(serve, unsupported):
    """A refusal without a reason takes one step at a time, and is remembered, too."""
    connection, asked = serve(unsupported=unsupported, helpful=False)
    _ask(connection)
    way = asked()
    assert way == list(RUNGS[: len(way)])
    _ask(connection, sample=1)
    assert asked() == [*way, way[-1]]


@pytest.mark.parametrize("option", ["max_tokens", "temperature"])
@pytest.mark.parametrize("helpful", [True, False])
def test_an_option_that_is_not_known_is_left_out_for_good(serve, started, option, helpful):
    """Named or not, it costs no rung of the ladder, and later requests do without."""
    connection, asked = serve(unsupported=[option], helpful=helpful)
    for sample in range(2):
        _ask(connection, sample=sample, max_tokens=500, temperature=0.5)
    last = started.requests()[-1]
    assert option not in last
    assert ("max_completion_tokens" in last) == (option == "max_tokens" and helpful)
    assert asked() == (["strict"] * 3 if helpful else [*RUNGS, "prompt", "strict"])


IGNORED = [(), ("json_schema",), ("json_schema", "tools"), ("json_schema", "tools", "json_object")]


@pytest.mark.parametrize("ignored", IGNORED)
def test_a_server_that_answers_in_prose_is_told_in_the_prompt(serve, ignored):
    """Twice without the form is enough; the same question is answered by then, and the next ones at once."""
    connection, asked = serve(ignored=ignored)
    assert isinstance(_ask(connection), Person)
    assert asked() == (["strict", "strict", "json"] if ignored else ["strict"])
    _ask(connection, sample=1)
    assert asked()[-1] == ("json" if ignored else "strict")
    assert connection.usage.total.calls == len(asked())


def test_an_odd_answer_does_not_change_a_server_that_is_known(serve, started):
    """Once a form has been heeded, prose in between is the model's, and not the server's."""
    connection, asked = serve()
    _ask(connection)
    started.change(ignored=["json_schema"])
    with pytest.raises(ProviderError, match="did not answer in the form"):
        _ask(connection, sample=1)
    assert asked() == ["strict"] * 4


def test_a_server_that_spoke_nonsense_and_recovers_is_asked_as_before(monkeypatch):
    """One that knows one form alone, and breaks down over another, is asked in that form again."""

    def script(request, number):
        return "nonsense" if number < 3 else answer_well(request)

    with Server(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert _ask(llm.connect("openai/m")).age == 1
    assert [_rung(sent) for sent in server.requests] == ["strict", "strict", "json", "strict"]


def test_what_is_refused_in_every_form_is_not_tried_for_ever(monkeypatch):
    """A bad request goes down the ladder; the third one is believed at once, and the first reason is told."""
    with Server(lambda *_: error(400, "it is Monday")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        connection, sent = llm.connect("openai/m"), []
        for sample in range(4):
            with pytest.raises(ProviderError, match="it is Monday"):
                _ask(connection, sample=sample)
            sent.append(len(server.requests))
        server.script = answer_well
        _ask(connection, sample=9)
    assert sent == [6, 12, 13, 14]
    assert _rung(server.requests[-1]) == "strict"


def test_a_passing_fault_on_the_way_down_is_not_the_end(monkeypatch):
    """When the server fails while the form is being found, the question is sent again, and answered."""
    faults_ = {1: error(400, "no"), 2: error(500), 3: error(400, "no")}
    with Server(lambda request, number: faults_.get(number) or answer_well(request)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert _ask(llm.connect("openai/m")).age == 1
    assert [_rung(sent) for sent in server.requests] == ["strict", "schema", "strict", "schema"]


def test_a_schema_that_has_worked_is_not_doubted(monkeypatch):
    """After an answer, a bad request is about what was asked; about another type it may be the form."""
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        connection = llm.connect("openai/m")
        _ask(connection)
        server.script = lambda request, _n: error(400) if "json_schema" in json.dumps(request) else answer_tool(request)
        with pytest.raises(ProviderError):
            _ask(connection, sample=1)
        _ask(connection, Place)
    assert [_rung(sent) for sent in server.requests] == ["strict", "strict", "strict", "schema", "tools"]


def answer_tool(request):
    """Answer with a plain text what a function was to be called with."""
    return json.dumps(dict.fromkeys(request["tools"][0]["function"]["parameters"]["required"], "x"))


def test_the_key_of_a_reply_does_not_know_the_form(serve, tmp_path):
    """A reply that was had on one rung answers the same question on any other."""
    connection, asked = serve(unsupported=["response_format", "tools"])
    person = _ask(connection)
    llm.forget()
    again, asked = serve()
    assert _ask(again) == person
    assert asked() == []
    assert list((tmp_path / "calls").iterdir())


def test_what_was_learnt_is_forgotten_when_asked(serve):
    """A server that has been renewed behind its address gets the first form again."""
    connection, _ = serve(unsupported=["strict"])
    _ask(connection)
    llm.forget()
    connection, asked = serve()
    _ask(connection, sample=1)
    assert asked() == ["strict"]


def test_side_by_side_requests_learn_together(serve):
    """Of forty at once, one finds the form out, and the others go by it."""
    connection, asked = serve(unsupported=["json_schema"])

    async def ask_all():
        return await asyncio.gather(*(connection.ask(ASKED, Person, sample=n) for n in range(40)))

    assert len(llm.run(ask_all())) == 40
    assert asked() == ["strict", *["tools"] * 40]
