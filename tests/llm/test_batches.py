"""Batches: a whole population asked for in files, and what becomes of those that end badly."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from functools import partial

import pandas as pd
import pytest

import personalab as lab
from personalab import llm
from personalab.errors import ProviderError, RequestError
from personalab.inference.draft import EXAMPLE, wire
from personalab.inference.repair import repaired
from personalab.llm import Budget, batches, replies
from personalab.llm.endpoint import Place
from personalab.llm.progress import Progress
from personalab.writing.roster import Roster
from personalab.writing.write import write_with
from tests.batching import BatchServer
from tests.fluent import Fluent, fluent
from tests.server import Answer, Server, error

BP = repaired(wire(EXAMPLE))
MODEL = "openai/m"
KEY = "sk-secret-0123456789abcdef"


@pytest.fixture(autouse=True)
def _alone(alone, monkeypatch):  # noqa: ARG001  # for its effect
    """Let each test start with a key and no replies, and wait for nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def serve(monkeypatch):
    """Start a server and return it."""
    running = []

    def start(script=fluent, **options):
        running.append(BatchServer(script, **options).__enter__())
        monkeypatch.setenv("OPENAI_BASE_URL", running[-1].base_url)
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def frame():
    """Ten people of whom no two get the same name."""
    return lab.sample(BP, 10, seed=3)


@pytest.fixture(scope="module")
def written(frame, tmp_path_factory):
    """What the ordinary way writes of them."""
    with replies.use(tmp_path_factory.mktemp("live") / "calls"):
        return lab.write(frame, BP, model=Fluent())


def _batched(frame, budget=None, backend="batch"):
    """Write in a batch, and return what it took as well."""
    connection = llm.connect(MODEL, budget)
    people = llm.run_with(connection, _writing(frame, connection, backend))
    return people, connection.usage


def _writing(frame, connection, backend="batch"):
    return write_with(Roster(frame, BP), connection, Progress.of(connection), backend)


def _remembered(tmp_path):
    return sorted((tmp_path / "batches").glob("*"))


def test_a_batch_gives_what_the_ordinary_way_gives(serve, frame, written, tmp_path):
    """All answers come from one file; nothing is asked live, and nothing is left behind but the replies."""
    server = serve()
    people, usage = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert (len(server.batches), server.batched, server.requests) == (1, 10, [])
    assert (usage.total.tokens, usage.replayed) == (server.prompt_tokens + server.completion_tokens, {})
    assert _remembered(tmp_path) == []


def test_a_line_is_what_the_endpoint_would_send(serve, frame, tmp_path):
    """Each line bears the key of its reply, and its body is the live request."""
    server = serve()
    _batched(frame.head(1))
    ((key, body),) = server.lines(server.batches["batch-1"]).items()
    with replies.use(tmp_path / "elsewhere", "live"):
        _batched(frame.head(1), backend="live")
    assert server.requests == [body]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert replies.current().keys() == {key}


def test_what_was_written_is_not_put_into_a_batch(serve, frame):
    """A batch holds the people whom the replies do not; where they hold all, there is none."""
    server = serve()
    _batched(frame.head(4))
    _batched(frame)
    _, usage = _batched(frame)
    assert [len(server.lines(batch)) for batch in server.batches.values()] == [4, 6]
    assert (usage.paid, usage.replayed["personas"].calls) == ({}, 10)


def test_lines_that_fail_are_asked_for_live(serve, frame, written):
    """A refused line, one with no completion, a cut-off and a broken answer are made good one by one."""
    bad = {
        2: Answer(status=500, body={"error": {"message": "broken"}}),
        4: Answer(body={"no": "completion"}),
        6: Answer('{"name": "Ada', finish_reason="length"),
        8: "no JSON",
    }
    server = serve(line=lambda request, number: bad.get(number) or fluent(request))
    people, usage = _batched(frame)
    made_good = people["name"] != written["name"]  # who was shown their mistake was asked something else
    assert made_good.to_numpy().nonzero()[0].tolist() == [7]
    assert (server.batched, len(server.batches), len(server.requests)) == (9, 1, 4)
    assert usage.total.tokens == server.prompt_tokens + server.completion_tokens


