"""What `personalab.blueprint.display` promises, and with it every value that shows itself in a notebook."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from personalab.blueprint import display
from personalab.blueprint.model import Blueprint
from personalab.population import Population
from personalab.reports.report import report
from personalab.sampling.sample import sample

EVIL = "<script>alert('x')</script>"
BLUEPRINTS = sorted((Path(__file__).parents[2] / "data" / "blueprints").glob("*.*"))

# What JupyterLab's sanitizer leaves of an untrusted notebook's output, as far as it is used here; seen in Lab 4.6.
TAGS = {"div", "span", "table", "thead", "tbody", "tr", "td", "th", "caption", "p", "b", "em", "br", "code", "pre",
        "ul", "li", "details", "summary"}  # fmt: skip
ATTRIBUTES = {"style", "title", "open"}
STYLES = {"position", "left", "top", "width", "height", "max-width", "margin", "margin-left", "margin-right",
          "padding", "border", "border-left", "border-radius", "border-collapse", "background-color", "opacity",
          "display", "vertical-align", "text-align", "white-space", "line-height", "font-size", "font-weight", "color",
          "box-sizing", "overflow-wrap"}  # fmt: skip


class Parts(HTMLParser):
    """Collects tags, attributes and inline styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.styles: set[tuple[str, str]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one tag with its attributes, its styles a declaration each."""
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        declared = [part.split(":", 1) for part in (dict(attrs).get("style") or "").split(";") if part.strip()]
        self.styles.update((name.strip(), value.strip()) for name, value in declared)


def village(text: str = "plain", **more: Any) -> Blueprint:
    """A house, and the rooms that depend on it; every text in it is the same."""
    rooms = {"min": 1, "max": 9, "mean": 4, "sd": 1.5, "integer": True}
    fields = [
        {"name": "house", "kind": "categorical", "categorical": {"weights": {text: 0.75, "hut": 0.25}},
         "description": text},
        {"name": "rooms", "kind": "numeric", "parents": ["house"],
         "conditionals": [{"when": {"house": text}, "numeric": rooms},
                          {"when": {"house": "hut"}, "numeric": rooms | {"mean": 2, "sd": 0.5}}]},
        {"name": "tale", "kind": "text", "description": text},
    ]  # fmt: skip
    rule = {"name": "small", "lhs": "rooms", "op": "<=", "rhs": "9"}
    data = {"domain": text, "order": ["house", "rooms"], "fields": fields, "constraints": [rule], "rationale": text}
    return Blueprint.from_dict(data | {"sources": [text], "notes": [text]} | more)


def shown(text: str = "plain") -> dict[str, dict[str, str]]:
    """Blueprint, report and population as a notebook gets them."""
    bp = village(text)
    frame = sample(bp, 20, seed=1, method="iid")
    frame = frame.assign(tale=text, tagline=text, portrait=text, system_prompt=text, markdown=text)
    rep = report(frame, bp)
    values = {"blueprint": bp, "report": rep, "population": Population(text, bp, frame, rep)}
    return {name: value._repr_mimebundle_() for name, value in values.items()}


@pytest.mark.parametrize("name", ["blueprint", "report", "population"])
def test_what_is_shown_survives_in_an_untrusted_notebook(name: str) -> None:
    """No script, style sheet, drawing, id or class; only inline styles of plain values."""
    parts = Parts(shown()[name]["text/html"])
    assert parts.tags <= TAGS
    assert parts.attributes <= ATTRIBUTES
    assert {style for style, _ in parts.styles} <= STYLES
    assert [value for _, value in parts.styles if re.search(r"var\(|calc\(|currentColor|url\(|transform", value)] == []


@pytest.mark.parametrize("name", ["blueprint", "report", "population"])
def test_whatever_a_model_wrote_shows_as_text(name: str) -> None:
    """Domain, values, descriptions, rationale, sources, notes and texts are escaped wherever they stand."""
    html = shown(EVIL)[name]["text/html"]
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert Parts(html).attributes <= ATTRIBUTES


@pytest.mark.parametrize("name", ["blueprint", "report", "population"])
def test_every_display_has_a_text_that_stands_alone(name: str) -> None:
    """Where no HTML is shown, the text names the domain or prompt and the values."""
    text = shown("mill")[name]["text/plain"]
    assert text.startswith("mill: ")
    assert len(text.splitlines()) > 3
    assert "<" not in text.replace("<=", "")


def test_the_short_form_stays_short() -> None:
    """In a list, or in a message, a blueprint is one line as before."""
    assert repr(village()) == str(village()) == "Blueprint('plain', fields=['house', 'rooms', 'tale'], constraints=1)"


def test_a_blueprint_s_text_tells_everything() -> None:
    """Fields with sparks, cases, graph, constraints, rationale, sources and notes."""
    text = display.in_text(village().to_dict())
    assert text.splitlines() == [
        "plain: 3 fields, 1 constraint",
        "  field  kind         distribution",
        "  house  categorical  █▃ plain 75 %, hut 25 %",
        "  rooms  numeric      (given house: 2 stated)",
        "  tale   text         written by a model",
        "Graph",
        "  house → rooms",
        "Constraints",
        "  small: rooms <= 9",
        "Rationale",
        "  plain",
        "Sources",
        "  plain",
        "Notes",
        "  plain",
    ]


def test_words_from_right_to_left_leave_the_numbers_alone() -> None:
    """A value in Arabic, or one that turns what follows it round, is set apart from the shares beside it."""
    told = display.in_words({"weights": {"زيت": 0.25, "\u202eevil": 0.5, "Gold": 0.25}})
    assert told == "\u2068زيت\u2069 25 %, \u2068\u202eevil\u2069 50 %, Gold 25 %"


def test_a_weight_is_a_box_of_its_height_and_a_range_a_strip() -> None:
    """The greatest weight has the full height; a strip's band reaches from mean - sd to mean + sd."""
    html = display.in_html(village().to_dict())
    boxes = re.findall(r'title="(\w+ \d+ %)"[^>]*height:([\d.]+)px', html)
    assert boxes[:2] == [("plain 75 %", "22"), ("hut 25 %", "7")]
    # From 1 to 9, 4 ± 1.5 lies at 18.8 to 56.2 %.
    assert "left:18.8%;width:37.4%" in html


@pytest.mark.parametrize("values", [3, 50])
def test_sketches_stay_small(values: int) -> None:
    """Fifty values take no more room than three, and all of them are there."""
    weights = {f"v{i}": 1 / values for i in range(values)}
    field = {"name": "f", "kind": "categorical", "categorical": {"weights": weights}}
    html = display.in_html({"domain": "d", "fields": [field]})
    widths = [int(width) for width in re.findall(r'title="v\d+ [^"]*" style="[^"]*width:(\d+)px', html)]
    assert len(widths) == values
    assert sum(widths) + values <= 160


def test_columns_put_parents_first_and_survive_a_circle() -> None:
    """A child stands right of all its parents; a graph that goes round, or to nowhere, still has columns."""
    fields = [
        {"name": "c", "parents": ["a", "b"]},
        {"name": "b", "parents": ["a"]},
        {"name": "a"},
        {"name": "t", "kind": "text"},
    ]
    assert display.layers({"fields": fields}) == [["a"], ["b"], ["c"], ["t"]]
    circle = [{"name": "x", "parents": ["y"]}, {"name": "y", "parents": ["x", "nobody"]}]
    assert sorted(name for column in display.layers({"fields": circle}) for name in column) == ["x", "y"]


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_the_blueprints_that_come_with_it_can_be_shown(path: Path) -> None:
    """Every field and constraint is named, in both forms."""
    bp = Blueprint.load(path)
    bundle = bp._repr_mimebundle_()
    for part in [field.name for field in bp.fields] + [rule.name for rule in bp.constraints]:
        assert part in bundle["text/plain"]
        assert part in bundle["text/html"]


def test_a_share_outside_its_band_has_another_shape_in_a_report() -> None:
    """Outside is a diamond, inside a dot, each with a title that says so."""
    html = report(pd.DataFrame({"house": ["hut"] * 20}), village())._repr_html_()
    assert html.count('title="outside the band"') == html.count("◆</span>") == 2
    fine = report(pd.DataFrame({"house": ["plain"] * 15 + ["hut"] * 5}), village())._repr_html_()
    assert fine.count('title="inside the band"') == 2


def test_a_population_shows_its_first_twelve() -> None:
    """More say how many there are."""
    bundle = shown()["population"]
    for text in bundle.values():
        assert "12 of 20 personas are shown." in text
