"""The live chart: marks where the numbers are, and only those touched that changed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.browser.panels import DASH, RANKS, numbers, population, shares, state


def middle(page: Any, selector: str) -> float:
    """Where a mark's middle stands along the axis of its drawing, from 0 to 1."""
    found = page.evaluate(
        """(selector) => {
          const mark = document.querySelector(selector), box = mark.getBoundingClientRect();
          const drawing = mark.closest(".pl-chart").getBoundingClientRect();
          return (box.left + box.width / 2 - drawing.left) / drawing.width;
        }""",
        selector,
    )
    return float(found)


def settled(page: Any) -> None:
    """Wait until no mark is on its way."""
    page.wait_for_function("document.getAnimations().every((each) => each.playState !== 'running')")


def watch(page: Any) -> None:
    """From now on keep the names of the panels in which anything changes, and the elements that there are."""
    page.evaluate("""() => {
      window.touched = [];
      window.elements = [...document.querySelectorAll(".pl-facets *")];
      const element = (node) => (node.nodeType === 1 ? node : node.parentElement);
      const of = (node) => element(node).closest(".pl-facet")?.dataset.field ?? "outside";
      const all = {subtree: true, childList: true, attributes: true, characterData: true};
      new MutationObserver((changes) => changes.forEach((each) => touched.push(of(each.target))))
        .observe(document.querySelector(".pl-facets"), all);
    }""")


@pytest.mark.parametrize("value", RANKS)
def test_marks_stand_at_their_shares(show: Any, value: str) -> None:
    """Tick, dot and band stand at the requested share, the achieved one, and between the band's ends."""
    page = show(state(shares("rank", RANKS)))
    line = f".pl-facet[data-field=rank] .pl-share[data-value={value}]"
    requested, achieved = RANKS[value]
    end = 0.6  # the axis holds the largest band, 48 %, and ends at a round number
    assert middle(page, f"{line} .pl-requested") == pytest.approx(requested / end, abs=0.005)
    assert middle(page, f"{line} .pl-achieved") == pytest.approx(achieved / end, abs=0.005)
    assert middle(page, f"{line} .pl-honest") == pytest.approx(requested / end, abs=0.005)


def test_the_axis_is_in_percent(show: Any) -> None:
    """Three to five round percentages stand at their places."""
    page = show(state(shares("rank", RANKS)))
    assert page.locator(".pl-facets .pl-axis text").all_text_contents() == ["0 %", "20 %", "40 %", "60 %"]
    assert middle(page, ".pl-axis text:nth-of-type(2)") == pytest.approx(1 / 3, abs=0.01)


def test_an_achieved_share_outside_its_band_is_a_diamond(show: Any) -> None:
    """Outside the band the shape and the colour differ; inside they do not."""
    page = show(state(shares("rank", RANKS | {"Gold": (0.2, 0.25)})))
    path = ".pl-facets .pl-share[data-value={}] .pl-achieved"
    drawn = {value: page.locator(path.format(value)) for value in ("Iron", "Gold")}
    assert drawn["Iron"].get_attribute("d") != drawn["Gold"].get_attribute("d")
    colours = {each.evaluate("(path) => getComputedStyle(path).fill") for each in drawn.values()}
    assert len(colours) == 2
    assert page.locator(".pl-facets .pl-chart .pl-beyond").count() == 1


def test_a_line_tells_its_numbers(show: Any) -> None:
    """A value's tooltip has the shares, how many people those are, and the band."""
    page = show(state(shares("rank", RANKS)))
    title = page.locator(".pl-facets .pl-share[data-value=Gold] title").text_content()
    assert title == f"Gold: requested 20 %, achieved 20.1 % (201 of 1,000), band 17.5{DASH}22.5 %"


def test_a_panel_says_what_it_shows(show: Any) -> None:
    """A panel's name for those who do not see it has the distance, how many are outside, and the largest miss."""
    page = show(state(shares("rank", RANKS | {"Gold": (0.2, 0.25)})))
    told = page.locator(".pl-facets .pl-facet[data-field=rank] [role=img]").get_attribute("aria-label")
    assert told == (
        "rank: TVD 0.081 (at best 0.0004, 0.026 by chance); 1 of 4 values outside the band; "
        "furthest off Gold, requested 20 %, achieved 25 %"
    )


