"""Validation: everything wrong or doubtful in a blueprint, found before a row is drawn or a token spent.

A finding says where (a path), what and why (a sentence), and how to mend it. There are three levels:

- an *error* means that the blueprint cannot be sampled as it stands, so sampling refuses;
- a *warning* means that it can, but probably not as meant; warnings travel in the population's report;
- a *note* states something true and harmless that a reader should know, such as an interpolated distribution.

One cause has one finding. What follows from a cause is left unsaid until that is mended: conditions are looked at when
names, order and distributions are sound, and what holds for whom when conditions are, for people that there can be.
"""

from __future__ import annotations

import contextlib
import graphlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from personalab.blueprint import intervals, moments
from personalab.blueprint.conditionals import interval, label, stated
from personalab.blueprint.constraints import Apply, is_plain, names, normal, quoted
from personalab.blueprint.display import percent
from personalab.blueprint.intervals import NotApplicableError, reach, support
from personalab.blueprint.limits import beyond
from personalab.blueprint.model import (
    EXACT,
    AnyField,
    Blueprint,
    Categorical,
    CategoricalField,
    Constraint,
    Numeric,
    NumericField,
    SampledField,
    TextField,
)
from personalab.blueprint.reachable import MOST_CONFIGURATIONS, Lookups, joint, lookups_of
from personalab.blueprint.resolution import resolve
from personalab.errors import BlueprintError, RequestError, nearest

Level = Literal["error", "warning", "note"]

