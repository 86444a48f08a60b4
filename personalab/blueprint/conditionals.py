"""Conditional distributions: which one holds for which member.

A field may state a base distribution, conditionals for some of its parents' values, or both, and often states them
for a few values only. What holds for a member is decided here, once, for validation, the sampler and the reports:

1. the conditional that matches and is the most specific: more conditions before fewer, and among equals the one
   whose conditions lie inside the other's (`"30..34"` inside `"30..44"`);
2. else, where a parent has ``ordered_values``, a straight line in rank position between the nearest values that are
   covered (min, max, mean, sd; weights), held constant beyond the outermost ones; where several parents have an
   order, along the first that has covered values on both sides;
3. else the field's base distribution. One covered value alone draws no line: beside a base it is an exception to
   it, not the rule for everyone;
4. else nothing: the values are uncovered, which validation reports and the sampler refuses.

A condition on a numeric parent is a closed interval: ``"30..44"``, ``"65.."``, ``"..17"``, or one number. Where two
intervals of a real-valued parent share an end, the conditional listed first has that one point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import FEW_KEYS, Array, Columns, numbered
from personalab.blueprint.model import (
    Blueprint,
    Categorical,
    CategoricalConditional,
    CategoricalField,
    Conditional,
    Numeric,
    NumericConditional,
    NumericField,
    SampledField,
)
from personalab.errors import BlueprintError

Stated = Categorical | Numeric
Origin = Literal["conditional", "interpolated", "base"]
Parents = Mapping[str, Any]  # a value for each parent: a str for a categorical one, a number for a numeric one

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_INTERVAL = re.compile(rf"\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*|\s*({_NUMBER})\s*")


@dataclass(frozen=True)
class ConditionalDistribution:
    """One distribution and how it came to hold.

    Attributes
    ----------
    distribution : Categorical or Numeric
        What is drawn from.
    origin : {"conditional", "interpolated", "base"}
        A stated conditional, a line between two of them, or the field's base.
    label : str
        For people: the conditions, or the parent values interpolated for.
    """

    distribution: Stated
    origin: Origin
    label: str


def interval(text: str) -> tuple[float, float]:
    """Read a condition on a numeric parent.

    Parameters
    ----------
    text : str
        ``"30..44"``, ``"65.."``, ``"..17"`` or ``"30"``.

    Returns
    -------
    tuple of float
        Least and greatest value it matches, both included.

    Raises
    ------
    BlueprintError
        If it is none of these, or its ends are the wrong way round.

    Examples
    --------
    >>> interval("65..")
    (65.0, inf)
    """
    match = _INTERVAL.fullmatch(text)
    if match is None or text.strip() == "..":
        raise BlueprintError(f"{text!r} is no interval", hint='write "30..44", "65..", "..17" or one number')
    low, high, point = match.groups()
    if point is not None:
        return float(point), float(point)
    ends = (float(low) if low else -math.inf, float(high) if high else math.inf)
    if ends[0] > ends[1]:
        raise BlueprintError(f"{text!r} ends before it begins")
    return ends


def find_distribution(bp: Blueprint, field: SampledField, at: Parents) -> ConditionalDistribution | None:
    """Decide which distribution of a field holds at given parent values.

    Parameters
    ----------
    bp : Blueprint
        The whole, for the parents' kinds and orders.
    field : CategoricalField or NumericField
        The field to be drawn.
    at : mapping of str to str or float
        A value for each of the field's parents.

    Returns
    -------
    ConditionalDistribution or None
        None where nothing is stated that could hold.

    Examples
    --------
    >>> from personalab.blueprint.model import Blueprint
    >>> tiers = {"name": "tier", "kind": "categorical", "ordered_values": ["low", "mid", "high"],
    ...          "categorical": {"weights": {"low": 0.5, "mid": 0.3, "high": 0.2}}}
    >>> def hours(mean):
    ...     return {"min": 0, "max": 40, "mean": mean, "sd": 4}
    >>> weekly = {"name": "hours", "kind": "numeric", "parents": ["tier"], "conditionals": [
    ...     {"when": {"tier": "low"}, "numeric": hours(4)}, {"when": {"tier": "high"}, "numeric": hours(20)}]}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["tier", "hours"], "fields": [tiers, weekly]})
    >>> found = find_distribution(bp, bp["hours"], {"tier": "mid"})
    >>> found.origin, found.distribution.mean
    ('interpolated', 12.0)
    """
    return Lookup(bp, field).find(at)


def find_distributions(
    bp: Blueprint, field: SampledField, columns: Columns
) -> tuple[list[ConditionalDistribution | None], NDArray[np.intp]]:
    """Decide for every row at once.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : CategoricalField or NumericField
        The field to be drawn, or that was.
    columns : mapping of str to array
        Hold the field's parents: codes of values, or numbers.

    Returns
    -------
    list of ConditionalDistribution or None, array of int
        The distinct distributions, and for each row which of them is its own; the first where the field has no parents.
    """
    n = len(next(iter(columns.values()))) if columns else 0
    if not field.parents or not n:
        return [Lookup(bp, field).find({})] if n else [], np.zeros(n, dtype=np.intp)
    group, member = number_configurations(bp, field, columns)
    lookup = Lookup(bp, field)
    found = [lookup.find(at) for at in values_at(bp, field.parents, columns, member)]
    number: dict[ConditionalDistribution | None, int] = {}
    index = np.array([number.setdefault(item, len(number)) for item in found], dtype=np.intp)
    return list(number), index[group]


def number_configurations(bp: Blueprint, field: SampledField, columns: Columns) -> tuple[Array, NDArray[np.intp]]:
    """Group rows by what a field's distribution can depend on.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : CategoricalField or NumericField
        A field with parents.
    columns : mapping of str to array
        Hold the field's parents: codes of values, or numbers.

    Returns
    -------
    array of int, array of int
        For each row its group, and for each group one of its rows. Rows of one group have equal categorical parents,
        and numeric parents that lie in the same intervals.
    """
    return numbered([axis(bp, field, name, columns[name]) for name in field.parents], len(columns[field.parents[0]]))


def axis(bp: Blueprint, field: SampledField, name: str, column: Array) -> tuple[Array, int]:
    """Number the rows of a parent's column so that equal numbers mean: the same conditions match; and how many."""
    parent = bp[name]
    if isinstance(parent, CategoricalField):
        return column, len(parent.values)
    spans = [
        interval(text) for text in dict.fromkeys(rule.when[name] for rule in field.conditionals if name in rule.when)
    ]
    if not spans or not len(column):
        return np.zeros(len(column), dtype=np.int8), 1
    # Between two neighbouring ends, and at each end, the same intervals match; as many numbers as there are patterns.
    ends = np.unique([end for span in spans for end in span])
    between = np.concatenate([[ends[0] - 1], (ends[:-1] + ends[1:]) / 2, [ends[-1] + 1]])
    atoms = np.insert(between, np.arange(1, len(between)), ends)
    matches = np.array([(low <= atoms) & (atoms <= high) for low, high in spans])
    _, pattern = np.unique(matches, axis=1, return_inverse=True)
    pattern = pattern.reshape(-1).astype(np.int32)
    low, high = column.min(), column.max()
    if column.dtype.kind == "i" and high - low < FEW_KEYS:
        return np.take(pattern[_atom(ends, np.arange(low, high + 1))], column - low, mode="clip"), int(
            pattern.max()
        ) + 1
    return pattern[_atom(ends, column)], int(pattern.max()) + 1


