"""Reading: a frame's columns as a chart needs them, whether sampled or read back from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from personalab.blueprint.constraints import comparison, names
from personalab.blueprint.model import Blueprint, CategoricalField, Constraint, SampledField
from personalab.errors import BlueprintError, RequestError

if TYPE_CHECKING:
    from personalab.blueprint.grouping import Array


def sampled(bp: Blueprint, name: str) -> SampledField:
    """A field that is drawn, not written; anything else is refused."""
    names = [field.name for field in bp.sampled]
    if name not in names:
        is_text = any(field.name == name for field in bp.texts)
        what = "a text, which has no shares to draw" if is_text else f"no field of {bp.domain!r}"
        raise RequestError(f"{name!r} is {what}", hint=f"one of {names}")
    return cast(SampledField, bp[name])


def column(frame: pd.DataFrame, field: SampledField) -> Array:
    """A field's column: the place of each person's value among the field's values, or numbers."""
    if field.name not in frame.columns:
        raise RequestError(f"the frame has no column {field.name!r}", hint="draw a field that it has")
    if not len(frame):
        raise RequestError("the frame has no rows to draw", hint="sample at least one")
    found = _codes(frame[field.name], field) if isinstance(field, CategoricalField) else _numbers(frame[field.name])
    missing = found < 0 if isinstance(field, CategoricalField) else ~np.isfinite(found)
    if missing.any():
        strange = frame[field.name].iloc[int(np.argmax(missing))]
        raise RequestError(
            f"column {field.name!r} holds {strange!r}, which is no value of it", hint="correct it, or drop these rows"
        )
    return found


def _codes(values: pd.Series[Any], field: CategoricalField) -> Array:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.set_categories(list(field.values)).cat.codes.to_numpy()
    place = {value: code for code, value in enumerate(field.values)}
    codes, found = pd.factorize(values)
    known = np.array([place.get(str(value), -1) for value in found] + [-1], dtype=np.intp)  # the last is for missing
    return known[codes]


def _numbers(values: pd.Series[Any]) -> Array:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def spoken_of(constraint: Constraint) -> frozenset[str]:
    """The fields that a constraint names; none where it cannot be read, which is the linter's to say."""
    try:
        return names(comparison(constraint.lhs, constraint.op, constraint.rhs))
    except BlueprintError:
        return frozenset()
