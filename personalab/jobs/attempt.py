"""An attempt: a job at work in this process, in the loop that all work with models runs in.

Beside the work goes a pulse, which writes where the job stands and looks whether somebody wants it to end. It stops
before the last word on the job is written, so that nothing older takes its place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent import futures
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personalab import llm
from personalab.errors import PersonalabError, ProviderError, RequestError
from personalab.jobs.folder import LONGEST_TEXT, Counts, Folder, State
from personalab.llm import Count, Usage
from personalab.llm.background import FAREWELL, loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personalab.population import Population, Run

_log = logging.getLogger(__name__)

PULSE = 0.5  # seconds between two looks into the folder
HEARTBEAT = 5.0  # seconds after which an owner is heard of also when nothing has changed
AGAIN = "get the job with resume=True to go on from there"


class Attempt:
    """A job at work.

    Parameters
    ----------
    folder : Folder
        The job's files.
    state : State
        Where it stands as it begins.
    run : Run
        The work.

    Attributes
    ----------
    future : concurrent.futures.Future
        Holds the population once there is one; never cancelled from outside.
    """

    def __init__(self, folder: Folder, state: State, run: Run) -> None:
        self.folder, self.state, self.run = folder, state, run
        self._pid = os.getpid()
        self._before = state.paid, state.replayed
        self._task: asyncio.Task[Any] | None = None
        self._is_unwanted = False
        self._is_unwritable = False
        self.future: Future[Population] = llm.start_with(run.connection, self._made)

    @property
    def is_latest(self) -> bool:
        """Whether it is still what becomes of the job.

        Not in a forked child, which has the object but not the thread, nor once the job was taken up again.
        """
        is_over = self.state.status == "failed"
        return self._pid == os.getpid() and not (is_over and self.folder.is_claimed(self.state.attempt + 1))

    def cancel(self) -> None:
        """Have it end soon."""
        loop().call_soon_threadsafe(self._end)

    def ended(self) -> None:
        """Wait a moment for it to end, after it was cancelled."""
        futures.wait([self.future], FAREWELL)

    def seen(self) -> State:
        """Where the job stands right now."""
        if self.state.status != "running":
            return self.state
        progress, used = self.run.progress, self.run.connection.usage
        paid, replayed = _sum(self._before[0], used.paid), _sum(self._before[1], used.replayed)
        return self.state.model_copy(
            update={"stage": progress.stage, "produced": progress.produced, "paid": paid, "replayed": replayed}
        )

    def _end(self) -> None:
        self._is_unwanted = True
        if self._task is not None:
            self._task.cancel()

    async def _made(self) -> Population:
        self._task = asyncio.current_task()
        self._write(status="running")
        pulse = asyncio.create_task(self._pulse())
        try:
            if self._is_unwanted:
                raise asyncio.CancelledError
            await asyncio.to_thread(self._take_up)
            population = await self.run.finish()
        except BaseException as error:
            await _stopped(pulse)
            self._write(**_told(error, self.seen()))
            raise
        await _stopped(pulse)
        self._write(status="succeeded", produced=self.state.total)
        state = self.state
        return replace(population, usage=Usage(state.paid, state.replayed, self.run.connection.budget.prices))

    def _take_up(self) -> None:
        """Go on from what an earlier attempt has left."""
        if self.state.attempt > 1:
            self.run.blueprint, self.run.roster = self.folder.blueprint(), self.folder.roster(self.state.total)

    async def _pulse(self) -> None:
        """Write now and then where it stands, and end it when somebody wants that, or has taken the job over."""
        while True:
            await asyncio.sleep(PULSE)
            attempt = self.state.attempt
            if self.folder.is_cancelled(attempt) or self.folder.is_claimed(attempt + 1):
                self._end()
                return
            if self.seen() != self.state or time.time() - self.state.heard > HEARTBEAT:
                self._write()

    def _write(self, **changes: Any) -> None:
        """Note where it stands, in the folder too unless it is another's by now; a full disk does not end the work."""
        self.state = self.seen().model_copy(update={**changes, "heard": time.time()})
        if self.folder.is_claimed(self.state.attempt + 1):
            return
        try:
            self.folder.write(self.state)
        except RequestError as error:
            if not self._is_unwritable:
                _log.warning("%s", error)
            self._is_unwritable = True


async def _stopped(pulse: asyncio.Task[None]) -> None:
    pulse.cancel()
    await asyncio.wait([pulse])


def _told(error: BaseException, state: State) -> dict[str, Any]:
    """What the state says of a failure; of one nobody thought of only its kind, since its text may hold anything."""
    hint, category, message = AGAIN, "internal_error", f"{type(error).__name__} was raised"
    if isinstance(error, asyncio.CancelledError):
        category, message = "cancelled", f"cancelled, with {state.produced:,} of {state.total:,} personas written"
    elif isinstance(error, PersonalabError):
        category = error.category if isinstance(error, ProviderError) else "config_error"
        message = str(error)
        hint = "; ".join(note.removeprefix("→ ") for note in getattr(error, "__notes__", ())) or AGAIN
    told = {"status": "failed", "error": category, "message": message, "hint": hint}
    return {name: text[:LONGEST_TEXT] for name, text in told.items()}


def _sum(before: Counts, now: Mapping[str, Count]) -> Counts:
    return {stage: before.get(stage, Count()) + now.get(stage, Count()) for stage in {**before, **now}}
