"""Tests of `personalab.llm.ledger`: what was used is what the server counted, and a budget is not passed."""

from __future__ import annotations

import asyncio
import json
import random
import threading

import pytest
from pydantic import BaseModel

from personalab import llm, sample
from personalab.errors import ProviderError
from personalab.inference import infer_with
from personalab.llm import Budget, Count
from personalab.llm.progress import Progress
from personalab.writing.roster import Roster
from personalab.writing.write import write_with
from tests.fluent import fluent
from tests.server import Answer, error

PROMPT = "ten people"


class Person(BaseModel, frozen=True):
    """Someone."""

    story: str


def _asked(n):
    return [{"role": "system", "content": "Tell a story. " * 20}, {"role": "user", "content": f"person {n}"}]


def _story(request, _number, least=40, most=60):
    """Forty to sixty words, the same for the same question."""
    dice = random.Random(request["messages"][-1]["content"])
    return json.dumps({"story": "word " * dice.randint(least, most)})


async def _all(connection, numbers, **options):
    asks = (connection.ask(_asked(n), Person, stage="people", **options) for n in numbers)
    return await asyncio.gather(*asks, return_exceptions=True)


def _limited(serve, script=_story, **limits):
    server = serve(script)
    return server, llm.connect("openai/m", Budget(**limits))


def _used(server):
    return server.prompt_tokens + server.completion_tokens


async def _population(connection, count):
    bp = await infer_with(PROMPT, connection)
    return await write_with(Roster(sample(bp, count, seed=1), bp), connection, Progress.of(connection))


# usage


def _faulty(request, number):
    """Of each request's first sendings, every third is a fault of another kind."""
    faults = [
        Answer('{"rationale": "It', finish_reason="length"),
        "Certainly! Here you are.",
        error(429, headers={"Retry-After": "0"}),
        Answer(drop=True),
        Answer(None, refusal="I cannot do that."),
        '{"rationale": [1], "fields": 7, "name": {}}',
    ]
    return faults[number // 3 % len(faults)] if number % 3 == 0 else fluent(request)


def test_usage_is_the_servers_own_count(serve):
    """To the token, with re-asks, truncated, refused and unusable answers; replayed, it is the same count again."""
    server = serve(_faulty)
    paying, replaying = llm.connect("openai/m"), llm.connect("openai/m")
    llm.run_with(paying, _population(paying, 16))
    llm.run_with(replaying, _population(replaying, 16))
    counted = Count(server.completions, server.prompt_tokens, server.completion_tokens)
    assert paying.usage.total == counted
    assert list(paying.usage.paid) == ["blueprint", "personas"]
    assert replaying.usage.total == Count()
    assert replaying.usage.total_replayed == counted


def test_cached_prompt_tokens_are_told_where_the_server_tells_them(serve):
    """They are among the prompt's tokens, and are replayed with the answer."""
    usage = {"prompt_tokens": 90, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}}
    message = {"role": "assistant", "content": '{"story": "x"}'}
    serve(lambda *_: Answer(body={"choices": [{"index": 0, "message": message}], "usage": usage}))
    paying, replaying = llm.connect("openai/m"), llm.connect("openai/m")
    for connection in (paying, replaying):
        llm.run(connection.ask(_asked(1), Person))
    assert paying.usage.total == replaying.usage.total_replayed == Count(1, 90, 5, cached_tokens=64)


def test_a_server_that_tells_no_tokens_is_said_to(serve):
    """Its answers are counted, and that they have no count is, too."""
    message = {"role": "assistant", "content": '{"story": "x"}'}
    serve(lambda *_: Answer(body={"choices": [{"index": 0, "message": message}], "usage": None}))
    connection = llm.connect("openai/m")
    llm.run(_all(connection, range(3)))
    assert connection.usage.total == Count(3, uncounted=3)
    assert "told no tokens for 3 calls" in str(connection.usage)


# budgets


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("least", "most"), [(40, 60), (20, 200)], ids=["alike", "different"])
def test_a_budget_ends_a_run_before_it_is_passed(serve, share, least, most):
    """Nearly all of it is used; what was answered is kept, and with a higher one only the rest is asked for."""
    numbers = range(100)
    words = [len(json.loads(_story({"messages": _asked(n)}, 0, least, most))["story"].split()) for n in numbers]
    limit = int(share * sum(length + 62 for length in words))
    server, connection = _limited(serve, lambda *asked: _story(*asked, least, most), tokens=limit)
    failures = [found for found in llm.run(_all(connection, numbers)) if isinstance(found, ProviderError)]
    assert {failure.category for failure in failures} == {"budget_exceeded"}
    assert 0.9 * limit <= _used(server) < limit + max(words)
    assert len(server.requests) == server.completions == 100 - len(failures)
    llm.run(_all(llm.connect("openai/m"), numbers))
    assert len(server.requests) == 100


def test_the_error_says_what_was_used_and_what_to_do(serve):
    """In tokens or in money, as the limit was given."""
    _server, connection = _limited(serve, tokens=400)
    failure = llm.run(_all(connection, range(9)))[-1]
    used = connection.usage.total.tokens
    assert str(failure).startswith(
        f"openai/m was not asked further: {used} of the budget's 400 tokens are used, and the"
    )
    assert "with a larger budget" in failure.__notes__[0]
    _server, connection = _limited(serve, cost=0.5, prices=(1000, 1000))
    failure = llm.run(_all(connection, range(10, 19)))[-1]
    assert f"{connection.usage.cost:.4f} of the budget's 0.5 is used" in str(failure)
    assert "with a larger budget" in failure.__notes__[0]


