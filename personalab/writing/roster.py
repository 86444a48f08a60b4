"""Rosters: a frame's people, what is asked about each, and what has been written of them so far.

Texts are kept as bare tuples beside the frame, one a person, and become columns only when somebody asks for the frame:
of everybody (`Roster.whole`), or of those who have theirs already (`Roster.so_far`). Who has texts when the
roster is opened keeps them. A *double* is somebody with the name of a person before them, or nearly their text;
those who had texts from the start come before all others, wherever they stand.

``system_prompt`` and ``markdown`` are rendered by rule from the row and the texts, so facts cannot drift.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.blueprint.validation import FAULTS, WRITTEN
from personalab.frames import from_frame
from personalab.llm.fencing import fenced
from personalab.sampling.assignment import stream
from personalab.writing.consistency import as_string, contradictions
from personalab.writing.profiles import render_markdown, render_system_prompt
from personalab.writing.similarity import repeats

LISTED = 60  # names already taken that a request lists
TOO_ALIKE = 0.8  # cosine of word counts above which two people read as one
MOST = 2**20  # people among whom hidden axes are dealt; ids beyond begin again

Mask = NDArray[np.bool_]
Texts = tuple[str, ...]  # in the order of `text_keys`

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
        facts = fenced(*(f"{name}: {value}" for name, value in self.facts.items()))
        hidden = "; ".join(f"{axis}: {value}" for axis, value in self.axes.items())
        told = ["Facts", facts, f"(to colour the person, not to be quoted: {hidden})"]
        if self.taken:
            told += ["Names already taken, choose another:", fenced(", ".join(self.taken))]
        return "\n".join(told)


class Line(NamedTuple):
    """One person's texts as they came.

    Attributes
    ----------
    position : int
        Whose, as a row of the frame.
    round : int
        0 at first; 1 and 2 where a double was written again.
    texts : tuple of str
        In the order of `text_keys`.
    """

    position: int
    round: int
    texts: Texts


class Roster:
    """What is written of a frame's people so far.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows with every sampled field; texts they have are kept.
    bp : Blueprint
        What they were sampled from.
    keep : callable, optional
        Is told of each `Line` as it comes.

    Attributes
    ----------
    keys : tuple of str
        What a model writes of a person: see `text_keys`.
    bare : list of int
        Positions of those who had not all texts when the roster was opened.
    answered : dict
        (position, round) → texts that need not be asked for, since an interrupted run had them already.
    """

    def __init__(self, frame: pd.DataFrame, bp: Blueprint, keep: Callable[[Line], object] = lambda _: None) -> None:
        columns = from_frame(bp, frame, strict=True, least=0)
        self.frame, self.bp, self.keys = frame, bp, text_keys(bp)
        self.bare = np.flatnonzero(unwritten(frame, bp)).tolist()
        self.answered: dict[tuple[int, int], Texts] = {}
        self._keep = keep
        self._texts: list[Texts | None] = [None] * len(frame)
        kept = np.setdiff1d(np.arange(len(frame)), self.bare)
        told = [frame[key].iloc[kept].astype(str) for key in self.keys] if len(kept) else []
        for i, texts in zip(kept.tolist(), zip(*told, strict=True), strict=True):
            self._texts[i] = texts
        self._facts = {field.name: _told(field, columns[field.name].tolist()) for field in bp.sampled}
        self._numbers = [_number(str(persona), i) for i, persona in enumerate(frame.index)]
        self._seed = int(frame.attrs.get("seed") or 0)

    def task(self, position: int) -> Task:
        """What has to be written of a person."""
        number, axes = self._numbers[position], {}
        for axis, values in AXES.items():  # each value once in every so many people, whichever of them are written
            turn, at = divmod(number, len(values))
            axes[axis] = values[stream(self._seed, axis, turn).permutation(len(values))[at]]
        return Task(number, self.facts(position), axes)

    def facts(self, position: int) -> dict[str, str]:
        """A person's sampled values as strings."""
        return {name: column[position] for name, column in self._facts.items()}

    def put(self, line: Line) -> None:
        """Take in a person's texts, in place of those that there may be."""
        self._texts[line.position] = line.texts
        if self.answered.get((line.position, line.round)) != line.texts:
            self._keep(line)

    def doubles(self) -> dict[int, Task]:
        """Who of those not written from the start has to be written again, by position, and what of."""
        bare, again = set(self.bare), self._repeated()
        names = self._names()
        others = [name for name in sorted(set(names)) if name][: LISTED + 1]
        return {
            i: replace(self.task(i), taken=tuple(dict.fromkeys([names[i], *others]))[:LISTED])
            for i in again
            if i in bare
        }

    def so_far(self) -> pd.DataFrame:
        """The people who have their texts, and no others."""
        frame = self._framed([i for i, texts in enumerate(self._texts) if texts is not None])
        frame.attrs = {key: value for key, value in self.frame.attrs.items() if key not in FAULTS}
        return frame

    def whole(self) -> pd.DataFrame:
        """Everybody, once everybody is written, and in ``attrs`` whose texts leave something to be wished for."""
        against = [i for i, texts in enumerate(self._texts) if contradictions(self._told(i), self.facts(i), self.bp)]
        found = dict(zip(FAULTS, (against, self._repeated()), strict=True))
        frame = self._framed(range(len(self._texts)))
        ids = [str(persona) for persona in self.frame.index]
        frame.attrs = {**self.frame.attrs, **{key: [ids[i] for i in each] for key, each in found.items()}}
        return frame

    def _told(self, position: int) -> dict[str, str]:
        return dict(zip(self.keys, self._texts[position] or (), strict=True))

    def _names(self) -> list[str]:
        at = self.keys.index("name") if "name" in self.keys else None
        return ["" if at is None or texts is None else texts[at] for texts in self._texts]

    def _repeated(self) -> list[int]:
        """Who has the name, or nearly the text, of somebody before them."""
        bare = set(self.bare)
        order = sorted(range(len(self._texts)), key=lambda i: (i in bare, i))
        names, seen, again = self._names(), set[str](), set[int]()
        for i in order:
            name = names[i].casefold()
            if name and name in seen:
                again.add(i)
            seen.add(name)
        if len(order) > 1:
            again |= {order[at] for at in repeats([" ".join(self._texts[i] or ()) for i in order], TOO_ALIKE)}
        return sorted(again)

    def _framed(self, positions: Iterable[int]) -> pd.DataFrame:
        """The rows of some people with their texts; sheets and prompts that are there stay as they are."""
        at = list(positions)
        frame = self.frame.iloc[at]
        told = [self._told(i) for i in at]
        columns: dict[str, list[str]] = {key: [texts[key] for texts in told] for key in self.keys}
        for key, render in (("system_prompt", render_system_prompt), ("markdown", render_markdown)):
            there = frame[key].tolist() if key in frame else [None] * len(at)
            kept = set(range(len(self._texts))).difference(self.bare)
            columns[key] = [
                str(old) if i in kept and isinstance(old, str) else render(texts, self.facts(i), self.bp)
                for i, old, texts in zip(at, there, told, strict=True)
            ]
        texts = pd.DataFrame(columns, index=frame.index, dtype="string")
        order = [*(field.name for field in self.bp.fields), *WRITTEN]
        written = pd.concat([frame.drop(columns=[name for name in columns if name in frame]), texts], axis=1)
        return written[[*order, *(name for name in written if name not in order)]]


def text_keys(bp: Blueprint) -> tuple[str, ...]:
    """What a model writes of a person: the text fields, a tagline and a portrait."""
    return (*(field.name for field in bp.texts), "tagline", "portrait")


def unwritten(frame: pd.DataFrame, bp: Blueprint) -> Mask:
    """Who lacks a text that a model writes."""
    keys = text_keys(bp)
    if any(key not in frame for key in keys):
        return np.ones(len(frame), dtype=bool)
    lacking = [frame[key].astype("string").fillna("").str.strip().eq("").to_numpy(dtype=bool) for key in keys]
    return np.asarray(np.logical_or.reduce(lacking))


def _told(field: SampledField, column: list[Any]) -> list[str]:
    """A column's values as strings."""
    if isinstance(field, CategoricalField):
        return [field.values[code] for code in column]
    return [as_string(value) for value in column]


def _number(persona: str, otherwise: int) -> int:
    match = re.fullmatch(r"p_(\d+)", persona)
    return (int(match[1]) - 1) % MOST if match else otherwise
