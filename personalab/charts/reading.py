"""Reading: a frame's columns as a chart needs them, whether sampled or read back from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pandas as pd

from personalab.blueprint.constraints import names
from personalab.blueprint.model import Blueprint, Constraint, SampledField
from personalab.blueprint.resolution import tree_of
from personalab.errors import BlueprintError, RequestError
from personalab.frames import read_column

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
    return read_column(field, frame[field.name])


def spoken_of(bp: Blueprint, constraint: Constraint) -> frozenset[str]:
    """The fields that a constraint names; none where it cannot be read, which validation says."""
    try:
        return names(tree_of(constraint, bp))
    except BlueprintError:
        return frozenset()