def test_the_numbers_stand_in_a_table_too(show: Any) -> None:
    """The same numbers are a table that the keyboard opens."""
    page = show(state(shares("rank", RANKS)))
    page.locator(".pl-facets").get_by_label("rank as a table").focus()
    page.keyboard.press("Enter")
    row = page.locator(".pl-facets .pl-facet[data-field=rank] .pl-data tbody tr").nth(2)
    assert row.locator("th, td").all_text_contents() == ["Gold", "20 %", "20.1 %", f"17.5{DASH}22.5 %"]


def test_only_the_panel_that_changed_is_touched(show: Any) -> None:
    """A patch of one panel moves that one's marks, and makes no element anew."""
    panels = [shares(name, RANKS) for name in ("rank", "lane", "region")]
    page = show(state(*panels, numbers("age")))
    watch(page)
    after = shares("lane", RANKS | {"Gold": (0.25, 0.25), "Silver": (0.4, 0.4)})
    page.evaluate("(patch) => receive({patch})", {"rev": 2, "panels": {"lane": after}})
    settled(page)
    assert set(page.evaluate("touched")) == {"lane"}
    assert page.evaluate("elements.every((each) => each.isConnected)")
    assert middle(page, ".pl-facet[data-field=lane] .pl-share[data-value=Gold] .pl-achieved") == pytest.approx(
        0.25 / 0.6, abs=0.01
    )


def test_a_patch_that_says_nothing_new_touches_nothing(show: Any) -> None:
    """The same numbers sent again leave the drawing as it is."""
    panel = shares("rank", RANKS)
    page = show(state(panel, numbers("age")))
    watch(page)
    page.evaluate("(patch) => receive({patch})", {"rev": 2, "panels": {"rank": panel, "age": numbers("age")}})
    assert page.evaluate("touched") == []


def test_the_root_says_which_revision_is_drawn(show: Any) -> None:
    """After a patch the editor's root has the revision, once its marks have their new places."""
    page = show(state(shares("rank", RANKS)))
    page.wait_for_selector(".personalab-editor[data-drawn='1']")
    after = shares("rank", RANKS | {"Gold": (0.3, 0.3), "Silver": (0.35, 0.35)})
    drawn = page.evaluate(
        """(patch) => { receive({patch}); return [
          document.querySelector(".personalab-editor").dataset.drawn,
          document.querySelector(".pl-facets .pl-share[data-value=Gold] title").textContent]; }""",
        {"rev": 2, "panels": {"rank": after}},
    )
    assert drawn[0] == "2"
    assert "requested 30 %" in drawn[1]


def test_the_field_being_edited_comes_first(show: Any) -> None:
    """The selected field's panel stands first and is marked; the others keep their order."""
    page = show(state(*(shares(name, RANKS) for name in ("rank", "lane", "region"))))
    order = "[...document.querySelectorAll('.pl-facets .pl-facet')].map((each) => each.dataset.field)"
    assert page.evaluate(order) == ["rank", "lane", "region"]
    page.evaluate("(patch) => receive({patch})", {"select": "region", "names": ["rank", "lane", "region"]})
    assert page.evaluate(order) == ["region", "rank", "lane"]
    assert page.locator(".pl-facets .pl-facet.pl-selected").get_attribute("data-field") == "region"


@pytest.mark.parametrize("width", [1000, 640])
def test_fifty_values_stay_within_the_panel(show: Any, page: Any, width: int) -> None:
    """Fifty values are all there, in columns beside each other, and nothing sticks out."""
    page.set_viewport_size({"width": width, "height": 800})
    values = {f"the country with the number {at}": (0.02, 0.02) for at in range(50)}
    shown = show(state(shares("country", values)))
    assert shown.locator(".pl-facets .pl-share").count() == 50
    panel = shown.locator(".pl-facets .pl-facet").bounding_box()
    for each in (".pl-labels span", ".pl-hit"):
        boxes = shown.locator(f".pl-facets {each}").evaluate_all(
            "(all) => all.map((each) => each.getBoundingClientRect().right)"
        )
        assert max(boxes) <= panel["x"] + panel["width"]
    assert panel["height"] < 700


