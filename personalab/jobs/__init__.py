"""Jobs: populations made in the background, which any notebook can look at, and take up again.

``start`` returns at once. The work goes on in a thread of this process, and in a folder beside the replies
(`personalab.jobs.folder`) it keeps where it stands and every piece that is made, as it comes. So a `Job` is a handle
on that folder: ``get`` finds it by its id from any notebook or process, to see how far it is, to read those written so
far, to wait for it, or to end it. A job whose process is gone reads ``failed``, for it was interrupted; ``get`` with
``resume=True`` goes on from what is kept, and pays only for what was under way.

A folder may come from somebody else. What is read in it is checked like a call, and it has no say in which model is
asked with the user's own key, nor in where replies are kept: the names in it are only compared with what is in use.
"""

from __future__ import annotations

import asyncio
import html
import os
import time
import uuid
import weakref
from collections.abc import Generator
from concurrent import futures
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personalab import llm
from personalab.errors import Category, ProviderError, RequestError, on_the_wire, quoted
from personalab.jobs.attempt import AGAIN, PULSE, Attempt
from personalab.jobs.folder import Folder, State, Status
from personalab.jobs.owner import here
from personalab.llm import Budget, Usage, replies
from personalab.llm.background import TICK
from personalab.llm.progress import Progress, Tally, bar
from personalab.llm.segments import oddity
from personalab.population import Population, Request, Run
from personalab.reports.report import report

if TYPE_CHECKING:
    import pandas as pd

    from personalab.llm import Connection, Model
    from personalab.sampling.draw import Method, Rounding
    from personalab.writing.write import Backend

TERMINAL: tuple[Status, ...] = ("succeeded", "failed")
GONE = "the process that worked on it has ended"

_attempts: weakref.WeakValueDictionary[str, Attempt] = weakref.WeakValueDictionary()


def start(
    prompt: str,
    count: int = 1,
    *,
    grounding: str = "off",
    seed: int | None = None,
    model: str | Model | None = None,
    method: Method | None = None,
    rounding: Rounding | None = None,
    budget: Budget | None = None,
    backend: Backend = "live",
) -> Job:
    """Start generating a population in the background, and return at once.

    It is made in a thread of this process: a script that ends takes it along, and so does a kernel that is restarted.
    What was made by then is kept; `get` with ``resume=True`` goes on from there.

    Parameters
    ----------
    prompt : str
        Who the population is.
    count : int
        How many personas.
    grounding : {"off"}
        As for `generate`, like all that follow.
    seed : int, optional
        Fixes the draw.
    model : str or Model, optional
        Which model infers and writes; it has to be given again to `get` when the job is taken up, unless it is the one
        that is asked where none is named.
    method : {"balanced", "quota", "iid"}, optional
        How people are drawn.
    rounding : {"nearest", "unbiased"}, optional
        How shares become counts.
    budget : Budget, optional
        How much the job may use, however often it is taken up.
    backend : {"live", "batch"}
        How people are asked for.

    Returns
    -------
    Job
        Its ``id`` finds it again; ``wait()`` waits for the population and returns it, ``await job`` does so in a
        notebook's cell without holding up the kernel.

    Raises
    ------
    RequestError
        If the call cannot be served as it was made; no model is asked then, and there is no job.
    ProviderError
        If no model was named, and none is there.
    """
    request = Request(prompt, count, grounding, seed, method, rounding, backend)
    connection = llm.connect(model, budget)
    id_, now = str(uuid.uuid4()), time.time()
    state = State(
        id=id_,
        request=request,
        budget=connection.budget,
        model=connection.name,
        is_object=_is_object(model),
        replies=str(connection.replies.path),
        owner=here(),
        created=now,
        heard=now,
    )
    folder = Folder(_home() / id_)
    folder.write(state)
    return _at_work(folder, state, connection)


