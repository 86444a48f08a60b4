"""Distributions mended by rule: weights that sum to 1, moments that can be had, conditions that name known values.

Part of `personalab.inference.repair`: the steps that look at what stands inside a field, not at how fields hang
together. Each takes a blueprint in wire form, mends it in place, and returns a sentence for each thing it changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from personalab.blueprint import moments
from personalab.blueprint.conditionals import interval
from personalab.blueprint.model import EXACT, Numeric
from personalab.errors import BlueprintError, nearest

Wire = dict[str, Any]

LARGEST = 1e12  # no number about a person is larger: incomes in the weakest currencies reach 1e11
SMALLEST = 1e-6  # nor smaller, unless it is 0; also the least sd as a share of the range, and range as one of the ends
MISSED = 0.02  # by how much weights, or percentages, may miss their sum before it is worth a word


def tables(field: Wire) -> Iterator[tuple[str, Wire]]:
    """Every distribution of a field, with words for where it stands."""
    if field["kind"] in field:
        yield field["name"], field[field["kind"]]
    for rule in field["conditionals"]:
        yield f"{field['name']} at {rule['when']}", rule[field["kind"]]


def mend_weights(data: Wire) -> Iterator[str]:
    """Weights are positive and sum to 1; a table without values goes."""
    for field in data["fields"]:
        if field["kind"] != "categorical":
            continue
        for where, table in tables(field):
            if "" in table["weights"]:
                yield f"a value of {where} had no name and was removed"
            table["weights"] = {value: weight for value, weight in table["weights"].items() if value}
            yield from _scaled(where, table)
        yield from _drop_empty(field)
        yield from _values(field)


def _scaled(where: str, table: Wire) -> Iterator[str]:
    weights = table["weights"]
    if any(not 0 <= weight <= LARGEST for weight in weights.values()):
        yield f"negative or boundless weights of {where} were brought within bounds"
        weights = {value: min(max(weight, 0), LARGEST) for value, weight in weights.items()}
    total = math.fsum(weights.values())
    if weights and total <= 0:
        yield f"{where} had no weight, so its values share equally"
        weights, total = dict.fromkeys(weights, 1.0), float(len(weights))
    if weights and abs(total - 1) > EXACT:
        if min(abs(total - 1), abs(total / 100 - 1)) > MISSED:
            yield f"the weights of {where} summed to {total:g} and were scaled to 1"
        weights = {value: weight / total for value, weight in weights.items()}
    table["weights"] = weights


def _drop_empty(field: Wire) -> Iterator[str]:
    for where, table in list(tables(field)):
        if not table["weights"]:
            yield f"{where} lists no value and was removed"
    if not field.get("categorical", {"weights": True})["weights"]:
        del field["categorical"]
    field["conditionals"] = [rule for rule in field["conditionals"] if rule["categorical"]["weights"]]


def _values(field: Wire) -> Iterator[str]:
    """One list of values: every table speaks of it, and the order names all of it once."""
    base = list(field["categorical"]["weights"]) if "categorical" in field else []
    rest = [value for _, table in tables(field) for value in table["weights"]]
    legal = list(dict.fromkeys(base or [value for value in field.get("ordered_values") or rest if value]))
    for where, table in tables(field):
        for value in [value for value in table["weights"] if value not in legal]:
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


def mend_moments(data: Wire) -> Iterator[str]:
    """Moments that can be had together, of whole numbers everywhere or nowhere."""
    for field in data["fields"]:
        if field["kind"] != "numeric":
            continue
        if len({table["integer"] for _, table in tables(field)}) > 1:
            yield f"some distributions of {field['name']!r} were of integers and some not; now none is"
        integer = all(table["integer"] for _, table in tables(field))
        for where, table in tables(field):
            table["integer"] = integer
            before = dict(table)
            table.update(feasible(table))
            changed = [key for key in ("min", "max", "mean", "sd") if table[key] != before[key]]
            if changed:
                told = ", ".join(f"{key} {before[key]:g} → {table[key]:g}" for key in changed)
                yield f"the moments of {where} could not be had together and were changed: {told}"


def feasible(numeric: Wire) -> Wire:
    """Return the nearest moments that can be had; those that can be had already are returned as they are.

    Examples
    --------
    >>> feasible({"min": 70, "max": 18, "mean": 90, "sd": 5, "integer": True})
    {'min': 18, 'max': 70, 'mean': 70, 'sd': 0.0, 'integer': True}
    """
    if _can_be_had(numeric):
        return numeric
    low, high = sorted((_bounded(numeric["min"]), _bounded(numeric["max"])))
    if numeric["integer"]:
        low, high = math.ceil(low), math.floor(high)
    least = max(1, math.ceil(SMALLEST * max(abs(low), abs(high))))
    high = high if high > low and high - low >= SMALLEST * abs(high) else low + least
    width = high - low
    # A mean on a bound has no sd but 0, and one next to it hardly any: in between there is no distribution.
    mean = min(max(_bounded(numeric["mean"]), low), high)
    mean = mean if mean in (low, high) else min(max(mean, low + SMALLEST * width), high - SMALLEST * width)
    widest = math.sqrt((mean - low) * (high - mean))
    fraction = mean % 1 if numeric["integer"] else 0.0
    narrowest = max(math.sqrt(fraction * (1 - fraction)), SMALLEST * width if widest else 0.0)
    sd = min(max(_bounded(numeric["sd"]), narrowest), widest)
    fixed = {**numeric, "min": low, "max": high, "mean": mean, "sd": sd}
    if _can_be_had(fixed):
        return fixed
    eased = fixed | {"sd": round(max(narrowest, min(sd, 0.95 * widest)), 4) if widest else 0}
    if _can_be_had(eased):
        return eased
    middle = (low + high) // 2 if numeric["integer"] else (low + high) / 2
    return fixed | {"mean": middle, "sd": max(width / 6, 0.5 if numeric["integer"] else 0.0)}


def _can_be_had(numeric: Wire) -> bool:
    four = [numeric[key] for key in ("min", "max", "mean", "sd")]
    if any(_bounded(number) != number for number in four) or moments.complaint(Numeric(**numeric)):
        return False
    low, high, mean, sd = four
    least = SMALLEST * (high - low)
    is_squeezed = mean not in (low, high) and min(mean - low, high - mean) < least
    if is_squeezed or 0 < sd < least or 0 < high - low < SMALLEST * max(abs(low), abs(high)):
        return False
    try:
        moments.solve(Numeric(**numeric))
    except BlueprintError:
        return False
    return True


def _bounded(number: float) -> float:
    """A number of a size that a quantity can have."""
    return 0 if abs(number) < SMALLEST else min(max(number, -int(LARGEST)), int(LARGEST))


def mend_conditions(data: Wire) -> Iterator[str]:
    """Every condition names a value, or an interval, that its parent has; none stands twice."""
    fields = {field["name"]: field for field in data["fields"]}
    for field in data["fields"]:
        kept: dict[str, Wire] = {}
        for rule in field["conditionals"]:
            when = {name: _value(fields[name], text) for name, text in rule["when"].items()}
            if None in when.values():
                yield f"the conditional of {field['name']!r} for {rule['when']} names no known value and was removed"
            elif str(sorted(when.items())) in kept:
                yield f"the second conditional of {field['name']!r} for {when} was removed"
            else:
                if when != rule["when"]:
                    yield f"{rule['when']} of {field['name']!r} was read as {when}"
                kept[str(sorted(when.items()))] = {**rule, "when": when}
        field["conditionals"] = list(kept.values())


def _value(parent: Wire, text: str) -> str | None:
    if parent["kind"] == "categorical":
        legal = list(dict.fromkeys(value for _, table in tables(parent) for value in table["weights"]))
        return text if text in legal else nearest(text, legal)
    for attempt in (text, re.sub(r"\s*(?:-|\u2013|to)\s*", "..", text), text.removesuffix("+") + ".."):
        try:
            interval(attempt)
        except BlueprintError:
            continue
        return attempt
    return None


def average(kind: str, among: list[Wire]) -> Wire:
    """The distribution halfway between several."""
    if kind == "categorical":
        values = dict.fromkeys(value for table in among for value in table["weights"])
        return {"weights": {v: sum(t["weights"].get(v, 0.0) for t in among) / len(among) for v in values}}
    mean = {key: sum(table[key] for table in among) / len(among) for key in ("mean", "sd")}
    ends = {"min": min(table["min"] for table in among), "max": max(table["max"] for table in among)}
    return feasible({**ends, **mean, "integer": among[0]["integer"]})
