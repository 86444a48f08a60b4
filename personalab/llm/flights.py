"""Requests under way: two equal ones are one, and an answer that is on its way is not thrown away.

A request that has been sent is paid for, whoever still wants its answer. So it flies in a task of its own,
under its key: whoever asks the same thing meanwhile waits for the same flight. When everybody who waited
has been cancelled (a person was given up, the kernel was interrupted), the flight is called back: what has
not been sent is not sent any more, and what has been sent gets a moment (`background.kept`) in which its
answer can still come in and be kept.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

_lock = threading.Lock()
_under_way: dict[Hashable, _Flight] = {}


class Landed(NamedTuple):
    """What a flight brought back, and whether it was this caller's own."""

    result: Any
    is_own: bool


async def fly(key: Hashable, owner: object, work: Callable[[], Coroutine[Any, Any, Any]]) -> Landed:
    """Do what is not under way yet, or wait for what is.

    Parameters
    ----------
    key : hashable
        What makes two pieces of work one.
    owner : object
        On whose account it is done. Its failure is shared with callers of the same owner; others try themselves.
    work : callable
        Makes the coroutine that does it.

    Returns
    -------
    Landed
        The coroutine's result; ``is_own`` for the caller that started it.

    Raises
    ------
    Exception
        What the coroutine raised.

    Examples
    --------
    >>> async def answer():
    ...     await asyncio.sleep(0)
    ...     return 42
    >>> async def twice():
    ...     return await asyncio.gather(*(fly("question", None, answer) for _ in range(2)))
    >>> asyncio.run(twice())
    [Landed(result=42, is_own=True), Landed(result=42, is_own=False)]
    """
    key = os.getpid(), key  # a forked child has none of the flights
    while True:
        with _lock:
            is_own = key not in _under_way
            flight = _under_way[key] if not is_own else _Flight(key, owner, work)
            flight.waiting += 1
        await flight.land()
        if flight.task.cancelled():  # by its starter, at the moment it was joined; nobody here was
            continue
        failed = flight.task.exception() is not None
        if not failed or is_own or flight.owner is owner:
            return Landed(flight.task.result(), is_own)


class _Flight:
    """One piece of work and how many wait for it, perhaps in several event loops."""

    def __init__(self, key: Hashable, owner: object, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.owner = owner
        self.waiting = 0
        self._key = key
        self._landed: Future[None] = Future()
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(work())
        self.task.add_done_callback(self._land)
        _under_way[key] = self

    async def land(self) -> None:
        """Wait for the end; the last one to be cancelled calls the flight back and sees it home."""
        try:
            await self._end()
        except asyncio.CancelledError:
            with _lock:
                self.waiting -= 1
                is_last = self.waiting == 0 and not self.task.done()
                if is_last and _under_way.get(self._key) is self:
                    del _under_way[self._key]  # nobody joins what has been called back
            if is_last:
                self._loop.call_soon_threadsafe(self.task.cancel)
                await self._end()
            raise

    async def _end(self) -> None:
        await asyncio.shield(asyncio.wrap_future(self._landed))

    def _land(self, task: asyncio.Task[Any]) -> None:
        with _lock:
            if _under_way.get(self._key) is self:
                del _under_way[self._key]
        if not task.cancelled():
            task.exception()  # asyncio complains of failures that nobody looks at, and everybody may be gone
        self._landed.set_result(None)
