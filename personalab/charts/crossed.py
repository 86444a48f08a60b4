"""Crossed: how any field goes together with any other.

What is drawn depends on the two kinds. Shares of a category within another, or within intervals of a number, are a
table in which a deeper colour is a greater share. A number within categories is a line from the 5th to the 95th
percentile, a bar over the middle half, a tick at the median and a dot at the mean. Two numbers are a grid in which a
deeper colour is more people. All are counted first: what is drawn does not grow with the number of people.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint.display import percent, positional
from personalab.blueprint.model import Blueprint, CategoricalField, NumericField, SampledField
from personalab.charts.reading import column, sampled
from personalab.charts.style import (
    BEHIND,
    FAINT,
    FULL,
    INK,
    MORE,
    MOST_NAMES,
    STEP,
    WIDTH,
    drawable,
    foremost,
    glaze,
    layered,
    left_out,
    literal,
    marks,
    titled,
    value_axis,
)  # fmt: skip
from personalab.errors import RequestError

if TYPE_CHECKING:
    import altair as alt

    from personalab.blueprint.grouping import Array

MOST_BINS = 12  # intervals of a number that shares are told for
GRID = 28  # intervals along each side of a grid
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
        chart, *caption = _table(told_field, values, other, groups, width)
    elif isinstance(other, CategoricalField):
        chart, *caption = _spreads(told_field, values, other, groups, width)
    else:
        chart, *caption = _grid(told_field, values, other, groups, width)
    return titled(chart, f"{field} by {by}", [f"{len(frame):,} people. {caption[0]}", *caption[1:]])


def intervals(values: Array, most: int, *, is_integer: bool) -> NDArray[np.float64]:
    """Ends of at most so many intervals of round and equal width, from below the least value to above the greatest."""
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
) -> tuple[alt.LayerChart, str, str]:
    """Shares of a category, a row a value or an interval of the other field."""
    import altair as alt

    labels, numbers = _rows(by, groups)
    size = len(field.values)
    counts = np.bincount(numbers * size + values, minlength=len(labels) * size).reshape(len(labels), size)
    people = counts.sum(axis=1)
    shown, places = (foremost(range(len(n)), n.__getitem__, MOST_NAMES // 2) for n in (people, counts.sum(axis=0)))
    names = [f"{labels[r]} (n={people[r]:,})" for r in shown]
    rows = [
        {"by": name, "value": field.values[c], "share": round(counts[r, c] / people[r], 4), "people": int(counts[r, c])}
        for name, r in zip(names, shown, strict=True)
        for c in places
        if counts[r, c]
    ]
    base = marks(rows, "by", "value", "share:.1%", "people:,").encode(
        x=across([field.values[c] for c in places], width, field.name), y=value_axis("by", by.name, names)
    )
    legend = alt.Legend(format="~%", title="share of the row", orient="top", gradientLength=160)
    is_roomy = width / len(places) >= ROOM
    # Where no number stands in a cell, colour alone tells a small share from none; a square root spreads these.
    most = max((row["share"] for row in rows), default=1)
    ramp = alt.Scale(
        type="linear" if is_roomy else "sqrt", range=[glaze(MORE, FAINT), glaze(MORE, FULL)], domain=[0, most]
    )
    layers = [base.mark_rect().encode(color=alt.Color("share:Q", scale=ramp, legend=legend))]
    if is_roomy:
        layers.append(base.mark_text(color=INK, fontSize=10).encode(text=alt.Text("share:Q", format=".0%")))
    chart = layered(layers, width=width, step=TALL if is_roomy else STEP)
    cut = left_out(len(shown) * len(places), counts.size, "cells", "those of the most frequent values")
    return chart, "Each row sums to 100 %; a deeper colour is a greater share", cut


def across(values: Sequence[str], width: int, title: str) -> alt.X:
    """An axis of names along the top, upright where they need the room."""
    import altair as alt

    values = drawable(values)
    longest = max(map(len, values)) * 6  # pixels a letter, about
    room = width / len(values)
    angle = 0 if longest <= room else -90 if room < STEP else -45
    look: dict[str, Any] = {"labelAngle": angle, "labelLimit": 120, "domain": False, "ticks": False}
    if room < LINE:  # names stand side by side as far as they can be read, and else every other one, and so on
        look |= {"labelFontSize": max(room, LEAST), "labelOverlap": "parity"}
    axis = alt.Axis(orient="top", title=literal(title), **look)
    return alt.X("value:N", sort=None, axis=axis, scale=alt.Scale(domain=values))


def _rows(by: SampledField, groups: Array) -> tuple[list[str], NDArray[np.intp]]:
    """The other field's values or intervals that occur, and each person's number among them."""
    if isinstance(by, CategoricalField):
        labels, numbers = list(by.values), groups.astype(np.intp)
    else:
        ends = intervals(groups, MOST_BINS, is_integer=by.is_integer)
        numbers = np.clip(np.searchsorted(ends, groups, side="right") - 1, 0, len(ends) - 2)
        labels = [_interval(low, high, by.is_integer) for low, high in itertools.pairwise(ends)]
    found, numbers = np.unique(numbers, return_inverse=True)
    return [labels[number] for number in found], numbers.reshape(-1)


def _interval(low: float, high: float, is_integer: bool) -> str:
    if not is_integer:
        return f"{positional(low)} to {positional(high)}"
    return positional(low) if high - low <= 1 else f"{positional(low)} to {positional(high - 1)}"


def _spreads(
    field: NumericField, values: Array, by: CategoricalField, groups: Array, width: int
) -> tuple[alt.LayerChart, str, str]:
    """Percentiles and mean of a number, a row a value of the other field."""
    import altair as alt

    found, counts = np.unique(groups, return_counts=True)
    shown = foremost(range(len(found)), counts.__getitem__, MOST_NAMES)
    rows = [_spread(by.values[found[each]], values[groups == found[each]]) for each in shown]
    base = marks(rows, "by", "median", "mean", "half", "most").encode(y=value_axis("by", by.name))
    x = alt.X("q5:Q", axis=alt.Axis(title=literal(field.name)), scale=alt.Scale(zero=False))
    lines = base.mark_rule(color=INK).encode(x=x, x2="q95:Q")
    bars = base.mark_bar(height=STEP * 0.6, **BEHIND).encode(x="q25:Q", x2="q75:Q")
    ticks = base.mark_tick(thickness=2, height=STEP * 0.75, color=INK, opacity=1).encode(x="q50:Q")
    dots = base.mark_point(size=40, filled=True, shape="diamond", color=MORE, opacity=1).encode(x="at_mean:Q")
    chart = layered([lines, bars, ticks, dots], width=width, step=TALL)
    cut = left_out(len(shown), len(found), "values", "the most frequent ones")
    return chart, "Line: 5th to 95th percentile. Bar: the middle half. Tick: median. Diamond: mean", cut


def _spread(name: str, group: Array) -> dict[str, Any]:
    q5, q25, q50, q75, q95 = np.quantile(group, QUANTILES).tolist()
    mean = float(np.mean(group, dtype=float))
    return {
        "by": f"{name} (n={len(group):,})",
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

    across, upward = (intervals(a, GRID, is_integer=f.is_integer) for a, f in ((groups, by), (values, field)))
    counts, _, _ = np.histogram2d(groups.astype(float), values.astype(float), bins=[across, upward])
    rows = [
        {
            "x0": across[i], "x1": across[i + 1], "y0": upward[j], "y1": upward[j + 1], "people": int(counts[i, j]),
            "by": f"{by.name} " + _interval(across[i], across[i + 1], by.is_integer),
            "value": f"{field.name} " + _interval(upward[j], upward[j + 1], field.is_integer),
            "share": percent(counts[i, j] / len(values)),
        }
        for i, j in np.argwhere(counts).tolist()
    ]  # fmt: skip
    scale = alt.Scale(zero=False, nice=False)
    titles = [alt.Axis(grid=False, title=literal(each.name)) for each in (by, field)]
    ramp = alt.Scale(range=[glaze(MORE, 2 * FAINT), glaze(MORE, 1)], type="sqrt", domain=[0, int(counts.max())])
    legend = alt.Legend(orient="top", gradientLength=160)
    squares = marks(rows, "by", "value", "people:,", "share").mark_rect()
    cells = squares.encode(
        x=alt.X("x0:Q", scale=scale, axis=titles[0]),
        x2="x1:Q",
        y=alt.Y("y0:Q", scale=scale, axis=titles[1]),
        y2="y1:Q",
        color=alt.Color("people:Q", scale=ramp, legend=legend),
    )
    sides = np.array([groups, values], dtype=float)
    is_flat = bool((sides.std(axis=1) == 0).any())
    together = "" if is_flat else f". Correlation {round(np.corrcoef(sides)[0, 1], 2) + 0:.2f}"  # + 0: never -0.00
    return layered([cells], width=width, height=width * 0.7), f"A deeper colour is more people{together}"
