"""How many requests may be under way at once, and when to give up on all of them.

Nobody can look up what a server bears: it depends on the account, on the other users and on the hour. So it is
learnt from what becomes of the requests. The first one goes alone, because a wrong key or an empty account should
cost one request and not sixty. When it is answered the limit rises with every answer, as long as answers come about
as fast as the fastest one did, until refusals come in a cluster: then the limit falls to what the server had let
in, and from there it is felt out slowly. A refusal that comes alone delays its own request and nothing else. What
was learnt is kept for as long as the process lives, and shared by all who ask the same server.

`Pace` is that rule, a plain value of counts and times that knows no clock. `Gate` makes requests wait for it, the
oldest first, and watches the whole: when nothing has been answered for a while, all that wait are told so at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import threading
import time
import weakref
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from personalab.llm.faults import backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from personalab.llm.faults import Fault

Sign = Literal["busy", "broken", "silent"]

START = 24  # at once after the first answer, by the steps below; one that bears 8 refuses a tenth of 300 requests
STEP = 2  # more at once for every answer until the first congestion
NEAR = 0.75  # of the ceiling; below, the limit rises as it did at first
FEW = 24  # answers before a small limit rises; a refusal for each rise is then one in 25
CALMEST = 10  # doublings, after which it rises by steps
SLOW = 2.0  # times the fastest answer; one that took longer has waited in a queue
CLUSTER, PART, WINDOW = 4, 1 / 8, 0.5  # refusals, and part of the limit, within so many seconds: no coincidence
SHARE, RECENT = 0.2, 50  # of those that began when they did, or of so many last ones, that have to be refusals
BURST, SPELL = 8, 0.03  # more requests at once, and seconds until so many more: a refusal has come by then
RANGE = 512  # starts that are remembered
REMEMBERED = 200  # failures since the last answer, of which the commonest is told when all is given up


class Cut(NamedTuple):
    """When the limit was cut down, from what, and what it must not fall below for the same reason.

    Only one that follows an answer tells how many requests the server bears; without any it bears none.
    """

    when: float
    before: float
    floor: float
    is_telling: bool


class Watch(NamedTuple):
    """Since when and how long something may go without an answer to anybody."""

    loop: asyncio.AbstractEventLoop
    since: float
    stall: float


class Pace:
    """The limit of requests under way, as it follows from what became of those before.

    Parameters
    ----------
    most : int
        The limit's own limit.
    is_known : bool
        Whether the server is known to bear that many.

    Attributes
    ----------
    limit : float
        How many may be under way.
    under_way : int
        How many are.
    ceiling : float
        Where refusals came in a cluster; infinite before the first time.
    has_answered : bool
        Whether there ever was an answer.
    opens : float
        The time before which no request may start.
    """

    def __init__(self, most: int, *, is_known: bool = False) -> None:
        self.most = most
        self.limit = float(most) if is_known else 1.0
        self.has_answered = is_known
        self.under_way = 0
        self.ceiling = math.inf
        self.opens = -math.inf
        self._reach = self.limit  # follows the limit in small steps
        self._stepped = -math.inf
        self._fastest = math.inf
        self._starts: deque[float] = deque(maxlen=RANGE)
        self._refusals: deque[tuple[float, float]] = deque(maxlen=RANGE)  # when, and when the request had begun
        self._fates: deque[bool] = deque(maxlen=RECENT)  # whether it was a refusal
        self._calm = 0  # rises in a row that no refusal has followed
        self._cut = Cut(-math.inf, self.limit, self.limit, False)
        self._in_vain = 0  # troubles in a row without an answer between them

    def next_start(self, now: float) -> float:
        """Say when a request may start.

        Parameters
        ----------
        now : float
            Seconds, as all times here on one clock that never goes back.

        Returns
        -------
        float
            At the latest now when there is room; infinite when one that is under way has to end before.
        """
        limit = min(self.limit, self.most)
        if self.under_way >= limit:
            return math.inf
        self._reach = min(limit, self._reach)
        if now >= self._stepped + SPELL and self._reach < limit:
            self._reach, self._stepped = min(limit, self._reach + BURST), now
        return max(self.opens, now if self.under_way < self._reach else self._stepped + SPELL)

    def start(self, now: float) -> None:
        """Count a request that starts.

        Parameters
        ----------
        now : float
            When it starts, which is what it has to be known by later.
        """
        self.under_way += 1
        self._starts.append(now)

    def end(self) -> None:
        """Count a request that has ended in a way that tells nothing of the server's state."""
        self.under_way -= 1

    def answered(self, now: float, began: float) -> None:
        """Take note of an answer.

        Parameters
        ----------
        now, began : float
            When it came, and when its request started.
        """
        was_full = self.under_way >= math.floor(min(self._reach, self.limit))
        self.under_way -= 1
        self._fates.append(False)
        self._in_vain = 0
        seconds = now - began
        self._fastest = min(self._fastest, seconds)
        if not self.has_answered:
            self.has_answered, self.limit = True, float(min(START, self.most))
        elif was_full and self.limit >= NEAR * self.ceiling:
            self._feel()
        elif was_full and seconds <= SLOW * self._fastest:
            self.limit += STEP
        self.limit = min(self.limit, float(self.most))

    def _feel(self) -> None:
        """Rise by one in twice as many answers as are let in at once, next time in half as many, as long as it is calm.

        So a limit that is right is seldom passed, and one that has become too low is soon left behind.
        """
        raised = self.limit + min(STEP, 2**self._calm / max(2 * self.limit, FEW))
        self._calm = min(CALMEST, self._calm + (math.floor(raised) > math.floor(self.limit)))
        self.limit = raised

    def refused(self, now: float, began: float, sign: Sign = "busy", wait: float = 0.0) -> None:
        """Take note of a refusal, or of another sign that the server has more than it bears.

        Parameters
        ----------
        now, began : float
            When it came, and when its request started.
        sign : {"busy", "broken", "silent"}
            The server said that it is asked too often; failed; did not answer in time.
        wait : float
            Seconds after which the server wants to be asked again.
        """
        self.under_way -= 1
        if not self.has_answered:  # nothing else is known to get through
            self._pause(now, wait)
        elif began < self._cut.when:
            self._correct()
        else:
            self._calm = 0
            self._fates.append(True)
            self._refusals.append((now, began))
            if self._is_congested(now):
                self._cut_down(now, sign, wait)
            elif sign == "busy" and self.limit >= self.ceiling:
                self.limit = max(1.0, self.limit - 1)

    def _is_congested(self, now: float) -> bool:
        """Whether refusals come in a cluster, not counting how long answers take, which refusals do not."""
        begun = [began for when, began in self._refusals if when > now - WINDOW]
        cluster = min(max(CLUSTER, PART * self.limit), math.floor(self.limit))
        among = sum(min(begun) <= start <= max(begun) for start in self._starts)
        if len(begun) >= cluster and len(begun) >= SHARE * among:
            return True
        return len(self._fates) == RECENT and sum(self._fates) > SHARE * RECENT

    def _cut_down(self, now: float, sign: Sign, wait: float) -> None:
        """Fall to what the server has let in, as far as one knows, or to what the last rise began from."""
        let_in = 0 if sign == "silent" else self.under_way
        before, parts = self.limit, 1 + STEP if math.isinf(self.ceiling) else 2
        floor = max(1.0, math.floor(before / parts))
        self.limit = self._reach = max(floor, min(before, let_in))
        self._cut = Cut(now, before, floor, is_telling=not self._in_vain)
        if self._cut.is_telling:
            self.ceiling = self.limit
        self._refusals.clear()
        self._fates.clear()
        self._pause(now, wait)

    def _correct(self) -> None:
        """Learn from the rest of a cluster that has led to a cut: one more that had not been let in."""
        is_outage = self.limit <= self._cut.floor  # hardly any were let in
        self.limit = max(self._cut.floor, self.limit - 1)
        if self._cut.is_telling:
            self.ceiling = self._cut.before if is_outage else min(self.ceiling, self.limit)

    def _pause(self, now: float, wait: float) -> None:
        """Let nothing start for a while; longer each time that no answer came since the last time."""
        own = backoff(self._in_vain) if self._in_vain else 0.0
        self._in_vain += 1
        self.opens = max(self.opens, now + max(wait, own))


