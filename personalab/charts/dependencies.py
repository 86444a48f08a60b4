"""Dependencies: what depends on what, parents to the left of their children.

Every field stands in the first column to the right of all its parents. Within a column, fields are put at the mean
height of their neighbours, column by column there and back, which untangles most crossings (Sugiyama, Tagawa and Toda
1981). Every other column is moved down by half a line, so that long names do not run into each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from personalab.blueprint.display import layers
from personalab.blueprint.model import AnyField, Blueprint, TextField
from personalab.charts.html import base_in_words
from personalab.charts.reading import spoken_of
from personalab.charts.style import (
    BAND,
    INK,
    MOST_NAMES,
    MOST_ROWS,
    OUTSIDE,
    foremost,
    layered,
    left_out,
    marks,
    titled,
)

if TYPE_CHECKING:
    import altair as alt

WIDE = 600  # pixels from the left to the right edge
MARGIN = 60  # pixels left and right of the outermost fields, for half a name
LINE = 58  # pixels between fields of one column
STEPS = [i / 16 for i in range(17)]  # where a curve's straight pieces begin and end
SWEEPS = 6  # there and back
BULGES = (26, 34, 42)  # pixels of a tie's bow, by turns, so that ties between the same fields lie side by side
RULES = 3  # constraints that the caption spells out
POINTS = 4000  # of all curves of one kind, which become straighter where there are many

SHAPES = {"categorical": "square", "numeric": "circle", "text": "triangle-up"}
COLOURS = {"categorical": "#2f7fc1", "numeric": "#3c8d5a", "text": "#808080"}

Places = Mapping[str, tuple[float, float]]
Curve = tuple[str, list[tuple[float, float]]]  # what it says, and the points it goes through


def dependencies(bp: Blueprint, *, width: int = WIDE) -> alt.LayerChart:
    """Draw which field depends on which, and which are tied by a constraint.

    Parameters
    ----------
    bp : Blueprint
        Fields, parents and constraints.
    width : int
        Pixels from the left to the right edge.

    Returns
    -------
    altair.LayerChart
        A mark a field, its shape the field's kind; an arrow from each parent to its child; a dashed line between
        fields that a constraint names.

    Examples
    --------
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> dependencies(bp).title.subtitle[0]
    '6 fields, 3 of them roots, in 2 columns'
    """
    import altair as alt

    near = _neighbours(bp)
    fields = foremost(bp.fields, lambda field: len(near[field.name]), MOST_NAMES)
    drawn = {field.name for field in fields}
    levels = [[name for name in level if name in drawn] for level in layers(bp.to_dict())]
    columns = _untangled(list(filter(None, levels)), {name: near[name] & drawn for name in drawn})
    places = _places(columns, width)
    height = max(y for _, y in places.values()) + 30
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, width], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False))
    room = 2 * (width - 2 * MARGIN) / max(len(columns) - 1, 1) - 12 if len(columns) > 2 else width / 2
    ties, links = list(_ties(bp, places)), list(_links(bp, places))
    charts = [
        _curves(ties[:MOST_ROWS], x, y, colour=OUTSIDE, strokeDash=[4, 3], strokeWidth=1.5),
        *_arrows(links[:MOST_ROWS], x, y),
        *_nodes([_node(field, places[field.name]) for field in fields], x, y, min(room, 190)),
    ]
    chart = layered([chart for chart in charts if chart], width=width, height=height)
    roots = sum(not field.parents and not isinstance(field, TextField) for field in bp.fields)
    caption = [f"{len(bp.fields)} fields, {roots} of them roots, in {len(columns)} columns"]
    caption.append("An arrow goes from a parent to what depends on it" if any(f.parents for f in bp.fields) else "")
    caption.append(left_out(len(fields), len(bp.fields), "fields", "those with the most neighbours"))
    caption.append(left_out(min(len(links), MOST_ROWS), len(links), "arrows", "the first"))
    return titled(chart, f"{bp.domain}: what depends on what", [*caption, *_spelt(bp)])


def _spelt(bp: Blueprint) -> list[str]:
    lines = [f"Dashed: {each.name}, {each}" for each in bp.constraints[:RULES]]
    rest = len(bp.constraints) - RULES
    return lines + ([f"and {rest} more constraints"] if rest > 0 else [])


def _neighbours(bp: Blueprint) -> dict[str, set[str]]:
    """The parents and children of every field."""
    near: dict[str, set[str]] = {field.name: set() for field in bp.fields}
    for field in bp.fields:
        for parent in near.keys() & set(field.parents):
            near[field.name].add(parent)
            near[parent].add(field.name)
    return near


def _untangled(columns: list[list[str]], near: Mapping[str, set[str]]) -> list[list[str]]:
    """Order each column by the mean height of its fields' neighbours, there and back."""
    columns = [list(column) for column in columns]
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            height = {name: i - (len(each) - 1) / 2 for each in columns for i, name in enumerate(each)}
            column.sort(key=lambda name: _mean([height[n] for n in sorted(near[name])], height[name]))
    return columns


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(columns: list[list[str]], width: int) -> dict[str, tuple[float, float]]:
    step = (width - 2 * MARGIN) / max(len(columns) - 1, 1)
    middle = 20 + LINE * (max(map(len, columns)) - 1) / 2
    places = {}
    for number, column in enumerate(columns):
        top = middle - LINE * (len(column) - 1) / 2
        shift = LINE / 4 if number % 2 else -LINE / 4
        for i, name in enumerate(column):
            places[name] = (MARGIN + number * step, max(top + i * LINE + (shift if len(columns) > 2 else 0), 12.0))
    return places