def get(
    id: str,  # noqa: A002  # the contract's word
    *,
    resume: bool = False,
    model: str | Model | None = None,
    budget: Budget | None = None,
) -> Job:
    """Find a job by its id, from whichever notebook or process.

    Parameters
    ----------
    id : str
        As `start` gave it.
    resume : bool
        Take up a job that has failed, was cancelled, or whose process is gone. Of two who do so at once, one does.
    model : str or Model, optional
        When it is taken up: which model to ask, the one from before or another. Needed where the one from before was
        an object, or is not what is asked where none is named: a folder does not choose whom to pay.
    budget : Budget, optional
        When it is taken up: another budget than before, for all that the job uses from its first beginning.

    Returns
    -------
    Job
        The job.

    Raises
    ------
    RequestError
        If there is no such job here, its files are not what personalab writes, or it cannot be taken up: somebody works
        on it, its budget is used up, another model would be asked than before, or its replies are kept elsewhere.

    Examples
    --------
    >>> try:
    ...     get("the one from yesterday")
    ... except ValueError as error:
    ...     print(error)
    'the one from yesterday' is no job's id, which is a UUID
    """
    folder = _folder(id)
    job = Job(folder)
    if not resume or job.status == "succeeded":
        return job
    state = job._state()
    if state.status not in TERMINAL:
        raise RequestError(
            f"job {state.id} is {state.status}, so there is nothing to take up",
            hint="get it without resume=True; job.wait() waits for it, job.cancel() ends it",
        )
    budget = state.budget if budget is None else replace(budget, prices=budget.prices or state.budget.prices)
    connection = _connected(state, model, budget)
    attempt = folder.claim(state.attempt)
    now = {"owner": here(), "attempt": attempt, "heard": time.time()}
    begun = {"status": "pending", "error": None, "message": "", "hint": "", "stage": ""}
    asked = {"model": connection.name, "is_object": _is_object(model), "budget": budget}
    asked["replies"] = str(connection.replies.path)
    state = state.model_copy(update={**now, **begun, **asked})
    try:
        folder.write(state)
    except RequestError:
        folder.disclaim(attempt)
        raise
    return _at_work(folder, state, connection)


def listed() -> list[Job]:
    """Find all jobs that are kept here, the latest first."""
    found = []
    for path in _home().glob("*/state.json"):
        job = Job(Folder(path.parent))
        with suppress(RequestError):  # not ours, or half removed
            found.append((job._state().created, job.id, job))
    return [job for *_, job in sorted(found, reverse=True)]


