"""In real JupyterLab, with a real kernel: what is done in the editor is there in the next cell."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import DARK, LIGHT, Lab
from tests.browser.reading import faint, violations
from tests.conftest import LEAGUE
from tests.executed import EDITED, executed

START = f"import personalab as lab\nbp = lab.Blueprint.load({str(LEAGUE)!r})"
FORM = "form = lab.edit(bp, n=1000, seed=7)\nform"
GOLD = "form.blueprint['rank'].base.weights['Gold']"
PEOPLE = "int((form.frame['rank'] == 'Gold').sum())"


@pytest.fixture
def editor(lab: Lab) -> Locator:
    """The editor of the example blueprint with a thousand people, open at its rank."""
    lab.open(lab.server.write("edit.ipynb"))
    return opened(lab, f"{START}\n{FORM}", "rank")


def opened(lab: Lab, source: str, field: str) -> Locator:
    """Run `source`, which shows a form, and choose a field of it."""
    shown = lab.run(source).locator(".personalab-editor")
    choose(shown, field)
    return shown


def choose(editor: Locator, goal: str) -> None:
    """Go to a field, or to the rules, with the keyboard."""
    goal_button = editor.get_by_role("navigation").get_by_role("button", name=re.compile(rf"^{goal}\b"))
    goal_button.focus()
    goal_button.press("Enter")
    expect(goal_button).to_have_attribute("aria-current", "true")


def mark(editor: Locator, value: str) -> Locator:
    """The line of a rank in the chart, whose text says what was requested and achieved."""
    return editor.get_by_role("tabpanel", name="Fidelity").locator(f"[data-field='rank'] [data-value='{value}']")


def heavier(editor: Locator, presses: int = 1) -> None:
    """Give Gold more weight, a percent a press of an arrow key, and wait until the chart has followed."""
    slider = editor.get_by_label("rank: weight of Gold")
    slider.focus()
    for _ in range(presses):
        slider.press("ArrowRight")
    expect(mark(editor, "Gold")).to_contain_text(f"achieved {25 + presses} %")


def test_a_key_reaches_the_next_cell(lab: Lab, editor: Locator) -> None:
    """One arrow key changes the blueprint, the people and the chart, and the next cell has their values."""
    heavier(editor)
    assert lab.value(GOLD) == "0.26"
    assert lab.value(PEOPLE) == "260"
    assert "as close to the blueprint as 1,000 personas can be" in lab.value("form.report.summary")


def test_people_are_those_of_blueprint_and_seed(lab: Lab, editor: Locator) -> None:
    """Whatever way led to a blueprint, its people are the start's, carried over in one go."""
    heavier(editor, presses=5)
    expect(editor.get_by_label("rank: percent of Gold")).to_have_value("30.0")
    anew = "lab.update(lab.sample(bp, 1000, seed=7), bp, form.blueprint, seed=7)"
    assert lab.value(f"form.frame.equals({anew}), {GOLD}") == "(True, 0.3)"


def test_undo_and_redo_by_keyboard(lab: Lab, editor: Locator) -> None:
    """Ctrl+Z takes a step back in the editor and the kernel, and Ctrl+Shift+Z takes it again."""
    heavier(editor)
    editor.page.keyboard.press("Control+z")
    expect(editor.get_by_label("rank: percent of Gold")).to_have_value("25.0")
    assert lab.value(f"form.blueprint == bp, {PEOPLE}") == "(True, 250)"
    editor.get_by_label("rank: weight of Gold").press("Control+Shift+z")
    expect(editor.get_by_label("rank: percent of Gold")).to_have_value("26.0")
    assert lab.value(PEOPLE) == "260"


def test_undo_in_a_cell_shows_in_the_page(lab: Lab, editor: Locator) -> None:
    """What the next cell does to the form is seen in the editor at once."""
    heavier(editor)
    lab.value("form.undo()")
    expect(editor.get_by_label("rank: percent of Gold")).to_have_value("25.0")


def test_what_cannot_be_stays_out(lab: Lab, editor: Locator) -> None:
    """A mean beyond the maximum stays in its box with the sentence that refuses it, and the blueprint as it was."""
    choose(editor, "hours_per_week")
    editor.get_by_role("button", name=re.compile("rank=Bronze: edit")).click()
    box = editor.get_by_label("hours_per_week where rank=Bronze: mean", exact=True)
    box.fill("900")
    box.press("Enter")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_value("900")
    expect(box).to_have_accessible_description(re.compile(r"\w+ \w+"))
    assert lab.value("form.blueprint == bp") == "True"


def test_renaming_takes_all_references_along(lab: Lab, editor: Locator) -> None:
    """A field renamed by keyboard is renamed for its children, in the rules and in the people."""
    name = editor.get_by_label("rank: name", exact=True)
    name.fill("tier")
    name.press("Enter")
    expect(editor.get_by_label("tier: name", exact=True)).to_be_visible()
    assert lab.value("form.blueprint['hours_per_week'].parents, 'tier' in form.frame") == "(('tier',), True)"


