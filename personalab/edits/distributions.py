"""Edits of what a field's values are drawn from: its base distribution and its conditionals.

A condition is given as ``when``, a value or interval for some of the field's parents; empty or None is the base. It
names a conditional by what it says: ``"30"`` and ``"30..30"`` are one condition.
"""

from __future__ import annotations

import math
from typing import Any

from personalab.blueprint import moments
from personalab.blueprint.conditionals import Lookup, label
from personalab.blueprint.model import EXACT, Blueprint, Numeric
from personalab.blueprint.shape import Number
from personalab.blueprint.validation import SCALED
from personalab.edits.mixture import holding, mixture
from personalab.edits.wire import (
    When,
    Wire,
    categorical,
    demand_condition,
    numeric,
    opened,
    place,
    read,
    sampled,
    stated_at,
)
from personalab.errors import BlueprintError, RequestError, instead


def set_weights(
    bp: Blueprint, *, field: str, when: dict[str, str] | None = None, weights: dict[str, Number]
) -> Blueprint:
    """State the weights of all values, in the base or where a condition holds.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : str
        A categorical field.
    when : mapping of str to str, optional
        For which parent values; a condition not stated so far becomes a conditional.
    weights : mapping of str to float
        A share for every value; they sum to 1 within 0.0005. In which order they are given does not matter.

    Returns
    -------
    Blueprint
        The edited one.

    Examples
    --------
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> set_weights(bp, field="side", weights={"head": 0.6, "tail": 0.4})["side"].base.weights
    {'head': 0.6, 'tail': 0.4}
    """
    known = categorical(bp, field).values
    data, target = opened(bp, field)
    present = _present(bp, target, when)
    had = list(present["weights"]) if present else []
    _demand_weights(weights, known, had if present else known)
    values = [*had, *(value for value in known if value not in had and (not present or weights.get(value)))]
    _put(bp, target, when, {"weights": {value: weights[value] for value in values}})
    return read(data)


def set_numeric(
    bp: Blueprint,
    *,
    field: str,
    when: dict[str, str] | None = None,
    min: Number,  # noqa: A002  # as the wire form calls it
    max: Number,  # noqa: A002
    mean: Number,
    sd: Number,
    integer: bool,
) -> Blueprint:
    """State a number's range, mean and spread, in the base or where a condition holds.

    As `set_weights`; what no distribution can have is refused in validation's words.
    """
    numeric(bp, field)
    numbers = {"min": min, "max": max, "mean": mean, "sd": sd, "integer": integer}
    for end in ("min", "max"):
        if integer and numbers[end] != math.floor(numbers[end]):
            hint = "round it, or allow fractions"
            raise BlueprintError(f"{end} {numbers[end]:g} is no whole number", hint=hint)
    wrong = moments.complaint(Numeric(**numbers))
    if wrong:
        raise BlueprintError(wrong, hint="change the moment named, or the range")
    data, target = opened(bp, field)
    _put(bp, target, when, numbers)
    return read(data)


def add_base(bp: Blueprint, *, field: str) -> Blueprint:
    """Give a field that has conditionals only a base: the mixture of what holds now, `personalab.edits.mixture`."""
    known = sampled(bp, field)
    if known.base is not None:
        raise RequestError(f"{field!r} has a base distribution already", hint="change that one")
    data, target = opened(bp, field)
    target[known.kind] = mixture(bp, known, {}).model_dump(mode="json")
    return read(data)


def remove_base(bp: Blueprint, *, field: str) -> Blueprint:
    """Take a field's base away; its conditionals have to cover every parent configuration then."""
    known = sampled(bp, field)
    if known.base is None:
        raise RequestError(f"{field!r} has no base distribution")
    if not known.conditionals:
        raise RequestError(f"its base is all that {field!r} has", hint="state conditionals first, or remove the field")
    data, target = opened(bp, field)
    del target[known.kind]
    return read(data)


def add_row(bp: Blueprint, *, field: str, when: dict[str, str]) -> Blueprint:
    """State what holds now where a condition does, so that it can be changed by itself.

    Where a condition names some of the parents only, several things may hold; then it is their mixture.
    """
    known = sampled(bp, field)
    demand_condition(bp, known, when)
    data, target = opened(bp, field)
    if place(bp, target["conditionals"], when) is not None:
        raise RequestError(f"{field!r} is stated for {label(when)} already", hint="change that")
    now = holding(bp, Lookup(bp, known), when) if len(when) == len(known.parents) else None
    now = now or mixture(bp, known, when)
    target["conditionals"].append({"when": dict(when), known.kind: now.model_dump(mode="json")})
    return read(data)


def remove_row(bp: Blueprint, *, field: str, when: dict[str, str]) -> Blueprint:
    """Take a conditional away, so that what is more general holds there."""
    demand_condition(bp, sampled(bp, field), when)
    data, target = opened(bp, field)
    del target["conditionals"][stated_at(bp, target, when)]
    return read(data)


def change_when(bp: Blueprint, *, field: str, when: dict[str, str], to: dict[str, str]) -> Blueprint:
    """Let a conditional hold for other parent values."""
    known = sampled(bp, field)
    demand_condition(bp, known, when)
    demand_condition(bp, known, to)
    data, target = opened(bp, field)
    at = stated_at(bp, target, when)
    other = place(bp, target["conditionals"], to)
    if other not in (None, at):
        raise RequestError(f"{field!r} is stated for {label(to)} already", hint="change or remove that one")
    target["conditionals"][at]["when"] = dict(to)
    return read(data)


def _present(bp: Blueprint, target: Wire, when: When | None) -> Wire | None:
    """The distribution stated for a condition, or None."""
    kind = target["kind"]
    if not when:
        return target.get(kind)
    demand_condition(bp, sampled(bp, target["name"]), when)
    at = place(bp, target["conditionals"], when)
    return None if at is None else target["conditionals"][at][kind]


def _put(bp: Blueprint, target: Wire, when: When | None, distribution: Wire) -> None:
    present = _present(bp, target, when)
    if present is not None:
        present.update(distribution)
    elif when:
        target["conditionals"].append({"when": dict(when), target["kind"]: distribution})
    else:
        target[target["kind"]] = distribution


def _demand_weights(weights: dict[str, Any], known: tuple[str, ...], needed: tuple[str, ...] | list[str]) -> None:
    for value, weight in weights.items():
        if value not in known:
            raise RequestError(f"{value!r} is no value of this field", hint=instead(value, known))
        if not math.isfinite(weight) or weight < 0:
            raise RequestError(f"the weight of {value!r} is {weight}", hint="give it a share of 0 or more")
    missing = [value for value in needed if value not in weights]
    if missing:
        raise RequestError(f"{missing[0]!r} is given no weight", hint="give it 0 if nobody has it")
    total = math.fsum(weights.values())
    if abs(total - 1) > SCALED + EXACT:
        raise RequestError(f"the weights sum to {total:.6g}, not 1", hint="scale them to sum to 1")
