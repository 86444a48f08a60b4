"""The editor's frame in a real browser: navigation, history, rules, the prompt bar, and what the kernel says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from personalab.editor.widget import css
from tests.browser.reading import faint, violations

Command = dict[str, Any]
State = dict[str, Any]


def field(name: str, kind: str = "categorical", parents: tuple[str, ...] = (), changed: bool = False) -> State:
    """A field as the kernel sends it, in short."""
    common = {"name": name, "kind": kind, "description": f"The {name} of a player.", "parents": list(parents)}
    common |= {"changed": changed, "depends": [], "mentioned": [], "barred": {}, "rows": [], "more": 0}
    if kind == "categorical":
        return common | {"values": ["a", "b"], "ordered": False, "base": {"weights": [0.25, 0.75]}}
    if kind == "numeric":
        curve = [1 - abs(at - 32) / 32 for at in range(64)]
        return common | {"base": {"min": 16, "max": 60, "mean": 24, "sd": 5, "integer": True, "curve": curve}}
    return common


def rule(name: str, text: str, broken: int) -> State:
    """A constraint as the kernel sends it."""
    return {"name": name, "text": text, "broken": broken}


def full() -> State:
    """A state in which every part of the frame has something to show."""
    names = {
        "region": field("region"),
        "rank": field("rank", parents=("region",), changed=True),
        "age": field("age", "numeric"),
        "hours": field("hours", "numeric", ("rank", "age")),
        "motto": field("motto", "text", ("rank",)),
    }
    card = {"id": "p_001", "name": "Ada", "facts": [["rank", "a"]], "texts": [["motto", "Onward"]]}
    cells = [["a", 0.25, 0.26, 0.2, 0.3], ["b", 0.75, 0.74, 0.7, 0.8]]
    shares = {"kind": "shares", "title": "", "tvd": 0.01, "limit": 0.05, "expected": 0.02, "cells": cells}
    population = {"n": 1000, "seed": 7, "changed": 120, "edited": 80, "texts": 12, "written": True, "first": 0}
    population |= {
        "columns": ["id", *names],
        "rows": [[f"p_{at:03}", "a", "b", 20 + at, 9.5, "Onward"] for at in range(8)],
    }
    population |= {"cards": [card | {"tagline": "Keeps going", "portrait": None}], "summary": "2 fields, all inside."}
    return {
        "rev": 3, "domain": "League of Legends players", "rationale": "From the ladder of 2024.", "sources": ["ladder"],
        "notes": ["hours was widened"], "names": list(names), "fields": names, "people": {},
        "constraints": [rule("grown", "age >= 16", 0), rule("awake", "hours < 100", 12)],
        "steps": ["opened", "weights of rank", "added motto", "mean of age"], "step": 2, "saved": "players.yaml",
        "diff": ["fields.rank.categorical.weights.a: 0.2 → 0.25", "fields.motto: added", "domain: a → b"],
        "warnings": [{"path": "fields.region", "reason": "has no sources.", "fix": "name where its shares are from."},
                     {"path": "fields.motto", "reason": "hangs on one field only.", "fix": ""}],
        "population": population | {"caption": "1 of 60 shares outside the band"},
        "panels": {"region": shares | {"field": "region"}, "rank": shares | {"field": "rank"}},
        "groundings": ["off", "web"], "model": "a model", "work": None, "error": None, "has_blueprint": True,
    }  # fmt: skip


def empty() -> State:
    """The state of an editor that opened without a blueprint."""
    nothing: State = {key: [] for key in ("sources", "notes", "names", "constraints", "diff", "warnings")}
    nothing |= {"rev": 0, "domain": "", "rationale": "", "fields": {}, "people": None, "panels": {}, "population": None}
    nothing |= {"steps": ["opened"], "step": 0, "saved": "", "groundings": ["off", "web"], "model": "", "work": None}
    return nothing | {"error": None, "has_blueprint": False}


Answer = Callable[[Command], dict[str, Any]]


def kernel(**answers: Answer) -> tuple[list[Command], Callable[[Command], dict[str, Any]]]:
    """What came in, and a handler that answers each op as told, else with an empty patch."""
    came: list[Command] = []

    def handle(command: Command) -> dict[str, Any]:
        came.append(command)
        return {"ack": command["id"], **answers.get(command["op"], lambda _: {"patch": {}})(command)}

    return came, handle


def patch(**parts: Any) -> Answer:
    """An answer that changes the state."""
    return lambda _: {"patch": parts}


def refuse(message: str, hint: str = "") -> Answer:
    """An answer that changes nothing."""
    return lambda _: {"refused": {"message": message, "hint": hint}}


def test_arrow_keys_walk_the_fields(show: Any) -> None:
    """Arrow keys, Home and End move through the list, and what is shown follows the focus."""
    page = show(full(), kernel()[1])
    page.get_by_role("button", name="region (categorical)").focus()
    page.keyboard.press("ArrowDown")
    rank = page.get_by_role("button", name="rank (categorical, from region, changed)")
    expect(rank).to_be_focused()
    expect(rank).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("region", name="rank", exact=True)).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("heading", name="About this blueprint")).to_be_visible()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="Rules (2)")).to_be_focused()
    page.keyboard.press("Home")
    expect(page.get_by_role("region", name="region", exact=True)).to_be_visible()


def test_undo_and_redo_have_keys_and_names(show: Any) -> None:
    """Ctrl+Z and Ctrl+Y send one command each, and the buttons say what they would take back."""
    came, handle = kernel(undo=patch(rev=4, step=1), redo=patch(rev=5, step=2))
    page = show(full(), handle)
    page.get_by_role("button", name="Undo: added motto").focus()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("button", name="Undo: weights of rank")).to_be_visible()
    expect(page.locator(".pl-status")).to_have_text("Undone: added motto. 80 of 1,000 personas changed.")
    page.keyboard.press("Control+y")
    expect(page.get_by_role("button", name="Undo: added motto")).to_be_visible()
    expect(page.locator(".pl-status")).to_have_text("Redone: added motto. 80 of 1,000 personas changed.")
    assert [command["op"] for command in came] == ["undo", "redo"]


@pytest.mark.parametrize("gone", ["grown", "awake"])
def test_the_focus_stays_when_its_place_goes(show: Any, gone: str) -> None:
    """A rule removed by its button leaves the focus in the rules, so that the keys stay the editor's."""
    left = [rule(name, "hours < 100", 0) for name in ("grown", "awake") if name != gone]
    page = show(full(), kernel(remove_constraint=patch(rev=4, constraints=left))[1])
    page.get_by_role("button", name="Rules (2)").click()
    page.get_by_role("button", name=f"Remove rule {gone}").press("Enter")
    expect(page.get_by_label(f"Name of rule {left[0]['name']}")).to_be_focused()


