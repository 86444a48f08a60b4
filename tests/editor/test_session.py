"""What `personalab.editor.session` promises: path independence, whole steps, honest refusals, and small patches."""

from __future__ import annotations

import asyncio
import json
import logging
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalab import Blueprint, Population, edits, inference, report, sample, update
from personalab.editor.panels import curve
from personalab.editor.session import Session
from personalab.editor.state import BY_NAME, changes
from personalab.errors import BlueprintError, RequestError
from personalab.inference.draft import EXAMPLE
from personalab.llm import replies
from personalab.writing.write import write
from tests.browser import panels
from tests.conftest import LEAGUE
from tests.fluent import Fluent, answer

TOP = {"low": 0.2, "mid": 0.3, "top": 0.5}
BP = Blueprint.from_dict({
    "domain": "players",
    "order": ["region", "rank", "age", "hours", "spare"],
    "fields": [
        {"name": "region", "kind": "categorical", "categorical": {"weights": {"EU": 0.5, "NA": 0.3, "KR": 0.2}}},
        {"name": "rank", "kind": "categorical", "parents": ["region"], "ordered_values": ["low", "mid", "top"],
         "categorical": {"weights": {"low": 0.5, "mid": 0.3, "top": 0.2}},
         "conditionals": [{"when": {"region": "KR"}, "categorical": {"weights": TOP}}]},
        {"name": "age", "kind": "numeric", "numeric": {"min": 16, "max": 60, "mean": 27, "sd": 7, "integer": True}},
        {"name": "hours", "kind": "numeric", "parents": ["rank"], "conditionals": [
            {"when": {"rank": "low"}, "numeric": {"min": 0, "max": 30, "mean": 8, "sd": 5}},
            {"when": {"rank": "top"}, "numeric": {"min": 0, "max": 60, "mean": 30, "sd": 9}}]},
        {"name": "spare", "kind": "numeric", "parents": ["rank"], "numeric": {"min": 0, "max": 9, "mean": 4, "sd": 2},
         "conditionals": [{"when": {"rank": rank}, "numeric": {"min": 0, "max": 9, "mean": 5, "sd": 2}}
                          for rank in ("low", "mid", "top")]},
        {"name": "story", "kind": "text"},
    ],
    "constraints": [{"name": "awake", "lhs": "hours", "op": "<=", "rhs": "age * 2"}],
})  # fmt: skip
EVEN = {"EU": 0.25, "NA": 0.25, "KR": 0.5}
AGE = {"min": 18, "max": 60, "mean": 30, "sd": 7, "integer": True}

# One command for each thing that can be edited.
EDITS = {
    "set_weights": {"field": "region", "when": None, "weights": EVEN},
    "set_numeric": {"field": "age", "when": None, **AGE},
    "add_base": {"field": "hours"},
    "remove_base": {"field": "spare"},
    "add_row": {"field": "rank", "when": {"region": "EU"}},
    "remove_row": {"field": "rank", "when": {"region": "KR"}},
    "change_when": {"field": "rank", "when": {"region": "KR"}, "to": {"region": "EU"}},
    "add_value": {"field": "region", "value": "BR"},
    "rename_value": {"field": "region", "value": "EU", "to": "Europe"},
    "remove_value": {"field": "region", "value": "NA"},
    "move_value": {"field": "region", "value": "NA", "by": -1},
    "set_ordered": {"field": "region", "ordered": True},
    "set_parents": {"field": "age", "parents": ["region"]},
    "describe": {"field": "age", "text": "in years"},
    "about": {"key": "domain", "text": "gamers"},
    "add_field": {"name": "team", "kind": "categorical"},
    "rename_field": {"field": "rank", "to": "tier"},
    "remove_field": {"field": "hours"},
    "duplicate_field": {"field": "age"},
    "move_field": {"field": "age", "by": -1},
    "add_constraint": {"name": "grown", "text": "age >= 20"},
    "change_constraint": {"name": "awake", "to_name": "awake", "text": "hours <= 50"},
    "remove_constraint": {"name": "awake"},
}
MODEL_WAIT = 20.0  # seconds after which a fake model is taken for stuck


@pytest.fixture(autouse=True)
def _alone(tmp_path):
    """Let each test start without replies of another."""
    with replies.use(tmp_path / "calls"):
        yield


def ask(session, op, **args):
    """Send a command as the page does, and read the answer as the page does."""
    return json.loads(json.dumps(session.handle({"id": 1, "op": op, **args}), allow_nan=False))


def patched(state, patch):
    """The state with a patch laid over it, as the page does."""
    laid = state | {key: value for key, value in patch.items() if key not in (*BY_NAME, "select")}
    for key in BY_NAME:
        if key in patch and patch[key] is not None and laid[key] is not None:
            laid[key] = laid[key] | patch[key]
        elif key in patch:
            laid[key] = patch[key]
        if laid[key] is not None:
            laid[key] = {name: part for name, part in laid[key].items() if part is not None and name in laid["names"]}
    return laid


