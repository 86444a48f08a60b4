"""Writing: what only words can say, one person a call.

Values are never the model's to choose. It receives a row of the frame and writes that person's text fields, a tagline
and a short portrait. Three things keep people apart and true:

- *hidden axes*: temperament, motive, voice, a life event and an initial for the name, each dealt in turns of
  random order, so that neighbours in the frame are told apart in more than their fields;
- *a fact check*: categories and numbers are read back out of the text; one that contradicts its row is drawn again;
- *rewriting*: who has the name of somebody before them, or nearly the same text, is written again, nobody else.

The unchanging part of every request comes first and the row last, so that servers re-use what they have read. What a
request says depends on the row and the blueprint alone, never on which answer came first, so a run replays.

Who has texts already keeps them and costs nothing: after an edit only those whom it changed are written. However many
people there are, only a few times as many are under way as there may be requests. An answer of no use is drawn again; a
person of whom nothing is usable in the end stops the run, but not before the answers under way have come in.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
from pydantic import BaseModel, Field, create_model

from personalab import llm
from personalab.blueprint.model import Blueprint
from personalab.errors import Category, ProviderError, RequestError
from personalab.llm.background import over
from personalab.llm.fencing import NOTICE, fenced, tidy
from personalab.llm.progress import Progress, bar
from personalab.writing.consistency import contradictions
from personalab.writing.profiles import words
from personalab.writing.roster import Line, Roster, Task, text_keys

if TYPE_CHECKING:
    from personalab.llm import Budget, Connection, Model

Backend = Literal["live", "batch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
STAGE = "personas"  # what tokens are counted under
DRAWN = 64  # numbers that a person's draws have for themselves
DRAWS = 4  # of one person in each round; and as many more of one of whom nothing is usable by then
MORE = 16  # what those are numbered from, beyond the draws of every round
ROUNDS = 2  # of rewriting doubles
ROOM = 4000  # tokens; a persona takes 100 to 300, and a model that reasons first some 2,000
SMALL_ROOM = 700  # tokens of a small model, which does not reason and may ramble
LONGEST = {"name": 48, "tagline": 90, "portrait": 280}  # characters that a small model gets
LONGEST_TEXT = 360  # characters of the other texts
CUT_OFF = 0.9  # of the room for a text; one this long that does not end has been cut off
SHORT = 60  # characters; a text up to here needs no full stop
WRITERS = 4  # people under way for each request that may be, so that some can wait while others are sent
GRACE = 60.0  # seconds that answers under way get to come in once a person could not be written
LITTLE_GRACE = 3.0  # the same where the server had gone silent, and few will come
SILENT: tuple[Category, ...] = ("rate_limited", "provider_timeout", "provider_unreachable")


def write(
    frame: pd.DataFrame,
    bp: Blueprint,
    *,
    model: str | Model | None = None,
    budget: Budget | None = None,
    backend: Backend = "live",
) -> pd.DataFrame:
    """Write the texts of sampled people who have none yet.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as from `personalab.sample` or `personalab.update`, any part of them. Who has all texts keeps them.
    bp : Blueprint
        What they were sampled from.
    model : str or Model, optional
        Which model writes, see `personalab.generate`.
    budget : Budget, optional
        How much may be used, such as ``Budget(tokens=100_000)``.
    backend : {"live", "batch"}
        Whether people are asked for one by one and at once, or first in a batch, which servers with OpenAI's batch
        API answer within a day for half the price. A batch outlives the call: interrupt it and make it again, now or
        tomorrow, to go on waiting; nothing is paid for twice.

    Returns
    -------
    pandas.DataFrame
        The same rows and columns, and ``string`` columns for each text field, ``tagline``, ``portrait``,
        ``system_prompt`` and ``markdown``. ``attrs["contradictions"]`` lists the ids of people whose text still
        speaks against a field after all redraws, ``attrs["doubles"]`` of those who still have the name, or nearly
        the text, of somebody before them.

    Raises
    ------
    RequestError
        If the frame lacks a sampled field, or there is no such backend.
    ProviderError
        If the model cannot be had, has no batch API where one is asked for, gives one person nothing usable in several
        draws, or the budget is used up; ``partial`` is the frame of those who have their texts.
    """
    check_backend(backend)
    roster = Roster(frame, bp)
    if not roster.bare:
        return roster.whole()
    connection = llm.connect(model, budget)
    progress = Progress.of(connection)
    with bar(progress) as tick:
        return llm.run_with(connection, write_with(roster, connection, progress, backend), tick)


def check_backend(backend: str) -> None:
    """Refuse a backend that there is not, before any model is asked."""
    if backend not in BACKENDS:
        raise RequestError(f"there is no backend {backend!r}", hint=f"use one of {', '.join(BACKENDS)}")


async def write_with(
    roster: Roster, connection: Connection, progress: Progress, backend: Backend = "live"
) -> pd.DataFrame:
    """Write over a connection who has no texts in a roster; as `write`, telling `progress` how far it is."""
    author = Author(roster.bp, connection)
    try:
        if backend == "batch":
            progress.begin("waiting for a batch", len(roster.bare))
            unanswered = [i for i in roster.bare if (i, 0) not in roster.answered]
            requests = (author.request(roster.task(i)) for i in unanswered)
            await connection.prefill(requests, author.form, stage=STAGE)
        progress.begin("writing", len(roster.bare))
        await _all(author, roster, roster.bare, roster.task, done=progress.advance)
        for number in range(1, ROUNDS + 1):
            progress.begin("checking the texts")
            again = await asyncio.to_thread(roster.doubles)
            if not again:
                break
            progress.begin(f"writing {len(again):,} doubles again")
            await _all(author, roster, again, again.__getitem__, number)
    except ProviderError as error:
        error.partial = await asyncio.to_thread(roster.so_far)
        raise
    progress.begin("checking the texts")
    return await asyncio.to_thread(roster.whole)


@dataclass(frozen=True)
class Author:
    """A model and what every request to it begins with."""

    bp: Blueprint
    connection: Connection

    @cached_property
    def form(self) -> type[BaseModel]:
        """What a person's texts are filled into."""
        return persona_form(self.bp, is_bounded=self.connection.is_small)

    @cached_property
    def preamble(self) -> list[dict[str, str]]:
        """What every request begins with."""
        return _preamble(self.bp)

    def messages(self, task: Task) -> list[dict[str, str]]:
        """What is asked of a person."""
        return [*self.preamble, {"role": "user", "content": task.question}]

    def request(self, task: Task, draw: int = 0) -> dict[str, Any]:
        """What a draw asks first, as the replies know it."""
        return self.connection.request(self.messages(task), self.form, **self.options(task, draw))

    def options(self, task: Task, draw: int) -> dict[str, Any]:
        """With which parameters."""
        room = SMALL_ROOM if self.connection.is_small else ROOM
        return {"sample": task.number * DRAWN + draw, "max_tokens": room, "temperature": 0.8}

    def texts(self, filled: BaseModel) -> dict[str, str] | None:
        """Take the texts out of a form; None when one of them says nothing."""
        small, told = self.connection.is_small, filled.model_dump(by_alias=True)
        texts = {name: _ended(tidy(text), _longest(name)) if small else tidy(text) for name, text in told.items()}
        return texts if all(any(char.isalnum() for char in text) for text in texts.values()) else None

    async def person(self, task: Task, round_: int = 0) -> dict[str, str]:
        """Write one person, drawing again where an answer is unusable or contradicts the facts."""
        best: dict[str, str] | None = None
        failure, answer = None, None
        first = round_ * DRAWS
        draws = [*range(first, first + DRAWS), *range(MORE + first, MORE + first + DRAWS)]
        for tried, draw in enumerate(draws):
            if best is not None and tried >= DRAWS:
                break
            try:
                filled = await self.connection.ask(
                    self.messages(task), self.form, stage=STAGE, **self.options(task, draw)
                )
            except ProviderError as error:
                if error.category in llm.UNUSABLE:
                    failure, answer = error, error.answer
                    continue
                if error.category == "cancelled" and best is not None:
                    break  # there is no time to look for better texts
                raise
            texts = self.texts(filled)
            if texts is None:
                answer = filled.model_dump_json(by_alias=True)
                continue
            best = texts
            if not contradictions(texts, task.facts, self.bp):
                break
        if best is None:
            raise _gave_up(self.connection, task, failure, answer) from failure
        return best


