"""Diff: what an edit did to a blueprint.

A changed share is an arrow from before to after: a ring where it stood and a triangle that points where it went. A
changed number is two lines, mean and one standard deviation to either side, before above and after below. What no
arrow can show, such as a new field or another parent, is listed in the caption, so that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from personalab.blueprint.conditionals import label, stated
from personalab.blueprint.display import in_words, percent
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField, TextField
from personalab.charts.numerics import ABOVE, BELOW, TALL
from personalab.charts.style import (
    BAND,
    INK,
    LESS,
    MORE,
    MOST_ROWS,
    STEP,
    WIDTH,
    foremost,
    headed,
    layered,
    left_out,
    marks,
    sections,
    titled,
    value_axis,
)  # fmt: skip
from personalab.reports.text import change

if TYPE_CHECKING:
    import altair as alt

MOST_LISTED = 8  # changes without an arrow that the caption spells out
SMALL = 1e-12  # a share that moved by less has not moved
_UP, _DOWN = "more than before", "less than before"

Wire = Mapping[str, Any]


def diff(before: Blueprint, after: Blueprint, *, width: int = WIDTH) -> alt.VConcatChart:
    """Draw what changed from one blueprint to another.

    Parameters
    ----------
    before, after : Blueprint
        The earlier and the later one.
    width : int
        Pixels inside the axes.

    Returns
    -------
    altair.VConcatChart
        Changed shares in one panel, each field with changed numbers in one of its own. Other changes are in the
        caption; for equal blueprints it says that nothing differs.

    Examples
    --------
    >>> before = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> after = before.replace("hours_per_week", description="played in a week")
    >>> diff(before, after).title.subtitle[-1]
    'description of hours_per_week: another text'
    """
    import altair as alt

    shares, numbers = _moved(before, after)
    drawn_shares = foremost(shares, lambda row: abs(row[3] - row[2]))
    drawn_numbers = numbers[:MOST_ROWS]
    panels: list[Any] = [_share_panel(_by_head(drawn_shares), width)] if shares else []
    panels += [headed(_number_panel(rows, width), name) for name, rows in _by_head(drawn_numbers).items()]
    others = list(_others(before, after))
    count = len(shares) + len(numbers)
    listed = others[:MOST_LISTED] + ([f"and {len(others) - MOST_LISTED} more"] if len(others) > MOST_LISTED else [])
    told_first = (
        f"{count} shares and numbers moved, {len(others)} other changes" if count or others else "Nothing differs"
    )
    caption = [
        told_first,
        "Shares: a ring before, a triangle after that points the way it went" if shares else "",
        "Numbers: grey before, blue after, each the mean and one sd to either side" if numbers else "",
        left_out(len(drawn_shares) + len(drawn_numbers), count, "of these", "the shares that moved most"),
        *listed,
    ]
    joined = alt.vconcat(*(panels or [_nothing(width)]), spacing=16)
    chart: alt.VConcatChart = joined.resolve_scale(color="independent", shape="independent")
    return titled(chart, f"{after.domain}: what changed", caption)


def _moved(
    before: Blueprint, after: Blueprint
) -> tuple[list[tuple[str, str, float, float]], list[tuple[str, str, Wire, Wire]]]:
    """The shares and the numbers that differ, of fields and conditions that both blueprints have.

    A share has the heading of its field and condition, its value, and itself before and after; a number has its field,
    its condition, and its distribution before and after.
    """
    shares: list[tuple[str, str, float, float]] = []
    numbers: list[tuple[str, str, Wire, Wire]] = []
    for name, where, old, new in _pairs(before, after):
        if "weights" in old:
            head = f"{name}, {where}" if where else name
            for value in dict.fromkeys([*old["weights"], *new["weights"]]):
                was, now = (float(each["weights"].get(value, 0)) for each in (old, new))
                if abs(now - was) > SMALL:
                    shares.append((head, value, was, now))
        elif any(old[key] != new[key] for key in ("min", "max", "mean", "sd", "integer")):
            numbers.append((name, where or "all", old, new))
    return shares, numbers


def _by_head(rows: list[tuple[str, Any, Any, Any]]) -> dict[str, list[tuple[Any, Any, Any]]]:
    found: dict[str, list[tuple[Any, Any, Any]]] = {}
    for head, *row in rows:
        found.setdefault(head, []).append((row[0], row[1], row[2]))
    return found


def _pairs(before: Blueprint, after: Blueprint) -> Iterator[tuple[str, str, Wire, Wire]]:
    """Distributions that both state under the same condition: field, condition, before, after."""
    old = {field.name: field for field in before.sampled}
    for field in after.sampled:
        known = old.get(field.name)
        if known is None or known.kind != field.kind:
            continue
        earlier = _distributions(known)
        for where, new in _distributions(field).items():
            if where in earlier:
                yield field.name, where, earlier[where], new


def _distributions(field: SampledField) -> dict[str, Wire]:
    """A field's stated distributions by their conditions, whatever order these are written in."""
    found = {"": field.base.model_dump()} if field.base else {}
    named = {label(dict(sorted(rule.when.items()))): stated(rule).model_dump() for rule in field.conditionals}
    return cast(dict[str, Wire], found | named)


