"""Display: a blueprint told without a drawing library, as text and as HTML that any notebook shows.

A notebook that somebody else made is not trusted. JupyterLab then takes scripts, style sheets, drawings, ids,
``var()`` and ``currentColor`` out of its outputs, and leaves tables, folds and inline styles of plain values. So
everything here is drawn with those: a weight is a box of that height, a range a strip with a band from mean - sd to
mean + sd, and a line that has no colour of its own takes the text's, in a dark notebook as in a light one. The graph
is a row of columns, parents to the left of children.

What is told is the blueprint's wire form, plain dicts and lists. A model may have written it: templates escape it all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional

import numpy as np

from personalab.blueprint.constraints import printed

if TYPE_CHECKING:
    from jinja2 import Template

Wire = Mapping[str, Any]

# Mid-tones, with a contrast of 3 or more to white and to the near-black of dark notebooks; text takes the theme's ink.
GREY, BLUE, ORANGE = "#808080", "#2f7fc1", "#d9480f"
MOST_VALUES = 12  # of a distribution that are told one by one
MOST_CONDITIONALS = 12  # of a field that are shown
MOST_STACKED = 4  # of a field without a base, one above the other
TALLEST = 22  # pixels, of a weight's box
BLOCKS = "▁▂▃▄▅▆▇█"  # from low to high, for weights in plain text
RIGHT_TO_LEFT = ("R", "AL", "AN", "RLE", "RLO", "RLI", "LRE", "LRO", "LRI", "FSI")  # Unicode's classes
SPARKS = 30  # boxes in a row of them, at most


def percent(share: float, digits: int = 3) -> str:
    """A share for people: ``25 %``."""
    return f"{positional(100 * share, digits)} %"


def positional(value: float, digits: int = 4) -> str:
    """A number for people: so many digits that count, and no exponent."""
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def apart(text: str) -> str:
    """A text that keeps its direction to itself: one written from right to left would turn the numbers beside it round.

    Examples
    --------
    >>> apart("Gold"), apart("زيت") == "\u2068زيت\u2069"
    ('Gold', True)
    """
    turns = any(bidirectional(sign) in RIGHT_TO_LEFT for sign in text)
    return f"\u2068{text}\u2069" if turns else text


def in_words(distribution: Wire) -> str:
    """Tell a distribution in wire form: its shares, or its range, mean and spread.

    Examples
    --------
    >>> in_words({"min": 1, "max": 20, "mean": 6, "sd": 4.5, "integer": True})
    '1 to 20, mean 6, sd 4.5, whole numbers'
    >>> in_words({"weights": {"a": 0.25, "b": 0.75}})
    'a 25 %, b 75 %'
    """
    if "weights" not in distribution:
        low, high, mean, sd = (positional(float(distribution[key]), 6) for key in ("min", "max", "mean", "sd"))
        return f"{low} to {high}, mean {mean}, sd {sd}" + (", whole numbers" if distribution.get("integer") else "")
    told = [f"{apart(value)} {percent(weight)}" for value, weight in distribution["weights"].items()]
    rest = len(told) - MOST_VALUES
    return ", ".join(told[:MOST_VALUES]) + (f" and {rest} more values" if rest > 0 else "")


def spark(weights: Iterable[float]) -> str:
    """Weights as a row of blocks, the highest the tallest; more than 30 are cut.

    Examples
    --------
    >>> spark([0.1, 0.2, 0.4, 0.3])
    '▃▅█▆'
    """
    heights = [max(float(weight), 0.0) for weight in weights]
    most = max(heights, default=0.0) or 1.0
    last = len(BLOCKS) - 1
    return "".join(BLOCKS[round(height / most * last)] for height in heights[:SPARKS]) + "…" * (len(heights) > SPARKS)


def layers(blueprint: Wire) -> list[list[str]]:
    """The fields in columns: each to the right of all its parents, texts without parents in the last one.

    Parameters
    ----------
    blueprint : mapping
        In wire form; a parent that is no field, or that closes a circle, is passed over.

    Returns
    -------
    list of list of str
        Names, column by column, each in the blueprint's order.

    Examples
    --------
    >>> layers({"fields": [{"name": "a"}, {"name": "b", "parents": ["a"]}, {"name": "c", "kind": "text"}]})
    [['a'], ['b'], ['c']]
    """
    fields = {field["name"]: field for field in blueprint["fields"]}
    depth = dict.fromkeys(fields, 0)
    for _ in fields:  # a path is no longer than there are fields, also where a circle would lengthen it for ever
        for name, field in fields.items():
            above = [depth[parent] for parent in field.get("parents", ()) if parent in depth and parent != name]
            depth[name] = min(max(above, default=-1) + 1, len(fields) - 1)
    alone = {name for name, field in fields.items() if field.get("kind") == "text" and not field.get("parents")}
    last = max((depth[name] for name in fields if name not in alone), default=-1) + 1
    depth.update(dict.fromkeys(alone, last))
    return [[name for name in fields if depth[name] == level] for level in sorted(set(depth.values()))]


def in_text(blueprint: Wire) -> str:
    """Tell a blueprint as text that stands alone: fields, graph, constraints, reasons and sources."""
    fields = [_told(field) for field in blueprint["fields"]]
    rows = [(f["name"], f["kind"], _line(f)) for f in fields]
    links = {
        name: [f["name"] for f in fields if name in f["parents"]] for column in layers(blueprint) for name in column
    }
    parts = {
        "": as_lines(("field", "kind", "distribution"), rows),
        "Graph": [f"{name} → {', '.join(children)}" for name, children in links.items() if children],
        "Constraints": [f"{rule['name']}: {_rule(rule)}" for rule in blueprint.get("constraints", ())],
        "Rationale": [blueprint.get("rationale", "")],
        "Sources": list(blueprint.get("sources", ())),
        "Notes": list(blueprint.get("notes") or ()),
    }
    told = [f"{blueprint['domain']}: {_summary(blueprint)}"]
    for title, lines in parts.items():
        told += [*([title] if title and any(lines) else []), *(f"  {line}" for line in lines if line)]
    return "\n".join(told)


def in_html(blueprint: Wire) -> str:
    """Tell a blueprint as a fragment of HTML for a notebook, trusted or not; all text in it is escaped."""
    fields = {field["name"]: _told(field) for field in blueprint["fields"]}
    return render(
        "blueprint.html.j2",
        bp={"rationale": "", "sources": (), "notes": ()} | dict(blueprint),
        summary=_summary(blueprint),
        fields=list(fields.values()),
        columns=[[fields[name] for name in column] for column in layers(blueprint)],
        rules=[(rule["name"], _rule(rule)) for rule in blueprint.get("constraints", ())],
        colours={"grey": GREY, "blue": BLUE},
    )


def render(name: str, **values: Any) -> str:
    """Fill one of the package's templates, which escape whatever they are given."""
    return _template(name).render(**values)


