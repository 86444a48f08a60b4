"""Weights in the browser: shares that always add up, and come back."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fields import RANKS, Kernel, categorical, rank, state

# Moves a slider as a drag does, and lets the page see each place on the way.
DRAG = """([label, places]) => {
  const slider = document.querySelector(`[aria-label="${label}"]`);
  slider.dispatchEvent(new PointerEvent("pointerdown", {bubbles: true}));
  for (const place of places) { slider.value = place; slider.dispatchEvent(new Event("input", {bubbles: true})); }
  window.dispatchEvent(new PointerEvent("pointerup"));
}"""
COUNT = """() => {
  const receive = window.receive;
  window.answered = 0;
  window.receive = (message) => { window.answered++; receive(message); };
}"""
PRESS = """() => {
  const slider = document.querySelector("[aria-label='rank: weight of Gold']");
  slider.focus();
  const press = () => new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true});
  for (let at = 0; at < 20; at++) slider.dispatchEvent(press());
}"""
PATCH = "(field) => window.receive({patch: {fields: {rank: field}}})"
SHOWN = """() => [...document.querySelectorAll("[aria-label^='rank: percent of']")].map((box) => box.value)"""
SUMS = """() => {
  const boxes = [...document.querySelectorAll("[aria-label^='rank: percent of']")];
  const sliders = [...document.querySelectorAll("[aria-label^='rank: weight of']")];
  const sums = new Set();
  for (let at = 0; at < 400; at++) {
    const slider = sliders[(at * 7) % sliders.length];
    slider.value = (at * 137.1) % 100.1;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    sums.add(boxes.reduce((sum, box) => sum + Math.round(Number(box.value) * 10), 0));
  }
  return [...sums];
}"""


def drag(page: Page, value: str, *places: float) -> None:
    """Drag the slider of a value of rank over some places."""
    page.evaluate(DRAG, [f"rank: weight of {value}", list(places)])


def settled(page: Page) -> dict[str, Any]:
    """The last command, once nothing is waiting: every command has been answered."""
    expect(page.get_by_label("rank: percent of Gold")).to_be_visible()
    page.wait_for_function("() => window.answered === window.sent.length")
    last: dict[str, Any] = page.evaluate("window.sent.at(-1)")
    return last


@pytest.fixture
def ladder(show: Any) -> Page:
    """The editor of a field of six values."""
    page: Page = show(kernel := state(rank()), Kernel(kernel))
    page.evaluate(COUNT)
    return page


def test_out_and_back_restores_the_rest(ladder: Page) -> None:
    """Dragging a value to 100 % and back to its share gives every other value its share again."""
    drag(ladder, "Gold", 30, 60, 100, 100, 80, 25)
    weights = settled(ladder)["weights"]
    assert all(abs(weights[value] - share) < 1e-9 for value, share in RANKS.items())


def test_out_and_back_by_keyboard(ladder: Page) -> None:
    """End and then Page Down and the arrows come back to where the weights were."""
    slider = ladder.get_by_label("rank: weight of Gold")
    slider.focus()
    slider.press("End")
    expect(ladder.get_by_label("rank: percent of Silver")).to_have_value("0.0")
    for key in ["PageDown"] * 7 + ["ArrowLeft"] * 5:
        slider.press(key)
    expect(ladder.get_by_label("rank: percent of Silver")).to_have_value("30.0")
    weights = settled(ladder)["weights"]
    assert all(abs(weights[value] - share) < 1e-9 for value, share in RANKS.items())


def test_shown_shares_sum_to_exactly_100(ladder: Page) -> None:
    """Whatever is dragged where, what is shown adds up to 100.0, and what is sent to 1."""
    assert ladder.evaluate(SUMS) == [1000]
    assert abs(sum(settled(ladder)["weights"].values()) - 1) < 1e-12


def test_locked_shares_stay(ladder: Page) -> None:
    """The slider stops at what the locked values leave, and they keep their shares exactly."""
    for value in ("Gold", "Silver"):
        ladder.get_by_label(f"rank: lock {value}").click()
    drag(ladder, "Iron", 20, 70, 100)
    expect(ladder.get_by_label("rank: percent of Iron")).to_have_value("45.0")
    weights = settled(ladder)["weights"]
    assert (weights["Gold"], weights["Silver"], weights["Bronze"]) == (0.25, 0.3, 0)
    expect(ladder.get_by_label("rank: weight of Gold")).to_be_disabled()


def test_more_than_is_free_is_refused_with_the_reason(ladder: Page) -> None:
    """A share that the locked ones do not leave stays where it was typed, and is not sent."""
    for value in ("Gold", "Silver"):
        ladder.get_by_label(f"rank: lock {value}").click()
    box = ladder.get_by_label("rank: percent of Iron")
    box.fill("50")
    box.press("Enter")
    expect(ladder.get_by_text("at most 45 %: Silver and Gold are locked at 55 %")).to_be_visible()
    expect(box).to_have_attribute("aria-invalid", "true")
    assert ladder.evaluate("window.sent.length") == 0
    box.press("Escape")
    expect(box).to_have_value("5.0")
    expect(box).not_to_have_attribute("aria-invalid", "true")


def test_all_others_locked(ladder: Page) -> None:
    """With all the others locked there is nothing to give or take, and a sentence says so."""
    for value in list(RANKS)[1:]:
        ladder.get_by_label(f"rank: lock {value}").click()
    ladder.get_by_label("rank: weight of Iron").press("ArrowRight")
    expect(ladder.get_by_text("all of them are locked: unlock one first")).to_be_visible()
    expect(ladder.get_by_label("rank: percent of Iron")).to_have_value("5.0")


@pytest.mark.parametrize("text", ["abc", "-3", "140", "1,5"])
def test_no_share_stays_visible_and_unsent(ladder: Page, text: str) -> None:
    """What is no share stays in its box with the sentence that explains it, also after the box is left."""
    box = ladder.get_by_label("rank: percent of Gold")
    box.fill(text)
    box.blur()
    expect(box).to_have_value(text)
    expect(box).to_have_attribute("aria-invalid", "true")
    assert ladder.locator(".pl-complaint:visible").inner_text()
    assert ladder.evaluate("window.sent.length") == 0
    box.fill("40")
    box.press("Enter")
    expect(box).not_to_have_attribute("aria-invalid", "true")
    assert settled(ladder)["weights"]["Gold"] == 0.4


def test_twenty_quick_key_presses(ladder: Page) -> None:
    """Of twenty quick key presses none is lost, and what is sent last is what is shown."""
    ladder.evaluate(PRESS)
    expect(ladder.get_by_label("rank: percent of Gold")).to_have_value("45.0")
    command = settled(ladder)
    assert abs(command["weights"]["Gold"] - 0.45) < 1e-12
    assert len({sent["gesture"] for sent in ladder.evaluate("window.sent")}) == 1


def test_late_answers_settle_in_one_state(show: Any) -> None:
    """Answers that come late do not put back what was moved meanwhile, and the last one is what stays."""
    kernel = Kernel(state(rank()))
    held: list[Any] = []
    page = show(kernel.state, lambda command: held.append(kernel(command)))
    box = page.get_by_label("rank: percent of Gold")
    for share in ("30", "50", "70"):
        box.fill(share)
        box.press("Enter")
    page.evaluate("(answer) => window.receive(answer)", held[0])
    expect(box).to_have_value("70.0")
    page.wait_for_function("() => window.sent.length === 2")
    page.evaluate("(answer) => window.receive(answer)", held[1])
    expect(box).to_have_value("70.0")
    assert [command["weights"]["Gold"] for command in kernel.heard] == [0.3, 0.7]


def test_change_from_elsewhere_starts_anew(ladder: Page) -> None:
    """After the weights change from elsewhere, the others keep the proportions that they have then."""
    drag(ladder, "Gold", 100)
    settled(ladder)
    undone = rank(base={"weights": [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]})
    ladder.evaluate(PATCH, undone)
    expect(ladder.get_by_label("rank: percent of Gold")).to_have_value("20.0")
    drag(ladder, "Gold", 60)
    assert ladder.evaluate(SHOWN) == ["5.0", "5.0", "10.0", "60.0", "10.0", "10.0"]


def test_refused_weights_go_back(show: Any) -> None:
    """Where the kernel refuses weights, what was typed stays with its sentence and the others go back."""
    page = show(kernel := state(rank()), Kernel(kernel, set_weights="nobody is left"))
    box = page.get_by_label("rank: percent of Gold")
    box.fill("100")
    box.press("Enter")
    expect(page.get_by_text("nobody is left", exact=True)).to_be_visible()
    expect(box).to_have_value("100")
    expect(page.get_by_label("rank: percent of Silver")).to_have_value("30.0")


def test_even_shares(ladder: Page) -> None:
    """Even gives all that are not locked the same share."""
    ladder.get_by_label("rank: lock Bronze").click()
    ladder.get_by_label("rank: even shares").click()
    assert ladder.evaluate(SHOWN) == ["16.0", "20.0", "16.0", "16.0", "16.0", "16.0"]


def test_thirty_three_values(show: Any) -> None:
    """Thirty-three values have rows of at most 30 pixels in an area of their own, and their head stays in view."""
    page = show(kernel := state(categorical("country", {f"c{i}": 1 / 33 for i in range(33)})), Kernel(kernel))
    area = page.locator(".pl-weightlist")
    assert area.bounding_box()["height"] <= 400
    page.get_by_label("country: percent of c32").focus()
    expect(page.get_by_label("country: even shares")).to_be_in_viewport()
    assert page.locator(".pl-weight").nth(32).bounding_box()["height"] <= 30
    shown = page.evaluate("() => [...document.querySelectorAll('.pl-weight .pl-box')].map((box) => Number(box.value))")
    assert round(sum(shown), 6) == 100


def test_a_patch_leaves_what_is_being_typed(ladder: Page) -> None:
    """A patch from elsewhere changes the other boxes and leaves the one that is typed in, with its focus."""
    box = ladder.get_by_label("rank: percent of Gold")
    box.fill("3")
    ladder.evaluate(PATCH, rank(base={"weights": [0.5, 0.5, 0, 0, 0, 0]}))
    expect(ladder.get_by_label("rank: percent of Iron")).to_have_value("50.0")
    expect(box).to_have_value("3")
    expect(box).to_be_focused()
