"""Repair: what a model still gets wrong is mended by rule, and every mending is written down.

Each step below takes a blueprint in wire form and mends one kind of fault in place: names, structure,
distributions, conditions, coverage, constraints. Nothing is dropped in silence: a step returns a sentence for
each thing it changed, and these become the blueprint's ``notes``. A step runs only on what is at fault, so a sound
blueprint passes through untouched and without notes.
"""

from __future__ import annotations

import copy
import graphlib
import math
import re
from collections.abc import Iterator
from typing import Any

from personalab import numerics
from personalab.blueprint import Blueprint, Numeric, nearest
from personalab.errors import BlueprintError
from personalab.lint import EXACT, RESERVED, validate
from personalab.sampling import sample

Wire = dict[str, Any]

TRIAL = 200  # rows drawn to see that a blueprint samples; enough for every branch of a usual one
NAME = {"name": "name", "kind": "text", "description": "full name", "parents": [], "conditionals": []}
BACKSTORY = {
    "name": "backstory",
    "kind": "text",
    "description": "a short paragraph on who they are and how they came to be here",
    "parents": [],
    "conditionals": [],
}


def repaired(data: Wire) -> Blueprint:
    """Mend a drafted blueprint until it samples.

    Parameters
    ----------
    data : dict
        Wire form, as a model's draft yields it.

    Returns
    -------
    Blueprint
        One that has no errors and has been drawn from; its ``notes`` say what was changed.

    Raises
    ------
    BlueprintError
        If no rule mends it.
    """
    data = copy.deepcopy(data)
    notes: list[str] = list(data.get("notes") or ())
    for step in (_names, _parents, _weights, _moments, _conditions, _coverage, _texts, _order, _constraints):
        notes += step(data)
    return _sampling(data, notes)


def _names(data: Wire) -> Iterator[str]:
    data["domain"] = slug(data["domain"]) or "population"
    renamed: dict[str, str] = {}
    kept: dict[str, Wire] = {}
    for i, field in enumerate(data["fields"]):
        name = slug(field["name"]) or f"field_{i + 1}"
        name = f"{name}_text" if name in RESERVED else name
        if name in kept:
            yield f"the second field called {name!r} was removed"
            continue
        if name != field["name"]:
            renamed[field["name"]] = name
            yield f"the field {field['name']!r} was renamed {name!r}"
        kept[name] = field | {"name": name}
    data["fields"] = list(kept.values())
    for field in data["fields"]:
        field["parents"] = list(dict.fromkeys(renamed.get(name, name) for name in field["parents"]))
        for rule in field["conditionals"]:
            rule["when"] = {renamed.get(name, name): value for name, value in rule["when"].items()}
    for constraint in data["constraints"]:
        for old, new in renamed.items():
            for side in ("lhs", "rhs"):
                constraint[side] = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, constraint[side])


def _parents(data: Wire) -> Iterator[str]:
    """Conditions decide who a parent is; unknown parents, texts and rings go."""
    kinds = {field["name"]: field["kind"] for field in data["fields"]}
    for field in data["fields"]:
        if field["kind"] != "text":
            named = [name for rule in field["conditionals"] for name in rule["when"]]
            field["parents"] = list(dict.fromkeys([*field["parents"], *named]))
        wrong = [name for name in field["parents"] if name not in kinds or name == field["name"]]
        if field["kind"] != "text":
            wrong += [name for name in field["parents"] if kinds.get(name) == "text"]
        for name in dict.fromkeys(wrong):
            yield from _cut(field, name, "cannot be one")
    while ring := _ring(data):
        yield from _cut(next(field for field in data["fields"] if field["name"] == ring[1]), ring[0], "closes a ring")


def _cut(field: Wire, parent: str, why: str) -> Iterator[str]:
    field["parents"] = [name for name in field["parents"] if name != parent]
    field["conditionals"] = [rule for rule in field["conditionals"] if parent not in rule["when"]]
    yield f"{parent!r} is no longer a parent of {field['name']!r}, because it {why}"


