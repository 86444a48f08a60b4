"""Mixtures: the one distribution that a field has over several parent configurations.

A child states what holds for which parent values. Where it loses a parent, or is to get a base distribution, what it
had over all those values is needed in one: the mixture of what holds in each, weighted by how often each occurs.

- How often: by the parents' own shares, which for a parent that is a child itself are a mixture again. Parents are
  taken to be independent of each other, which is exact for one parent and a good guess for more.
- The mixture of tables of weights is their weighted mean. Of numeric distributions it has the mixture's mean and sd,
  √(Σ w (sd² + mean²) - mean²), the least of the mins and the greatest of the maxes; whole numbers only if all are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from personalab.blueprint import moments
from personalab.blueprint.conditionals import Lookup, Stated, interval
from personalab.blueprint.model import Blueprint, Categorical, CategoricalField, Numeric, NumericField, SampledField
from personalab.edits.wire import When, sampled
from personalab.errors import BlueprintError

MOST = 20_000  # parent configurations that are mixed; of more, as many evenly spread ones
DIGITS = 6  # of a mixture's mean and sd, where these suffice

Stretch = tuple[float, float]


def mixture(bp: Blueprint, field: SampledField, when: When) -> Stated:
    """What the field has over all parent configurations in which a condition holds, as one distribution.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : CategoricalField or NumericField
        The field.
    when : mapping of str to str
        Conditions on some of its parents; empty for all configurations.

    Returns
    -------
    Categorical or Numeric
        The mixture, or what holds in every configuration where that is one distribution.

    Examples
    --------
    >>> def around(mean):
    ...     return {"min": 0, "max": 40, "mean": mean, "sd": 4}
    >>> tier = {"name": "tier", "kind": "categorical", "categorical": {"weights": {"low": 0.75, "high": 0.25}}}
    >>> hours = {"name": "hours", "kind": "numeric", "parents": ["tier"], "conditionals": [
    ...     {"when": {"tier": "low"}, "numeric": around(8)}, {"when": {"tier": "high"}, "numeric": around(20)}]}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["tier", "hours"], "fields": [tier, hours]})
    >>> mixture(bp, bp["hours"], {})
    Numeric(min=0, max=40, mean=11.0, sd=6.55744, integer=False)
    """
    parts = _parts(bp, field, when)
    if not parts:
        raise BlueprintError(f"{field.name!r} states nothing that could hold there", hint="state it by hand")
    parts = {part: share for part, share in parts.items() if share > 0} or dict.fromkeys(parts, 1.0)
    total = math.fsum(parts.values())
    mixed = {part: share / total for part, share in parts.items()}
    if len(mixed) == 1:
        return next(iter(mixed))
    return _numbers(mixed) if isinstance(field, NumericField) else _weights(mixed)


def is_covered(bp: Blueprint, field: SampledField) -> bool:
    """Whether something holds in every parent configuration of the field."""
    if field.base is not None or not field.conditionals:
        return field.base is not None
    lookup = Lookup(bp, field)
    axes = [_values(bp, field, name) for name in field.parents]
    return all(lookup.find(dict(zip(field.parents, at, strict=True))) is not None for at in _spread(axes))


def holding(bp: Blueprint, lookup: Lookup, when: When) -> Stated | None:
    """What holds now where a condition does; for an interval, where the fewest other intervals hold too."""
    found = lookup.find(standing(bp, lookup.field, when))
    return found.distribution if found else None


def standing(bp: Blueprint, field: SampledField, when: When) -> dict[str, Any]:
    """Parent values that stand for a condition; every categorical parent is named in it."""
    return {name: stand_in(bp, field, name, when.get(name)) for name in field.parents}


def stand_in(bp: Blueprint, field: SampledField, name: str, condition: str | None) -> Any:
    """One value of a parent that stands for a condition: of a number, where the fewest other intervals hold too."""
    parent = bp[name]
    if not isinstance(parent, NumericField):
        return condition
    spans = _spans(field, name)
    inside = _stretches(parent, spans, condition)
    middles = [_middle(parent, each) for each in inside]
    return min(middles, key=lambda middle: sum(low <= middle <= high for low, high in spans))


def _parts(bp: Blueprint, field: SampledField, when: When) -> dict[Stated, float]:
    """The distributions that hold where the condition does, and how often each."""
    if not field.parents:
        return {field.base: 1.0} if field.base is not None else {}
    lookup, parts = Lookup(bp, field), dict[Stated, float]()
    axes = [_points(bp, field, name, when.get(name)) for name in field.parents]
    for configuration in _spread(axes):
        at = {name: value for name, (value, _) in zip(field.parents, configuration, strict=True)}
        found = lookup.find(at)
        if found is not None:
            share = math.prod(share for _, share in configuration)
            parts[found.distribution] = parts.get(found.distribution, 0.0) + share
    return parts


@lru_cache(maxsize=256)  # a parent's shares are asked for by each of its children
def _marginal(bp: Blueprint, name: str) -> tuple[tuple[Stated, float], ...]:
    parts = _parts(bp, sampled(bp, name), {})
    total = math.fsum(parts.values()) or 1.0
    return tuple((part, share / total) for part, share in parts.items())


def _points(bp: Blueprint, field: SampledField, name: str, condition: str | None) -> list[tuple[Any, float]]:
    """Values of a parent that tell apart all that it can decide, each with the share of people it stands for."""
    parent, own = bp[name], _marginal(bp, name)
    if isinstance(parent, CategoricalField):
        values = parent.values if condition is None else (condition,)
        return [(value, math.fsum(p * t.weights.get(value, 0) for t, p in own)) for value in values]  # type: ignore[union-attr]
    if not isinstance(parent, NumericField):
        return []
    stretches = _stretches(parent, _spans(field, name), condition)
    edges = np.array([stretches[0][0], *(high for _, high in stretches)])
    below = np.nextafter(edges, -np.inf)
    below[-1] = edges[-1]
    upto = np.sum([p * moments.solve(d).cdf(below) for d, p in own], axis=0)  # type: ignore[arg-type]
    return [(_middle(parent, each), float(p)) for each, p in zip(stretches, np.diff(upto), strict=True)]


def _values(bp: Blueprint, field: SampledField, name: str) -> list[Any]:
    """Values of a parent that tell apart all that it can decide."""
    parent = bp[name]
    if isinstance(parent, NumericField):
        return [_middle(parent, each) for each in _stretches(parent, _spans(field, name), None)]
    return list(parent.values) if isinstance(parent, CategoricalField) else []


def _spans(field: SampledField, name: str) -> list[Stretch]:
    """The intervals that a field's conditionals put on a numeric parent."""
    return [interval(rule.when[name]) for rule in field.conditionals if name in rule.when]


