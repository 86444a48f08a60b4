"""A whole field in the browser: its name and place, its parents, its values."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fields import Kernel, field, hours, rank, state

CIRCLE = "would close a circle: rank → hours → rank"


@pytest.fixture
def kernel() -> Kernel:
    """A kernel that holds a field on which another and a rule depend."""
    ladder = rank(depends=["hours"], mentioned=["gold_is_rare"], barred={"hours": CIRCLE})
    return Kernel(state(ladder, hours(), field("bio", "text", parents=["rank"], depends=[])))


@pytest.fixture
def editor(show: Any, kernel: Kernel) -> Page:
    """The editor of that field."""
    page: Page = show(kernel.state, kernel)
    return page


def sent(page: Page) -> list[dict[str, Any]]:
    """The commands so far, once there is one."""
    page.wait_for_function("() => window.sent.length > 0")
    commands: list[dict[str, Any]] = page.evaluate("window.sent")
    return [{key: value for key, value in command.items() if key not in ("id", "gesture")} for command in commands]


def test_renaming(editor: Page) -> None:
    """Enter sends the new name once, although the box is left afterwards too."""
    box = editor.get_by_label("rank: name", exact=True)
    box.fill("tier")
    box.press("Enter")
    assert sent(editor) == [{"op": "rename_field", "field": "rank", "to": "tier"}]


def test_a_name_that_is_refused_stays(show: Any) -> None:
    """A name that the kernel refuses stays in the box with the sentence, until Escape."""
    page = show(kernel := state(rank(), hours()), Kernel(kernel, rename_field="'hours' is taken"))
    box = page.get_by_label("rank: name", exact=True)
    box.fill("hours")
    box.press("Enter")
    expect(page.get_by_text("'hours' is taken", exact=True)).to_be_visible()
    expect(box).to_have_value("hours")
    box.press("Escape")
    expect(box).to_have_value("rank")


def test_removing_says_what_depends(editor: Page, kernel: Kernel) -> None:
    """What depends on a field is said before it is removed; Keep leaves everything and gives the focus back."""
    editor.get_by_role("button", name="rank: remove", exact=True).click()
    expect(editor.get_by_text("hours and 1 rule depend on rank: they lose it")).to_be_visible()
    expect(editor.get_by_role("button", name="Keep")).to_be_focused()
    editor.keyboard.press("Enter")
    expect(editor.get_by_role("button", name="rank: remove", exact=True)).to_be_focused()
    assert kernel.heard == []
    editor.keyboard.press("Enter")
    editor.get_by_role("button", name="Remove anyway").press("Enter")
    assert sent(editor) == [{"op": "remove_field", "field": "rank"}]
    expect(editor.get_by_label("rank: name", exact=True)).to_be_focused()


def test_circular_parents_are_barred(editor: Page) -> None:
    """A parent that would close a circle is named, cannot be ticked, and the reason stands beside it."""
    box = editor.get_by_label("rank: depends on hours")
    expect(box).to_be_hidden()
    editor.get_by_text("cannot be chosen: hours").click()
    expect(box).to_be_disabled()
    expect(editor.get_by_text(CIRCLE)).to_be_visible()
    editor.get_by_label("rank: depends on bio").check()
    assert sent(editor) == [{"op": "set_parents", "field": "rank", "parents": ["bio"]}]


def test_any_name_is_a_name(show: Any) -> None:
    """Fields called like the page's own words or a language's are fields: chosen, edited, and free as parents."""
    fields = [rank(), field("constructor", "text"), field("about", "text", description="who they are")]
    page = show(kernel := state(*fields), Kernel(kernel))
    box = page.get_by_label("rank: depends on constructor")
    expect(box).to_be_enabled()
    box.check()
    assert sent(page) == [{"op": "set_parents", "field": "rank", "parents": ["constructor"]}]
    page.get_by_role("button", name="about (text)").click()
    expect(page.get_by_label("about: description")).to_have_value("who they are")
    page.get_by_role("button", name="About", exact=True).click()
    expect(page.get_by_role("heading", name="About this blueprint")).to_be_visible()


def test_long_names_stay_within_the_page(show: Any) -> None:
    """A name of two thousand characters breaks, as a parent to choose and in the rules, and widens nothing."""
    page = show(kernel := state(rank(), {**hours(), "name": "L" * 2000}, domain="D" * 2000), Kernel(kernel))
    over = "() => document.querySelector('.personalab-editor').scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) <= 0
    page.get_by_role("button", name="Rules").click()
    assert page.evaluate(over) <= 0
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_in_viewport()


def test_refused_parents_are_unticked(show: Any) -> None:
    """A parent that the kernel refuses is not ticked any more, and the sentence says why."""
    page = show(kernel := state(rank(), hours()), Kernel(kernel, set_parents="that would be too many rows"))
    page.get_by_label("rank: depends on hours").click()
    expect(page.get_by_text("that would be too many rows", exact=True)).to_be_visible()
    expect(page.get_by_label("rank: depends on hours")).not_to_be_checked()


def test_a_value_is_renamed_in_its_row(editor: Page) -> None:
    """Renaming a value keeps its row and its lock, and gives the focus back to the button."""
    editor.get_by_label("rank: lock Gold").click()
    editor.get_by_role("button", name="rank: rename Gold").press("Enter")
    box = editor.get_by_label("rank: new name of Gold")
    expect(box).to_be_focused()
    box.fill("Golden")
    box.press("Enter")
    expect(editor.get_by_role("button", name="rank: rename Golden")).to_be_focused()
    expect(editor.get_by_label("rank: lock Golden")).to_have_attribute("aria-pressed", "true")
    expect(editor.get_by_label("rank: percent of Golden")).to_have_value("25.0")


def test_a_value_is_moved_with_the_focus(editor: Page) -> None:
    """Moving a value by keyboard keeps the focus on its button, as far as it goes."""
    up = editor.get_by_role("button", name="rank: move up Silver")
    up.press("Enter")
    expect(editor.locator(".pl-weight").nth(1)).to_contain_text("Silver")
    expect(up).to_be_focused()
    up.press("Enter")
    expect(editor.locator(".pl-weight").nth(0)).to_contain_text("Silver")
    expect(up).to_be_focused()
    expect(editor.get_by_label("rank: percent of Silver")).to_have_value("30.0")
    up.press("Enter")
    assert len(sent(editor)) == 2


def test_a_value_is_removed(editor: Page) -> None:
    """Removing a value leaves the shares at 100 and puts the focus on the next value's button."""
    editor.get_by_role("button", name="rank: remove Gold").press("Enter")
    expect(editor.get_by_role("button", name="rank: remove Platinum")).to_be_focused()
    expect(editor.get_by_label("rank: percent of Silver")).to_have_value("40.0")


