"""Rows: what holds for a field in each situation of its parents, as a table that can be read and edited.

First stand the conditionals that name some of the parents only, then a row for every combination of categorical
parents' values and of the intervals stated for numeric parents. Each says whether it is stated, or what holds there
instead: another conditional, a line between its neighbours, or the base. An interval that others make up has a row
only where it is stated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from personalab.blueprint import Blueprint, CategoricalField, NumericField, SampledField
from personalab.branches import Distribution, Lookup, interval, label, stated
from personalab.edits.mixture import stand_in
from personalab.edits.wire import found, key

MOST = 400  # rows that are listed

Origin = Literal["stated", "inherited", "interpolated", "base"]
Step = tuple[str | None, Any]  # a parent's condition, if it is stated by any, and a value that stands for it


@dataclass(frozen=True)
class Row:
    """What holds under one condition, and how it came to hold.

    Attributes
    ----------
    when : dict of str to str
        A value for each categorical parent and an interval for each numeric one that any conditional speaks of; fewer
        where a stated conditional names fewer.
    label : str
        The same for people.
    origin : {"stated", "inherited", "interpolated", "base"}
        Its own conditional; one with fewer conditions; a line between stated values; the base.
    source : str or None
        Of an inherited row the label of the conditional that holds.
    distribution : Categorical or Numeric
        What holds.
    """

    when: dict[str, str]
    label: str
    origin: Origin
    source: str | None
    distribution: Distribution


def rows(bp: Blueprint, field: str) -> tuple[list[Row], int]:
    """List what holds for a field in each situation of its parents.

    Parameters
    ----------
    bp : Blueprint
        The whole, valid.
    field : str
        A field; one without parents, or a text, has no rows.

    Returns
    -------
    list of Row, int
        At most 400 rows, and how many more there are.

    Examples
    --------
    >>> import personalab as lab
    >>> bp = lab.Blueprint.load("data/blueprints/league-of-legends.json")
    >>> listed, more = rows(bp, "hours_per_week")
    >>> [(row.label, row.origin) for row in listed[:2]], more
    ([('rank=Bronze', 'stated'), ('rank=Silver', 'interpolated')], 0)
    """
    known = found(bp, field)
    if known.kind == "text" or not known.parents:
        return [], 0
    axes = {name: _steps(bp, known, name) for name in known.parents}
    width = sum(steps[0][0] is not None for steps in axes.values())
    own = {key(bp, rule.when): rule for rule in reversed(known.conditionals)}
    partial = [
        Row(dict(rule.when), label(rule.when), "stated", None, stated(rule))
        for rule in reversed(own.values())
        if len(rule.when) < width
    ]
    others = _full(bp, known, axes, own)
    listed = [*partial, *itertools.islice(others, max(MOST - len(partial), 0))][:MOST]
    is_whole = len(partial) <= MOST and next(others, None) is None
    return listed, 0 if is_whole else len(partial) + math.prod(map(len, axes.values())) - MOST


def _full(bp: Blueprint, field: SampledField, axes: dict[str, list[Step]], own: dict[Any, Any]) -> Iterator[Row]:
    """A row for every combination, its own conditional's or what holds instead."""
    lookup, parts = Lookup(bp, field), {name: _divided(bp, name, steps) for name, steps in axes.items()}
    for steps in itertools.product(*axes.values()):
        when = {name: text for name, (text, _) in zip(axes, steps, strict=True) if text is not None}
        rule = own.get(key(bp, when)) if when else None
        if rule is not None:
            yield Row(dict(rule.when), label(rule.when), "stated", None, stated(rule))
            continue
        if any(when.get(name) in divided for name, divided in parts.items()):
            continue
        branch = lookup.branch({name: value for name, (_, value) in zip(axes, steps, strict=True)})
        if branch is not None and when:
            source = branch.label if branch.origin == "conditional" else None
            origin: Origin = "inherited" if branch.origin == "conditional" else branch.origin
            yield Row(when, label(when), origin, source, branch.distribution)


def _steps(bp: Blueprint, field: SampledField, name: str) -> list[Step]:
    """Conditions on one parent in its own order, each with a value that stands for it."""
    parent = bp[name]
    if isinstance(parent, CategoricalField):
        return [(value, value) for value in parent.values]
    spelt = {interval(rule.when[name]): rule.when[name] for rule in reversed(field.conditionals) if name in rule.when}
    if not spelt:
        return [(None, stand_in(bp, field, name, None))]
    return [(text, stand_in(bp, field, name, text)) for _, text in sorted(spelt.items())]


def _divided(bp: Blueprint, name: str, steps: list[Step]) -> set[str | None]:
    """Intervals on a numeric parent that others among them make up, so that these tell what holds in each part."""
    parent = bp[name]
    if not isinstance(parent, NumericField):
        return set()
    spans = {text: interval(text) for text, _ in steps if text is not None}
    gap = 1 if parent.is_integer else 0
    divided: set[str | None] = set()
    for text, (low, high) in spans.items():
        upto = low - gap
        for first, last in sorted(span for span in spans.values() if span != (low, high)):
            if low <= first <= upto + gap and last <= high:
                upto = max(upto, last)
        if upto >= high:
            divided.add(text)
    return divided
