"""The people of a step: their frame, how it differs from another, and whose texts are still true.

What was written of a person holds as long as the person's row is what it was written for. So texts are kept beside
the row they were written for, and whoever has that row again, by undo or by a later edit, has the texts back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.conditionals import interval
from personalab.blueprint.constraints import Apply, names
from personalab.blueprint.grouping import Array
from personalab.blueprint.intervals import Categories, holds
from personalab.blueprint.model import Blueprint, CategoricalField
from personalab.blueprint.validation import FAULTS, WRITTEN
from personalab.editor.history import Source, Step
from personalab.editor.panels import panels
from personalab.frames import from_frame
from personalab.reports.report import report
from personalab.reports.values import Report
from personalab.updating.match import Match, Renamed, between
from personalab.updating.update import update
from personalab.writing.roster import unwritten

KEPT = 6  # populations that are kept for undo and redo

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Texts:
    """What was written, of whom, and under which blueprint.

    Attributes
    ----------
    start : Blueprint or None
        What their people were drawn from; the texts say nothing of people drawn from another.
    blueprint : Blueprint
        What held when they were written.
    frame : pandas.DataFrame
        The people written, with their texts.
    renamed : mapping
        What is called otherwise than in the start.
    """

    start: Blueprint | None
    blueprint: Blueprint
    frame: pd.DataFrame
    renamed: Renamed

    @cached_property
    def columns(self) -> dict[str, Array]:
        """The rows that the texts were written for."""
        return from_frame(self.blueprint, self.frame)


@dataclass(frozen=True, eq=False)
class People:
    """The people that a blueprint has when it is reached from a source, and what was renamed on the way."""

    source: Source
    blueprint: Blueprint
    renamed: Renamed

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Those of the source, carried over with the fewest changes."""
        start = self.source.start or self.blueprint
        renamed = Match(start, self.blueprint, self.renamed).valid().renamed
        return update(self.source.frame, start, self.blueprint, renamed=renamed, seed=self.source.seed)

    @cached_property
    def columns(self) -> dict[str, Array]:
        """The frame as arrays: codes of values, and numbers."""
        return from_frame(self.blueprint, self.frame)

    @cached_property
    def fidelity(self) -> Report:
        """How closely the sampled fields follow the blueprint."""
        sampled = self.frame[[field.name for field in self.blueprint.sampled]]
        sampled.attrs.update(self.frame.attrs)
        return report(sampled, self.blueprint)

    @cached_property
    def panels(self) -> dict[str, dict[str, Any]]:
        """The same, field by field, as numbers to draw."""
        return panels(self.blueprint, self.columns, self.fidelity)

    def changed(self, earlier: People | None) -> int:
        """How many people are not who they were under an earlier blueprint; all, where they were others."""
        if earlier is None or earlier.source is not self.source:
            return len(self.frame)
        return int(np.count_nonzero(self._match(earlier).differing(earlier.columns, self.columns)))

    def _match(self, earlier: People | Texts) -> Match:
        return Match(earlier.blueprint, self.blueprint, between(earlier.renamed, self.renamed)).valid()

    def meeting(self, whens: Iterable[Mapping[str, str]]) -> list[int]:
        """How many people meet each of several conditions."""
        masks = _Masks(self)
        everyone = np.ones(len(self.frame), dtype=bool)
        return [
            int(np.count_nonzero(np.logical_and.reduce([everyone, *(masks[each] for each in when.items())])))
            for when in whens
        ]

    def breaking(self, tree: Apply) -> int:
        """How many people break a comparison."""
        known: dict[str, Any] = {}
        for name in names(tree):
            field, column = self.blueprint[name], self.columns[name]
            known[name] = Categories(field.values, column) if isinstance(field, CategoricalField) else (column, column)
        return int(np.count_nonzero(~holds(tree, known, len(self.frame))))

    def told(self, written: Iterable[Texts]) -> pd.DataFrame:
        """The frame with the texts that are still true of whom they were written for, the newest first."""
        frame = self.frame
        for texts in written:
            if texts.start is self.source.start:
                frame = self._filled(frame, texts)
        return frame

    def _filled(self, frame: pd.DataFrame, texts: Texts) -> pd.DataFrame:
        names = [name for name in text_columns(self.blueprint) if name in texts.frame]
        at = self.frame.index.get_indexer(texts.frame.index)
        here = {name: column[at] for name, column in self.columns.items()}
        is_true = (at >= 0) & ~self._match(texts).differing(texts.columns, here)
        is_bare = unwritten(frame, self.blueprint)[at] & is_true
        rows, filled = at[is_bare], frame.copy()
        for name in names:
            column = filled[name].to_numpy(dtype=object) if name in filled else np.full(len(filled), None, dtype=object)
            column = column.copy()
            column[rows] = texts.frame[name].to_numpy(dtype=object)[is_bare]
            filled[name] = pd.array(column, dtype="string")
        first = [field.name for field in self.blueprint.fields if field.name in filled]
        filled = filled[[*first, *(name for name in filled if name not in first)]]
        filled.attrs.update(_noted(frame, texts, set(map(str, frame.index[rows]))))
        return filled


class Crowd:
    """The people of the steps last looked at, and all texts that were written."""

    def __init__(self) -> None:
        self._known: list[People] = []
        self._texts: tuple[Texts, ...] = ()
        self._full: tuple[People, pd.DataFrame] | None = None

    def at(self, step: Step) -> People | None:
        """The people of a step, or None where it has none; BlueprintError where they cannot be had."""
        source, bp = step.source, step.blueprint
        if bp is None or source.start is None or source.n is None:
            return None
        for people in self._known:
            if people.source is source and people.blueprint is bp:
                return people
        people = People(source, bp, step.renamed)
        _ = people.frame  # only people who can be had are kept
        self._known = [people, *self._known][:KEPT]
        return people

    def told(self, people: People) -> pd.DataFrame:
        """Their frame with the texts that are true of them."""
        if self._full is None or self._full[0] is not people:
            self._full = (people, people.told(self._texts))
        return self._full[1]

    def add(self, texts: Texts) -> None:
        """Take in what was written."""
        self._texts, self._full = (texts, *self._texts), None


def text_columns(bp: Blueprint) -> list[str]:
    """The columns that a model writes."""
    return [*(field.name for field in bp.texts), *WRITTEN]


def _noted(frame: pd.DataFrame, texts: Texts, filled: set[str]) -> dict[str, Any]:
    """What is known of the texts' faults, for those who have them now."""
    attrs: dict[str, Any] = {str(key): value for key, value in frame.attrs.items()}
    for key in FAULTS:
        own = [each for each in texts.frame.attrs.get(key, ()) if each in filled]
        attrs[key] = [*attrs.get(key, ()), *own]
    return attrs


class _Masks(dict[tuple[str, str], Mask]):
    """Who meets a condition on one parent, found once however many conditions it is part of."""

    def __init__(self, people: People) -> None:
        super().__init__()
        self._people = people

    def __missing__(self, condition: tuple[str, str]) -> Mask:
        name, text = condition
        parent, column = self._people.blueprint[name], self._people.columns[name]
        if isinstance(parent, CategoricalField):
            self[condition] = np.asarray(column == parent.values.index(text))
        else:
            low, high = interval(text)
            self[condition] = np.asarray((low <= column) & (column <= high))
        return self[condition]
