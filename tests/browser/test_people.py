"""The population beside the editor: what an edit did to it, its table, its cards, and the commands they send."""

from __future__ import annotations

from typing import Any

from tests.browser.panels import DASH, RANKS, population, shares, state

EVIL = "<img src=x onerror=window.hurt=1>"


def shown(show: Any, tab: str = "Fidelity", **changes: Any) -> Any:
    """The editor of one field with a population changed in these ways, and one of its views."""
    page = show(state(shares("rank", RANKS), population=population(**changes)))
    page.get_by_role("tab", name=tab).click()
    return page


def sent(page: Any) -> list[dict[str, Any]]:
    """The commands sent so far, without their numbers."""
    return [{key: value for key, value in each.items() if key != "id"} for each in page.evaluate("window.sent")]


def patch(page: Any, **changes: Any) -> None:
    """Let the kernel send a new population."""
    page.evaluate("(patch) => receive({patch})", {"rev": 2, "population": population(**changes)})


def test_the_line_tells_what_an_edit_did(show: Any) -> None:
    """How many people changed, by this edit and by all, and how many texts are out of date."""
    page = shown(show)
    line = page.locator(".pl-effect")
    assert line.text_content() == "this edit changed 80, all edits 120 · texts of 12 personas to write again"
    patch(page, edited=1, changed=1001, texts=1)
    assert line.text_content() == "this edit changed 1, all edits 1,001 · texts of 1 persona to write again"
    patch(page, edited=0, changed=0, texts=0)
    assert line.text_content() == "nobody changed yet"
    patch(page, edited=1000, changed=127, texts=0, drawn=True)
    assert line.text_content() == "just drawn; the edits changed 127 of them"


def test_resample_asks_for_a_new_draw(show: Any) -> None:
    """The button asks for a draw and leaves the seed to the kernel."""
    page = shown(show)
    page.get_by_role("button", name="Resample").click()
    assert sent(page) == [{"op": "resample"}]


def test_size_and_seed_are_taken_over_on_enter(show: Any) -> None:
    """A number typed into either box draws anew with it, when Enter is pressed and not before."""
    page = shown(show)
    page.get_by_label("number of personas").fill("2,000")
    assert sent(page) == []
    page.keyboard.press("Enter")
    page.get_by_label("seed", exact=True).fill("11")
    page.keyboard.press("Tab")
    assert sent(page) == [{"op": "resample", "n": 2000}, {"op": "resample", "seed": 11}]


def test_what_is_no_whole_number_stays_and_is_explained(show: Any) -> None:
    """A size that cannot be is kept in its box with the reason, and nothing is sent."""
    page = shown(show)
    box = page.get_by_label("number of personas")
    box.fill("many")
    box.press("Enter")
    assert box.input_value() == "many"
    assert page.get_by_text("many is no whole number from 1 on").is_visible()
    assert box.get_attribute("aria-invalid") == "true"
    assert sent(page) == []


def test_a_refusal_stands_beside_the_box(show: Any) -> None:
    """What the kernel refuses stays in the box with the kernel's reason."""
    refused = {"message": "2000000 personas are too many for a form", "hint": "at most 100,000"}
    page = show(state(shares("rank", RANKS)), lambda command: {"ack": command["id"], "refused": refused})
    box = page.get_by_label("number of personas")
    box.fill("2000000")
    box.press("Enter")
    page.locator(".pl-draw").get_by_text("too many for a form → at most 100,000").wait_for()
    assert box.input_value() == "2000000"


def test_a_patch_leaves_what_is_being_typed(show: Any) -> None:
    """A population that arrives while a box is being typed in changes the other box only."""
    page = shown(show)
    page.get_by_label("number of personas").press_sequentially("5")
    typed = page.get_by_label("number of personas").input_value()
    patch(page, seed=8)
    assert page.get_by_label("number of personas").input_value() == typed
    assert page.get_by_label("seed", exact=True).input_value() == "8"


def test_writing_says_its_price_and_waits_while_the_model_works(show: Any) -> None:
    """The button tells how many texts it asks for, and is off while the model is at work."""
    page = shown(show)
    write = page.get_by_role("button", name="Write texts (12)")
    assert "tokens" in page.locator(f"#{write.get_attribute('aria-describedby')}").text_content()
    write.click()
    assert sent(page) == [{"op": "write"}]
    page.evaluate(
        "(patch) => receive({patch})", {"work": {"what": "write", "text": "", "done": 1, "total": 12, "tokens": 90}}
    )
    assert write.is_disabled()
    page.evaluate("(patch) => receive({patch})", {"work": None})
    assert write.is_enabled()


