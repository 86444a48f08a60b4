"""Lint: everything wrong or doubtful in a blueprint, found before a row is drawn or a token spent.

A finding says where (a path), what and why (a sentence), and how to mend it. There are three levels:

- an *error* means that the blueprint cannot be sampled as it stands, so sampling refuses;
- a *warning* means that it can, but probably not as meant; warnings travel in the population's report;
- a *note* states something true and harmless that a reader should know, such as an interpolated branch.
"""

from __future__ import annotations

import graphlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from personalab.blueprint import intervals, moments
from personalab.blueprint.conditionals import Branch, Lookup, interval, label, stated
from personalab.blueprint.constraints import Apply, names
from personalab.blueprint.intervals import Categories, Interval, reach, support
from personalab.blueprint.model import (
    EXACT,
    AnyField,
    Blueprint,
    Categorical,
    CategoricalField,
    Numeric,
    NumericField,
    SampledField,
    TextField,
    nearest,
)
from personalab.blueprint.resolution import resolve
from personalab.errors import BlueprintError, NotApplicableError, RequestError

Level = Literal["error", "warning", "note"]

ROUNDING = 0.001  # by how much weights may miss 1 and still be renormalised
MOST_COMBINATIONS = 20_000  # of parent values that are looked at one by one
WRITTEN = ("tagline", "portrait", "system_prompt", "markdown")  # columns of texts that are no fields
FAULTS = ("contradictions", "doubles")  # of such texts, as a frame's attrs list who has them
RESERVED = ("persona_id", *WRITTEN)


@dataclass(frozen=True)
class Finding:
    """One thing wrong or doubtful in a blueprint.

    Attributes
    ----------
    level : {"error", "warning", "note"}
        Whether it blocks sampling, is doubtful, or is merely worth knowing.
    path : str
        Where, such as ``fields.rank.conditionals[0].when.region``.
    reason : str
        What is so, and why that matters.
    fix : str
        What to do about it.
    """

    level: Level
    path: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.level} at {self.path}: {self.reason} → {self.fix}"


def validate(bp: Blueprint) -> tuple[Finding, ...]:
    """Find everything wrong or doubtful in a blueprint.

    Parameters
    ----------
    bp : Blueprint
        Any blueprint that could be read.

    Returns
    -------
    tuple of Finding
        Errors first, then warnings, then notes; empty if there is nothing to say.

    Examples
    --------
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.6}}}
    >>> [found] = validate(Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]}))
    >>> print(found)
    error at fields.side.categorical.weights: the weights sum to 1.1, not 1 → scale them to sum to 1
    """
    if not isinstance(bp, Blueprint):
        raise RequestError(f"a {type(bp).__name__} is no blueprint", hint="read one with Blueprint.load or from_dict")
    return _findings(bp)


@lru_cache(maxsize=64)  # a blueprint is looked at again by each step that is given it
def _findings(bp: Blueprint) -> tuple[Finding, ...]:
    found = [*_names(bp), *_structure(bp), *_distributions(bp), *_expressions(bp)]
    if not any(finding.level == "error" for finding in found):
        found += [*_conditions(bp)]
    if not any(finding.level == "error" for finding in found):
        found += [*_coverage(bp), *_verdicts(bp)]
    level = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: level.index(finding.level)))


def demand_valid(bp: Blueprint) -> tuple[Finding, ...]:
    """Return the warnings and notes of a blueprint that can be sampled.

    Raises
    ------
    BlueprintError
        If there are errors; all of them are in the message and in ``findings``.
    """
    found = validate(bp)
    errors = [finding for finding in found if finding.level == "error"]
    if errors:
        raise BlueprintError(
            f"the blueprint {bp.domain!r} cannot be sampled:\n  " + "\n  ".join(map(str, errors)),
            findings=found,
            hint="mend what is named; personalab.validate lists it again",
        )
    return found


def _names(bp: Blueprint) -> Iterator[Finding]:
    for kind, listed in (("fields", bp.fields), ("constraints", bp.constraints)):
        for name, times in Counter(item.name for item in listed).items():
            if times > 1:
                yield Finding("error", f"{kind}.{name}", f"{times} {kind} are called {name!r}", "rename all but one")
    for field in bp.fields:
        if not field.name.strip() or field.name != field.name.strip():
            yield Finding(
                "error",
                f"fields.{field.name}",
                "a name is empty or padded with spaces",
                "give it a plain name",
            )
        if field.name in RESERVED:
            yield Finding(
                "error",
                f"fields.{field.name}",
                f"{field.name!r} is a column that personalab adds itself",
                "rename it",
            )


