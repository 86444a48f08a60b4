"""Tests of `personalab.llm` and what it stands on: places, endpoint, faults, answers, usage, background."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
import warnings
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, field_validator

from personalab import llm
from personalab.errors import ProviderError, RequestError
from personalab.llm import faults, places, replies
from tests.loopback import Loopback
from tests.server import Answer, Server, answer_well, error

KEY = "sk-secret-0123456789abcdef"
GOOD = '{"name": "Ada", "age": 36}'
ASKED = [{"role": "user", "content": "who {{ is }} it"}]


class Person(BaseModel, frozen=True):
    """Someone."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0)

    @field_validator("name")
    @classmethod
    def _is_told(cls, name):
        if name == "nobody":
            raise ValueError(f"{name} is no name")
        return name


@pytest.fixture(autouse=True)
def _alone(alone, monkeypatch):  # noqa: ARG001  # for its effect
    """Let each test start with no key, no server and no replies, and wait for nothing."""
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{_free_port()}")


@pytest.fixture
def serve(monkeypatch):
    """Start a server with a script and return it with a connection to it."""
    running = []

    def start(script=answer_well, name="openai/m"):
        server = Server(script).__enter__()
        running.append(server)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        return server, llm.connect(name)

    yield start
    for server in running:
        server.stop()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _ask(connection, **options):
    return llm.run(connection.ask(ASKED, Person, **options))


def _ask_many(connection, n, **options):
    async def ask_all():
        asked = ([{"role": "user", "content": f"who is number {i}"}] for i in range(n))
        asks = (connection.ask(each, Person, **options) for each in asked)
        return await asyncio.gather(*asks, return_exceptions=True)

    return llm.run(ask_all())


def _failure(connection, **options):
    with pytest.raises(ProviderError) as caught:
        _ask(connection, **options)
    return caught.value


