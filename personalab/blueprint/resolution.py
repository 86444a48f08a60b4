"""Resolution: a constraint's text becomes a tree that means something in one blueprint, or is refused in a sentence.

Names are found among the blueprint's fields, and spellings that look alike are one. A name that without backticks would
be read as something else, such as ``net-income`` as a difference, is not guessed at. Categories are compared with their
own values, quoted, by ``==`` and ``!=``, and where they have an order also by ``<`` and ``>=``: then each stands as its
position in that order. What compares or computes with things that have no common scale is *not applicable*.
"""

from __future__ import annotations

import itertools
import re
from typing import cast
from unicodedata import normalize

from personalab.blueprint.constraints import (
    COMPARISONS,
    ORDER,
    Apply,
    Level,
    Name,
    Node,
    Number,
    Text,
    comparison,
    is_plain,
    is_statement,
    names,
    normal,
    parse,
    quoted,
    rebuilt,
    show,
    unquoted,
)
from personalab.blueprint.intervals import NotApplicableError, evaluate, support
from personalab.blueprint.model import Blueprint, CategoricalField, Constraint, TextField
from personalab.errors import BlueprintError, nearest


def resolve(constraint: Constraint, bp: Blueprint) -> Apply:
    """Read a constraint as a tree that has a meaning in a blueprint.

    Parameters
    ----------
    constraint : Constraint
        The constraint.
    bp : Blueprint
        Whose fields it names.

    Returns
    -------
    Apply
        The comparison of both sides, ready to be evaluated: names are those of fields, and categories that are
        compared by their order stand as `Level`.

    Raises
    ------
    BlueprintError
        If it cannot be read, names an unknown field, or a category value that its field does not have.
    NotApplicableError
        If it compares or computes with what cannot be: a text field, or a category as if it were a number.

    Examples
    --------
    >>> tier = {"name": "tier", "kind": "categorical", "ordered_values": ["low", "high"],
    ...         "categorical": {"weights": {"low": 0.5, "high": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "d", "order": ["tier"], "fields": [tier]})
    >>> resolve(Constraint(name="top", lhs="tier", op=">=", rhs="'high'"), bp)
    Apply(op='>=', args=(Level(field='tier', order=('low', 'high')), Number(value=1.0)))
    """
    demand_quoted(f"{constraint.lhs} {constraint.op} {constraint.rhs}", bp)
    return cast(Apply, _checked(tree_of(constraint, bp), bp))


def tree_of(constraint: Constraint, bp: Blueprint) -> Node:
    """The tree of a constraint, unchecked, with fields called as the blueprint calls them."""
    exact, alike = {field.name for field in bp.fields}, {normal(field.name): field.name for field in bp.fields}

    def call(node: Node) -> Node:
        """The node with the blueprint's spelling of a name."""
        if isinstance(node, Name) and node.field not in exact:
            return Name(alike.get(normal(node.field), node.field))
        return node

    return rebuilt(comparison(constraint.lhs, constraint.op, constraint.rhs), call)


def demand_quoted(text: str, bp: Blueprint) -> None:
    """Refuse a text in which the name of a field would be read as something else, because it is not in backticks."""
    rest = normalize("NFC", unquoted(text))
    for field in bp.fields:
        name = normalize("NFC", field.name)
        if is_plain(field.name) or not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", rest):
            continue
        if _is_misread(name):
            raise BlueprintError(
                f"{field.name!r} is a field, and without backticks its name is read as something else",
                hint=f"quote it: {quoted(field.name)}; or put spaces around the signs, if it is no name",
            )


def _is_misread(name: str) -> bool:
    """Whether a name without backticks is an expression of its own, or none at all."""
    try:
        return isinstance(parse(name), Apply)
    except BlueprintError:
        return any(sign.isalnum() for sign in name)


def _checked(node: Node, bp: Blueprint) -> Node:
    """The tree if it has a meaning, with levels for categories that are compared by their order."""
    if isinstance(node, Name):
        _demand_field(node.field, bp)
    if not isinstance(node, Apply):
        return node
    if node.op in COMPARISONS and any(isinstance(arg, Text) or _category(arg, bp) for arg in node.args):
        return _compared(node, bp)
    args = tuple(_checked(arg, bp) for arg in node.args)
    if any(isinstance(arg, Text) or _category(arg, bp) for arg in args):
        raise NotApplicableError(f"{show(node)} computes with a category, which is no number")
    if node.op in COMPARISONS:
        for one, other in itertools.permutations(args):
            if is_statement(one) and not is_statement(other):
                _demand_worth(one, other, bp)
    return Apply(node.op, args)


def _demand_field(name: str, bp: Blueprint) -> None:
    fields = {field.name: field for field in bp.fields}
    if name not in fields:
        close = nearest(name, fields)
        raise BlueprintError(f"{name!r} is no field" + (f", did you mean {quoted(close)!r}?" if close else ""))
    if isinstance(fields[name], TextField):
        raise NotApplicableError(f"{name!r} is a text field, which has no value to compare")


def _demand_worth(statement: Node, other: Node, bp: Blueprint) -> None:
    """Refuse to compare a comparison, which is worth 1 or 0, with what is worth more: it would never say anything."""
    low, high = evaluate(other, {name: support(bp[name]) for name in names(other)})
    if not (low >= 0 and high <= 1):
        raise BlueprintError(
            f"({show(statement)}) is worth 1 or 0, and is compared with {show(other)}",
            hint="compare it with 1, 0 or another comparison; a chain such as 18 <= age <= 50 has no brackets",
        )


def _category(node: Node, bp: Blueprint) -> CategoricalField | None:
    found = next((f for f in bp.fields if isinstance(node, Name) and f.name == node.field), None)
    return found if isinstance(found, CategoricalField) else None


def _compared(node: Apply, bp: Blueprint) -> Apply:
    """A comparison of categories: with each other's values, or by levels of one and the same order."""
    fields = [field for arg in node.args if (field := _category(arg, bp))]
    if not fields:
        for arg in node.args:
            _checked(arg, bp)
        raise NotApplicableError(f"{show(node)} compares a quoted value with no category")
    first, order = fields[0], fields[0].ordered_values
    for arg in node.args:
        _demand_value(arg, first, bp)
    if node.op not in ORDER:
        return node
    if order is None or any(field.ordered_values != order for field in fields):
        lacking = f"{first.name!r} has no order" if order is None else "the two have not one order"
        raise NotApplicableError(f"{show(node)} asks for what is more, but {lacking}")

    def levelled(arg: Node) -> Node:
        if isinstance(arg, Text):
            return Number(float(order.index(arg.value)))
        return Level(cast(Name, arg).field, order)

    return Apply(node.op, tuple(map(levelled, node.args)))


def _demand_value(node: Node, field: CategoricalField, bp: Blueprint) -> None:
    """Refuse what a category cannot be compared with, and say where only quotes are missing."""
    legal = field.ordered_values or field.values
    if _category(node, bp) or (isinstance(node, Text) and node.value in legal):
        return
    word = node.value if isinstance(node, Text) else show(node)
    close = word if word in legal else nearest(word, legal)
    if isinstance(node, Text):
        reason = f", did you mean {close!r}?" if close else f", which has {list(legal)}"
        raise BlueprintError(f"{word!r} is no value of {field.name!r}{reason}")
    if isinstance(node, Name | Number) and close and word not in {each.name for each in bp.fields}:
        raise BlueprintError(f"{close!r} is a value of {field.name!r}: quote it", hint=f"write {show(Text(close))}")
    _checked(node, bp)
    raise NotApplicableError(f"{show(node)} is no category, and {field.name!r} is one")