def test_values_are_added_and_ordered(editor: Page) -> None:
    """A value is added by name, and the order is a tick."""
    editor.get_by_label("rank: value to add").fill("Master")
    editor.get_by_label("rank: value to add").press("Enter")
    expect(editor.get_by_label("rank: value to add")).to_have_value("")
    editor.get_by_label("rank: ordered").uncheck()
    editor.wait_for_function("() => window.sent.length === 2")
    assert [(each["op"], each.get("value"), each.get("ordered")) for each in sent(editor)] == [
        ("add_value", "Master", None),
        ("set_ordered", None, False),
    ]


def test_description_is_sent_while_it_is_written(editor: Page) -> None:
    """A description is sent soon after it was typed, without leaving the box, and a patch does not disturb it."""
    area = editor.get_by_label("rank: description")
    area.fill("where one stands")
    assert sent(editor)[-1] == {"op": "describe", "field": "rank", "text": "where one stands"}
    area.press_sequentially("!")
    editor.evaluate("(field) => window.receive({patch: {fields: {rank: field}}})", rank(description="where one stands"))
    expect(area).to_have_value("where one stands!")


def test_a_text_field_says_who_writes_it(show: Any) -> None:
    """A text has a description and parents, and a sentence in place of a distribution."""
    page = show(state(field("bio", "text", parents=["rank"]), rank()))
    expect(page.get_by_text("the model writes it for each person")).to_be_visible()
    expect(page.get_by_label("bio: depends on rank")).to_be_checked()


def test_names_are_shown_as_text(show: Any) -> None:
    """Markup in what a model wrote is shown, not obeyed."""
    evil = "<img src=x onerror=alert(1)>"
    page = show(state(rank(values=[evil, *"bcdef"], description=evil)))
    expect(page.get_by_text(evil).first).to_be_visible()
    expect(page.locator("img[src]")).to_have_count(0)
