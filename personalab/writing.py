"""Writing: what only words can say, one person a call.

Values are never the model's to choose. It receives a row of the frame and writes that person's text fields, a tagline
and a short portrait; ``system_prompt`` and ``markdown`` are rendered from fields and texts by rule, so facts
cannot drift. Three things keep people apart and true:

- *hidden axes*: temperament, motive, voice, a life event and an initial for the name, dealt by a scrambled Sobol
  sequence, so that neighbours in the frame are told apart in more than their fields;
- *a fact check*: categories and numbers are read back out of the text; one that contradicts its row is drawn again;
- *rewriting*: who has the name of somebody before them, or nearly the same text, is written again, nobody else.

The unchanging part of every request comes first and the row last, so that servers re-use what they have read. What a
request says depends on the row and the blueprint alone, never on which answer came first, so a run replays.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
from pydantic import BaseModel, Field, create_model

from personalab import llm
from personalab.blueprint import Blueprint
from personalab.diversity import near_duplicates
from personalab.errors import ProviderError, RequestError
from personalab.facts import as_strings, contradictions
from personalab.inference.draft import tidy
from personalab.lint import WRITTEN
from personalab.sheets import render_markdown, render_system_prompt, words
from personalab.sobol import FEW, coordinates

if TYPE_CHECKING:
    from personalab.llm import Connection, Model

Backend = Literal["live", "batch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
STAGE = "personas"  # what tokens are counted under
DRAWS = 4  # of one person before the run gives up on them
DRAWN = 64  # numbers that a person's draws have for themselves
ROUNDS = 2  # of rewriting doubles
LISTED = 60  # names already taken that a request lists
TOO_ALIKE = 0.8  # cosine of word counts above which two people read as one
ROOM = 4000  # tokens; a persona takes 100 to 300, and a model that reasons first some 2,000
SMALL_ROOM = 700  # tokens of a small model, which does not reason and may ramble
LONGEST = {"name": 48, "tagline": 90, "portrait": 280}  # characters that a small model gets
LONGEST_TEXT = 360  # characters of the other texts
CUT_OFF = 0.9  # of the room for a text; one this long that does not end has been cut off
SHORT = 60  # characters; a text up to here needs no full stop
MOST = 2**20  # points dealt for hidden axes; ids beyond begin again

AXES = {
    "temperament": (
        "calm", "restless", "warm", "guarded", "playful", "earnest", "blunt", "dreamy", "methodical", "impatient",
        "generous", "sceptical",
    ),
    "what drives them": (
        "being taken seriously", "security for the family", "curiosity", "beating an old rival", "keeping a promise",
        "belonging somewhere", "freedom from routine", "making something that lasts", "getting through the month",
        "proving someone wrong", "helping others along", "quiet and order",
    ),
    "how they talk": (
        "in short plain sentences", "in long winding stories", "with dry humour", "with questions", "in images",
        "with figures and facts", "hesitantly", "with enthusiasm", "in understatements", "with local expressions",
    ),
    "what once happened": (
        "moved far away once", "lost something dear", "got a lucky break", "failed at something in public",
        "was taught by someone remarkable", "had to start over", "turned down an offer", "was ill for a long time",
        "made a friend who changed things", "won something small", "grew up moving around", "took over from a parent",
    ),
    "given name begins with": tuple("ABCDEFGHIJKLMNOPRSTVYZ"),
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One person to be written: their row, and what the request says of them."""

    number: int
    facts: dict[str, str]
    axes: dict[str, str]
    taken: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The end of the request, which is all that differs between people."""
        lines = [f"{name}: {value}" for name, value in self.facts.items()]
        hidden = "; ".join(f"{axis}: {value}" for axis, value in self.axes.items())
        lines += [f"(to colour the person, not to be quoted: {hidden})"]
        if self.taken:
            lines += ["Names already taken, choose another: " + ", ".join(self.taken)]
        return "Facts\n" + "\n".join(lines)


def write(
    frame: pd.DataFrame, bp: Blueprint, *, model: str | Model | None = None, backend: Backend = "live"
) -> pd.DataFrame:
    """Write the texts of sampled people.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as from `personalab.sample`, any part of them.
    bp : Blueprint
        What they were sampled from.
    model : str or Model, optional
        Which model writes, see `personalab.generate`.
    backend : {"live", "batch"}
        Whether people are asked for at once and one by one, or first in a batch, which servers with OpenAI's batch
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
        If the frame lacks a sampled field, or the backend is unknown.
    ProviderError
        If the model cannot be had, has no batch API where one is asked for, or gives one person nothing usable in
        several draws.
    """
    check_backend(backend)
    connection = llm.connect(model)
    return llm.run_with(connection, write_with(frame, bp, connection, backend=backend))


def check_backend(backend: str) -> None:
    """Refuse a backend that there is not, before any model is asked."""
    if backend not in BACKENDS:
        raise RequestError(f"there is no backend {backend!r}", hint=f"use one of {', '.join(BACKENDS)}")


async def write_with(
    frame: pd.DataFrame,
    bp: Blueprint,
    connection: Connection,
    *,
    progress: Callable[[int], object] = lambda _: None,
    backend: Backend = "live",
) -> pd.DataFrame:
    """Write over a connection; as `write`, telling `progress` after each person how many are written."""
    author = Author(bp, connection)
    tasks = tasks_of(frame, bp)
    if backend == "batch":
        await connection.prefill(map(author.request, tasks), author.form, stage=STAGE)
    people = await _all(author, tasks, progress)
    for round_ in range(1, ROUNDS + 1):
        again = doubles(people, tasks)
        if not again:
            break
        rewritten = await _all(author, again.values(), lambda _: None, first_draw=round_ * DRAWS)
        people = [*people]
        for i, person in zip(again, rewritten, strict=True):
            people[i] = person
    return _written(frame, bp, people, tasks)


@dataclass(frozen=True)
class Author:
    """A model and what every request to it begins with."""

    bp: Blueprint
    connection: Connection

    @cached_property
    def form(self) -> type[BaseModel]:
        """What a person's texts are filled into."""
        return persona_form(self.bp, is_bounded=self.connection.is_small)

    @property
    def keys(self) -> list[str]:
        """The keys of the form: a text each."""
        return [field.alias or name for name, field in self.form.model_fields.items()]

    @property
    def has_names(self) -> bool:
        """Whether people are given a name, of which nobody shall have another's."""
        return "name" in self.keys

    @cached_property
    def preamble(self) -> list[dict[str, str]]:
        """What every request begins with."""
        return _preamble(self.bp)

    def request(self, task: Task, draw: int = 0) -> dict[str, Any]:
        """What a draw of a person asks first, as the replies know it."""
        messages = [*self.preamble, {"role": "user", "content": task.question}]
        return self.connection.request(messages, self.form, **self._options(task, draw))

    def texts(self, filled: BaseModel) -> dict[str, str] | None:
        """Take the texts out of a form; None when one of them says nothing."""
        small, told = self.connection.is_small, filled.model_dump(by_alias=True)
        texts = {name: _ended(tidy(text), _longest(name)) if small else tidy(text) for name, text in told.items()}
        return texts if all(any(char.isalnum() for char in text) for text in texts.values()) else None

    def _options(self, task: Task, draw: int) -> dict[str, Any]:
        room = SMALL_ROOM if self.connection.is_small else ROOM
        return {"sample": task.number * DRAWN + draw, "max_tokens": room, "temperature": 0.8}

    async def person(self, task: Task, first_draw: int = 0) -> dict[str, str]:
        """Write one person, drawing again where an answer is unusable or contradicts the facts."""
        best: dict[str, str] | None = None
        failure, answer = None, None
        for draw in range(first_draw, first_draw + DRAWS):
            try:
                filled = await self.connection.ask(
                    [*self.preamble, {"role": "user", "content": task.question}],
                    self.form,
                    stage=STAGE,
                    **self._options(task, draw),
                )
            except ProviderError as error:
                if error.category not in llm.UNUSABLE:
                    raise
                failure, answer = error, error.answer
                continue
            texts = self.texts(filled)
            if texts is not None:
                best = texts
                if not contradictions(texts, task.facts, self.bp):
                    break
            else:
                answer = filled.model_dump_json(by_alias=True)
        if best is None:
            raise _gave_up(self.connection, task, failure, answer) from failure
        return best


