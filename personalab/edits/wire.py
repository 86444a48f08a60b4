"""A blueprint as plain data, to be changed in one place and read back.

Every edit opens the blueprint into its wire form, changes what it must, and reads it back, so that all it does not
touch stays as it was to the letter. What is asked for is found here by name, or refused in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from personalab.blueprint.conditionals import interval, label
from personalab.blueprint.model import (
    AnyField,
    Blueprint,
    CategoricalField,
    NumericField,
    SampledField,
    TextField,
)
from personalab.errors import RequestError, instead

Wire = dict[str, Any]
When = Mapping[str, str]


def found(bp: Blueprint, name: str) -> AnyField:
    """The field of that name, or RequestError."""
    return bp[name]


def categorical(bp: Blueprint, name: str) -> CategoricalField:
    """The categorical field of that name, or RequestError."""
    field = found(bp, name)
    if not isinstance(field, CategoricalField):
        raise RequestError(f"{name!r} is a {field.kind} field, which has no values to weigh")
    return field


def numeric(bp: Blueprint, name: str) -> NumericField:
    """The numeric field of that name, or RequestError."""
    field = found(bp, name)
    if not isinstance(field, NumericField):
        raise RequestError(f"{name!r} is a {field.kind} field, which has no range and mean")
    return field


def sampled(bp: Blueprint, name: str) -> SampledField:
    """The field of that name if it is sampled, or RequestError."""
    field = found(bp, name)
    if isinstance(field, TextField):
        raise RequestError(f"{name!r} is a text field, which has no distribution")
    return field


def opened(bp: Blueprint, name: str) -> tuple[Wire, Wire]:
    """The blueprint as plain data, and the field in it."""
    found(bp, name)
    data = bp.to_dict()
    return data, next(field for field in data["fields"] if field["name"] == name)


def tables(field: Wire) -> list[Wire]:
    """Every distribution that a field states: the base first, then the conditionals'."""
    return [each[field["kind"]] for each in [field, *field["conditionals"]] if field["kind"] in each]


def demand_condition(bp: Blueprint, field: SampledField, when: When) -> None:
    """Refuse a condition that cannot hold for the field: of no parent, or of no value that the parent has."""
    if not when:
        raise RequestError("a condition names at least one parent", hint="the rest is the base distribution")
    for name, text in when.items():
        if name not in field.parents:
            raise RequestError(f"{name!r} is not a parent of {field.name!r}", hint=instead(name, field.parents))
        parent = bp[name]
        if isinstance(parent, NumericField):
            interval(text)
        elif isinstance(parent, CategoricalField) and text not in parent.values:
            raise RequestError(f"{text!r} is no value of {name!r}", hint=instead(text, parent.values))


def key(bp: Blueprint, when: When) -> frozenset[tuple[str, Any]]:
    """Equal for conditions that say the same, however their intervals are spelt."""
    return frozenset(
        (name, interval(text) if isinstance(bp[name], NumericField) else text) for name, text in when.items()
    )


def place(bp: Blueprint, rules: Iterable[Wire], when: When) -> int | None:
    """Where among a field's conditionals the one with this condition stands, or None."""
    wanted = key(bp, when)
    return next((i for i, rule in enumerate(rules) if key(bp, rule["when"]) == wanted), None)


def stated_at(bp: Blueprint, field: Wire, when: When) -> int:
    """Where the conditional with this condition stands, or RequestError."""
    at = place(bp, field["conditionals"], when)
    if at is None:
        reason = f"{field['name']!r} states nothing of its own for {label(when)}"
        raise RequestError(reason, hint="name a condition that is stated")
    return at


def demand_free(name: str, taken: Iterable[str], what: str) -> None:
    """Refuse a new name that cannot be read, or that another has."""
    if not name.strip():
        raise RequestError(f"a {what} needs a name", hint="give it one that can be read")
    if name in set(taken):
        raise RequestError(f"there is a {what} {name!r} already", hint="choose another name")


def read(data: Wire) -> Blueprint:
    """The blueprint that the data is."""
    return Blueprint.from_dict(data)