def as_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (header, *rows)]


def _template(name: str) -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("personalab.blueprint", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _summary(blueprint: Wire) -> str:
    fields, rules = len(blueprint["fields"]), len(blueprint.get("constraints", ()))
    counted = ((fields, "field"), (rules, "constraint"))
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counted)


def _rule(rule: Wire) -> str:
    return printed(rule["lhs"], rule["op"], rule["rhs"])


def _line(field: Wire) -> str:
    parts = [field["words"]]
    if field["kind"] == "categorical" and field["base"]:
        parts = [spark(field["base"]["weights"].values()), *parts]
    if field["parents"]:
        given = f"given {', '.join(field['parents'])}"
        parts.append(f"({given}: {field['stated']} stated)" if field["stated"] else f"({given})")
    return " ".join(filter(None, parts))


def _told(field: Wire) -> dict[str, Any]:
    """A field as the templates show it."""
    kind = field.get("kind", "categorical")
    stated = [] if kind == "text" else [(rule["when"], rule[kind]) for rule in field.get("conditionals", ())]
    base = field.get(kind)
    ends = _ends([each for each in (base, *(held for _, held in stated)) if each]) if kind == "numeric" else (0.0, 1.0)
    drawn = [base] if base else [held for _, held in stated[:MOST_STACKED]]
    return {
        "name": field["name"],
        "kind": kind,
        "parents": list(field.get("parents", ())),
        "description": field.get("description", ""),
        "base": base,
        "words": "written by a model" if kind == "text" else in_words(base) if base else "",
        "shapes": [_shape(each, ends) for each in drawn],
        "conditionals": [
            (_when(when), in_words(held), _shape(held, ends)) for when, held in stated[:MOST_CONDITIONALS]
        ],
        "stated": len(stated),
    }


def _when(when: Wire) -> str:
    return ", ".join(f"{apart(name)}={apart(value)}" for name, value in when.items())


def _ends(distributions: Sequence[Wire]) -> tuple[float, float]:
    """The range of a field over all its conditionals, so that their strips compare."""
    low = min((float(each["min"]) for each in distributions), default=0.0)
    high = max((float(each["max"]) for each in distributions), default=1.0)
    return low, high


def _shape(distribution: Wire, ends: tuple[float, float]) -> dict[str, Any]:
    """What is drawn of a distribution: boxes, or a strip with a band and a line."""
    if "weights" in distribution:
        return _boxes(distribution["weights"])
    low, high = ends
    width = (high - low) or 1.0

    def at(value: float) -> float:
        return round(min(max(100 * (value - low) / width, 0.0), 100.0), 1)

    stated = {key: float(distribution[key]) for key in ("min", "max", "mean", "sd")}
    left, right = (
        at(max(stated["mean"] - stated["sd"], stated["min"])),
        at(min(stated["mean"] + stated["sd"], stated["max"])),
    )
    return {
        "strip": (at(stated["min"]), round(at(stated["max"]) - at(stated["min"]), 1)),
        "band": (left, round(right - left, 1)),
        "mean": min(at(stated["mean"]), 99.0),
    }


def _boxes(weights: Mapping[str, float]) -> dict[str, Any]:
    most = max(weights.values(), default=0.0) or 1.0
    width = min(max(150 // max(len(weights), 1) - 1, 1), 9)
    told = [
        (f"{apart(value)} {percent(weight)}", max(round(TALLEST * max(weight, 0) / most), 1))
        for value, weight in weights.items()
    ]
    return {"boxes": told, "width": width}
