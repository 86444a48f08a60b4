"""Restrictions: the constraints as drawing keeps them, and which of them a field can break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint import intervals
from personalab.blueprint.constraints import Apply, names
from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.intervals import Categories, Interval, NotApplicableError
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.blueprint.resolution import resolve

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Restriction:
    """A constraint ready to be kept: its name and text for messages, its tree, and the fields it speaks of."""

    name: str
    text: str
    tree: Apply
    fields: frozenset[str]


def read_restrictions(bp: Blueprint) -> list[Restriction]:
    """The constraints that can be judged, in pieces where that makes intervals of them.

    The others are validation's to report.
    """
    read = []
    for constraint in bp.constraints:
        try:
            tree = resolve(constraint, bp)
        except NotApplicableError:
            continue
        pieces = intervals.pieces(tree)
        read += [Restriction(constraint.name, str(constraint), piece, names(piece)) for piece in pieces]
    return read


def select(bp: Blueprint, name: str, drawn: Columns, restrictions: Sequence[Restriction]) -> list[Restriction]:
    """Those that a field can break: they speak of it, or of a field still to be drawn that depends on it."""
    children = {field.name for field in bp.sampled if name in field.parents and field.name not in drawn}
    return [each for each in restrictions if name in each.fields or each.fields & children]


def find_kept(bp: Blueprint, columns: Columns, n: int, restrictions: Sequence[Restriction]) -> Mask:
    """Which of `n` rows hold every constraint whose fields are all drawn."""
    fine = np.ones(n, dtype=bool)
    for each in restrictions:
        if each.fields <= set(columns):
            known = {name: as_interval(sampled(bp, name), columns[name]) for name in each.fields}
            fine &= intervals.holds(each.tree, known, n)
    return fine


def as_interval(field: SampledField, column: Array) -> Interval | Categories:
    """A column as constraints see it."""
    if isinstance(field, CategoricalField):
        return Categories(field.values, column)
    values = column.astype(float, copy=False)
    return values, values


def sampled(bp: Blueprint, name: str) -> SampledField:
    """A field that is drawn, not written."""
    return cast(SampledField, bp[name])
