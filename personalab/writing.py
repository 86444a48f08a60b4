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
import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel, Field, create_model

from personalab import llm
from personalab.blueprint import Blueprint, CategoricalField, NumericField
from personalab.diversity import near_duplicates
from personalab.errors import ProviderError, RequestError
from personalab.sampling import coordinates

if TYPE_CHECKING:
    from personalab.llm import Connection, Model

DRAWS = 4  # of one person before the run gives up on them
ROUNDS = 2  # of rewriting doubles
TOO_ALIKE = 0.8  # cosine of word counts above which two people read as one
ROOM = 700  # tokens; a persona takes 100 to 300
UNUSABLE = ("invalid_output", "output_truncated", "content_refused")
ADDED = ("tagline", "portrait", "system_prompt", "markdown")

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


def write(frame: pd.DataFrame, bp: Blueprint, *, model: str | Model | None = None) -> pd.DataFrame:
    """Write the texts of sampled people.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as from `personalab.sample`, any part of them.
    bp : Blueprint
        What they were sampled from.
    model : str or Model, optional
        Which model writes, see `personalab.generate`.

    Returns
    -------
    pandas.DataFrame
        The same rows and columns, and ``string`` columns for each text field, ``tagline``, ``portrait``,
        ``system_prompt`` and ``markdown``. ``attrs["contradictions"]`` lists the ids of people whose text still
        speaks against a field after all redraws.

    Raises
    ------
    RequestError
        If the frame lacks a sampled field.
    ProviderError
        If the model cannot be had, or gives one person nothing usable in several draws.
    """
    return llm.run(write_with(frame, bp, llm.connect(model)))


async def write_with(
    frame: pd.DataFrame, bp: Blueprint, connection: Connection, *, progress: Callable[[int], object] = lambda _: None
) -> pd.DataFrame:
    """Write over a connection; as `write`, telling `progress` after each person how many are written."""
    missing = [field.name for field in bp.sampled if field.name not in frame]
    if missing:
        raise RequestError(f"the frame has no column {missing}", hint="pass a frame as personalab.sample draws it")
    author = Author(bp, connection)
    tasks = _tasks(frame, bp)
    people = await _all(author, tasks, progress)
    for round_ in range(1, ROUNDS + 1):
        again = _doubles(people, tasks, bp)
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

    async def person(self, task: Task, first_draw: int = 0) -> dict[str, str]:
        """Write one person, drawing again where an answer is unusable or contradicts the facts."""
        form = persona_form(self.bp)
        messages = [*_preamble(self.bp), {"role": "user", "content": task.question}]
        best: dict[str, str] | None = None
        failure: ProviderError | None = None
        for draw in range(first_draw, first_draw + DRAWS):
            try:
                answer = await self.connection.ask(
                    messages, form, stage="personas", sample=task.number * 64 + draw, max_tokens=ROOM, temperature=0.8
                )
            except ProviderError as error:
                if error.category not in UNUSABLE:
                    raise
                failure = error
                continue
            texts = {name: _tidy(text) for name, text in answer.model_dump(by_alias=True).items()}
            if all(texts.values()):
                best = texts
                if not contradictions(texts, task.facts, self.bp):
                    break
        if best is None:
            raise _gave_up(self.connection, task, failure)
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
        raise failed.exceptions[0] from None
    return [task.result() for task in running]


def persona_form(bp: Blueprint) -> type[BaseModel]:
    """The closed form that a person's texts are filled into: a key a text field, a tagline and a portrait."""
    longest = {"name": 48, "tagline": 90, "portrait": 330}
    keys = [*(field.name for field in bp.texts), "tagline", "portrait"]
    made: Any = {
        f"key_{i}": (str, Field(alias=key, min_length=2, max_length=longest.get(key, 420)))
        for i, key in enumerate(keys)
    }
    form: type[BaseModel] = create_model("Persona", **made)
    return form