class Fixed:
    """A model in five lines."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def complete(self, messages, schema):
        """Give the next answer."""
        self.seen = (messages, schema)
        return self.answers.pop(0)


# asking


def test_an_answer_is_an_instance_of_the_type(serve):
    """What comes back is exactly the type that was asked for, not a subclass of it."""
    server, connection = serve(lambda *_: GOOD)
    assert _ask(connection) == Person(name="Ada", age=36)
    assert type(_ask(connection)) is Person
    assert len(server.requests) == 1


def test_the_request_is_strict_and_says_no_more_than_asked(serve):
    """The schema goes out strict; no seed, no bounds, and templates in messages stay text."""
    server, connection = serve()
    _ask(connection, max_tokens=9)
    (sent,) = server.requests
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert sent["response_format"]["json_schema"]["schema"] == llm.strict_schema(Person)
    assert sent["messages"] == ASKED
    assert sorted(sent) == ["max_tokens", "messages", "model", "response_format"]


def test_a_number_in_quotes_is_a_number(serve):
    """Validation is lax, so that an answer is not refused for its quotes."""
    server, connection = serve(lambda *_: '{"name": "Ada", "age": "36"}')
    assert _ask(connection).age == 36
    assert len(server.requests) == 1


def test_a_strong_model_is_shown_its_mistake(serve):
    """The second request repeats the answer and what was wrong with it."""
    server, connection = serve(lambda _request, n: GOOD if n == 2 else '{"name": "Ada", "age": -1}')
    assert _ask(connection).age == 36
    assert len(server.requests) == 2
    assert "greater than or equal to 0" in server.requests[1]["messages"][-1]["content"]


def test_usage_is_what_the_server_counted(serve):
    """Re-asks and answers of no use are counted, by stage."""
    server, connection = serve(lambda _request, n: "not JSON" if n < 6 else GOOD)
    _failure(connection, stage="infer")
    _ask(connection, stage="write", sample=1)
    total = connection.usage.total
    assert connection.usage.paid["infer"].calls == 3
    assert (total.calls, total.prompt_tokens) == (server.completions, server.prompt_tokens)
    assert total.completion_tokens == server.completion_tokens
    assert connection.usage.replayed == {}


def test_another_sample_is_another_draw(serve):
    """The same request with another sample is asked anew."""
    server, connection = serve(lambda _request, n: json.dumps({"name": "Ada", "age": n}))
    assert [_ask(connection, sample=sample).age for sample in (0, 1, 0)] == [1, 2, 1]
    assert len(server.requests) == 2


def test_questions_are_asked_side_by_side_but_not_too_many(serve, monkeypatch):
    """After the first answer, as many requests are under way at once as is set, never one more."""
    monkeypatch.setenv("PERSONALAB_CONCURRENCY", "8")
    under_way, most, eight = set(), [], threading.Barrier(8)

    def script(_request, number):
        under_way.add(number)
        most.append(len(under_way))
        if number > 1:
            eight.wait(timeout=30)
        under_way.discard(number)
        return GOOD

    _server, connection = serve(script)
    assert len(_ask_many(connection, 17)) == 17
    assert max(most) == 8


# faults


FAULTS = {
    "wrong key": (error(401), "auth_error", 1),
    "key not allowed": (error(403), "auth_error", 1),
    "no credit": (error(429, code="insufficient_quota"), "quota_exceeded", 1),
    "come back tomorrow": (error(429, headers={"Retry-After": "86400"}), "rate_limited", 1),
    "unknown model": (error(404), "config_error", 1),
    "bad request": (error(400), "provider_error", 6),
    "too much text": (error(400, code="context_length_exceeded"), "provider_error", 1),
    "filtered": (error(400, code="content_filter"), "content_refused", 1),
    "broken": (error(500), "provider_error", faults.BROKEN_SENDS),
    "restarting": (error(503), "provider_error", faults.BROKEN_SENDS),
    "overloaded": (error(529), "provider_error", faults.BROKEN_SENDS),
    "hung up": (Answer(drop=True), "provider_error", faults.BROKEN_SENDS),
    "a web page": (Answer(body="<html>hello</html>"), "provider_error", faults.BROKEN_SENDS),
    "an error as success": (Answer(body={"error": {"message": "no"}}), "provider_error", faults.BROKEN_SENDS),
    "refusal": (Answer("", refusal="I will not"), "content_refused", 1),
    "filtered answer": (Answer("{", finish_reason="content_filter"), "content_refused", 1),
    "no JSON": (Answer("Sure! Here it is"), "invalid_output", 3),
    "too long": (Answer('{"name": "Ad', finish_reason="length"), "output_truncated", 2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_lasts_has_its_category_and_ends(serve, fault):
    """Every lasting fault is told by one word, after a bounded number of requests."""
    answer, category, sends = FAULTS[fault]
    server, connection = serve(lambda *_: answer)
    failure = _failure(connection)
    assert failure.category == category
    assert len(server.requests) == sends
    assert failure.__notes__[0].startswith("→ ")


PASSING = [
    error(429),
    error(429, headers={"Retry-After": "0.01"}),
    error(500),
    error(503),
    Answer(drop=True),
    Answer(body="<html>starting up</html>"),
]


@pytest.mark.parametrize("answer", PASSING)
def test_a_fault_that_passes_is_waited_out(serve, answer):
    """A request that failed twice in passing is answered at the third try."""
    server, connection = serve(lambda _request, n: answer if n < 3 else GOOD)
    assert _ask(connection).name == "Ada"
    assert len(server.requests) == 3
    assert connection.usage.total.calls == 1


CHANCES = dict.fromkeys(("busy", "broken", "hang_up", "garbage", "malformed", "truncated"), 0.05)


def test_a_run_outlives_a_bad_server(monkeypatch):
    """With three of ten requests going wrong, each in its way, every question is answered and every token counted."""
    with Loopback(seed=7, latency=0.01, **CHANCES) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        connection = llm.connect("openai/m")
        answers = _ask_many(connection, 200, max_tokens=500)
        stats, total = server.stats(), connection.usage.total
    assert {type(answer) for answer in answers} == {Person}
    assert set(stats.faults) == set(CHANCES)
    assert stats.most_under_way <= 64
    assert (total.calls, total.prompt_tokens, total.completion_tokens) == (
        stats.answers,
        stats.prompt_tokens,
        stats.completion_tokens,
    )


def test_a_busy_server_loses_no_answer(monkeypatch):
    """Against one that bears six and refuses the rest, all are answered, and it is found out how many it bears."""
    monkeypatch.setenv("PERSONALAB_BACKOFF", "0.05")
    with Loopback(latency=0.2, capacity=6) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert {type(answer) for answer in _ask_many(llm.connect("openai/m"), 80)} == {Person}
        stats = server.stats()
    assert stats.most_under_way == 6
    assert stats.refused < 80


def test_a_server_is_taken_at_its_word():
    """Retry-After, in seconds or as a date, replaces our own wait; too long a wait is not begun."""
    wait = faults.retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"})
    told = faults.Fault("rate_limited", "busy", sends=None, retry_after=7.0)
    assert faults.pause(told, sent=300, spread=0.3) == 7.0
    assert faults.pause(faults.Fault("rate_limited", "", sends=None, retry_after=wait), 1, 0) is None
    assert faults.retry_after({"retry-after": "soon"}) is None


def test_waits_grow_and_differ(monkeypatch):
    """The wait doubles each time, and requests that fail together come back apart."""
    monkeypatch.setenv("PERSONALAB_BACKOFF", "1")
    fault = faults.Fault("provider_error", "broken", sends=5)
    assert [faults.pause(fault, sent, 1.0) for sent in (1, 2, 3, 5)] == [1, 2, 4, None]
    assert faults.pause(fault, 1, 0.0) < faults.pause(fault, 1, 0.5)


def test_patience_lasts_longer_while_others_are_answered(monkeypatch):
    """A failure that strikes by chance is outlived; one that strikes the same request again and again is not."""
    monkeypatch.setenv("PERSONALAB_BACKOFF", "1")
    fault = faults.Fault("provider_error", "broken", sends=5)
    assert faults.pause(fault, 14, 1.0, others_answered=True) == 32
    assert faults.pause(fault, 15, 1.0, others_answered=True) is None
    assert faults.pause(faults.Fault("config_error", "no such model"), 1, 1.0, others_answered=True) is None


WRONG = [("TIMEOUT", "2min"), ("STALL", "-1"), ("BACKOFF", "nan"), ("CONCURRENCY", "0"), ("CONCURRENCY", "many")]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_setting_that_is_no_number_is_refused(monkeypatch, serve, variable, value):
    """The error names the variable."""
    serve(lambda *_: error(500))
    monkeypatch.setenv(f"PERSONALAB_{variable}", value)
    with pytest.raises(RequestError, match=f"PERSONALAB_{variable} is '{value}'"):
        _ask(llm.connect("openai/m"))


def test_a_waiting_request_gives_up_its_place(serve, monkeypatch):
    """While one request waits to be sent again, the others are answered."""
    monkeypatch.setenv("PERSONALAB_CONCURRENCY", "1")
    order = []

    def script(request, _number):
        order.append(request["messages"][0]["content"])
        return error(503, headers={"Retry-After": "0.2"}) if len(order) == 1 else GOOD

    _server, connection = serve(script)

    async def ask_both():
        asked = ([{"role": "user", "content": name}] for name in "ab")
        await asyncio.gather(*(connection.ask(messages, Person) for messages in asked))

    llm.run(ask_both())
    assert order in (["a", "b", "a"], ["b", "a", "b"])


@pytest.mark.parametrize("fault", ["wrong key", "key not allowed", "no credit"])
def test_what_no_request_can_pass_stops_them_all(serve, fault):
    """Of forty questions one is sent; the others fail with the same words."""
    answer, category, _sends = FAULTS[fault]
    server, connection = serve(lambda *_: answer)
    failures = _ask_many(connection, 40)
    assert {(failure.category, str(failure)) for failure in failures} == {(category, str(failures[0]))}
    assert len(server.requests) == 1


STANDSTILLS = {
    "too often": (error(429), "rate_limited"),
    "too often, with a time": (error(429, headers={"Retry-After": "0.01"}), "rate_limited"),
    "silence": (Answer(hang=True), "provider_timeout"),
}


@pytest.mark.parametrize("fault", STANDSTILLS)
def test_a_standstill_ends_all_that_wait(serve, monkeypatch, fault):
    """When nobody has been answered for as long as is set, all forty fail with the right word, after few requests."""
    answer, category = STANDSTILLS[fault]
    monkeypatch.setenv("PERSONALAB_STALL", "0.3")
    server, connection = serve(lambda *_: answer)
    failures = _ask_many(connection, 40)
    assert {failure.category for failure in failures} == {category}
    assert "no answer came for 0.3 s" in str(failures[0])
    assert len(server.requests) < 40


def test_a_server_that_was_once_busy_is_asked_again(serve, monkeypatch):
    """A standstill ends a run, and not the connection."""
    monkeypatch.setenv("PERSONALAB_STALL", "0.2")
    server, connection = serve(lambda *_: error(429))
    assert _failure(connection).category == "rate_limited"
    server.script = answer_well
    assert _ask(connection).age == 1


def test_a_silent_server_is_given_up(serve, monkeypatch):
    """A server that never answers is asked twice."""
    monkeypatch.setenv("PERSONALAB_TIMEOUT", "0.5")
    server, connection = serve(lambda *_: Answer(hang=True))
    assert _failure(connection).category == "provider_timeout"
    assert len(server.requests) <= faults.SILENT_SENDS


def test_a_server_that_is_not_there_is_unreachable(serve):
    """A refused connection has its own category."""
    server, connection = serve()
    server.stop()
    failure = _failure(connection)
    assert failure.category == "provider_unreachable"
    assert "127.0.0.1" in str(failure)


def test_an_answer_that_did_not_fit_is_given_twice_the_room(serve):
    """The second request allows twice as many tokens."""
    long = Answer('{"name": "Ad', finish_reason="length")
    server, connection = serve(lambda _request, n: long if n == 1 else GOOD)
    assert _ask(connection, max_tokens=50).name == "Ada"
    assert [request["max_tokens"] for request in server.requests] == [50, 100]
    assert connection.usage.total.calls == 2


def test_the_models_words_are_kept_out_of_the_message(serve):
    """An invalid answer is found in `answer`; the message names only the mistakes."""
    _server, connection = serve(lambda *_: '{"name": "nobody", "age": 1}')
    failure = _failure(connection)
    assert failure.answer == '{"name": "nobody", "age": 1}'
    assert "name (value_error)" in str(failure)
    assert "nobody" not in str(failure)


# secrets and noise


def test_the_key_is_left_nowhere(serve, tmp_path, capfd):
    """A server that repeats the key makes it appear in no error, no reply, no repr and no output."""
    repeats = error(401, f"Incorrect API key provided: {KEY}")
    server, connection = serve(lambda _request, n: GOOD if n == 1 else repeats)
    _ask(connection)
    failure = _failure(connection, sample=1)
    kept = "".join(path.read_text() for path in (tmp_path / "calls").iterdir())
    everything = [
        kept,
        str(failure),
        repr(failure),
        repr(failure.__cause__),
        repr(connection),
        *capfd.readouterr(),
    ]
    everything += [repr(connection.replies), repr(vars(connection)), connection.description]
    everything += traceback.format_exception(failure)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert not any(KEY in text for text in everything)


def _python(code, folder):
    """Run code in a process of its own, where a warning is an error."""
    run = [sys.executable, "-W", "error", "-c", code]
    env = {**os.environ, "PYTHONPATH": str(Path(llm.__file__).parents[1])}
    return subprocess.run(run, cwd=folder, env=env, capture_output=True, text=True, check=False)


SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from pydantic import BaseModel
from personalab import errors, llm
class P(BaseModel):
    age: int
try:
    llm.run(llm.connect("openai/m").ask([{"role": "user", "content": "who"}], P))
except errors.ProviderError as error:
    assert error.category == "invalid_output"
assert "openai" in sys.modules
"""


