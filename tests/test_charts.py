"""What `personalab.charts` promises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

from personalab import charts
from personalab.blueprint.model import Blueprint, Categorical, Numeric
from personalab.charts import style
from personalab.charts.dependencies import COLOURS, SHAPES
from personalab.charts.style import as_svg
from personalab.errors import RequestError
from personalab.reports.report import report
from personalab.sampling.sample import sample
from tests.hostile import HOSTILE, SENTINEL

EVIL = "<script>alert('x')</script>"


def places(values: int = 3, **more: Any) -> Blueprint:
    """A place, the hours that depend on it, and two texts."""
    weights = {f"v{i}": 1 / values for i in range(values)}
    numeric = {"min": 0, "max": 40, "mean": 10, "sd": 5, "integer": True}
    fields = [
        {"name": "place", "kind": "categorical", "categorical": {"weights": weights}, "description": EVIL},
        {"name": "mood", "kind": "categorical", "categorical": {"weights": {"calm": 0.5, "loud": 0.5}}},
        {"name": "hours", "kind": "numeric", "numeric": numeric},
        {"name": "name", "kind": "text"},
        {"name": "story", "kind": "text"},
    ]
    data = {"domain": "places", "order": ["place", "mood", "hours"], "fields": fields}
    return Blueprint.from_dict(data | more)


def people(n: int = 12, values: int = 3) -> pd.DataFrame:
    """Written personas; everyone is calm, which chance does not explain."""
    frame = pd.DataFrame({"place": [f"v{i % values}" for i in range(n)], "mood": "calm", "hours": np.arange(n) % 20})
    frame.index = pd.Index([f"p_{i + 1:02d}" for i in range(n)], name="persona_id")
    frame = frame.assign(name=[f"Ann {i}" for i in range(n)], story=[f"tale {i}" for i in range(n)])
    return frame.assign(tagline="sings", portrait="Calm.", system_prompt="You are Ann.", markdown="# Ann")


def written(frame: pd.DataFrame, bp: Blueprint, **more: str) -> str:
    """The page of a population."""
    return charts.page(frame, bp, report(frame, bp), **more)


def rows_of(chart: Any, having: str = "") -> list[dict[str, Any]]:
    """What a chart draws, as rows: of its only data set, or of the one whose rows have a key."""
    found = [list(rows) for rows in chart.to_dict()["datasets"].values()]
    [rows] = [rows for rows in found if not having or having in rows[0]]
    return rows


def marks_of(spec: dict[str, Any], shared: dict[str, Any] | None = None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every mark of a specification, and what it encodes."""
    encoding = (shared or {}) | spec.get("encoding", {})
    if "mark" in spec:
        yield spec["mark"], encoding
    for part in [*spec.get("layer", ()), *spec.get("vconcat", ()), *([spec["spec"]] if "spec" in spec else [])]:
        yield from marks_of(part, encoding)


def size_of(chart: Any) -> tuple[float, float]:
    """Width and height of the drawing in pixels."""
    width, height = re.search(r'viewBox="0 0 (\S+) (\S+)"', as_svg(chart)).groups()  # type: ignore[union-attr]
    return float(width), float(height)


class Tags(HTMLParser):
    """Collects the tags of a document with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one tag."""
        self.found.append((tag, dict(attrs)))


def test_every_cell_is_drawn_once_in_the_blueprints_order() -> None:
    """A row a value, panel by panel, with requested, achieved and band."""
    rows = rows_of(charts.marginals(report(people(), places())), "value")
    assert [(row["field"], row["value"]) for row in rows] == [
        ("place", "v0"), ("place", "v1"), ("place", "v2"), ("mood", "calm"), ("mood", "loud"),
    ]  # fmt: skip
    assert rows[3]["achieved"] == "100 % (12 of 12)"
    assert rows[3]["low"] < rows[3]["at_requested"] == 0.5 < rows[3]["high"] < rows[3]["at_achieved"]


def test_a_share_outside_its_band_differs_in_colour_and_shape() -> None:
    """Both encodings read the same column, so that colour alone never carries the message."""
    chart = charts.marginals(report(people(), places()))
    assert [row["where"] for row in rows_of(chart, "value")] == ["inside the band"] * 3 + ["outside the band"] * 2
    dots = chart.to_dict()["layer"][2]["encoding"]
    assert dots["color"]["field"] == dots["shape"]["field"] == "where"
    assert dots["shape"]["scale"]["range"] == ["circle", "diamond"]


def test_the_caption_counts_the_shares_outside() -> None:
    """The title's second line counts them and says what chance allows; the description repeats it."""
    chart = charts.marginals(report(people(), places())).to_dict()
    assert chart["title"]["subtitle"][0] == "2 of 5 shares outside the band (chance alone puts up to 5 % there)"
    assert "2 of 5 shares outside" in chart["description"]


