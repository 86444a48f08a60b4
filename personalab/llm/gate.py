"""Where requests wait until the server has room for them, and are all broken off when it has gone silent.

How many may be under way at once is the rule of `personalab.llm.pace`. A `Gate` keeps to it: it lets requests in, the
oldest first, and tells the rule what became of each. It also watches the whole, because no single request can say
that nothing goes on any more: when nothing has been answered for a while, all that wait are told so at once. What was
learnt is kept for as long as the process lives, and shared by all who ask the same server.
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
from typing import TYPE_CHECKING, NamedTuple

from personalab.llm.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from personalab.llm.faults import Fault
    from personalab.llm.pace import Sign

REMEMBERED = 200  # failures since the last answer, of which the commonest is told when all is given up


class Patience(NamedTuple):
    """Since when and how long something may go without an answer to anybody."""

    loop: asyncio.AbstractEventLoop
    since: float
    stall: float


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
        self._watched: dict[asyncio.Timeout, Patience] = {}
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
            self._watched[scope] = Patience(loop, time.monotonic(), stall)
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
            scope: max(self._progress, patience.since) + patience.stall
            for scope, patience in self._watched.items()
            if patience.loop is loop
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