@pytest.mark.parametrize(
    "text", [b"[]", b"{", b"[" * 100_000, b'{"custom_id": "k", "response": {"status_code": 1e999}}']
)
def test_a_line_that_is_none_answers_nothing(text):
    """A file of answers may hold anything; what is no answer is asked for live."""
    assert batches._line(text) == batches.Line("", 0, None)


def test_a_line_that_comes_twice_is_counted_once(serve, frame, written, monkeypatch):
    """A server that repeats an answer in its file has given it once."""
    keep = BatchServer.keep
    twice = lambda server, file: keep(server, b"\n".join([file, file]) if b'"request_id"' in file else file)  # noqa: E731
    monkeypatch.setattr(BatchServer, "keep", twice)
    server = serve()
    people, usage = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert usage.total.calls == server.batched == len(frame)
    assert usage.total.tokens == server.prompt_tokens + server.completion_tokens


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_an_expired_batch_has_brought_is_kept(end, serve, frame, written):
    """Six of ten lines were answered; the others are asked for live."""
    server = serve(end=end, done=6)
    people, _ = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert (server.batched, len(server.requests)) == (6, 4)


def test_a_batch_outlives_the_process_that_sent_it(serve, frame, written, tmp_path):
    """Killed while it waits; the next one finds the batch, and pays for nothing again."""
    server = serve()
    server.held.set()
    code = (
        "import personalab as lab; from tests.llm.test_batches import BP, MODEL\n"
        "lab.write(lab.sample(BP, 10, seed=3), BP, model=MODEL, backend='batch')"
    )
    environment = {**os.environ, "PERSONALAB_REPLIES": str(tmp_path / "calls"), "PYTHONPATH": os.pathsep.join(sys.path)}
    waiting = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=tmp_path)
    assert server.looked.wait(120)
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    (file,) = _remembered(tmp_path)
    told = json.loads(file.read_text())
    assert (told["id"], told["n"], told["model"]) == ("batch-1", 10, "m")
    assert KEY not in file.read_text()
    server.held.clear()
    people, usage = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert (len(server.batches), server.requests, usage.total.calls) == (1, [], 10)
    assert _remembered(tmp_path) == []


def test_a_larger_call_waits_for_the_batch_of_a_smaller_one(serve, frame, monkeypatch):
    """Who is under way already is not sent again with the others."""
    monkeypatch.setattr(batches, "LOOKS", 3)
    server = serve(refuse=lambda method, _path: error(500, "away") if method == "GET" else None)
    with pytest.raises(ProviderError, match="did not tell of a batch") as caught:
        _batched(frame.head(4))
    assert "the same call again" in caught.value.__notes__[0]
    server.refuse = lambda *_: None
    _batched(frame)
    assert [len(server.lines(batch)) for batch in server.batches.values()] == [4, 6]


def test_a_batch_that_was_made_unheard_is_found(serve, frame, tmp_path):
    """The connection broke after the server had made the batch; its own list of batches tells it from others."""
    server = serve()
    made = server.make

    def unheard(asked):
        made({**asked, "metadata": {}})
        made(asked)
        raise ConnectionError  # the handler's thread ends without an answer

    server.make = unheard
    with pytest.raises(ProviderError):
        _batched(frame)
    (file,) = _remembered(tmp_path)
    assert json.loads(file.read_text())["id"] == ""
    server.make = made
    _batched(frame)
    assert (len(server.batches), server.batched, server.requests) == (2, 10, [])


def test_many_requests_are_sent_in_several_files(serve, frame, written, monkeypatch):
    """No file holds more lines or bytes than the server takes."""
    monkeypatch.setattr(batches, "MOST_REQUESTS", 4)
    server = serve()
    people, _ = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert [len(server.lines(batch)) for batch in server.batches.values()] == [4, 4, 2]
    monkeypatch.setattr(batches, "MOST_BYTES", 10)
    llm.run(llm.connect(MODEL).prefill([], lab.Blueprint))
    assert [len(part) for part in batches._files((str(i), {}) for i in range(3))] == [1, 1, 1]