def test_a_failure_makes_no_noise(serve, tmp_path):
    """Nothing is logged of what the model said, and no library's warning comes through."""
    serve(lambda *_: "private words")
    done = _python(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "private" not in done.stderr + done.stdout
    assert done.stderr == ""


def test_importing_loads_no_client(tmp_path):
    """The clients are loaded by the first question, not by the import."""
    code = "import sys, personalab.llm as m; assert not {'openai', 'instructor', 'httpx2'} & set(sys.modules)"
    done = _python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


# replies


def _fall_over(*_arguments):
    raise AssertionError("a socket was opened")


def test_what_was_recorded_is_replayed_without_server_key_or_socket(serve, tmp_path, monkeypatch):
    """Re-asks and failures replay as they were, and no connection is tried."""
    answers = ["bad", GOOD, "bad", "bad", "bad"]
    server, connection = serve(lambda _request, n: answers[n - 1])
    person, failure = _ask(connection), _failure(connection, sample=1)
    server.stop()
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name)
    llm.run(asyncio.sleep(0))
    with replies.use(tmp_path / "calls", "replay"):
        again = llm.connect("openai/m")
        monkeypatch.setattr(socket.socket, "connect", _fall_over)
        assert _ask(again) == person
        assert str(_failure(again, sample=1)) == str(failure)
        assert _failure(again, sample=2).category == "replay_miss"
    assert again.usage.total == llm.Count()
    assert again.usage.total_replayed == connection.usage.total


