"""Edits of the values that a categorical field can have.

A value is spoken of in more places than its own table: in the order of the values, in the conditions of children, and
quoted in constraints. An edit here follows it to each of them.
"""

from __future__ import annotations

import math
from typing import Literal

from personalab.blueprint.model import Blueprint
from personalab.edits.constraints import quotes, revalued
from personalab.edits.links import with_base
from personalab.edits.wire import Wire, categorical, demand_free, opened, read, tables
from personalab.errors import RequestError, instead


def add_value(bp: Blueprint, *, field: str, value: str) -> Blueprint:
    """Add a value that nobody has yet: last of all, of weight 0 in every table."""
    demand_free(value, categorical(bp, field).values, "value")
    data, target = opened(bp, field)
    for table in tables(target):
        table["weights"][value] = 0
    if "ordered_values" in target:
        target["ordered_values"].append(value)
    return read(data)


def rename_value(bp: Blueprint, *, field: str, value: str, to: str) -> Blueprint:
    """Call a value something else, also in children's conditions and in constraints that compare the field with it."""
    values = _demand_value(bp, field, value)
    if to == value:
        return bp
    demand_free(to, values, "value")
    data, target = opened(bp, field)
    names = {value: to}
    for table in tables(target):
        table["weights"] = {names.get(each, each): weight for each, weight in table["weights"].items()}
    if "ordered_values" in target:
        target["ordered_values"] = [names.get(each, each) for each in target["ordered_values"]]
    for each in data["fields"]:
        for rule in each["conditionals"]:
            if rule["when"].get(field) == value:
                rule["when"][field] = to
    data["constraints"] = [revalued(bp, rule, field, value, to) for rule in bp.constraints]
    return read(data)


def remove_value(bp: Blueprint, *, field: str, value: str) -> Blueprint:
    """Take a value away; the others keep their proportions, and share equally where none of them had any weight.

    Children's conditionals that hold for it go with it; where nothing would hold for a child then, it gets a base, the
    mixture of what held. A constraint that speaks of the value forbids it.
    """
    values = _demand_value(bp, field, value)
    if len(values) == 1:
        raise RequestError(f"{value!r} is the only value of {field!r}", hint="add another first, or remove the field")
    speaking = [rule.name for rule in bp.constraints if quotes(bp, rule, field, value)]
    if speaking:
        what = "constraint" if len(speaking) == 1 else "constraints"
        names = ", ".join(map(repr, speaking))
        raise RequestError(f"{value!r} is named in the {what} {names}", hint="change or remove what names it first")
    data, target = opened(bp, field)
    rest = [each for each in values if each != value]
    for table in tables(target):
        table["weights"] = _without(table["weights"], value, rest)
    if "ordered_values" in target:
        target["ordered_values"].remove(value)
    for child in data["fields"]:
        child["conditionals"] = [rule for rule in child["conditionals"] if rule["when"].get(field) != value]
    return with_base(read(data), bp)


def move_value(bp: Blueprint, *, field: str, value: str, by: Literal[-1, 1]) -> Blueprint:
    """Let a value and its neighbour change places; of a field without an order, in the list of its values only."""
    values = list(_demand_value(bp, field, value))
    here = values.index(value)
    if not 0 <= here + by < len(values):
        raise RequestError(f"{value!r} is {'first' if by < 0 else 'last'} already")
    swapped = {value, values[here + by]}
    values[here], values[here + by] = values[here + by], values[here]
    data, target = opened(bp, field)
    is_based = "categorical" in target
    for table in tables(target)[:1] if is_based else tables(target):
        weights = table["weights"]
        listed = [each for each in values if each in weights or (is_based and each in swapped)]
        table["weights"] = {each: weights.get(each, 0) for each in listed}
    if "ordered_values" in target:
        target["ordered_values"] = values
    return read(data)


def set_ordered(bp: Blueprint, *, field: str, ordered: bool) -> Blueprint:
    """Say whether the values, in the sequence they are listed, go from least to greatest."""
    values = categorical(bp, field).values
    data, target = opened(bp, field)
    if ordered:
        target.setdefault("ordered_values", list(values))
    else:
        target.pop("ordered_values", None)
    return read(data)


def _demand_value(bp: Blueprint, field: str, value: str) -> tuple[str, ...]:
    """All values of the field, of which `value` is one, or RequestError."""
    values = categorical(bp, field).values
    if value not in values:
        raise RequestError(f"{value!r} is no value of {field!r}", hint=instead(value, values))
    return values


def _without(weights: Wire, value: str, rest: list[str]) -> Wire:
    """The weights of the others, scaled to sum to 1."""
    kept = {each: weight for each, weight in weights.items() if each != value}
    total = math.fsum(kept.values())
    if not total:
        return dict.fromkeys(kept or rest, 1 / len(kept or rest))
    return {each: weight / total for each, weight in kept.items()} if weights.get(value) else kept
