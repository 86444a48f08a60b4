"""Edits of constraints, and of the names and values that constraints speak of.

A constraint is text that people typed. Where a field or a value gets another name, the text changes at exactly the
places where the parsed expression speaks of it: a quoted category that is spelt like the field, a function, or a
longer name that contains it stay as they are, and so do spaces and brackets.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Callable, Iterator

from personalab.blueprint import constraints
from personalab.blueprint.intervals import resolve
from personalab.blueprint.model import Blueprint, Constraint
from personalab.edits.wire import Wire, demand_free, read
from personalab.errors import BlueprintError, RequestError, instead

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
EXAMPLE = "write it like age >= 18"
MISTAKES = {"[≤≥≠]": "write <=, >= or !=", "[^<>=!]=[^=]": "write == for equal"}
SHOWN = 60  # characters of a text in a message
MOST = 2 * constraints.MAX_LENGTH + 10  # characters of both sides and what stands between
Spot = tuple[int, int]  # where in a text something begins and ends, in bytes of UTF-8


def add_constraint(bp: Blueprint, *, name: str, text: str) -> Blueprint:
    """Add a rule that every member obeys, such as ``age >= 18``."""
    demand_free(name, (rule.name for rule in bp.constraints), "constraint")
    rule = comparison(bp, name, text)
    data = bp.to_dict()
    data["constraints"].append(rule.model_dump(mode="json"))
    return read(data)


def change_constraint(bp: Blueprint, *, name: str, to_name: str, text: str) -> Blueprint:
    """Give a rule another name, another text, or both."""
    at = _place(bp, name)
    if to_name != name:
        demand_free(to_name, (rule.name for rule in bp.constraints), "constraint")
    data = bp.to_dict()
    data["constraints"][at]["name"] = to_name
    if text.strip() != typed(bp.constraints[at]):
        data["constraints"][at] = comparison(bp, to_name, text).model_dump(mode="json")
    return read(data)


def remove_constraint(bp: Blueprint, *, name: str) -> Blueprint:
    """Free the members of a rule."""
    at = _place(bp, name)
    data = bp.to_dict()
    del data["constraints"][at]
    return read(data)


def comparison(bp: Blueprint, name: str, text: str) -> Constraint:
    """Read a rule as somebody types it.

    Parameters
    ----------
    bp : Blueprint
        Whose fields it may name.
    name : str
        How the rule is to be called.
    text : str
        Two expressions with one comparison between them.

    Returns
    -------
    Constraint
        The rule, which has a meaning in the blueprint.

    Raises
    ------
    RequestError, BlueprintError
        If it is no single comparison, or names what there is not.

    Examples
    --------
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"<=": 0.5, ">=": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "signs", "order": ["side"], "fields": [side]})
    >>> comparison(bp, "one_way", "side != '<='")
    Constraint(name='one_way', lhs='side', op='!=', rhs="'<='")
    """
    lhs, op, rhs = _split(re.sub(r"[\r\n]+", " ", text).strip())
    rule = Constraint(name=name, lhs=lhs, op=op, rhs=rhs)
    resolve(rule, bp)
    return rule


def typed(rule: Constraint) -> str:
    """A rule as text that `comparison` reads back: a side that compares by itself stands in brackets."""
    return f"{_bracketed(rule.lhs)} {rule.op} {_bracketed(rule.rhs)}"


def speaks_of(rule: Constraint, field: str) -> bool:
    """Whether a rule names a field."""
    return field in constraints.names(constraints.comparison(rule))


def quotes(rule: Constraint, field: str, value: str) -> bool:
    """Whether a rule compares a field with a value."""
    return any(True for side in _literals(rule.lhs, rule.rhs, field, value) for _ in side)


def renamed(rule: Wire, old: str, new: str) -> Wire:
    """The rule with a field's new name; RequestError where an expression cannot hold that name."""
    changed = {
        side: _replaced(
            rule[side], [_spot(rule[side].strip(), node) for node in _names(rule[side], old)], lambda _: new
        )
        for side in ("lhs", "rhs")
    }
    if any(changed[side] != rule[side] for side in changed):
        _demand_names(rule, changed, old, new)
    return rule | changed


def revalued(rule: Wire, field: str, old: str, new: str) -> Wire:
    """The rule with a new name for one of a field's values, where it compares the field with it."""
    left, right = _literals(rule["lhs"], rule["rhs"], field, old)
    requoted = {
        side: _replaced(rule[side], [_spot(rule[side].strip(), node) for node in nodes], lambda was: _quoted(new, was))
        for side, nodes in (("lhs", left), ("rhs", right))
    }
    if any(len(text) > constraints.MAX_LENGTH for text in requoted.values()):
        raise RequestError(
            f"the constraint {rule['name']!r} has no room for {_brief(new)}", hint="choose a shorter name"
        )
    return rule | requoted


def _place(bp: Blueprint, name: str) -> int:
    names = [rule.name for rule in bp.constraints]
    if name not in names:
        raise RequestError(f"{name!r} is no constraint", hint=instead(name, names))
    return names.index(name)


