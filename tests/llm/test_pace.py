"""Tests of `personalab.llm.pace`, on a clock of the tests' own."""

from __future__ import annotations

import heapq
import itertools
import math

import pytest

from personalab.llm import pace as rules
from personalab.llm.pace import Pace


@pytest.fixture(autouse=True)
def _backoff(monkeypatch):
    """Let the first wait be a second, whatever the environment says."""
    monkeypatch.setenv("PERSONALAB_BACKOFF", "1")


def _started(pace, n, now=0.0):
    """Start requests; those that may not start yet are started in time."""
    for _ in range(n):
        now = max(now, pace.next_start(now))
        assert now < math.inf
        pace.start(now)
    return now


def _ready(most=64, limit=None):
    """A pace that has had its first answer, and perhaps a limit of its own."""
    pace = Pace(most)
    pace.start(0.0)
    pace.answered(1.0, 0.0)
    if limit is not None:
        pace.limit = float(limit)
    return pace


def test_the_first_request_goes_alone():
    """Nothing else starts before there is an answer; then so many do."""
    pace = Pace(64)
    pace.start(0.0)
    assert pace.next_start(0.0) == math.inf
    pace.answered(1.0, 0.0)
    assert pace.limit == rules.START
    _started(pace, rules.START, 1.0)
    assert pace.next_start(9.0) == math.inf


def test_a_few_more_start_at_a_time():
    """A limit that has risen opens in steps, so that a refusal comes before too many have started."""
    pace = _ready()
    _started(pace, 1 + rules.BURST, 1.0)
    later = pace.next_start(1.0)
    assert later == pytest.approx(1.0 + rules.SPELL)
    assert pace.next_start(later) == later


def test_the_limit_rises_while_answers_are_quick():
    """Each answer allows two more, up to the most; slow ones, which have waited in a queue, allow none."""
    pace = _ready()
    _started(pace, rules.START, 1.0)
    pace.answered(2.0, 1.0)
    assert pace.limit == rules.START + rules.STEP
    _started(pace, 3, 2.0)
    pace.answered(4.1, 1.0)
    assert pace.limit == rules.START + rules.STEP
    for _ in range(60):
        _started(pace, math.floor(pace.limit) - pace.under_way, 5.0)
        pace.answered(6.0, 5.0)
    assert pace.limit == 64


def test_a_limit_that_is_not_used_does_not_rise():
    """One question after the other says nothing about many at once."""
    pace = _ready()
    for now in range(1, 50):
        _started(pace, 1, float(now))
        pace.answered(now + 0.9, float(now))
    assert pace.limit == rules.START


def test_a_refusal_that_comes_alone_changes_nothing():
    """Stray refusals, even one in twenty, leave limit and growth as they are."""
    pace = _ready(limit=40)
    _started(pace, 40, 1.0)
    for i in range(200):
        now = 2.0 + i / 20
        if i % 20:
            pace.answered(now, now - 1)
        else:
            pace.refused(now, now - 0.01)
        _started(pace, math.floor(pace.limit) - pace.under_way, now)
    assert pace.limit == 64
    assert pace.ceiling == math.inf


def test_a_cluster_of_refusals_cuts_to_what_was_let_in():
    """Of forty requests of which the last ten are refused, thirty are the limit."""
    pace = _ready(limit=40)
    _started(pace, 30, 1.0)
    last = _started(pace, 10, 1.3)
    for i in range(10):
        pace.refused(1.4 + i / 1000, last)
    assert (pace.limit, pace.ceiling, pace.under_way) == (30, 30, 30)


def test_a_cut_is_made_once_for_one_cluster():
    """Refusals of requests from before a cut do not cut again, and do not go below what the rise began from."""
    pace = _ready(limit=48)
    _started(pace, 48, 1.0)
    for i in range(32):
        pace.refused(1.5 + i / 1000, 1.2)
    assert (pace.limit, pace.ceiling) == (16, 16)


def test_a_cut_waits_as_long_as_the_server_says():
    """Retry-After holds for all when there are more than the server bears."""
    pace = _ready(limit=40)
    _started(pace, 40, 1.0)
    for i in range(10):
        pace.refused(1.4 + i / 1000, 1.3, wait=7.0)
    assert pace.opens == pytest.approx(8.4, abs=0.01)
    while pace.under_way:
        pace.answered(2.0, 1.0)
    assert pace.next_start(2.0) == pace.opens


def test_an_outage_is_waited_for_longer_each_time_and_forgotten():
    """When hardly anything is let in, pauses double; afterwards the limit rises as it did at first."""
    pace, waits, now = _ready(limit=48), [], 1.0
    for _ in range(5):
        begun = _started(pace, max(1, math.floor(pace.limit) - pace.under_way), max(now, pace.opens))
        now = begun + 0.1
        while pace.under_way:
            pace.refused(now, begun, "broken")
        waits.append(pace.opens - now)
    assert waits[1:] == pytest.approx([1, 2, 4, 8])
    assert (pace.limit, pace.ceiling) == (1, 48)
    _started(pace, 1, pace.opens)
    pace.answered(pace.opens + 1, pace.opens)
    assert pace.limit == 1 + rules.STEP