async def _all(
    author: Author,
    roster: Roster,
    positions: Collection[int],
    task: Callable[[int], Task],
    round_: int = 0,
    done: Callable[[], object] = lambda: None,
) -> None:
    """Write several people. The first failure stops the others, and is raised once what is under way has come in."""
    ending, failures, waiting = asyncio.Event(), list[Exception](), iter(positions)
    over.set(ending)

    async def write() -> None:
        for position in waiting:  # shared by all writers, so that each takes the next
            try:
                roster.put(Line(position, round_, await _one(author, roster, position, task, round_)))
            except Exception as error:
                if round_ and isinstance(error, ProviderError) and error.category in llm.UNUSABLE:
                    continue  # a double who cannot be written again stays the double they are
                failures.append(error)
                ending.set()
                raise
            done()
            if ending.is_set():
                return

    if not positions:
        return
    most = min(WRITERS * author.connection.at_once, len(positions))
    writers = [asyncio.create_task(write()) for _ in range(most)]
    try:
        _, left = await asyncio.wait(writers, return_when=asyncio.FIRST_EXCEPTION)
        if left:
            await asyncio.wait(left, timeout=_grace(failures[0]))
    finally:
        ending.set()
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
    if failures:
        raise failures[0]


async def _one(
    author: Author, roster: Roster, position: int, task: Callable[[int], Task], round_: int
) -> tuple[str, ...]:
    answered = roster.answered.get((position, round_))
    if answered is not None:
        return answered
    texts = await author.person(task(position), round_)
    return tuple(texts[key] for key in roster.keys)


