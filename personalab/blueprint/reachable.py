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
from collections.abc import Collection, Iterable, Mapping, Sequence
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
MOST_GENERATIONS = 4  # of ancestors that are asked what goes together; those further up may combine freely

Lookups = Mapping[str, Lookup]
Stretch = tuple[float, float]  # the least and the greatest number, or one category's code twice


class Joint(NamedTuple):
    """Values that some fields can have together.

    Attributes
    ----------
    fields : dict of str to CategoricalField or NumericField
        The fields, by name.
    rows : array, of shape (n, 2 · fields)
        A configuration each: for every field its least and greatest number, or the code of its value twice.
    is_whole : bool
        Whether these are all; else there are more than are looked at.
    """

    fields: dict[str, SampledField]
    rows: NDArray[np.float64]
    is_whole: bool

    def column(self, name: str) -> NDArray[np.float64]:
        """A field's stretches, one a row."""
        at = 2 * [*self.fields].index(name)
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

    def _values(self, name: str) -> list[str | float]:
        field, stretches = self.fields[name], self.column(name)
        if isinstance(field, CategoricalField):
            return [field.values[int(code)] for code in stretches[:, 0]]
        middles = stretches.mean(axis=1)
        return list((np.floor(middles) if _is_whole_number(field) else middles).tolist())

    def _texts(self, name: str) -> list[str]:
        if isinstance(self.fields[name], CategoricalField):
            return [str(value) for value in self._values(name)]
        return [f"{low:g}" if low == high else f"{low:g}..{high:g}" for low, high in self.column(name)]


def joint(
    lookups: Lookups, wanted: Iterable[str], kept: Collection[Apply] = (), child: SampledField | None = None
) -> Joint:
    """Find which values some fields can have together.

    Parameters
    ----------
    lookups : mapping of str to Lookup
        What holds for each field that is sampled, from `lookups_of`: of a blueprint whose names, order, distributions
        and conditions are sound.
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
    >>> found = joint(lookups_of(bp), ["job", "age"])
    >>> found.labels(["job", "age"])
    ['job=pupil, age=6..19', 'job=nurse, age=21..66']
    """
    wanted = tuple(wanted)
    readers = [child] if child else []
    found = _through(lookups, _upstream(lookups, wanted), wanted, kept, readers, MOST_CONFIGURATIONS)
    # Too many on the way: the fields alone then, each with all that it can be.
    return (
        found if found.is_whole else _through(lookups, _upstream(lookups, wanted, 0), wanted, kept, readers, math.inf)
    )


def lookups_of(bp: Blueprint) -> Lookups:
    """What holds for each field that is sampled, in the order they are drawn; prepared once, for many questions."""
    fields = {field.name: field for field in bp.sampled}
    return {name: Lookup(bp, fields[name]) for name in bp.order if name in fields}


def _through(
    lookups: Lookups,
    line: Sequence[SampledField],
    wanted: Sequence[str],
    kept: Collection[Apply],
    readers: Sequence[SampledField],
    most: float,
) -> Joint:
    """Go through fields, parents first; stop where more than `most` configurations were looked at on the way."""
    found, looked_at = Joint({}, np.zeros((1, 0)), is_whole=True), 0
    for place, field in enumerate(line):
        later = line[place + 1 :]
        found = _with(found, lookups[field.name], _cuts(field, [*later, *readers]))
        looked_at += len(found.rows)
        if looked_at > most:
            return found._replace(is_whole=False)
        for tree in kept:
            if field.name in names(tree):
                found = _obeying(found, tree, lookups)
        needed = {*wanted, *(name for each in later for name in each.parents)}
        found = _of(found, [name for name in found.fields if name in needed])
    return found


