"""Crossing: how any field goes together with any other.

What is drawn depends on the two kinds. Shares of a category within another, or within stretches of a number, are a
table in which a deeper colour is a greater share. A number within categories is a line from the 5th to the 95th
percentile, a bar over the middle half, a tick at the median and a dot at the mean. Two numbers are a grid in which a
deeper colour is more people. All are counted first: what is drawn does not grow with the number of people.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.display import percent, positional
from personalab.blueprint.model import Blueprint, CategoricalField, NumericField, SampledField
from personalab.charts.ink import BEHIND, FAINT, FULL, INK, MORE, STEP, WIDTH, glaze, layered, titled, told, value_axis
from personalab.charts.reading import column, sampled
from personalab.errors import RequestError

if TYPE_CHECKING:
    import altair as alt

    from personalab.blueprint.grouping import Array

MOST_BINS = 12  # stretches of a number that shares are told for
GRID = 28  # stretches along each side of a grid
ROOM = 34  # pixels a share needs to be written into its cell
TALL = 22  # pixels of a row in which shares are written
LINE = 11  # pixels that a line of labels takes
LEAST = 8  # pixels of the smallest letters
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def crossed(frame: pd.DataFrame, bp: Blueprint, field: str, by: str, *, width: int = WIDTH) -> alt.LayerChart:
    """Draw one field within the values of another.

    Parameters
    ----------
    frame : pandas.DataFrame
        The people.
    bp : Blueprint
        What they were drawn from; it knows the fields' kinds and the order of their values.
    field : str
        What is told, categorical or numeric.
    by : str
        What it is told for, categorical or numeric.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.LayerChart
        Shares for a categorical `field`, percentiles for a numeric one by a categorical, a grid for two numeric ones.

    Raises
    ------
    RequestError
        If one of the two is no sampled field or no column of the frame, or both are the same.

    Examples
    --------
    >>> from personalab import Blueprint, sample
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> chart = crossed(sample(bp, 1000, seed=7), bp, "hours_per_week", by="rank")
    >>> chart.title.text
    'hours_per_week by rank'
    """
    told_field, other = sampled(bp, field), sampled(bp, by)
    if field == by:
        raise RequestError(f"{field!r} by itself says nothing", hint="name two fields")
    values, groups = column(frame, told_field), column(frame, other)
    if isinstance(told_field, CategoricalField):
        chart, caption = _table(told_field, values, other, groups, width)
    elif isinstance(other, CategoricalField):
        chart, caption = _spreads(told_field, values, other, groups, width)
    else:
        chart, caption = _grid(told_field, values, other, groups, width)
    return titled(chart, f"{field} by {by}", [f"{len(frame):,} people. {caption}"])


def stretches(values: Array, most: int, *, is_integer: bool) -> NDArray[np.float64]:
    """Ends of at most so many stretches of round and equal width, from below the least value to above the greatest."""
    low, high = float(np.min(values)), float(np.max(values))
    rough = (high - low) / max(most - 1, 1) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    width = next(power * step for step in (1, 2, 5, 10) if power * step >= rough * (1 - 1e-9))
    width = max(width, 1.0) if is_integer else width
    first = math.floor(low / width + 1e-9)
    last = math.floor(high / width + 1e-9) + 1
    ends: NDArray[np.float64] = np.arange(first, last + 1, dtype=np.float64) * width
    return ends


def _table(
    field: CategoricalField, values: Array, by: SampledField, groups: Array, width: int
) -> tuple[alt.LayerChart, str]:
    """Shares of a category, a row a value or a stretch of the other field."""
    import altair as alt

    labels, numbers = _rows(by, groups)
    size = len(field.values)
    counts = np.bincount(numbers * size + values, minlength=len(labels) * size).reshape(len(labels), size)
    people = counts.sum(axis=1)
    names = [f"{label} (n={n:,})" for label, n in zip(labels, people.tolist(), strict=True)]
    rows = [
        {"by": names[r], "value": field.values[c], "share": round(counts[r, c] / people[r], 4), "people": counts[r, c]}
        for r, c in np.argwhere(counts).tolist()
    ]
    share = alt.Tooltip("share:Q", format=".1%")
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=across(field.values, width, field.name),
        y=value_axis("by", scale=alt.Scale(domain=names)).title(by.name),
        tooltip=[*told("by", "value"), share, alt.Tooltip("people:Q", format=",")],
    )
    legend = alt.Legend(format="~%", title="share of the row", orient="top", gradientLength=160)
    is_roomy = width / size >= ROOM
    # Where no number stands in a cell, colour alone tells a small share from none; a square root spreads these.
    most = max(row["share"] for row in rows)
    ramp = alt.Scale(
        type="linear" if is_roomy else "sqrt", range=[glaze(MORE, FAINT), glaze(MORE, FULL)], domain=[0, most]
    )
    layers = [base.mark_rect().encode(color=alt.Color("share:Q", scale=ramp, legend=legend))]
    if is_roomy:
        layers.append(base.mark_text(color=INK, fontSize=10).encode(text=alt.Text("share:Q", format=".0%")))
    step = TALL if is_roomy else STEP
    return layered(layers, width=width, step=step), "Each row sums to 100 %; a deeper colour is a greater share"


def across(values: tuple[str, ...], width: int, title: str) -> alt.X:
    """An axis of names along the top, upright where they need the room."""
    import altair as alt

    longest = max(map(len, values)) * 6  # pixels a letter, about
    room = width / len(values)
    angle = 0 if longest <= room else -90 if room < STEP else -45
    look: dict[str, Any] = {"labelAngle": angle, "labelLimit": 120, "domain": False, "ticks": False}
    if room < LINE:  # names stand side by side as far as they can be read, and else every other one, and so on
        look |= {"labelFontSize": max(room, LEAST), "labelOverlap": "parity"}
    axis = alt.Axis(orient="top", title=title, **look)
    return alt.X("value:N", sort=None, axis=axis, scale=alt.Scale(domain=list(values)))


def _rows(by: SampledField, groups: Array) -> tuple[list[str], NDArray[np.intp]]:
    """The other field's values or stretches that occur, and each person's place among them."""
    if isinstance(by, CategoricalField):
        labels, numbers = list(by.values), groups.astype(np.intp)
    else:
        ends = stretches(groups, MOST_BINS, is_integer=by.is_integer)
        numbers = np.clip(np.searchsorted(ends, groups, side="right") - 1, 0, len(ends) - 2)
        labels = [_stretch(low, high, by.is_integer) for low, high in itertools.pairwise(ends)]
    found, numbers = np.unique(numbers, return_inverse=True)
    return [labels[number] for number in found], numbers.reshape(-1)


def _stretch(low: float, high: float, is_integer: bool) -> str:
    if not is_integer:
        return f"{positional(low)} to {positional(high)}"
    return positional(low) if high - low <= 1 else f"{positional(low)} to {positional(high - 1)}"


def _spreads(
    field: NumericField, values: Array, by: CategoricalField, groups: Array, width: int
) -> tuple[alt.LayerChart, str]:
    """Percentiles and mean of a number, a row a value of the other field."""
    import altair as alt

    parts = [(name, values[groups == code]) for code, name in enumerate(by.values)]
    rows = [_spread(name, part) for name, part in parts if len(part)]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=value_axis("by").title(by.name), tooltip=told("by", "median", "mean", "half", "most")
    )
    x = alt.X("q5:Q", title=field.name, scale=alt.Scale(zero=False))
    lines = base.mark_rule(color=INK).encode(x=x, x2="q95:Q")
    bars = base.mark_bar(height=STEP * 0.6, **BEHIND).encode(x="q25:Q", x2="q75:Q")
    ticks = base.mark_tick(thickness=2, height=STEP * 0.75, color=INK, opacity=1).encode(x="q50:Q")
    dots = base.mark_point(size=40, filled=True, shape="diamond", color=MORE, opacity=1).encode(x="at_mean:Q")
    return layered(
        [lines, bars, ticks, dots], width=width, step=TALL
    ), "Line: 5th to 95th percentile. Bar: the middle half. Tick: median. Diamond: mean"


def _spread(name: str, part: Array) -> dict[str, Any]:
    q5, q25, q50, q75, q95 = np.quantile(part, QUANTILES).tolist()
    mean = float(np.mean(part, dtype=float))
    return {
        "by": f"{name} (n={len(part):,})",
        "median": positional(q50),
        "mean": positional(mean),
        "half": f"{positional(q25)} to {positional(q75)}",
        "most": f"{positional(q5)} to {positional(q95)}",
        "q5": q5,
        "q25": q25,
        "q50": q50,
        "q75": q75,
        "q95": q95,
        "at_mean": mean,
    }


def _grid(
    field: NumericField, values: Array, by: NumericField, groups: Array, width: int
) -> tuple[alt.LayerChart, str]:
    """How many people lie in each cell of a grid over two numbers."""
    import altair as alt

    across, upward = (stretches(a, GRID, is_integer=f.is_integer) for a, f in ((groups, by), (values, field)))
    counts, _, _ = np.histogram2d(groups.astype(float), values.astype(float), bins=[across, upward])
    rows = [
        {
            "x0": across[i], "x1": across[i + 1], "y0": upward[j], "y1": upward[j + 1], "people": int(counts[i, j]),
            "by": _stretch(across[i], across[i + 1], by.is_integer),
            "value": _stretch(upward[j], upward[j + 1], field.is_integer),
            "share": percent(counts[i, j] / len(values)),
        }
        for i, j in np.argwhere(counts).tolist()
    ]  # fmt: skip
    scale, axis = alt.Scale(zero=False, nice=False), alt.Axis(grid=False)
    names = [alt.Tooltip("by:N", title=by.name), alt.Tooltip("value:N", title=field.name)]
    ramp = alt.Scale(range=[glaze(MORE, 2 * FAINT), glaze(MORE, 1)], type="sqrt", domain=[0, int(counts.max())])
    cells = (
        alt.Chart(pd.DataFrame(rows))
        .mark_rect()
        .encode(
            x=alt.X("x0:Q", title=by.name, scale=scale, axis=axis),
            x2="x1:Q",
            y=alt.Y("y0:Q", title=field.name, scale=scale, axis=axis),
            y2="y1:Q",
            color=alt.Color("people:Q", scale=ramp, legend=alt.Legend(orient="top", gradientLength=160)),
            tooltip=[*names, *told("people", "share")],
        )
    )
    sides = np.array([groups, values], dtype=float)
    is_flat = bool((sides.std(axis=1) == 0).any())
    together = "" if is_flat else f". Correlation {round(np.corrcoef(sides)[0, 1], 2) + 0:.2f}"  # + 0: never -0.00
    return layered([cells], width=width, height=width * 0.7), f"A deeper colour is more people{together}"