def test_a_replay_knows_which_model_it_is_of(serve, tmp_path, monkeypatch):
    """With nothing named, a replay takes the model that gave the replies, and looks for no other."""
    _server, connection = serve(lambda *_: GOOD, "openai/some/model")
    _ask(connection)
    monkeypatch.setattr(socket.socket, "connect", _fall_over)
    with replies.use(tmp_path / "calls", "replay"):
        assert llm.connect().name == "openai/some/model"
        assert _ask(llm.connect()).name == "Ada"
    (tmp_path / "empty").mkdir()
    with replies.use(tmp_path / "empty", "replay"), pytest.raises(ProviderError, match="which model"):
        llm.connect()


def test_with_all_replies_at_hand_no_key_is_needed(serve, monkeypatch):
    """A key is missed only when something has to be asked."""
    server, connection = serve(lambda *_: GOOD)
    _ask(connection)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    again = llm.connect("openai/m")
    assert _ask(again).name == "Ada"
    assert len(server.requests) == 1
    assert _failure(again, sample=1).category == "config_error"


# which model


def test_what_cannot_be_an_address_or_a_key_is_refused(monkeypatch):
    """Neither is sent, and the key is not shown."""
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nand more")
    failure = _failure(llm.connect("openai/m"))
    assert failure.category == "config_error"
    assert KEY not in "".join(traceback.format_exception(failure))
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
    with pytest.raises(RequestError, match="'localhost:8000/v1'"):
        llm.connect("openai/m")