def test_every_panel_states_its_distance_and_both_yardsticks() -> None:
    """A field's name stands beside TVD, limit and what chance gives."""
    heads = rows_of(charts.marginals(report(people(), places())), "told")
    assert heads[1] == {"row": "1: mood", "told": "TVD 0.5 (at best 0, 0.11 by chance)"}


def test_the_fidelity_chart_is_an_ordinary_one() -> None:
    """It can be sized, laid over, and drawn for one field alone, in Altair's own words."""
    rep = report(people(), places())
    chart = charts.marginals(rep).properties(width=300)
    assert chart.to_dict()["width"] == 300
    assert type(chart + charts.marginals(rep, "mood")) is alt.LayerChart
    assert {row["field"] for row in rows_of(charts.marginals(rep, "mood"), "value")} == {"mood"}
    with pytest.raises(RequestError, match="'moon' is no root field"):
        charts.marginals(rep, "moon")


@pytest.mark.parametrize("values", [3, 50])
def test_the_chart_draws_at_any_number_of_values(values: int) -> None:
    """The drawing grows with the values and stays within a notebook's width."""
    chart = charts.marginals(report(people(100, values), places(values)))
    width, height = size_of(chart)
    assert width < 700
    assert height > values * 18


def test_a_field_may_be_called_like_a_word_of_javascript() -> None:
    """A numeric field's panel is drawn, under its own name, whatever the name means to a browser."""
    frame = people()[["hours"]].rename(columns={"hours": "constructor"})
    field = places()["hours"].model_dump(mode="json", exclude_none=True) | {"name": "constructor"}
    bp = Blueprint.from_dict({"domain": "races", "order": ["constructor"], "fields": [field]})
    assert ">constructor" in as_svg(charts.numerics(report(frame, bp)))


def test_a_chart_of_numbers_has_requested_and_achieved_moments() -> None:
    """Requested mean and sd span the bar, achieved ones the line."""
    rep = report(people(), places())
    [row] = rows_of(charts.numerics(rep))
    assert (row["low"], row["at_requested"], row["high"]) == (5, 10, 15)
    assert row["at_achieved"] == pytest.approx(5.5)
    alone = charts.numerics(rep, "hours").properties(width=300)
    assert (type(alone), alone.to_dict()["width"], rows_of(alone)) == (alt.LayerChart, 300, [row])


def test_a_report_without_such_fields_has_nothing_to_draw() -> None:
    """Roots and numbers are each needed for their chart."""
    bp = places()
    with pytest.raises(RequestError, match="no root field"):
        charts.marginals(report(people()[["hours"]], bp))
    with pytest.raises(RequestError, match="no numeric field"):
        charts.numerics(report(people()[["place"]], bp))


def test_a_page_runs_nothing_and_asks_for_nothing() -> None:
    """No script, no link, no image, no address outside the document, and a policy that forbids them."""
    parser = Tags()
    parser.feed(written(people(), places()))
    tags = {tag for tag, _ in parser.found}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [attrs for _, attrs in parser.found if {"src", "href", "xlink:href", "onclick", "onload"} & set(attrs)]
    policy = next(attrs["content"] for tag, attrs in parser.found if "http-equiv" in attrs)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_whatever_a_model_wrote_is_escaped() -> None:
    """Names, texts, values, descriptions, rationale, sources, notes, prompt and model show as text."""
    bp = places(rationale=EVIL, sources=[EVIL], notes=[EVIL], domain=EVIL)
    bp = bp.replace("mood", weights={EVIL: 0.5, "calm": 0.5})
    frame = people().assign(mood=EVIL, name=EVIL, story=EVIL, tagline=EVIL, portrait=EVIL, system_prompt=EVIL)
    shown = written(frame, bp, prompt=EVIL, model=EVIL)
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") > 12 * 6


def test_a_page_says_who_wrote_it_and_that_numbers_are_estimates() -> None:
    """Model and sources are named, and their absence too."""
    shown = written(people(), places(sources=["Census 2020"]), prompt="12 neighbours", model="ollama/qwen3")
    assert "<h1>12 neighbours</h1>" in shown
    assert "written by ollama/qwen3" in shown
    assert "unless a source below gives them" in shown
    assert "<li>Census 2020</li>" in shown
    bare = written(people(), places())
    assert "was not recorded" in bare
    assert "no source is given" in bare