def test_the_focus_stays_when_the_prompt_is_answered(show: Any) -> None:
    """The box of the sentence closes once there is a blueprint, and the focus stays in the editor."""
    page = show(empty(), kernel()[1])
    page.get_by_label("Who are the people?").focus()
    page.evaluate("(patch) => window.receive({patch})", full() | {"work": None})
    page.wait_for_function("() => document.activeElement.matches('.personalab-editor *')")
    expect(page.get_by_label("Who are the people?")).to_be_hidden()


def test_typed_text_has_its_own_undo(show: Any) -> None:
    """In a box with text that was not taken yet, Ctrl+Z takes back typing and not a step."""
    came, handle = kernel()
    page = show(full(), handle)
    page.get_by_role("button", name="New from a sentence").click()
    box = page.get_by_role("textbox", name="Who are the people?")
    box.press_sequentially("nurses")
    page.keyboard.press("Control+z")
    expect(box).not_to_have_value("nurses")
    assert came == []


def test_nothing_is_sent_where_there_is_nothing_to_undo(show: Any) -> None:
    """At the first step the Undo button stays focusable and sends nothing."""
    came, handle = kernel()
    page = show(full() | {"step": 0}, handle)
    undo = page.get_by_role("button", name="Undo", exact=True)
    expect(undo).to_have_attribute("aria-disabled", "true")
    undo.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Control+z")
    assert came == []


