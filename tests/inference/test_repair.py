"""What `personalab.inference.repair` and its distributions promise."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from personalab.blueprint.model import Blueprint, Numeric
from personalab.blueprint.moments import complaint, solve
from personalab.blueprint.validation import validate
from personalab.errors import BlueprintError
from personalab.inference.distributions import feasible
from personalab.inference.draft import EXAMPLE, Draft, wire
from personalab.inference.repair import lacks, repaired, slug
from personalab.sampling.sample import sample
from tests.drafts import drafts, spoilt

BLUEPRINTS = sorted((Path(__file__).parents[2] / "data" / "blueprints").iterdir())
WILD = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def spoil(**fields: dict[str, Any]) -> dict[str, Any]:
    """The example in wire form with parts of some of its fields replaced."""
    data = wire(EXAMPLE)
    for field in data["fields"]:
        field.update(fields.get(field["name"], {}))
    return data


def notes(data: dict[str, Any]) -> str:
    """What the repair says, in one text."""
    return "\n".join(repaired(data).notes or ())


@WILD
@given(st.one_of(drafts, spoilt()))
def test_any_draft_gives_a_blueprint_that_samples_or_a_blueprint_error(draft):
    """However wrong a draft is, it is mended or refused; nothing else is raised."""
    try:
        bp = repaired(wire(draft))
    except BlueprintError:
        return
    for n in (1, 10, 200):
        assert len(sample(bp, n, seed=n)) == n
    assert not any(finding.level == "error" for finding in validate(bp))
    assert {"name", "backstory"} <= {field.name for field in bp.texts}


def test_the_order_forgets_values_that_went_with_a_parent():
    """A value that only a removed conditional named is no longer one of the ordered values."""
    rule = {"when": {"gone": "x"}, "categorical": {"weights": {"Gold": 0.5, "65+": 0.5}}}
    tier = {"name": "tier", "kind": "categorical", "description": "", "parents": ["gone"], "ordered_values": ["Gold"]}
    tier |= {"categorical": {"weights": {"Gold": 1.0}}, "conditionals": [rule]}
    gone = {"name": "gone", "kind": "categorical", "description": "", "parents": [], "conditionals": []}
    whole = {"domain": "d", "order": [], "fields": [tier, gone], "constraints": [], "rationale": "", "sources": []}
    assert repaired(whole)["tier"].ordered_values == ("Gold",)


@WILD
@given(st.one_of(drafts, spoilt()))
def test_a_mended_blueprint_needs_no_more_mending(draft):
    """The repair's own result passes through it, with the same notes on what is lacking at most."""
    try:
        bp = repaired(wire(draft))
    except BlueprintError:
        return
    again = repaired(bp.to_dict() | {"notes": None})
    assert again.replace(notes=None) == bp.replace(notes=None)
    assert len(again.notes or ()) == len(list(lacks(bp)))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_sound_blueprint_passes_unchanged(path):
    """Not a digit of a blueprint that samples is touched, and there are no notes."""
    bp = Blueprint.load(path)
    assert repaired(bp.to_dict()) == bp


def test_a_sound_draft_passes_unchanged():
    """The example of the prompt is itself a sound draft."""
    bp = repaired(wire(EXAMPLE))
    assert bp.to_dict() == wire(EXAMPLE)
    assert bp.notes is None


def test_a_repair_leaves_its_argument_alone():
    """Mending works on a copy."""
    data = spoil(city={"categorical": {"weights": {"Berlin": 3, "Prague": 1}}})
    before = copy.deepcopy(data)
    repaired(data)
    assert data == before


def test_a_misspelt_condition_is_read_as_the_nearest_value():
    """A small slip in a conditional does not lose the conditional."""
    data = wire(EXAMPLE)
    data["fields"][3]["conditionals"][2]["when"] = {"commitment": "full-time"}
    bp = repaired(data)
    assert bp["hours_per_week"].conditionals[2].when == {"commitment": "full time"}
    assert bp.notes == ("{'commitment': 'full-time'} of 'hours_per_week' was read as {'commitment': 'full time'}",)


def test_weights_are_scaled_and_percentages_need_no_word():
    """Shares that sum to 100 are percentages; shares that sum to anything else are noted."""
    assert notes(spoil(city={"categorical": {"weights": {"Berlin": 60, "Prague": 40}}})) == ""
    told = notes(spoil(city={"categorical": {"weights": {"Berlin": 3, "Prague": 1}}}))
    assert told == "the weights of city summed to 4 and were scaled to 1"


def test_a_ring_is_cut_once():
    """Of two fields that depend on each other one keeps its parent."""
    bp = repaired(spoil(city={"parents": ["commitment"]}, commitment={"parents": ["city"]}))
    assert [bool(bp[name].parents) for name in ("city", "commitment")].count(True) == 1
    assert "closes a ring" in bp.notes[0]