def test_a_reply_written_by_hand_needs_only_its_content(tmp_path):
    """Such a file is labelled, and replays like a recorded one."""
    path = tmp_path / "study.jsonl"
    path.write_text('{"note": "written by hand"}\n')
    request = {"model": "m", "messages": ASKED, "schema": llm.strict_schema(Person), "sample": 0}
    replies.Replies(path).put(request, {"content": GOOD})
    with replies.use(path, "replay") as store:
        assert _ask(llm.connect("openai/m")).name == "Ada"
    assert store.note == "written by hand"


def test_a_name_is_looked_for_in_a_fixed_order(monkeypatch):
    """Argument, environment, OpenAI with a key, Ollama on this machine."""
    with Server(ollama_models=("qwen3:4b", "llama3")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.root)
        assert llm.connect().name == "ollama/qwen3:4b"
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert llm.connect().name == "openai/gpt-5-mini"
        monkeypatch.setenv("PERSONALAB_MODEL", "ollama/llama3")
        assert llm.connect().name == "ollama/llama3"
        assert llm.connect("openai/m").name == "openai/m"
        assert server.requests == []


def test_ollama_is_asked_where_it_is(monkeypatch):
    """An ollama/ model is asked at OLLAMA_HOST, under its name there."""
    with Server() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.root.removeprefix("http://"))
        assert _ask(llm.connect("ollama/qwen3")).age == 1
    assert server.requests[0]["model"] == "qwen3"
    assert llm.connect("ollama/qwen3").is_small is False


