"""Conditionals: a child's shares within its parent configurations, requested against achieved.

Every cell is the difference between the achieved share and the requested one, in percentage points, in one stratum:
the people for whom the same distribution of the child holds. Blue is more than requested, orange less, and a deeper
colour is further off; the sign is written into the cell. A cell outside the band of independent draws of that
stratum's people is outlined and marked with a triangle that points the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.conditionals import find_distributions
from personalab.blueprint.display import percent
from personalab.blueprint.model import Blueprint, CategoricalField
from personalab.charts.crossed import ROOM, TALL, across
from personalab.charts.reading import column, sampled, spoken_of
from personalab.charts.style import (
    FAINT,
    FULL,
    INK,
    LESS,
    MORE,
    MOST_NAMES,
    MOST_ROWS,
    STEP,
    WIDTH,
    foremost,
    glaze,
    layered,
    left_out,
    marks,
    titled,
    value_axis,
)  # fmt: skip
from personalab.errors import RequestError
from personalab.reports.fidelity import COVERAGE, band
from personalab.writing.similarity import ROUNDING_ERROR

if TYPE_CHECKING:
    import altair as alt

MOST_STRATA = 40  # that are drawn, those with the most people off
_MANY, _FEW, _INSIDE = "more than the band", "less than the band", "inside the band"


class Cells(NamedTuple):
    """Strata of a child, the people in each, and shares a stratum and value."""

    labels: list[str]
    people: NDArray[np.intp]
    requested: NDArray[np.float64]
    achieved: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def conditionals(frame: pd.DataFrame, bp: Blueprint, field: str, *, width: int = WIDTH) -> alt.LayerChart:
    """Draw how far a child's shares are from what its parents' values ask for.

    Parameters
    ----------
    frame : pandas.DataFrame
        The people.
    bp : Blueprint
        What they were drawn from.
    field : str
        A categorical field with parents.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.LayerChart
        A row a stratum, a column a value. Cells outside the band in which 95 % of independent draws of the stratum's
        people fall are outlined and marked; of more than 40 strata those with the most people off are drawn.

    Raises
    ------
    RequestError
        If it is no categorical field with parents, or the frame lacks it or one of them.

    Examples
    --------
    >>> from personalab import sample
    >>> bp = Blueprint.load("data/blueprints/hospital-nurses.yaml")
    >>> conditionals(sample(bp, 500, seed=7), bp, "shift_pattern").title.text
    'shift_pattern given ward: achieved minus requested'
    """
    child = sampled(bp, field)
    if not isinstance(child, CategoricalField) or not child.parents:
        could = [each.name for each in bp.sampled if isinstance(each, CategoricalField) and each.parents]
        raise RequestError(f"{field!r} is no categorical field with parents", hint=f"one of {could}")
    found = _measured(frame, bp, child)
    cells, caption = _rows(found, child, [each.name for each in bp.constraints if field in spoken_of(bp, each)])
    names, values = (list(dict.fromkeys(cell[key] for cell in cells)) for key in ("where", "value"))
    told = ("where", "value", "requested:.1%", "achieved:.1%", "low:.1%", "high:.1%", "verdict")
    base = marks(cells, *told).encode(x=across(values, width, field), y=value_axis("where", values=names))
    is_roomy = width / len(values) >= ROOM
    layers = [_fill(base, max(abs(cell["off"]) for cell in cells)), *_marks(base, is_roomy)]
    chart = layered(layers, width=width, step=TALL if is_roomy else STEP)
    return titled(chart, f"{field} given {', '.join(child.parents)}: achieved minus requested", caption)


def _measured(frame: pd.DataFrame, bp: Blueprint, child: CategoricalField) -> Cells:
    columns = {name: column(frame, sampled(bp, name)) for name in child.parents}
    codes, size = column(frame, child), len(child.values)
    drawn, index = find_distributions(bp, child, columns)
    counts = np.bincount(index * size + codes, minlength=len(drawn) * size).reshape(len(drawn), size)
    requested = np.array([child.shares(each.distribution) for each in drawn if each])  # type: ignore[arg-type]
    people = counts.sum(axis=1)
    if len(requested) != len(drawn):
        raise RequestError(f"no distribution of {child.name!r} is stated for some of these people", hint="add a base")
    ends = [band(row, int(n)) for row, n in zip(requested, people, strict=True)]
    low, high = (np.array([end[side] for end in ends]) for side in (0, 1))
    labels = ["otherwise" if each.origin == "base" else each.label for each in drawn if each]
    return Cells(labels, people, requested, counts / people[:, None], low, high)


def _rows(found: Cells, child: CategoricalField, bound: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What is drawn, cell by cell, and the caption that counts it."""
    astray = np.abs(found.achieved - found.requested) * found.people[:, None]
    values = foremost(range(len(child.values)), astray.sum(axis=0).__getitem__, MOST_NAMES)
    most = min(MOST_STRATA, max(MOST_ROWS // len(values), 1))
    shown = foremost(range(len(found.labels)), astray.sum(axis=1).__getitem__, most)
    names = _distinct([f"{label} (n={n:,})" for label, n in zip(found.labels, found.people.tolist(), strict=True)])
    cells = [_cell(found, row, place, names[row], child.values[place]) for row in shown for place in values]
    beyond = (found.achieved < found.low - ROUNDING_ERROR) | (found.achieved > found.high + ROUNDING_ERROR)
    row, place = map(int, np.unravel_index(np.argmax(astray), astray.shape))
    worst = _cell(found, row, place, names[row], child.values[place])
    caption = [
        f"{int(beyond.sum())} of {beyond.size} shares outside the band of {percent(COVERAGE)} of independent draws",
        f"Most people off: {worst['value']} {worst['points']} points where {worst['where']}" if worst["off"] else "",
        left_out(len(shown), len(names), "rows", "most people off"),
        left_out(len(values), len(child.values), "columns", "most people off"),
        "Blue, +: more than requested. Orange, -: less. Outlined with a triangle: outside the band",
        f"Where {', '.join(bound)} binds it comes first, and shares may differ" if bound else "",
    ]
    return cells, caption


def _cell(found: Cells, row: int, place: int, where: str, value: str) -> dict[str, Any]:
    requested, achieved = float(found.requested[row, place]), float(found.achieved[row, place])
    low, high = float(found.low[row, place]), float(found.high[row, place])
    points = round(100 * (achieved - requested))
    return {
        "where": where,
        "value": value,
        "requested": round(requested, 5),
        "achieved": round(achieved, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "verdict": _MANY if achieved > high + ROUNDING_ERROR else _FEW if achieved < low - ROUNDING_ERROR else _INSIDE,
        "points": f"{points:+d}" if points else "0",
        "off": round(achieved - requested, 5),
    }


def _distinct(names: list[str]) -> list[str]:
    """Two strata may read alike, where a number decides between them: the later ones are counted."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
    counted = dict.fromkeys(seen, 0)
    made = []
    for name in names:
        counted[name] += 1
        made.append(f"{name} #{counted[name]}" if seen[name] > 1 else name)
    return made


def _fill(base: alt.Chart, most: float) -> alt.Chart:
    """The difference as a colour that is as deep to either side."""
    import altair as alt

    reach = most or 1.0
    ramp = alt.Scale(
        domain=[-reach, -1e-9, 1e-9, reach],
        range=[glaze(LESS, FULL), glaze(LESS, FAINT), glaze(MORE, FAINT), glaze(MORE, FULL)],
    )
    legend = alt.Legend(format="+.0%", title="achieved - requested", orient="top", gradientLength=160)
    filled: alt.Chart = base.mark_rect().encode(color=alt.Color("off:Q", scale=ramp, legend=legend))
    return filled


def _marks(base: alt.Chart, is_roomy: bool) -> list[alt.Chart]:
    """An outline and a triangle for what is outside its band, and the number where there is room for it."""
    import altair as alt

    beyond = base.transform_filter(alt.FieldOneOfPredicate(field="verdict", oneOf=[_MANY, _FEW]))
    outline = beyond.mark_rect(filled=False, stroke=INK, strokeWidth=1.5)
    shape = alt.Shape(
        "verdict:N", scale=alt.Scale(domain=[_MANY, _FEW], range=["triangle-up", "triangle-down"]), legend=None
    )
    aside = -11 if is_roomy else 0
    pointers = beyond.mark_point(filled=True, size=30, color=INK, opacity=1, xOffset=aside).encode(shape=shape)
    if not is_roomy:
        return [outline, pointers]
    return [outline, pointers, base.mark_text(color=INK, fontSize=10, xOffset=4).encode(text="points:N")]
