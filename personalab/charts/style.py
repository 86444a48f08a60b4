"""Style: what all charts have in common, so that each reads in light and dark, with and without a network.

A name or a value may come from anybody's file, and Vega-Lite builds *expressions*, which a notebook runs, from field
names, from the titles of tooltips and axes (for the text that a screen reader reads of a mark) and from the order of
facets. So data enters by `marks` alone: rows under the package's own column names, with a description that is made of
these names. What a file says is a row, a scale's domain, a title or a caption, which Vega takes literally.

No colour of text has a contrast of 4.5 to white and to a dark notebook's near-black both: 4.35 is the most. So text,
and marks of the same ink, are ``currentColor``: in JupyterLab, in an exported page and in a report it is the ink of
the text around. A drawing shown as a picture has no text around; it brings paper and ink of its own, for light and
for dark. Everything else is a mid-tone with a contrast of 3 or more to both.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pandas as pd

from personalab.blueprint.display import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    import altair as alt

WIDTH = 420  # pixels inside the axes; some 640 with labels, so that a notebook's output shows all of it
STEP = 18  # pixels a value, so that 50 values fit on a screen
LABEL = 210  # pixels a label may have
LONGEST = 100  # letters of a line of the caption; about as wide as axes and labels together
MOST_ROWS = 1000  # that are drawn, so that a notebook stays quick; Altair refuses more than 5,000
MOST_NAMES = 100  # along an axis that others share, four pixels each

# A picture is measured with one font and read with another, whose letters may be a seventh wider; what grows beyond
# the picture's edge would be cut off.
SLACK = {"left": 30, "right": 60, "top": 5, "bottom": 5}  # pixels

INK = "currentColor"
BAND, OUTSIDE, MORE, LESS = GREY, ORANGE, BLUE, ORANGE
# What lies behind other marks: they shine through, and its edge has all the colour's contrast.
BEHIND: dict[str, Any] = {"color": BAND, "fillOpacity": 0.45, "stroke": BAND, "strokeWidth": 1}
PAPER = {"light": ("#ffffff", "#1f2328"), "dark": ("#111111", "#e6edf3")}  # of a drawing shown as a picture

# From a breath of a colour to as much of it as text on top stands, on white as on near-black.
FAINT, FULL = 0.05, 0.6

_SHARED = {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal"}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "axis": _SHARED | {"gridColor": GREY, "gridOpacity": 0.3, "domainColor": GREY, "tickColor": GREY},
    "legend": _SHARED,
    "header": {"labelColor": INK, "titleColor": INK},
    "title": {"color": INK, "subtitleColor": INK},
    "text": {"color": INK},
    "view": {"stroke": None},
}

# What no XML can hold: Vega's drawing of it ends the process. And halves of characters, which no file can hold.
_UNDRAWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")

AnyChart = TypeVar("AnyChart", bound="alt.LayerChart | alt.VConcatChart")
Row = TypeVar("Row")


def offline() -> None:
    """Let notebooks draw charts without a network, unless somebody has chosen how to draw them.

    The charts of this package see to it themselves; call it before Altair charts of your own. Each is stored as
    Vega-Lite, as SVG and, with its ``description``, as text, and takes the notebook's ink where it names no other.
    """
    import altair as alt

    if "personalab" not in alt.renderers.names():
        alt.renderers.register("personalab", _drawn)
    if alt.renderers.active == "default":  # which fetches scripts, and shows nothing without them
        alt.renderers.enable("personalab")


def titled(chart: AnyChart, title: str, caption: Sequence[str]) -> AnyChart:
    """Put a chart under a title and a caption, which together describe it."""
    import altair as alt

    offline()
    lines = [literal(each) for line in caption for each in textwrap.wrap(line, LONGEST)]
    chart.title = alt.TitleParams(literal(title), subtitle=lines, anchor="start", offset=12)
    chart.description = drawable(". ".join([title, *filter(None, caption)]))
    return chart


def headed(panel: alt.LayerChart, name: str) -> alt.LayerChart:
    """Put one of several panels under its name."""
    import altair as alt

    title = alt.TitleParams(literal(name), anchor="start", frame="group", fontSize=12, offset=4)
    return panel.properties(title=title)


def marks(rows: Sequence[Mapping[str, Any]], *told: str) -> alt.Chart:
    """Begin a chart of rows: the one way by which data comes into any of them.

    Parameters
    ----------
    rows : sequence of mapping
        What is drawn, under column names that no data has a say in.
    *told : str
        The columns that tooltip and description tell: as text, or as numbers in a format, such as ``share:.1%``.

    Returns
    -------
    altair.Chart
        Without a mark yet.
    """
    import altair as alt

    columns = [name.partition(":")[::2] for name in told]
    tooltip = [alt.Tooltip(f"{name}:Q", format=form) if form else alt.Tooltip(f"{name}:N") for name, form in columns]
    spoken = [
        f"'{name}: ' + " + (f"format(datum['{name}'], '{form}')" if form else f"datum['{name}']")
        for name, form in columns
    ]
    description = alt.DescriptionValue({"expr": " + '; ' + ".join(spoken)})
    frame = pd.DataFrame([drawable(dict(row)) for row in rows])
    return alt.Chart(frame).encode(tooltip=tooltip, description=description)


def drawable(value: Any) -> Any:
    r"""Text, or lists and dicts of it, with control characters as the pictures that Unicode has of them.

    Examples
    --------
    >>> drawable(["a\x0bb", 1])
    ['a␋b', 1]
    """
    if isinstance(value, str):
        return _UNDRAWABLE.sub(lambda found: _pictured(ord(found[0])), value)
    if isinstance(value, dict):
        return {key: drawable(each) for key, each in value.items()}
    return [drawable(each) for each in value] if isinstance(value, list | tuple) else value


def _pictured(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}"


def literal(text: str) -> str:
    """A text as a title; of a single word with a space, since Vega takes ``constructor`` for JavaScript's own."""
    return str(drawable(text if " " in text else f"{text} "))