def values_at(
    bp: Blueprint, names: Iterable[str], columns: Columns, rows: NDArray[np.intp]
) -> list[dict[str, str | float]]:
    """The fields' values in some rows, a dict a row: a label for each category, a float for each number."""
    read: dict[str, list[Any]] = {}
    for name in names:
        field, cells = bp[name], columns[name][rows].tolist()
        read[name] = (
            [field.values[code] for code in cells] if isinstance(field, CategoricalField) else list(map(float, cells))
        )
    return [dict(zip(read, cells, strict=True)) for cells in zip(*read.values(), strict=True)]


class _Rules:
    """A field's conditionals by the parents they speak of and the categories they name, most specific first."""

    def __init__(self, field: SampledField, numeric: Collection[str]) -> None:
        tables: dict[tuple[str, ...], dict[tuple[str, ...], list[_Rule]]] = {}
        for place, rule in enumerate(field.conditionals):
            exact = tuple(name for name in sorted(rule.when) if name not in numeric)
            spans = {name: interval(text) for name, text in rule.when.items() if name in numeric}
            table = tables.setdefault(tuple(sorted(rule.when)), {})
            table.setdefault(tuple(rule.when[name] for name in exact), []).append(_Rule(place, rule, spans))
        self._tables = [
            (names, tuple(name for name in names if name not in numeric), table)
            for names, table in sorted(tables.items(), key=lambda item: -len(item[0]))
        ]

    def winner(self, at: Parents) -> Conditional | None:
        """The conditional that holds by rule 1, or None where none matches."""
        top = self._most_specific(at)
        inside = [rule for rule in top if all(rule.is_inside(other) for other in top)]
        return (inside or top)[0].conditional if top else None

    def is_tie(self, at: Parents) -> bool:
        """Whether only the order of the list decides."""
        top = self._most_specific(at)
        inside = [rule for rule in top if all(rule.is_inside(other) for other in top)]
        return len(top) > 1 and len(inside) != 1

    def _most_specific(self, at: Parents) -> list[_Rule]:
        """Every matching conditional with as many conditions as the one that has most."""
        found: list[_Rule] = []
        for names, exact, table in self._tables:
            if found and len(names) < len(found[0].conditional.when):
                break
            found += [rule for rule in table.get(tuple(at[name] for name in exact), ()) if rule.matches(at)]
        return sorted(found, key=lambda rule: rule.place)


