"""Graph: what depends on what, parents to the left of their children.

Every field stands in the first column to the right of all its parents. Within a column, fields are put at the mean
height of their neighbours, column by column there and back, which untangles most crossings (Sugiyama, Tagawa and Toda
1981). Every other column is moved down by half a line, so that long names do not run into each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalab.blueprint.display import layers
from personalab.blueprint.model import AnyField, Blueprint, TextField
from personalab.charts.ink import BAND, INK, OUTSIDE, layered, titled, told
from personalab.charts.pages import base_in_words
from personalab.charts.reading import spoken_of

if TYPE_CHECKING:
    import altair as alt

WIDE = 600  # pixels from the left to the right edge
MARGIN = 60  # pixels left and right of the outermost fields, for half a name
LINE = 58  # pixels between fields of one column
CURVE = 16  # straight pieces that a curve is drawn as
SWEEPS = 6  # there and back
BULGES = (26, 34, 42)  # pixels of a tie's bow, by turns, so that ties between the same fields lie side by side
RULES = 3  # constraints that the caption spells out

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

    columns = _untangled(layers(bp.to_dict()), {field.name: field.parents for field in bp.fields})
    places = _places(columns, width)
    height = max(y for _, y in places.values()) + 30
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, width], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False))
    room = 2 * (width - 2 * MARGIN) / max(len(columns) - 1, 1) - 12 if len(columns) > 2 else width / 2
    drawn = [
        _curves(list(_ties(bp, places)), x, y, colour=OUTSIDE, strokeDash=[4, 3], strokeWidth=1.5),
        *_arrows(list(_links(bp, places)), x, y),
        *_nodes([_node(field, places[field.name]) for field in bp.fields], x, y, min(room, 190)),
    ]
    chart = layered([layer for layer in drawn if layer], width=width, height=height)
    roots = sum(not field.parents and not isinstance(field, TextField) for field in bp.fields)
    caption = [f"{len(bp.fields)} fields, {roots} of them roots, in {len(columns)} columns"]
    caption.append("An arrow goes from a parent to what depends on it" if any(f.parents for f in bp.fields) else "")
    return titled(chart, f"{bp.domain}: what depends on what", [*caption, *_spelt(bp)])


def _spelt(bp: Blueprint) -> list[str]:
    lines = [f"Dashed: {each.name}, {each}" for each in bp.constraints[:RULES]]
    rest = len(bp.constraints) - RULES
    return lines + ([f"and {rest} more constraints"] if rest > 0 else [])


def _untangled(columns: list[list[str]], parents: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    """Order each column by the mean height of its fields' neighbours, there and back."""
    near: dict[str, set[str]] = {name: set() for column in columns for name in column}
    for child, above in parents.items():
        for parent in set(above) & set(near):
            near[child].add(parent)
            near[parent].add(child)
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
        for parent in field.parents:
            if parent in places and parent != field.name:
                (x0, y0), (x1, y1) = places[parent], places[field.name]
                start, end = x0 + 9, x1 - 15
                steps = [i / CURVE for i in range(CURVE + 1)]
                curve = [(start + (end - start) * t, y0 + (y1 - y0) * t * t * (3 - 2 * t)) for t in steps]
                yield f"{parent} → {field.name}", curve


def _ties(bp: Blueprint, places: Places) -> Iterator[Curve]:
    """A bow between the fields that a constraint names, one after the other."""
    for number, rule in enumerate(bp.constraints):
        named = [field.name for field in bp.fields if field.name in spoken_of(bp, rule)]
        for one, other in itertools.pairwise(named):
            (x0, y0), (x1, y1) = places[one], places[other]
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
            bulge = BULGES[number % len(BULGES)]
            dx, dy = 4 * bulge * (y1 - y0) / length, -4 * bulge * (x1 - x0) / length
            steps = [i / CURVE for i in range(CURVE + 1)]
            bow = [(x0 + (x1 - x0) * t + dx * t * (1 - t), y0 + (y1 - y0) * t + dy * t * (1 - t)) for t in steps]
            yield f"{rule.name}: {rule}", bow


def _curves(curves: list[Curve], x: alt.X, y: alt.Y, **look: Any) -> Any:
    """Curves as lines of many short pieces, or None where there are none."""
    import altair as alt

    rows = [
        {"line": number, "what": what, "at": at, "x": px, "y": py}
        for number, (what, points) in enumerate(curves)
        for at, (px, py) in enumerate(points)
    ]
    if not rows:
        return None
    line = alt.Chart(pd.DataFrame(rows)).mark_line(color=look.pop("colour"), opacity=1, **look)
    return line.encode(x=x, y=y, detail="line:N", order="at:Q", tooltip=told("what"))


def _arrows(curves: list[Curve], x: alt.X, y: alt.Y) -> list[Any]:
    """Curves with a head where they end."""
    import altair as alt

    if not curves:
        return []
    tips = [{"what": what, "x": points[-1][0] + 2, "y": points[-1][1]} for what, points in curves]
    heads = alt.Chart(pd.DataFrame(tips)).mark_point(
        shape="triangle-right", filled=True, size=60, color=BAND, opacity=1
    )
    return [_curves(curves, x, y, colour=BAND, strokeWidth=1.3), heads.encode(x=x, y=y, tooltip=told("what"))]


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
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=x, y=y, tooltip=told("field", "kind", "given", "distribution", "description")
    )
    marks = base.mark_point(filled=True, size=150, opacity=1).encode(
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=kinds, range=[SHAPES[kind] for kind in kinds]), legend=legend),
        color=alt.Color(
            "kind:N", scale=alt.Scale(domain=kinds, range=[COLOURS[kind] for kind in kinds]), legend=legend
        ),
    )
    names = base.mark_text(dy=16, color=INK, fontSize=11, limit=room).encode(text="field:N")
    return [marks, names]
