"""What hangs together: which fields depend on a field, and what follows when that changes."""

from __future__ import annotations

from personalab.blueprint.model import Blueprint, TextField
from personalab.edits.constraints import speaks_of
from personalab.edits.mixture import is_covered, mixture
from personalab.edits.wire import Wire, found, opened, read, sampled


def dependents(bp: Blueprint, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List what would notice if a field were gone.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    name : str
        A field.

    Returns
    -------
    tuple of str, tuple of str
        The fields that have it as a parent, and the constraints that speak of it.
    """
    found(bp, name)
    children = tuple(field.name for field in bp.fields if name in field.parents)
    return children, tuple(rule.name for rule in bp.constraints if speaks_of(bp, rule, name))


def barred(bp: Blueprint, name: str) -> dict[str, str]:
    """Say which other fields cannot be parents of a field, and why.

    Parameters
    ----------
    bp : Blueprint
        The whole.
    name : str
        A field.

    Returns
    -------
    dict of str to str
        A reason for each field that cannot. A text field may depend on any sampled one.

    Examples
    --------
    >>> tier = {"name": "tier", "kind": "categorical", "categorical": {"weights": {"low": 0.5, "high": 0.5}}}
    >>> pay = {"name": "pay", "kind": "categorical", "parents": ["tier"], "categorical": {"weights": {"some": 1}}}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["tier", "pay"], "fields": [tier, pay]})
    >>> barred(bp, "tier")
    {'pay': 'fields would depend on each other in a ring: tier → pay → tier'}
    """
    field, below = found(bp, name), _below(bp, name)
    reasons: dict[str, str] = {}
    for other in bp.fields:
        if other.name == name or other.name in field.parents:
            continue
        if isinstance(other, TextField):
            reasons[other.name] = f"{other.name!r} is a text, which is written after all sampling"
        elif other.name in below:
            ring = " → ".join([*below[other.name], name])
            reasons[other.name] = f"fields would depend on each other in a ring: {ring}"
    return reasons


def in_turn(order: list[str], fields: list[Wire]) -> list[str]:
    """The order with every parent before its children, and else as it was."""
    kinds = {field["name"]: field["kind"] for field in fields}
    parents = {field["name"]: field["parents"] for field in fields if field["kind"] != "text"}
    turn: list[str] = []

    def put(name: str) -> None:
        """Put a field behind its parents."""
        if name not in turn:
            for parent in sorted((each for each in parents.get(name, ()) if each in kinds), key=order.index):
                put(parent)
            turn.append(name)

    for name in order:
        put(name)
    return turn


def with_base(bp: Blueprint, before: Blueprint) -> Blueprint:
    """The blueprint with a base for each field that an edit left uncovered: the mixture of what held before."""
    for name in in_turn(list(bp.order), bp.to_dict()["fields"]):  # what a child can be follows from its parents
        field = bp[name]
        if not isinstance(field, TextField) and not is_covered(bp, field):
            data, target = opened(bp, name)
            target[field.kind] = mixture(before, sampled(before, name), {}).model_dump(mode="json")
            bp = read(data)
    return bp


def _below(bp: Blueprint, name: str) -> dict[str, list[str]]:
    """For each field that depends on this one, however indirectly, a shortest way down to it."""
    ways, edge = {name: [name]}, [name]
    while edge:
        nearer = edge.pop(0)
        for field in bp.fields:
            if nearer in field.parents and field.name not in ways:
                ways[field.name] = [*ways[nearer], field.name]
                edge.append(field.name)
    return ways