def foremost(rows: Sequence[Row], by: Callable[[Row], float], most: int = MOST_ROWS) -> list[Row]:
    """The rows for which `by` is greatest, in the order they came in; all where there are no more than `most`."""
    if len(rows) <= most:
        return list(rows)
    first = sorted(range(len(rows)), key=lambda at: -by(rows[at]))[:most]
    return [rows[at] for at in sorted(first)]


def left_out(drawn: int, of: int, what: str, which: str) -> str:
    """A sentence on what is not drawn; empty where all is."""
    return f"{drawn:,} of {of:,} {what} are drawn: {which}" if drawn < of else ""


def layered(layers: Iterable[alt.Chart], *, width: int, step: int = 0, height: float = 0) -> alt.LayerChart:
    """Lay charts over each other, so many pixels wide, and high or so many pixels a row."""
    import altair as alt

    sized = alt.layer(*layers).properties(width=width, height=alt.Step(step) if step else height)
    return cast("alt.LayerChart", sized)


def sections(lists: Sequence[tuple[str, Sequence[str]]]) -> tuple[alt.Y, list[str], list[list[str]]]:
    """One axis for several lists of values, each under a heading of its own.

    Parameters
    ----------
    lists : sequence of (str, sequence of str)
        Headings and the values below them.

    Returns
    -------
    altair.Y, list of str, list of list of str
        The axis on the column ``row``, the headings' rows, and the values' rows list by list. A row is numbered by
        its list, since two fields may have values of one name; the axis hides the number.
    """
    import altair as alt

    heads = [drawable(f"{number}: {head}") for number, (head, _) in enumerate(lists)]
    rows = [[drawable(f"{number} · {value}") for value in values] for number, (_, values) in enumerate(lists)]
    domain = [row for head, below in zip(heads, rows, strict=True) for row in (head, *below)]
    weight = alt.condition("test(/^\\d+:/, datum.value)", alt.value("bold"), alt.value("normal"))
    axis = alt.Axis(
        title=None,
        labelExpr="replace(datum.value, /^\\d+(: | · )/, '')",
        labelFontWeight=weight,
        labelLimit=LABEL,
        labelPadding=6,
        domain=False,
        ticks=False,
    )
    return alt.Y("row:N", sort=None, axis=axis, scale=alt.Scale(domain=domain)), heads, rows


def value_axis(name: str, title: str | None = None, values: Sequence[str] | None = None) -> alt.Y:
    """An axis of names, in the order of the rows or of `values`."""
    import altair as alt

    axis = alt.Axis(title=title and literal(title), labelLimit=LABEL, domain=False, ticks=False, labelPadding=6)
    scale = alt.Undefined if values is None else alt.Scale(domain=drawable(list(values)))
    return alt.Y(f"{name}:N", sort=None, axis=axis, scale=scale)


def glaze(colour: str, alpha: float) -> str:
    """A colour through which the page shows."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def as_svg(chart: alt.TopLevelSpec) -> str:
    """Draw a chart to stand inside a page, on nothing and in the page's ink."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.to_dict() | {"config": CONFIG})


def _drawn(spec: dict[str, Any]) -> dict[str, Any]:
    """Give one chart in three forms: for Lab's own Vega, for whatever shows pictures, and for whatever shows text."""
    import vl_convert

    spec = drawable(spec)
    own = spec.get("usermeta", {})
    options = {"renderer": "svg"} | own.get("embedOptions", {})
    spec = spec | {"config": _merged(CONFIG, spec.get("config", {})), "usermeta": own | {"embedOptions": options}}
    return {
        # Lab knows version 5's name only, and draws these charts by it.
        "application/vnd.vegalite.v5+json": spec,
        "image/svg+xml": _on_paper(vl_convert.vegalite_to_svg({"padding": SLACK} | spec)),
        "text/plain": str(spec.get("description", "chart")),
    }


def _merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Settings of both, the chart's own first."""
    both = {key: _merged(ours[key], theirs[key]) for key in ours.keys() & theirs.keys() if isinstance(ours[key], dict)}
    return ours | theirs | both


def _on_paper(svg: str) -> str:
    """Give a drawing paper and ink for where it is shown as a picture; inside a page it is not the root."""
    (paper, ink), (night, chalk) = PAPER["light"], PAPER["dark"]
    dark = f"@media (prefers-color-scheme:dark){{svg:root{{background:{night};color:{chalk}}}}}"
    head, body = svg.split(">", 1)
    return f"{head}><style>svg:root{{background:{paper};color:{ink}}}{dark}</style>{body}"
