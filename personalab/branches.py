"""Branches: which distribution holds for which member.

A field may state a base distribution, conditionals for some of its parents' values, or both, and often states them
for a few values only. What holds for a member is decided here, once, for the linter, the sampler and the reports:

1. the conditional that matches and is the most specific: more conditions before fewer, and among equals the one
   whose conditions lie inside the other's (`"30..34"` inside `"30..44"`);
2. else, where a parent has ``ordered_values``, a straight line in rank position between the nearest values that are
   covered (min, max, mean, sd; weights), held constant beyond the outermost ones;
3. else the field's base distribution. One covered value alone draws no line: beside a base it is an exception to
   it, not the rule for everyone;
4. else nothing: the values are uncovered, which the linter reports and the sampler refuses.

A condition on a numeric parent is a closed interval: ``"30..44"``, ``"65.."``, ``"..17"``, or one number. Where two
intervals of a real-valued parent share an end, the conditional listed first has that one point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint import (
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

Distribution = Categorical | Numeric
Origin = Literal["rule", "interpolated", "base"]
Parents = Mapping[str, Any]  # a value for each parent: a str for a categorical one, a number for a numeric one

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_INTERVAL = re.compile(rf"\s*({_NUMBER})?\s*\.\.\s*({_NUMBER})?\s*|\s*({_NUMBER})\s*")


@dataclass(frozen=True)
class Branch:
    """One distribution and how it came to hold.

    Attributes
    ----------
    distribution : Categorical or Numeric
        What is drawn from.
    origin : {"rule", "interpolated", "base"}
        A stated conditional, a line between two of them, or the field's base.
    label : str
        For people: the conditions, or the parent values interpolated for.
    """

    distribution: Distribution
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


def branch(bp: Blueprint, field: SampledField, at: Parents) -> Branch | None:
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
    Branch or None
        None where nothing is stated that could hold.

    Examples
    --------
    >>> from personalab.blueprint import Blueprint
    >>> tiers = {"name": "tier", "kind": "categorical", "ordered_values": ["low", "mid", "high"],
    ...          "categorical": {"weights": {"low": 0.5, "mid": 0.3, "high": 0.2}}}
    >>> def hours(mean):
    ...     return {"min": 0, "max": 40, "mean": mean, "sd": 4}
    >>> weekly = {"name": "hours", "kind": "numeric", "parents": ["tier"], "conditionals": [
    ...     {"when": {"tier": "low"}, "numeric": hours(4)}, {"when": {"tier": "high"}, "numeric": hours(20)}]}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["tier", "hours"], "fields": [tiers, weekly]})
    >>> found = branch(bp, bp["hours"], {"tier": "mid"})
    >>> found.origin, found.distribution.mean
    ('interpolated', 12.0)
    """
    rule = winner(field, at)
    if rule is not None:
        return Branch(stated(rule), "rule", label(rule.when))
    ordered = [name for name in field.parents if _order(bp, name)]
    line = _between(bp, field, at, ordered)
    if line is not None and not (field.base is not None and _covered_once(bp, field, at, ordered)):
        return Branch(
            line, "interpolated", label({name: at[name] for name in field.parents if isinstance(at[name], str)})
        )
    return Branch(field.base, "base", "base") if field.base is not None else None


def branches(bp: Blueprint, field: SampledField, frame: pd.DataFrame) -> tuple[list[Branch | None], NDArray[np.intp]]:
    """Decide for every row of a frame at once.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : CategoricalField or NumericField
        The field to be drawn, or that was.
    frame : pandas.DataFrame
        Holds the field's parents.

    Returns
    -------
    list of Branch or None, array of int
        The distinct branches, and for each row which of them is its own.
    """
    group, first = situations(bp, field, frame)
    found = [branch(bp, field, _row(bp, field.parents, frame, int(row))) for row in first]
    distinct = list(dict.fromkeys(found))
    index = np.array([distinct.index(item) for item in found], dtype=np.intp)
    return distinct, index[group]