def _stretches(parent: NumericField, spans: list[Stretch], condition: str | None) -> list[Stretch]:
    """A number's range, or its part inside a condition, cut where an interval begins or ends."""
    half = 0.5 if parent.is_integer else 0.0
    low, high = min(d.min for d in parent.distributions), max(d.max for d in parent.distributions)
    if condition is not None:
        first, last = interval(condition)
        outside = first > high or last < low
        low, high = (low, high) if outside else (max(low, first), min(high, last))
    low, high = low - half, high + half
    cuts = {cut for a, b in spans for cut in (a - half, b + half) if low < cut < high}
    return list(itertools.pairwise([low, *sorted(cuts), high]))


def _middle(parent: NumericField, stretch: Stretch) -> float:
    middle = stretch[0] / 2 + stretch[1] / 2
    return float(math.floor(middle)) if parent.is_integer else middle


def _spread(axes: list[list[Any]]) -> Iterator[tuple[Any, ...]]:
    """Every combination, or as many as are allowed, spread evenly."""
    total = math.prod(map(len, axes))
    step = -(-total // MOST) or 1
    while math.gcd(step, total) > 1:  # else whole values of the last parents would be stepped over
        step += 1
    for number in range(0, total, step):
        places: list[Any] = []
        for axis in reversed(axes):
            number, at = divmod(number, len(axis))
            places.append(axis[at])
        yield tuple(reversed(places))


def _weights(parts: Mapping[Stated, float]) -> Categorical:
    tables = [(part.weights, share) for part, share in parts.items() if isinstance(part, Categorical)]
    values = dict.fromkeys(value for table, _ in tables for value in table)
    mixed = {value: math.fsum(share * table.get(value, 0) for table, share in tables) for value in values}
    total = math.fsum(mixed.values())
    return Categorical(weights={value: share / total for value, share in mixed.items()})


def _numbers(parts: Mapping[Stated, float]) -> Numeric:
    numbers = [(part, share) for part, share in parts.items() if isinstance(part, Numeric)]
    mean = math.fsum(share * each.mean for each, share in numbers)
    variance = math.fsum(share * (each.sd**2 + (each.mean - mean) ** 2) for each, share in numbers)
    ends = {"min": min(each.min for each, _ in numbers), "max": max(each.max for each, _ in numbers)}
    integer = all(each.integer for each, _ in numbers)
    short = [float(f"{moment:.{DIGITS}g}") for moment in (mean, math.sqrt(variance))]
    brief = Numeric(**ends, mean=short[0], sd=short[1], integer=integer)
    return brief if moments.complaint(brief) is None else Numeric(**ends, mean=mean, sd=variance**0.5, integer=integer)
