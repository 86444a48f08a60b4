"""Constraints: the comparisons that every member obeys, read as data and never run as code.

A constraint's two sides are text, often a model's. They are parsed with Python's grammar into a tree of five node
kinds, and whatever is not on the short list below is refused: names of fields, numbers, quoted category values,
``+ - * /``, unary minus, comparisons (worth 1 where they hold, else 0) and ``min max abs``. Length and size are
capped, there is no power operator, and nothing is ever handed to an evaluator of Python or pandas.

What a tree means over a blueprint's fields, and over the columns of a frame, is told by `intervals`.
"""

from __future__ import annotations

import ast
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

from personalab.blueprint.model import Constraint
from personalab.errors import BlueprintError

MAX_LENGTH = 200  # characters of one side; the longest in our example blueprints has 36
MAX_NODES = 60  # of one side's tree

_ARITHMETIC: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_FUNCTIONS = ("min", "max", "abs")


@dataclass(frozen=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True)
class Name:
    """A field, by name."""

    field: str


@dataclass(frozen=True)
class Text:
    """A quoted category value."""

    value: str


@dataclass(frozen=True)
class Apply:
    """An operator, comparison or function applied to its arguments."""

    op: str
    args: tuple[Node, ...]


Node = Number | Name | Text | Apply


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    """Read one side of a constraint.

    Parameters
    ----------
    text : str
        An expression; see the module's description for what it may hold.

    Returns
    -------
    Node
        Its tree.

    Raises
    ------
    BlueprintError
        If it is too long, too deep, not an expression, or holds anything that is not on the list.

    Examples
    --------
    >>> parse("age - 16")
    Apply(op='-', args=(Name(field='age'), Number(value=16.0)))
    """
    if len(text) > MAX_LENGTH:
        raise BlueprintError(f"an expression of {len(text)} characters is longer than the {MAX_LENGTH} allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd but legal spellings, which the list below decides on
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise BlueprintError(f"{text!r} is not an expression") from error
    if sum(1 for _ in ast.walk(tree)) > 2 * MAX_NODES:  # ast counts an operator beside its operation
        raise BlueprintError(f"{text[:60]!r}… has more than {MAX_NODES} parts")
    return _node(tree.body, text)


def comparison(constraint: Constraint) -> Apply:
    """The tree of a whole constraint: its operator applied to both sides."""
    return Apply(constraint.op, (parse(constraint.lhs), parse(constraint.rhs)))


def names(node: Node) -> frozenset[str]:
    """The fields a tree speaks of."""
    if isinstance(node, Name):
        return frozenset([node.field])
    if isinstance(node, Apply):
        return frozenset().union(*(names(arg) for arg in node.args))
    return frozenset()


def _node(tree: ast.AST, text: str) -> Node:
    match tree:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value) if math.isfinite(value):
            return Number(float(value))
        case ast.Constant(value=str() as value):
            return Text(value)
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Apply("-", (Number(0.0), _node(operand, text)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return Apply(_ARITHMETIC[type(op)], (_node(left, text), _node(right, text)))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return Apply(_COMPARISONS[type(op)], (_node(left, text), _node(right, text)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
            if (name == "abs") == (len(args) == 1):
                return Apply(name, tuple(_node(arg, text) for arg in args))
    raise BlueprintError(
        f"{text!r} holds {type(tree).__name__}, which an expression here may not",
        hint="use numbers, field names, quoted category values, + - * /, comparisons, min(), max() and abs()",
    )
