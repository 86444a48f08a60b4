"""Edits of the fields themselves: which there are, what they are called, and which depends on which.

A field's name stands in the order, among the parents of others, in their conditions and in constraints, and an edit
follows it to each of them. It is never sought in prose: descriptions, rationale and notes stay as somebody wrote them.
"""

from __future__ import annotations

from typing import Any, Literal

from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import RESERVED
from personalab.edits.constraints import speaks_of
from personalab.edits.links import barred, in_turn, with_base
from personalab.edits.mixture import mixture
from personalab.edits.wire import Wire, demand_free, found, key, opened, read
from personalab.errors import RequestError

NEW: dict[str, Wire] = {
    "categorical": {"categorical": {"weights": {"a": 0.5, "b": 0.5}}},
    "numeric": {"numeric": {"min": 0, "max": 100, "mean": 50, "sd": 15, "integer": True}},
    "text": {},
}


def add_field(bp: Blueprint, *, name: str, kind: Literal["categorical", "numeric", "text"]) -> Blueprint:
    """Add a field after all others: two even values, a number of 0 to 100, or a text."""
    _demand_name(bp, name)
    data = bp.to_dict()
    fresh = {"name": name, "kind": kind, "description": "", "parents": [], **NEW[kind], "conditionals": []}
    data["fields"].append(fresh)
    if kind != "text":
        data["order"].append(name)
    return read(data)


def rename_field(bp: Blueprint, *, field: str, to: str) -> Blueprint:
    """Call a field something else wherever the blueprint speaks of it, but for prose.

    Examples
    --------
    >>> age = {"name": "age", "kind": "numeric", "numeric": {"min": 0, "max": 99, "mean": 40, "sd": 9}}
    >>> rule = {"name": "grown", "lhs": "age", "op": ">=", "rhs": "18"}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["age"], "fields": [age], "constraints": [rule]})
    >>> str(rename_field(bp, field="age", to="years").constraints[0])
    'years >= 18'
    """
    found(bp, field)
    if to != field:
        _demand_name(bp, to)
    return bp.rename(field, to)


def remove_field(bp: Blueprint, *, field: str) -> Blueprint:
    """Take a field away: from its children as `set_parents` does, and with the constraints that speak of it."""
    gone = found(bp, field)
    if gone in bp.sampled and len(bp.sampled) == 1:
        raise RequestError(f"{field!r} is the last field that is sampled", hint="add another first")
    if len(bp.fields) == 1:
        raise RequestError(f"{field!r} is the only field", hint="add another first")
    data = bp.to_dict()
    for child in data["fields"]:
        if field in child["parents"]:
            _orphan(bp, child, [name for name in child["parents"] if name != field])
    data["fields"] = [each for each in data["fields"] if each["name"] != field]
    data["order"] = [name for name in data["order"] if name != field]
    speaking = {rule.name for rule in bp.constraints if speaks_of(bp, rule, field)}
    data["constraints"] = [rule for rule in data["constraints"] if rule["name"] not in speaking]
    return with_base(read(data), bp)


def duplicate_field(bp: Blueprint, *, field: str, to: str | None = None) -> Blueprint:
    """Put a copy right after a field, with the same parents; children and constraints stay with the original."""
    names = {each.name for each in bp.fields}
    data, target = opened(bp, field)
    if to is None:
        to = next(name for i in range(2, len(names) + 3) if (name := f"{field}_{i}") not in names)
    _demand_name(bp, to)
    data["fields"].insert(data["fields"].index(target) + 1, target | {"name": to})
    if field in data["order"]:
        data["order"].insert(data["order"].index(field) + 1, to)
    return read(data)


def move_field(bp: Blueprint, *, field: str, by: Literal[-1, 1]) -> Blueprint:
    """Let a field and its neighbour change places, in the order of sampling too where dependencies allow it."""
    data, target = opened(bp, field)
    fields, order = data["fields"], data["order"]
    here = fields.index(target)
    if not 0 <= here + by < len(fields):
        raise RequestError(f"{field!r} is {'first' if by < 0 else 'last'} already")
    other = fields[here + by]["name"]
    fields[here], fields[here + by] = fields[here + by], fields[here]
    if {field, other} <= set(order) and (order.index(field) > order.index(other)) == (by < 0):
        moved = [name for name in order if name != field]
        moved.insert(moved.index(other) + (by > 0), field)
        data["order"] = moved if in_turn(moved, fields) == moved else order
    return read(data)


def set_parents(bp: Blueprint, *, field: str, parents: list[str]) -> Blueprint:
    """Say on which fields a field depends.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    field : str
        Any field.
    parents : list of str
        All its parents from now on.

    Returns
    -------
    Blueprint
        The edited one. Without one of its parents, a field's conditionals speak of the others only: each states the
        mixture of what held there so far, one for those that come to say the same, and an exception to one that did
        not speak of that parent falls away. Where nothing would hold then, the field gets a base, a mixture too.

    Raises
    ------
    RequestError
        If one of them cannot be a parent: `barred` says why.
    """
    known, reasons = found(bp, field), barred(bp, field)
    for name in parents:
        if name == field:
            raise RequestError(f"{field!r} cannot depend on itself", hint="choose another field")
        found(bp, name)
        if name in reasons:
            raise RequestError(
                f"{name!r} cannot be a parent of {field!r}: {reasons[name]}", hint="choose another field"
            )
    if len(set(parents)) < len(parents):
        raise RequestError("a parent is named twice", hint="name it once")
    data, target = opened(bp, field)
    if set(known.parents) <= set(parents):
        target["parents"] = list(parents)
    else:
        _orphan(bp, target, parents)
    data["order"] = in_turn(data["order"], data["fields"])
    return with_base(read(data), bp)


def describe(bp: Blueprint, *, field: str, text: str) -> Blueprint:
    """Say what a field means, for readers and for the model that writes texts."""
    data, target = opened(bp, field)
    target["description"] = text
    return read(data)


def about(bp: Blueprint, *, key: Literal["domain", "rationale", "sources"], text: str) -> Blueprint:
    """Say who the population is, why the blueprint is as it is, or where its numbers come from, a source a line."""
    if key == "domain" and not text.strip():
        raise RequestError("the population needs a name", hint="say in a few words who they are")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return read(bp.to_dict() | {key: lines if key == "sources" else text})


def _demand_name(bp: Blueprint, name: str) -> None:
    demand_free(name, (field.name for field in bp.fields), "field")
    if name != name.strip():
        raise RequestError(f"the name {name!r} is padded with spaces", hint="leave them out")
    if name in RESERVED:
        raise RequestError(f"{name!r} is a column that personalab adds itself", hint="choose another name")


def _orphan(bp: Blueprint, target: Wire, parents: list[str]) -> None:
    """Let a field depend on these only."""
    gone, known = set(target["parents"]) - set(parents), bp[target["name"]]
    target["parents"] = list(parents)
    groups: dict[Any, list[Wire]] = {}
    for rule in target["conditionals"]:
        left = {name: text for name, text in rule["when"].items() if name not in gone}
        if left:
            groups.setdefault(key(bp, left), []).append(rule | {"when": left})
    general = {key(bp, rule["when"]): rule for rule in reversed(target["conditionals"])}
    target["conditionals"] = [
        general.get(said) or first | {known.kind: mixture(bp, known, first["when"]).model_dump(mode="json")}  # type: ignore[arg-type]
        for said, (first, *_) in groups.items()
    ]
