"""Charts: a report as a picture, and a population as one page that needs no network.

The fidelity chart answers one question: is a share off by more than chance? So it does not draw bars for requested
and achieved side by side, which make sampling noise look like error. Every value is a line with a grey band, where
95 % of independent draws of as many people fall, a tick at the requested share and a dot at the achieved one; a dot
outside its band changes colour *and* shape. The caption counts those, and says how many chance alone would allow.

`page` puts chart, tables, blueprint and personas into one HTML document: styles and drawings inline, no script, no
request. What a model wrote is untrusted, so the template escapes everything, and the document forbids itself scripts.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalab.blueprint import AnyField, Blueprint, Numeric, TextField
from personalab.branches import Distribution, label, stated
from personalab.errors import RequestError
from personalab.facts import as_string
from personalab.reports import COVERAGE, Report, brief, percent, positional

if TYPE_CHECKING:
    import altair as alt
    from jinja2 import Template

WIDTH = 420  # pixels inside the axes; some 620 with labels, so that a notebook's output shows all of it
PAGE_WIDTH = 340  # on a page, where two charts stand side by side and one fits a telephone
STEP = 18  # pixels a value, so that 50 values fit on a screen
MOST_CARDS = 200  # personas on a page, some 500 KB of text
MOST_VALUES = 12  # of a distribution that are told one by one

# Each has a contrast of 3 or more to white and to near-black, but for the ink, which the page's dark theme replaces.
INK, BAND, OUTSIDE = "#333333", "#9a9a9a", "#d9480f"
_INSIDE, _BEYOND = "inside the band", "outside the band"


def marginals(report: Report, *, width: int = WIDTH) -> alt.FacetChart:
    """Draw requested against achieved shares of every root field.

    Parameters
    ----------
    report : Report
        With at least one root field.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.FacetChart
        One panel a field. Grey band: where 95 % of independent draws of as many people fall; tick: requested; dot:
        achieved, an orange diamond outside the band. The title's second line counts those outside.

    Raises
    ------
    RequestError
        If the report has no root field.

    Examples
    --------
    >>> import pandas as pd
    >>> from personalab import Blueprint
    >>> from personalab.fidelity import report
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> chart = marginals(report(pd.DataFrame({"side": ["head", "tail", "head"]}), bp))
    >>> chart.title.subtitle[0]
    '0 of 2 shares outside the band (chance alone puts up to 5 % there)'
    """
    import altair as alt

    if not report.marginals:
        raise RequestError("the report has no root field to draw", hint="report on a frame that has one")
    caption = _caption(report)
    panels = {
        each.attribute: f"{each.attribute}: TVD {brief(each.total_variation_distance)} "
        f"(at best {brief(each.limit)}, {brief(each.expected_iid)} by chance)"
        for each in report.marginals
    }
    tooltip = ["field", "value", "requested", "achieved", "band", "where"]
    rows = _value_axis("value")
    share = alt.Axis(format="~%", grid=True, tickCount=6)
    base = alt.Chart().encode(y=rows, tooltip=[alt.Tooltip(f"{name}:N") for name in tooltip])
    bands = base.mark_bar(height=STEP * 0.6, color=BAND, opacity=0.45).encode(
        x=alt.X("low:Q", axis=share, title=None), x2="high:Q"
    )
    ticks = base.mark_tick(thickness=2, height=STEP * 0.75, color=INK, opacity=1).encode(x="at_requested:Q")
    found = alt.Scale(domain=[_INSIDE, _BEYOND], range=[INK, OUTSIDE])
    shapes = alt.Scale(domain=[_INSIDE, _BEYOND], range=["circle", "diamond"])
    legend = alt.Legend(orient="top", title="achieved", direction="horizontal")
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        x="at_achieved:Q",
        color=alt.Color("where:N", scale=found, legend=legend),
        shape=alt.Shape("where:N", scale=shapes, legend=legend),
    )
    layers = alt.layer(bands, ticks, dots, data=pd.DataFrame(_cells(report, panels)))
    return _panels(layers, width, list(panels.values()), f"{report.domain}: requested and achieved shares", caption)


def numerics(report: Report, *, width: int = WIDTH) -> alt.FacetChart:
    """Draw requested against achieved mean and spread of every numeric field, branch by branch.

    Parameters
    ----------
    report : Report
        With at least one numeric field.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.FacetChart
        One panel a field. Grey bar and tick: requested mean, one sd to either side; dot and line: achieved.

    Raises
    ------
    RequestError
        If the report has no numeric field.
    """
    import altair as alt

    if not report.numerics:
        raise RequestError("the report has no numeric field to draw", hint="report on a frame that has one")
    names = list(dict.fromkeys(each.attribute for each in report.numerics))
    tooltip = ["field", "where", "people", "requested", "achieved", "range", "KS"]
    base = alt.Chart().encode(y=_value_axis("where"), tooltip=[alt.Tooltip(f"{name}:N") for name in tooltip])
    value = alt.X("low:Q", title="mean, and one standard deviation to either side", scale=alt.Scale(zero=False))
    asked = base.mark_bar(height=STEP * 0.6, color=BAND, opacity=0.45).encode(x=value, x2="high:Q")
    ticks = base.mark_tick(thickness=2, height=STEP * 0.75, color=INK, opacity=1).encode(x="at_requested:Q")
    lines = base.mark_rule(color=INK).encode(x="achieved_low:Q", x2="achieved_high:Q")
    dots = base.mark_point(filled=True, size=75, opacity=1, color=INK).encode(x="at_achieved:Q")
    layers = alt.layer(asked, ticks, lines, dots, data=pd.DataFrame(_moments(report)))
    caption = ["Grey bar and tick: requested. Dot and line: achieved"]
    bound = sorted({rule for each in report.numerics for rule in each.constraints})
    if bound:
        caption.append(f"Where {', '.join(bound)} binds, the achieved numbers differ by right")
    return _panels(layers, width, names, f"{report.domain}: numbers", caption)


def page(frame: pd.DataFrame, bp: Blueprint, report: Report, *, prompt: str = "", model: str = "") -> str:
    """Write a population as one HTML document that needs no network.

    Parameters
    ----------
    frame : pandas.DataFrame
        The personas, sampled or written; the first 200 are shown.
    bp : Blueprint
        What they were drawn from.
    report : Report
        How closely they match it.
    prompt : str
        What was asked for, the title of the page.
    model : str
        What wrote blueprint and texts.

    Returns
    -------
    str
        The document: light and dark, for screens and paper, without scripts and requests. All that a model may have
        written is escaped.
    """
    from markupsafe import Markup

    drawings = [(marginals, report.marginals), (numerics, report.numerics)]
    charts = [draw(report, width=PAGE_WIDTH) for draw, rows in drawings if rows]
    return _template("page.html.j2").render(
        title=prompt or bp.domain,
        model=model,
        bp=bp,
        report=report,
        fields=[_told(field) for field in bp.fields],
        # The one thing not escaped: drawn here, and every text inside it escaped by the renderer.
        charts=[(chart.description, Markup(_svg(chart))) for chart in charts],
        personas=[_card(str(index), row, bp) for index, row in frame.head(MOST_CARDS).iterrows()],
        total=len(frame),
    )


def cards(frame: pd.DataFrame, bp: Blueprint, *, of: int | None = None) -> str:
    """Write personas as HTML cards for a notebook.

    Parameters
    ----------
    frame : pandas.DataFrame
        The personas to show, sampled or written.
    bp : Blueprint
        What they were drawn from.
    of : int, optional
        How many there are in all, where `frame` is a part of them.

    Returns
    -------
    str
        A fragment that follows the notebook's theme; all that a model may have written is escaped.
    """
    shown = [_card(str(index), row, bp) for index, row in frame.iterrows()]
    return _template("notebook.html.j2").render(personas=shown, total=of or len(frame))


def offline() -> None:
    """Let notebooks draw charts without a network, unless somebody has chosen how to draw them.

    The charts of this module see to it themselves; call it before Altair charts of your own. Each is stored as
    Vega-Lite, as SVG and, with its ``description``, as text.
    """
    import altair as alt

    if "personalab" not in alt.renderers.names():
        alt.renderers.register("personalab", _drawn)
    if alt.renderers.active == "default":  # which fetches scripts, and shows nothing without them
        alt.renderers.enable("personalab")


def in_words(distribution: Distribution) -> str:
    """Tell a distribution: its shares, or its range, mean and spread."""
    if isinstance(distribution, Numeric):
        low, high, mean, sd = (positional(float(getattr(distribution, key)), 6) for key in ("min", "max", "mean", "sd"))
        return f"{low} to {high}, mean {mean}, sd {sd}" + (", whole numbers" if distribution.integer else "")
    told = [f"{value} {percent(weight)}" for value, weight in distribution.weights.items()]
    rest = len(told) - MOST_VALUES
    return ", ".join(told[:MOST_VALUES]) + (f" and {rest} more values" if rest > 0 else "")


def _caption(report: Report) -> list[str]:
    outside = sum(each.outside for each in report.marginals)
    shares = sum(len(each.cells) for each in report.marginals)
    return [
        f"{outside} of {shares} shares outside the band (chance alone puts up to {percent(1 - COVERAGE)} there)",
        f"Grey band: where {percent(COVERAGE)} of independent draws of {report.n:,} fall",
        "Tick: requested. Dot: achieved",
    ]


def _value_axis(name: str) -> alt.Y:
    import altair as alt

    axis = alt.Axis(title=None, labelLimit=170, domain=False, ticks=False, labelPadding=6)
    return alt.Y(f"{name}:N", sort=None, axis=axis)


def _panels(
    layers: alt.LayerChart | alt.FacetChart, width: int, order: list[str], title: str, caption: list[str]
) -> alt.FacetChart:
    """Put one panel a field, each with its own values, under a title and a caption."""
    import altair as alt

    offline()
    header = alt.Header(title=None, labelOrient="top", labelAnchor="start", labelFontSize=12, labelFontWeight="bold")
    sized = layers.properties(width=width, height=alt.Step(STEP))
    chart: alt.FacetChart = sized.facet(row=alt.Row("panel:N", sort=order, header=header), spacing=12)
    chart = chart.resolve_scale(x="independent", y="independent").resolve_axis(x="independent")
    chart.title = alt.TitleParams(title, subtitle=caption, anchor="start", offset=12)
    chart.description = ". ".join([title, *caption])
    return chart


def _cells(report: Report, panels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "panel": panels[each.attribute],
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
        for each in report.marginals
        for cell in each.cells
    ]


def _moments(report: Report) -> list[dict[str, Any]]:
    rows = []
    for each in report.numerics:
        (asked, spread), (mean, sd) = ((side["mean"], side["sd"]) for side in (each.requested, each.achieved))
        rows.append({
            "panel": each.attribute,
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


def _drawn(spec: dict[str, Any]) -> dict[str, Any]:
    """Give one chart in three forms: for Lab's own Vega, for whatever shows pictures, and for whatever shows text."""
    import vl_convert

    return {
        # Lab knows version 5's name only, and draws these charts by it.
        "application/vnd.vegalite.v5+json": spec,
        "image/svg+xml": vl_convert.vegalite_to_svg(spec),
        "text/plain": str(spec.get("description", "chart")),
    }


