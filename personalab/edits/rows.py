"""Rows: what holds for a field in each parent configuration, as a table that can be read and edited.

First stand the conditionals that name some of the parents only, then a row for every combination of categorical
parents' values and of the intervals stated for numeric parents. Each says whether it is stated, or what holds there
instead: another conditional, a line between its neighbours, or the base. An interval that others make up has a row
only where it is stated: across its parts several things may hold, and each part tells its own. So has one that those
stated for the same other values make up. Where intervals overlap and none is stated for some values of the others,
these have one row for every number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from personalab.blueprint.conditionals import Lookup, Stated, interval, label, stated
from personalab.blueprint.model import Blueprint, CategoricalField, Conditional, NumericField, SampledField
from personalab.edits.mixture import stand_in
from personalab.edits.wire import found, key

MOST = 400  # rows that are listed

Origin = Literal["stated", "inherited", "interpolated", "base"]
Step = tuple[str | None, Any]  # a parent's condition, if it is stated by any, and a value that stands for it
Span = tuple[float, float]  # least and greatest number of an interval


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
    distribution: Stated


def rows(bp: Blueprint, field: str) -> tuple[list[Row], int]:
    """List what holds for a field in each parent configuration.

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
    tangled = [name for name, steps in axes.items() if _is_tangled(bp, name, steps, parts[name])]
    known, spans = set(own), _spans(bp, own.values())
    for steps in itertools.product(*axes.values()):
        when = {name: text for name, (text, _) in zip(axes, steps, strict=True) if text is not None}
        rule = own.get(key(bp, when)) if when else None
        if rule is not None:
            yield Row(dict(rule.when), label(rule.when), "stated", None, stated(rule))
            continue
        if any(when.get(name) in divided for name, divided in parts.items()) or _is_told(bp, when, spans):
            continue
        held = lookup.find({name: value for name, (_, value) in zip(axes, steps, strict=True)})
        if held is None or not when:
            continue
        if held.origin != "interpolated":
            when = _loosened(bp, when, tangled, field)
        if key(bp, when) in known:
            continue
        known.add(key(bp, when))
        source = held.label if held.origin == "conditional" else None
        origin: Origin = "inherited" if held.origin == "conditional" else held.origin
        yield Row(when, label(when), origin, source, held.distribution)


def _spans(bp: Blueprint, rules: Iterable[Conditional]) -> dict[Any, list[Span]]:
    """The intervals that are stated for a number together with the same conditions on the others."""
    found: dict[Any, list[Span]] = {}
    for rule in rules:
        for name, text in rule.when.items():
            if isinstance(bp[name], NumericField):
                found.setdefault((name, key(bp, _without(rule.when, name))), []).append(interval(text))
    return found


def _is_told(bp: Blueprint, when: dict[str, str], spans: dict[Any, list[Span]]) -> bool:
    """Whether rows that are stated for the same other values tell what holds throughout."""
    return any(
        _is_covered(interval(text), spans.get((name, key(bp, _without(when, name))), []), _gap(bp, name))
        for name, text in when.items()
        if isinstance(bp[name], NumericField)
    )


def _loosened(bp: Blueprint, when: dict[str, str], tangled: list[str], field: SampledField) -> dict[str, str]:
    """A condition without the numbers that decide nothing where the rest of it is met."""
    for name in tangled:
        rest = _without(when, name)
        decides = any(
            name in rule.when and all(_is_same(bp, key, text, rest) for key, text in _without(rule.when, name).items())
            for rule in field.conditionals
        )
        when = when if decides or not rest else rest
    return when


def _is_same(bp: Blueprint, name: str, text: str, when: dict[str, str]) -> bool:
    if name in when and isinstance(bp[name], NumericField):
        return interval(text) == interval(when[name])
    return when.get(name) == text


def _without(when: Mapping[str, str], name: str) -> dict[str, str]:
    return {other: text for other, text in when.items() if other != name}


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
    spans = _intervals(bp, name, steps)
    return {
        text
        for text, (low, high) in spans.items()
        if _is_covered(
            (low, high),
            [(a, b) for a, b in spans.values() if (a, b) != (low, high) and low <= a and b <= high],
            _gap(bp, name),
        )
    }


def _is_tangled(bp: Blueprint, name: str, steps: list[Step], divided: set[str | None]) -> bool:
    """Whether intervals on a numeric parent overlap, those that others make up left out."""
    spans = sorted(span for text, span in _intervals(bp, name, steps).items() if text not in divided)
    return any(upto >= low for (_, upto), (low, _) in itertools.pairwise(spans))


def _intervals(bp: Blueprint, name: str, steps: list[Step]) -> dict[str, Span]:
    if not isinstance(bp[name], NumericField):
        return {}
    return {text: interval(text) for text, _ in steps if text is not None}


def _gap(bp: Blueprint, name: str) -> float:
    """How far from the end of one interval the next may begin with no number between them."""
    parent = bp[name]
    return 1.0 if isinstance(parent, NumericField) and parent.is_integer else 0.0


def _is_covered(span: Span, parts: Iterable[Span], gap: float) -> bool:
    low, high = span
    upto = low - gap
    for first, last in sorted(parts):
        if first <= upto + gap:
            upto = max(upto, last)
    return upto >= high