class Job:
    """A population that is being made, or was, wherever that is.

    Made by `start` and `get`. What it tells is read anew each time, so it is true of now.

    Parameters
    ----------
    folder : Folder
        The job's files.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._held: Attempt | None = None
        self._population: Population | None = None

    @property
    def id(self) -> str:
        """The identifier, by which `get` finds the job.

        Returns
        -------
        str
            A UUID.
        """
        return self._folder.path.name

    @property
    def prompt(self) -> str:
        """Who the population is.

        Returns
        -------
        str
            The sentence it was started with.
        """
        return self._state().request.prompt

    @property
    def status(self) -> Status:
        """Where the job is in its life.

        Returns
        -------
        str
            ``"pending"``, ``"running"``, ``"succeeded"`` or ``"failed"``.
        """
        return self._state().status

    @property
    def progress(self) -> Tally:
        """How many personas are written.

        Returns
        -------
        Tally
            ``produced`` of ``total``.
        """
        state = self._state()
        return Tally(state.total if state.status == "succeeded" else state.produced, state.total)

    @property
    def error(self) -> Category | None:
        """What the job failed for.

        Returns
        -------
        str or None
            One of a fixed set of words, safe to branch on; None unless it has failed.
        """
        return self._state().error

    @property
    def message(self) -> str:
        """Where the job stands, or what went wrong, for people.

        Returns
        -------
        str
            A sentence.
        """
        return _sentence(self._state())

    @property
    def usage(self) -> Usage:
        """What the job has used from its first beginning.

        Returns
        -------
        Usage
            Tokens by stage, paid apart from replayed.
        """
        state = self._state()
        return Usage(state.paid, state.replayed, state.budget.prices)

    @property
    def partial(self) -> pd.DataFrame | None:
        """Those written so far.

        Returns
        -------
        pandas.DataFrame or None
            A row a persona who has all texts; None before people are drawn.
        """
        attempt = self._attempt
        roster = (attempt and attempt.run.roster) or self._folder.roster(self._state().total)
        return None if roster is None else roster.so_far()

    @property
    def result(self) -> Population:
        """The population.

        Returns
        -------
        Population
            With as many members as were asked for.

        Raises
        ------
        RequestError
            As long as there is none.
        ProviderError
            If the job has failed; ``category`` and ``partial`` say for what, and what there is.
        """
        state = self._state()
        if state.status == "failed":
            raise self._failure(state)
        if state.status != "succeeded":
            message = f"job {self.id} has no result yet: {_sentence(state)}"
            raise RequestError(message, hint="job.wait() waits for it; job.partial has those written so far")
        if self._population is None:
            self._population = self._attempt.future.result() if self._attempt else self._read(state)
        return self._population

    def wait(self) -> Population:
        """Wait for the population, and show how far it is.

        When the wait is interrupted, a job of this process is cancelled: what is written is kept.

        Returns
        -------
        Population
            As `result`.

        Raises
        ------
        ProviderError
            If the job has failed.
        """
        attempt = self._attempt
        progress = attempt.run.progress if attempt else Progress(lambda: self.usage, self._state().total)
        try:
            with bar(progress) as tick:
                while not self._is_over(attempt, progress):
                    tick()
        except BaseException:
            if attempt:
                attempt.cancel()
                attempt.ended()
            raise
        return self.result

    def cancel(self) -> None:
        """End the job soon; what is written is kept, and `get` with ``resume=True`` goes on from there.

        A batch that is under way goes on at the server, and a job that is taken up again waits for it.
        """
        attempt, state = self._attempt, self._state()
        if attempt:
            attempt.cancel()
        elif state.status not in TERMINAL:
            self._folder.cancel(state.attempt)

    def to_dict(self) -> dict[str, Any]:
        """Turn the job into what the hosted API answers to a poll.

        Returns
        -------
        dict
            ``id`` and ``status``; ``progress`` while it is running, ``result`` once it has succeeded, ``error`` once it
            has failed.
        """
        state = self._state()
        told: dict[str, Any] = {"id": self.id, "status": state.status}
        if state.status == "running":
            told["progress"] = {"produced": state.produced, "total": state.total}
        elif state.status == "succeeded":
            told["result"] = self.result.to_dict()
        elif state.error is not None:
            told["error"] = on_the_wire(state.error)
        return told

    def __await__(self) -> Generator[Any, None, Population]:
        return self._awaited().__await__()

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.message!r})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        state = self._state()
        rows = {"id": self.id, "status": state.status, "progress": f"{self.progress.produced:,} of {state.total:,}"}
        rows |= {"": _sentence(state)} | ({"hint": state.hint} if state.hint else {})
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
        return {"text/plain": repr(self), "text/html": f"<table>{cells}</table>"}

    @property
    def _attempt(self) -> Attempt | None:
        """The work, where it is done in this process."""
        attempt = _attempts.get(self.id) or self._held
        self._held = attempt if attempt is not None and attempt.is_latest else None
        return self._held

    def _state(self) -> State:
        """Where the job stands; one that nobody works on any more has failed."""
        if attempt := self._attempt:
            return attempt.seen()
        state = self._folder.state()
        is_lost = state.status not in TERMINAL and state.owner == here()
        if state.is_abandoned or is_lost:
            update = {"status": "failed", "error": "interrupted", "message": GONE, "hint": AGAIN}
            state = state.model_copy(update=update)
        return state

    def _is_over(self, attempt: Attempt | None, progress: Progress) -> bool:
        """Wait for a tick's time, and say whether the job has ended meanwhile."""
        if attempt:
            return bool(futures.wait([attempt.future], TICK).done)
        state = self._state()
        progress.stage, progress.produced = state.stage, state.produced
        if state.status not in TERMINAL:
            time.sleep(PULSE)
        return state.status in TERMINAL

    async def _awaited(self) -> Population:
        """Wait in a running loop without holding it up; when that is cancelled, so is a job of this process."""
        attempt = self._attempt
        try:
            ending = asyncio.wrap_future(attempt.future) if attempt else None
            # Looking now and then wakes a kernel's loop, which else would sleep through an interrupt.
            while not (ending.done() if ending else self.status in TERMINAL):
                await (asyncio.wait([ending], timeout=PULSE) if ending else asyncio.sleep(PULSE))
        except asyncio.CancelledError:
            if attempt:
                attempt.cancel()
            raise
        return self.result if attempt else await asyncio.to_thread(lambda: self.result)

    def _failure(self, state: State) -> Exception:
        """What the job failed for, as an error; the very one where it happened in this process."""
        attempt, message = self._attempt, f"job {self.id} has failed: {state.message}"
        cause = None
        if attempt and attempt.future.done() and not attempt.future.cancelled():
            cause = attempt.future.exception()
            if isinstance(cause, ProviderError):
                return cause
        category = state.error or "internal_error"
        failure = ProviderError(message, category=category, hint=state.hint or AGAIN, partial=self.partial)
        failure.__cause__ = cause
        return failure

    def _read(self, state: State) -> Population:
        """Put the population together from the job's files."""
        roster = self._folder.roster(state.total)
        if roster is None or len({position for position, _ in roster.answered}) < state.total:
            raise self._folder.broken()
        bp, frame = roster.bp, roster.whole()
        return Population(state.request.prompt, bp, frame, report(frame, bp), state.model, self.usage)