class Slot:
    """One request's place among those under way; when nobody says what became of it, that tells nothing.

    Parameters
    ----------
    gate : Gate
        Whose slot it is.
    began : float
        When the request was let in.
    """

    def __init__(self, gate: Gate, began: float) -> None:
        self._gate = gate
        self._began = began
        self._is_open = True

    def answered(self) -> None:
        """Say that the request was answered."""
        self._close(lambda pace, now: pace.answered(now, self._began))
        self._gate.progressed()

    def failed(self, fault: Fault) -> None:
        """Say how the request failed.

        Parameters
        ----------
        fault : Fault
            Why.
        """
        self._gate.faults.append(fault)
        sign = _sign(fault)
        if sign:
            self._close(lambda pace, now: pace.refused(now, self._began, sign, fault.retry_after or 0.0))

    def close(self) -> None:
        """Give the place back."""
        self._close(lambda pace, _now: pace.end())

    def _close(self, note: Callable[[Pace, float], None]) -> None:
        if self._is_open:
            self._is_open = False
            self._gate.note(note)


class Gate:
    """Makes requests wait until there is room for them, the oldest first, and ends a standstill.

    Parameters
    ----------
    most : int
        The most requests that may be under way at once.
    is_known : bool
        Whether that many will do, so that nothing has to be learnt.

    Attributes
    ----------
    answers : int
        How many there have been.
    faults : deque of Fault
        What has failed since the last answer.
    """

    def __init__(self, most: int, *, is_known: bool = False) -> None:
        self.answers = 0
        self.faults: deque[Fault] = deque(maxlen=REMEMBERED)
        self._pace = Pace(most, is_known=is_known)
        self._lock = threading.RLock()  # requests may come from the loops of several threads
        self._tickets = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.AbstractEventLoop, asyncio.Future[float]]] = []
        self._alarm = -math.inf  # when somebody is going to look again
        self._watched: dict[asyncio.Timeout, Watch] = {}
        self._watches: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._progress = -math.inf

    def __repr__(self) -> str:
        return f"Gate(limit={self.limit:.1f}, under_way={self._pace.under_way}, waiting={len(self._waiting)})"

    @property
    def limit(self) -> float:
        """How many requests may be under way, as far as is known by now.

        Returns
        -------
        float
            At least 1, at most what is allowed.
        """
        return min(self._pace.limit, self._pace.most)

    @property
    def has_answered(self) -> bool:
        """Whether the server has ever answered.

        Returns
        -------
        bool
            True from the first answer on.
        """
        return self._pace.has_answered

    def allow(self, most: int) -> None:
        """Set the most requests that may be under way at once.

        Parameters
        ----------
        most : int
            At least 1.
        """
        self._pace.most = most

    def ticket(self) -> int:
        """Draw a request's place in the queue, which it keeps when it is sent again.

        Returns
        -------
        int
            Greater than all before.
        """
        return next(self._tickets)

    @contextlib.asynccontextmanager
    async def slot(self, ticket: int | None = None) -> AsyncIterator[Slot]:
        """Wait for room, and hold it.

        Parameters
        ----------
        ticket : int, optional
            The request's place in the queue; the last one by default.

        Yields
        ------
        Slot
            To be told what became of the request.
        """
        slot = Slot(self, await self._enter(self.ticket() if ticket is None else ticket))
        try:
            yield slot
        finally:
            slot.close()

    @contextlib.asynccontextmanager
    async def watched(self, stall: float) -> AsyncIterator[None]:
        """Break off what runs inside when the server has answered nobody for too long.

        Parameters
        ----------
        stall : float
            Seconds.

        Raises
        ------
        TimeoutError
            When that has happened; `commonest` says of what.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as scope:
            if not self._watched:  # what went wrong in an earlier run
                self.faults.clear()
            self._watched[scope] = Watch(loop, time.monotonic(), stall)
            if loop not in self._watches:
                self._watches.add(loop)
                loop.call_later(stall, self._look, loop)
            try:
                yield
            finally:
                self._watched.pop(scope, None)

    def commonest(self) -> Fault | None:
        """Say what most requests have failed of since the last answer.

        Returns
        -------
        Fault or None
            The latest of the commonest category; None when more of them simply were not answered.
        """
        ((category, n),) = Counter(fault.category for fault in self.faults).most_common(1) or (("", 0),)
        latest = (fault for fault in reversed(self.faults) if fault.category == category)
        return next(latest, None) if n > self._pace.under_way else None

    def progressed(self) -> None:
        """Take note of an answer."""
        self.answers += 1
        self._progress = time.monotonic()
        self.faults.clear()

    def note(self, what: Callable[[Pace, float], None]) -> None:
        """Tell the pace what became of a request, and let others start where that makes room.

        Parameters
        ----------
        what : callable
            Called with the pace and the time.
        """
        with self._lock:
            what(self._pace, time.monotonic())
            self._admit()

    async def _enter(self, ticket: int) -> float:
        """Wait in the queue, and return when the request was let in."""
        loop = asyncio.get_running_loop()
        admitted: asyncio.Future[float] = loop.create_future()
        with self._lock:
            heapq.heappush(self._waiting, (ticket, next(self._tickets), loop, admitted))
            self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():  # cancelled between being let in and going on
                self.note(lambda pace, _now: pace.end())
            raise

    def _admit(self) -> None:
        """Let requests start as long as there is room; where only time makes room, look again then."""
        now = time.monotonic()
        while self._waiting and self._pace.next_start(now) <= now:
            _, _, loop, admitted = heapq.heappop(self._waiting)
            self._pace.start(now)
            self._let_in(loop, admitted, now)
        due = self._pace.next_start(now)
        if self._waiting and now < due < math.inf and due != self._alarm:
            self._alarm, loop = due, self._waiting[0][2]
            _in(loop, lambda: loop.call_later(due - now, self._look_again))

    def _look_again(self) -> None:
        with self._lock:
            self._alarm = -math.inf
            self._admit()

    def _let_in(self, loop: asyncio.AbstractEventLoop, admitted: asyncio.Future[float], now: float) -> None:
        """Wake a request in its own loop, unless it has been cancelled meanwhile."""

        def wake() -> None:
            if admitted.cancelled():
                self.note(lambda pace, _now: pace.end())
            else:
                admitted.set_result(now)

        if admitted.cancelled():
            self._pace.end()
        else:
            _in(loop, wake)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Break off what has been watched for too long without an answer; look again while anything is watched."""
        now = time.monotonic()
        mine = {
            scope: max(self._progress, watch.since) + watch.stall
            for scope, watch in self._watched.items()
            if watch.loop is loop
        }
        for scope, due in mine.items():
            if due <= now:
                del self._watched[scope]
                scope.reschedule(loop.time())
        later = [due for due in mine.values() if due > now]
        if later:
            loop.call_later(min(later) - now, self._look, loop)
        else:
            self._watches.discard(loop)


def _sign(fault: Fault) -> Sign | None:
    """What a failure says of the server's state; None when it is about the one request."""
    if fault.category == "rate_limited":
        return "busy"
    if fault.category == "provider_timeout":
        return "silent"
    is_passing = fault.sends is None or fault.sends > 1
    return "broken" if is_passing and fault.category in ("provider_error", "provider_unreachable") else None


def _in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Make a call in a loop, at once where it is the running one."""
    try:
        is_here = asyncio.get_running_loop() is loop
    except RuntimeError:
        is_here = False
    if is_here:
        call()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(call)