async def _all(
    author: Author, tasks: Iterable[Task], progress: Callable[[int], object], first_draw: int = 0
) -> list[dict[str, str]]:
    done = 0

    async def one(task: Task) -> dict[str, str]:
        nonlocal done
        person = await author.person(task, first_draw)
        done += 1
        progress(done)
        return person

    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(one(task)) for task in tasks]
    except BaseExceptionGroup as failed:  # the first failure stops the others, and speaks for all
        first = failed.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in running]


def persona_form(bp: Blueprint, *, is_bounded: bool = False) -> type[BaseModel]:
    """The closed form that a person's texts are filled into: a key a text field, a tagline and a portrait.

    A small model needs bounds to come to an end; a strong one is told the length in words.
    """
    keys = [*(field.name for field in bp.texts), "tagline", "portrait"]
    made: Any = {
        f"key_{i}": (str, Field(alias=key, min_length=2, max_length=_longest(key) if is_bounded else None))
        for i, key in enumerate(keys)
    }
    form: type[BaseModel] = create_model("Persona", **made)
    return form


def _longest(key: str) -> int:
    return LONGEST.get(key, LONGEST_TEXT)


def tasks_of(frame: pd.DataFrame, bp: Blueprint) -> list[Task]:
    """What has to be written: a task a row, of a frame that has the blueprint's sampled fields."""
    missing = [field.name for field in bp.sampled if field.name not in frame]
    if missing:
        raise RequestError(f"the frame has no column {missing}", hint="pass a frame as personalab.sample draws it")
    numbers = [_number(str(persona), i) for i, persona in enumerate(frame.index)]
    # Beyond FEW points a person's own does not depend on how many there are, so any part of a frame is written alike.
    points = coordinates(list(AXES), max([*numbers, FEW]) + 1, int(frame.attrs.get("seed") or 0))
    tasks = []
    for number, (_, row) in zip(numbers, frame.iterrows(), strict=True):
        axes = {axis: values[int(points[axis][number] * len(values))] for axis, values in AXES.items()}
        tasks.append(Task(number, as_strings(row, bp), axes))
    return tasks