def _others(before: Blueprint, after: Blueprint) -> Iterator[str]:
    """Everything that no arrow shows, a sentence each."""
    old, new = ({field.name: field for field in bp.fields} for bp in (before, after))
    yield from (f"new field: {name}" for name in new if name not in old)
    yield from (f"removed field: {name}" for name in old if name not in new)
    for name in new:
        if name in old:
            yield from _of_field(name, old[name], new[name])
    rules = [{each.name: str(each) for each in bp.constraints} for bp in (before, after)]
    for name in dict.fromkeys([*rules[0], *rules[1]]):
        if rules[0].get(name) != rules[1].get(name):
            yield f"constraint {name}: {rules[0].get(name, 'none')} → {rules[1].get(name, 'none')}"
    if before.domain != after.domain:
        yield f"domain: {before.domain} → {after.domain}"
    for key in ("order", "rationale", "sources", "notes"):
        if getattr(before, key) != getattr(after, key):
            yield f"{key}: changed"
    shared = [[name for name in fields if name in old and name in new] for fields in (old, new)]
    if shared[0] != shared[1]:
        yield "fields: another order"


def _of_field(name: str, old: Any, new: Any) -> Iterator[str]:
    if old.kind != new.kind:
        yield f"kind of {name}: {old.kind} → {new.kind}"
    if old.parents != new.parents:
        yield f"parents of {name}: {', '.join(old.parents) or 'none'} → {', '.join(new.parents) or 'none'}"
    if old.description != new.description:
        yield f"description of {name}: another text"
    if isinstance(old, TextField) or old.kind != new.kind:
        return
    if isinstance(old, CategoricalField):
        both = set(old.values) & set(new.values)
        orders = [[value for value in each.values if value in both] for each in (old, new)]
        if orders[0] != orders[1] or old.ordered_values != new.ordered_values:
            yield f"order of the values of {name}: changed"
    earlier, later = _distributions(old), _distributions(new)
    yield from (
        f"{name}, new conditional {where or 'base'}: {in_words(later[where])}"
        for where in later
        if where not in earlier
    )
    yield from (f"{name}, removed conditional: {where or 'base'}" for where in earlier if where not in later)


def _share_panel(shares: Mapping[str, list[tuple[str, float, float]]], width: int) -> alt.LayerChart:
    import altair as alt

    axis, _, rows = sections([(head, [value for value, _, _ in moved]) for head, moved in shares.items()])
    drawn = [
        {
            "row": row, "where": head, "value": value, "before": old, "after": new, "went": _UP if new > old else _DOWN,
            "share": change(old, new, is_share=True), "by": f"{'+' if new > old else '-'}{percent(abs(new - old))}",
        }
        for (head, moved), below in zip(shares.items(), rows, strict=True)
        for (value, old, new), row in zip(moved, below, strict=True)
    ]  # fmt: skip
    base = marks(drawn, "where", "value", "share", "by").encode(y=axis)
    went = [_UP, _DOWN]
    legend = alt.Legend(orient="top", title=None, symbolStrokeWidth=0)
    colour = alt.Color("went:N", scale=alt.Scale(domain=went, range=[MORE, LESS]), legend=legend)
    shape = alt.Shape("went:N", scale=alt.Scale(domain=went, range=["triangle-right", "triangle-left"]), legend=legend)
    share = alt.X("before:Q", title=None, axis=alt.Axis(format="~%", tickCount=6), scale=alt.Scale(zero=True))
    lines = base.mark_rule(strokeWidth=2).encode(x=share, x2="after:Q", color=colour)
    rings = base.mark_point(filled=False, size=45, color=INK, opacity=1).encode(x="before:Q")
    tips = base.mark_point(filled=True, size=80, opacity=1).encode(x="after:Q", color=colour, shape=shape)
    return layered([lines, rings, tips], width=width, step=STEP)


def _number_panel(moved: list[tuple[str, Wire, Wire]], width: int) -> alt.LayerChart:
    import altair as alt

    rows = [
        {"where": where, "before": in_words(old), "after": in_words(new)}
        | {f"{side}_{key}": value for side, each in (("old", old), ("new", new)) for key, value in _span(each).items()}
        for where, old, new in moved
    ]
    base = marks(rows, "where", "before", "after").encode(y=value_axis("where"))
    x = alt.X("old_low:Q", title=None, scale=alt.Scale(zero=False))
    drawn = [
        base.mark_rule(color=BAND, strokeWidth=3, yOffset=ABOVE).encode(x=x, x2="old_high:Q"),
        base.mark_point(filled=False, size=45, color=INK, opacity=1, yOffset=ABOVE).encode(x="old_mean:Q"),
        base.mark_rule(color=MORE, strokeWidth=3, yOffset=BELOW).encode(x="new_low:Q", x2="new_high:Q"),
        base.mark_point(filled=True, shape="diamond", size=60, color=INK, opacity=1, yOffset=BELOW).encode(
            x="new_mean:Q"
        ),
    ]  # fmt: skip
    return layered(drawn, width=width, step=TALL)


def _span(numeric: Wire) -> dict[str, float]:
    mean, sd = float(numeric["mean"]), float(numeric["sd"])
    return {"low": mean - sd, "mean": mean, "high": mean + sd}


def _nothing(width: int) -> alt.LayerChart:
    """An empty line, where the caption says it all."""
    blank = marks([{"told": ""}], "told").mark_text(color=INK).encode(text="told:N")
    return layered([blank], width=width, height=1)