def _at_work(folder: Folder, state: State, connection: Connection) -> Job:
    run = Run(state.request, connection, folder.keep)
    attempt = _attempts[state.id] = Attempt(folder, state, run)
    job = Job(folder)
    job._held = attempt
    return job


def _connected(state: State, model: str | Model | None, budget: Budget) -> Connection:
    """Connect to the model of a job that is taken up, under what is left of the budget."""
    if model is None and state.is_object:
        raise RequestError(f"job {state.id} was started with {state.model}, an object", hint="give it as model=")
    here = str(replies.current().path)
    # Replies are not there where a shared drive is mounted elsewhere, or where they were moved.
    if state.replies != here and os.path.exists(state.replies):
        message = f"job {state.id} keeps its replies in {quoted(state.replies)}, and {here!r} is in use"
        raise RequestError(message, hint="take it up with PERSONALAB_REPLIES=path or personalab.replies.use(path)")
    connection = llm.connect(model, _left(state, budget))
    if model is None and connection.name != state.model:
        message = f"job {state.id} was started with {quoted(state.model)}, and {connection.name!r} would be asked here"
        raise RequestError(message, hint="name the one to ask, as model=; with the command line, as --model")
    return connection


def _left(state: State, budget: Budget) -> Budget:
    """What is left of a job's budget."""
    used = Usage(state.paid, prices=budget.prices)
    for name, spent in (("tokens", used.total.tokens), ("cost", used.cost)):
        limit = getattr(budget, name)
        if limit is None:
            continue
        if limit <= spent:
            message = f"job {state.id} has used {spent:,} of a budget of {name}={limit:,}"
            raise RequestError(message, hint="get it with a larger budget= as well")
        budget = replace(budget, **{name: limit - spent})
    return budget


def _is_object(model: Any) -> bool:
    return model is not None and not isinstance(model, str)


def _home() -> Path:
    """Where jobs are kept: beside the folder of replies, or in ``.personalab`` where replies are one file."""
    return replies.current().beside("jobs")


def _folder(id_: Any) -> Folder:
    """The folder of a job's id, which is checked before it becomes part of a path."""
    hint = "give the id of a job that was started here; personalab jobs lists them"
    try:
        path = _home() / str(uuid.UUID(id_))
    except (ValueError, TypeError, AttributeError):
        raise RequestError(f"{id_!r} is no job's id, which is a UUID", hint=hint) from None
    if not (path / "state.json").exists():
        raise RequestError(f"there is no job {path.name} in {str(path.parent)!r}", hint=hint)
    if (what := oddity(path)) != "a folder":
        raise RequestError(f"{str(path)!r} is {what}, where a job's folder belongs", hint=hint)
    return Folder(path)


def _sentence(state: State) -> str:
    written = f"{state.produced:,} of {state.total:,} personas written"
    return {
        "pending": "not begun yet",
        "running": f"{state.stage or 'beginning'}, {written}",
        "succeeded": f"{state.total:,} personas written",
        "failed": state.message,
    }[state.status]