def _links(bp: Blueprint, places: Places) -> Iterator[Curve]:
    """An arrow's curve from each parent to its child, level at both ends."""
    for field in bp.fields:
        for parent in field.parents if field.name in places else ():
            if parent in places and parent != field.name:
                (x0, y0), (x1, y1) = places[parent], places[field.name]
                start, end = x0 + 9, x1 - 15
                curve = [(start + (end - start) * t, y0 + (y1 - y0) * t * t * (3 - 2 * t)) for t in STEPS]
                yield f"{parent} → {field.name}", curve


def _ties(bp: Blueprint, places: Places) -> Iterator[Curve]:
    """A bow between the fields that a constraint names, one after the other."""
    for number, rule in enumerate(bp.constraints):
        mentioned = spoken_of(bp, rule) & places.keys()
        named = [field.name for field in bp.fields if field.name in mentioned]
        for one, other in itertools.pairwise(named):
            (x0, y0), (x1, y1) = places[one], places[other]
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
            bulge = BULGES[number % len(BULGES)]
            dx, dy = 4 * bulge * (y1 - y0) / length, -4 * bulge * (x1 - x0) / length
            bow = [(x0 + (x1 - x0) * t + dx * t * (1 - t), y0 + (y1 - y0) * t + dy * t * (1 - t)) for t in STEPS]
            yield f"{rule.name}: {rule}", bow


def _curves(curves: list[Curve], x: alt.X, y: alt.Y, **look: Any) -> Any:
    """Curves as lines of many short pieces, or None where there are none."""
    last = len(STEPS) - 1
    stride = next(each for each in (1, 2, 4, 8, last) if each == last or len(curves) * (last // each + 1) <= POINTS)
    rows = [
        {"line": number, "what": what, "at": at, "x": points[at][0], "y": points[at][1]}
        for number, (what, points) in enumerate(curves)
        for at in range(0, last + 1, stride)
    ]
    if not rows:
        return None
    line = marks(rows, "what").mark_line(color=look.pop("colour"), opacity=1, **look)
    return line.encode(x=x, y=y, detail="line:N", order="at:Q")


def _arrows(curves: list[Curve], x: alt.X, y: alt.Y) -> list[Any]:
    """Curves with a head where they end."""
    if not curves:
        return []
    tips = [{"what": what, "x": points[-1][0] + 2, "y": points[-1][1]} for what, points in curves]
    heads = marks(tips, "what").mark_point(shape="triangle-right", filled=True, size=60, color=BAND, opacity=1)
    return [_curves(curves, x, y, colour=BAND, strokeWidth=1.3), heads.encode(x=x, y=y)]


def _node(field: AnyField, place: tuple[float, float]) -> dict[str, Any]:
    return {
        "field": field.name,
        "kind": field.kind,
        "given": ", ".join(field.parents) or "nothing",
        "description": field.description,
        "distribution": base_in_words(field),
        "x": place[0],
        "y": place[1],
    }


def _nodes(rows: list[dict[str, Any]], x: alt.X, y: alt.Y, room: float) -> list[Any]:
    import altair as alt

    kinds = [kind for kind in SHAPES if any(row["kind"] == kind for row in rows)]
    legend = alt.Legend(orient="top", title=None, direction="horizontal", symbolStrokeWidth=0)
    base = marks(rows, "field", "kind", "given", "distribution", "description").encode(x=x, y=y)
    points = base.mark_point(filled=True, size=150, opacity=1).encode(
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[SHAPES[kind] for kind in kinds]), legend=legend),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[COLOURS[kind] for kind in kinds]), legend=legend
        ),
    )
    names = base.mark_text(dy=16, color=INK, fontSize=11, limit=room).encode(text="field:N")
    return [points, names]
