"""Edits: every change that can be made to a blueprint by hand, as a function from one blueprint to the next.

An edit takes a valid blueprint and yields a valid one, or raises and has changed nothing. It changes what its name
says and what follows from that, such as the conditions of children where a value is renamed, and leaves everything
else as it was to the letter. So a history of edits is a list of blueprints, and undoing is going back in it.

`apply` makes an edit that is asked for by name, as an interface or a file would, and `step` says in a few words what
it did. `dependents`, `barred` and `rows` tell beforehand what an edit would meet.

>>> import personalab as lab
>>> bp = lab.Blueprint.load("data/blueprints/league-of-legends.json")
>>> renamed = apply(bp, "rename_value", {"field": "rank", "value": "Gold", "to": "Or"})
>>> [str(change) for change in renamed.diff(bp)][:2]
['fields.rank.categorical.weights.Gold: 0.25 → None', 'fields.rank.categorical.weights.Or: None → 0.25']
>>> step("rename_value", {"field": "rank", "value": "Gold", "to": "Or"})
'rename Gold of rank to Or'
"""

from __future__ import annotations

import inspect
import json
import reprlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from personalab.blueprint import validation
from personalab.blueprint.conditionals import label
from personalab.blueprint.model import Blueprint
from personalab.edits.constraints import add_constraint, change_constraint, comparison, remove_constraint
from personalab.edits.distributions import (
    add_base,
    add_row,
    change_when,
    remove_base,
    remove_row,
    set_numeric,
    set_weights,
)
from personalab.edits.fields import (
    about,
    add_field,
    describe,
    duplicate_field,
    move_field,
    remove_field,
    rename_field,
    set_parents,
)
from personalab.edits.links import barred, dependents
from personalab.edits.rows import Row, rows
from personalab.edits.values import add_value, move_value, remove_value, rename_value, set_ordered
from personalab.errors import BlueprintError, RequestError, nearest

Edit = Callable[..., Blueprint]

_STEPS: dict[Edit, str] = {
    set_weights: "weights of {field}",
    set_numeric: "numbers of {field}",
    add_base: "add a base to {field}",
    remove_base: "remove the base of {field}",
    add_row: "state {field}",
    remove_row: "remove {field}",
    change_when: "{field} now where {to}",
    add_value: "add {value} to {field}",
    rename_value: "rename {value} of {field} to {to}",
    remove_value: "remove {value} of {field}",
    move_value: "move {value} of {field}",
    set_ordered: "order of {field}",
    set_parents: "parents of {field}",
    describe: "description of {field}",
    about: "{key}",
    add_field: "add field {name}",
    rename_field: "rename {field} to {to}",
    remove_field: "remove field {field}",
    duplicate_field: "duplicate {field}",
    move_field: "move {field}",
    add_constraint: "add constraint {name}",
    change_constraint: "change constraint {name}",
    remove_constraint: "remove constraint {name}",
}
_AT: dict[Edit, str] = {
    set_weights: "{field} where {when}",
    set_numeric: "{field} where {when}",
    add_row: "state {field} where {when}",
    remove_row: "remove {field} where {when}",
}
EDITS: Mapping[str, Edit] = {edit.__name__: edit for edit in _STEPS}


def step(op: str, args: Mapping[str, Any]) -> str:
    """Say in a few words what an edit did, for a list of steps.

    Parameters
    ----------
    op : str
        One of `EDITS`.
    args : mapping
        What it was called with.

    Returns
    -------
    str
        Such as ``"weights of rank"`` or ``"hours_per_week where rank=Gold"``.
    """
    edit = _edit(op)
    told = {key: label(value) if isinstance(value, Mapping) else value for key, value in args.items()}
    table = _AT if args.get("when") and edit in _AT else _STEPS
    return table[edit].format(**told)


def apply(bp: Blueprint, op: str, args: Mapping[str, Any]) -> Blueprint:
    """Make an edit that is asked for by name.

    Parameters
    ----------
    bp : Blueprint
        A valid one.
    op : str
        One of `EDITS`.
    args : mapping
        Its keyword arguments, as JSON has them.

    Returns
    -------
    Blueprint
        A valid one.

    Raises
    ------
    RequestError
        If there is no such edit, its arguments are not as they must be, or it cannot be made to this blueprint.
    BlueprintError
        If the blueprint could not be sampled then: the message is the first thing wrong, ``findings`` are all.
    """
    edit = _edit(op)
    edited = edit(bp, **_demand(op, args))
    wrong = [finding for finding in validation.validate(edited) if finding.level == "error"]
    if wrong:
        reason = _where(edited, wrong[0].path, args) + wrong[0].reason
        raise BlueprintError(reason, findings=wrong, hint=wrong[0].fix)
    return edited


def _edit(op: str) -> Edit:
    if op not in EDITS:
        close = nearest(op, EDITS)
        raise RequestError(f"{op!r} is no edit", hint=f"did you mean {close!r}?" if close else f"one of {list(EDITS)}")
    return EDITS[op]


def _demand(op: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, which are the edit's own and of the right types, or RequestError."""
    known = _parameters(op)
    stray = [name for name in args if name not in known]
    missing = [name for name, (_, is_needed) in known.items() if is_needed and name not in args]
    if stray or missing:
        reason = f"takes no {stray[0]!r}" if stray else f"needs {missing[0]!r}"
        raise RequestError(f"{op!r} {reason}", hint=f"give it {list(known)}")
    asked = {name: _typed(op, name, value) for name, value in args.items()}
    try:
        json.dumps(asked, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestError("a text holds half a character, which no file can keep", hint="type it again") from error
    return asked


def _typed(op: str, name: str, value: Any) -> Any:
    try:
        return _parameters(op)[name][0].validate_python(value)
    except ValidationError as error:
        told = error.errors(include_url=False)[-1]["msg"].removeprefix("Value error, ")
        reason = f"{name!r} of {op!r} is {reprlib.repr(value)}: {told[:1].lower()}{told[1:]}"
        raise RequestError(reason, hint=f"see help(personalab.edits.{op})") from error


@cache
def _parameters(op: str) -> dict[str, tuple[TypeAdapter[Any], bool]]:
    """For each argument of an edit what it must be, and whether it must be given."""
    hints = get_type_hints(EDITS[op], include_extras=True)
    signature = inspect.signature(EDITS[op]).parameters.values()
    return {
        each.name: (TypeAdapter(hints[each.name], config=ConfigDict(strict=True)), each.default is each.empty)
        for each in signature
        if each.kind is each.KEYWORD_ONLY
    }


def _where(bp: Blueprint, path: str, args: Mapping[str, Any]) -> str:
    """Name the field or constraint that is at fault, unless it is the one being edited."""
    for kind, items in (("fields", bp.fields), ("constraints", bp.constraints)):
        for item in items:
            is_meant = path == f"{kind}.{item.name}" or path.startswith(
                (f"{kind}.{item.name}.", f"{kind}.{item.name} ")
            )
            if is_meant and item.name not in (args.get("field"), args.get("name"), args.get("to_name")):
                return f"{item.name}: "
    return ""


__all__ = [
    "EDITS", "Row", "about", "add_base", "add_constraint", "add_field", "add_row", "add_value", "apply", "barred",
    "change_constraint", "change_when", "comparison", "dependents", "describe", "duplicate_field", "move_field",
    "move_value", "remove_base", "remove_constraint", "remove_field", "remove_row", "remove_value", "rename_field",
    "rename_value", "rows", "set_numeric", "set_ordered", "set_parents", "set_weights", "step",
]  # fmt: skip