@dataclass(frozen=True)
class _Rule:
    """A conditional with its place in the list and its intervals read."""

    place: int
    conditional: Conditional
    spans: dict[str, tuple[float, float]]

    def matches(self, at: Parents) -> bool:
        """Whether every numeric parent lies in its interval."""
        return all(low <= at[name] <= high for name, (low, high) in self.spans.items())

    def is_inside(self, other: _Rule) -> bool:
        """Whether, of two that match, every condition lies inside the one that `other` puts on the same parent."""
        if set(self.conditional.when) != set(other.conditional.when):
            return False
        return all(
            other.spans[name][0] <= low and high <= other.spans[name][1] for name, (low, high) in self.spans.items()
        )


@dataclass(frozen=True)
class _Line:
    """What a line along one parent yields, and whether it has covered values on both sides."""

    distribution: Stated
    has_both_ends: bool


class Lookup:
    """What holds for one field at any parent values, prepared once so that asking often is cheap.

    Parameters
    ----------
    bp : Blueprint
        The whole, for the parents' kinds and orders.
    field : CategoricalField or NumericField
        The field to be drawn.
    """

    def __init__(self, bp: Blueprint, field: SampledField) -> None:
        self.field = field
        self._rules = _Rules(field, {name for name in field.parents if isinstance(bp[name], NumericField)})
        self._orders = {name: order for name in field.parents if (order := _order(bp, name))}
        self._lines: dict[tuple[Any, ...], Stated | None] = {}

    def find(self, at: Parents) -> ConditionalDistribution | None:
        """As `find_distribution`, for this field."""
        rule = self._rules.winner(at)
        if rule is not None:
            return ConditionalDistribution(stated(rule), "conditional", label(rule.when))
        base = self.field.base
        line = self._between(at, tuple(self._orders))
        if line is not None and not (base is not None and self._covered_once(at)):
            categories = {name: at[name] for name in self.field.parents if isinstance(at[name], str)}
            return ConditionalDistribution(line, "interpolated", label(categories))
        return ConditionalDistribution(base, "base", "base") if base is not None else None

    def is_tie(self, at: Parents) -> bool:
        """Whether only the order of the list decides which conditional holds."""
        return self._rules.is_tie(at)

    def _stated(self, at: Parents, along: tuple[str, ...]) -> Stated | None:
        rule = self._rules.winner(at)
        return stated(rule) if rule is not None else self._between(at, along)

    def _between(self, at: Parents, along: tuple[str, ...]) -> Stated | None:
        """Interpolate along one ordered parent, the others staying where they are.

        The first along which covered values lie on both sides, else the first along which they lie on one.
        """
        key = (len(along), *(at[name] for name in self.field.parents))
        if key not in self._lines:
            lines = [line for i, name in enumerate(along) if (line := self._line(at, name, along[i + 1 :]))]
            between = [line for line in lines if line.has_both_ends]
            self._lines[key] = next((line.distribution for line in between or lines), None)
        return self._lines[key]

    def _line(self, at: Parents, name: str, along: tuple[str, ...]) -> _Line | None:
        """The line along one parent between the nearest values that are covered, its ends held."""
        values = self._orders[name]
        if at[name] not in values:
            return None
        here = values.index(at[name])
        below = self._nearest(at, name, along, range(here - 1, -1, -1))
        above = self._nearest(at, name, along, range(here + 1, len(values)))
        if below is None or above is None:
            end = below or above
            return _Line(end[1], has_both_ends=False) if end else None
        return _Line(_mix(below[1], above[1], (here - below[0]) / (above[0] - below[0])), has_both_ends=True)

    def _nearest(
        self, at: Parents, name: str, along: tuple[str, ...], ranks: Iterable[int]
    ) -> tuple[int, Stated] | None:
        for rank in ranks:
            found = self._stated({**at, name: self._orders[name][rank]}, along)
            if found is not None:
                return rank, found
        return None

    def _covered_once(self, at: Parents) -> bool:
        """Whether fewer than two values of each ordered parent are covered, so that no line is drawn."""
        for name, values in self._orders.items():
            covered = (self._rules.winner({**at, name: value}) is not None for value in values)
            if sum(covered) >= 2:
                return False
        return True