def test_a_persona_is_a_card_with_its_prompt_folded_away() -> None:
    """Name, tagline, values, texts and portrait stand open, the system prompt in a fold."""
    shown = written(people(1), places())
    for part in ("<h3>Ann 0</h3>", "p_01", "<em>sings</em>", "<dt>place</dt><dd>v0</dd>", "tale 0", "Calm."):
        assert part in shown
    assert "<details><summary>System prompt</summary><pre>You are Ann.</pre></details>" in shown


def test_a_sampled_frame_makes_a_page_without_texts() -> None:
    """Before anything is written, a card is headed by its id and says what is drawn."""
    shown = written(people(2)[["place", "hours"]].astype({"hours": "Int64"}), places())
    assert "<h3>p_01</h3>" in shown
    assert "<dt>hours</dt><dd>1</dd>" in shown
    assert "System prompt" not in shown


def test_a_missing_text_leaves_no_word_behind() -> None:
    """A persona that nobody wrote yet shows neither nan nor NA."""
    frame = people(3)
    frame[["name", "story"]] = frame[["name", "story"]].astype("string")
    frame.loc["p_02", ["name", "story"]] = pd.NA
    card = written(frame, places()).split("<article>")[2]
    assert "<h3>p_02</h3>" in card
    assert not re.search(r"\bnan\b|NA\b", card)


def test_a_large_population_shows_its_first_200() -> None:
    """More would make the page too large to open; it says how many there are."""
    shown = written(people(1201), places())
    assert shown.count("<article>") == 200
    assert "The first 200 of 1,201 are shown." in shown
    assert len(shown) < 1_000_000


def test_a_page_adapts_to_dark_paper_and_narrow() -> None:
    """The style sheet has a case for each, and the drawing's ink follows the theme."""
    shown = written(people(), places())
    for case in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem"):
        assert case in shown
    drawing = shown.split("</style>")[1]
    assert 'fill="currentColor"' in drawing
    assert not re.findall(r'<text[^>]*fill="#', drawing)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_a_contrast_of_at_least_4_5_in_both_themes() -> None:
    """Ink and soft ink against paper and panel, light and dark."""
    themes = re.findall(r":root \{(.*?)\}", written(people(1), places()))
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for text in ("ink", "soft", "mark"):
            for ground in ("paper", "panel"):
                assert contrast(colours[text], colours[ground]) >= 4.5


def test_a_distribution_is_told_in_words() -> None:
    """Range, mean and spread, or shares; many values end in how many more there are."""
    hours = Numeric(min=1, max=20, mean=6, sd=4.5, integer=True)
    assert charts.in_words(hours) == "1 to 20, mean 6, sd 4.5, whole numbers"
    assert charts.in_words(Categorical(weights={"a": 0.25, "b": 0.75})) == "a 25 %, b 75 %"
    many = charts.in_words(Categorical(weights={f"v{i}": 0.02 for i in range(50)}))
    assert many.endswith("v11 2 % and 38 more values")


def contrast(one: str, other: str) -> float:
    """The ratio of luminances that WCAG 2 asks about."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def over(colour: str, ground: str, alpha: float) -> str:
    """A colour with a ground shining through it."""
    mixed = [round(alpha * int(colour[i : i + 2], 16) + (1 - alpha) * int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{each:02x}" for each in mixed)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_and_text_stand_out_in_both_themes(theme: str) -> None:
    """Marks have a contrast of 3, text one of 4.5, also on the deepest colour that is written on."""
    paper, text = style.PAPER[theme]
    marks = (style.BAND, style.OUTSIDE, style.MORE, style.LESS, *COLOURS.values())
    assert [colour for colour in marks if contrast(colour, paper) < 3] == []
    grounds = [paper, *(over(colour, paper, style.FULL) for colour in (style.MORE, style.LESS))]
    assert [ground for ground in grounds if contrast(text, ground) < 4.5] == []


def test_a_drawing_takes_the_page_s_ink_or_brings_its_own_paper() -> None:
    """Inside a page text is currentColor on nothing; as a picture the drawing has paper and ink for both themes."""
    bundle = charts.marginals(report(people(), places()))._repr_mimebundle_()
    spec, svg = bundle["application/vnd.vegalite.v5+json"], bundle["image/svg+xml"]
    assert (spec["config"]["background"], spec["config"]["axis"]["labelColor"]) == ("transparent", "currentColor")
    assert spec["usermeta"]["embedOptions"] == {"renderer": "svg"}
    assert svg.count("svg:root{") == 2
    assert "prefers-color-scheme:dark" in svg


def test_a_picture_has_room_for_wider_letters() -> None:
    """Its reader's font may be wider than the one it was measured in, and what grows beyond its edge is cut off."""
    chart = charts.marginals(report(people(), places()))
    measured = re.search(r'width="(\d+)"', as_svg(chart)).group(1)  # type: ignore[union-attr]
    pictured = re.search(r'width="(\d+)"', chart._repr_mimebundle_()["image/svg+xml"]).group(1)  # type: ignore[union-attr]
    assert int(pictured) >= int(measured) + 0.1 * (style.LABEL + 5.5 * style.LONGEST)  # 5.5 pixels a letter


