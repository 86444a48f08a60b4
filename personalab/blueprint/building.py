"""Building: a blueprint from a few words of Python, and one whose fields are called something else.

A field may be given as what it is known by: a mapping of values to weights, the ``(mean, sd, min, max)`` of a number,
or the description of a text. A field's name stands in the order, among the parents of others, in their conditions and
in constraints; renaming follows it to each of them, and never seeks it in prose.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from personalab.blueprint import constraints
from personalab.blueprint.constraints import Name, Node
from personalab.blueprint.model import (
    Blueprint,
    Categorical,
    CategoricalField,
    Constraint,
    Numeric,
    NumericField,
    TextField,
)
from personalab.blueprint.resolution import tree_of
from personalab.errors import BlueprintError, RequestError, quoted

FOUR = ("mean", "sd", "min", "max")


def build(domain: str, fields: Mapping[str, Any], rules: Iterable[Constraint]) -> Blueprint:
    """Put a blueprint together; see `Blueprint.of`."""
    made = [_field(name, given) for name, given in fields.items()]
    parents = {
        field.name: [p for p in field.parents if p in fields] for field in made if not isinstance(field, TextField)
    }
    try:
        order = [name for name in graphlib.TopologicalSorter(parents).static_order() if name in parents]
    except graphlib.CycleError as error:
        circle = " → ".join(error.args[1])
        raise BlueprintError(
            f"the fields depend on each other in a circle: {circle}", hint="take a parent out"
        ) from error
    return Blueprint(domain=domain, order=tuple(order), fields=tuple(made), constraints=tuple(rules))


def _field(name: str, given: Any) -> CategoricalField | NumericField | TextField:
    if isinstance(given, CategoricalField | NumericField | TextField):
        return type(given)(**(dict(given) | {"name": name}))
    if isinstance(given, Categorical | Mapping):
        table = given if isinstance(given, Categorical) else Categorical(weights=dict(given))
        return CategoricalField(name=name, categorical=table)
    if isinstance(given, str):
        return TextField(name=name, description=given)
    if isinstance(given, tuple | list) and len(given) == len(FOUR):
        four = dict(zip(FOUR, given, strict=True))
        whole = all(isinstance(four[end], int) for end in ("min", "max"))
        given = Numeric(**four, integer=whole)
    if isinstance(given, Numeric):
        return NumericField(name=name, numeric=given)
    hint = "give weights as a dict, a number as (mean, sd, min, max), a text as its description, or a field"
    raise RequestError(f"the field {name!r} is given as {quoted(given)}", hint=hint)


def rename(bp: Blueprint, old: str, new: str) -> Blueprint:
    """Call a field something else wherever the blueprint speaks of it; see `Blueprint.rename`."""
    bp[old]  # an unknown name is an error
    if not isinstance(new, str):
        raise RequestError(f"the new name is {quoted(new)}, which is no text", hint="give the name as a str")
    if new == old:
        return bp
    if not new.strip() or any(field.name == new for field in bp.fields):
        reason = f"there is a field {new!r} already" if new.strip() else "a field needs a name"
        raise RequestError(reason, hint="choose another name")
    data, names = bp.to_dict(), {old: new}
    data["order"] = [names.get(name, name) for name in data["order"]]
    for each in data["fields"]:
        each["name"] = names.get(each["name"], each["name"])
        each["parents"] = [names.get(name, name) for name in each["parents"]]
        for rule in each["conditionals"]:
            rule["when"] = {names.get(name, name): value for name, value in rule["when"].items()}
    changed = (rewritten(bp, rule, lambda node: Name(new) if node == Name(old) else node) for rule in bp.constraints)
    data["constraints"] = [rule.model_dump(mode="json") for rule in changed]
    return Blueprint.from_dict(data)


def rewritten(bp: Blueprint, rule: Constraint, change: Callable[[Node], Node]) -> Constraint:
    """A constraint with its tree changed: as typed where nothing in it changes, else written anew."""
    before = tree_of(rule, bp)
    after = constraints.rebuilt(before, change)
    if after == before:
        return rule
    try:
        lhs, op, rhs = constraints.sides(after)
    except BlueprintError as error:
        raise RequestError(f"the constraint {rule.name!r} has no room for that name", hint="shorten it") from error
    return Constraint(name=rule.name, lhs=lhs, op=op, rhs=rhs)
