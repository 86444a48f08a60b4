"""Constraints over whole columns: whether they hold, whether they still can, and what they leave of one field.

A tree (`constraints`) is evaluated over all rows at once, in interval arithmetic: each node yields the least and the
greatest value it can have in each row. A field already drawn is a point, one not yet drawn is its support, so one
evaluator answers both *does it hold* (for a full row) and *can it still hold* (for a row half drawn). `bounds` turns a
comparison that is linear in one field into the interval that field must stay in, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.constraints import Apply, Level, Name, Node, Number, Text, names, parts
from personalab.blueprint.model import AnyField, CategoricalField, NumericField
from personalab.errors import BlueprintError

MOST_VALUES = 2001  # of one field that a constraint is tried on

Array = NDArray[Any]
Interval = tuple[Any, Any]  # least and greatest value, scalars or one per row


class NotApplicableError(BlueprintError):
    """A constraint that cannot be judged: it compares what has no common scale. Whoever judges constraints tells it."""


@dataclass(frozen=True)
class Categories:
    """What is known of a categorical column: codes into `values`, or None while it is not drawn."""

    values: tuple[str, ...]
    codes: Array | None = None


Columns = Mapping[str, Interval | Categories]


def support(field: AnyField) -> Interval | Categories:
    """What may be assumed of a field that is not drawn yet: its whole range, or its values with a share above 0."""
    if isinstance(field, CategoricalField):
        tables = [field.base, *(rule.categorical for rule in field.conditionals)]
        likely = {value for table in tables if table for value, share in table.weights.items() if share > 0}
        return Categories(tuple(value for value in field.values if value in likely))
    if isinstance(field, NumericField):
        return reach(field)
    raise NotApplicableError(f"{field.name!r} is a text field, which has no value to compare")


def reach(field: NumericField) -> tuple[float, float]:
    """The least and the greatest number that any distribution of a field allows."""
    ends = [(each.min, each.max) for each in field.distributions] or [(-math.inf, math.inf)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def spread(field: AnyField) -> Interval | Categories:
    """The values of one field: every category, every whole number where they are few, else evenly spaced ones."""
    known = support(field)
    if isinstance(known, Categories):
        return Categories(known.values, np.arange(len(known.values)))
    low, high = known
    is_whole = isinstance(field, NumericField) and field.is_integer
    if is_whole and high - low >= MOST_VALUES:
        return known
    points = np.arange(math.ceil(low), math.floor(high) + 1.0) if is_whole else np.linspace(low, high, MOST_VALUES)
    return points, points


def pieces(node: Apply) -> list[Apply]:
    """Comparisons that hold together where a tree does: ``abs(x) <= y`` is ``x <= y`` and ``-x <= y``.

    So each side of ``max(…) <= y``, ``min(…) >= y`` and ``abs(…) <= y`` comes to stand alone, which leaves intervals
    where the whole does not.

    Examples
    --------
    >>> [piece.args[0] for piece in pieces(Apply("<=", (Apply("max", (Name("a"), Name("b"))), Number(3.0))))]
    [Name(field='a'), Name(field='b')]
    """
    if node.op == "and":
        return [piece for part in parts(node) for piece in pieces(part)]
    left, right = node.args
    if node.op in (">", ">="):
        return pieces(Apply({">": "<", ">=": "<="}[node.op], (right, left)))
    if node.op in ("<", "<="):
        if isinstance(left, Apply) and left.op in ("max", "abs"):
            below = left.args if left.op == "max" else (left.args[0], Apply("-", (Number(0.0), left.args[0])))
            return [piece for each in below for piece in pieces(Apply(node.op, (each, right)))]
        if isinstance(right, Apply) and right.op == "min":
            return [piece for each in right.args for piece in pieces(Apply(node.op, (left, each)))]
    return [node]


def evaluate(node: Node, columns: Columns) -> Interval:
    """The least and the greatest value that a tree can have, row by row.

    Parameters
    ----------
    node : Node
        A tree, as from `resolve`.
    columns : mapping of str to Interval or Categories
        What is known of each field named.

    Returns
    -------
    tuple of two arrays or scalars
        Equal where every field is drawn; for a comparison 0 or 1 each: certain, and possible.

    Examples
    --------
    >>> import numpy as np
    >>> age = np.array([18.0, 40.0])
    >>> certain, possible = evaluate(Apply("<=", (Name("years"), Name("age"))), {"age": (age, age), "years": (0, 30)})
    >>> certain.tolist(), possible.tolist()
    ([0.0, 1.0], [1.0, 1.0])
    """
    if isinstance(node, Number):
        return node.value, node.value
    if isinstance(node, Name):
        known = columns[node.field]
        if isinstance(known, Categories):
            raise NotApplicableError(f"{node.field!r} is a category, not a number")
        low, high = known
        return np.asarray(low, dtype=float), np.asarray(high, dtype=float)  # whole numbers would overflow silently
    if isinstance(node, Text):
        raise NotApplicableError(f"{node.value!r} is a category, not a number")
    if isinstance(node, Level):
        return _levels(node, columns)
    if node.op in ("==", "!=") and any(_is_category(arg, columns) for arg in node.args):
        return _same_category(node, columns)
    args = [evaluate(arg, columns) for arg in node.args]
    with np.errstate(all="ignore"):  # a division by zero becomes nan, which holds nowhere
        low, high = _OPERATIONS[node.op](*args)
    return low, high


def holds(node: Node, columns: Columns, n: int) -> NDArray[np.bool_]:
    """Whether a comparison holds, or still can where fields are not drawn, in each of `n` rows."""
    _, possible = evaluate(node, columns)
    return np.broadcast_to(np.asarray(possible, dtype=float) > 0, (n,))


def bounds(node: Apply, field: str, columns: Columns) -> Interval | None:
    """The closed interval that a numeric field must stay in for a comparison to hold, or still be able to.

    Parameters
    ----------
    node : Apply
        A comparison, as from `comparison`.
    field : str
        The field that is about to be drawn.
    columns : mapping of str to Interval or Categories
        What is known of the other fields.

    Returns
    -------
    tuple of two arrays or scalars, or None
        Least and greatest admissible value, row by row (least above greatest where there is none); None where
        the comparison is not linear in `field`, or is ``!=``. A strict comparison's open end is moved inwards by the
        least step a double can take.
    """
    if node.op == "!=":
        return None
    left, right = (_linear(arg, field, columns) for arg in node.args)
    if left is None or right is None:
        return None
    with np.errstate(all="ignore"):
        slope = np.asarray(left[0] - right[0], dtype=float)
        low, high = _subtract(right[1], left[1])  # slope · x  op  [low, high]
        first, last = _divide((low, high), (slope, slope))
        rising, never = slope > 0, slope == 0
        if node.op == "==":
            bottom, top = np.where(never, -np.inf, first), np.where(never, np.inf, last)
        else:
            end = (high if node.op in ("<", "<=") else low) / slope
            is_top = rising == (node.op in ("<", "<="))
            strict = node.op in ("<", ">")
            bottom = np.where(never | is_top, -np.inf, np.nextafter(end, np.inf) if strict else end)
            top = np.where(never | ~is_top, np.inf, np.nextafter(end, -np.inf) if strict else end)
        possible = _OPERATIONS[node.op]((0.0, 0.0), (low, high))[1] > 0
        undefined = np.isnan(slope) | np.isnan(low) | np.isnan(high)
        empty = undefined | (never & ~np.asarray(possible, dtype=bool))
    return np.where(empty, np.inf, bottom), np.where(empty, -np.inf, top)


def _is_category(node: Node, columns: Columns) -> bool:
    return isinstance(node, Text) or (isinstance(node, Name) and isinstance(columns[node.field], Categories))


def _same_category(node: Apply, columns: Columns) -> Interval:
    """Equality of two categories: certain where both are known, else possible where they share a value."""
    left, right = (_labels(arg, columns) for arg in node.args)
    if left[1] is not None and right[1] is not None:
        labels = [np.asarray(values, dtype=object)[codes] for values, codes in (left, right)]
        known = (np.asarray(left[1]) >= 0) & (np.asarray(right[1]) >= 0)  # a code of -1 is a missing value
        truth = _worth(known & (np.equal(*labels) if node.op == "==" else np.not_equal(*labels)))
        return truth, truth
    # Not drawn yet: both answers stay open, unless the values named can never meet.
    meet = 1.0 if set(left[0]) & set(right[0]) else 0.0
    return (0.0, meet) if node.op == "==" else (1 - meet, 1.0)


def _levels(node: Level, columns: Columns) -> Interval:
    """The positions of a category in its order: of each row where drawn, else the least and the greatest."""
    known = cast(Categories, columns[node.field])
    at = np.array([node.order.index(value) for value in known.values], dtype=float)
    if known.codes is None:
        return at.min(initial=math.inf), at.max(initial=-math.inf)
    drawn = np.where(np.asarray(known.codes) >= 0, at[known.codes], math.nan)
    return drawn, drawn


def _labels(node: Node, columns: Columns) -> tuple[tuple[str, ...], Array | None]:
    if isinstance(node, Text):
        return (node.value,), np.zeros((), dtype=int)
    known = columns[node.field] if isinstance(node, Name) else None
    if not isinstance(known, Categories):
        raise NotApplicableError("a category is compared with a number")
    return known.values, known.codes


def _linear(node: Node, field: str, columns: Columns) -> tuple[Any, Interval] | None:
    """Write a tree as slope · field + interval, or None where it is not of that form."""
    if field not in names(node):
        return 0.0, evaluate(node, columns)
    if isinstance(node, Name):
        return 1.0, (0.0, 0.0)
    if not isinstance(node, Apply) or node.op not in ("+", "-", "*", "/"):
        return None
    left, right = (_linear(arg, field, columns) for arg in node.args)
    if left is None or right is None:
        return None
    if node.op == "+":
        return left[0] + right[0], _add(left[1], right[1])
    if node.op == "-":
        return left[0] - right[0], _subtract(left[1], right[1])
    return _scaled(node.op, left, right, field, node)


def _scaled(
    op: str, left: tuple[Any, Interval], right: tuple[Any, Interval], field: str, node: Apply
) -> tuple[Any, Interval] | None:
    """A product or quotient with a factor that does not hold the field and is known to the point."""
    if op == "*" and field in names(node.args[1]):
        left, right = right, left
        factor = node.args[0]
    else:
        factor = node.args[1]
    low, high = right[1]
    if field in names(factor) or np.any(low != high):
        return None
    with np.errstate(all="ignore"):
        if op == "/":
            return _divide((left[0], left[0]), (low, low))[0], _divide(left[1], (low, low))
        return left[0] * low, _multiply(left[1], (low, low))


def _add(a: Interval, b: Interval) -> Interval:
    return a[0] + b[0], a[1] + b[1]


def _subtract(a: Interval, b: Interval) -> Interval:
    return a[0] - b[1], a[1] - b[0]


def _multiply(a: Interval, b: Interval) -> Interval:
    corners = np.broadcast_arrays(*[_times(x, y) for x in a for y in b])
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _times(x: Any, y: Any) -> Array:
    """A product in which an end at infinity, which no value reaches, times zero is zero."""
    is_zero = (np.equal(x, 0) & np.isinf(y)) | (np.isinf(x) & np.equal(y, 0))
    return np.where(is_zero, 0.0, np.multiply(x, y))


def _divide(a: Interval, b: Interval) -> Interval:
    corners = np.broadcast_arrays(*[np.asarray(x, dtype=float) / y for x in a for y in b])
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    # Near zero a divisor makes anything possible, at zero nothing.
    has_zero = np.less_equal(b[0], 0) & np.greater_equal(b[1], 0)
    is_zero = np.equal(b[0], 0) & np.equal(b[1], 0)
    return (
        np.where(is_zero, np.nan, np.where(has_zero, -np.inf, low)),
        np.where(is_zero, np.nan, np.where(has_zero, np.inf, high)),
    )


def _absolute(a: Interval) -> Interval:
    low, high = np.abs(a[0]), np.abs(a[1])
    inside = (np.asarray(a[0]) < 0) & (np.asarray(a[1]) > 0)
    return np.where(inside, 0.0, np.minimum(low, high)), np.maximum(low, high)


def _least(*args: Interval) -> Interval:
    lows, highs = zip(*args, strict=True)
    return np.minimum.reduce(np.broadcast_arrays(*lows)), np.minimum.reduce(np.broadcast_arrays(*highs))


def _greatest(*args: Interval) -> Interval:
    lows, highs = zip(*args, strict=True)
    return np.maximum.reduce(np.broadcast_arrays(*lows)), np.maximum.reduce(np.broadcast_arrays(*highs))


def _less(a: Interval, b: Interval) -> Interval:
    return _worth(np.less(a[1], b[0])), _worth(np.less(a[0], b[1]))


def _less_equal(a: Interval, b: Interval) -> Interval:
    return _worth(np.less_equal(a[1], b[0])), _worth(np.less_equal(a[0], b[1]))


def _equal(a: Interval, b: Interval) -> Interval:
    points = np.equal(a[0], a[1]) & np.equal(b[0], b[1])
    meet = np.less_equal(a[0], b[1]) & np.less_equal(b[0], a[1])
    return _worth(points & np.equal(a[0], b[0])), _worth(meet)


def _unequal(a: Interval, b: Interval) -> Interval:
    same, meet = _equal(a, b)
    known = ~(np.isnan(np.asarray(a[0], dtype=float)) | np.isnan(np.asarray(b[0], dtype=float)))
    return (1 - meet) * known, (1 - same) * known


def _worth(truth: Any) -> Array:
    return np.asarray(truth, dtype=float)


_OPERATIONS: dict[str, Any] = {
    "+": _add, "-": _subtract, "*": _multiply, "/": _divide, "abs": _absolute, "min": _least, "max": _greatest,
    "and": _least,
    "<": _less, "<=": _less_equal, ">": lambda a, b: _less(b, a), ">=": lambda a, b: _less_equal(b, a),
    "==": _equal, "!=": _unequal,
}  # fmt: skip