def test_a_long_caption_is_broken_into_lines() -> None:
    """A rule of two hundred letters makes the chart no wider."""
    bp = places()
    rule = {"name": "far", "lhs": "age", "op": "<=", "rhs": " + ".join(["10"] * 40)}
    chart = charts.diff(bp, bp.replace(constraints=[rule]))
    assert max(map(len, chart.title.subtitle)) <= style.LONGEST
    assert rule["rhs"] in chart.description


def test_fifty_names_do_not_overlap() -> None:
    """Along the top of a narrow table the letters shrink to the room there is."""
    bp = town(50)
    chart = charts.crossed(sample(bp, 300, seed=1), bp, "district", by="age").to_dict()
    axis = chart["layer"][0]["encoding"]["x"]["axis"]
    assert axis["labelFontSize"] <= style.WIDTH / 50
    assert axis["labelAngle"] == -90


def test_a_correlation_of_nothing_has_no_sign() -> None:
    """It reads 0.00 and not -0.00."""
    frame = pd.DataFrame({"income": [1.0, 2.0, 3.0, 2.0] * 50, "age": [30.0, 31.0, 30.0, 29.0] * 50})
    frame.loc[0, "age"] = 29.9
    assert "Correlation 0.00" in charts.crossed(frame, town(), "income", by="age").title.subtitle[0]


def test_charts_show_without_a_network() -> None:
    """A notebook gets a chart as Vega-Lite for Lab, as a picture and as words, and no script to fetch."""
    bundle = charts.marginals(report(people(), places()))._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/svg+xml", "text/plain"}
    assert "place" in bundle["image/svg+xml"]
    assert bundle["text/plain"].startswith("places: requested and achieved shares")


def test_charts_of_ones_own_show_without_a_network_too() -> None:
    """After `offline`, any Altair chart comes in the same three forms, its description as the text."""
    charts.offline()
    chart = alt.Chart(pd.DataFrame({"x": [1]}), description="one dot").mark_point().encode(x="x:Q")
    bundle = chart._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/svg+xml", "text/plain"}
    assert bundle["text/plain"] == "one dot"


def test_a_chosen_renderer_stays() -> None:
    """Whoever has chosen how Altair draws keeps that choice."""
    with alt.renderers.enable("json"):
        charts.marginals(report(people(), places()))
        assert alt.renderers.active == "json"


def town(values: int = 3, constraints: Any = ()) -> Blueprint:
    """A district, the way to work that depends on it and on age, income and its double, and a text."""
    names = [f"v{i}" for i in range(values)]
    ways = {"bus": 0.5, "car": 0.3, "foot": 0.2}
    even = dict.fromkeys(names, 1 / values)
    number = {"min": 20, "max": 70, "mean": 40, "sd": 10, "integer": True}
    money = {"min": 0, "max": 90, "mean": 30, "sd": 12}
    fields = [
        {"name": "district", "kind": "categorical", "categorical": {"weights": even}},
        {"name": "age", "kind": "numeric", "numeric": number},
        {"name": "income", "kind": "numeric", "numeric": money},
        {"name": "way", "kind": "categorical", "parents": ["district", "age"], "categorical": {"weights": ways},
         "conditionals": [{"when": {"district": "v0"}, "categorical": {"weights": ways | {"bus": 0.7, "car": 0.1}}},
                          {"when": {"age": "60.."}, "categorical": {"weights": ways | {"bus": 0.1, "foot": 0.6}}}]},
        {"name": "story", "kind": "text", "parents": ["way"]},
    ]  # fmt: skip
    order = ["district", "age", "income", "way"]
    return Blueprint.from_dict({"domain": "town", "order": order, "fields": fields, "constraints": list(constraints)})


def drawn_of(values: int) -> dict[str, Any]:
    """One of every chart."""
    bp = town(values, [{"name": "cap", "lhs": "income", "op": "<=", "rhs": "age + 40"}])
    frame = sample(bp, 400, seed=1, method="iid").assign(story=[f"tale {i // 2} of {i % 5}" for i in range(400)])
    after = bp.replace("age", mean=45).replace("district", weights={f"v{i}": 2 * (i + 1) for i in range(values)})
    pairs = [("way", "district"), ("district", "way"), ("age", "district"), ("way", "age"), ("income", "age")]
    return {
        "marginals": charts.marginals(report(frame, bp)),
        "numerics": charts.numerics(report(frame, bp)),
        **{f"{one} by {other}": charts.crossed(frame, bp, one, by=other) for one, other in pairs},
        "conditionals": charts.conditionals(frame, bp, "way"),
        "dependencies": charts.dependencies(bp),
        "diversity": charts.diversity(frame, bp),
        "diff": charts.diff(bp, after),
    }


