"""Frames: a population as plain arrays, one a field, and the frame that users see.

A categorical field is an array of codes, the positions of its values in the blueprint's order; a number is what it is.
Frames are made once, at the end; until then arrays are several times faster, and take a byte where a label would take
sixty. Every frame that comes in, sampled or read from a file, is read here (`from_frame`), and refused here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, Columns, smallest
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.errors import RequestError, nearest, quoted, some

Mask = NDArray[np.bool_]

AS_WRITTEN = "read_csv(..., dtype=str, keep_default_na=False) leaves values as they are written"
LISTED = 4  # strange values for which a refusal looks for a legal one that is near
LONGEST = 100  # characters of such a value
EXACT = 2**53  # from here on a float does not tell whole numbers apart
# What pandas takes for a missing value when it reads a file: North America's "NA" comes back as nan.
MISSING = frozenset(("", "NA", "N/A", "n/a", "None", "null", "NULL", "nan", "NaN", "<NA>"))
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


def from_frame(bp: Blueprint, frame: pd.DataFrame, *, strict: bool = False, least: int = 1) -> dict[str, Array]:
    """Read a population, sampled or from a file: strings are taken for numbers, and floats for whole ones.

    Parameters
    ----------
    bp : Blueprint
        What the frame is a population of.
    frame : pandas.DataFrame
        One row a persona, one column a field; other columns are not looked at.
    strict : bool
        Whether every sampled field must be there, and every number be one that its field can have. Otherwise columns
        may be missing, and numbers out of range are left to be judged.
    least : int
        The fewest rows that there may be.

    Returns
    -------
    dict of str to array
        For each sampled field in the frame its codes or its numbers, ``int64`` where they are whole.

    Raises
    ------
    RequestError
        If this is no frame, has no rows, a column twice, none of the fields, or a value that the blueprint does not
        know; if `strict`, also where a field is missing.

    Examples
    --------
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> from_frame(coins, pd.DataFrame({"side": ["tail", "head"]}))["side"].tolist()
    [1, 0]
    """
    if not isinstance(frame, pd.DataFrame):
        raise RequestError(
            f"a {type(frame).__name__} is no pandas frame", hint="give one; Dask's becomes one by .compute()"
        )
    if len(frame) < least:
        raise RequestError("the frame has no rows", hint="sample at least one person")
    if not frame.columns.is_unique:
        twice = dict.fromkeys(quoted(name) for name in frame.columns[frame.columns.duplicated()])
        raise RequestError(f"the frame has two columns of one name: {some(list(twice))}", hint="keep one of them")
    there = set(frame.columns)
    missing = [quoted(field.name) for field in bp.sampled if field.name not in there]
    if missing and (strict or len(missing) == len(bp.sampled)):
        raise RequestError(
            f"the frame has no column {some(missing)}, as the blueprint {bp.domain!r} has",
            hint=f"its columns are {some([quoted(name) for name in frame.columns], 12)}",
        )
    return {
        field.name: read_column(field, frame[field.name], strict=strict) for field in bp.sampled if field.name in there
    }


def read_column(field: SampledField, column: pd.Series[Any], *, strict: bool = False) -> Array:
    """Read one field's column; as `from_frame`."""
    found = _codes(field, column) if isinstance(field, CategoricalField) else _numbers(column)
    is_value = found >= 0 if isinstance(field, CategoricalField) else _is_possible(field, found, strict=strict)
    if not is_value.all():
        raise _refusal(field, column, ~is_value)
    if not isinstance(field, CategoricalField) and field.is_integer and _is_whole(found).all():
        return found.astype(np.int64)
    return found


def _codes(field: CategoricalField, column: pd.Series[Any]) -> Array:
    """The positions of a column's values in the field's; -1 where it has no such value."""
    if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories.equals(pd.Index(field.values)):
        return column.cat.codes.to_numpy()
    try:
        codes, found = pd.factorize(column)
    except TypeError:  # what cannot be hashed, such as a list, is no value of any field
        codes, found = pd.factorize(column.map(str))
    at = {value: code for code, value in enumerate(field.values)}
    known = [*(at.get(_word(value), -1) for value in found), -1]  # the last is for what is missing
    return np.array(known, dtype=smallest(len(at)))[codes]


def _word(value: Any) -> str:
    """A category as the blueprint spells it: a file's 3.0 is the value "3"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(column: pd.Series[Any]) -> Array:
    """A column's numbers; nan where it has none."""
    if column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype):
        column = column.map(str)
    is_read = pd.api.types.is_string_dtype(column) or pd.api.types.is_numeric_dtype(column)
    if not is_read or pd.api.types.is_complex_dtype(column):  # a date would pass for its nanoseconds
        return np.full(len(column), np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _is_possible(field: SampledField, found: Array, *, strict: bool) -> Mask:
    if not strict or isinstance(field, CategoricalField):
        return np.isfinite(found)
    low, high = _ends(field)
    return (low <= found) & (found <= high) & (_is_whole(found) | (not field.is_integer))


def _is_whole(found: Array) -> Mask:
    return np.asarray((found == np.rint(found)) & (np.abs(found) < EXACT))


def _ends(field: SampledField) -> tuple[float, float]:
    tables = () if isinstance(field, CategoricalField) else field.distributions
    return min(each.min for each in tables), max(each.max for each in tables)


def _refusal(field: SampledField, column: pd.Series[Any], is_strange: Mask) -> RequestError:
    """Which values of a column are none of its field's, and what to do."""
    strange, rows = column[is_strange], f"{int(is_strange.sum()):,} of {len(column):,} rows"
    if isinstance(field, CategoricalField):
        values = [*field.values]
        hint = f"its values are {some([quoted(value) for value in values], 12)}"
        is_misread = pd.api.types.is_numeric_dtype(column) or (strange.isna().any() and MISSING.intersection(values))
        hint += f"; {AS_WRITTEN}" if is_misread else ""
    else:
        values, (low, high) = [], _ends(field)
        hint = f"its values are {'whole ' if field.is_integer else ''}numbers from {low:g} to {high:g}"
    if strange.isna().all():
        return RequestError(f"column {field.name!r} has no value in {rows}", hint=f"fill or drop them: {hint}")
    words = list(dict.fromkeys(_word(value)[:LONGEST] for value in strange[strange.notna()]))
    close = {word: nearest(word, values) for word in words[:LISTED]}
    named = [quoted(word) + (f" (did you mean {close[word]!r}?)" if close.get(word) else "") for word in words]
    return RequestError(f"column {field.name!r} holds {some(named)}, which is no value of it, in {rows}", hint=hint)


def _series(field: SampledField, column: Array) -> Any:
    if isinstance(field, CategoricalField):
        dtype: Any = pd.CategoricalDtype(pd.Index(field.values), ordered=field.ordered_values is not None)
        return pd.Categorical.from_codes(column, dtype=dtype, validate=False)
    if field.is_integer:
        return pd.arrays.IntegerArray(np.asarray(column, dtype=np.int64), np.zeros(len(column), dtype=bool))
    return np.asarray(column, dtype=np.float64)


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