def _ring(data: Wire) -> list[str]:
    try:
        graphlib.TopologicalSorter({field["name"]: field["parents"] for field in data["fields"]}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _tables(field: Wire) -> Iterator[tuple[str, Wire]]:
    if field["kind"] in field:
        yield field["name"], field[field["kind"]]
    for rule in field["conditionals"]:
        yield f"{field['name']} at {rule['when']}", rule[field["kind"]]


def _weights(data: Wire) -> Iterator[str]:
    for field in data["fields"]:
        if field["kind"] != "categorical":
            continue
        for where, table in _tables(field):
            weights = {value.strip(): weight for value, weight in table["weights"].items() if value.strip()}
            if any(weight < 0 or not math.isfinite(weight) for weight in weights.values()):
                yield f"negative or infinite weights of {where} were set to 0"
                weights = {v: w if math.isfinite(w) and w > 0 else 0.0 for v, w in weights.items()}
            total = math.fsum(weights.values())
            if total <= 0:
                yield f"{where} had no weight, so its values share equally"
                weights, total = dict.fromkeys(weights, 1.0), float(len(weights))
            if abs(total - 1) > EXACT:
                if min(abs(total - 1), abs(total / 100 - 1)) > 0.02:  # percentages, or rounding: not worth a word
                    yield f"the weights of {where} summed to {total:g} and were scaled to 1"
                weights = {value: weight / total for value, weight in weights.items()}
            table["weights"] = weights
        yield from _values(field)


def _values(field: Wire) -> Iterator[str]:
    """One list of values: every table speaks of it, and the order names all of it once."""
    base = list(field["categorical"]["weights"]) if "categorical" in field else []
    rest = [value for _, table in _tables(field) for value in table["weights"]]
    legal = list(dict.fromkeys(base or field.get("ordered_values") or rest))
    for where, table in _tables(field):
        strays = [value for value in table["weights"] if value not in legal]
        for value in strays:
            close = nearest(value, legal)
            legal += [] if close else [value]
            if close:
                yield f"{value!r} of {where} was read as {close!r}"
                table["weights"][close] = table["weights"].get(close, 0.0) + table["weights"].pop(value)
    order = field.get("ordered_values")
    if order is not None and (set(order) != set(legal) or len(order) != len(legal)):
        field["ordered_values"] = [value for value in dict.fromkeys(order) if value in legal]
        field["ordered_values"] += [value for value in legal if value not in order]
        yield f"the order of {field['name']!r} was made to list its values"


def _moments(data: Wire) -> Iterator[str]:
    for field in data["fields"]:
        if field["kind"] != "numeric":
            continue
        integer = all(table["integer"] for _, table in _tables(field))
        for where, table in _tables(field):
            table["integer"] = integer
            before = dict(table)
            table.update(feasible(table))
            if table != before:
                changed = [key for key in ("min", "max", "mean", "sd") if table[key] != before[key]]
                yield f"{', '.join(changed)} of {where} could not be had together and were changed"


def feasible(numeric: Wire) -> Wire:
    """The nearest moments that a distribution can have: ends in order, mean inside, sd neither too wide nor too narrow."""
    low, high = sorted((numeric["min"], numeric["max"]))
    if numeric["integer"]:
        low, high = math.ceil(low), math.floor(high)
    high = high if high > low else low + 1
    mean = min(max(numeric["mean"], low), high)
    widest = math.sqrt((mean - low) * (high - mean))
    fraction = mean % 1 if numeric["integer"] else 0.0
    narrowest = math.sqrt(fraction * (1 - fraction))
    sd = min(max(numeric["sd"], narrowest), widest)
    fixed = {**numeric, "min": low, "max": high, "mean": mean, "sd": sd}
    if numerics.complaint(Numeric(**fixed)) is None and sd == numeric["sd"]:
        return fixed
    return fixed | {"sd": round(max(narrowest, min(sd, 0.95 * widest)), 4) if widest else 0}


def _conditions(data: Wire) -> Iterator[str]:
    fields = {field["name"]: field for field in data["fields"]}
    for field in data["fields"]:
        kept: dict[str, Wire] = {}
        for rule in field["conditionals"]:
            when = {name: _value(fields[name], text) for name, text in rule["when"].items()}
            if None in when.values():
                yield f"the conditional of {field['name']!r} for {rule['when']} names no known value and was removed"
            elif str(when) in kept:
                yield f"the second conditional of {field['name']!r} for {when} was removed"
            else:
                if when != rule["when"]:
                    yield f"{rule['when']} of {field['name']!r} was read as {when}"
                kept[str(when)] = {**rule, "when": when}
        field["conditionals"] = list(kept.values())


def _value(parent: Wire, text: str) -> str | None:
    from personalab.branches import interval

    if parent["kind"] == "categorical":
        legal = list(dict.fromkeys(value for _, table in _tables(parent) for value in table["weights"]))
        return text if text in legal else nearest(text, legal)
    for attempt in (text, re.sub(r"\s*(?:-|\u2013|to)\s*", "..", text.strip()), text.strip().removesuffix("+") + ".."):
        try:
            interval(attempt)
        except BlueprintError:
            continue
        return attempt
    return None


def _coverage(data: Wire) -> Iterator[str]:
    """A field that has no distribution everywhere gets the average of what it has as its base."""
    for field in data["fields"]:
        kind = field["kind"]
        if kind == "text" or kind in field:
            continue
        tables = [table for _, table in _tables(field)]
        if not tables:
            yield f"the field {field['name']!r} had no distribution and was removed"
            field["kind"] = "gone"
        elif not _is_covered(data, field):
            field[kind] = _average(kind, tables)
            yield f"{field['name']!r} was not stated for every value of its parents; the rest has the average"
    gone = [field["name"] for field in data["fields"] if field["kind"] == "gone"]
    data["fields"] = [field for field in data["fields"] if field["kind"] != "gone"]
    for field in data["fields"]:
        for name in gone:
            if name in field["parents"]:
                yield from _cut(field, name, "was removed")


def _is_covered(data: Wire, field: Wire) -> bool:
    trial = {**data, "constraints": [], "fields": [f for f in data["fields"] if f["kind"] != "gone"]}
    trial["order"] = _sorted(trial)
    try:
        found = validate(Blueprint.from_dict(trial))
    except BlueprintError:
        return False
    return not any(f.level == "error" and f.path == f"fields.{field['name']}" for f in found)


def _average(kind: str, tables: list[Wire]) -> Wire:
    if kind == "categorical":
        values = dict.fromkeys(value for table in tables for value in table["weights"])
        return {"weights": {v: sum(t["weights"].get(v, 0.0) for t in tables) / len(tables) for v in values}}
    mean = {key: sum(table[key] for table in tables) / len(tables) for key in ("mean", "sd")}
    ends = {"min": min(table["min"] for table in tables), "max": max(table["max"] for table in tables)}
    return feasible({**ends, **mean, "integer": tables[0]["integer"]})


def _texts(data: Wire) -> Iterator[str]:
    """Every population has names and backstories, at the end, with parents that exist."""
    known = {field["name"] for field in data["fields"]}
    for extra in (NAME, BACKSTORY):
        if extra["name"] not in known:
            data["fields"].append(copy.deepcopy(extra))
            yield f"the text field {extra['name']!r} was added"
        else:
            field = next(field for field in data["fields"] if field["name"] == extra["name"])
            if field["kind"] != "text":
                yield f"{extra['name']!r} was made a text field"
                description = field["description"]
                field.clear()
                field.update(copy.deepcopy(extra), description=description)
    texts = {field["name"] for field in data["fields"] if field["kind"] == "text"}
    for field in data["fields"]:
        if field["kind"] != "text":
            for name in texts & set(field["parents"]):
                yield from _cut(field, name, "is a text")


def _order(data: Wire) -> Iterator[str]:
    data["order"] = _sorted(data)
    yield from ()


def _sorted(data: Wire) -> list[str]:
    """Parents first, else as listed."""
    listed = [field["name"] for field in data["fields"] if field["kind"] not in ("text", "gone")]
    parents = {field["name"]: [name for name in field["parents"] if name in listed] for field in data["fields"]}
    order: list[str] = []
    while len(order) < len(listed):
        order.append(next(name for name in listed if name not in order and set(parents[name]) <= set(order)))
    return order


def _constraints(data: Wire) -> Iterator[str]:
    kept: dict[str, Wire] = {}
    for i, constraint in enumerate(data["constraints"]):
        name = slug(constraint["name"]) or f"rule_{i + 1}"
        trial = {**data, "constraints": [{**constraint, "name": name}]}
        found = [f for f in validate(Blueprint.from_dict(trial)) if f.path == f"constraints.{name}"]
        wrong = [f for f in found if f.level != "note"]
        if wrong or name in kept:
            yield f"the constraint {name!r} was removed: {wrong[0].reason if wrong else 'its name stands twice'}"
        else:
            kept[name] = {**constraint, "name": name}
    data["constraints"] = list(kept.values())


def _sampling(data: Wire, notes: list[str]) -> Blueprint:
    """Draw once; where constraints cannot be met together, the last one that fails goes."""
    while True:
        bp = Blueprint.from_dict(data | ({"notes": notes} if notes else {}))
        try:
            sample(bp, TRIAL, seed=0)
        except BlueprintError as error:
            blamed = [item for item in data["constraints"] if f"{item['name']} (" in str(error)]
            if not blamed:
                raise
            data = data | {"constraints": [item for item in data["constraints"] if item != blamed[-1]]}
            notes = [*notes, f"the constraint {blamed[-1]['name']!r} was removed: some members could not obey it"]
        else:
            return bp


def slug(text: str) -> str:
    """A plain name: lower case, words joined by underscores, at most 64 characters, beginning with a letter.

    Examples
    --------
    >>> slug("Hours per Week!")
    'hours_per_week'
    """
    words = re.sub(r"\W+", "_", text.lower()).strip("_")
    return re.sub(r"^[\d_]+", "", words)[:64].strip("_")