@pytest.mark.parametrize("values", [3, 50])
def test_every_chart_is_described_valid_and_fits_a_notebook(values: int) -> None:
    """Each has a title, a caption, a description that repeats them, a tooltip on every mark, and 700 pixels at most."""
    for name, chart in drawn_of(values).items():
        spec = chart.to_dict(validate=True)
        assert spec["title"]["subtitle"], name
        assert spec["description"].startswith(spec["title"]["text"]), name
        assert [mark for mark, encoding in marks_of(spec) if "tooltip" not in encoding] == [], name
        assert size_of(chart)[0] <= 700, name
        assert len(json.dumps(spec)) < 200_000, name


@pytest.mark.parametrize("values", [3, 50])
def test_every_chart_is_an_ordinary_one(values: int) -> None:
    """It is sized and laid over in Altair's own words; several panels with axes of their own stand beside others."""
    for name, chart in drawn_of(values).items():
        assert isinstance((chart | chart).to_dict(validate=False), dict), name
        if name in ("numerics", "diff"):
            continue
        assert type(chart) is alt.LayerChart, name
        assert chart.properties(width=300).to_dict(validate=False)["width"] == 300, name
        assert (chart + chart).to_dict(validate=False)["layer"], name


def test_what_lies_behind_has_an_edge_that_stands_out() -> None:
    """Whatever other marks shine through has a line of the full colour around it."""
    for name, chart in drawn_of(3).items():
        pale = [mark for mark, _ in marks_of(chart.to_dict()) if mark.get("fillOpacity", 1) < 1]
        assert [mark for mark in pale if mark.get("stroke") != style.BAND] == [], name
        opaque = [mark for mark, _ in marks_of(chart.to_dict()) if mark["type"] != "text"]
        assert [mark for mark in opaque if mark.get("opacity", 1) < 1] == [], name


def test_a_crossing_sums_to_one_a_row_whatever_the_other_kind() -> None:
    """Shares within categories and within stretches of a number are of that row's people."""
    bp = town()
    frame = sample(bp, 300, seed=2)
    for other in ("district", "age"):
        rows = pd.DataFrame(rows_of(charts.crossed(frame, bp, "way", by=other)))
        assert rows.groupby("by")["share"].sum().to_numpy() == pytest.approx(1, abs=2e-4)
        assert rows["people"].sum() == 300


def test_what_is_drawn_does_not_grow_with_the_people() -> None:
    """A thousand times the people give no more rows than the table or grid has cells."""
    bp = town()
    frame = sample(bp, 200_000, seed=3)
    assert len(rows_of(charts.crossed(frame, bp, "way", by="district"))) == 9
    assert len(rows_of(charts.crossed(frame, bp, "age", by="way"))) == 3
    assert len(rows_of(charts.crossed(frame, bp, "income", by="age"))) <= 28 * 28


def test_a_spread_has_percentiles_and_mean() -> None:
    """A number within a category is told by its 5th to 95th percentile."""
    frame = pd.DataFrame({"district": ["v0"] * 101, "age": np.arange(101)})
    [row] = rows_of(charts.crossed(frame, town(), "age", by="district"))
    assert [row[key] for key in ("q5", "q25", "q50", "q75", "q95", "at_mean")] == [5, 25, 50, 75, 95, 50]


def test_what_cannot_be_crossed_is_refused() -> None:
    """Texts, unknown fields, a field by itself, absent columns and strange values each have their sentence."""
    bp, frame = town(), sample(town(), 20, seed=1)
    with pytest.raises(RequestError, match="'story' is a text"):
        charts.crossed(frame, bp, "story", by="way")
    with pytest.raises(RequestError, match="'hat' is no field"):
        charts.crossed(frame, bp, "way", by="hat")
    with pytest.raises(RequestError, match="by itself says nothing"):
        charts.crossed(frame, bp, "way", by="way")
    with pytest.raises(RequestError, match="no column 'age'"):
        charts.crossed(frame.drop(columns="age"), bp, "way", by="age")
    with pytest.raises(RequestError, match="'boat', which is no value"):
        charts.crossed(frame.assign(way="boat"), bp, "way", by="district")


