"""One event loop in a thread of its own, for whoever calls from ordinary code.

A notebook's cell already runs inside an event loop, which cannot be entered twice, and a script has none.
So all work on models runs in one daemon thread with its own loop, and the caller waits for it: the same
call works in a script, a notebook and a server, and nothing of asyncio is patched. When the caller is
interrupted, the work is cancelled, and has ended when the interrupt is raised. An answer that is already
being waited for is paid for, so it gets a moment more to come in (`kept`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent import futures
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from personalab.errors import ProviderError, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")

TICK = 0.25  # seconds between two looks of somebody who waits and shows how far it is
KEEP = 1.0  # seconds that an answer gets to come in after its request was cancelled; a person waits two at most
FAREWELL = 5.0  # seconds that cancelled work gets to end

#: in the context of work: once it is set, what is under way may come in, and nothing more is sent
over: ContextVar[asyncio.Event | None] = ContextVar("over", default=None)

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}  # by process: a forked child has no threads


def loop() -> asyncio.AbstractEventLoop:
    """Return the loop of the background thread, started at the first call.

    Returns
    -------
    asyncio.AbstractEventLoop
        A running loop.
    """
    with _lock:
        if os.getpid() not in _loops:
            started = asyncio.new_event_loop()
            threading.Thread(target=started.run_forever, name="personalab", daemon=True).start()
            _loops[os.getpid()] = started
        return _loops[os.getpid()]


def run(coroutine: Coroutine[Any, Any, T], tick: Callable[[], object] | None = None) -> T:
    """Run a coroutine in the background thread and wait for its result.

    Parameters
    ----------
    coroutine : coroutine
        What to run.
    tick : callable, optional
        Called in the waiting thread several times a second.

    Returns
    -------
    object
        Its result.

    Raises
    ------
    RequestError
        When called from a coroutine that runs there itself, which would wait for ever.

    Examples
    --------
    >>> async def answer():
    ...     return 42
    >>> run(answer())
    42
    """
    if _is_here():
        coroutine.close()
        raise RequestError("run() was called from inside the loop it waits for", hint="await instead")
    ended = threading.Event()
    future = asyncio.run_coroutine_threadsafe(_supervised(coroutine, ended), loop())
    try:
        while tick is not None and not futures.wait([future], TICK).done:
            tick()
        return future.result()
    except BaseException:
        if future.cancel():  # the caller was interrupted: the work itself had not failed
            ended.wait(FAREWELL)
        raise


async def kept(send: Callable[[], Awaitable[T]]) -> T:
    """Send a request and wait for its answer, which is paid for: when cancelled, a moment longer.

    Parameters
    ----------
    send : callable
        Sends once and returns what to await. Whatever sends again calls this again.

    Returns
    -------
    object
        The answer; also after a cancellation, when it came in within `KEEP` seconds.

    Raises
    ------
    asyncio.CancelledError
        When cancelled, and no answer came; or when cancelled before, so that nothing is sent.
    ProviderError
        When the work this belongs to is `over`, so that nothing is sent (category ``cancelled``).

    Examples
    --------
    >>> asyncio.run(kept(lambda: asyncio.sleep(0, "answer")))
    'answer'
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # an answer of no use came in after the cancellation
        raise asyncio.CancelledError
    ended = over.get()
    if ended is not None and ended.is_set():
        raise ProviderError("this was not asked any more, since another request had failed", category="cancelled")
    sent = asyncio.ensure_future(send())
    try:
        return await asyncio.shield(sent)
    except asyncio.CancelledError:
        try:
            await asyncio.wait({sent}, timeout=KEEP)
        finally:
            sent.cancel()  # does nothing where the answer is there
        await asyncio.wait({sent})
        if sent.cancelled() or sent.exception() is not None:
            raise
        return sent.result()


async def _supervised(coroutine: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await coroutine
    finally:
        ended.set()


def _is_here() -> bool:
    try:
        return asyncio.get_running_loop() is _loops.get(os.getpid())
    except RuntimeError:
        return False