def test_before_the_first_answer_every_failure_is_a_pause():
    """A server that has never answered is asked one at a time, after longer and longer pauses."""
    pace, opens = Pace(64), []
    for now in (0.0, 1.0, 3.0, 7.0):
        pace.start(now)
        pace.refused(now, now, "silent")
        opens.append(max(now, pace.opens))
    assert opens == [0.0, 2.0, 5.0, 11.0]
    assert pace.limit == 1


def test_above_the_ceiling_one_refusal_costs_one():
    """What has been found is felt out: one more in twice as many answers, sooner while no refusal follows."""
    pace = _ready(limit=16)
    pace.ceiling = 16.0
    rises = []
    for i in itertools.count():
        _started(pace, math.floor(pace.limit) - pace.under_way, 2.0 + i)
        if math.floor(pace.limit) > 16 + len(rises):
            rises.append(i)
        if len(rises) == 3:
            break
        pace.answered(3.0 + i, 2.0 + i)
    assert rises[0] == 33  # a rise of 1/32 and a little less each time
    assert rises[2] - rises[1] < rises[1] - rises[0] < rises[0]
    pace.refused(99.0, 98.9)
    assert pace.limit == pytest.approx(18, abs=0.1)


def test_a_long_calm_is_borne():
    """After thousands of answers at the most there is, the limit still stands there."""
    pace = _ready(limit=64)
    pace.ceiling = 64.0
    now = _started(pace, 64, 1.0)
    for _ in range(5000):
        pace.answered(now + 1, now)
        now = _started(pace, 1, now + 0.01)
    assert pace.limit == 64


def test_answers_that_do_not_come_halve_the_limit():
    """Those that hang have not been let in, however many are under way."""
    pace = _ready(limit=32)
    pace.ceiling = 40.0
    _started(pace, 32, 1.0)
    for i in range(8):
        pace.refused(121.0 + i / 1000, 1.0 + i / 1000, "silent")
    assert pace.limit == 16


def _run_against(capacity, latency=1.0, n=300, most=64, trip=0.005, work=0.002):
    """Drive a pace against a server that refuses what is beyond its capacity, which may depend on the time."""
    bears = capacity if callable(capacity) else lambda _: capacity
    pace, now, at_server, busy_until = Pace(most), 0.0, 0, 0.0
    queue, events, order, limits, refusals = list(range(n)), [], itertools.count(), [], 0

    def push(when, what, i, began):
        heapq.heappush(events, (when, next(order), what, i, began))

    while len(limits) < n:
        while queue and pace.next_start(now) <= now:
            pace.start(now)
            busy_until = max(busy_until, now) + work
            push(busy_until + trip / 2, "arrives", heapq.heappop(queue), now)
        if queue and now < pace.next_start(now) < math.inf:
            push(pace.next_start(now), "looks", -1, now)
        now, _, what, i, began = heapq.heappop(events)
        if what == "arrives":
            is_full = at_server >= bears(now)
            at_server += not is_full
            push(now + (trip / 2 if is_full else latency), "refused" if is_full else "answered", i, began)
        elif what == "answered":
            at_server -= 1
            pace.answered(now, began)
            limits.append(pace.limit)
        elif what == "refused":
            refusals += 1
            pace.refused(now, began)
            push(now + 1.0, "again", i, began)
        elif what == "again":
            heapq.heappush(queue, i)
    return now, limits, refusals


def test_a_limit_that_was_corrected_rises_again():
    """Where most of a cluster came after the cut, what is left is used, and felt out like any other limit."""
    pace = _ready(limit=24)
    _started(pace, 24, 1.0)
    for i in range(16):
        pace.refused(1.5 + i / 1000, 1.1)
    assert (pace.limit, pace.under_way) == (8, 8)
    for i in range(30):
        pace.answered(2.5 + i, 1.5 + i)
        _started(pace, math.floor(pace.limit) - pace.under_way, 2.5 + i)
    assert 9 <= pace.limit < 10


def test_after_an_outage_the_server_is_soon_used_in_full():
    """A few seconds in which all is refused leave no mark on what follows."""
    out = (4.0, 7.0)
    seconds, limits, _ = _run_against(lambda now: 0 if out[0] < now < out[1] else 64, n=600)
    assert limits[-1] == 64
    assert seconds < 600 / 64 + 15


@pytest.mark.parametrize("capacity", [5, 10, 16, 40])
def test_the_limit_settles_at_what_the_server_bears(capacity):
    """Refusals stay below 15 % of the requests, the limit near the capacity, and the time near the least possible."""
    seconds, limits, refusals = _run_against(capacity)
    assert refusals / (300 + refusals) < 0.15
    assert all(0.75 * capacity <= limit <= 1.25 * capacity for limit in limits[150:])
    assert seconds < 1.6 * 300 / capacity


def test_a_server_that_bears_all_is_used_in_full():
    """With room for all, 500 requests take little more than the least possible, and none is refused."""
    seconds, limits, refusals = _run_against(64, latency=2.0, n=500)
    assert (limits[-1], refusals) == (64, 0)
    assert seconds < 1.35 * 500 * 2 / 64