def _structure(bp: Blueprint) -> Iterator[Finding]:
    known = {field.name: field for field in bp.fields}
    for name, times in Counter(bp.order).items():
        if name not in known:
            yield Finding("error", "order", f"{name!r} is no field", _did_you_mean(name, known, "remove it"))
        elif times > 1:
            yield Finding("error", "order", f"{name!r} stands {times} times", "keep its first place only")
        elif isinstance(known[name], TextField):
            yield Finding("note", "order", f"{name!r} is a text field and not sampled", "it may be left out")
    for field in bp.sampled:
        if field.name not in bp.order:
            yield Finding(
                "error",
                "order",
                f"{field.name!r} is missing, so nothing would sample it",
                "add it after its parents",
            )
    for each in bp.fields:
        yield from _parents(each, known, bp.order)
    yield from _cycles(bp, known)


def _parents(field: AnyField, known: Mapping[str, AnyField], order: tuple[str, ...]) -> Iterator[Finding]:
    path = f"fields.{field.name}.parents"
    for name, times in Counter(field.parents).items():
        parent = known.get(name)
        if times > 1:
            yield Finding("error", path, f"{name!r} stands {times} times", "name it once")
        if parent is None:
            yield Finding("error", path, f"{name!r} is no field", _did_you_mean(name, known, "remove it"))
        elif isinstance(field, TextField):
            continue
        elif isinstance(parent, TextField):
            yield Finding("error", path, f"{name!r} is a text, which is written after all sampling", "remove it")
        elif name in order and field.name in order and order.index(name) > order.index(field.name):
            yield Finding("error", "order", f"{name!r} comes after its child {field.name!r}", f"put {name!r} first")


def _cycles(bp: Blueprint, known: Mapping[str, AnyField]) -> Iterator[Finding]:
    graph = {field.name: [name for name in field.parents if name in known] for field in bp.fields}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        ring = " → ".join(error.args[1])
        yield Finding(
            "error",
            f"fields.{error.args[1][0]}.parents",
            f"fields depend on each other in a ring: {ring}",
            "cut one link",
        )


def _distributions(bp: Blueprint) -> Iterator[Finding]:
    for field in bp.sampled:
        if field.base is None and not field.conditionals:
            kind = field.kind
            yield Finding(
                "error",
                f"fields.{field.name}",
                "it has no distribution, so nobody can sample it",
                f"add {kind!r} or conditionals",
            )
        for path, distribution in _stated(field):
            if isinstance(distribution, Numeric):
                yield from _moments(path, distribution)
            else:
                yield from _weights(path, distribution)
        if isinstance(field, CategoricalField):
            yield from _values(field)
        elif len({numeric.integer for numeric in field.distributions}) > 1:
            yield Finding(
                "warning",
                f"fields.{field.name}",
                "some distributions are of integers and some are not",
                "set integer alike in all",
            )


def _stated(field: SampledField) -> Iterator[tuple[str, Categorical | Numeric]]:
    path = f"fields.{field.name}"
    if field.base is not None:
        yield f"{path}.{field.kind}", field.base
    for i, rule in enumerate(field.conditionals):
        inner = stated(rule)
        yield f"{path}.conditionals[{i}].{field.kind}", inner


def _moments(path: str, numeric: Numeric) -> Iterator[Finding]:
    wrong = moments.complaint(numeric)
    if wrong:
        yield Finding("error", path, wrong, "change the moment named, or the range")
        return
    try:
        moments.law(numeric)
    except BlueprintError as error:
        yield Finding("error", path, str(error), "change the sd a little")


def _weights(path: str, table: Categorical) -> Iterator[Finding]:
    path = f"{path}.weights"
    if not table.weights:
        yield Finding("error", path, "there are no values", "name at least one value with a weight")
        return
    for value, weight in table.weights.items():
        if weight < 0:
            yield Finding(
                "error",
                f"{path}.{value}",
                f"the weight {weight:g} is negative",
                "give it a share of 0 or more",
            )
        if not value.strip():
            yield Finding("error", path, f"a value is called {value!r}", "give it a name that can be read")
    total = sum(table.weights.values(), 0.0)
    if abs(total - 1) > ROUNDING + EXACT:
        yield Finding("error", path, f"the weights sum to {total:.6g}, not 1", "scale them to sum to 1")
    elif abs(total - 1) > EXACT:
        yield Finding(
            "warning",
            path,
            f"the weights sum to {total:.6g}, not 1, and are renormalised",
            "scale them to sum to 1",
        )