def test_a_frame_read_from_a_file_is_crossed_too() -> None:
    """Strings instead of categories draw the same."""
    bp = town()
    frame = sample(bp, 50, seed=1)
    read = frame.astype({"district": str, "way": str})
    assert rows_of(charts.crossed(read, bp, "way", by="district")) == rows_of(
        charts.crossed(frame, bp, "way", by="district")
    )


def test_a_child_s_cells_outside_the_band_are_outlined_and_named() -> None:
    """Where everyone takes the bus, the cells point the way they are off, and the caption names the worst."""
    bp = town()
    frame = sample(bp, 300, seed=1)
    frame["way"] = frame["way"].where(frame["district"] != "v0", "foot")
    chart = charts.conditionals(frame, bp, "way")
    cells = {(row["where"].split(" ")[0], row["value"]): row for row in rows_of(chart)}
    assert cells["district=v0", "foot"]["verdict"] == "more than the band"
    assert cells["district=v0", "bus"]["verdict"] == "less than the band"
    assert cells["district=v0", "foot"]["points"] == "+80"
    assert "foot +80 points where district=v0" in chart.title.subtitle[1]
    shapes = [
        layer["encoding"]["shape"]["scale"]["range"]
        for layer in chart.to_dict()["layer"]
        if "shape" in layer["encoding"]
    ]
    assert shapes == [["triangle-up", "triangle-down"]]


def test_only_categories_with_parents_have_such_cells() -> None:
    """Roots and numbers are refused, with the fields that would do."""
    with pytest.raises(RequestError, match="no categorical field with parents") as refused:
        charts.conditionals(sample(town(), 20, seed=1), town(), "district")
    assert "way" in "".join(refused.value.__notes__)


def test_a_parent_stands_to_the_left_of_its_child() -> None:
    """Every field once, each kind with a shape of its own, arrows from left to right, ties for constraints."""
    bp = town(3, [{"name": "cap", "lhs": "income", "op": "<=", "rhs": "age + 40"}])
    chart = charts.dependencies(bp)
    at = {row["field"]: row for row in rows_of(chart, "field")}
    assert list(at) == [field.name for field in bp.fields]
    assert all(at[parent]["x"] < at[field.name]["x"] for field in bp.fields for parent in field.parents)
    lines = [row["what"] for rows in chart.to_dict()["datasets"].values() for row in rows if row.get("at") == 0]
    assert sorted(lines) == ["age → way", "cap: income <= age + 40", "district → way", "way → story"]
    assert len(set(SHAPES.values())) == 3


def test_fields_do_not_cover_each_other() -> None:
    """Fourteen fields in any shape of graph have places of their own, a name's height apart."""
    parents = {i: [f"f{j}" for j in range(max(0, i - 2), i)] if i % 3 else [] for i in range(14)}
    fields = [
        {"name": f"f{i}", "kind": "categorical", "categorical": {"weights": {"a": 1}}, "parents": parents[i]}
        for i in range(14)
    ]
    bp = Blueprint.from_dict({"domain": "many", "order": [f["name"] for f in fields], "fields": fields})
    places = [(row["x"], row["y"]) for row in rows_of(charts.dependencies(bp), "field")]
    near = [(a, b) for i, a in enumerate(places) for b in places[:i] if abs(a[0] - b[0]) < 30 and abs(a[1] - b[1]) < 25]
    assert near == []


def test_near_duplicates_are_named() -> None:
    """The caption and a diamond name the pair; the histogram holds every pair once."""
    frame = pd.DataFrame({"story": ["sings at night", "paints", "sings at night", "walks"]}, index=list("abcd"))
    chart = charts.diversity(frame, town())
    assert chart.title.subtitle == ["4 personas, 6 pairs, half of them below 0.02", "Near-duplicates: a and c (1)"]
    assert sum(row["pairs"] for row in rows_of(chart, "pairs")) == 6
    assert rows_of(chart, "pair")[0]["pair"] == "a and c"
    with pytest.raises(RequestError, match="fewer than two personas have texts"):
        charts.diversity(frame.head(1), town())


def test_a_diff_points_from_before_to_after() -> None:
    """Moved shares and numbers are drawn, everything else is listed, and order does not matter."""
    before = town()
    after = before.replace("age", mean=45, sd=8).replace("way", weights={"bus": 0.4, "car": 0.4, "foot": 0.2})
    after = after.replace("story", description="a tale").replace(sources=["Census"])
    chart = charts.diff(before, after)
    assert [(row["value"], row["share"], row["went"]) for row in rows_of(chart, "share")] == [
        ("bus", "50 % → 40 %", "less than before"), ("car", "30 % → 40 %", "more than before"),
    ]  # fmt: skip
    [row] = rows_of(chart, "old_mean")
    assert (row["old_mean"], row["new_mean"], row["new_low"]) == (40, 45, 37)
    assert chart.title.subtitle[0] == "3 shares and numbers moved, 2 other changes"
    assert chart.title.subtitle[-2:] == ["description of story: another text", "sources: changed"]


