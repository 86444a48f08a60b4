"""Situations: what decides one field's distribution, row by row, and in which rows it is the same.

Rows that are alike in a field's parents form a *situation*; situations with one and the same distribution form a
*branch*. Constraints may tell rows of one situation apart: rows that are alike also in what these speak of form a
*case*. There are few of each, however many the rows, and what follows from a distribution or a constraint is worked
out for each of these once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint import intervals, moments
from personalab.blueprint.conditionals import Branch, Lookup, axis, branches, situations, values_at
from personalab.blueprint.constraints import Apply, names
from personalab.blueprint.grouping import Array, Columns, combined, numbered, smallest
from personalab.blueprint.intervals import Categories, Interval
from personalab.blueprint.model import Blueprint, CategoricalField, Numeric, NumericField, SampledField
from personalab.blueprint.resolution import resolve
from personalab.errors import BlueprintError, NotApplicableError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_CELLS = 1 << 20  # of cases and values that are laid out as a table
CROWD = 64  # rows a situation, or a case, above which it is worth looking at all that can be
FEW_NUMBERS = 1 << 12  # whole numbers a field may have to be told apart one by one


@dataclass(frozen=True)
class Restriction:
    """A constraint ready to be kept: its name and text for messages, its tree, and the fields it speaks of."""

    name: str
    text: str
    tree: Apply
    fields: frozenset[str]


def restrictions(bp: Blueprint) -> list[Restriction]:
    """The constraints that can be judged, in pieces where that makes intervals of them.

    The others are the linter's to report.
    """
    kept = []
    for constraint in bp.constraints:
        try:
            tree = resolve(constraint, bp)
        except NotApplicableError:
            continue
        pieces = intervals.pieces(tree)
        kept += [Restriction(constraint.name, str(constraint), piece, names(piece)) for piece in pieces]
    return kept


def concerned(bp: Blueprint, name: str, drawn: Columns, kept: Sequence[Restriction]) -> list[Restriction]:
    """Those that a field can break: they speak of it, or of a field still to be drawn that depends on it."""
    children = {field.name for field in bp.sampled if name in field.parents and field.name not in drawn}
    return [each for each in kept if name in each.fields or each.fields & children]


def held_by(bp: Blueprint, columns: Columns, n: int, kept: Sequence[Restriction]) -> Mask:
    """Which of `n` rows hold every constraint whose fields are all drawn."""
    fine = np.ones(n, dtype=bool)
    for each in kept:
        if each.fields <= set(columns):
            known = {name: drawn(sampled(bp, name), columns[name]) for name in each.fields}
            fine &= intervals.holds(each.tree, known, n)
    return fine


def drawn(field: SampledField, column: Array) -> Interval | Categories:
    """A column as constraints see it."""
    if isinstance(field, CategoricalField):
        return Categories(field.values, column)
    values = column.astype(float, copy=False)
    return values, values


def sampled(bp: Blueprint, name: str) -> SampledField:
    """A field that is drawn, not written."""
    return cast(SampledField, bp[name])


class Found(NamedTuple):
    """Each row's situation, each situation's branch, and the branches."""

    situation: Array
    branch: NDArray[np.intp]
    branches: list[Branch]


class Views(NamedTuple):
    """What tells cases apart, with how many there are of each; one row for each case; and each case's situation."""

    axes: list[tuple[Array, int]]
    rows: Situations
    home: Array