def test_every_edit_has_an_example():
    """The table of commands holds every edit there is."""
    assert set(EDITS) == set(edits.EDITS)


@pytest.mark.parametrize("op", EDITS)
def test_every_edit_is_undone_and_redone(op):
    """After undo all is as before, after redo as after the edit, people included."""
    session = Session(BP, n=60, seed=3)
    opened, frame = session.state(), session.frame
    assert "refused" not in ask(session, op, **EDITS[op])
    edited, after = session.blueprint, session.frame
    assert session.state()["step"] == 1
    ask(session, "undo")
    assert (session.blueprint, session.frame.equals(frame)) == (BP, True)
    kept = ("steps", "rev")
    assert {key: value for key, value in session.state().items() if key not in kept} == {
        key: value for key, value in opened.items() if key not in kept
    }
    ask(session, "redo")
    assert (session.blueprint, session.frame.equals(after)) == (edited, True)


def test_the_frame_is_the_update_of_the_sample(league):
    """Whoever has start, n, seed and blueprint has the form's people."""
    session = Session(league, n=200, seed=7)
    ask(session, "rename_field", field="rank", to="tier")
    ask(
        session,
        "set_weights",
        field="main_role",
        when=None,
        weights={"top": 0.6, "jungle": 0.1, "mid": 0.1, "adc": 0.1, "support": 0.1},
    )
    expected = update(sample(league, 200, seed=7), league, session.blueprint, renamed=session.renamed)
    assert session.renamed == {"rank": "tier"}
    assert session.frame.equals(expected)
    assert session.frame.attrs == expected.attrs


COMMANDS = st.one_of(
    st.sampled_from(sorted(EDITS.items())),
    st.lists(st.integers(1, 9), min_size=3, max_size=3).map(
        lambda parts: ("set_weights", {"field": "region", "when": None, "weights": {
            value: part / sum(parts) for value, part in zip(("EU", "NA", "KR"), parts, strict=True)}})
    ),
    st.integers(20, 40).map(lambda mean: ("set_numeric", {"field": "age", "when": None, **AGE, "mean": mean})),
    st.sampled_from([("undo", {}), ("redo", {}), ("reset", {}), ("resample", {"seed": 5}), ("resample", {"n": 30})]),
    st.sampled_from([("page", {"first": 8}), ("check", {"text": "age > 20"}), ("rest", {}), ("cancel", {})]),
    st.integers(0, 6).map(lambda step: ("jump", {"step": step})),
    st.sampled_from([("nonsense", {}), ("undo", {"twice": True}), ("add_field", {"name": "story", "kind": "numeric"})]),
    st.sampled_from(["rank", "age", "story"]).map(lambda name: ("remove_field", {"field": name})),
)  # fmt: skip


@given(st.lists(st.tuples(COMMANDS, st.sampled_from([None, 1, 2])), max_size=12))
def test_patches_add_up_to_the_state(commands):
    """The opening state with every patch laid over it is the state; a refused command has changed nothing."""
    session = Session(BP, n=40, seed=3)
    page = json.loads(json.dumps(session.state(), allow_nan=False))
    for (op, args), gesture in commands:
        before = session.state()
        told = ask(session, op, **args, **({} if gesture is None else {"gesture": gesture}))
        if "refused" in told:
            assert told["refused"]["message"]
            assert session.state() == before
        else:
            page = patched(page, told["patch"])
        assert page == json.loads(json.dumps(session.state(), allow_nan=False))


@given(st.lists(COMMANDS, max_size=8))
@settings(max_examples=30)
def test_people_depend_on_the_blueprint_and_not_on_the_way(commands):
    """Whatever was done before, the people are those that the blueprint has when it is reached in one go."""
    session = Session(BP, n=40, seed=3)
    for op, args in commands:
        ask(session, op, **args)
    direct = Session(BP, n=session.n, seed=session.seed)
    direct.use(session.blueprint)
    assert direct.frame.equals(session.frame)
    assert direct.state()["panels"] == session.state()["panels"]


def test_a_gesture_is_one_step():
    """Commands of one drag are undone together, and what comes after them alone."""
    session = Session(BP, n=40, seed=3)
    for share in (0.4, 0.3, 0.2):
        weights = {"EU": share, "NA": 0.5 - share, "KR": 0.5}
        ask(session, "set_weights", field="region", when=None, weights=weights, gesture=1)
    ask(session, "set_weights", field="region", when=None, weights=EVEN, gesture=2)
    assert session.state()["steps"] == ["opened", "weights of region", "weights of region"]
    ask(session, "undo")
    assert session.blueprint["region"].base.weights["EU"] == 0.2
    ask(session, "undo")
    assert session.blueprint == BP