def test_equal_blueprints_differ_in_nothing() -> None:
    """The chart is empty and says so."""
    assert charts.diff(town(), town()).title.subtitle == ["Nothing differs"]


def test_a_diff_lists_what_no_arrow_shows() -> None:
    """New and removed fields, parents, conditionals and constraints each have a sentence."""
    before = town(3, [{"name": "cap", "lhs": "income", "op": "<=", "rhs": "age"}])
    data = town().to_dict()
    data["fields"] = [field for field in data["fields"] if field["name"] != "income"]
    data["fields"].append({"name": "hat", "kind": "text"})
    data["fields"][2]["parents"] = ["district"]
    data["fields"][2]["conditionals"].pop()
    data["order"].remove("income")
    listed = charts.diff(before, Blueprint.from_dict(data)).title.subtitle
    for sentence in (
        "new field: hat", "removed field: income", "parents of way: district, age → district",
        "way, removed conditional: age=60..", "constraint cap: income <= age → none", "order: changed",
    ):  # fmt: skip
        assert sentence in listed


def named(names: Sequence[str], values: Sequence[str] = ("v0", "v1", "v2")) -> Iterator[tuple[str, Any]]:
    """One of every chart, of a blueprint with these six names, of which the domain's is first, and values."""
    domain, district, age, income, way, cap = names
    total = len(values) * (len(values) + 1) / 2
    weights = {value: (at + 1) / total for at, value in enumerate(values)}
    number = {"min": 0, "max": 90, "mean": 30, "sd": 12}
    child = {"kind": "categorical", "parents": [district, age], "categorical": {"weights": weights}}
    fields = [
        {"name": district, "kind": "categorical", "categorical": {"weights": weights}, "description": values[0]},
        {"name": age, "kind": "numeric", "numeric": number | {"integer": True}},
        {"name": income, "kind": "numeric", "numeric": number},
        {"name": way, **child, "conditionals": [{"when": {district: values[0]}, "categorical": {"weights": weights}}]},
        {"name": "story", "kind": "text"},
    ]
    rule = {"name": cap, "lhs": "1", "op": "<=", "rhs": "2"}
    data = {"domain": domain, "order": [district, age, income, way], "fields": fields, "constraints": [rule]}
    bp = Blueprint.from_dict(data)
    columns = {district: np.resize(values, 200), age: np.arange(200) % 60, income: np.arange(200) % 9.5, way: values[0]}
    frame = pd.DataFrame(columns | {"story": [f"tale {i // 2} of {i % 5}" for i in range(200)]})
    frame.index = pd.Index([f"{values[i % len(values)]} {i}" for i in range(200)])
    after = bp.replace(age, mean=45).replace(district, weights=dict.fromkeys(values, 1 / len(values)))
    rep = report(frame, bp)
    yield "marginals", charts.marginals(rep)
    yield "numerics", charts.numerics(rep)
    yield "one of the numerics", charts.numerics(rep, age)
    for field, by in [(way, district), (way, age), (age, district), (income, age)]:
        yield f"{names.index(field)} by {names.index(by)}", charts.crossed(frame, bp, field, by=by)
    yield "conditionals", charts.conditionals(frame, bp, way)
    yield "dependencies", charts.dependencies(bp)
    yield "diversity", charts.diversity(frame, bp)
    yield "diff", charts.diff(bp, after)
    yield "renamed", charts.diff(bp, after.replace(domain=names[-1], sources=list(values)))


TAME = ("domain", "district", "age", "income", "way", "cap")
LITERAL = ("values", "domain", "title", "text", "subtitle", "description")  # where Vega takes a text as it is


