"""Reachable configurations: which values fields can have together, so that nothing is said of people nobody can be.

The joint support of a Bayesian network is found by going through the fields as sampling does, parents first: for each
configuration of the parents, the values that the conditional distribution gives a share, less what a constraint rules
out. Fields that nothing later depends on are summed out on the way. A category counts by its values; a number by the
stretches into which the intervals of its children's conditions cut its range, within which no condition tells anybody
apart. What is called reachable may still be ruled out by several constraints together; what is not, nobody can have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.conditionals import Lookup, interval
from personalab.blueprint.constraints import Apply, names
from personalab.blueprint.intervals import Categories, Interval, holds, support
from personalab.blueprint.model import (
    AnyField,
    Blueprint,
    Categorical,
    CategoricalField,
    Numeric,
    NumericField,
    SampledField,
)

MOST_CONFIGURATIONS = 20_000  # that are looked at one by one

Stretch = tuple[float, float]  # the least and the greatest number, or one category's code twice


class Joint(NamedTuple):
    """Values that some fields can have together.

    Attributes
    ----------
    bp : Blueprint
        The whole.
    fields : tuple of str
        The fields.
    rows : array, of shape (n, 2 · fields)
        A configuration each: for every field its least and greatest number, or the code of its value twice.
    is_whole : bool
        Whether these are all; else there are more than are looked at.
    """

    bp: Blueprint
    fields: tuple[str, ...]
    rows: NDArray[np.float64]
    is_whole: bool

    def column(self, name: str) -> NDArray[np.float64]:
        """A field's stretches, one a row."""
        at = 2 * self.fields.index(name)
        return self.rows[:, at : at + 2]

    def configurations(self) -> list[dict[str, str | float]]:
        """The fields' values in each row; for a stretch of numbers one that stands for all of it."""
        read = [self._values(name) for name in self.fields]
        rows = zip(*read, strict=True) if read else [()] * len(self.rows)
        return [dict(zip(self.fields, values, strict=True)) for values in rows]

    def labels(self, fields: Sequence[str]) -> list[str]:
        """Each row for people, such as ``rank=Gold, age=30..44``."""
        read = [[f"{name}={text}" for text in self._texts(name)] for name in fields]
        return [", ".join(parts) for parts in zip(*read, strict=True)] if read else [""] * len(self.rows)

    def known(self, tree: Apply) -> dict[str, Interval | Categories]:
        """What the rows say of the fields that a constraint speaks of, and the support of the others."""
        found = dict[str, Interval | Categories]()
        for name in names(tree):
            field = self.bp[name]
            if name not in self.fields:
                found[name] = support(field)
            elif isinstance(field, CategoricalField):
                found[name] = Categories(field.values, self.column(name)[:, 0].astype(np.intp))
            else:
                found[name] = (self.column(name)[:, 0], self.column(name)[:, 1])
        return found

    def _values(self, name: str) -> list[str | float]:
        field, stretches = self.bp[name], self.column(name)
        if isinstance(field, CategoricalField):
            return [field.values[int(code)] for code in stretches[:, 0]]
        middles = stretches.mean(axis=1)
        return list((np.floor(middles) if _is_whole_number(field) else middles).tolist())

    def _texts(self, name: str) -> list[str]:
        if isinstance(self.bp[name], CategoricalField):
            return [str(value) for value in self._values(name)]
        return [f"{low:g}" if low == high else f"{low:g}..{high:g}" for low, high in self.column(name)]