def _values(field: CategoricalField) -> Iterator[Finding]:
    path = f"fields.{field.name}"
    if field.ordered_values is not None:
        for value, times in Counter(field.ordered_values).items():
            if times > 1:
                yield Finding("error", f"{path}.ordered_values", f"{value!r} stands {times} times", "name it once")
    legal = field.ordered_values or (tuple(field.base.weights) if field.base else ())
    if not legal:
        return
    used: set[str] = set()
    for where, table in _stated(field):
        used.update(table.weights)  # type: ignore[union-attr]  # a categorical field states weights
        for value in table.weights:  # type: ignore[union-attr]
            if value not in legal:
                yield _stray(f"{where}.weights.{value}", field, value, legal)
    for value in legal:
        if used and value not in used:
            yield Finding(
                "warning",
                f"{path}.ordered_values",
                f"{value!r} has no weight anywhere, so it never occurs",
                "weigh it or remove it",
            )


def _stray(path: str, field: CategoricalField, value: str, legal: Iterable[str]) -> Finding:
    close = nearest(value, legal)
    if field.ordered_values is None and close is None:
        return Finding("warning", path, f"{value!r} occurs in a conditional only", "add it to the base weights with 0")
    reason = f"{value!r} is not one of {field.name!r}'s values"
    return Finding("error", path, reason, f"write {close!r}" if close else f"use one of {list(legal)}")


def _conditions(bp: Blueprint) -> Iterator[Finding]:
    for field in bp.sampled:
        named = {name for rule in field.conditionals for name in rule.when}
        for i, rule in enumerate(field.conditionals):
            for name, text in rule.when.items():
                yield from _condition(bp, field, f"fields.{field.name}.conditionals[{i}].when.{name}", name, text)
        for name in field.parents:
            if name not in named:
                reason = f"it depends on {name!r}, but no conditional says how"
                yield Finding(
                    "warning",
                    f"fields.{field.name}.parents",
                    reason,
                    f"add conditionals for {name!r} or remove it",
                )


def _condition(bp: Blueprint, field: SampledField, path: str, name: str, text: str) -> Iterator[Finding]:
    if name not in field.parents:
        yield Finding(
            "error",
            path,
            f"{name!r} is not a parent of {field.name!r}",
            _did_you_mean(name, field.parents, f"add it to {field.name}.parents"),
        )
        return
    parent = bp[name]
    if isinstance(parent, CategoricalField):
        if text not in parent.values:
            yield Finding(
                "error",
                path,
                f"{text!r} is no value of {name!r}",
                _did_you_mean(text, parent.values, f"use one of {list(parent.values)}"),
            )
    elif isinstance(parent, NumericField):
        try:
            low, high = interval(text)
        except BlueprintError as error:
            yield Finding("error", path, str(error), 'write "30..44", "65..", "..17" or one number')
            return
        least, most = reach(parent)
        if high < least or low > most:
            yield Finding(
                "warning",
                path,
                f"{text!r} lies outside {name!r}'s {least:g}..{most:g}, so it never holds",
                "correct the interval",
            )


def _coverage(bp: Blueprint) -> Iterator[Finding]:
    for field in bp.sampled:
        path = f"fields.{field.name}"
        uncovered, lines, ties, shadowed = [], [], [], False
        lookup = Lookup(bp, field)
        situations = _situations(bp, field)
        for at in itertools.islice(situations, MOST_COMBINATIONS):
            found = lookup.branch(at)
            if found is None:
                uncovered.append(label(at))
            elif found.origin == "interpolated":
                lines.append(found.label)
                shadowed |= field.base is not None
                yield from _possible(f"{path} at {label(at)}", found)
            if lookup.is_tie(at):
                ties.append(label(at))
        if next(situations, None) is not None:
            yield Finding(
                "note",
                path,
                f"its parents combine in more than {MOST_COMBINATIONS:,} ways, of which only these were looked at",
                "depend on fewer fields, or state a base distribution",
            )
        if uncovered:
            yield Finding(
                "error",
                path,
                f"no distribution is stated for {_some(uncovered)}",
                "add conditionals for them or a base distribution",
            )
        if ties:
            yield Finding(
                "warning",
                path,
                f"only their order decides between conditionals at {_some(ties)}",
                "make one of them more specific",
            )
        if shadowed:
            yield Finding(
                "warning",
                path,
                f"interpolation replaces the base distribution at {_some(lines)}",
                "state these values or remove the base",
            )
        elif lines:
            yield Finding(
                "note",
                path,
                f"interpolated along the parent's order at {_some(lines)}",
                "state these values to replace the line",
            )