def test_an_edit_after_undo_drops_what_could_be_redone():
    """History is a line: what was undone is gone once something else is done."""
    session = Session(BP)
    ask(session, "describe", field="age", text="one")
    ask(session, "undo")
    ask(session, "describe", field="age", text="two")
    assert "nothing to redo" in ask(session, "redo")["refused"]["message"]
    assert session.state()["steps"] == ["opened", "description of age"]


def test_an_edit_that_changes_nothing_is_no_step():
    """A value set to what it was is answered, and not listed."""
    session = Session(BP)
    session.state()
    told = ask(session, "set_weights", field="region", when=None, weights=dict(BP["region"].base.weights))
    assert (told["patch"], session.state()["steps"]) == ({}, ["opened"])


def test_a_long_history_keeps_how_it_opened():
    """Of very many steps the oldest are forgotten, but the first one never."""
    session = Session(BP)
    for number in range(250):
        ask(session, "describe", field="age", text=str(number))
    assert len(session.state()["steps"]) == 200
    ask(session, "jump", step=0)
    assert session.blueprint == BP


def test_reset_can_be_undone():
    """Going back to the start is a step like others."""
    session = Session(BP)
    ask(session, "describe", field="age", text="in years")
    ask(session, "reset")
    assert session.blueprint == BP
    ask(session, "undo")
    assert session.blueprint["age"].description == "in years"


def test_resampling_is_a_step():
    """Other people, another seed, and undo brings the old ones back; a made-up seed is shown."""
    session = Session(BP, n=40, seed=3)
    frame = session.frame
    ask(session, "resample")
    shown = session.state()["population"]
    assert (shown["drawn"], shown["changed"]) == (True, 0)
    assert shown["seed"] == session.seed != 3
    assert session.frame.equals(sample(BP, 40, seed=session.seed))
    ask(session, "undo")
    assert session.frame.equals(frame)


def test_another_number_of_people_keeps_the_seed():
    """A draw of which only the size is asked for is of the same seed, however long that is."""
    session = Session(BP, n=20, seed=2**70 + 1)
    assert session.state()["population"]["seed"] == str(2**70 + 1)  # a page would round the number
    ask(session, "resample", n=30)
    assert (session.n, session.seed) == (30, 2**70 + 1)


def test_a_step_has_a_name_of_one_line():
    """However long and broken what was typed is, the list of steps stays a list."""
    session = Session(BP)
    assert "U+000A" in ask(session, "rename_value", field="region", value="EU", to="Eu\nrope")["refused"]["message"]
    ask(session, "rename_value", field="region", value="EU", to="Eu rope " * 30)
    assert session.history.names()[1].startswith("rename EU of region to Eu rope Eu ")
    assert len(session.history.names()[1]) == 80


def test_people_can_be_drawn_later():
    """A form that opened without people gets them by resampling, and loses them by undo."""
    session = Session(BP)
    page = session.state()
    assert (page["population"], page["people"], page["panels"]) == (None, None, {})
    page = patched(page, ask(session, "resample", n=30, seed=1)["patch"])
    assert (len(page["population"]["rows"]), set(page["panels"])) == (8, {"region", "rank", "age", "hours", "spare"})
    page = patched(page, ask(session, "undo")["patch"])
    assert (page["population"], page["people"], page["panels"]) == (None, None, {})