def test_a_click_on_a_step_jumps_there(show: Any) -> None:
    """The list of steps marks the present one, tells the undone, and jumps."""
    came, handle = kernel(jump=patch(rev=4, step=1))
    page = show(full(), handle)
    page.get_by_role("button", name="Steps").click()
    expect(page.get_by_role("button", name="added motto", exact=True)).to_have_attribute("aria-current", "step")
    expect(page.get_by_role("button", name="mean of age (undone)")).to_be_visible()
    step = page.get_by_role("button", name="weights of rank", exact=True)
    step.click()
    expect(step).to_have_attribute("aria-current", "step")
    expect(step).to_be_focused()
    assert came[0] | {"id": 0} == {"id": 0, "op": "jump", "step": 1}


def test_the_focus_stays_in_the_box_of_a_renamed_field(show: Any) -> None:
    """After a renaming the editor is that of the new name, and the focus is in its name."""
    state = full()
    names = ["area", *state["names"][1:]]
    answer = patch(rev=4, names=names, fields={"area": field("area")}, select="area")
    page = show(state, kernel(rename_field=answer)[1])
    page.get_by_role("textbox", name="region: name").fill("area")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="area: name")).to_be_focused()


def test_changes_are_listed(show: Any) -> None:
    """The number of changes stands on the button, the changes behind it."""
    page = show(full(), kernel()[1])
    page.get_by_role("button", name="Changes (3)").click()
    expect(page.get_by_text("fields.motto: added")).to_be_visible()


def test_saving_says_when(show: Any) -> None:
    """A file saved under the same name as before is told all the same."""
    page = show(full(), kernel()[1])
    page.get_by_role("button", name="File").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved to players.yaml at")).to_be_visible()


def test_a_file_is_saved_or_the_reason_said(show: Any) -> None:
    """Save sends the path as typed; a refusal stays beside the box."""
    came, handle = kernel(save=refuse("'/x' is no folder.", "Choose another."))
    page = show(full(), handle)
    page.get_by_role("button", name="File").click()
    box = page.get_by_role("textbox", name="YAML file")
    expect(box).to_have_value("players.yaml")
    box.fill("/x/y.yaml")
    page.get_by_role("button", name="Save").click()
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_accessible_description("'/x' is no folder. → Choose another.")
    assert came[0]["path"] == "/x/y.yaml"


def test_an_added_field_is_shown(show: Any) -> None:
    """Add sends name and kind; the new field is selected and has the focus."""
    state = full()
    fields = {"names": [*state["names"], "tilt"], "fields": {"tilt": field("tilt", "numeric")}}
    came, handle = kernel(add_field=patch(rev=4, select="tilt", **fields))
    page = show(state, handle)
    page.get_by_role("button", name="Add field").click()
    page.get_by_role("textbox", name="Name of the new field").fill("tilt")
    page.get_by_role("combobox", name="Kind of the new field").select_option("number")
    page.get_by_role("button", name="Add", exact=True).press("Enter")
    expect(page.get_by_role("button", name="tilt (numeric)")).to_be_focused()
    expect(page.get_by_role("region", name="tilt", exact=True)).to_be_visible()
    assert came[0] | {"id": 0} == {"id": 0, "op": "add_field", "name": "tilt", "kind": "numeric"}


def test_a_refused_field_says_why(show: Any) -> None:
    """A refused name stays in its box, with the reason beside it and in the status."""
    page = show(full(), kernel(add_field=refuse("There is a field 'rank'."))[1])
    page.get_by_role("button", name="Add field").click()
    box = page.get_by_role("textbox", name="Name of the new field")
    box.fill("rank")
    box.press("Enter")
    expect(box).to_have_accessible_description("There is a field 'rank'.")
    expect(box).to_have_value("rank")
    expect(page.locator(".pl-status")).to_have_text("Not done: There is a field 'rank'.")


def test_a_rule_is_checked_as_it_is_typed(show: Any) -> None:
    """What is typed is checked once the keys rest, and taken on leaving the box."""
    came, handle = kernel(
        check=lambda command: {
            "check": {"ok": command["text"] == "age >= 18", "message": "binds 40 of 1,000.", "n": 1000}
        },
        change_constraint=patch(rev=4, constraints=[{"name": "grown", "text": "age >= 18", "broken": 0}]),
    )
    page = show(full(), handle)
    page.get_by_role("button", name="Rules (2)").click()
    box = page.get_by_role("textbox", name="Rule grown", exact=True)
    box.fill("age >=")
    expect(box).to_have_accessible_description("Not yet a rule: binds 40 of 1,000.")
    box.fill("age >= 18")
    expect(page.get_by_text("Valid: binds 40 of 1,000.")).to_be_visible()
    box.press("Enter")
    expect(page.get_by_role("button", name="Rules (1)")).to_be_visible()
    expect(box).to_be_focused()
    sent = [command for command in came if command["op"] == "change_constraint"]
    assert sent == [sent[0] | {"name": "grown", "to_name": "grown", "text": "age >= 18"}]