@pytest.mark.parametrize("status", [400, 404, 405, 501])
@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_a_server_without_a_batch_api_is_told_from_one_that_is_busy(status, path, serve, frame, tmp_path):
    """The error says to leave the backend out; nobody is asked live instead, at another price."""
    server = serve(refuse=lambda _method, asked: error(status, "unknown path") if asked.startswith(path) else None)
    with pytest.raises(ProviderError, match="has no batch API") as caught:
        _batched(frame)
    assert caught.value.category == "config_error"
    assert "leave" in caught.value.__notes__[0]
    assert (server.requests, _remembered(tmp_path)) == ([], [])


def test_a_plain_server_has_no_batch_api(frame, monkeypatch):
    """A server that knows nothing of files does not take one for a question."""
    with Server(lambda *_: Answer(body="<html>here I am</html>")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.root}/elsewhere")
        with pytest.raises(ProviderError) as caught:
            _batched(frame)
    assert caught.value.category in ("config_error", "provider_error")


@pytest.mark.parametrize("model", [Fluent(), "local-tiny"])
def test_only_servers_have_batches(model, frame):
    """An object of the user's own and the embedded model are asked one by one."""
    with pytest.raises(ProviderError, match="no batch API"):
        lab.write(frame, BP, model=model, backend="batch")


def test_a_wrong_key_is_a_wrong_key(serve, frame):
    """What goes wrong with the account keeps its own category."""
    serve(refuse=lambda *_: error(401, f"wrong key {KEY}"))
    with pytest.raises(ProviderError) as caught:
        _batched(frame)
    assert caught.value.category == "auth_error"
    assert KEY not in str(caught.value)


def test_a_server_that_is_away_for_a_moment_is_waited_for(serve, frame, written):
    """Each step is tried again."""
    seen = set()

    def refuse(method, path):
        is_new = (method, path) not in seen
        seen.add((method, path))
        return error(503, "away") if is_new and path != "/v1/batches" else None

    server = serve(refuse=refuse)
    people, _ = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert len(server.batches) == 1


def test_a_batch_that_was_refused_as_a_whole_is_an_error(serve, frame, tmp_path):
    """The server's words are told, and the next call begins anew."""
    server = serve(end="failed")
    with pytest.raises(ProviderError, match=r"refused a batch: Too much\."):
        _batched(frame)
    assert (server.requests, _remembered(tmp_path)) == ([], [])


def test_a_batch_that_the_server_has_forgotten_is_asked_for_live(serve, frame, written):
    """Nobody waits for ever for what is not there any more."""
    server = serve(refuse=lambda method, _path: error(404, "gone") if method == "GET" else None)
    people, _ = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert len(server.requests) == 10


def test_a_parameter_that_the_server_does_not_know_is_left_out_of_the_next_batch(serve, frame, written):
    """Lines that are refused for it cost nothing and are sent once more, not live; what was learnt is kept."""

    def picky(request, _number):
        if "max_tokens" in request:
            return error(400, "Unsupported parameter: 'max_tokens'", param="max_tokens")
        if "temperature" in request:
            return error(400, "Unsupported value: 'temperature' does not support 0.8", param="temperature")
        return fluent(request)

    server = serve(picky)
    people, _ = _batched(frame)
    pd.testing.assert_frame_equal(people, written)
    assert (len(server.batches), server.batched, server.requests) == (3, 10, [])
    assert {"max_completion_tokens"} < set(server.lines(server.batches["batch-3"]).popitem()[1])


def test_doubles_are_written_again_live(serve, frame):
    """What a batch could not know is asked for afterwards."""

    def alike(request, number):
        return json.dumps(json.loads(fluent(request)) | ({"name": "Ada Berg"} if number <= 2 else {}))

    server = serve(line=alike)
    people, usage = _batched(frame)
    assert people["name"].is_unique
    assert (usage.total.calls, len(server.requests)) == (11, 1)