def test_small_servers_are_asked_less_at_once(monkeypatch):
    """Ollama serves four requests side by side, the embedded model one; what is set holds for a server of one's own."""
    found = [places.find(name).at_once for name in ("openai/m", "ollama/qwen3", "local")]
    assert found == [64, 4, 1]
    monkeypatch.setenv("PERSONALAB_CONCURRENCY", "2")
    with Loopback(latency=0.02) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.root)
        _ask_many(llm.connect("ollama/qwen3"), 12)
        assert server.stats().most_under_way == 2
        monkeypatch.delenv("PERSONALAB_CONCURRENCY")
        _ask_many(llm.connect("ollama/qwen3"), 24, sample=1)
        assert server.stats().most_under_way == 4


def test_a_compatible_server_needs_no_key(monkeypatch):
    """With OPENAI_BASE_URL and no key, a placeholder is sent."""
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert _ask(llm.connect("openai/org/model")).age == 1
    assert server.requests[0]["model"] == "org/model"
    assert server.headers[0]["authorization"] == "Bearer personalab-sends-no-key"


def test_a_proxy_is_not_asked_about_this_machine(serve, monkeypatch):
    """A server on loopback is reached directly, whatever proxy is set."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server, connection = serve()
    assert _ask(connection).age == 1
    assert len(server.requests) == 1


def test_with_nothing_there_the_three_ways_are_listed(monkeypatch):
    """The error says how to get a model."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ProviderError) as caught:
        llm.connect()
    assert caught.value.category == "config_error"
    assert all(way in caught.value.__notes__[0] for way in ("OPENAI_API_KEY", "Ollama", "[local]"))


@pytest.mark.parametrize("name", ["gpt-5-mini", "openai/", "ollama/", "anthropic/x", "localhost"])
def test_a_name_of_no_known_form_is_refused(name):
    """The error shows the forms there are."""
    with pytest.raises(RequestError, match="names no model") as caught:
        llm.connect(name)
    assert all(form in caught.value.__notes__[0] for form in ('"openai/gpt-5-mini"', '"ollama/qwen3"', '"local"'))


# the embedded model


@pytest.fixture
def embedded(monkeypatch):
    """Stand in for the module that serves the embedded model."""

    def start(script=answer_well):
        server = Server(script).__enter__()
        place = types.SimpleNamespace(base_url=server.base_url, api_key=KEY, model="gguf", description="")
        started = []
        module = types.ModuleType("personalab.llm.local")
        module.MODELS = {"local-tiny": types.SimpleNamespace(file="Tiny-135M.Q4.gguf", expect="Nonsense.")}
        module.serve = lambda name: started.append(name) or place
        monkeypatch.setitem(sys.modules, "personalab.llm.local", module)
        stops.append(server)
        return server, started

    stops = []
    yield start
    for server in stops:
        server.stop()


def test_the_embedded_model_starts_with_the_first_question(embedded, tmp_path):
    """Its replies are kept under the name of its weights; it gets bounds and a seed."""
    server, started = embedded()
    connection = llm.connect("local-tiny")
    assert (connection.is_small, started) == (True, [])
    _ask(connection, sample=3)
    (sent,) = server.requests
    assert (started, sent["seed"], sent["model"]) == (["local-tiny"], 3, "gguf")
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["name"]["maxLength"] == 20
    (line,) = (tmp_path / "calls").glob("*.jsonl")
    assert json.loads(line.read_text())["model"] == "Tiny-135M.Q4"


def test_a_small_model_is_not_shown_its_mistake(embedded):
    """It is asked once; its caller draws again with another sample."""
    server, _started = embedded(lambda *_: "nonsense")
    connection = llm.connect("local-tiny")
    assert _failure(connection).category == "invalid_output"
    assert _failure(connection, sample=1).answer == "nonsense"
    assert len(server.requests) == 2


def test_an_embedded_model_that_does_not_start_says_so_itself(embedded):
    """Its own exception comes through, not one about an answer."""
    embedded()
    sys.modules["personalab.llm.local"].serve = _fall_over
    with pytest.raises(AssertionError, match="a socket was opened"):
        _ask(llm.connect("local-tiny"))


def test_weights_of_ones_own_have_their_own_replies(embedded, monkeypatch):
    """PERSONALAB_GGUF gives the name that replies are kept under."""
    embedded()
    monkeypatch.setenv("PERSONALAB_GGUF", "/models/Mine.gguf")
    assert "Mine" in llm.connect("local-tiny").description


# an object as the model


