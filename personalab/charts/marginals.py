"""Marginals: the shares of root fields, requested against achieved.

The fidelity chart answers one question: is a share off by more than chance? So it does not draw bars for requested
and achieved side by side, which make sampling noise look like error. Every value is a line with a grey band, where
95 % of independent draws of as many people fall, a tick at the requested share and a dot at the achieved one; a dot
outside its band changes colour *and* shape. The caption counts those, and says how many chance alone would allow.

Shares stand on a square-root scale. The spread of an independent draw grows with √p, so that on it the bands of a
share of 1 % and of one of 50 % are about as wide, and both can be read in one chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from personalab.blueprint.display import percent
from personalab.charts.style import (
    BEHIND,
    INK,
    OUTSIDE,
    STEP,
    WIDTH,
    foremost,
    layered,
    left_out,
    marks,
    sections,
    titled,
)
from personalab.errors import RequestError
from personalab.reports.fidelity import COVERAGE
from personalab.reports.text import brief
from personalab.reports.values import Marginal, Moments, Report

if TYPE_CHECKING:
    import altair as alt

LINES = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1)  # shares that the axis marks

Measured = TypeVar("Measured", Marginal, Moments)

_INSIDE, _BEYOND = "inside the band", "outside the band"


def marginals(report: Report, field: str | None = None, *, width: int = WIDTH) -> alt.LayerChart:
    """Draw requested against achieved shares of every root field, or of one.

    Parameters
    ----------
    report : Report
        With at least one root field.
    field : str, optional
        The root to draw alone, with an axis of its own; without it all of them share one, so that distances compare.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.LayerChart
        Grey band: where 95 % of independent draws of as many people fall; tick: requested; dot: achieved, an orange
        diamond outside the band. The title's second line counts those outside.

    Raises
    ------
    RequestError
        If the report has no root field, or none of that name.

    Examples
    --------
    >>> import pandas as pd
    >>> from personalab import Blueprint
    >>> from personalab.reports.report import report
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> chart = marginals(report(pd.DataFrame({"side": ["head", "tail", "head"]}), bp)).properties(width=300)
    >>> chart.title.subtitle[0]
    '0 of 2 shares outside the band (chance alone puts up to 5 % there)'
    """
    import altair as alt

    measured = chosen(report.marginals, field, "root")
    drawn = _drawn(measured)
    axis, heads, rows = sections([(each.attribute, [cell.key for cell in each.cells]) for each in drawn])
    base = marks(_cells(drawn, rows), "field", "value", "requested", "achieved", "band", "where").encode(y=axis)
    upto = max(max(cell.high, cell.achieved) for each in drawn for cell in each.cells)
    marked = alt.Axis(format="~%", values=[share for share in LINES if share <= upto], domain=False)
    share = alt.X("low:Q", axis=marked, scale=alt.Scale(type="sqrt", domainMin=0), title=None)
    bands = base.mark_bar(height=STEP * 0.6, **BEHIND).encode(x=share, x2="high:Q")
    ticks = base.mark_tick(thickness=2, height=STEP * 0.8, color=INK, opacity=1).encode(x="at_requested:Q")
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(x="at_achieved:Q", **_by_place())
    chart = layered([bands, ticks, dots, _headings(drawn, heads, axis)], width=width, step=STEP)
    return titled(chart, f"{report.domain}: requested and achieved shares", _caption(report.n, measured, drawn))


def chosen(measured: Sequence[Measured], field: str | None, kind: str) -> list[Measured]:
    """The fields to draw: all, or the one that is named."""
    if not measured:
        raise RequestError(f"the report has no {kind} field to draw", hint="report on a frame that has one")
    drawn = [each for each in measured if field in (None, each.attribute)]
    if not drawn:
        names = list(dict.fromkeys(each.attribute for each in measured))
        raise RequestError(f"{field!r} is no {kind} field of the report", hint=f"one of {names}")
    return drawn


def _drawn(measured: Sequence[Marginal]) -> list[Marginal]:
    """What is measured, with those of its cells that are drawn."""
    cells = foremost(
        [cell for each in measured for cell in each.cells], lambda cell: abs(cell.achieved - cell.requested)
    )
    shown = set(map(id, cells))
    kept = [replace(each, cells=tuple(cell for cell in each.cells if id(cell) in shown)) for each in measured]
    return [each for each in kept if each.cells]


def _by_place() -> dict[str, Any]:
    """Colour and shape by where a share lies, so that colour alone never carries the message."""
    import altair as alt

    legend = alt.Legend(orient="top", title="achieved", direction="horizontal", symbolStrokeWidth=0)
    places = [_INSIDE, _BEYOND]
    return {
        "color": alt.Color("where:N", scale=alt.Scale(domain=places, range=[INK, OUTSIDE]), legend=legend),
        "shape": alt.Shape("where:N", scale=alt.Scale(domain=places, range=["circle", "diamond"]), legend=legend),
    }


def _headings(drawn: Sequence[Marginal], rows: list[str], axis: alt.Y) -> alt.Chart:
    """Each field's distance with both its yardsticks, in the line that has its name."""
    import altair as alt

    texts = [
        f"TVD {brief(each.total_variation_distance)} "
        f"(at best {brief(each.limit)}, {brief(each.expected_iid)} by chance)"
        for each in drawn
    ]
    lines = marks([{"row": row, "told": text} for row, text in zip(rows, texts, strict=True)], "told")
    made: alt.Chart = lines.mark_text(align="left", color=INK, fontSize=10, opacity=0.85).encode(
        x=alt.value(2), y=axis, text="told:N"
    )
    return made


def outside_told(outside: int, shares: int) -> str:
    """How many shares lie outside their band, and how many would by chance."""
    chance = percent(1 - COVERAGE)
    return f"{outside:,} of {shares:,} shares outside the band (chance alone puts up to {chance} there)"


def _caption(n: int, measured: Sequence[Marginal], drawn: Sequence[Marginal]) -> list[str]:
    shown, shares = (sum(len(each.cells) for each in fields) for fields in (drawn, measured))
    return [
        outside_told(sum(each.outside for each in measured), shares),
        f"Grey band: where {percent(COVERAGE)} of independent draws of {n:,} fall",
        "Tick: requested. Dot: achieved. Square-root scale",
        left_out(shown, shares, "shares", "those furthest from what was requested"),
    ]


def _cells(drawn: Sequence[Marginal], rows: list[list[str]]) -> list[dict[str, Any]]:
    return [
        {
            "row": row,
            "field": each.attribute,
            "value": cell.key,
            "requested": percent(cell.requested),
            "achieved": f"{percent(cell.achieved)} ({round(cell.achieved * each.n):,} of {each.n:,})",
            "band": f"{percent(cell.low)} to {percent(cell.high)}",
            "where": _BEYOND if cell.is_outside else _INSIDE,
            "at_requested": cell.requested,
            "at_achieved": cell.achieved,
            "low": cell.low,
            "high": cell.high,
        }
        for each, below in zip(drawn, rows, strict=True)
        for cell, row in zip(each.cells, below, strict=True)
    ]