def test_interrupting_leaves_the_batch_running(serve, frame, caplog):
    """The log says how to go on, and the same call does."""
    server = serve()
    server.held.set()
    connection = llm.connect(MODEL)
    with caplog.at_level(logging.WARNING):
        future = llm.start_with(connection, partial(_writing, frame, connection))
        assert server.looked.wait(60)
        future.cancel()
        llm.run(_told(caplog))
    server.held.clear()
    _batched(frame)
    assert (len(server.batches), server.batched) == (1, 10)


async def _told(caplog):
    import asyncio

    while "the same call again" not in caplog.text:
        await asyncio.sleep(0)


def test_a_population_can_be_made_of_a_batch(serve):
    """The blueprint is asked for live, and all people but doubles in the batch."""
    server = serve()
    pop = lab.generate("street musicians", 6, seed=3, model=MODEL, backend="batch")
    assert (len(pop), server.batched, len(server.requests)) == (6, 6, 1)


def test_a_job_that_is_cancelled_leaves_its_batch_running(serve):
    """Taken up again, it waits for the same batch."""
    server = serve()
    server.held.set()
    job = lab.start("street musicians", 6, seed=3, model=MODEL, backend="batch")
    assert server.looked.wait(60)
    job.cancel()
    with pytest.raises(ProviderError):
        job.wait()
    server.held.clear()
    pop = lab.get(job.id, resume=True, model="openai/m").wait()
    assert (len(pop), len(server.batches), server.batched, len(server.requests)) == (6, 1, 6, 1)


def test_a_budget_is_held_before_anything_is_sent(serve, frame):
    """Where nobody knows how long answers are, or the budget does not hold them, no file goes up."""
    server = serve()
    with pytest.raises(ProviderError, match="nobody knows how long") as caught:
        _batched(frame, Budget(tokens=20_000))
    assert caught.value.category == "budget_exceeded"
    _batched(frame.head(2), backend="live")
    with pytest.raises(ProviderError, match="8 requests in a batch, because a budget of 400 tokens may not hold them"):
        _batched(frame, Budget(tokens=400))
    assert server.files == {}
    _batched(frame, Budget(tokens=20_000))
    assert server.batched == 8


def test_a_replay_sends_no_batch(serve, frame, written, tmp_path):
    """What is kept is found; what is not is a miss, as ever."""
    server = serve()
    _batched(frame)
    with replies.use(tmp_path / "calls", "replay"):
        pd.testing.assert_frame_equal(_batched(frame)[0], written)
        with pytest.raises(ProviderError, match="replay asks no model"):
            _batched(lab.sample(BP, 3, seed=9))
    assert len(server.batches) == 1


def test_asking_anew_takes_each_answer_once(serve, frame):
    """In the mode `live`, which finds nothing among the replies, a batch's answers are used and not paid for twice."""
    server = serve()
    for _ in range(2):
        with replies.use(replies.current().path, "live"):
            _, usage = _batched(frame)
    assert (len(server.batches), server.requests, usage.total.calls) == (2, [], 10)


def test_files_that_are_none_of_ours_are_passed_over(serve, frame, tmp_path):
    """What else lies in the folder is neither read nor removed, and names no batch."""
    server = serve()
    (tmp_path / "batches").mkdir()
    for name, text in (("a.json", "[]"), ("b.json", "{"), ("c.json", json.dumps({"id": "batch-9", "keys": ["x"]}))):
        (tmp_path / "batches" / name).write_text(text)
    _batched(frame)
    assert len(_remembered(tmp_path)) == 3
    assert server.batched == 10


def test_a_batch_s_id_is_no_address(tmp_path):
    """A file from elsewhere names nothing that is asked for with the key, and a pipe in its place is not waited for."""
    place, folder = Place("http://host/v1", "m", "k"), batches.Folder(tmp_path)
    for id_ in ("batch_1-a", "../files/f", "b?x=1", "b" * 300):
        folder.add(batches.Sent("host", "m", "", (id_,), id_))
    assert [sent.id for sent in folder.under_way(place)] == ["batch_1-a"]
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(RequestError, match=r"a.json' is a pipe"):
        folder.under_way(place)


def test_an_unknown_backend_is_refused(frame):
    """Before a model is looked for."""
    with pytest.raises(RequestError, match="'bulk'"):
        lab.write(frame, BP, backend="bulk")
