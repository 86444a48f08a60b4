"""Tests of `personalab.llm.gate`, in real event loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from personalab.llm.faults import Fault
from personalab.llm.gate import Gate
from personalab.llm.pace import START


@pytest.fixture(autouse=True)
def _backoff(monkeypatch):
    """Let the first wait be a second, whatever the environment says."""
    monkeypatch.setenv("PERSONALAB_BACKOFF", "1")


async def _serve(gate, ticket, order, hold=None):
    async with gate.slot(ticket) as slot:
        order.append(ticket)
        await (hold.wait() if hold else asyncio.sleep(0))
        slot.answered()


def test_many_wait_and_the_limit_holds():
    """Five hundred tasks pass a gate of eight, the oldest first, never nine at once."""
    gate, order, most, under_way = Gate(8, is_known=True), [], 0, 0

    async def one(ticket):
        nonlocal most, under_way
        async with gate.slot(ticket):
            under_way += 1
            most = max(most, under_way)
            order.append(ticket)
            await asyncio.sleep(0)
            under_way -= 1

    async def all_():
        await asyncio.gather(*(one(gate.ticket()) for _ in range(500)))

    asyncio.run(all_())
    assert most == 8
    assert order == sorted(order)


def test_a_request_keeps_its_place_when_it_is_sent_again():
    """An older ticket goes before younger ones that have waited longer."""
    gate, order = Gate(1, is_known=True), []

    async def all_():
        hold = asyncio.Event()
        old, *young = (gate.ticket() for _ in range(4))
        holder = asyncio.create_task(_serve(gate, gate.ticket(), order, hold))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(_serve(gate, ticket, order)) for ticket in (*young, old)]
        await asyncio.sleep(0)
        hold.set()
        await asyncio.gather(holder, *waiting)
        return old

    assert asyncio.run(all_()) == order[1]


@pytest.mark.parametrize("moment", ["waiting", "let in", "inside"])
def test_a_cancelled_request_gives_its_place_back(moment):
    """Whenever it is cancelled, the next one gets through."""
    gate, order = Gate(1, is_known=True), []

    async def all_():
        hold = asyncio.Event()
        second = asyncio.create_task(_serve(gate, 2, order, asyncio.Event()))
        async with gate.slot(1):
            third = asyncio.create_task(_serve(gate, 3, order, hold))
            await asyncio.sleep(0)
            if moment == "waiting":
                second.cancel()
        if moment == "inside":
            await asyncio.sleep(0)
        second.cancel()
        hold.set()
        await asyncio.gather(second, third, return_exceptions=True)

    asyncio.run(all_())
    assert order == ([2, 3] if moment == "inside" else [3])
    assert repr(gate) == "Gate(limit=1.0, under_way=0, waiting=0)"


def test_loops_of_several_threads_share_a_gate():
    """One that waits in another thread's loop is woken there."""
    gate, order, inside, go = Gate(1, is_known=True), [], threading.Event(), threading.Event()

    async def hold():
        async with gate.slot():
            inside.set()
            await asyncio.to_thread(go.wait)
        order.append("first")

    async def follow():
        inside.wait()
        asyncio.get_running_loop().call_soon(go.set)
        async with gate.slot():
            order.append("second")

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for work in (hold, follow)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(order) == ["first", "second"]


BUSY = Fault("rate_limited", "busy", sends=None)
SILENT = Fault("provider_timeout", "silent", sends=2)


def test_a_standstill_breaks_off_all_that_wait():
    """Nobody waits longer than is set for an answer to anybody; what most of them failed of is known."""
    gate, ended = Gate(64), []

    async def one():
        try:
            async with gate.watched(0.05):
                while True:
                    async with gate.slot() as slot:
                        slot.failed(BUSY)
        except TimeoutError:
            ended.append(gate.commonest())

    async def all_():
        await asyncio.gather(*(one() for _ in range(50)))

    asyncio.run(all_())
    assert ended == [BUSY] * 50


def test_what_hangs_is_commoner_than_what_failed_now_and_then():
    """With more requests unanswered than failed, the server is silent."""
    gate = Gate(8, is_known=True)

    async def all_():
        async with gate.slot() as slot:
            slot.failed(SILENT)
        async with gate.slot(), gate.slot(), gate.slot() as slot:
            slot.failed(BUSY)
            return gate.commonest()

    assert asyncio.run(all_()) is None


def test_an_answer_to_anybody_is_progress():
    """What failed before an answer is forgotten with it, and the time begins anew."""
    gate = Gate(8, is_known=True)

    async def all_():
        async with gate.watched(60), gate.slot() as slot:
            for _ in range(2):
                async with gate.slot() as other:
                    other.failed(BUSY)
            before = gate.commonest()
            slot.answered()
            return before, gate.commonest(), gate.answers

    assert asyncio.run(all_()) == (BUSY, None, 1)


def test_what_is_about_one_request_says_nothing_of_the_server():
    """A refused prompt or a wrong name is no sign of congestion."""
    gate = Gate(64)

    async def all_():
        for category in ("content_refused", "config_error", "provider_error"):
            async with gate.slot() as slot:
                slot.failed(Fault(category, "no"))
        async with gate.slot() as slot:
            slot.answered()

    asyncio.run(all_())
    assert gate.limit == START
    assert gate.has_answered