def lacking(frame: pd.DataFrame, bp: Blueprint) -> pd.DataFrame:
    """The people of a frame of whom some text is not written."""
    texts = [*(field.name for field in bp.texts), "tagline", "portrait"]
    return frame[frame.reindex(columns=texts).isna().any(axis=1)]


def _number(persona: str, otherwise: int) -> int:
    match = re.fullmatch(r"p_(\d+)", persona)
    return (int(match[1]) - 1) % MOST if match else otherwise


def doubles(people: list[dict[str, str]], tasks: list[Task]) -> dict[int, Task]:
    """Who has to be written again, by position: a name that somebody before them has, or nearly their text."""
    names = [person.get("name", "") for person in people]
    seen: set[str] = set()
    again = set()
    for i, name in enumerate(names):
        if name and name.casefold() in seen:
            again.add(i)
        seen.add(name.casefold())
    if len(people) > 1:
        again |= {later for _, later, _ in near_duplicates([" ".join(p.values()) for p in people], TOO_ALIKE)}
    others = [name for name in sorted(set(names)) if name]
    return {i: replace(tasks[i], taken=tuple(dict.fromkeys([names[i], *others]))[:LISTED]) for i in sorted(again)}


def _written(frame: pd.DataFrame, bp: Blueprint, people: list[dict[str, str]], tasks: list[Task]) -> pd.DataFrame:
    columns: dict[str, list[str]] = {field.name: [person[field.name] for person in people] for field in bp.texts}
    columns |= {key: [person[key] for person in people] for key in ("tagline", "portrait")}
    pairs = list(zip(people, tasks, strict=True))
    columns["system_prompt"] = [render_system_prompt(person, task.facts, bp) for person, task in pairs]
    columns["markdown"] = [render_markdown(person, task.facts, bp) for person, task in pairs]
    texts = pd.DataFrame(columns, index=frame.index, dtype="string")
    order = [*(field.name for field in bp.fields), *WRITTEN]
    kept = frame.drop(columns=[name for name in columns if name in frame])
    written = pd.concat([kept, texts], axis=1)
    written = written[[*order, *(name for name in written if name not in order)]]
    against = [
        i for i, (person, task) in zip(frame.index, pairs, strict=True) if contradictions(person, task.facts, bp)
    ]
    left = [frame.index[i] for i in doubles(people, tasks)]
    written.attrs = {**frame.attrs, "contradictions": [str(i) for i in against], "doubles": [str(i) for i in left]}
    return written


def _preamble(bp: Blueprint) -> list[dict[str, str]]:
    """What every request of a population begins with, always the same."""
    fields = "\n".join(f"- {field.name}: {field.description}" for field in bp.sampled)
    texts = "\n".join(f"- {field.name}: {field.description}" for field in bp.texts)
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
                "not.\n\n"
                f"The population: {words(bp.domain)}. {bp.rationale}\n\nThe facts and what they mean:\n{fields}\n\n"
                f"The texts to write:\n{texts}\n"
                "- tagline: who they are in at most ten words, without the name and without a full stop\n"
                "- portrait: two sentences in the third person on how they come across and what matters to them"
            ),
        }
    ]


def _gave_up(connection: Connection, task: Task, failure: ProviderError | None, answer: str | None) -> ProviderError:
    return ProviderError(
        f"{connection.name} wrote nothing usable for person {task.number + 1} in {DRAWS} draws",
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
