"""Names and values that try to run something in whoever opens a blueprint: in real JupyterLab, and in the editor."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from personalab.blueprint.model import Blueprint
from personalab.editor.session import Session
from tests.browser.lab import Lab
from tests.hostile import HOSTILE, SENTINEL

CHARTS = """from IPython.display import display
from tests.hostile import HOSTILE
from tests.test_charts import named
for name, chart in named(HOSTILE[{at}:{at} + 6], HOSTILE[{at}:{at} + 6]):
    display(chart)"""
GROUPS = (0, 12, 36)  # where those stand that compute, and JavaScript's own words
EACH = 12  # charts of a group

OPENED = """(buttons) => buttons.map((button) => { button.focus(); return button.ariaLabel ?? button.innerText; })"""


def nothing_ran(place: Locator) -> bool:
    """Whether no script and no expression of a name was run; what was computed would show in the page."""
    pwned = place.page.evaluate("() => window.pwned")
    return pwned is None and SENTINEL not in str(place.evaluate("(element) => element.outerHTML"))


def test_charts_of_hostile_names_run_nothing_in_jupyterlab(lab: Lab) -> None:
    """Lab's own Vega draws every one of them, and computes and runs nothing of what the names say."""
    lab.open(lab.server.write("hostile.ipynb"))
    for at in GROUPS:
        shown = lab.run(CHARTS.format(at=at))
        expect(shown.locator(".vega-embed svg.marks")).to_have_count(EACH)
        assert nothing_ran(shown)


def blueprint() -> Blueprint:
    """A field for every hostile name, by turns of hostile values and of numbers, and one that depends on the first."""
    fields: list[dict[str, Any]] = []
    for at, name in enumerate([*HOSTILE, "child"]):
        weights = dict.fromkeys((HOSTILE * 2)[at : at + 4], 0.25)
        number = {"kind": "numeric", "numeric": {"min": 0, "max": 90, "mean": 30, "sd": 12}}
        shares = {"kind": "categorical", "categorical": {"weights": weights}}
        fields.append({"name": name, "description": name, **(number if at % 2 else shares)})
    fields[-1] |= {"parents": [HOSTILE[0], HOSTILE[1]]}
    names = [field["name"] for field in fields]
    return Blueprint.from_dict({"domain": HOSTILE[1], "order": names, "fields": fields, "rationale": HOSTILE[2]})


def test_the_editor_shows_hostile_names_as_they_are(show: Any) -> None:
    """Every name is a button, its field can be opened, and nothing of it runs."""
    session = Session(blueprint(), n=50, seed=1)
    page = show(session.state(), session.handle)
    buttons = page.get_by_role("navigation").get_by_role("button")
    labels = buttons.evaluate_all(OPENED)
    assert [name for name, label in zip([*HOSTILE, "child"], labels, strict=False) if name not in label] == []
    assert nothing_ran(page.locator("body"))