def test_a_number_is_an_area_bars_and_two_means(show: Any) -> None:
    """A numeric field shows its requested spread, a bar for each bin, and the two means at their places."""
    page = show(state(numbers("age")))
    panel = ".pl-facets .pl-facet[data-field=age]"
    assert page.locator(f"{panel} .pl-facet-numbers").text_content() == "mean 40 → 50, sd 15 → 28.9"
    assert middle(page, f"{panel} .pl-requested") == pytest.approx(0.4, abs=0.01)
    assert middle(page, f"{panel} .pl-chart .pl-achieved") == pytest.approx(0.5, abs=0.01)
    heights = page.locator(f"{panel} .pl-chart .pl-column").evaluate_all(
        "(all) => all.map((each) => each.getAttribute('height'))"
    )
    assert len(heights) == 20
    assert len(set(heights)) == 1


def test_values_that_come_and_go_are_drawn(show: Any) -> None:
    """A value added to a field gets a line, a field removed loses its panel."""
    page = show(state(shares("rank", RANKS), shares("lane", RANKS)))
    after = shares("rank", RANKS | {"Bronze": (0.1, 0.1), "Silver": (0.35, 0.34)})
    page.evaluate("(patch) => receive({patch})", {"rev": 2, "names": ["rank"], "panels": {"rank": after}})
    assert page.locator(".pl-facets .pl-share").count() == 5
    assert page.locator(".pl-facets .pl-labels span").all_text_contents()[-1] == "Bronze"
    assert page.locator(".pl-facets .pl-facet").count() == 1


def test_without_a_population_there_is_no_chart(show: Any) -> None:
    """The chart is hidden until there are people, and comes with them."""
    page = show(state(shares("rank", RANKS), population=None, people=None) | {"panels": {}})
    assert not page.locator(".pl-fidelity").is_visible()
    page.evaluate(
        "(patch) => receive({patch})", {"rev": 2, "population": population(), "panels": {"rank": shares("rank", RANKS)}}
    )
    assert page.locator(".pl-fidelity .pl-facet").is_visible()


def test_names_from_a_model_stay_text(show: Any) -> None:
    """Markup in a field's name or value is shown, never run."""
    evil = "<img src=x onerror=window.hurt=1>"
    page = show(state(shares(evil, {evil: (0.5, 0.5), "b": (0.5, 0.5)})))
    assert page.locator(".pl-facets .pl-facet-name").text_content() == evil
    assert page.locator(".pl-fidelity img").count() == 0
    assert page.evaluate("window.hurt") is None


def test_marks_do_not_move_for_those_who_want_no_motion(show: Any, page: Any) -> None:
    """With reduced motion a mark is at its new place at once."""
    page.emulate_media(reduced_motion="reduce")
    shown = show(state(shares("rank", RANKS)))
    moving = "getComputedStyle(document.querySelector('.pl-facets .pl-share .pl-at')).transitionDuration"
    assert set(shown.evaluate(moving).split(", ")) == {"0s"}


def test_a_state_is_not_changed_by_drawing_it(show: Any) -> None:
    """The panels that were given are as they were."""
    given = state(shares("rank", RANKS), numbers("age"))
    before = copy.deepcopy(given)
    show(given)
    assert json.dumps(given) == json.dumps(before)


def test_bins_of_whole_numbers_are_named_by_what_is_in_them(show: Any) -> None:
    """A bin from 12.5 to 14.5 of whole numbers is told as 13 to 14, one of a single number as that number."""
    panel = numbers("age") | {"bins": [[12.5, 14.5, 0.6, 0.5], [14.5, 15.5, 0.4, 0.5]], "min": 13, "max": 15}
    page = show(state(panel))
    titles = page.locator(".pl-facets .pl-histogram title").all_text_contents()
    assert titles == ["13 to 14: requested 60 %, achieved 50 %", "15: requested 40 %, achieved 50 %"]


def test_a_child_is_named_with_its_parents(show: Any) -> None:
    """A panel's heading is its title, which for a child has the parents."""
    page = show(state(shares("lane", RANKS) | {"title": "lane by rank"}))
    assert page.locator(".pl-facets .pl-facet-name").text_content() == "lane by rank"
