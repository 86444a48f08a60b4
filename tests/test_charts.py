"""What `personalab.charts` promises."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from personalab import charts
from personalab.blueprint import Blueprint, Categorical, Numeric
from personalab.errors import RequestError
from personalab.fidelity import report

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


def rows_of(chart: alt.FacetChart) -> list[dict[str, Any]]:
    """What a chart draws, as rows."""
    [rows] = chart.to_dict()["datasets"].values()
    return list(rows)


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
    rows = rows_of(charts.marginals(report(people(), places())))
    assert [(row["field"], row["value"]) for row in rows] == [
        ("place", "v0"), ("place", "v1"), ("place", "v2"), ("mood", "calm"), ("mood", "loud"),
    ]  # fmt: skip
    assert rows[3]["achieved"] == "100 % (12 of 12)"
    assert rows[3]["low"] < rows[3]["at_requested"] == 0.5 < rows[3]["high"] < rows[3]["at_achieved"]


def test_a_share_outside_its_band_differs_in_colour_and_shape() -> None:
    """Both encodings read the same column, so that colour alone never carries the message."""
    chart = charts.marginals(report(people(), places()))
    assert [row["where"] for row in rows_of(chart)] == ["inside the band"] * 3 + ["outside the band"] * 2
    dots = chart.to_dict()["spec"]["layer"][2]["encoding"]
    assert dots["color"]["field"] == dots["shape"]["field"] == "where"
    assert dots["shape"]["scale"]["range"] == ["circle", "diamond"]


def test_the_caption_counts_the_shares_outside() -> None:
    """The title's second line counts them and says what chance allows; the description repeats it."""
    chart = charts.marginals(report(people(), places())).to_dict()
    assert chart["title"]["subtitle"][0] == "2 of 5 shares outside the band (chance alone puts up to 5 % there)"
    assert "2 of 5 shares outside" in chart["description"]


def test_every_panel_states_its_distance_and_both_yardsticks() -> None:
    """A panel is headed by TVD, limit and what chance gives."""
    panels = {row["panel"] for row in rows_of(charts.marginals(report(people(), places())))}
    assert "mood: TVD 0.5 (at best 0, 0.11 by chance)" in panels


@pytest.mark.parametrize("values", [3, 50])
def test_the_chart_draws_at_any_number_of_values(values: int) -> None:
    """The drawing grows with the values and stays within a notebook's width."""
    chart = charts.marginals(report(people(100, values), places(values)))
    svg = charts._svg(chart)
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())  # type: ignore[union-attr]
    assert width < 700
    assert height > values * charts.STEP


def test_a_chart_of_numbers_has_requested_and_achieved_moments() -> None:
    """Requested mean and sd span the bar, achieved ones the line."""
    [row] = rows_of(charts.numerics(report(people(), places())))
    assert (row["low"], row["at_requested"], row["high"]) == (5, 10, 15)
    assert row["at_achieved"] == pytest.approx(5.5)


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
    assert f'svg [fill="{charts.INK}"]' in shown
    assert f'fill="{charts.INK}"' in shown.split("</style>")[1]


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
        for ink in ("ink", "soft", "mark"):
            for ground in ("paper", "panel"):
                light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_distribution_is_told_in_words() -> None:
    """Range, mean and spread, or shares; many values end in how many more there are."""
    hours = Numeric(min=1, max=20, mean=6, sd=4.5, integer=True)
    assert charts.in_words(hours) == "1 to 20, mean 6, sd 4.5, whole numbers"
    assert charts.in_words(Categorical(weights={"a": 0.25, "b": 0.75})) == "a 25 %, b 75 %"
    many = charts.in_words(Categorical(weights={f"v{i}": 0.02 for i in range(50)}))
    assert many.endswith("v11 2 % and 38 more values")


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