def strings_of(vega: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All strings of a specification of Vega, with the key they stand under; where a signal stands, with its name."""
    if isinstance(vega, dict):
        for name, part in vega.items():
            yield "key", name
            yield from strings_of(part, key if key == "values" else name)
    elif isinstance(vega, list):
        for part in vega:
            yield from strings_of(part, key)
    elif isinstance(vega, str):
        yield key, vega


@cache
def tame() -> dict[str, set[str]]:
    """Every string but the literal ones that a chart of harmless names has in Vega, its expressions among them."""
    short, long = named(TAME), named(TAME, [f"v{i}" * 50 for i in range(3)])  # the axes of long names stand upright
    both = [
        (name, grammar_of(vl_convert.vegalite_to_vega(chart.to_dict(validate=False))))
        for name, chart in (*short, *long)
    ]
    return {name: set().union(*(found for each, found in both if each == name)) for name, _ in both}


def grammar_of(vega: dict[str, Any]) -> set[str]:
    """The strings that are no data, without the names that Altair makes of the data."""
    found = {text for key, text in strings_of(vega) if key not in LITERAL}
    return {re.sub("data-[0-9a-f]{32}", "data", text) for text in found}


@pytest.mark.parametrize("at", range(0, len(HOSTILE), 6))
def test_no_name_becomes_part_of_an_expression(at: int) -> None:
    """Whatever the names and values, Vega's expressions and keys are those of harmless ones, and it draws."""
    first, *others = (HOSTILE * 2)[at : at + 6]
    for name, chart in named([*others, first], [first, *others]):
        vega = vl_convert.vegalite_to_vega(chart.to_dict(validate=False))
        assert grammar_of(vega) <= tame()[name], name
        drawing = vl_convert.vega_to_svg(vega)
        ElementTree.fromstring(drawing)
        assert SENTINEL not in drawing, name


def test_a_chart_of_all_hostile_values_draws_each() -> None:
    """None is lost or merged with another, and none computes."""
    drawn = dict(named(TAME, HOSTILE))
    cells = [row for row in rows_of(drawn["marginals"], "value") if row["field"] == "district"]
    assert [row["value"] for row in cells] == list(HOSTILE)
    texts = "".join(element.text or "" for element in ElementTree.fromstring(as_svg(drawn["marginals"])).iter())
    assert [value for value in HOSTILE if value[:20] not in texts] == []


@pytest.mark.parametrize("sign", ["\0", "\x0b", "\x1b", "\ufffe", "\uffff", "\ud800"])
def test_what_no_drawing_can_hold_is_shown_as_a_picture_of_it(sign: str) -> None:
    """No chart has a control character, which would end the process, or half a character."""
    frame = pd.DataFrame({"story": ["sings at night", "sings at night"]})
    frame.index = pd.Index([f"a{sign}b", f"c{sign}"], dtype=object)
    for chart in (charts.diversity(frame, town()), alt.Chart(alt.Data(values=[{"x": f"a{sign}b"}])).mark_text()):
        drawing = chart._repr_mimebundle_()["image/svg+xml"]
        assert sign not in drawing + json.dumps(chart._repr_mimebundle_(), ensure_ascii=False)
        ElementTree.fromstring(drawing)
    assert as_svg(charts.diversity(frame, town())).count("<svg") == 1


def test_no_chart_has_too_many_marks_to_draw() -> None:
    """Of thousands of values those that matter are drawn, and the caption says so; Altair would refuse them all."""
    bp = Blueprint.from_dict(
        {"domain": "crowded", "order": list("abcdef"), "fields": [wide(name) for name in "abcdef"]}
    )
    frame = pd.DataFrame({name: [f"{name}{i % 900}" for i in range(2000)] for name in "abcdef"})
    after = bp
    for name in "abcdef":
        after = after.replace(name, weights={f"{name}{i}": i + 1 for i in range(900)})
    drawn = [
        charts.marginals(report(frame, bp)), charts.crossed(frame, bp, "a", by="b"), charts.diff(bp, after),
        charts.conditionals(frame, bp, "f"),
    ]  # fmt: skip
    told = ["1,000 of 4,500 shares", "2,500 of 810,000 cells", "1,000 of 5,400 of these", "100 of 900 columns"]
    for chart, sentence in zip(drawn, told, strict=True):
        assert sum(len(rows) for rows in chart.to_dict()["datasets"].values()) <= 5000
        assert any(line.startswith(f"{sentence} are drawn") for line in chart.title.subtitle), chart.title.subtitle


def wide(name: str) -> dict[str, Any]:
    """A field of 900 values; the last one depends on the first."""
    field = {
        "name": name,
        "kind": "categorical",
        "categorical": {"weights": {f"{name}{i}": 1 / 900 for i in range(900)}},
    }
    return field | ({"parents": ["a"]} if name == "f" else {})


def test_a_graph_of_hundreds_of_fields_draws_those_with_the_most_neighbours() -> None:
    """Arrows become straighter as there are more of them, and the caption says what is left out."""
    names = [f"f{i}" for i in range(150)]
    fields = [
        {
            "name": name,
            "kind": "categorical",
            "categorical": {"weights": {"a": 1}},
            "parents": names[max(0, at - 8) : at],
        }
        for at, name in enumerate(names)
    ]
    chart = charts.dependencies(Blueprint.from_dict({"domain": "long", "order": names, "fields": fields}))
    assert max(len(rows) for rows in chart.to_dict()["datasets"].values()) <= 5000
    assert "100 of 150 fields are drawn: those with the most neighbours" in chart.title.subtitle
