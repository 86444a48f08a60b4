"""Rows in the browser: what holds where, how it came to hold, and what editing one does."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.fields import Kernel, categorical, distribution, field, hours, rank, rows, state

WARDS = ["emergency", "intensive care", "surgical"]
AGES = ["..29", "30..44", "45.."]


def shifts(**given: Any) -> dict[str, Any]:
    """A field of three values by ward and age, nine rows."""
    made = rows(lambda at: {"weights": [0.2, 0.1 + at / 100, 0.7 - at / 100]}, ("ward", WARDS), ("age", AGES))
    two = {"values": ["days", "nights", "rotating"], "ordered": False, "parents": ["ward", "age"], "rows": made}
    return field("shift", "categorical", **{"base": {"weights": [0.3, 0.1, 0.6]}, **two, **given})


@pytest.fixture
def kernel() -> Kernel:
    """A kernel that holds a field with two parents, one of them a number."""
    wards = categorical("ward", dict.fromkeys(WARDS, 1 / 3))
    age = field("age", "numeric", base=distribution(18, 65, 35, 9))
    return Kernel(state(shifts(), wards, age, people={"shift": [3, 14, 15, 9, 26, 5, 35, 8, 9]}))


@pytest.fixture
def table(show: Any, kernel: Kernel) -> Page:
    """The editor of the field with two parents."""
    page: Page = show(kernel.state, kernel)
    return page


def row(page: Page, *texts: str) -> Locator:
    """The row that shows all these texts."""
    found = page.locator(".pl-rows tbody")
    for text in texts:
        found = found.filter(has_text=text)
    return found


WHERE = "shift where ward=emergency, age=30..44"


def test_rows_say_how_they_came_to_hold(table: Page) -> None:
    """Each row tells its origin in words, its largest shares, and how many people are there."""
    second = table.locator(".pl-rows tbody").nth(1)
    expect(second).to_contain_text("interpolated")
    expect(second.get_by_role("img")).to_have_attribute("aria-label", "rotating 69 %, days 20 %, nights 11 %")
    expect(second).to_contain_text("14")
    expect(table.locator(".pl-rows tbody").nth(0)).to_contain_text("stated")


def test_a_row_fits_beside_the_list_of_fields(table: Page) -> None:
    """With two parents and people, the buttons at the end of the rows are in sight at a notebook's width."""
    table.set_viewport_size({"width": 830, "height": 900})
    scroller = table.locator(".pl-scroll")
    assert scroller.evaluate("(each) => each.scrollWidth - each.clientWidth") == 0
    last = table.locator(".pl-act button").first.bounding_box()
    assert last is not None
    assert last["x"] + last["width"] <= 830


def test_editing_a_row_that_follows_states_it(table: Page, kernel: Kernel) -> None:
    """Opened by keyboard, an interpolated row says that editing states it, and is stated once it was edited."""
    toggle = table.get_by_label(f"{WHERE}: edit")
    toggle.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(table.get_by_text("Not stated here (interpolated): editing states it.")).to_be_visible()
    table.get_by_label(f"{WHERE}: weight of nights").press("PageUp")
    expect(table.get_by_label(f"{WHERE}: remove")).to_be_visible()
    expect(table.get_by_text("editing states it")).to_be_hidden()
    expect(table.get_by_label(f"{WHERE}: weight of nights")).to_be_focused()
    assert kernel.last("set_weights")["when"] == {"ward": "emergency", "age": "30..44"}


def test_stating_and_removing(table: Page, kernel: Kernel) -> None:
    """A row is stated as it is, and follows from the others again, with the focus where it was."""
    table.get_by_label(f"{WHERE}: state").click()
    expect(table.get_by_label(f"{WHERE}: remove")).to_be_focused()
    table.get_by_label(f"{WHERE}: remove").click()
    expect(table.get_by_label(f"{WHERE}: state")).to_be_focused()
    assert [command["op"] for command in kernel.heard] == ["add_row", "remove_row"]