@pytest.mark.parametrize("width", [830, 560])
def test_a_long_rule_can_be_read(show: Any, width: int) -> None:
    """A rule and its name are as wide as the pane, so that nothing of them is cut off."""
    long = rule("nobody_newly_qualified_on_nights", "hours <= 60 - 10 * (age >= 60)", 0)
    page = show(full() | {"constraints": [long]}, kernel()[1])
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("button", name="Rules (1)").click()
    for box in page.locator(".pl-rules input").all():
        assert box.evaluate("(each) => each.scrollWidth - each.clientWidth") == 0


def test_a_refused_rule_stays_until_escape(show: Any) -> None:
    """A refused rule keeps its text and says why; Escape puts back what holds."""
    page = show(full(), kernel(change_constraint=refuse("'x' is no field."))[1])
    page.get_by_role("button", name="Rules (2)").click()
    box = page.get_by_role("textbox", name="Rule awake", exact=True)
    box.fill("x < 1")
    box.press("Enter")
    expect(box).to_have_accessible_description("'x' is no field.")
    expect(box).to_have_value("x < 1")
    box.press("Escape")
    expect(box).to_have_value("hours < 100")
    expect(box).to_be_focused()


def test_a_new_rule_is_written_with_field_names(show: Any) -> None:
    """A click on a field's name puts it where the caret is; Enter adds the rule under a free name."""
    rules = [*full()["constraints"], {"name": "rule_1", "text": "age < 90", "broken": 1}]
    came, handle = kernel(add_constraint=patch(rev=4, constraints=rules))
    page = show(full(), handle)
    page.get_by_role("button", name="Rules (2)").click()
    box = page.get_by_role("textbox", name="A new rule", exact=True)
    page.get_by_role("button", name="age", exact=True).click()
    expect(box).to_be_focused()
    page.keyboard.type(" < 90")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Rule rule_1", exact=True)).to_have_value("age < 90")
    expect(page.get_by_text("1 person breaks it")).to_be_visible()
    expect(box).to_have_value("")
    (sent,) = (command for command in came if command["op"] == "add_constraint")
    assert (sent["name"], sent["text"]) == ("rule_1", "age < 90")


def test_a_renamed_rule_keeps_its_row(show: Any) -> None:
    """The focus stays in the box in which a rule was given another name."""
    rules = [full()["constraints"][0] | {"name": "adult"}, full()["constraints"][1]]
    page = show(full(), kernel(change_constraint=patch(rev=4, constraints=rules))[1])
    page.get_by_role("button", name="Rules (2)").click()
    page.get_by_role("textbox", name="Name of rule grown").fill("adult")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Name of rule adult")).to_be_focused()


def test_what_the_blueprint_says_is_taken_on_leaving(show: Any) -> None:
    """The texts about the whole are sent when their box is left, once."""
    came, handle = kernel(about=patch(rev=4, sources=["ladder", "census"]))
    page = show(full(), handle)
    page.get_by_role("button", name="About").click()
    box = page.get_by_role("textbox", name="Sources, one a line")
    expect(box).to_have_value("ladder")
    box.fill("ladder\ncensus")
    box.press("Control+Enter")
    page.get_by_role("textbox", name="Rationale").focus()
    expect(page.locator(".pl-status")).to_contain_text("80 of 1,000 personas changed.")
    assert [(each["key"], each["text"]) for each in came if each["op"] == "about"] == [("sources", "ladder\ncensus")]


def test_escape_closes_then_gives_the_keys_back(show: Any) -> None:
    """Escape closes an open panel first; with none open, the notebook's cell gets the focus."""
    page = show(full(), kernel()[1])
    page.evaluate("() => { document.body.classList.add('jp-Cell'); document.body.tabIndex = -1; }")
    steps = page.get_by_role("button", name="Steps")
    steps.click()
    page.get_by_role("button", name="opened", exact=True).focus()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Reset to start")).to_be_hidden()
    expect(steps).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("body")).to_be_focused()