def _grace(failure: Exception) -> float:
    """How many seconds what is under way gets to come in."""
    if not isinstance(failure, ProviderError):
        return 0
    return LITTLE_GRACE if failure.category in SILENT else GRACE


def persona_form(bp: Blueprint, *, is_bounded: bool = False) -> type[BaseModel]:
    """The closed form that a person's texts are filled into: a key a text field, a tagline and a portrait.

    A small model needs bounds to come to an end; a strong one is told the length in words.
    """
    made: Any = {
        f"key_{i}": (str, Field(alias=key, min_length=2, max_length=_longest(key) if is_bounded else None))
        for i, key in enumerate(text_keys(bp))
    }
    form: type[BaseModel] = create_model("Persona", **made)
    return form


def _longest(key: str) -> int:
    return LONGEST.get(key, LONGEST_TEXT)


def _preamble(bp: Blueprint) -> list[dict[str, str]]:
    """What every request of a population begins with, always the same."""
    known = [f"{words(bp.domain)}. {bp.rationale}"]
    known += [f"- {field.name}: {field.description}" for field in bp.sampled]
    texts = [f"- {field.name}: {field.description}" for field in bp.texts]
    return [
        {
            "role": "system",
            "content": (
                "You write the members of a population for research. You are given one member's facts and write "
                "texts about this one person, as JSON.\n"
                "- The facts are fixed. Never change or contradict a number, a place or a category among them.\n"
                "- Let the facts show in what the person does and says instead of listing them. Be specific to their "
                "world; no stereotypes, no praise, no moral.\n"
                "- Plain language, at most 60 words a text. Each text stands alone and says something the others do "
                f"not.\n- {NOTICE}\n\n"
                f"The population, and what the facts mean:\n{fenced(*known)}\n\n"
                f"The texts to write:\n{fenced(*texts)}\n"
                "- tagline: who they are in at most ten words, without the name and without a full stop\n"
                "- portrait: two sentences in the third person on how they come across and what matters to them"
            ),
        }
    ]


def _gave_up(connection: Connection, task: Task, failure: ProviderError | None, answer: str | None) -> ProviderError:
    return ProviderError(
        f"{connection.name} wrote nothing usable for person {task.number + 1} in {2 * DRAWS} draws",
        category=failure.category if failure else "invalid_output",
        answer=answer,
        hint="run again: what was written is kept among the replies, so only the rest is asked for",
    )


def _ended(text: str, longest: int) -> str:
    """Cut a text that ran out of room, or stops at a comma, back to its last whole sentence, or else clause."""
    is_full = len(text) >= max(SHORT, CUT_OFF * longest) and text[-1] not in ".!?\"'\u201d\u2019)"
    if not is_full and text[-1] not in ",;:":
        return text
    sentences = re.match(r".*[.!?][\"'\u201d\u2019)]*(?= )", text)
    if sentences and len(sentences[0]) > len(text) / 3:
        return sentences[0]
    clause = re.match(rf".{{{SHORT // 2},}}(?=[,;:]| and | but | who | which | as )", text)
    if clause:
        return clause[0]
    return text.rpartition(" ")[0] if is_full else text.rstrip(",;:")
