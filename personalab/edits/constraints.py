"""Edits of constraints, and of the names and values that constraints speak of.

A constraint is text that people typed. It is read as a tree, and where a field or a value gets another name, the tree
changes at exactly the places that speak of it: a quoted category that is spelt like the field, a function, or a longer
name that contains it stay as they are. Then it is written anew, with every name quoted that has to be.
"""

from __future__ import annotations

from collections.abc import Callable

from personalab.blueprint import constraints
from personalab.blueprint.building import rewritten
from personalab.blueprint.constraints import Apply, Name, Node, Text
from personalab.blueprint.model import Blueprint, Constraint
from personalab.blueprint.resolution import demand_quoted, resolve, tree_of
from personalab.edits.wire import Wire, demand_free, read
from personalab.errors import RequestError, instead


def add_constraint(bp: Blueprint, *, name: str, text: str) -> Blueprint:
    """Add a constraint that every member obeys, such as ``age >= 18``."""
    demand_free(name, (rule.name for rule in bp.constraints), "constraint")
    rule = comparison(bp, name, text)
    data = bp.to_dict()
    data["constraints"].append(rule.model_dump(mode="json"))
    return read(data)


def change_constraint(bp: Blueprint, *, name: str, to_name: str, text: str) -> Blueprint:
    """Give a constraint another name, another text, or both."""
    at = _place(bp, name)
    if to_name != name:
        demand_free(to_name, (rule.name for rule in bp.constraints), "constraint")
    data = bp.to_dict()
    data["constraints"][at]["name"] = to_name
    if text.strip() != str(bp.constraints[at]):
        data["constraints"][at] = comparison(bp, to_name, text).model_dump(mode="json")
    return read(data)


def remove_constraint(bp: Blueprint, *, name: str) -> Blueprint:
    """Free the members of a constraint."""
    at = _place(bp, name)
    data = bp.to_dict()
    del data["constraints"][at]
    return read(data)


def comparison(bp: Blueprint, name: str, text: str) -> Constraint:
    """Read a constraint as somebody types it.

    Parameters
    ----------
    bp : Blueprint
        Whose fields it may name.
    name : str
        How the constraint is to be called.
    text : str
        Two expressions with one comparison between them, or a chain of comparisons.

    Returns
    -------
    Constraint
        The constraint, which has a meaning in the blueprint.

    Raises
    ------
    BlueprintError
        If it is no single comparison or chain, or names what there is not.

    Examples
    --------
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"<=": 0.5, ">=": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "signs", "order": ["side"], "fields": [side]})
    >>> comparison(bp, "one_way", "side != '<='")
    Constraint(name='one_way', lhs='side', op='!=', rhs="'<='")
    """
    demand_quoted(text, bp)
    rule = _constraint(name, constraints.parse(text))
    resolve(rule, bp)
    return rule


def speaks_of(bp: Blueprint, rule: Constraint, field: str) -> bool:
    """Whether a constraint names a field."""
    return field in constraints.names(tree_of(rule, bp))


def quotes(bp: Blueprint, rule: Constraint, field: str, value: str) -> bool:
    """Whether a constraint compares a field with a value."""
    tree = tree_of(rule, bp)
    return tree != constraints.rebuilt(tree, _revaluing(field, value, value + "?"))


def revalued(bp: Blueprint, rule: Constraint, field: str, old: str, new: str) -> Wire:
    """The constraint with a new name for one of a field's values, where it compares the field with it."""
    return rewritten(bp, rule, _revaluing(field, old, new)).model_dump(mode="json")


def _revaluing(field: str, old: str, new: str) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        if isinstance(node, Apply) and node.op in constraints.COMPARISONS and Name(field) in node.args:
            return Apply(node.op, tuple(Text(new) if arg == Text(old) else arg for arg in node.args))
        return node

    return change


def _constraint(name: str, tree: Node) -> Constraint:
    lhs, op, rhs = constraints.sides(tree)
    return Constraint(name=name, lhs=lhs, op=op, rhs=rhs)


def _place(bp: Blueprint, name: str) -> int:
    names = [rule.name for rule in bp.constraints]
    if name not in names:
        raise RequestError(f"{name!r} is no constraint", hint=instead(name, names))
    return names.index(name)