def joint(
    bp: Blueprint, wanted: Iterable[str], kept: Collection[Apply] = (), child: SampledField | None = None
) -> Joint:
    """Find which values some fields can have together.

    Parameters
    ----------
    bp : Blueprint
        One without errors up to here: names, order, distributions and conditions.
    wanted : iterable of str
        The fields.
    kept : collection of Apply
        Constraints that nobody breaks, as from `resolution.resolve`.
    child : CategoricalField or NumericField, optional
        A field of whose conditions the intervals cut the numbers wanted.

    Returns
    -------
    Joint
        The configurations, each once.

    Examples
    --------
    >>> job = {"name": "job", "kind": "categorical", "categorical": {"weights": {"pupil": 0.2, "nurse": 0.8}}}
    >>> ages = {"pupil": {"min": 6, "max": 19, "mean": 12, "sd": 3},
    ...         "nurse": {"min": 21, "max": 66, "mean": 43, "sd": 9}}
    >>> age = {"name": "age", "kind": "numeric", "parents": ["job"],
    ...        "conditionals": [{"when": {"job": name}, "numeric": law} for name, law in ages.items()]}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["job", "age"], "fields": [job, age]})
    >>> found = joint(bp, ["job", "age"])
    >>> found.labels(["job", "age"])
    ['job=pupil, age=6..19', 'job=nurse, age=21..66']
    """
    wanted = tuple(wanted)
    line = _upstream(bp, wanted)
    found = Joint(bp, (), np.zeros((1, 0)), is_whole=True)
    for place, field in enumerate(line):
        later = line[place + 1 :]
        found = _with(found, field, _cuts(field, [*later, *([child] if child else [])]))
        for tree in kept:
            if field.name in names(tree):
                found = found._replace(rows=found.rows[holds(tree, found.known(tree), len(found.rows))])
        needed = {*wanted, *(name for each in later for name in each.parents)}
        found = _of(found, [name for name in found.fields if name in needed])
    return found


def _upstream(bp: Blueprint, wanted: Iterable[str]) -> list[SampledField]:
    """The fields and all that they depend on, parents first."""
    found, edge = set[str](), [*wanted]
    while edge:
        name = edge.pop()
        if name not in found:
            found.add(name)
            edge += bp[name].parents
    fields = {field.name: field for field in bp.sampled}
    return [fields[name] for name in bp.order if name in found]


def _with(before: Joint, field: SampledField, cuts: list[float]) -> Joint:
    """The configurations with one field more."""
    lookup, is_whole = Lookup(before.bp, field), before.is_whole
    rows, added, options = list[int](), list[Stretch](), dict[tuple[str | float, ...], list[Stretch]]()
    for row, values in enumerate(before.configurations()):
        key = tuple(values[name] for name in field.parents)
        if key not in options:
            found = lookup.find(dict(zip(field.parents, key, strict=True)))
            options[key] = _stretches(field, found.distribution, cuts) if found else []
        if len(rows) + len(options[key]) > MOST_CONFIGURATIONS:
            is_whole = False
            break
        rows += [row] * len(options[key])
        added += options[key]
    table = np.column_stack([before.rows[rows], np.array(added, dtype=float).reshape(-1, 2)])
    return Joint(before.bp, (*before.fields, field.name), table, is_whole)


def _stretches(field: SampledField, distribution: Categorical | Numeric, cuts: list[float]) -> list[Stretch]:
    """The values that a distribution gives a share."""
    if isinstance(distribution, Categorical):
        return [(i, i) for i, value in enumerate(field.values) if distribution.weights.get(value, 0) > 0]  # type: ignore[union-attr]
    half = 0.5 if _is_whole_number(field) else 0.0
    low, high = float(distribution.min), float(distribution.max)
    if half:  # cut between whole numbers
        low, high = math.ceil(low) - half, math.floor(high) + half
    ends = [low, *(cut for cut in cuts if low < cut < high), high]
    return [(a + half, b - half) for a, b in itertools.pairwise(ends)]


def _cuts(field: SampledField, children: Iterable[SampledField]) -> list[float]:
    """Where intervals of children's conditions cut a number's range: between whole numbers, where it has only those."""
    rules = [rule for child in children for rule in child.conditionals if field.name in rule.when]
    if not isinstance(field, NumericField):
        return []
    spans = [interval(rule.when[field.name]) for rule in rules]
    lows = [low for low, _ in spans if math.isfinite(low)]
    highs = [high for _, high in spans if math.isfinite(high)]
    if field.is_integer:
        return sorted({*(math.ceil(low) - 0.5 for low in lows), *(math.floor(high) + 0.5 for high in highs)})
    return sorted({*lows, *highs})


def _of(found: Joint, kept: Sequence[str]) -> Joint:
    """The configurations of some of the fields, each once."""
    rows = np.column_stack([found.column(name) for name in kept])
    return Joint(found.bp, tuple(kept), np.unique(rows, axis=0), found.is_whole)


def _is_whole_number(field: AnyField) -> bool:
    return isinstance(field, NumericField) and field.is_integer