def _obeying(found: Joint, tree: Apply, lookups: Lookups) -> Joint:
    """The configurations in which a constraint can hold, whatever the fields are that they do not have."""
    known = dict[str, Interval | Categories]()
    for name in names(tree):
        field = lookups[name].field
        if name not in found.fields:
            known[name] = support(field)
        elif isinstance(field, CategoricalField):
            known[name] = Categories(field.values, found.column(name)[:, 0].astype(np.intp))
        else:
            known[name] = (found.column(name)[:, 0], found.column(name)[:, 1])
    return found._replace(rows=found.rows[holds(tree, known, len(found.rows))])


def _upstream(lookups: Lookups, wanted: Sequence[str], generations: int = MOST_GENERATIONS) -> list[SampledField]:
    """Fields and those that decide which values they have, some generations up, in the order they are drawn."""
    fields = {name: lookup.field for name, lookup in lookups.items()}
    found, edge = {*wanted}, [*wanted]
    for _ in range(generations):
        edge = [name for each in edge if _varies(fields[each]) for name in fields[each].parents if name not in found]
        found.update(edge)
    return [field for name, field in fields.items() if name in found]


def _varies(field: SampledField) -> bool:
    """Whether which values a field has, and not only how often, depends on its parents."""
    if isinstance(field, NumericField):
        return len({(each.min, each.max) for each in field.distributions}) > 1
    tables = [field.base, *(rule.categorical for rule in field.conditionals)]
    return len({frozenset(v for v, share in table.weights.items() if share > 0) for table in tables if table}) > 1


def _with(before: Joint, lookup: Lookup, cuts: list[float]) -> Joint:
    """The configurations with one field more."""
    field, n = lookup.field, len(before.rows)
    if field.parents and set(field.parents) <= set(before.fields):
        configurations = _of(before, field.parents)
        columns = np.column_stack([before.column(name) for name in field.parents])
        _, which = np.unique(columns, axis=0, return_inverse=True)
        held = [lookup.find(at) for at in configurations.configurations()]
        options = [_stretches(field, each.distribution, cuts) if each else [] for each in held]
    else:
        which, options = np.zeros(n, dtype=np.intp), [_all_stretches(field, cuts)]
    sizes = np.array([len(each) for each in options], dtype=np.intp)[which.reshape(-1)]
    fits = np.cumsum(sizes) <= MOST_CONFIGURATIONS
    rows = np.repeat(np.arange(n)[fits], sizes[fits])
    added = [stretch for each in which.reshape(-1)[fits] for stretch in options[each]]
    table = np.column_stack([before.rows[rows], np.array(added, dtype=float).reshape(-1, 2)])
    return Joint(before.fields | {field.name: field}, table, before.is_whole and bool(fits.all()))


def _all_stretches(field: SampledField, cuts: list[float]) -> list[Stretch]:
    """All that a field can be, whatever its parents."""
    known = support(field)
    if isinstance(known, Categories):
        codes = [field.values.index(value) for value in known.values]  # type: ignore[union-attr]  # of a category
        return [(code, code) for code in codes]
    return _cut(field, *known, cuts)


def _stretches(field: SampledField, distribution: Categorical | Numeric, cuts: list[float]) -> list[Stretch]:
    """The values that a distribution gives a share."""
    if isinstance(distribution, Numeric):
        return _cut(field, distribution.min, distribution.max, cuts)
    return [(i, i) for i, value in enumerate(field.values) if distribution.weights.get(value, 0) > 0]  # type: ignore[union-attr]


def _cut(field: SampledField, low: float, high: float, cuts: list[float]) -> list[Stretch]:
    """A range in stretches; of whole numbers, which are cut in between, those inside of each."""
    half = 0.5 if _is_whole_number(field) else 0.0
    first, last = (math.ceil(low) - half, math.floor(high) + half) if half else (low, high)
    ends = [first, *(cut for cut in cuts if first < cut < last), last]
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
    return Joint({name: found.fields[name] for name in kept}, np.unique(rows, axis=0), found.is_whole)


def _is_whole_number(field: AnyField) -> bool:
    return isinstance(field, NumericField) and field.is_integer