def test_the_table_shows_the_head(show: Any) -> None:
    """Columns, rows named by their persona, numbers to the right, and a dash where nothing is."""
    page = shown(show, "Table", rows=[["p_000", None, 20], ["p_001", "Gold", 31.5]])
    table = page.locator(".pl-people")
    assert table.locator("thead th").all_text_contents() == ["persona_id", "rank", "age"]
    assert table.locator("tbody tr").nth(0).locator("th, td").all_text_contents() == ["p_000", DASH, "20"]
    align = "(cell) => getComputedStyle(cell).textAlign"
    assert table.locator("tbody td").nth(1).evaluate(align) == "right"
    assert table.locator("tbody td").nth(0).evaluate(align) == "left"


def test_cells_that_an_edit_changed_are_marked(show: Any) -> None:
    """Only the cells that differ are marked, and only until the next edit."""
    page = shown(show, "Table")
    rows = [list(row) for row in population()["rows"]]
    rows[3][1] = "Silver"
    patch(page, rows=rows)
    assert page.locator(".pl-changed").all_text_contents() == ["Silver"]
    rows[4][2] = 99
    patch(page, rows=rows)
    assert page.locator(".pl-changed").all_text_contents() == ["99"]


def test_other_people_are_not_changed_people(show: Any) -> None:
    """A new draw or another page marks nothing."""
    page = shown(show, "Table")
    patch(page, seed=8, rows=[[f"p_{i:03}", "Iron", 60 + i] for i in range(8)])
    patch(page, seed=8, first=8, rows=[[f"p_{i:03}", "Gold", 20 + i] for i in range(8, 16)])
    assert page.locator(".pl-changed").count() == 0


def test_columns_that_come_and_go(show: Any) -> None:
    """A field added or removed changes the head and the rows."""
    page = shown(show, "Table")
    patch(page, columns=["id", "age"], rows=[[f"p_{i:03}", 20 + i] for i in range(8)])
    assert page.locator(".pl-people thead th").all_text_contents() == ["id", "age"]
    assert page.locator(".pl-people tbody tr").nth(7).locator("th, td").all_text_contents() == ["p_007", "27"]


def test_the_pages_are_turned_by_the_kernel(show: Any) -> None:
    """The table turns by eight, the cards by six, and at the ends a button does nothing and keeps the focus."""
    page = shown(show, "Table")
    assert page.locator(".pl-people-view .pl-place").text_content() == f"people 1{DASH}8 of 1,000"
    page.get_by_role("button", name="Previous rows").click(force=True)
    assert page.evaluate("document.activeElement.textContent") == "Previous"
    page.get_by_role("button", name="Next rows").click()
    page.get_by_role("tab", name="Personas").click()
    page.get_by_role("button", name="Next cards").click()
    assert sent(page) == [{"op": "page", "first": 8}, {"op": "page", "first": 6}]


def test_cards_tell_who_someone_is(show: Any) -> None:
    """A card has the name, the facts, and what was written."""
    page = shown(show, "Personas")
    card = page.locator(".pl-card").nth(1)
    assert card.locator("h4").text_content() == "Mina 1"
    assert card.locator("dt, dd").all_text_contents() == ["rank", "Gold", "age", "21"]
    assert card.get_by_text("Mina plays after work.").is_visible()


def test_a_text_out_of_date_says_so(show: Any) -> None:
    """A text that an edit made untrue is named as one to be written again."""
    cards = [{"id": "p_000", "name": "Mina", "facts": [], "tagline": "old", "portrait": None, "texts": [["why", None]]}]
    page = shown(show, "Personas", cards=cards)
    assert page.locator(".pl-card .pl-missing").all_text_contents() == ["text to be written again"] * 2
    bare = [cards[0] | {"name": "", "tagline": None}]
    patch(page, cards=bare, written=False)
    assert page.locator(".pl-card .pl-missing").all_text_contents() == ["not written yet"]
    assert page.locator(".pl-card h4").text_content() == "p_000"


def test_what_a_model_wrote_stays_text(show: Any) -> None:
    """Markup in a name, a fact, a text or a cell is shown, never run."""
    card = {
        "id": "p_000",
        "name": EVIL,
        "facts": [[EVIL, EVIL]],
        "tagline": EVIL,
        "portrait": EVIL,
        "texts": [[EVIL, EVIL]],
    }
    page = shown(show, "Table", cards=[card], columns=["id", EVIL], rows=[["p_000", EVIL]], summary=EVIL)
    page.get_by_role("tab", name="Personas").click()
    assert page.locator(".pl-card h4").text_content() == EVIL
    assert page.locator(".personalab-editor img").count() == 0
    assert page.evaluate("window.hurt") is None
    assert page.locator(".pl-people td").text_content() == EVIL