def contradictions(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> list[str]:
    """Read categories and numbers back out of a person's texts.

    Parameters
    ----------
    texts : dict
        What was written.
    facts : dict
        The row, as strings.
    bp : Blueprint
        Knows every value a field could have had.

    Returns
    -------
    list of str
        The fields that the texts speak against: they name another value of it and not its own, or put another
        number to what it counts. Empty if there is none.
    """
    text = " ".join(texts.values()).lower()
    wrong = []
    for field in bp.sampled:
        own = facts[field.name].lower()
        if isinstance(field, CategoricalField):
            named = {value.lower() for value in field.values if _mentions(text, value.lower())}
            # A value inside another ("single" in "single parent") is no mention of it.
            named = {value for value in named if not any(value != other and value in other for other in named)}
            if named and own not in named:
                wrong.append(field.name)
        elif isinstance(field, NumericField):
            numbers = [float(number) for number in _said(field.name, text)]
            if numbers and not any(abs(number - float(own)) < 0.51 for number in numbers):
                wrong.append(field.name)
    return wrong


def render_system_prompt(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> str:
    """Put a person as instructions to a model that shall play them.

    Parameters
    ----------
    texts, facts : dict
        What was written, and the row as strings.
    bp : Blueprint
        Describes each field.

    Returns
    -------
    str
        Plain text: who they are, every fact, every text, and how to speak.
    """
    name = texts.get("name") or texts["tagline"]
    tagline = re.sub(r"^(A|An|The) ", lambda match: match[0].lower(), texts["tagline"]).rstrip(".")
    known = [f"- {field.name}: {facts[field.name]} ({field.description or 'as said'})" for field in bp.sampled]
    told = [f"Your {_words(f.name)}: {texts[f.name]}" for f in bp.texts if f.name != "name"]
    opening = f"You are {name}, {tagline}." if "name" in texts else f"You are {tagline}."
    return "\n\n".join([
        opening,
        f"How others describe you: {texts['portrait']}",
        "What is true of you:\n" + "\n".join(known),
        *told,
        f"Answer as {name} would, in the first person and in your own voice. Never contradict what is written here; "
        "where it is silent, answer as such a person plausibly would. Do not say that you were given a description.",
    ])  # fmt: skip


def render_markdown(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> str:
    """Put a person as a sheet in Markdown.

    Parameters
    ----------
    texts, facts : dict
        What was written, and the row as strings.
    bp : Blueprint
        Names the fields in order.

    Returns
    -------
    str
        A heading, the tagline, the portrait, a table of the fields, a section a text. What a model wrote is escaped,
        so that it can be nothing but text.
    """
    title = texts.get("name") or texts["tagline"]
    rows = [f"| {_escaped(_words(field.name))} | {_escaped(facts[field.name])} |" for field in bp.sampled]
    told = [(_words(field.name).capitalize(), texts[field.name]) for field in bp.texts if field.name != "name"]
    sections = [f"## {_escaped(heading)}\n\n{_escaped(text)}" for heading, text in told]
    parts = [f"# {_escaped(title)}", f"_{_escaped(texts['tagline'])}_", _escaped(texts["portrait"])]
    return "\n\n".join([*parts, "\n".join(["| field | value |", "| --- | --- |", *rows]), *sections]) + "\n"


def as_strings(row: pd.Series[Any], bp: Blueprint) -> dict[str, str]:
    """A row's sampled values as the strings that go on the wire: whole numbers without a point, others to 3 digits."""
    return {field.name: _string(row[field.name]) for field in bp.sampled}


def _string(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def _tasks(frame: pd.DataFrame, bp: Blueprint) -> list[Task]:
    numbers = [_number(str(persona), i) for i, persona in enumerate(frame.index)]
    points = coordinates(list(AXES), max(numbers, default=0) + 1, int(frame.attrs.get("seed") or 0))
    tasks = []
    for number, (_, row) in zip(numbers, frame.iterrows(), strict=True):
        axes = {axis: values[int(points[axis][number] * len(values))] for axis, values in AXES.items()}
        tasks.append(Task(number, as_strings(row, bp), axes))
    return tasks


def _number(persona: str, otherwise: int) -> int:
    match = re.fullmatch(r"p_(\d+)", persona)
    return int(match[1]) - 1 if match else otherwise


def _doubles(people: list[dict[str, str]], tasks: list[Task], bp: Blueprint) -> dict[int, Task]:
    """Who has to be written again, by position: a name that somebody before them has, or nearly their text."""
    names = [person.get("name", str(i)) for i, person in enumerate(people)]
    seen: set[str] = set()
    again = []
    for i, name in enumerate(names):
        if name.lower() in seen:
            again.append(i)
        seen.add(name.lower())
    if len(people) > 1:
        again += [later for _, later, _ in near_duplicates([" ".join(p.values()) for p in people], TOO_ALIKE)]
    taken = tuple(sorted(set(names)))[:60] if "name" in {field.name for field in bp.texts} else ()
    return {i: replace(tasks[i], taken=taken) for i in sorted(set(again))}


def _written(frame: pd.DataFrame, bp: Blueprint, people: list[dict[str, str]], tasks: list[Task]) -> pd.DataFrame:
    columns: dict[str, list[str]] = {field.name: [person[field.name] for person in people] for field in bp.texts}
    columns |= {key: [person[key] for person in people] for key in ("tagline", "portrait")}
    pairs = list(zip(people, tasks, strict=True))
    columns["system_prompt"] = [render_system_prompt(person, task.facts, bp) for person, task in pairs]
    columns["markdown"] = [render_markdown(person, task.facts, bp) for person, task in pairs]
    texts = pd.DataFrame(columns, index=frame.index, dtype="string")
    order = [*(field.name for field in bp.fields), *ADDED]
    kept = frame.drop(columns=[name for name in columns if name in frame])
    written = pd.concat([kept, texts], axis=1)
    written = written[[*order, *(name for name in written if name not in order)]]
    against = [
        i for i, (person, task) in zip(frame.index, pairs, strict=True) if contradictions(person, task.facts, bp)
    ]
    written.attrs = {**frame.attrs, "contradictions": [str(persona) for persona in against]}
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
                "- The facts are fixed. Never change, contradict or add to a number, a place or a category among them.\n"
                "- Let the facts show in what the person does and says instead of listing them. Be specific to their "
                "world; no stereotypes, no praise, no moral.\n"
                "- Plain language. Each text stands alone and says something the others do not.\n\n"
                f"The population: {_words(bp.domain)}. {bp.rationale}\n\nThe facts and what they mean:\n{fields}\n\n"
                f"The texts to write:\n{texts}\n"
                "- tagline: who they are in at most ten words, without the name, such as: a retired baker who sings\n"
                "- portrait: two sentences in the third person on how they come across and what matters to them"
            ),
        }
    ]


def _gave_up(connection: Connection, task: Task, failure: ProviderError | None) -> ProviderError:
    error = ProviderError(
        f"{connection.name} wrote nothing usable for person {task.number + 1} in {DRAWS} draws",
        category=failure.category if failure else "invalid_output",
        answer=failure.answer if failure else None,
        hint="run again: what was written is kept among the replies, so only the rest is asked for",
    )
    error.__cause__ = failure
    return error


def _mentions(text: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None


def _said(name: str, text: str) -> list[str]:
    """The numbers that a text gives for a field: ``34-year-old`` or ``aged 34`` for age, ``12 hours`` for hours_a_week."""
    if name == "age":
        return re.findall(r"\b(?:aged |age of )(\d+)\b", text) + re.findall(r"\b(\d+)[- ]years?[- ]old\b", text)
    noun = name.split("_")[0]
    return re.findall(rf"\b(\d+(?:\.\d+)?) {re.escape(noun)}\b(?! ago)", text)


def _tidy(text: str) -> str:
    """One paragraph of printable text."""
    return " ".join("".join(char for char in text if char.isprintable() or char.isspace()).split())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _escaped(text: str) -> str:
    """Text that Markdown and HTML take for text."""
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", html.escape(text, quote=False))