def test_a_field_that_only_a_removed_field_explained_goes_with_it():
    """A chain of fields without a distribution is removed to its end, and each is told."""
    data = spoil(commitment={"categorical": {"weights": {}}})
    told = notes(data)
    assert "the field 'commitment' had no distribution and was removed" in told
    assert "the field 'hours_per_week' had no distribution and was removed" in told


def test_a_name_drawn_from_a_table_becomes_a_text():
    """Names are always written, never sampled."""
    table = {"kind": "categorical", "categorical": {"weights": {"Ann": 0.5, "Bo": 0.5}}, "parents": []}
    bp = repaired(spoil(name=table))
    assert bp["name"].kind == "text"
    assert bp.notes == ("'name' was made a text field",)


def test_constraints_follow_a_renamed_field():
    """A rule that speaks of a field by its old name speaks of it by its new one."""
    data = json.loads(json.dumps(wire(EXAMPLE)).replace("years_playing", "Years Playing"))
    bp = repaired(data)
    assert bp.constraints[0].lhs == "years_playing"


@pytest.mark.parametrize("rhs", ["__import__('os').getcwd()", "age ** 9", "'Berlin'", "shoe_size", "-1"])
def test_a_constraint_that_cannot_hold_is_removed_by_name(rhs):
    """Code, unknown fields and impossible rules go; the bounds of a number remain."""
    data = wire(EXAMPLE)
    data["constraints"][0]["rhs"] = rhs
    bp = repaired(data)
    assert bp.notes[0].startswith("the constraint 'started_as_a_child_at_most' was removed")
    assert [str(constraint) for constraint in bp.constraints] == ["age >= 16"]


def test_constraints_that_exclude_each_other_lose_the_last():
    """Rules that each could hold but not together do not stop a population."""
    data = wire(EXAMPLE)
    for name, op in (("long", ">="), ("short", "<")):
        data["constraints"].append({"name": name, "lhs": "years_playing", "op": op, "rhs": "2"})
    bp = repaired(data)
    assert [constraint.name for constraint in bp.constraints] == ["started_as_a_child_at_most", "long"]
    assert bp.notes == ("the constraint 'short' was removed: some members could not obey it",)


def test_what_no_rule_supplies_is_noted():
    """A missing root, number or dependency is told, not made up."""
    data = wire(EXAMPLE) | {"constraints": []}
    data["fields"] = [field for field in data["fields"] if field["kind"] == "text" or field["name"] == "city"]
    told = notes(data)
    for lack in ("fewer than two categorical", "no numeric field", "no field depends on another"):
        assert lack in told


def test_what_the_wire_form_has_no_place_for_is_told():
    """Values listed twice, second numerics and conditionals without content leave a note."""
    data = EXAMPLE.model_dump()
    data["fields"][0]["weights"] *= 2
    data["fields"][2]["numeric"] *= 2
    data["fields"][3]["conditionals"].append({"when": [], "weights": [], "numeric": []})
    told = "\n".join(wire(Draft.model_validate(data))["notes"])
    assert "city lists 'Barcelona' twice" in told
    assert "only the first numeric of age was kept" in told
    assert "had no distribution" in told


def test_escape_sequences_do_not_get_past_the_draft():
    """Names, values and sentences are one line of printable text; joiners that scripts need stay."""
    data = EXAMPLE.model_dump()
    data["fields"][0] |= {"description": "नमस\u200cते\n\x1b[2J\u202egnol"}
    data["fields"][0]["weights"][0]["value"] = "Bar\x1b[31mcelona"
    field = wire(Draft.model_validate(data))["fields"][0]
    assert field["description"] == "नमस\u200cते [2Jgnol"
    assert next(iter(field["categorical"]["weights"])) == "Bar[31mcelona"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_draft_holds_finite_numbers(number):
    """JSON as Python reads it knows numbers that no distribution has."""
    with pytest.raises(ValueError, match="finite"):
        Draft.model_validate_json(EXAMPLE.model_dump_json().replace("0.24", number, 1))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.tuples(*[st.one_of(st.integers(-50, 50), st.floats(-1e300, 1e300))] * 4), st.booleans())
def test_the_nearest_moments_can_be_had(moments, integer):
    """Any four numbers become four promises that a law can keep."""
    numeric = dict(zip(("min", "max", "mean", "sd"), moments, strict=True), integer=integer)
    mended = Numeric(**feasible(numeric))
    assert complaint(mended) is None
    solve(mended)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Hours per Week!", "hours_per_week"), ("42", ""), ("地域", "地域"), ("ﬁeld²", "field2"), ("", "")],
)
def test_a_slug_is_a_plain_name(text, name):
    """Names are as an expression can say them, in any script."""
    assert slug(text) == name