def test_money_is_counted_at_the_users_prices(serve):
    """Prompt and completion tokens have a price each."""
    server, connection = _limited(serve, cost=1.0, prices=(100, 300))
    llm.run(_all(connection, range(100)))
    paid = (100 * server.prompt_tokens + 300 * server.completion_tokens) / 1e6
    assert connection.usage.cost == pytest.approx(paid)
    assert 0.9 < paid <= 1.0


def test_the_first_call_of_a_stage_goes_alone(serve):
    """As long as nothing is known of its answers; then as many go at once as there are answers, and one."""
    events = []

    def script(request, number):
        events.append(("asked", number))
        story = _story(request, number)
        events.append(("answered", number))
        return story

    _server, connection = _limited(serve, script, tokens=50_000)
    llm.run(_all(connection, range(9)))
    assert events[:2] == [("asked", 1), ("answered", 1)]


@pytest.mark.parametrize("are_kept", [True, False], ids=["replayed", "paid"])
def test_known_answers_let_calls_go_side_by_side(serve, are_kept):
    """Sixteen are under way at once after sixteen answers, also where those were found among the replies."""
    together = threading.Barrier(16)

    def script(request, number):
        if number > 16:
            together.wait(timeout=30)
        return _story(request, number)

    server, connection = _limited(serve, script, tokens=60_000)
    llm.run(_all(llm.connect("openai/m") if are_kept else connection, range(16)))
    found = llm.run(_all(connection, range(32)))
    assert all(isinstance(one, Person) for one in found)
    assert len(server.requests) == 32


def test_where_even_the_longest_answers_would_fit_nothing_is_held_back(serve):
    """The requests' own bounds tell how long an answer can be."""
    together = threading.Barrier(8)

    def script(request, number):
        if number > 1:  # a server that is new is asked once before it is asked side by side
            together.wait(timeout=30)
        return _story(request, number)

    server, connection = _limited(serve, script, tokens=10_000)
    llm.run(_all(llm.connect("openai/m"), [99]))
    llm.run(_all(connection, range(8), max_tokens=800))
    assert len(server.requests) == 9


def test_a_second_try_has_to_fit_as_well(serve):
    """An answer that ran out of room is not asked for again with twice the room where the budget has none."""
    server, connection = _limited(
        serve, lambda *_: Answer('{"story": "' + "word " * 100, finish_reason="length"), tokens=250
    )
    (failure,) = llm.run(_all(connection, [1]))
    assert failure.category == "budget_exceeded"
    assert len(server.requests) == 1


def test_a_re_ask_has_to_fit_as_well(serve):
    """A model is not shown its mistake where the budget has no room for it."""
    server, connection = _limited(serve, lambda *_: "word " * 100, tokens=250)
    (failure,) = llm.run(_all(connection, [1]))
    assert failure.category == "budget_exceeded"
    assert len(server.requests) == 1


def test_what_is_found_costs_nothing(serve):
    """A budget too small for one call is enough for a run that was paid for before."""
    server = serve(_story)
    llm.run(_all(llm.connect("openai/m"), range(20)))
    found = llm.run(_all(llm.connect("openai/m", Budget(tokens=1)), range(20)))
    assert all(isinstance(one, Person) for one in found)
    assert len(server.requests) == 20


def test_tokens_that_nobody_tells_are_estimated(serve):
    """The budget holds also towards a server that counts nothing."""

    def script(request, number):
        message = {"role": "assistant", "content": _story(request, number)}
        return Answer(body={"choices": [{"index": 0, "message": message}]})

    server, connection = _limited(serve, script, tokens=2_000)
    failures = [found for found in llm.run(_all(connection, range(40))) if isinstance(found, ProviderError)]
    assert {failure.category for failure in failures} == {"budget_exceeded"}
    assert 5 < len(server.requests) < 15


def test_a_call_that_failed_gives_its_room_back(serve):
    """What was set aside for it is there for the next."""
    script = {1: error(404), 2: error(404)}
    server, connection = _limited(serve, lambda *asked: script.get(asked[1]) or _story(*asked), tokens=260)
    found = llm.run(_all(connection, range(4)))
    assert sorted(getattr(one, "category", "") for one in found) == ["", "", "config_error", "config_error"]
    assert len(server.requests) == 4


def test_a_call_that_is_cancelled_while_it_waits_leaves_the_queue(serve):
    """The others go on."""
    arrived, go = threading.Event(), threading.Event()

    def script(request, number):
        arrived.set()
        go.wait(timeout=30)
        return _story(request, number)

    server, connection = _limited(serve, script, tokens=5_000)

    async def one_of_three():
        tasks = [asyncio.create_task(connection.ask(_asked(n), Person, stage="people")) for n in range(3)]
        await asyncio.to_thread(arrived.wait, 30)
        tasks[1].cancel()
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = llm.run(one_of_three())
    assert isinstance(first, Person)
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(third, Person)
    assert len(server.requests) == 2


def test_a_population_that_a_budget_ended_goes_on_from_there(serve):
    """Through the blueprint and the writing; in the end nothing has been paid for twice."""
    server = serve(lambda request, _number: fluent(request))
    whole = llm.connect("openai/other")
    expected = llm.run_with(whole, _population(whole, 12))
    limit = int(0.6 * whole.usage.total.tokens)
    before = len(server.requests)
    ended = llm.connect("openai/m", Budget(tokens=limit))
    with pytest.raises(ProviderError, match="of the budget") as caught:
        llm.run_with(ended, _population(ended, 12))
    assert caught.value.category == "budget_exceeded"
    assert 0.8 * limit < ended.usage.total.tokens <= limit
    going_on = llm.connect("openai/m")
    assert llm.run_with(going_on, _population(going_on, 12)).equals(expected)
    assert len(server.requests) == 2 * before