def test_a_notebooks_keys_do_not_act_on_cells(show: Any) -> None:
    """The focused element is marked as JupyterLab asks before it sees a key; with Ctrl only what is the editor's."""
    page = show(full(), kernel()[1])
    page.evaluate("""() => {
      window.kept = [];
      const seen = ({target, key}) => window.kept.push([key, target.hasAttribute("data-lm-suppress-shortcuts")]);
      document.addEventListener("keydown", seen, true);
    }""")
    page.get_by_role("button", name="Steps").focus()
    for keys in ("b", "Shift+ArrowDown", "Control+z", "Control+k"):
        page.keyboard.press(keys)
    kept = dict(page.evaluate("window.kept"))
    assert (kept["b"], kept["ArrowDown"], kept["z"], kept["k"]) == (True, True, True, False)


def test_enter_works_inside_a_notebook(show: Any) -> None:
    """JupyterLab takes Enter away from boxes in cells; here it sends a form and breaks a line all the same."""
    page = show(full(), kernel(add_field=refuse("No."))[1])
    page.evaluate("""() => document.addEventListener("keydown", ({target}) => {
      target.addEventListener("beforeinput", (event) => event.preventDefault(), {once: true});
    }, true)""")
    page.get_by_role("button", name="Add field").click()
    box = page.get_by_role("textbox", name="Name of the new field")
    box.fill("rank")
    box.press("Enter")
    expect(box).to_have_accessible_description("No.")
    page.get_by_role("button", name="About").click()
    sources = page.get_by_role("textbox", name="Sources, one a line")
    sources.press("End")
    sources.press("Enter")
    expect(sources).to_have_value("ladder\n")


def test_a_sentence_starts_a_blueprint(show: Any) -> None:
    """Without a blueprint the prompt stands open; it asks for what lacks, shows progress, and can be cancelled."""
    work = {"what": "infer", "text": "Asking for fields", "done": 0, "total": 0, "tokens": 1200}
    came, handle = kernel(infer=patch(work=work), cancel=patch(work=None))
    page = show(empty(), handle)
    box = page.get_by_role("textbox", name="Who are the people?")
    page.get_by_role("button", name="Infer").click()
    expect(box).to_have_accessible_description("Say in a sentence who the people are.")
    box.fill("40 nurses in Kenya")
    page.get_by_role("spinbutton", name="How many").fill("40")
    page.get_by_role("combobox", name="Grounding").select_option("web")
    box.press("Enter")
    expect(page.get_by_role("progressbar", name="Progress")).to_be_visible()
    expect(page.get_by_text("Asking for fields")).to_be_visible()
    expect(page.get_by_text("1,200 tokens")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("progressbar", name="Progress")).to_be_hidden()
    assert came[0] | {"id": 0} == {
        "id": 0,
        "op": "infer",
        "prompt": "40 nurses in Kenya",
        "count": 40,
        "grounding": "web",
    }


def test_the_first_blueprint_folds_the_prompt(show: Any) -> None:
    """When a blueprint arrives, its fields take the prompt's place."""
    page = show(empty(), kernel()[1])
    page.evaluate("(patch) => window.receive({patch})", full())
    expect(page.get_by_role("textbox", name="Who are the people?")).to_be_hidden()
    expect(page.get_by_role("button", name="New from a sentence")).to_be_visible()
    expect(page.get_by_role("button", name="region (categorical)")).to_have_attribute("aria-current", "true")
    expect(page.get_by_role("tab", name="Fidelity")).to_be_visible()


def test_an_error_is_an_alert(show: Any) -> None:
    """What went wrong is said with what to do, and can be put away."""
    page = show(full(), kernel()[1])
    page.evaluate("() => window.receive({patch: {error: {message: 'No answer.', hint: 'Start the server.'}}})")
    expect(page.get_by_role("alert")).to_have_text("No answer.Start the server.")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_error_is_said_beside_the_people_too(show: Any) -> None:
    """Where the texts were asked for, below an editor that may be long, the error of the model can be read."""
    page = show(full(), kernel()[1])
    page.evaluate("receive({patch: {error: {message: 'the key was refused', hint: 'set OPENAI_API_KEY'}}})")
    beside = page.get_by_role("region", name="population").locator(".pl-complaint:visible")
    expect(beside).to_have_text("the key was refused → set OPENAI_API_KEY")
    page.evaluate("receive({patch: {error: null}})")
    expect(beside).to_have_count(0)


