"""Columns: a population as plain arrays, one a field, and the frame that users see.

A categorical field is an array of codes, the places of its values in the blueprint's order; a number is what it is.
Nothing is drawn or judged here. Frames are made once, at the end; until then arrays are several times faster, and take
a byte where a label would take sixty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint import Blueprint, CategoricalField, SampledField

Array = NDArray[Any]
Columns = Mapping[str, Array]

FEW_KEYS = 1 << 16  # below, counting keys costs less than sorting them, however few the rows
FIRST = 1 << 14  # rows among which a member of each group is looked for first
WIDEST = 1 << 62  # keys that a whole number tells apart
BLOCK = 1000  # ids that share all digits but their last three


def persona_ids(n: int, *, first: int = 1, of: int | None = None) -> pd.Index[str]:
    """Return the ids of `n` people: ``p_01``, ``p_02`` …, as wide as the last one needs, at least two digits.

    Parameters
    ----------
    n : int
        How many.
    first : int
        The number of the first.
    of : int, optional
        How many there are in all, which decides the width; by default these are the last.
    """
    last = first + n - 1
    width = max(2, len(str(of or last)))
    if width < 4:
        return pd.Index([f"p_{i:0{width}d}" for i in range(first, last + 1)], name="persona_id", dtype="str")
    tails = [b"%03d" % i for i in range(BLOCK)]
    heads = (b"p_%0*d" % (width - 3, i) for i in range(first // BLOCK, last // BLOCK + 1))
    text = b"".join([head + head.join(tails) for head in heads])
    return _ids(text, (first % BLOCK) * (width + 2), n, width + 2)


def to_frame(bp: Blueprint, columns: Columns, index: pd.Index[str]) -> pd.DataFrame:
    """Make the frame that users see: categories with their order, ``Int64`` and ``float64``, in the fields' order."""
    made = {field.name: _series(field, columns[field.name]) for field in bp.sampled}
    return pd.DataFrame(made, index=index, copy=False)


def from_frame(bp: Blueprint, frame: pd.DataFrame) -> dict[str, Array]:
    """Read a frame's columns back: of the sampled fields it has, with the categories that `to_frame` gives them."""
    return {field.name: _array(field, frame[field.name]) for field in bp.sampled if field.name in frame}


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


def _series(field: SampledField, column: Array) -> Any:
    if isinstance(field, CategoricalField):
        dtype: Any = pd.CategoricalDtype(pd.Index(field.values), ordered=field.ordered_values is not None)
        return pd.Categorical.from_codes(column, dtype=dtype, validate=False)
    if field.is_integer:
        return pd.arrays.IntegerArray(np.asarray(column, dtype=np.int64), np.zeros(len(column), dtype=bool))
    return np.asarray(column, dtype=np.float64)


def _array(field: SampledField, column: pd.Series[Any]) -> Array:
    if isinstance(field, CategoricalField):
        if list(column.cat.categories) != list(field.values):
            column = column.cat.set_categories(list(field.values))
        return column.cat.codes.to_numpy()
    return column.to_numpy(dtype=np.int64 if pd.api.types.is_integer_dtype(column.dtype) else np.float64)


def _ids(text: bytes, start: int, n: int, width: int) -> pd.Index[str]:
    """An index of `n` strings of one width that stand one after the other, from a place in a text on."""
    import pyarrow as pa

    ends = np.arange(0, (n + 1) * width, width, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(text).slice(start, n * width))
    if pd.Index([""], dtype="str").dtype == object:  # before pandas 3
        index: pd.Index[str] = pd.Index(array.to_numpy(zero_copy_only=False), name="persona_id")
    else:
        index = pd.Index(pd.array(array, dtype="str"), name="persona_id")
    return index