def test_an_object_with_one_method_is_a_model(tmp_path):
    """It gets messages and schema, and its replies are not kept, since nothing tells it from another."""
    model = Fixed('{"name": "x"}', GOOD)
    connection = llm.connect(model)
    assert _ask(connection).name == "Ada"
    assert model.seen[1] == llm.strict_schema(Person)
    assert connection.usage.total.calls == 2
    assert isinstance(model, llm.Model)
    assert list(tmp_path.iterdir()) == []


def test_an_object_with_a_name_has_its_replies_kept():
    """The second object of that name is not asked."""
    model = Fixed(GOOD)
    model.name = "fixed-1"
    _ask(llm.connect(model))
    assert _ask(llm.connect(model)).age == 36


def test_an_object_may_be_asynchronous():
    """An async method is awaited where it is."""

    class Slow:
        async def complete(self, messages, schema):  # noqa: ARG002
            await asyncio.sleep(0)
            return GOOD

    assert _ask(llm.connect(Slow())).age == 36


def test_an_object_that_fails_is_a_provider_that_fails():
    """Its exception is the cause; a result that is no text is named."""
    failure = _failure(llm.connect(Fixed()))
    assert isinstance(failure.__cause__, IndexError)
    assert "Fixed raised IndexError" in str(failure)
    assert "returned a dict" in str(_failure(llm.connect(Fixed({}))))
    with pytest.raises(RequestError, match="no method `complete`"):
        llm.connect(3)


# run


def test_run_works_inside_a_running_loop():
    """As in a notebook's cell."""

    async def cell():
        return llm.run(llm.connect(Fixed(GOOD)).ask(ASKED, Person))

    assert asyncio.run(cell()).name == "Ada"


def test_run_refuses_to_wait_for_itself():
    """A coroutine that runs in the background cannot block there."""

    async def inner():
        return llm.run(asyncio.sleep(0))

    with pytest.raises(RequestError, match="inside the loop"):
        llm.run(inner())


def test_a_connection_may_be_asked_from_several_loops(serve):
    """Each loop has its own connections to the server."""
    server, connection = serve()
    assert _ask(connection).age == 1
    assert asyncio.run(connection.ask(ASKED, Person, sample=1)).age == 1
    assert len(server.requests) == 2


def test_an_interrupt_ends_the_work(serve, monkeypatch):
    """After the interrupt nothing more is sent."""
    monkeypatch.setenv("PERSONALAB_CONCURRENCY", "7")

    def script(_request, number):
        if number == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return GOOD if number == 1 else Answer(hang=True)

    server, connection = serve(script)

    async def ask_all():
        await asyncio.gather(*(connection.ask(ASKED, Person, sample=n) for n in range(40)))

    with pytest.raises(KeyboardInterrupt):
        llm.run(ask_all())
    assert len(server.requests) == 8
    assert _failure_free(server)


def _failure_free(server):
    server.script = answer_well
    return _ask(llm.connect("openai/m"), sample=99).age == 1


def test_no_warning_is_left_behind(serve):
    """A connection that is dropped closes what it opened."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _server, connection = serve()
        _ask(connection)
        del connection
        llm.run(asyncio.sleep(0))
    assert caught == []


@pytest.mark.parametrize("form", ["```json\n{}\n```", "Here you are: {}.", "<think>{{no}}</think>{}"])
def test_an_answer_in_wrapping_is_unwrapped(form):
    """A code fence, a polite word or a thought around the JSON does not cost the answer."""
    model = Fixed(form.replace("{{no}}", "{no}").replace("{}", GOOD))
    assert llm.run(llm.connect(model).ask(ASKED, Person)).age == 36


@pytest.mark.parametrize("url", ["http://[::1", "http://h:99999/v1", "http://", "ftp://h"])
def test_an_address_that_is_none_is_refused(monkeypatch, url):
    """A base URL is checked before anything is sent."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(RequestError, match="no web address"):
        llm.connect("openai/x")


def test_a_replay_of_nothing_says_that_nothing_is_there(tmp_path):
    """A wrong path is named as such, not as replies of an unknown model."""
    with replies.use(tmp_path / "nope.jsonl", mode="replay"), pytest.raises(ProviderError, match="no replies at"):
        llm.connect()