def _svg(chart: alt.FacetChart) -> str:
    """Draw on nothing, in the ink that the page's style sheet knows."""
    themed = (
        chart.configure(background="transparent")
        .configure_axis(labelColor=INK, titleColor=INK, gridColor=BAND, gridOpacity=0.35, titleFontWeight="normal")
        .configure_legend(labelColor=INK, titleColor=INK)
        .configure_header(labelColor=INK)
        .configure_title(color=INK, subtitleColor=INK)
        .configure_view(stroke=None)
    )
    out = io.StringIO()
    themed.save(out, format="svg")
    return out.getvalue()


def _template(name: str) -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("personalab", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _told(field: AnyField) -> dict[str, Any]:
    base = None if isinstance(field, TextField) else field.base
    cases = [] if isinstance(field, TextField) else [(label(r.when), in_words(stated(r))) for r in field.conditionals]
    return {
        "name": field.name,
        "kind": field.kind,
        "parents": ", ".join(field.parents),
        "description": field.description,
        "base": "written by the model" if isinstance(field, TextField) else in_words(base) if base else "",
        "cases": cases,
    }


def _card(persona_id: str, row: pd.Series[Any], bp: Blueprint) -> dict[str, Any]:
    shown = {str(name): _shown(value) for name, value in row.items()}
    texts = [field.name for field in bp.texts if field.name != "name" and shown.get(field.name)]
    return {
        "id": persona_id,
        "name": shown.get("name") or persona_id,
        "facts": [(field.name, shown[field.name]) for field in bp.sampled if field.name in shown],
        "texts": [(name, shown[name]) for name in texts],
        **{key: shown.get(key, "") for key in ("tagline", "portrait", "system_prompt")},
    }


def _shown(value: Any) -> str:
    if pd.isna(value):
        return ""
    return as_string(value)