def stated(rule: Conditional) -> Stated:
    """The distribution that a conditional holds."""
    if isinstance(rule, CategoricalConditional):
        return rule.categorical
    if isinstance(rule, NumericConditional):
        return rule.numeric
    raise TypeError("a conditional holds weights or a numeric distribution")


def label(when: Parents) -> str:
    """Parent values or conditions, for people: ``rank=Gold, age=30..44``."""
    return ", ".join(f"{name}={value}" for name, value in when.items())


def _order(bp: Blueprint, name: str) -> tuple[str, ...] | None:
    parent = bp[name]
    return parent.ordered_values if isinstance(parent, CategoricalField) else None


def _mix(low: Stated, high: Stated, share: float) -> Stated:
    if isinstance(low, Categorical) and isinstance(high, Categorical):
        keys = dict.fromkeys([*low.weights, *high.weights])
        mixed = {key: (1 - share) * low.weights.get(key, 0) + share * high.weights.get(key, 0) for key in keys}
        total = sum(mixed.values())
        return Categorical(weights={key: weight / total for key, weight in mixed.items()} if total > 0 else mixed)
    if isinstance(low, Numeric) and isinstance(high, Numeric):
        integer = low.integer and high.integer
        ends = [(1 - share) * a + share * b for a, b in ((low.min, high.min), (low.max, high.max))]
        return Numeric(
            min=round(ends[0]) if integer else ends[0],
            max=round(ends[1]) if integer else ends[1],
            mean=(1 - share) * low.mean + share * high.mean,
            sd=(1 - share) * low.sd + share * high.sd,
            integer=integer,
        )
    raise TypeError("a field's distributions are of one kind")


def _atom(ends: NDArray[np.float64], column: Array) -> NDArray[np.intp]:
    """Which stretch between ends, or which end, each number is: even for stretches, odd for ends."""
    return np.searchsorted(ends, column) + np.searchsorted(ends, column, side="right")
