"""Numerics: mean and spread of numeric fields, requested against achieved, a line a stratum.

A field that is conditioned on others has a distribution of its own in each of its strata. What was requested stands
above the line as a grey bar with a tick, what was achieved below it as a line with a dot, so that neither covers the
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from personalab.blueprint.display import positional
from personalab.charts.marginals import chosen
from personalab.charts.style import BEHIND, INK, WIDTH, foremost, headed, layered, left_out, marks, titled, value_axis
from personalab.reports.text import brief
from personalab.reports.values import Moments, Report

if TYPE_CHECKING:
    import altair as alt

TALL = 26  # pixels a stratum
ABOVE, BELOW = -5, 5  # pixels from the line


def numerics(report: Report, field: str | None = None, *, width: int = WIDTH) -> alt.LayerChart | alt.VConcatChart:
    """Draw requested against achieved mean and spread of every numeric field, stratum by stratum.

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
    altair.VConcatChart or altair.LayerChart
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

    measured = chosen(report.numerics, field, "numeric")
    drawn = foremost(measured, lambda each: each.ks)
    bound = sorted({rule for each in drawn for rule in each.constraints})
    caption = [
        "Above, grey bar and tick: requested. Below, line and dot: achieved",
        f"Where {', '.join(bound)} binds it comes first, and means and sds may differ" if bound else "",
        left_out(len(drawn), len(measured), "strata", "those furthest from what was requested"),
    ]
    if field is not None:
        return titled(_spans(drawn, width), f"{report.domain}: {field}", caption)
    names = dict.fromkeys(each.attribute for each in drawn)
    panels = [headed(_spans([each for each in drawn if each.attribute == name], width), name) for name in names]
    joined: alt.VConcatChart = alt.vconcat(*panels, spacing=12)
    return titled(joined, f"{report.domain}: numbers", caption)


def _spans(drawn: Sequence[Moments], width: int) -> alt.LayerChart:
    """Requested and achieved mean with one standard deviation to either side, a line a stratum."""
    import altair as alt

    columns = ("field", "where", "people", "requested", "achieved", "range", "KS")
    base = marks(_moments(drawn), *columns).encode(y=value_axis("where"))
    value = alt.X("low:Q", title="mean, and one standard deviation to either side", scale=alt.Scale(zero=False))
    asked = base.mark_bar(height=8, yOffset=ABOVE, **BEHIND).encode(x=value, x2="high:Q")
    ticks = base.mark_tick(thickness=2, height=10, yOffset=ABOVE, color=INK, opacity=1).encode(x="at_requested:Q")
    lines = base.mark_rule(color=INK, yOffset=BELOW).encode(x="achieved_low:Q", x2="achieved_high:Q")
    dots = base.mark_point(filled=True, size=55, opacity=1, color=INK, yOffset=BELOW).encode(x="at_achieved:Q")
    return layered([asked, ticks, lines, dots], width=width, step=TALL)


def _moments(drawn: Sequence[Moments]) -> list[dict[str, Any]]:
    rows = []
    for each in drawn:
        (asked, spread), (mean, sd) = ((side["mean"], side["sd"]) for side in (each.requested, each.achieved))
        rows.append({
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