def test_a_model_that_begins_to_work_is_no_step(show: Any) -> None:
    """What was said last stays; that the model works is said in its own place."""
    page = show(empty(), kernel()[1])
    before = page.locator(".pl-status").text_content()
    page.evaluate("receive({patch: {rev: 1, work: {what: 'infer', text: 'inferring', done: 0, total: 0, tokens: 0}}})")
    expect(page.locator(".pl-work")).to_be_visible()
    expect(page.locator(".pl-status")).to_have_text(before)


def test_a_draw_is_told_as_a_draw(show: Any) -> None:
    """New people are not told as a change to each of the old ones."""
    page = show(full(), kernel()[1])
    drawn = full()["population"] | {"edited": 1000, "changed": 0, "drawn": True}
    page.evaluate("(patch) => receive({patch})", {"rev": 4, "population": drawn})
    expect(page.locator(".pl-status")).to_contain_text("1,000 personas drawn.")


def test_silence_is_told(show: Any) -> None:
    """A kernel that does not answer for seconds is reported, until it does."""
    page = show(full())
    page.evaluate("() => { window.handle = () => new Promise(() => {}); }")
    page.clock.install()
    page.get_by_role("button", name="Undo: added motto").click()
    page.clock.run_for(5000)
    banner = page.get_by_text("The kernel has not answered for some seconds.")
    expect(banner).to_be_visible()
    page.evaluate("() => window.receive({ack: window.sent.at(-1).id, patch: {}})")
    expect(banner).to_be_hidden()


def test_a_lost_kernel_is_told(show: Any) -> None:
    """Where nothing can be sent any more, the editor says to run the cell again."""
    page = show(full())
    page.evaluate("() => { window.handle = () => { throw new Error('closed'); }; }")
    page.get_by_role("button", name="Undo: added motto").click()
    expect(page.get_by_text("The kernel that ran this editor is gone. Run the cell again")).to_be_visible()


def test_the_outputs_rest_when_the_focus_leaves(show: Any) -> None:
    """After an edit, leaving the editor asks once for the stored outputs to follow."""
    came, handle = kernel(undo=patch(rev=4, step=1))
    page = show(full(), handle)
    button = page.get_by_role("button", name="Undo: added motto")
    button.focus()
    page.evaluate("() => document.activeElement.blur()")
    button.focus()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("button", name="Undo: weights of rank")).to_be_visible()
    page.evaluate("() => document.activeElement.blur()")
    page.evaluate("() => new Promise((done) => setTimeout(done))")
    assert [command["op"] for command in came] == ["undo", "rest"]


def test_the_outputs_rest_after_seconds_of_quiet(show: Any) -> None:
    """Three seconds after the last edit the stored outputs follow, with the focus still inside."""
    came, handle = kernel(undo=patch(rev=4, step=1))
    page = show(full(), handle)
    page.clock.install()
    page.get_by_role("button", name="Undo: added motto").click()
    expect(page.get_by_role("button", name="Undo: weights of rank")).to_be_visible()
    assert [command["op"] for command in came] == ["undo"]
    page.clock.run_for(3100)
    page.wait_for_function("() => window.sent.length === 2")
    assert [command["op"] for command in came] == ["undo", "rest"]


def test_tabs_follow_the_arrow_keys(show: Any) -> None:
    """The three views of the people are tabs: one is shown, arrow keys change it."""
    page = show(full(), kernel()[1])
    page.get_by_role("tab", name="Fidelity").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Table")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Table")).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("tabpanel", name="Personas")).to_be_visible()
    expect(page.get_by_role("tabpanel", name="Table")).to_be_hidden()


def test_invalid_input_waits_for_the_way_back(show: Any) -> None:
    """A field's editor with something refused in it is as it was after a look at another field."""
    page = show(full(), kernel(rename_field=refuse("There is a field 'rank'."))[1])
    box = page.get_by_role("textbox", name="region: name")
    box.fill("rank")
    box.press("Enter")
    expect(box).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="age (numeric)").click()
    expect(box).to_be_hidden()
    page.get_by_role("button", name="region (categorical)").click()
    expect(box).to_have_value("rank")


