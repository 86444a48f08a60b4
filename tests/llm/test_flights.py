"""Tests of `personalab.llm.flights` and `personalab.llm.background.kept`: paid once, and not thrown away."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from pydantic import BaseModel

from personalab import llm
from personalab.errors import ProviderError
from personalab.llm import background
from personalab.llm.flights import fly
from tests.server import Answer, error

GOOD = '{"age": 36}'
ASKED = [{"role": "user", "content": "who is it"}]


class Person(BaseModel, frozen=True):
    """Someone."""

    age: int


async def _both(*connections):
    asked = [connection.ask(ASKED, Person) for connection in connections]
    return await asyncio.gather(*asked, return_exceptions=True)


def test_two_equal_questions_at_once_are_one_request(serve):
    """The second waits for the first one's answer, and has it for nothing."""
    server = serve(lambda *_: GOOD)
    first, second = llm.connect("openai/m"), llm.connect("openai/m")
    assert llm.run(_both(first, first, second)) == [Person(age=36)] * 3
    assert len(server.requests) == 1
    assert (first.usage.total.calls, first.usage.total_replayed.calls) == (1, 1)
    assert (second.usage.total.calls, second.usage.total_replayed.calls) == (0, 1)


def test_a_failure_is_one_connections_own(serve):
    """Who asked over the same connection shares it; another connection tries for itself."""
    server = serve(lambda _request, n: error(404) if n == 1 else GOOD)
    first, second = llm.connect("openai/m"), llm.connect("openai/m")
    failed, failed_too, answered = llm.run(_both(first, first, second))
    assert isinstance(failed, ProviderError)
    assert isinstance(failed_too, ProviderError)
    assert answered == Person(age=36)
    assert len(server.requests) == 2


@pytest.mark.usefixtures("alone")
def test_an_object_without_a_name_is_asked_each_time():
    """Nothing tells such objects apart, so their questions are never the same."""

    class Counting:
        asked = 0

        def complete(self, _messages, _schema):
            self.asked += 1
            return GOOD

    model = Counting()
    connection = llm.connect(model)
    llm.run(_both(connection, connection))
    assert model.asked == 2


def test_a_flight_is_joined_from_another_loop():
    """Two threads with a loop each do the same work once."""
    begun, go = threading.Event(), Future()

    async def work():
        begun.set()
        return await asyncio.wrap_future(go)

    async def join():
        asyncio.get_running_loop().call_soon(go.set_result, 42)  # runs once this one waits
        return await fly("key", None, None)

    async def start():
        return await fly("key", None, work)

    with ThreadPoolExecutor() as pool:
        started = pool.submit(asyncio.run, start())
        begun.wait(timeout=30)
        joined = pool.submit(asyncio.run, join())
        assert (started.result(timeout=30), joined.result(timeout=30)) == ((42, True), (42, False))


def _held(arrived, go):
    """A script whose answer comes when it is told to."""

    def script(_request, _number):
        arrived.set()
        go.wait(timeout=30)
        return GOOD

    return script


def test_an_answer_on_its_way_is_kept_when_its_question_is_cancelled(serve):
    """It is counted, and the next one who asks finds it."""
    arrived, go = threading.Event(), threading.Event()
    server = serve(_held(arrived, go))
    connection = llm.connect("openai/m")

    async def cancelled():
        asking = asyncio.create_task(connection.ask(ASKED, Person))
        await asyncio.to_thread(arrived.wait, 30)
        asking.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await asking

    llm.run(cancelled())
    assert connection.usage.total.calls == 1
    assert llm.run(connection.ask(ASKED, Person)) == Person(age=36)
    assert len(server.requests) == 1


def test_who_still_waits_gets_the_answer(serve):
    """That one of two who asked the same was cancelled does not stop the request."""
    arrived, go = threading.Event(), threading.Event()
    server = serve(_held(arrived, go))
    connection = llm.connect("openai/m")

    async def one_of_two():
        first, second = (asyncio.create_task(connection.ask(ASKED, Person)) for _ in range(2))
        await asyncio.to_thread(arrived.wait, 30)
        first.cancel()
        go.set()
        return await second

    assert llm.run(one_of_two()) == Person(age=36)
    assert len(server.requests) == 1


@pytest.mark.parametrize("late", [Answer(hang=True), error(503), Answer(body="<html>")], ids=["none", "503", "page"])
def test_after_a_cancellation_nothing_is_sent_again(serve, monkeypatch, late):
    """No answer, or one of no use, ends the work; it is neither waited for much longer nor asked for again."""
    monkeypatch.setattr(background, "KEEP", 0.3)
    arrived, go = threading.Event(), threading.Event()

    def script(_request, _number):
        arrived.set()
        go.wait(timeout=30)
        return late

    server = serve(script)
    connection = llm.connect("openai/m")

    async def cancelled():
        asking = asyncio.create_task(connection.ask(ASKED, Person))
        await asyncio.to_thread(arrived.wait, 30)
        asking.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await asking

    llm.run(cancelled())
    assert len(server.requests) == 1
    assert connection.usage.total.calls == 0
