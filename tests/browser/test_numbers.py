"""Numbers in the browser: four promises that make sense together, or a sentence beside the one that does not."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.fields import Kernel, distribution, hours, state


@pytest.fixture
def kernel() -> Kernel:
    """A kernel that holds a numeric root, from 0 to 40 with mean 12 and sd 5."""
    return Kernel(state(hours()))


@pytest.fixture
def form(show: Any, kernel: Kernel) -> Page:
    """The editor of the numeric root."""
    page: Page = show(kernel.state, kernel)
    return page


def box(page: Page, key: str) -> Locator:
    """The box of one of the promises."""
    return page.get_by_label(f"hours: {key}", exact=True)


def promised(kernel: Kernel) -> list[float]:
    """The promises sent last."""
    command = kernel.last("set_numeric")
    return [command[key] for key in ("min", "max", "mean", "sd")]


def test_a_range_moves_by_its_ends(form: Page, kernel: Kernel) -> None:
    """Min above max waits where it was typed; once all make sense together they are sent together."""
    box(form, "min").fill("50")
    expect(form.get_by_text("the least, 50, is above the greatest, 40")).to_be_visible()
    box(form, "max").fill("90")
    expect(form.get_by_text("the mean 12 lies outside 50 to 90")).to_be_visible()
    expect(box(form, "min")).to_have_value("50")
    assert kernel.heard == []
    box(form, "mean").fill("70")
    expect(form.locator(".pl-complaint:visible")).to_have_count(0)
    box(form, "mean").blur()
    expect(form.get_by_role("img", name="mean 70, sd 5, from 50 to 90")).to_be_visible()
    assert promised(kernel) == [50, 90, 70, 5]


def test_too_wide_an_sd_names_the_widest(form: Page, kernel: Kernel) -> None:
    """An sd wider than anything in the range is refused with the widest that there can be, and Escape takes it back."""
    box(form, "sd").fill("30")
    expect(form.get_by_text("at most 18.33: nothing from 0 to 40 with mean 12 is wider")).to_be_visible()
    expect(box(form, "sd")).to_have_attribute("aria-invalid", "true")
    box(form, "sd").press("Escape")
    expect(box(form, "sd")).to_have_value("5")
    expect(form.locator(".pl-complaint:visible")).to_have_count(0)
    assert kernel.heard == []


@pytest.mark.parametrize("text", ["", "abc", "1,5", "--3"])
def test_no_number_is_told_and_kept(form: Page, kernel: Kernel, text: str) -> None:
    """What is no number stays in its box with a sentence, also when the box is left, and what holds is told."""
    box(form, "mean").fill(text)
    box(form, "mean").blur()
    expect(form.locator(".pl-complaint:visible")).to_have_count(1)
    expect(form.get_by_text("Until then this holds: mean 12, sd 5, from 0 to 40.")).to_be_visible()
    expect(box(form, "mean")).to_have_value(text)
    assert kernel.heard == []


def test_whole_numbers(form: Page, kernel: Kernel) -> None:
    """The tick for whole numbers is sent with the promises; then too small an sd is refused."""
    form.get_by_label("hours: whole numbers").check()
    expect(form.get_by_label("hours: whole numbers")).to_be_checked()
    box(form, "mean").fill("12.5")
    box(form, "sd").fill("0.1")
    expect(form.get_by_text("at least 0.5: whole numbers with mean 12.5 are never closer together")).to_be_visible()
    assert kernel.last("set_numeric")["integer"] is True


def test_what_a_box_shows_shorter_stays_what_it_is(show: Any) -> None:
    """An edit of one promise sends the others to the last digit, also those that a box has no room for."""
    stamp = distribution(1_700_000_000_123, 1_800_000_000_456, 1_750_000_000_000.25, 10_000_000_000)
    page = show(kernel := state(hours(base=stamp)), answers := Kernel(kernel))
    box(page, "sd").fill("20000000000")
    box(page, "sd").press("Enter")
    page.wait_for_function("() => window.sent.length === 1")
    assert promised(answers) == [1_700_000_000_123, 1_800_000_000_456, 1_750_000_000_000.25, 20_000_000_000]


def test_sliders_stop_where_the_promises_end(form: Page, kernel: Kernel) -> None:
    """The mean slides as far as the sd leaves room, the sd up to the widest."""
    form.get_by_label("hours: slide the sd").press("End")
    expect(box(form, "sd")).to_have_value("18.32")
    form.get_by_label("hours: slide the mean").press("End")
    expect(box(form, "mean")).to_have_value("28")
    form.get_by_label("hours: slide the sd").press("Home")
    form.get_by_label("hours: slide the mean").press("ArrowRight")
    expect(box(form, "mean")).to_have_value("28.5")
    form.wait_for_function("() => window.sent.length === 4")
    assert promised(kernel) == [0, 40, 28.5, 0]


def test_the_kernel_s_refusal_stands_beside_what_was_typed(show: Any) -> None:
    """What only the kernel can find wrong is shown beside the box, which keeps what was typed."""
    page = show(kernel := state(hours()), Kernel(kernel, set_numeric="no distribution keeps these promises"))
    box(page, "sd").fill("7")
    expect(page.get_by_text("no distribution keeps these promises", exact=True)).to_be_visible()
    expect(box(page, "sd")).to_have_value("7")
    box(page, "sd").press("Escape")
    expect(box(page, "sd")).to_have_value("5")


def test_late_answers_do_not_touch_what_is_typed(show: Any) -> None:
    """While one answer is awaited typing goes on, and the last numbers typed are those that hold."""
    kernel, held = Kernel(state(hours())), []
    page = show(kernel.state, lambda command: held.append(kernel(command)))
    for text in ("13", "14", "15"):
        box(page, "mean").fill(text)
        box(page, "mean").press("Enter")
    page.evaluate("(answer) => window.receive(answer)", held[0])
    expect(box(page, "mean")).to_have_value("15")
    page.wait_for_function("() => window.sent.length === 2")
    page.evaluate("(answer) => window.receive(answer)", held[1])
    expect(page.get_by_role("img", name="mean 15, sd 5, from 0 to 40")).to_be_visible()
    assert [command["mean"] for command in kernel.heard] == [13, 15]


def test_a_patch_shows_in_place(form: Page) -> None:
    """Numbers that change from elsewhere show in the same boxes, and the focus stays."""
    box(form, "mean").focus()
    form.evaluate(
        "(field) => window.receive({patch: {fields: {hours: field}}})", hours(base=distribution(0, 40, 20, 4))
    )
    expect(box(form, "mean")).to_have_value("20")
    expect(box(form, "mean")).to_be_focused()