def _split(text: str) -> tuple[str, str, str]:
    """The two sides of a comparison, and what stands between."""
    if len(text) > MOST:
        raise RequestError(f"a constraint of {len(text)} characters is too long", hint="write several short ones")
    tree = _parsed(text)
    if isinstance(tree, ast.BoolOp) or (isinstance(tree, ast.Compare) and len(tree.ops) > 1):
        raise RequestError(f"{_brief(text)} compares more than once", hint="write a constraint for each comparison")
    found = _outer(text)
    if isinstance(tree, ast.Compare) and not found and text.startswith("("):
        return _split(text[1:-1].strip())  # the whole of it stands in brackets
    if not isinstance(tree, ast.Compare) or not found:
        raise RequestError(f"{_brief(text)} compares nothing", hint=EXAMPLE)
    start, end = found[0]
    return text[:start].strip(), text[start:end], text[end:].strip()


def _parsed(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd but legal spellings, which the parser of constraints decides on
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        hint = next((hint for sign, hint in MISTAKES.items() if re.search(sign, text)), EXAMPLE)
        raise RequestError(f"{_brief(text)} is not a comparison", hint=hint) from error


def _brief(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")


def _outer(text: str) -> list[tuple[int, int]]:
    """Where comparison signs stand outside of brackets and quotes."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    depth, found = 0, []
    for token in tokenize.generate_tokens(io.StringIO(text, newline="").readline):
        if token.type == tokenize.COMMENT:
            raise RequestError(f"{_brief(text)} holds a comment", hint="leave out # and what follows")
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if depth == 0 and token.string in COMPARISONS:
                start = starts[token.start[0] - 1] + token.start[1]
                found.append((start, start + len(token.string)))
    return found


def _bracketed(side: str) -> str:
    return (
        f"({side.strip()})" if isinstance(_parsed(side.strip()), ast.Compare) and _outer(side.strip()) else side.strip()
    )


def _names(side: str, field: str) -> list[ast.Name]:
    """Where one side names the field; a function may be called like it."""
    tree = _parsed(side.strip())
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return [
        each for each in ast.walk(tree) if isinstance(each, ast.Name) and each.id == field and id(each) not in called
    ]


def _literals(lhs: str, rhs: str, field: str, value: str) -> tuple[list[ast.expr], list[ast.expr]]:
    """On each side, the quoted values that stand opposite the field and say `value`."""
    left, right = _parsed(lhs.strip()), _parsed(rhs.strip())
    sides = (list(_opposite(left, field, value)), list(_opposite(right, field, value)))
    for at, pair in enumerate(((left, right), (right, left))):
        if _is_opposite(*pair, field, value):
            sides[at].append(pair[0])
    return sides


def _opposite(tree: ast.expr, field: str, value: str) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            pairs = ((node.left, node.comparators[0]), (node.comparators[0], node.left))
            yield from (literal for literal, other in pairs if _is_opposite(literal, other, field, value))


def _is_opposite(literal: ast.expr, other: ast.expr, field: str, value: str) -> bool:
    is_field = isinstance(other, ast.Name) and other.id == field
    return is_field and isinstance(literal, ast.Constant) and literal.value == value


def _spot(text: str, node: ast.expr) -> Spot:
    """Where in the UTF-8 of a text a node stands: the parser counts lines, and bytes within them."""
    data = text.encode()
    lines = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]
    end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    return lines[node.lineno - 1] + node.col_offset, lines[end_line - 1] + end


def _replaced(text: str, spots: list[Spot], new: Callable[[str], str]) -> str:
    """The text with something else at some spots of what it is without the spaces around it."""
    data = text.strip().encode()
    for start, end in sorted(spots, reverse=True):
        data = data[:start] + new(data[start:end].decode()).encode() + data[end:]
    return text.replace(text.strip(), data.decode(), 1) if spots else text


def _quoted(value: str, was: str) -> str:
    """The value in the quotes that the former one stood in, where that can be."""
    plain = was[:1] in "'\"" and was[:1] not in value and "\\" not in value and value.isprintable()
    return f"{was[0]}{value}{was[0]}" if plain else repr(value)


def _demand_names(rule: Wire, changed: Wire, old: str, new: str) -> None:
    """Refuse a name that an expression does not read as a name, such as one with a space."""
    try:
        sound = all(
            _swapped(constraints.parse(rule[side]), old, new) == constraints.parse(text)
            for side, text in changed.items()
        )
    except BlueprintError:
        sound = False
    if not sound:
        reason = f"{new!r} cannot be written in an expression, and the constraint {rule['name']!r} speaks of {old!r}"
        raise RequestError(reason, hint="use letters, digits and _ only, or remove the constraint first")


def _swapped(node: constraints.Node, old: str, new: str) -> constraints.Node:
    if isinstance(node, constraints.Name):
        return constraints.Name(new) if node.field == old else node
    if isinstance(node, constraints.Apply):
        return constraints.Apply(node.op, tuple(_swapped(arg, old, new) for arg in node.args))
    return node
