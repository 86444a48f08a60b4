"""Columns: a population as plain arrays, one a field, and the frame that users see.

A categorical field is an array of codes, the places of its values in the blueprint's order; a number is what it is.
Nothing is drawn or judged here. Frames are made once, at the end; until then arrays are several times faster, and take
a byte where a label would take sixty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField

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