def test_a_file_reopens_where_it_was_left(lab: Lab) -> None:
    """With `file` every edit is saved; in a new kernel the same cell opens at the same blueprint and people."""
    lab.open(lab.server.write("file.ipynb"))
    cell = f"{START}\nform = lab.edit(bp, n=1000, seed=7, file='kept.yaml')\nform"
    heavier(opened(lab, cell, "rank"))
    assert lab.value(PEOPLE) == "260"
    lab.kernel("restartKernel")
    again = opened(lab, cell, "rank")
    expect(again.get_by_label("rank: percent of Gold")).to_have_value("26.0")
    assert lab.value(PEOPLE) == "260"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_text_can_be_read(lab: Lab, editor: Locator, theme: str) -> None:
    """In JupyterLab's themes every text of the editor and its chart stands out from its background."""
    lab.theme(theme)
    for goal in ["rank", "hours_per_week", "Rules", "About"]:
        choose(editor, goal)
        assert faint(editor) == []
    for tab in ["Table", "Personas"]:
        editor.get_by_role("tab", name=tab).click()
        assert faint(editor) == []


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_axe_finds_nothing(lab: Lab, editor: Locator, theme: str) -> None:
    """axe-core has no complaint about the editor, whatever of it is open."""
    lab.theme(theme)
    for goal in ["rank", "hours_per_week", "Rules", "About"]:
        choose(editor, goal)
        assert violations(editor, ".personalab-editor") == []
    for tab in ["Table", "Personas"]:
        editor.get_by_role("tab", name=tab).click()
        assert violations(editor, ".personalab-editor") == []


def test_escape_gives_the_keys_back(editor: Locator) -> None:
    """In the editor letters are letters; after Escape they are the notebook's, and `a` adds a cell."""
    cells = "() => window.panel.content.model.cells.length"
    slider = editor.get_by_label("rank: weight of Gold")
    slider.focus()
    editor.page.keyboard.press("a")
    assert editor.page.evaluate(cells) == 1
    editor.page.keyboard.press("Escape")
    editor.page.keyboard.press("a")
    editor.page.wait_for_function("() => window.panel.content.model.cells.length === 2")


def test_the_still_is_out_of_sight_beside_the_editor(lab: Lab, editor: Locator) -> None:
    """While the editor is alive its cell shows it alone; what is stored for other readers is hidden."""
    heavier(editor)
    still = lab.page.locator(".personalab-still")
    expect(still).to_have_count(1)
    expect(still).to_be_hidden()


def test_one_edit_is_one_message(lab: Lab, editor: Locator) -> None:
    """An edit is one message to the kernel, and six at most both ways."""
    lab.messages.clear()
    heavier(editor)
    assert lab.value("1") == "1"
    edit = lab.messages[: next(at for at, (_, kind) in enumerate(lab.messages) if kind == "execute_request")]
    assert [kind for way, kind in edit if way == "sent"] == ["comm_msg"]
    assert len(edit) <= 6


def test_a_burst_of_keys_loses_none(lab: Lab, editor: Locator) -> None:
    """Twenty quick presses end in one state, the same in the page and in the kernel, and are one step to undo."""
    heavier(editor, presses=20)
    assert lab.value(f"{GOLD}, {PEOPLE}, len(form.steps)") == "(0.45, 450, 2)"


def test_a_killed_kernel_is_said_and_nothing_vanishes(lab: Lab, editor: Locator) -> None:
    """When the kernel dies in the midst of an edit, the page says so and still shows what was last."""
    heavier(editor)
    lab.page.evaluate(
        "() => { window.panel.sessionContext.session.kernel.requestExecute({ code: 'import os; os._exit(1)' }); }"
    )
    lab.page.wait_for_function("() => !['busy', 'idle'].includes(window.panel.sessionContext.session?.kernel?.status)")
    editor.get_by_label("rank: weight of Gold").press("ArrowRight")
    expect(editor.locator(".pl-banner")).to_contain_text("kernel", timeout=60_000)
    expect(editor.get_by_label("rank: percent of Gold")).to_be_visible()
    expect(mark(editor, "Gold")).to_be_visible()


def test_the_saved_notebook_shows_the_last_state(lab: Lab, editor: Locator) -> None:
    """Saved after an edit and opened without a kernel, the notebook shows the edited blueprint as table and bars."""
    heavier(editor)
    editor.page.keyboard.press("Escape")
    lab.page.wait_for_function(
        "() => JSON.stringify(window.panel.content.model.sharedModel.cells[0].outputs).includes('0.26')"
    )
    lab.save()
    lab.close()
    lab.open(lab.server.folder / "edit.ipynb", has_kernel=False)
    still = lab.outputs(0).locator(".personalab-still")
    expect(still).to_be_visible()
    expect(still).to_contain_text("0.25 → 0.26")
    assert faint(still) == []


def test_a_strangers_notebook_shows_the_still(lab: Lab) -> None:
    """An untrusted notebook, executed elsewhere and opened without a kernel, shows the still."""
    path = lab.server.folder / "strange.ipynb"
    nbformat.write(executed(EDITED, lab.server.folder), path)
    lab.open(path, has_kernel=False)
    assert not lab.page.evaluate("() => window.panel.content.model.cells.get(1).trusted")
    still = lab.outputs(1).locator(".personalab-still")
    expect(still).to_be_visible()
    expect(still).to_contain_text("0.25 → 0.4")
    lab.theme(DARK)
    assert faint(still) == []