def test_a_view_off_the_page_is_up_to_date_when_it_returns(show: Any) -> None:
    """A notebook takes cells off the page and puts them back; what came meanwhile is shown."""
    page = show(full(), kernel()[1])
    page.evaluate("""() => {
      const root = document.querySelector(".personalab-editor");
      const place = root.parentElement;
      root.remove();
      window.receive({patch: {domain: "Nurses"}});
      place.append(root);
      window.receive({patch: {diff: []}});
    }""")
    expect(page.get_by_role("heading", name="Nurses")).to_be_visible()
    expect(page.get_by_role("button", name="Changes", exact=True)).to_be_visible()


RULES = """() => {
  const count = (rules) => [...rules].reduce((sum, rule) => sum + 1 + count(rule.cssRules ?? []), 0);
  return count(document.styleSheets[0].cssRules);
}"""
COLOURS = ("ui-font-color1", "layout-color1", "layout-color2", "border-color1")
LAB = {"light": ("rgba(0,0,0,.87)", "#fff", "#eee", "#bdbdbd"), "dark": ("#fff", "#212121", "#424242", "#616161")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("in_lab", [False, True], ids=["page", "lab"])
@pytest.mark.parametrize("part", ["region (categorical)", "Rules (2)", "About"])
def test_all_text_has_contrast(show: Any, page: Any, scheme: str, in_lab: bool, part: str) -> None:
    """Every text stands out from what is behind it by at least 4.5, in a plain page and with Lab's colours."""
    page.emulate_media(color_scheme=scheme)
    page = show(full() | {"work": None, "error": {"message": "No answer.", "hint": "Start it."}}, kernel()[1])
    if in_lab:
        colours = zip(COLOURS, LAB[scheme], strict=True)
        page.add_style_tag(content=f"body {{ {';'.join(f'--jp-{name}: {colour}' for name, colour in colours)} }}")
        page.evaluate("(light) => { document.body.dataset.jpThemeLight = light; }", str(scheme == "light").lower())
    page.get_by_role("button", name=part).click()
    page.get_by_role("button", name="Steps").click()
    dark = page.locator(".personalab-editor.pl-dark")
    expect(dark).to_have_count(int(scheme == "dark"))
    assert faint(page.locator(".personalab-editor")) == []


def test_lab_decides_on_the_theme(show: Any, page: Any) -> None:
    """Inside JupyterLab its theme counts, not the system's; a change of it is followed."""
    page.emulate_media(color_scheme="dark")
    page = show(full(), kernel()[1])
    root = page.locator(".personalab-editor")
    expect(root).to_have_class("personalab-editor pl-dark")
    page.evaluate("() => { document.body.dataset.jpThemeLight = 'true'; }")
    expect(root).to_have_class("personalab-editor")


def test_the_browser_takes_every_style(show: Any) -> None:
    """Each block of the style sheets is a rule that holds: one that cannot be read would be passed over in silence."""
    written = re.sub(r"/\*.*?\*/", "", css(), flags=re.DOTALL).count("{")
    assert show(full(), kernel()[1]).evaluate(RULES) == written


def test_a_light_page_stays_light(show: Any, page: Any) -> None:
    """A page with a white background of its own gets no dark editor, whatever the system prefers."""
    page.emulate_media(color_scheme="dark")
    page = show(full(), kernel()[1])
    page.evaluate("() => { document.body.style.background = 'white'; }")
    expect(page.locator(".personalab-editor")).to_have_class("personalab-editor")


@pytest.mark.parametrize("part", ["region (categorical)", "hours", "Rules (2)", "About"])
def test_axe_finds_nothing(show: Any, part: str) -> None:
    """axe-core finds no violation, with a panel, a form and an alert open."""
    work = {"what": "write", "text": "Writing texts", "done": 3, "total": 12, "tokens": 9}
    page = show(full() | {"work": work, "error": {"message": "No answer.", "hint": ""}}, kernel()[1])
    page.get_by_role("button", name=part).first.click()
    page.get_by_role("button", name="New from a sentence").click()
    page.get_by_role("button", name="Add field").click()
    assert violations(page.locator(".personalab-editor"), ".personalab-editor") == []