def _possible(path: str, found: Branch) -> Iterator[Finding]:
    wrong = moments.complaint(found.distribution) if isinstance(found.distribution, Numeric) else None
    if wrong:
        yield Finding(
            "error",
            path,
            f"interpolation yields a law that cannot be: {wrong}",
            "state this value's distribution",
        )


def _situations(bp: Blueprint, field: SampledField) -> Iterator[dict[str, Any]]:
    """Every combination of parent values that can call for a distribution of its own."""
    axes: list[list[Any]] = []
    for name in field.parents:
        parent = bp[name]
        axes.append(_edges(field, parent) if isinstance(parent, NumericField) else list(getattr(parent, "values", ())))
    for values in itertools.product(*axes):
        yield dict(zip(field.parents, values, strict=True))


def _edges(field: SampledField, parent: NumericField) -> list[float]:
    """Numbers that tell apart every set of intervals a numeric parent can fall into: ends, and points between."""
    least, most = reach(parent)
    ends = [end for rule in field.conditionals if parent.name in rule.when for end in interval(rule.when[parent.name])]
    marks = sorted({least, most, *(end for end in ends if least <= end <= most)})
    if parent.is_integer:
        return sorted({mark + step for mark in marks for step in (-1, 0, 1) if least <= mark + step <= most})
    # The ends themselves have no share of a real-valued parent, so that intervals may meet in one.
    return [(a + b) / 2 for a, b in itertools.pairwise(marks)] or marks


def _expressions(bp: Blueprint) -> Iterator[Finding]:
    for constraint in bp.constraints:
        path = f"constraints.{constraint.name}"
        try:
            resolve(constraint, bp)
        except NotApplicableError as error:
            yield Finding(
                "warning",
                path,
                f"not applicable, so it holds no one to anything: {error}",
                "compare numbers, or a category with == or !=",
            )
        except BlueprintError as error:
            yield Finding("error", path, str(error), "correct the expression")


def _verdicts(bp: Blueprint) -> Iterator[Finding]:
    """Judge every constraint that applies by the whole ranges of its fields."""
    for constraint in bp.constraints:
        path = f"constraints.{constraint.name}"
        try:
            tree = resolve(constraint, bp)
        except NotApplicableError:
            continue
        ranges = {name: support(bp[name]) for name in names(tree)}
        # Every value of one field alone can be tried, which sees what ranges cannot, such as n == n + 1.
        tried = {name: intervals.spread(bp[name]) for name in ranges} if len(ranges) == 1 else ranges
        found = intervals.evaluate(tree, tried)
        certain, possible = float(np.min(found[0])), float(np.max(found[1]))
        if not possible > 0:
            yield Finding(
                "error",
                path,
                f"{constraint} can never hold, whatever is drawn",
                "correct the constraint or the ranges",
            )
        elif certain > 0:
            yield Finding("note", path, f"{constraint} always holds, whatever is drawn", "it may be removed")
        else:
            places = [where for name in sorted(ranges) for where in _excluded(bp, tree, ranges, name)]
            if places:
                yield Finding(
                    "warning",
                    path,
                    f"{constraint} can never hold, so that there will be nobody, at {_some(places)}",
                    "ease the constraint, or change the distribution there",
                )


def _excluded(bp: Blueprint, tree: Apply, ranges: Mapping[str, Interval | Categories], name: str) -> Iterator[str]:
    """The branches of a number, or the values of a category, with which a constraint cannot hold."""
    field, places = bp[name], list[tuple[str, Interval | Categories]]()
    if isinstance(field, NumericField):
        stated = [(label(rule.when), rule.numeric) for rule in field.conditionals]
        places += [(f"{where} ({name} {d.min:g} to {d.max:g})", (d.min, d.max)) for where, d in stated]
    elif isinstance(field, CategoricalField):
        likely = support(field)
        values = likely.values if isinstance(likely, Categories) else ()
        places += [(f"{name}={value}", Categories((value,), np.zeros(1, dtype=int))) for value in values]
    for where, range_ in places:
        if not float(np.max(intervals.evaluate(tree, {**ranges, name: range_})[1])) > 0:
            yield where


def _did_you_mean(word: str, among: Iterable[str], otherwise: str) -> str:
    close = nearest(word, among)
    return f"did you mean {close!r}?" if close else otherwise


def _some(labels: list[str]) -> str:
    items = list(dict.fromkeys(labels))
    return "; ".join(items[:4]) + (f" and {len(items) - 4} more" if len(items) > 4 else "")
