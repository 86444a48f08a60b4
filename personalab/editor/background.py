"""Work with a model in the background, while the page stays alive.

The model is asked in the loop that all such work runs in. Whatever changes the session, progress and result, is
handed over to the thread that commands come in on, so that a session is never changed from two sides at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from personalab import llm
from personalab.llm import Connection
from personalab.llm.progress import Progress

TICK = 0.5  # seconds between two messages on how far the work is

Job = Callable[[], Coroutine[Any, Any, Any]]
What = Literal["infer", "write"]


@dataclass(eq=False)
class Work:
    """One piece of work under way.

    Attributes
    ----------
    what : {"infer", "write"}
        What is done.
    text : str
        For people.
    connection : Connection
        The model that is asked.
    total : int
        How many people are written; 0 where progress cannot be counted.
    watch : Progress
        How far it is.
    future : concurrent.futures.Future
        Holds the result once there is one.
    """

    what: What
    text: str
    connection: Connection
    total: int = 0
    future: Future[Any] | None = None

    def __post_init__(self) -> None:
        self.watch = Progress.of(self.connection, self.total)

    def start(self, job: Job, tick: Callable[[], object], end: Callable[[], object]) -> None:
        """Begin; `tick` is called twice a second in the background, `end` once it is over, whichever way."""
        self.future = llm.start_with(self.connection, lambda: _ticking(job, tick))
        self.future.add_done_callback(lambda _: end())

    def cancel(self) -> None:
        """Give up; what was answered already is kept among the replies."""
        if self.future is not None:
            self.future.cancel()

    def told(self) -> dict[str, Any]:
        """Tell how far it is."""
        tokens = self.connection.usage.total.completion_tokens
        done = self.watch.produced
        return {"what": self.what, "text": self.text, "done": done, "total": self.total, "tokens": tokens}


class Home:
    """The thread that commands come in on, when it has a loop that can be asked to do something later."""

    def __init__(self) -> None:
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def soon(self, then: Callable[[], object]) -> None:
        """Do something there; here and now, where there is no such loop."""
        if self._loop is None:
            then()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(then)

    def later(self, seconds: float, then: Callable[[], object]) -> None:
        """Do something there after a while; now, where there is no such loop."""
        if self._loop is None:
            then()
        else:
            self._loop.call_later(seconds, then)


async def _ticking(job: Job, tick: Callable[[], object]) -> Any:
    async def tell() -> None:
        while True:
            await asyncio.sleep(TICK)
            tick()

    telling = asyncio.create_task(tell())
    try:
        return await job()
    finally:
        telling.cancel()