def situations(bp: Blueprint, field: SampledField, frame: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Group the rows of a frame by what a field's distribution can depend on.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : CategoricalField or NumericField
        The field to be drawn, or that was.
    frame : pandas.DataFrame
        Holds the field's parents.

    Returns
    -------
    array of int, array of int
        For each row its group, and for each group its first row. Rows of one group have equal categorical parents,
        and numeric parents that lie in the same intervals.
    """
    if not field.parents or not len(frame):
        return np.zeros(len(frame), dtype=np.intp), np.zeros(1, dtype=np.intp)
    codes = np.column_stack([_situation(bp, field, name, frame[name]) for name in field.parents])
    _, first, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return group.reshape(-1), first


def winner(field: SampledField, at: Parents) -> Conditional | None:
    """The conditional that holds at given parent values by rule 1, or None where none matches."""
    matching = [
        rule for rule in field.conditionals if all(_matches(text, at[name]) for name, text in rule.when.items())
    ]
    if not matching:
        return None
    most = max(len(rule.when) for rule in matching)
    top = [rule for rule in matching if len(rule.when) == most]
    inside = [rule for rule in top if all(_inside(rule, other) for other in top)]
    return (inside or top)[0]


def is_tie(field: SampledField, at: Parents) -> bool:
    """Whether only the order of the list decides which conditional holds at given parent values."""
    chosen = winner(field, at)
    if chosen is None:
        return False
    rivals = [rule for rule in field.conditionals if rule is not chosen and len(rule.when) == len(chosen.when)]
    rivals = [rule for rule in rivals if all(_matches(text, at[name]) for name, text in rule.when.items())]
    return any(not _inside(chosen, rival) or rival.when == chosen.when for rival in rivals)


def stated(rule: Conditional) -> Distribution:
    """The distribution that a conditional holds."""
    if isinstance(rule, CategoricalConditional):
        return rule.categorical
    if isinstance(rule, NumericConditional):
        return rule.numeric
    raise TypeError("a conditional holds weights or a numeric distribution")


def label(when: Parents) -> str:
    """Parent values or conditions, for people: ``rank=Gold, age=30..44``."""
    return ", ".join(f"{name}={value}" for name, value in when.items())


def _matches(text: str, value: Any) -> bool:
    if isinstance(value, str):
        return text == value
    low, high = interval(text)
    return bool(low <= value <= high)


def _inside(rule: Conditional, other: Conditional) -> bool:
    """Whether every condition of `rule` lies inside the one that `other` puts on the same parent."""
    if set(rule.when) != set(other.when):
        return False
    return all(_narrower(text, other.when[name]) for name, text in rule.when.items())


def _narrower(text: str, other: str) -> bool:
    if text == other:
        return True
    if not (_INTERVAL.fullmatch(text) and _INTERVAL.fullmatch(other)):
        return False
    (low, high), (least, most) = interval(text), interval(other)
    return least <= low and high <= most


def _order(bp: Blueprint, name: str) -> tuple[str, ...] | None:
    parent = bp[name]
    return parent.ordered_values if isinstance(parent, CategoricalField) else None


def _stated(bp: Blueprint, field: SampledField, at: Parents, along: list[str]) -> Distribution | None:
    rule = winner(field, at)
    return stated(rule) if rule is not None else _between(bp, field, at, along)


def _between(bp: Blueprint, field: SampledField, at: Parents, along: list[str]) -> Distribution | None:
    """Interpolate along the first ordered parent that has covered values; the others stay where they are."""
    for i, name in enumerate(along):
        values = _order(bp, name) or ()
        if at[name] not in values:
            continue
        here = values.index(at[name])
        others = {k: {**at, name: value} for k, value in enumerate(values) if k != here}
        reached = {k: _stated(bp, field, other, along[i + 1 :]) for k, other in others.items()}
        covered: dict[int, Distribution] = {k: found for k, found in reached.items() if found}
        below = max((k for k in covered if k < here), default=None)
        above = min((k for k in covered if k > here), default=None)
        low, high = above if below is None else below, below if above is None else above
        if low is None or high is None:
            continue
        return _mix(covered[low], covered[high], (here - low) / (high - low) if high > low else 0.0)
    return None


def _covered_once(bp: Blueprint, field: SampledField, at: Parents, ordered: list[str]) -> bool:
    """Whether fewer than two values of each ordered parent are covered, so that no line is drawn."""
    for name in ordered:
        covered = [winner(field, {**at, name: value}) is not None for value in _order(bp, name) or ()]
        if sum(covered) >= 2:
            return False
    return True


def _mix(low: Distribution, high: Distribution, share: float) -> Distribution:
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


def _situation(bp: Blueprint, field: SampledField, name: str, column: pd.Series[Any]) -> NDArray[np.int64]:
    """Number the rows of a parent's column so that equal numbers mean: the same conditions match."""
    if not isinstance(bp[name], NumericField):
        return np.asarray(pd.factorize(column)[0], dtype=np.int64)
    texts = dict.fromkeys(rule.when[name] for rule in field.conditionals if name in rule.when)
    values = column.to_numpy(dtype=float)
    ends = [interval(text) for text in texts]
    matches = np.array([(low <= values) & (values <= high) for low, high in ends]).reshape(len(ends), len(values))
    _, number = np.unique(matches, axis=1, return_inverse=True)
    return np.asarray(number, dtype=np.int64).reshape(-1)


def _row(bp: Blueprint, parents: tuple[str, ...], frame: pd.DataFrame, row: int) -> dict[str, Any]:
    values = {name: frame[name].iloc[row] for name in parents}
    return {name: float(v) if isinstance(bp[name], NumericField) else str(v) for name, v in values.items()}