@pytest.mark.parametrize(
    "command",
    [
        None, [], "undo", {}, {"id": 1}, {"op": "undo"}, {"id": True, "op": "undo"}, {"id": 1, "op": None},
        {"id": 1, "op": "explode"}, {"id": 1, "op": "__init__"}, {"id": 1, "op": "undo", "gesture": []},
        {"id": 1, "op": "jump"}, {"id": 1, "op": "jump", "step": "x"}, {"id": 1, "op": "jump", "step": 99},
        {"id": 1, "op": "undo"}, {"id": 1, "op": "page", "first": -1}, {"id": 1, "op": "page", "first": 1.5},
        {"id": 1, "op": "save", "path": 3}, {"id": 1, "op": "save", "path": "x.txt"},
        {"id": 1, "op": "save", "path": "a\0b.yaml"},
        {"id": 1, "op": "open", "path": "no.yaml"}, {"id": 1, "op": "open", "path": "\ud83d.yaml"},
        {"id": 1, "op": "resample", "seed": -1}, {"id": 1, "op": "resample", "n": 0},
        {"id": 1, "op": "resample", "n": "9"},
        {"id": 1, "op": "infer", "prompt": " "}, {"id": 1, "op": "infer", "prompt": 3},
        {"id": 1, "op": "infer", "prompt": "x", "count": 0},
        {"id": 1, "op": "infer", "prompt": "x", "grounding": "web"},
        {"id": 1, "op": "check"}, {"id": 1, "op": "set_weights"}, {"id": 1, "op": "set_weights", "field": 3},
        {"id": 1, "op": "set_weights", "field": "region", "when": None, "weights": {"EU": 2}},
        {"id": 1, "op": "set_weights", "field": "region", "when": None, "weights": {"EU": float("nan")}},
        {"id": 1, "op": "remove_field", "field": "nothing"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_sentence(command):
    """Nothing raises, nothing changes, and the page is told why."""
    session = Session(BP, n=20, seed=3)
    before = session.state()
    told = session.handle(command)
    assert told["refused"]["message"].encode()  # as text that can be sent
    assert "this could not be done" not in told["refused"]["message"]
    assert "patch" not in told
    assert session.state() == before


def test_what_no_person_could_follow_is_refused():
    """A blueprint that reads well but leaves somebody no value is not held; the sentence is the sampler's."""
    session = Session(BP, n=200, seed=3)
    told = ask(session, "add_constraint", name="odd", text="hours == age * age / 7.1")
    assert "leave 'hours' no value" in told["refused"]["message"]
    assert session.blueprint == BP


def test_findings_come_with_the_refusal():
    """What the linter says stands in the answer, each finding a sentence."""
    session = Session(BP, n=20, seed=3)
    [found] = ask(session, "add_constraint", name="old", text="age >= 100")["refused"]["findings"]
    assert "age >= 100 can never hold" in found


def test_an_unexpected_fault_is_logged_and_refused(monkeypatch, caplog):
    """A fault of the library itself keeps the page alive, says its type and leaves its trace in the log."""
    session = Session(BP, n=20, seed=3)
    before = session.state()
    monkeypatch.setattr(edits, "apply", lambda *_: 1 / 0)
    with caplog.at_level(logging.ERROR, logger="personalab"):
        told = ask(session, "describe", field="age", text="x")
    assert told["refused"]["message"] == "this could not be done: ZeroDivisionError"
    assert "Traceback" in caplog.text
    assert session.state() == before


def test_a_constraint_is_checked_as_typed():
    """People who break it are counted; what cannot be read is explained; nothing is applied."""
    session = Session(BP, n=200, seed=3)
    young = int((session.frame["age"] < 25).sum())
    assert ask(session, "check", text="age >= 25")["check"] == {
        "message": f"{young} of 200 people break it; {young} would change", "ok": True, "n": 200, "broken": young,
    }  # fmt: skip
    assert ask(session, "check", text="age >= 16")["check"]["message"] == "holds for all 200"
    assert ask(Session(BP), "check", text="age >= 16")["check"]["message"] == "reads well"
    wrong = ask(session, "check", text="agee >= 16", name="awake")["check"]
    assert (wrong["ok"], "agee" in wrong["message"]) == (False, True)
    assert session.blueprint == BP


def test_categories_can_be_checked():
    """A rule on a category counts like one on numbers."""
    session = Session(BP, n=100, seed=3)
    broken = ask(session, "check", text="region != 'KR'")["check"]["broken"]
    assert broken == (session.frame["region"] == "KR").sum() == 20


def test_changes_are_counted_from_the_start_and_from_the_step_before():
    """Half the people differ from the start after an edit, none after undo; the last edit counts alone."""
    session = Session(BP, n=100, seed=3)
    told = ask(session, "set_weights", field="region", when=None, weights=EVEN)["patch"]["population"]
    moved = int((session.frame["region"] != sample(BP, 100, seed=3)["region"]).sum())
    assert moved == 30
    assert told["changed"] == told["edited"] >= moved
    assert told["drawn"] is False
    last = ask(session, "describe", field="age", text="x")["patch"]
    assert last["population"]["edited"] == 0
    assert last["population"]["changed"] == told["changed"]


def test_a_renamed_field_changes_nobody():
    """People are who they were, whatever their fields and values are called."""
    session = Session(BP, n=100, seed=3)
    told = ask(session, "rename_field", field="region", to="server")["patch"]
    assert told["select"] == "server"
    assert session.state()["population"]["changed"] == 0


def test_rows_say_how_many_people_meet_them():
    """Each listed condition has its number of people, numeric intervals included."""
    session = Session(BP, n=100, seed=3)
    state = session.state()
    rows = [row["label"] for row in state["fields"]["rank"]["rows"]]
    assert dict(zip(rows, state["people"]["rank"], strict=True)) == {"region=EU": 50, "region=NA": 30, "region=KR": 20}


@pytest.mark.parametrize("method", ["wide", "narrow"])
def test_panels_of_children_are_means_over_people(method):
    """What is requested of a child is what its people's own distributions add up to."""
    session = Session(BP, n=1000 if method == "wide" else 10, seed=3)
    panel = session.state()["panels"]["rank"]
    n = session.n
    kr = (session.frame["region"] == "KR").mean()
    requested = {key: asked for key, asked, *_ in panel["cells"]}
    assert requested["top"] == pytest.approx(kr * 0.5 + (1 - kr) * 0.2, abs=1e-6)
    for _, asked, achieved, low, high in panel["cells"]:
        assert 0 <= low <= asked <= high <= 1
        assert high - low >= (1 / n if asked * n % 1 else 0) - 1e-6
        assert 0 <= achieved <= 1


def test_panels_of_numbers_hold_everybody():
    """Bins cover the whole range; both kinds of share sum to 1 and the moments are the frame's."""
    session = Session(BP, n=500, seed=3)
    for name in ("age", "hours"):
        panel, column = session.state()["panels"][name], session.frame[name].astype(float)
        assert sum(bin_[2] for bin_ in panel["bins"]) == pytest.approx(1, abs=1e-4)
        assert sum(bin_[3] for bin_ in panel["bins"]) == pytest.approx(1, abs=1e-4)
        assert len(panel["bins"]) <= 20
        assert panel["achieved"]["mean"] == pytest.approx(column.mean(), rel=1e-5)
        assert panel["requested"]["mean"] == pytest.approx(column.mean(), rel=0.05)


def test_panels_name_the_rules_that_a_field_is_under(league):
    """Where one binds, what is achieved may differ from what is requested, and a reader needs to know why."""
    adults = league.replace(constraints=[{"name": "busy", "lhs": "hours_per_week", "op": "<=", "rhs": "10"}])
    told = {name: panel["rules"] for name, panel in Session(adults, n=50, seed=3).state()["panels"].items()}
    assert told["hours_per_week"] == ["busy"]
    assert told["rank"] == told["region"] == []


def test_roots_have_the_report_s_own_cells():
    """A root's panel is the report's marginal."""
    session = Session(BP, n=50, seed=3)
    [marginal] = [each for each in session.report.marginals if each.attribute == "region"]
    cells = [[c.key, *(round(x, 6) for x in (c.requested, c.achieved, c.low, c.high))] for c in marginal.cells]
    assert session.state()["panels"]["region"]["cells"] == cells


def test_a_curve_peaks_at_one():
    """Every outline has 64 heights in [0, 1]; whole numbers have steps and not gaps."""
    for numeric in BP["hours"].distributions + BP["age"].distributions:
        heights = curve(numeric)
        assert (len(heights), max(heights)) == (64, 1.0)
        assert min(heights) >= 0
    few = BP["age"].base.model_copy(update={"min": 16, "max": 20, "mean": 18, "sd": 1})
    assert min(curve(few)) > 0


@pytest.mark.parametrize(("low", "high", "mean", "sd"), [(0, 100, 1, 0), (0, 64, 32, 0), (0, 10**9, 5 * 10**8, 1000)])
def test_a_curve_misses_nobody(low, high, mean, sd):
    """Wherever in a range a few whole numbers have it all, the outline shows it."""
    narrow = BP["age"].base.model_copy(update={"min": low, "max": high, "mean": mean, "sd": sd})
    assert max(curve(narrow)) == 1.0


def test_a_range_that_a_double_hardly_holds_is_drawn():
    """Numbers whose range overflows a double have a panel and an outline like others."""
    session = Session(BP, n=20, seed=3)
    ask(session, "set_parents", field="spare", parents=[])
    answer = ask(session, "set_numeric", field="spare", **AGE | {"min": -1e308, "max": 1e308, "integer": False})
    assert len(answer["patch"]["panels"]["spare"]["bins"]) == 20


def test_an_edit_is_a_small_message():
    """One edit of sixty weights and ten thousand people takes less than 6 kB, the whole state less than 20."""
    shares = [0.3, 0.2, 0.2, 0.1, 0.1, 0.1]
    fields = [
        {"name": f"f{i}", "kind": "categorical",
         "categorical": {"weights": {f"value {k}": share for k, share in enumerate(shares)}}}
        for i in range(10)
    ]  # fmt: skip
    bp = Blueprint.from_dict({"domain": "wide", "order": [field["name"] for field in fields], "fields": fields})
    session = Session(bp, n=10_000, seed=7)
    assert len(json.dumps(session.state())) < 20_000
    weights = dict(zip((f"value {k}" for k in range(6)), [1 / 3, 1 / 6, 0.2, 0.1, 0.1, 0.1], strict=True))
    told = session.handle({"id": 1, "op": "set_weights", "field": "f3", "when": None, "weights": weights})
    assert len(json.dumps(told)) < 6_000
    assert list(told["patch"]["fields"]) == ["f3"]
    assert told["patch"]["fields"]["f3"]["base"]["weights"] == list(weights.values())  # to the last digit


def test_changes_are_short_lines():
    """Numbers have the digits that count, what is long is only named, and the rest is counted."""
    session = Session(BP)
    ask(session, "set_weights", field="region", when=None, weights={"EU": 1 / 3, "NA": 1 / 3, "KR": 1 / 3})
    ask(session, "add_field", name="team", kind="categorical")
    lines = changes(session.blueprint, BP)
    assert "fields.region.categorical.weights.EU: 0.5 → 0.333333" in lines
    assert "fields.team: added" in lines
    assert changes(session.blueprint, BP, most=1)[-1] == f"and {len(lines) - 1} more changes"


# ---- files ----------------------------------------------------------------------------------------------------------


def test_edits_are_saved_and_gone_on_with(tmp_path):
    """The file holds the last blueprint; opened again the form is where it was, against the same start."""
    file = tmp_path / "players.yaml"
    session = Session(BP, n=40, seed=3, file=file)
    assert not file.exists()
    ask(session, "set_weights", field="region", when=None, weights=EVEN)
    assert Blueprint.load(file) == session.blueprint
    again = Session(BP, n=40, seed=3, file=file)
    assert again.blueprint == session.blueprint
    assert again.frame.equals(session.frame)
    assert (again.state()["diff"], again.state()["steps"]) == (
        session.state()["diff"],
        ["opened", "opened players.yaml"],
    )
    ask(again, "undo")
    assert Blueprint.load(file) == again.blueprint == BP


def test_a_file_alone_is_enough(tmp_path):
    """Without a blueprint the form starts from the file."""
    file = BP.save(tmp_path / "players.json")
    session = Session(file=file)
    assert (session.blueprint, session.start, session.state()["saved"]) == (BP, BP, str(file))
    assert Session(LEAGUE).blueprint == Blueprint.load(LEAGUE)


def test_a_file_that_cannot_be_written_costs_no_edit(tmp_path):
    """The edit holds, and the page is told in a sentence."""
    (tmp_path / "folder").write_text("no folder")
    session = Session(BP, file=tmp_path / "folder" / "players.yaml")
    ask(session, "describe", field="age", text="x")
    assert session.blueprint["age"].description == "x"
    assert "cannot be written" in session.state()["error"]["message"]


def test_a_file_that_somebody_else_wrote_to_is_left_alone(tmp_path):
    """Of two forms of one file the second one's edits replace the first one's only when asked to."""
    one, other = (Session(BP, file=tmp_path / "players.yaml") for _ in range(2))
    ask(one, "describe", field="age", text="one")
    ask(other, "describe", field="age", text="other")
    assert Blueprint.load(tmp_path / "players.yaml") == one.blueprint
    assert "written to by somebody else" in other.state()["error"]["message"]
    assert (one.state()["saved"], other.state()["saved"]) == (str(tmp_path / "players.yaml"), "")
    ask(other, "save", path=str(tmp_path / "players.yaml"))
    ask(other, "describe", field="age", text="the other")
    assert Blueprint.load(tmp_path / "players.yaml") == other.blueprint
    ask(one, "open", path=str(tmp_path / "players.yaml"))
    ask(one, "describe", field="age", text="the one")
    assert (Blueprint.load(tmp_path / "players.yaml"), one.state()["error"]) == (one.blueprint, None)


def test_saving_and_opening_by_hand(tmp_path):
    """What was saved is opened as a step; edits after saving are not called saved."""
    session, path = Session(BP, n=20, seed=3), str(tmp_path / "mine.yaml")
    ask(session, "describe", field="age", text="x")
    assert ask(session, "save", path=path)["patch"]["saved"] == path
    assert ask(session, "describe", field="age", text="y")["patch"]["saved"] == ""
    ask(session, "open", path=path)
    assert session.blueprint["age"].description == "x"
    assert session.state()["steps"][-1] == "opened mine.yaml"


def test_saving_waits_while_a_loop_runs(tmp_path):
    """In a kernel a burst of edits is written once, soon after; coming to rest writes at once."""
    file = tmp_path / "players.yaml"
    session = Session(BP, file=file)

    async def burst():
        for text in ("one", "two"):
            ask(session, "describe", field="age", text=text)
        waited = not file.exists()
        ask(session, "rest")
        return waited

    assert asyncio.run(burst())
    assert Blueprint.load(file)["age"].description == "two"


# ---- opening --------------------------------------------------------------------------------------------------------


def test_a_form_may_open_empty():
    """Without a blueprint there is a page to ask from, and nothing to edit."""
    session = Session(n=20)
    state = session.state()
    assert (state["has_blueprint"], state["names"], state["groundings"]) == (False, [], ["off"])
    for op in ("reset", "resample", "write"):
        assert "refused" in ask(session, op)
    assert "no blueprint" in ask(session, "describe", field="age", text="x")["refused"]["message"]
    with pytest.raises(RequestError, match="no people"):
        _ = session.frame


def test_a_blueprint_with_errors_does_not_open():
    """What cannot be sampled cannot be edited either; the error lists what is wrong."""
    with pytest.raises(BlueprintError, match="cannot be sampled"):
        Session(BP.replace("age", sd=900))
    with pytest.raises(RequestError, match="no blueprint"):
        Session(3)
    with pytest.raises(RequestError, match="n is"):
        Session(BP, n=0)


@pytest.mark.parametrize("file", ["players.txt", "players", " ", 3])
def test_a_file_that_no_blueprint_could_be_kept_in_does_not_open(file):
    """An ending of no known format is refused at once, and not when the first edit is to be saved."""
    with pytest.raises(RequestError, match=r"neither JSON nor YAML|the path is"):
        Session(BP, file=file)


# ---- texts and models -----------------------------------------------------------------------------------------------


def population():
    """Ten people with texts."""
    frame = write(sample(BP, 10, seed=3), BP, model=Fluent())
    return Population("players", BP, frame, report(frame, BP))


def test_a_population_brings_its_people_and_texts():
    """Its frame is the start; who is changed is to be written again, and has the text back after undo."""
    pop = population()
    session = Session(pop)
    shown = session.state()["population"]
    assert (shown["written"], shown["texts"], shown["seed"]) == (True, 0, 3)
    assert session.frame.equals(pop.frame)
    assert shown["cards"][0]["texts"] == [["story", pop.frame["story"].iloc[0]]]
    told = ask(session, "set_weights", field="region", when=None, weights=EVEN)["patch"]["population"]
    assert 0 < told["texts"] == told["changed"] < 10
    assert session.frame.equals(update(pop.frame, BP, session.blueprint))
    ask(session, "undo")
    assert session.frame.equals(pop.frame)
    with pytest.raises(RequestError, match="already"):
        Session(pop, n=10)


def finished(session):
    """Wait until the page is told that no model is at work any more, and give its new state."""
    over, tell = threading.Event(), session.tell

    def told(message):
        tell(message)
        if message["patch"].get("work", "as before") is None:
            over.set()

    session.tell = told
    assert session.state()["work"] is None or over.wait(MODEL_WAIT)
    return session.state()


def test_texts_are_written_kept_and_found_again():
    """Only who lacks texts is written; whoever has an old row again has the old text again."""
    asked = []

    class Counting(Fluent):
        def complete(self, messages, schema):
            asked.append(messages[-1]["content"])
            return answer(messages, schema)

    session = Session(BP, n=10, seed=3, model=Counting())
    assert ask(session, "write")["patch"]["work"]["total"] == 10
    state = finished(session)
    assert (state["work"], state["error"], state["population"]["texts"]) == (None, None, 0)
    first = session.frame
    assert first.equals(write(sample(BP, 10, seed=3), BP, model=Fluent()))
    changed = ask(session, "set_weights", field="region", when=None, weights=EVEN)["patch"]["population"]
    before = len(asked)
    ask(session, "write")
    assert finished(session)["population"]["texts"] == 0
    assert len(asked) - before >= changed["texts"] > 0
    ask(session, "undo")
    assert session.frame.equals(first)
    assert "already" in ask(session, "write")["refused"]["message"]


def test_a_new_field_asks_for_new_texts():
    """Texts that know nothing of a field are to be written again."""
    session = Session(population())
    ask(session, "add_field", name="team", kind="categorical")
    assert session.state()["population"]["texts"] == 10


def test_a_blueprint_is_inferred_and_the_old_one_is_an_undo_away():
    """The new blueprint is a new start with its people; undo brings blueprint, start and people back."""
    session = Session(BP, n=20, seed=3, model=Fluent())
    told = ask(session, "infer", prompt="street musicians", count=5, grounding="off")
    assert told["patch"]["work"]["what"] == "infer"
    state = finished(session)
    assert state["error"] is None
    assert (state["names"], state["population"]["n"], state["diff"]) == ([f.name for f in EXAMPLE.fields], 5, [])
    assert state["steps"][-1] == "inferred: street musicians"
    assert session.start == session.blueprint
    ask(session, "undo")
    assert (session.blueprint, session.start, session.n) == (BP, BP, 20)


def test_an_empty_form_begins_with_a_prompt():
    """From nothing to people without typing Python; undo leads back to the empty page."""
    session = Session(model=Fluent())
    page = session.state()
    ask(session, "infer", prompt="street musicians", count=3)
    assert finished(session)["has_blueprint"]
    ask(session, "undo")
    assert session.state()["names"] == page["names"] == []


class Stuck:
    """A model that answers when it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.asked = threading.Event()

    def complete(self, messages, schema):
        """Answer in the end."""
        self.asked.set()
        self.go.wait(MODEL_WAIT)
        return answer(messages, schema)


def test_nothing_is_edited_while_a_model_works_and_cancelling_says_so():
    """Edits are refused in a sentence; after cancelling all is as before."""
    model = Stuck()
    session = Session(BP, n=5, seed=3, model=model)
    before = session.frame
    ask(session, "write")
    assert model.asked.wait(MODEL_WAIT)
    for op, args in (("undo", {}), ("describe", {"field": "age", "text": "x"}), ("infer", {"prompt": "x"})):
        assert "Stuck is writing the texts" in ask(session, op, **args)["refused"]["message"]
    assert "patch" in ask(session, "page", first=2)
    ask(session, "cancel")
    model.go.set()
    state = finished(session)
    assert (state["work"], "cancelled" in state["error"]["message"]) == (None, True)
    assert session.frame.equals(before)
    assert ask(session, "describe", field="age", text="x")["patch"]["error"] is None


def test_a_model_that_fails_is_told_in_a_sentence():
    """The error and what to do about it stand in the state; the form goes on."""

    class Broken:
        def complete(self, *_):
            raise OSError("no")

    session = Session(BP, n=5, seed=3, model=Broken())
    ask(session, "write")
    assert "Broken raised OSError" in finished(session)["error"]["message"]
    ask(session, "infer", prompt="anybody")
    assert "Broken raised OSError" in finished(session)["error"]["message"]
    assert session.blueprint == BP


def test_a_model_that_is_not_there_is_refused():
    """A name of no known form is refused at once, not in the background."""
    session = Session(BP, n=5, seed=3, model="nonsense")
    assert "nonsense" in ask(session, "write")["refused"]["message"]
    assert session.state()["work"] is None


def test_results_come_in_on_the_loop_that_asked():
    """Where a loop runs, as in a kernel, the page is told from its thread."""
    threads = []
    session = Session(BP, n=5, seed=3, model=Fluent(), tell=lambda _: threads.append(threading.current_thread()))
    page = session.state()

    async def wrote():
        ask(session, "write")
        while session.state()["work"]:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(wrote(), MODEL_WAIT))
    assert set(threads) == {threading.current_thread()}
    assert session.state()["population"]["written"]
    assert page["population"]["written"] is False


def test_unasked_patches_complete_the_page():
    """What Python does, and what a model brings, reaches the page as patches too."""
    page = {}
    session = Session(
        BP, n=5, seed=3, model=Fluent(), tell=lambda message: page.update(patched(page, message["patch"]))
    )
    page.update(session.state())
    session.do("describe", field="age", text="x")
    session.use(BP.replace(domain="others"))
    session.do("undo")
    assert page == session.state()
    page.update(patched(page, ask(session, "write")["patch"]))
    assert finished(session) == page


def test_only_available_groundings_are_offered():
    """What the page offers is what a request may ask for."""
    offered = Session(BP).state()["groundings"]
    assert offered == ["off"]
    for grounding in set(inference.GROUNDINGS) - set(offered):
        assert "not available" in ask(Session(BP), "infer", prompt="x", grounding=grounding)["refused"]["message"]


def test_states_made_for_the_page_s_tests_are_like_a_real_one():
    """A state made by hand has the keys of the session's own, and so has every kind of part in it."""
    session = Session(population())
    ask(session, "set_weights", field="region", when=None, weights=EVEN)
    real = session.state()
    made = panels.state(panels.shares("rank", panels.RANKS), panels.numbers("age"))
    assert made.keys() == real.keys()
    assert made["population"].keys() == real["population"].keys()
    assert made["population"]["cards"][0].keys() == real["population"]["cards"][0].keys()
    for key in ("fields", "panels"):
        kinds = {part["kind"]: part.keys() for part in real[key].values()}
        assert [part for part in made[key].values() if part.keys() != kinds[part["kind"]]] == []


def test_a_card_says_which_text_is_to_be_written_again():
    """Whoever changed keeps a place for every text, empty until it is written."""
    session = Session(population())
    ask(session, "add_field", name="team", kind="categorical")
    assert session.state()["population"]["cards"][0]["texts"] == [["story", ""]]


def test_state_holds_no_numpy():
    """Every number on the page is one of JSON's own."""
    state = Session(BP, n=20, seed=np.int64(3)).state()
    assert json.loads(json.dumps(state, allow_nan=False)) == state


@pytest.mark.parametrize("text", ["age >= 25", "hours <= age - 10", "age <= 40"])
def test_a_preview_says_what_the_rule_then_does(text):
    """As many people change as the check of the rule said."""
    session = Session(BP, n=200, seed=3)
    told = ask(session, "check", text=text)["check"]
    edited = ask(session, "add_constraint", name="rule", text=text)["patch"]["population"]["edited"]
    assert told["message"].endswith(f"; {edited} would change")
    assert edited >= told["broken"] > 0


def test_a_moved_value_is_a_change():
    """Another order of the values makes another blueprint, which the form reports and undo takes back."""
    session = Session(BP, n=100, seed=3)
    patch = ask(session, "move_value", field="region", value="NA", by=1)["patch"]
    assert patch["diff"] == ["fields.region.categorical.weights: ['EU', 'NA', 'KR'] → ['EU', 'KR', 'NA']"]
    assert patch["fields"]["region"]["changed"] is True
    assert session.blueprint != BP
    assert ask(session, "undo")["patch"]["diff"] == []
