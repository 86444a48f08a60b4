"""Shares and numbers: requested against achieved, for roots and for numeric fields.

The fidelity chart answers one question: is a share off by more than chance? So it does not draw bars for requested
and achieved side by side, which make sampling noise look like error. Every value is a line with a grey band, where
95 % of independent draws of as many people fall, a tick at the requested share and a dot at the achieved one; a dot
outside its band changes colour *and* shape. The caption counts those, and says how many chance alone would allow.

Shares stand on a square-root scale. The spread of an independent draw grows with √p, so that on it the bands of a
share of 1 % and of one of 50 % are about as wide, and both can be read in one chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pandas as pd

from personalab.blueprint.display import percent, positional
from personalab.charts.ink import BEHIND, INK, OUTSIDE, STEP, WIDTH, layered, sections, titled, told, value_axis
from personalab.errors import RequestError
from personalab.reports.fidelity import COVERAGE
from personalab.reports.text import brief
from personalab.reports.values import Marginal, Moments, Report

if TYPE_CHECKING:
    import altair as alt

TALL = 26  # pixels a branch of a numeric field: what was requested above, what was achieved below
LINES = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1)  # shares that the axis marks
ABOVE, BELOW = -5, 5  # pixels from the line, so that neither covers the other

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

    drawn = _chosen(report.marginals, field, "root")
    axis, heads, rows = sections([(each.attribute, [cell.key for cell in each.cells]) for each in drawn])
    base = alt.Chart(pd.DataFrame(_cells(drawn, rows))).encode(
        y=axis, tooltip=told("field", "value", "requested", "achieved", "band", "where")
    )
    upto = max(max(cell.high, cell.achieved) for each in drawn for cell in each.cells)
    marked = alt.Axis(format="~%", values=[share for share in LINES if share <= upto], domain=False)
    share = alt.X("low:Q", axis=marked, scale=alt.Scale(type="sqrt", domainMin=0), title=None)
    bands = base.mark_bar(height=STEP * 0.6, **BEHIND).encode(x=share, x2="high:Q")
    ticks = base.mark_tick(thickness=2, height=STEP * 0.8, color=INK, opacity=1).encode(x="at_requested:Q")
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(x="at_achieved:Q", **_by_place())
    chart = layered([bands, ticks, dots, _headings(drawn, heads, axis)], width=width, step=STEP)
    title = f"{report.domain}: requested and achieved shares"
    return titled(chart, title, _caption(report.n, drawn))


def numerics(report: Report, field: str | None = None, *, width: int = WIDTH) -> alt.LayerChart | alt.FacetChart:
    """Draw requested against achieved mean and spread of every numeric field, branch by branch.

    Parameters
    ----------
    report : Report
        With at least one numeric field.
    field : str, optional
        The field to draw alone.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.FacetChart or altair.LayerChart
        One panel a field, each with its own axis; of one field that is named, this panel alone. Grey bar and tick,
        above: requested mean, one sd to either side; line and dot, below: achieved.

    Raises
    ------
    RequestError
        If the report has no numeric field, or none of that name.

    Examples
    --------
    >>> from personalab import Blueprint, report, sample
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> rep = report(sample(bp, 100, seed=7), bp)
    >>> numerics(rep, "hours_per_week").properties(width=300).title.text
    'lol_player: hours_per_week'
    """
    import altair as alt

    drawn = _chosen(report.numerics, field, "numeric")
    layers: alt.LayerChart = _spans(drawn).properties(width=width, height=alt.Step(TALL))
    bound = sorted({rule for each in drawn for rule in each.constraints})
    caption = [
        "Above, grey bar and tick: requested. Below, line and dot: achieved",
        f"Where {', '.join(bound)} binds it comes first, and means and sds may differ" if bound else "",
    ]
    if field is not None:
        return titled(layers, f"{report.domain}: {field}", caption)
    header = alt.Header(
        title=None,
        labelExpr="trim(datum.label)",
        labelOrient="top",
        labelAnchor="start",
        labelFontSize=12,
        labelFontWeight="bold",
    )
    names = list(dict.fromkeys(_panel(each.attribute) for each in drawn))
    faceted = layers.facet(row=alt.Row("panel:N", sort=names, header=header), spacing=12)
    panels: alt.FacetChart = faceted.resolve_scale(x="independent", y="independent").resolve_axis(x="independent")
    return titled(panels, f"{report.domain}: numbers", caption)


def _spans(drawn: Sequence[Moments]) -> alt.LayerChart:
    """Requested and achieved mean with one standard deviation to either side, a line a branch."""
    import altair as alt

    tooltip = told("field", "where", "people", "requested", "achieved", "range", "KS")
    base = alt.Chart().encode(y=value_axis("where"), tooltip=tooltip)
    value = alt.X("low:Q", title="mean, and one standard deviation to either side", scale=alt.Scale(zero=False))
    asked = base.mark_bar(height=8, yOffset=ABOVE, **BEHIND).encode(x=value, x2="high:Q")
    ticks = base.mark_tick(thickness=2, height=10, yOffset=ABOVE, color=INK, opacity=1).encode(x="at_requested:Q")
    lines = base.mark_rule(color=INK, yOffset=BELOW).encode(x="achieved_low:Q", x2="achieved_high:Q")
    dots = base.mark_point(filled=True, size=55, opacity=1, color=INK, yOffset=BELOW).encode(x="at_achieved:Q")
    return cast("alt.LayerChart", alt.layer(asked, ticks, lines, dots, data=pd.DataFrame(_moments(drawn))))


def _chosen(measured: Sequence[Measured], field: str | None, kind: str) -> list[Measured]:
    """The fields to draw: all, or the one that is named."""
    if not measured:
        raise RequestError(f"the report has no {kind} field to draw", hint="report on a frame that has one")
    drawn = [each for each in measured if field in (None, each.attribute)]
    if not drawn:
        names = list(dict.fromkeys(each.attribute for each in measured))
        raise RequestError(f"{field!r} is no {kind} field of the report", hint=f"one of {names}")
    return drawn


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
    made: alt.Chart = (
        alt.Chart(pd.DataFrame({"row": rows, "told": texts}))
        .mark_text(align="left", color=INK, fontSize=10, opacity=0.85)
        .encode(x=alt.value(2), y=axis, text="told:N", tooltip=told("told"))
    )
    return made


def outside_told(outside: int, shares: int) -> str:
    """How many shares lie outside their band, and how many would by chance."""
    chance = percent(1 - COVERAGE)
    return f"{outside:,} of {shares:,} shares outside the band (chance alone puts up to {chance} there)"


def _caption(n: int, drawn: Sequence[Marginal]) -> list[str]:
    return [
        outside_told(sum(each.outside for each in drawn), sum(len(each.cells) for each in drawn)),
        f"Grey band: where {percent(COVERAGE)} of independent draws of {n:,} fall",
        "Tick: requested. Dot: achieved. Square-root scale",
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


def _panel(name: str) -> str:
    """A field's panel, called so that Vega cannot take it for a word of JavaScript, such as ``constructor``."""
    return f" {name}"


def _moments(drawn: Sequence[Moments]) -> list[dict[str, Any]]:
    rows = []
    for each in drawn:
        (asked, spread), (mean, sd) = ((side["mean"], side["sd"]) for side in (each.requested, each.achieved))
        rows.append({
            "panel": _panel(each.attribute),
            "field": each.attribute,
            "where": each.branch,
            "people": f"{each.n:,}",
            "requested": f"mean {positional(asked)}, sd {positional(spread)} ({each.origin})",
            "achieved": f"mean {positional(mean)}, sd {positional(sd)}",
            "range": f"{positional(each.achieved['min'])} to {positional(each.achieved['max'])}",
            "KS": f"{brief(each.ks)}, by chance {brief(each.ks_expected)}",
            "at_requested": asked,
            "low": asked - spread,
            "high": asked + spread,
            "at_achieved": mean,
            "achieved_low": mean - sd,
            "achieved_high": mean + sd,
        })  # fmt: skip
    return rows