@dataclass(frozen=True)
class Situations:
    """What decides one field's distribution in each of `n` rows.

    Attributes
    ----------
    bp, field
        The blueprint and the field.
    columns : mapping of str to array
        The fields drawn so far.
    n : int
        How many rows.
    keep : sequence of Restriction
        The constraints that the field can break.
    """

    bp: Blueprint
    field: SampledField
    columns: Columns
    n: int
    keep: Sequence[Restriction]

    def demand(self, stuck: Mask) -> None:
        """Raise for rows that no value can serve, naming the constraints and the rows' situation."""
        if not stuck.any():
            return
        named = {name for each in self.keep for name in each.fields if name in self.columns} | set(self.field.parents)
        rows = values_at(self.bp, sorted(named), self.columns, np.flatnonzero(stuck)[:1])
        at = ", ".join(f"{name}={_plain(value)}" for row in rows for name, value in row.items())
        texts = "; ".join(f"{each.name} ({each.text})" for each in self.keep)
        raise BlueprintError(
            f"{int(stuck.sum())} of {len(stuck)} rows leave {self.field.name!r} no value that keeps {texts}"
            + (f", for example where {at}" if at else ""),
            hint="widen the field's range there, or ease the constraint",
        )

    @cached_property
    def found(self) -> Found:
        """Each row's situation, each situation's branch, and the branches."""
        if not self.field.parents:
            root = Lookup(self.bp, self.field).branch({})
            if root is None:
                raise BlueprintError(
                    f"no distribution of {self.field.name!r} is stated", hint="add a base distribution"
                )
            return Found(np.zeros(self.n, dtype=np.int8), np.zeros(1, dtype=np.intp), [root])
        situation, places = self._places()
        lookup, number = Lookup(self.bp, self.field), dict[Branch, int]()
        found = [lookup.branch(at) for at in places]
        if None in found:
            at = np.intersect1d([place for place, each in enumerate(found) if each is None], situation)
            if len(at):
                raise BlueprintError(
                    f"no distribution of {self.field.name!r} is stated for {places[at[0]]}",
                    hint="add a base distribution",
                )
        of = [0 if each is None else number.setdefault(each, len(number)) for each in found]
        return Found(situation, np.array(of, dtype=np.intp), list(number))

    def _places(self) -> tuple[Array, list[dict[str, Any]]]:
        """Each row's situation, and the parents' values in each: those that occur, or all where rows are many."""
        parents = [self.bp[name] for name in self.field.parents]
        lists = [parent.values for parent in parents if isinstance(parent, CategoricalField)]
        if self._has_all_places:
            axes = [(self.columns[name], len(values)) for name, values in zip(self.field.parents, lists, strict=True)]
            return combined(axes), [dict(zip(self.field.parents, at, strict=True)) for at in itertools.product(*lists)]
        situation, member = situations(self.bp, self.field, self.columns)
        return situation, values_at(self.bp, self.field.parents, self.columns, member)

    @cached_property
    def branch_of(self) -> Array:
        """Each row's branch."""
        situation, branch, found = self.found
        return situation if len(found) == len(branch) else np.take(branch, situation, mode="clip")

    @cached_property
    def case(self) -> Array:
        """Each row's case: rows of one case are alike also in what the constraints speak of."""
        return combined(self.views.axes)

    @cached_property
    def views(self) -> Views:
        """What tells cases apart, one row for each, and the situation of each.

        Where the constraints speak of real numbers every row is a case of its own.
        """
        situation, branch, _ = self.found
        if not (self.keep and self._involved):
            return Views([(situation, len(branch))], replace(self, columns={}, n=len(branch)), np.arange(len(branch)))
        others = sorted(self._involved - set(self.field.parents) if self._has_all_places else self._involved)
        found = {name: self._exactly(name) for name in others}
        sizes = [len(branch), *(size for _, size, _ in found.values())]
        if 0 in sizes:
            return Views([(np.arange(self.n), self.n)], self, situation)
        axes = [(situation, len(branch)), *((codes, size) for codes, size, _ in found.values())]
        firsts = [first for _, _, first in found.values() if first is not None]
        if not self._has_all_places or len(firsts) < len(found) or CROWD * math.prod(sizes) > self.n:
            case, member = numbered(axes, self.n)
            return Views([(case, len(member))], self.of(member), situation[member])
        # All that can be, rather than what there is: then nothing need be looked for among many rows.
        home, *codes = np.unravel_index(np.arange(math.prod(sizes)), sizes)
        columns = {name: code + first for name, code, first in zip(found, codes, firsts, strict=True)}
        lists = [len(self.bp[name].values) for name in self.field.parents]  # type: ignore[union-attr]
        columns |= dict(zip(self.field.parents, np.unravel_index(home, lists), strict=True)) if lists else {}
        return Views(axes, replace(self, columns=columns, n=len(home)), home)

    @cached_property
    def _has_all_places(self) -> bool:
        """Whether situations are all combinations of the parents' values, rather than those that occur."""
        sizes = [
            len(parent.values)
            for parent in map(self.bp.__getitem__, self.field.parents)
            if parent.kind == "categorical"
        ]
        return len(sizes) == len(self.field.parents) and (not sizes or CROWD * math.prod(sizes) <= self.n)

    def _exactly(self, name: str) -> tuple[Array, int, int | None]:
        """Number the values of a field drawn before, as far as what is to be decided depends on them.

        Returned are the numbers, how many there are, and which value the first stands for; none where a number stands
        for several values, and zero numbers where there are too many.
        """
        field, column = sampled(self.bp, name), self.columns[name]
        if isinstance(field, CategoricalField):
            return column, len(field.values), 0
        if not any(name in each.fields for each in self.keep):
            axes = [axis(self.bp, heir, name, column) for heir in self._undrawn if name in heir.parents]
            return combined(axes), math.prod(size for _, size in axes), None
        least, most = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if column.dtype.kind != "i" or most - least >= FEW_NUMBERS:
            return column, 0, None
        return (column - least).astype(smallest(most - least + 1)), most - least + 1, least

    @property
    def situation(self) -> Array:
        """Each row's situation."""
        return self.found.situation

    @property
    def situations(self) -> int:
        """How many situations there are."""
        return len(self.found.branch)

    def of(self, rows: NDArray[np.intp]) -> Self:
        """The same for some of the rows, or for some of them many times."""
        kept = {*self.field.parents, *self._involved} & set(self.columns)
        return replace(self, columns={name: self.columns[name][rows] for name in kept}, n=len(rows))

    def allowed(self, values: Array) -> Mask:
        """Which of these values leave every constraint that speaks of the field able to hold, row by row."""
        if not self.keep:
            return np.ones((self.n, len(values)), dtype=bool)
        if self.n * len(values) <= MOST_CELLS:
            many = self.of(np.repeat(np.arange(self.n), len(values)))
            return many.can_hold(np.tile(values, self.n)).reshape(self.n, len(values))
        return np.column_stack([self.can_hold(np.full(self.n, value)) for value in values])

    def can_hold(self, values: Array) -> Mask:
        """Whether every constraint holds, or still can, where the field has these values, or codes of values."""
        if not self.keep:
            return np.ones(len(values), dtype=bool)
        tried = dict(self.columns) | {self.field.name: values}
        known = dict(self._others) | {self.field.name: self._known(self.field.name, tried)}
        for heir in self._undrawn:
            if self.field.name in heir.parents:
                known[heir.name] = self._known(heir.name, tried)
        possible = np.ones(len(values), dtype=bool)
        for each in self.keep:
            possible &= intervals.holds(each.tree, known, len(values))
        return possible

    @cached_property
    def _involved(self) -> set[str]:
        """The fields drawn before that decide what the constraints leave this one."""
        spoken = {name for each in self.keep for name in each.fields}
        return {name for name in spoken | {p for heir in self._undrawn for p in heir.parents} if name in self.columns}

    @cached_property
    def _undrawn(self) -> list[SampledField]:
        """The other fields that the constraints speak of and that are still to be drawn."""
        spoken = {name for each in self.keep for name in each.fields} - {self.field.name}
        return [sampled(self.bp, name) for name in sorted(spoken) if name not in self.columns]

    @cached_property
    def _others(self) -> dict[str, Interval | Categories]:
        """What is known of the other fields that the constraints speak of, whatever this field becomes."""
        spoken = {name for each in self.keep for name in each.fields}
        return {name: self._known(name, self.columns) for name in spoken - {self.field.name}}

    def _known(self, name: str, columns: Columns) -> Interval | Categories:
        """What is known of a field: its column where drawn, else all that its parents, or nothing, leave open."""
        field = sampled(self.bp, name)
        if name in columns:
            return drawn(field, columns[name])
        if isinstance(field, NumericField) and field.parents and set(field.parents) <= set(columns):
            found, which = branches(self.bp, field, columns)
            reach = np.array([law_of(each).points[[0, -1]] if each else (-np.inf, np.inf) for each in found])
            return reach[which, 0], reach[which, 1]
        return intervals.support(field)

    def bounds(self) -> tuple[Floats, Floats]:
        """The interval that every linear constraint leaves the field, row by row."""
        low, high = np.full(self.n, -np.inf), np.full(self.n, np.inf)
        for each in self.keep:
            if self.field.name in each.fields:
                window = intervals.bounds(each.tree, self.field.name, self._others)
                if window is not None:
                    low, high = np.maximum(low, window[0]), np.minimum(high, window[1])
        return low, high


def law_of(branch: Branch) -> moments.Law:
    """The solved law of a numeric field's branch."""
    return moments.law(cast(Numeric, branch.distribution))


def _plain(value: str | float) -> str | int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value
