"""Diversity: how much the people of a population sound alike, over all pairs.

A histogram of the similarity of every pair of texts (see `writing.similarity`), with the threshold from which on
two count as duplicates. Nearly all pairs have little in common and a few duplicates are what one looks for, so the
counts stand on a scale that grows like a logarithm and still begins at 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from personalab.blueprint.display import positional
from personalab.blueprint.model import Blueprint
from personalab.charts.style import BAND, INK, OUTSIDE, WIDTH, layered, marks, titled
from personalab.errors import RequestError
from personalab.reports.diversity import joined
from personalab.writing.similarity import DUPLICATE, histogram, near_duplicates

if TYPE_CHECKING:
    import altair as alt

BINS = 50  # of similarity 0.02 each, so that the threshold lies between two
MOST_NAMED = 3  # pairs in the caption
MOST_DRAWN = 50  # pairs as marks with a name each
TALL = 200  # pixels inside the axes


def diversity(frame: pd.DataFrame, bp: Blueprint, *, width: int = WIDTH) -> alt.LayerChart:
    """Draw how similar the texts of all pairs of personas are.

    Parameters
    ----------
    frame : pandas.DataFrame
        Written personas; text fields are joined, and portraits taken where the blueprint has none.
    bp : Blueprint
        Which columns are texts.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.LayerChart
        A histogram of similarities. Dashed: the threshold of a near-duplicate; diamonds: the pairs beyond it, named.

    Raises
    ------
    RequestError
        If fewer than two personas have texts.

    Examples
    --------
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> frame = pd.DataFrame({"backstory": ["plays at night", "coaches", "plays at night"]}, index=["a", "b", "c"])
    >>> diversity(frame, bp).title.subtitle[1]
    'Near-duplicates: a and c (1)'
    """
    import altair as alt

    texts = joined(frame, bp)
    if len(texts) < 2:
        raise RequestError("fewer than two personas have texts", hint="write them first, with lab.write")
    counts = histogram(texts.tolist(), BINS)
    pairs = near_duplicates(texts.tolist())
    ids = list(map(str, texts.index))
    scale, axis = alt.Scale(type="symlog"), alt.Axis(format=",d", values=_decades(counts))
    bars = marks(_bars(counts), "similarity", "pairs:,").mark_rect(color=BAND).encode(
        x=alt.X("low:Q", title="similarity of two texts", scale=alt.Scale(domain=[0, 1], nice=False)),
        x2="high:Q",
        y2=alt.datum(0),
        y=alt.Y("pairs:Q", title="pairs (log scale from 1)", scale=scale, axis=axis),
    )  # fmt: skip
    drawn = [bars, *_threshold(), *_diamonds(pairs, ids)]
    chart = layered(drawn, width=width, height=TALL)
    return titled(chart, f"{bp.domain}: how much personas sound alike", _caption(counts, pairs, ids))


def _bars(counts: Any) -> list[dict[str, Any]]:
    ends = np.linspace(0, 1, len(counts) + 1).round(9).tolist()
    return [
        {"low": low, "high": high, "pairs": count, "similarity": f"{positional(low)} to {positional(high)}"}
        for low, high, count in zip(ends[:-1], ends[1:], counts.tolist(), strict=True)
        if count
    ]


def _decades(counts: Any) -> list[int]:
    return [0, *(10**power for power in range(len(str(int(counts.max())))))]


def _threshold() -> list[alt.Chart]:
    import altair as alt

    base = marks([{"x": DUPLICATE, "told": f"duplicates from {DUPLICATE} "}], "told").encode(x="x:Q")
    line = base.mark_rule(color=INK, strokeDash=[4, 3])
    return [line, base.mark_text(align="right", dx=-4, color=INK, fontSize=10).encode(y=alt.value(6), text="told:N")]


def _diamonds(pairs: list[tuple[int, int, float]], ids: list[str]) -> list[alt.Chart]:
    """The near-duplicates, each by name, low enough that the bars do not hide them."""
    import altair as alt

    rows = [
        {"at": value, "pair": f"{ids[i]} and {ids[j]}", "similarity": positional(value, 3)}
        for i, j, value in pairs[:MOST_DRAWN]
    ]
    if not rows:
        return []
    diamonds = marks(rows, "pair", "similarity").mark_point(
        shape="diamond", filled=True, size=80, color=OUTSIDE, opacity=1
    )
    return [diamonds.encode(x="at:Q", y=alt.value(TALL - 9))]


def _caption(counts: Any, pairs: list[tuple[int, int, float]], ids: list[str]) -> list[str]:
    total = int(counts.sum())
    half = int(np.searchsorted(np.cumsum(counts), total / 2)) + 1
    named = [f"{ids[i]} and {ids[j]} ({positional(value, 2)})" for i, j, value in pairs[:MOST_NAMED]]
    more = f" and {len(pairs) - MOST_NAMED:,} more" if len(pairs) > MOST_NAMED else ""
    return [
        f"{len(ids):,} personas, {total:,} pairs, half of them below {positional(half / len(counts))}",
        f"Near-duplicates: {', '.join(named)}{more}" if pairs else "No two are near-duplicates",
    ]