def test_an_interval_is_edited_in_its_place(table: Page, kernel: Kernel) -> None:
    """A stated row's interval is a box; what is no interval stays in it with the sentence, and Escape takes it back."""
    box = table.get_by_label("shift where ward=emergency, age=..29: age")
    box.fill("old")
    box.press("Enter")
    expect(table.get_by_text("write 30..44, 65.., ..17 or one number")).to_be_visible()
    box.press("Escape")
    expect(box).to_have_value("..29")
    assert kernel.heard == []
    box.fill("..27")
    box.press("Enter")
    table.wait_for_function("() => window.sent.length > 0")
    sent = kernel.last("change_when")
    assert (sent["when"], sent["to"]) == ({"ward": "emergency", "age": "..29"}, {"ward": "emergency", "age": "..27"})


def test_a_row_is_added(table: Page, kernel: Kernel) -> None:
    """The form below makes a row at an interval; a parent left at any is not part of it."""
    table.get_by_label("shift: new row's age").fill("44..30")
    table.get_by_role("button", name="row", exact=True).click()
    expect(table.get_by_text("44..30 is no interval")).to_be_visible()
    table.get_by_label("shift: new row's age").fill("45..")
    table.get_by_label("shift: new row's ward").select_option("surgical")
    table.get_by_label("shift: new row's age").press("Enter")
    expect(table.get_by_label("shift: new row's age")).to_have_value("")
    assert kernel.last("add_row")["when"] == {"ward": "surgical", "age": "45.."}


def test_base_is_what_holds_elsewhere(table: Page, kernel: Kernel) -> None:
    """A child's base stands where no row holds, and can be taken away, its values staying."""
    expect(table.get_by_role("heading", name="Where no row below holds")).to_be_visible()
    table.get_by_role("button", name="Remove the base").click()
    expect(table.get_by_role("button", name="Add a base")).to_be_visible()
    expect(table.get_by_label("shift: rename nights")).to_be_visible()
    expect(table.get_by_label("shift: weight of nights")).to_have_count(0)
    assert kernel.last("remove_base")["field"] == "shift"


def test_numeric_rows(show: Any) -> None:
    """A numeric row tells its mean and sd, and opens the numbers' editor."""
    made = rows(lambda at: distribution(0, 40, 10 + at, 4), ("rank", ["Iron", "Gold"]))
    kernel = Kernel(state(hours(base=None, parents=["rank"], rows=made), rank()))
    page = show(kernel.state, kernel)
    expect(row(page, "Gold")).to_contain_text("mean 11, sd 4")
    page.get_by_label("hours where rank=Gold: edit").click()
    page.get_by_label("hours where rank=Gold: mean", exact=True).fill("30")
    expect(row(page, "Gold")).to_contain_text("mean 30, sd 4")
    expect(row(page, "Gold")).to_contain_text("stated")


def test_hundreds_of_rows(show: Any) -> None:
    """Of 231 rows 60 are drawn; the filter and the tick find the others, and opened rows stay open."""
    country = [f"country {at}" for at in range(77)]
    made = rows(lambda _: {"weights": [0.5, 0.5]}, ("country", country), ("sex", ["f", "m", "x"]))
    two = field("shift", "categorical", values=["a", "b"], ordered=False, parents=["country", "sex"], rows=made)
    parents = [categorical("country", dict.fromkeys(country, 1 / 77)), categorical("sex", dict.fromkeys("fmx", 1 / 3))]
    page = show(state(two, *parents))
    expect(page.locator(".pl-rows tbody")).to_have_count(60)
    page.get_by_role("button", name="show more (171)").click()
    expect(page.locator(".pl-rows tbody")).to_have_count(120)
    page.get_by_label("shift where country=country 70, sex=x: edit").wait_for(state="detached")
    page.get_by_label("shift: filter rows").fill("country 70 sex=x")
    page.get_by_label("shift where country=country 70, sex=x: edit").click()
    expect(page.get_by_text("1 of 231 rows, 116 stated")).to_be_visible()
    page.get_by_label("shift: filter rows").fill("")
    page.get_by_label("shift: filter rows").fill("70")
    expect(page.get_by_label("shift where country=country 70, sex=x: weight of a")).to_be_visible()
    page.get_by_label("only stated").check()
    expect(page.get_by_text(", 116 stated")).to_be_visible()
