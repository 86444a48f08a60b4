"""Grouping: rows numbered by what they have in common.

Rows are arrays, one a field: of a categorical field codes, the places of its values in the blueprint's order; of a
number the numbers themselves. What follows from a group of equal rows is worked out once, however many they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Columns = Mapping[str, Array]

FEW_KEYS = 1 << 16  # below, counting keys costs less than sorting them, however few the rows
FIRST = 1 << 14  # rows among which a member of each group is looked for first
WIDEST = 1 << 62  # keys that a whole number tells apart


def numbered(axes: Sequence[tuple[Array, int]], n: int) -> tuple[Array, NDArray[np.intp]]:
    """Number rows by what they have in common.

    Parameters
    ----------
    axes : sequence of (array of int, int)
        Codes of the rows, each in [0, size), and their size.
    n : int
        How many rows.

    Returns
    -------
    array of int, array of int
        For each row the number of its group, groups ordered by their codes; and for each group one of its rows.
    """
    if not axes or not n:
        return np.zeros(n, dtype=np.int32), np.zeros(min(1, n), dtype=np.intp)
    key: Array = np.zeros(n, dtype=np.int8)
    size = 1
    for codes, many in axes:
        if size * many >= WIDEST:
            key, size = _dense(key, size)
        key, size = combined([(key, size), (codes, many)]), size * many
    group, groups = _dense(key, size)
    member = np.full(groups, -1, dtype=np.intp)
    for end in (FIRST, n):
        member[group[:end]] = np.arange(min(end, n))
        if (member >= 0).all():
            break
    return group, member


def combined(axes: Sequence[tuple[Array, int]]) -> Array:
    """One code a row for several: the place in the table that the axes span."""
    key, size = axes[0]
    for codes, many in axes[1:]:
        kind = smallest(size * many)
        key, size = codes if size == 1 else key.astype(kind) * kind(many) + codes.astype(kind), size * many
    return key


def smallest(values: int) -> type[np.signedinteger[Any]]:
    """The smallest kind of whole number that holds codes below `values`, and -1."""
    kinds = (np.int8, np.int16, np.int32)
    return next((kind for kind in kinds if values <= np.iinfo(kind).max), np.int64)


def _dense(key: Array, size: int) -> tuple[Array, int]:
    """The same keys without gaps, and how many there are."""
    if size > max(FEW_KEYS, 4 * len(key)):
        found, group = np.unique(key, return_inverse=True)
        return group.reshape(-1).astype(np.int32), len(found)
    present = np.bincount(key, minlength=size) > 0
    number = np.cumsum(present) - 1
    number = number.astype(smallest(int(number[-1]) + 1))
    return np.take(number, key, mode="clip"), int(number[-1]) + 1