ROUNDING = 0.001  # by how much weights may miss 1 and still be scaled
SCALED = 5e-4  # by how much they may miss it without a word, as shares of three digits do
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
        Where: ``order``, a constraint, or a field and which of its distributions, such as
        ``fields.rank where region=NA``.
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
        Errors first, then warnings, then notes; empty if there is nothing to say. A blueprint beyond a limit is an
        error, and nothing else is looked at: 100 fields, 1,000 values of a field, 12 parents of a field, 2,500
        combinations of ordered parents' values between which to interpolate, 1,000 characters of a name or a value,
        2,000 of the domain.

    Notes
    -----
    Errors: two fields or constraints of one name; a name that is empty, padded or reserved; an order with a field
    missing, unknown, twice or before its parents; a parent that is unknown, named twice or a text; fields in a ring; a
    field without a distribution; moments that no distribution has; weights that are missing, negative, nameless or do
    not sum to 1; a value that the field does not have; a condition on what is no parent, no value or no interval;
    parent values for which nothing is stated, or for which interpolation yields what cannot be; a constraint that
    cannot be read, could be read in two ways, names what there is not, or can never hold.

    Warnings: a name that has to be quoted in constraints, or looks like another; a value that is in no table, or in a
    conditional only; whole numbers here and not there; a parent of which no conditional speaks; an interval that the
    parent never reaches; conditionals of which only the order decides; a base that interpolation replaces; a
    constraint that does not apply, or that leaves nobody with some value.

    Notes: a text in the order; more parent configurations than are looked at; interpolation; a constraint that always
    holds.

    Examples
    --------
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.6}}}
    >>> [found] = validate(Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]}))
    >>> print(found)
    error at fields.side: the weights sum to 1.1, not 1 → scale them to sum to 1
    """
    if not isinstance(bp, Blueprint):
        raise RequestError(f"a {type(bp).__name__} is no blueprint", hint="read one with Blueprint.load or from_dict")
    return _findings(bp)


@lru_cache(maxsize=64)  # a blueprint is looked at again by each step that is given it
def _findings(bp: Blueprint) -> tuple[Finding, ...]:
    if large := [Finding("error", *each) for each in beyond(bp)]:
        return tuple(large)
    found = [*_names(bp), *_structure(bp), *_distributions(bp), *_expressions(bp)]
    if not any(finding.level == "error" for finding in found):
        found += [*_conditions(bp)]
    if not any(finding.level == "error" for finding in found):
        lookups = lookups_of(bp)
        found += [*_coverage(lookups, [tree for _, tree in _applicable(bp).values()]), *_verdicts(bp, lookups)]
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
    spelt = Counter(normal(field.name) for field in bp.fields)
    for field in bp.fields:
        path, name = f"fields.{field.name}", field.name
        if name != name.strip() or not name:
            yield Finding("error", path, "a name is empty or padded with spaces", "give it a plain name")
        elif name in RESERVED:
            yield Finding("error", path, f"{name!r} is a column that personalab adds itself", "rename it")
        elif not is_plain(name) and not isinstance(field, TextField):
            reason = f"{name!r} is no plain word, so that a constraint may not be read as meant"
            yield Finding("warning", path, reason, f"quote it there: {quoted(name)}; or rename it")
        elif spelt[normal(name)] > 1:
            yield Finding("warning", path, f"{name!r} looks like another field's name", "rename one of them")


def _structure(bp: Blueprint) -> Iterator[Finding]:
    known = {field.name: field for field in bp.fields}
    meant = set[str | None]()
    for name, times in Counter(bp.order).items():
        if name not in known:
            meant.add(nearest(name, known))
            yield Finding("error", "order", f"{name!r} is no field", _did_you_mean(name, known, "remove it"))
        elif times > 1:
            yield Finding("error", "order", f"{name!r} stands {times} times", "keep its first place only")
        elif isinstance(known[name], TextField):
            yield Finding("note", "order", f"{name!r} is a text field and not sampled", "it may be left out")
    for field in bp.sampled:
        if field.name not in {*bp.order, *meant}:
            reason = f"{field.name!r} is missing, so nothing would sample it"
            yield Finding("error", "order", reason, "add it after its parents")
    ring = _ring(bp, known)
    if ring:
        reason = f"fields depend on each other in a ring: {' → '.join(ring)}"
        yield Finding("error", f"fields.{ring[0]}.parents", reason, "cut one link")
    for each in bp.fields:
        yield from _parents(each, known, [] if each.name in ring else bp.order)


def _parents(field: AnyField, known: Mapping[str, AnyField], order: Sequence[str]) -> Iterator[Finding]:
    path = f"fields.{field.name}.parents"
    for name, times in Counter(field.parents).items():
        parent = known.get(name)
        if parent is None:
            yield Finding("error", path, f"{name!r} is no field", _did_you_mean(name, known, "remove it"))
        elif times > 1:
            yield Finding("error", path, f"{name!r} stands {times} times", "name it once")
        elif isinstance(field, TextField):
            continue
        elif isinstance(parent, TextField):
            yield Finding("error", path, f"{name!r} is a text, which is written after all sampling", "remove it")
        elif name in order and field.name in order and order.index(name) > order.index(field.name):
            yield Finding("error", "order", f"{name!r} comes after its child {field.name!r}", f"put {name!r} first")


def _ring(bp: Blueprint, known: Mapping[str, AnyField]) -> list[str]:
    """Fields that depend on each other, or none."""
    graph = {field.name: [name for name in field.parents if name in known] for field in bp.fields}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _distributions(bp: Blueprint) -> Iterator[Finding]:
    for field in bp.sampled:
        path = f"fields.{field.name}"
        if field.base is None and not field.conditionals:
            reason = "it has no distribution, so nobody can sample it"
            yield Finding("error", path, reason, f"add {field.kind!r} or conditionals")
        for where, distribution in _stated(field):
            if isinstance(distribution, Numeric):
                yield from _moments(where, distribution)
            else:
                yield from _weights(where, distribution)
        if isinstance(field, CategoricalField):
            yield from _values(field)
        elif len({numeric.integer for numeric in field.distributions}) > 1:
            reason = "some distributions are of integers and some are not"
            yield Finding("warning", path, reason, "set integer alike in all")


def _stated(field: SampledField) -> Iterator[tuple[str, Categorical | Numeric]]:
    path = f"fields.{field.name}"
    if field.base is not None:
        yield path, field.base
    for rule in field.conditionals:
        yield f"{path} where {label(rule.when)}", stated(rule)


def _moments(path: str, numeric: Numeric) -> Iterator[Finding]:
    wrong = moments.complaint(numeric)
    if wrong:
        yield Finding("error", path, wrong, "change the moment named, or the range")
        return
    try:
        moments.solve(numeric)
    except BlueprintError as error:
        yield Finding("error", path, str(error), "change the sd a little")


def _weights(path: str, table: Categorical) -> Iterator[Finding]:
    if not table.weights:
        yield Finding("error", path, "there are no values", "name at least one value with a weight")
        return
    for value, weight in table.weights.items():
        if weight < 0:
            yield Finding(
                "error", path, f"the weight {weight:g} of {value!r} is negative", "give it a share of 0 or more"
            )
        if not value.strip():
            yield Finding("error", path, f"a value is called {value!r}", "give it a name that can be read")
    total = sum(table.weights.values(), 0.0)
    missed = abs(total - 1) - EXACT
    if missed > ROUNDING:
        yield Finding("error", path, f"the weights sum to {total:.6g}, not 1", "scale them to sum to 1")
    elif missed > SCALED:
        reason = f"the weights sum to {total:.6g}, not 1, and are scaled"
        yield Finding("warning", path, reason, "scale them to sum to 1")


def _values(field: CategoricalField) -> Iterator[Finding]:
    path, order = f"fields.{field.name}", field.ordered_values
    for value, times in Counter(order or ()).items():
        if times > 1:
            yield Finding("error", f"{path}.ordered_values", f"{value!r} stands {times} times", "name it once")
    legal = order or (tuple(field.base.weights) if field.base else ())
    used = dict[str, list[str]]()
    for where, table in _stated(field):
        for value in getattr(table, "weights", ()):
            used.setdefault(value, []).append(where)
    for value, places in used.items() if legal else ():
        if value not in legal:
            yield _stray(field, value, places, legal)
    lacking = [repr(value) for value in dict.fromkeys(order or ()) if value not in used]
    if lacking and used:
        reason = f"nobody has {_some(lacking)}, for which no weight is stated"
        yield Finding("warning", f"{path}.ordered_values", reason, "weigh it or remove it")


def _stray(field: CategoricalField, value: str, places: Sequence[str], legal: Iterable[str]) -> Finding:
    close, more = nearest(value, legal), f", in {len(places)} places" if places[1:] else ""
    if field.ordered_values is None and close is None:
        reason = f"{value!r} has a weight in conditionals only{more}"
        return Finding("warning", places[0], reason, "add it to the base weights with 0")
    reason = f"{value!r} is not one of {field.name!r}'s values{more}"
    return Finding("error", places[0], reason, f"write {close!r}" if close else f"use one of {list(legal)}")


def _conditions(bp: Blueprint) -> Iterator[Finding]:
    for field in bp.sampled:
        path = f"fields.{field.name}"
        named = dict[tuple[str, str], str]()
        for rule in field.conditionals:
            for condition in rule.when.items():
                named.setdefault(condition, f"{path} where {label(rule.when)}")
        for (name, text), where in named.items():
            yield from _condition(bp, field, where, name, text)
        silent = [repr(name) for name in field.parents if name not in {name for name, _ in named}]
        if silent:
            reason = f"it depends on {', '.join(silent)}, but no conditional says how"
            fix = f"add conditionals for {', '.join(silent)}, or remove what changes nothing"
            yield Finding("warning", f"{path}.parents", reason, fix)


def _condition(bp: Blueprint, field: SampledField, path: str, name: str, text: str) -> Iterator[Finding]:
    if name not in field.parents:
        reason = f"{name!r} is not a parent of {field.name!r}"
        fix = _did_you_mean(name, field.parents, f"add it to {field.name}.parents")
        yield Finding("error", path, reason, fix)
        return
    parent = bp[name]
    if isinstance(parent, CategoricalField) and text not in parent.values:
        fix = _did_you_mean(text, parent.values, f"use one of {list(parent.values)}")
        yield Finding("error", path, f"{text!r} is no value of {name!r}", fix)
    elif isinstance(parent, NumericField):
        try:
            low, high = interval(text)
        except BlueprintError as error:
            yield Finding("error", path, str(error), 'write "30..44", "65..", "..17" or one number')
            return
        least, most = reach(parent)
        if high < least or low > most:
            reason = f"{text!r} lies outside {name!r}'s {least:g}..{most:g}, so it never holds"
            yield Finding("warning", path, reason, "correct the interval")


def _coverage(lookups: Lookups, kept: Sequence[Apply]) -> Iterator[Finding]:
    """What holds for each parent configuration that somebody can have."""
    for lookup in lookups.values():
        field, path = lookup.field, f"fields.{lookup.field.name}"
        found = joint(lookups, field.parents, kept, child=field)
        uncovered, lines, ties, impossible, shadowed = [], [], [], dict[str, str](), False
        for at, where in zip(found.configurations(), found.labels(field.parents), strict=True):
            branch = lookup.find(at)
            if branch is None:
                uncovered.append(where)
            elif branch.origin == "interpolated":
                lines.append(branch.label)
                shadowed |= field.base is not None
                if isinstance(branch.distribution, Numeric) and (wrong := moments.complaint(branch.distribution)):
                    impossible[branch.label] = wrong
            if lookup.is_tie(at):
                ties.append(where)
        if not found.is_whole:
            reason = f"its parents combine in more than {MOST_CONFIGURATIONS:,} ways, and only so many were looked at"
            yield Finding("note", path, reason, "depend on fewer fields, or state a base distribution")
        if uncovered:
            reason = f"no distribution is stated for {_some(uncovered)}"
            yield Finding("error", path, reason, "add conditionals for them or a base distribution")
        if impossible:
            where, wrong = next(iter(impossible.items()))
            reason = f"at {_some([*impossible])} interpolation yields what no distribution can have: {wrong}"
            yield Finding("error", path, reason, f"state the distribution at {where}")
        if ties:
            reason = f"only their order decides between conditionals at {_some(ties)}"
            yield Finding("warning", path, reason, "make one of them more specific")
        if shadowed:
            reason = f"interpolation replaces the base distribution at {_some(lines)}"
            yield Finding("warning", path, reason, "state these values or remove the base")
        elif lines and not impossible:
            reason = f"interpolated along the parent's order at {_some(lines)}"
            yield Finding("note", path, reason, "state these values to replace the line")


def _expressions(bp: Blueprint) -> Iterator[Finding]:
    for constraint in bp.constraints:
        path = f"constraints.{constraint.name}"
        try:
            resolve(constraint, bp)
        except NotApplicableError as error:
            reason = f"not applicable, so it holds no one to anything: {error}"
            yield Finding("warning", path, reason, "compare numbers, or a category with its own values")
        except BlueprintError as error:
            yield Finding("error", path, str(error), error.hint or "correct the expression")


def _applicable(bp: Blueprint) -> dict[str, tuple[Constraint, Apply]]:
    """The constraints that mean something, by name."""
    found = {}
    for constraint in bp.constraints:
        with contextlib.suppress(NotApplicableError):
            found[constraint.name] = constraint, resolve(constraint, bp)
    return found


def _verdicts(bp: Blueprint, lookups: Lookups) -> Iterator[Finding]:
    """Judge every constraint that applies by what its fields can be."""
    for name, (constraint, tree) in _applicable(bp).items():
        path, ranges = f"constraints.{name}", {each: support(bp[each]) for each in names(tree)}
        # Every value of one field alone can be tried, which sees what ranges cannot, such as n == n + 1.
        tried = {each: intervals.spread(bp[each]) for each in ranges} if len(ranges) == 1 else ranges
        certain, possible = (np.asarray(end) for end in intervals.evaluate(tree, tried))
        if not possible.max() > 0:
            reason = f"{constraint} can never hold, whatever is drawn"
            yield Finding("error", path, reason, "correct the constraint or the ranges")
        elif certain.min() > 0:
            yield Finding("note", path, f"{constraint} always holds, whatever is drawn", "it may be removed")
        elif emptied := list(_emptied(lookups, tree)):
            reason = f"{constraint} leaves nobody with {_some(emptied)}"
            yield Finding("warning", path, reason, "ease the constraint, or change the distribution there")


def _emptied(lookups: Lookups, tree: Apply) -> Iterator[str]:
    """The values, and else the parent configurations, that nobody has any more because of a constraint."""
    parents = {name: lookups[name].field.parents for name in names(tree)}
    wanted = [name for name in lookups if name in parents or any(name in each for each in parents.values())]
    before, after = joint(lookups, wanted), joint(lookups, wanted, [tree])
    if not (before.is_whole and after.is_whole):
        return
    gone = set[str]()
    for fields in [(name,) for name in wanted] + [each for each in parents.values() if len(each) > 1]:
        if len(fields) == 1 and fields[0] in parents and isinstance(before.fields[fields[0]], NumericField):
            continue  # numbers that a constraint speaks of are what it is there to exclude
        lost = dict.fromkeys(before.labels(fields)).keys() - after.labels(fields)
        lost = {label for label in lost if gone.isdisjoint(label.split(", "))}
        gone |= lost
        asked = _asked(before.fields[fields[0]]) if len(fields) == 1 else {}
        yield from (label + asked.get(label, "") for label in dict.fromkeys(before.labels(fields)) if label in lost)


def _asked(field: SampledField) -> dict[str, str]:
    """The share that a root's weights ask for, by the label of its value."""
    if not isinstance(field, CategoricalField) or field.parents or field.base is None:
        return {}
    return {
        f"{field.name}={value}": f" ({percent(share)} of the weights)" for value, share in field.base.weights.items()
    }


def _did_you_mean(word: str, among: Iterable[str], otherwise: str) -> str:
    close = nearest(word, among)
    return f"did you mean {close!r}?" if close else otherwise


def _some(labels: list[str]) -> str:
    items = list(dict.fromkeys(labels))
    return "; ".join(items[:4]) + (f" and {len(items) - 4} more" if len(items) > 4 else "")
