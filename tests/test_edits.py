"""What `personalab.edits` promises: each edit does what its name says, follows it through, and touches nothing else."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from personalab import Blueprint, edits, sample, validate
from personalab.blueprint.conditionals import Lookup
from personalab.blueprint.model import CategoricalField, NumericField
from personalab.errors import BlueprintError, PersonalabError, RequestError
from tests.builders import blueprint, choice, number
from tests.conftest import ROOT
from tests.strategies import blueprints

FILES = sorted((ROOT / "data" / "blueprints").iterdir())
GOLD = {"rank": "Gold"}
WARDS = {
    "medical": 0.32,
    "surgical": 0.20,
    "emergency": 0.16,
    "intensive care": 0.12,
    "maternity": 0.11,
    "paediatrics": 0.09,
}
AGE = {"min": 24, "max": 65, "mean": 36, "sd": 8, "integer": True}
AGES = "fields.age.conditionals.seniority="
SURGICAL = ["fields.ward.categorical.weights.surgical"]


def wire(bp: Blueprint) -> str:
    """The blueprint to the letter, also in which sequence its values stand."""
    return json.dumps(bp.to_dict())


def paths(after: Blueprint, before: Blueprint) -> list[str]:
    """Where an edit changed anything."""
    return [change.path for change in after.diff(before)]


def law(mean: float, sd: float = 4, **more: Any) -> dict[str, Any]:
    """A numeric distribution in wire form."""
    return {"min": 0, "max": 40, "mean": mean, "sd": sd, "integer": False} | more


def stated(field: dict[str, Any], *rules: tuple[dict[str, str], dict[str, Any]]) -> dict[str, Any]:
    """The field with conditionals."""
    return field | {"conditionals": [{"when": when, field["kind"]: held} for when, held in rules]}


def workers(*rules: str) -> Blueprint:
    """Two tiers, an age, and hours that depend on both without a base."""
    hours = {"name": "hours", "kind": "numeric", "parents": ["tier", "age"]}
    hours = stated(
        hours,
        ({"tier": "low"}, law(8)),
        ({"tier": "high", "age": "..39"}, law(20)),
        ({"tier": "high", "age": "40.."}, law(30)),
    )
    tier, age = choice("tier", {"low": 0.75, "high": 0.25}), number("age", 20, 59, 39.5, 8, integer=True)
    return blueprint(tier, age, hours, rules=rules)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def real(request: pytest.FixtureRequest) -> Blueprint:
    """Each of the example blueprints."""
    return Blueprint.load(request.param)


@pytest.fixture
def nurses() -> Blueprint:
    """An example with two-parent conditionals, intervals, interpolation, texts and quoted values in constraints."""
    return Blueprint.load(ROOT / "data" / "blueprints" / "hospital-nurses.yaml")


# By name


def test_every_edit_is_offered_by_its_name() -> None:
    """The contract's edits are all there, each a function that says what it does."""
    names = """set_weights set_numeric add_base remove_base remove_row change_when add_row add_value rename_value
        remove_value move_value set_ordered set_parents describe about add_field rename_field remove_field
        duplicate_field move_field add_constraint change_constraint remove_constraint"""
    assert set(edits.EDITS) == set(names.split())
    assert all(edit.__doc__ for edit in edits.EDITS.values())


@pytest.mark.parametrize(
    ("op", "args", "told"),
    [
        ("set_weights", {"field": "rank", "when": None, "weights": {}}, "weights of rank"),
        ("set_numeric", {"field": "hours", "when": GOLD, "mean": 3}, "hours where rank=Gold"),
        ("rename_field", {"field": "rank", "to": "tier"}, "rename rank to tier"),
        ("add_field", {"name": "age", "kind": "numeric"}, "add field age"),
        ("change_when", {"field": "hours", "when": GOLD, "to": {"rank": "Or"}}, "hours now where rank=Or"),
        ("rename_value", {"field": "{rank}", "value": "{0}", "to": "{to}"}, "rename {0} of {rank} to {to}"),
    ],
)
def test_a_step_has_a_short_name(op: str, args: dict[str, Any], told: str) -> None:
    """It says what was edited; names with braces stay what they are."""
    assert edits.step(op, args) == told


@pytest.mark.parametrize(
    ("op", "args", "reason"),
    [
        ("set_weight", {}, "'set_weight' is no edit"),
        ("describe", {"field": "rank"}, "needs 'text'"),
        ("describe", {"field": "rank", "text": "x", "by": 1}, "takes no 'by'"),
        ("describe", {"field": "rank", "text": 5}, "'text' of 'describe' is 5"),
        ("describe", {"field": ["rank"], "text": "x"}, "valid string"),
        ("set_ordered", {"field": "rank", "ordered": 1}, "valid boolean"),
        ("set_weights", {"field": "rank", "weights": {"Gold": "1"}}, "valid"),
        ("set_weights", {"field": "rank", "weights": {"Gold": math.nan}}, "finite"),
        ("set_weights", {"field": "rank", "weights": {"Gold": True}}, "valid"),
        ("move_field", {"field": "rank", "by": 2}, "-1 or 1"),
        ("about", {"key": "notes", "text": "x"}, "'domain', 'rationale' or 'sources'"),
        ("set_parents", {"field": "rank", "parents": "region"}, "list"),
        ("describe", {"field": "rnak", "text": "x"}, "'rnak' is no field"),
        ("describe", {"field": "rank", "text": "\ud83d"}, "half a character"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(league: Blueprint, op: str, args: dict[str, Any], reason: str) -> None:
    """An unknown edit, and arguments that are not the edit's own or of another type, are answered by a sentence."""
    with pytest.raises(RequestError) as error:
        edits.apply(league, op, args)
    assert reason in str(error.value)


def test_a_refusal_says_what_is_wrong_with_this_edit(league: Blueprint) -> None:
    """The message is validation's reason, the hint its fix, and no list of findings stands in it."""
    with pytest.raises(BlueprintError) as error:
        edits.apply(league, "set_ordered", {"field": "rank", "ordered": False})
    assert str(error.value).startswith("hours_per_week: no distribution is stated for rank=Silver")
    assert error.value.__notes__ == ["→ add conditionals for them or a base distribution"]
    assert error.value.findings


# Weights and numbers


def test_weights_are_stored_as_given(league: Blueprint) -> None:
    """In the sequence the values have, whatever sequence they come in."""
    given_ = {"Challenger": 0.1, "Bronze": 0.1, "Silver": 0.3, "Gold": 0.25, "Platinum": 0.15, "Diamond": 0.1}
    after = edits.apply(league, "set_weights", {"field": "rank", "when": {}, "weights": given_})
    assert paths(after, league) == [f"fields.rank.categorical.weights.{v}" for v in ("Bronze", "Diamond", "Challenger")]
    assert list(after["rank"].base.weights) == list(league["rank"].values)
    assert after["rank"].base.weights == given_


def test_weights_where_nothing_was_stated_become_a_conditional(nurses: Blueprint) -> None:
    """The rest of the field stays."""
    weights = {"full time": 0.5, "part time": 0.5}
    after = edits.apply(nurses, "set_weights", {"field": "contract", "when": {"age": "25"}, "weights": weights})
    assert paths(after, nurses) == ["fields.contract.conditionals.age=25"]
    assert after["contract"].conditionals[:-1] == nurses["contract"].conditionals
    again = edits.set_weights(after, field="contract", when={"age": "25..25"}, weights={"full time": 1, "part time": 0})
    assert len(again["contract"].conditionals) == len(after["contract"].conditionals)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"head": 0.5, "tail": 0.4}, "sum to 0.9, not 1"),
        ({"head": 1.5, "tail": -0.5}, "'tail' is -0.5"),
        ({"head": 1}, "'tail' is given no weight"),
        ({"head": 0.5, "tial": 0.5}, "'tial' is no value"),
    ],
)
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float], reason: str) -> None:
    """They are of the field's values, none negative, and sum to 1."""
    with pytest.raises(RequestError, match=reason):
        edits.set_weights(blueprint(choice("side", {"head": 0.5, "tail": 0.5})), field="side", weights=weights)


def test_a_numeric_edit_changes_what_it_names(league: Blueprint) -> None:
    """The conditional of that value, at its place."""
    moments = {"min": 1, "max": 20, "mean": 7, "sd": 4, "integer": True}
    args = {"field": "hours_per_week", "when": {"rank": "Bronze"}, **moments}
    after = edits.apply(league, "set_numeric", args)
    assert paths(after, league) == ["fields.hours_per_week.conditionals.rank=Bronze.numeric.mean"]
    assert after["hours_per_week"].conditionals[0].numeric.mean == 7
    assert after["hours_per_week"].conditionals[1:] == league["hours_per_week"].conditionals[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean": 50}, "mean 50 lies outside 0..40"),
        ({"sd": 30}, "wider than anything in 0..40 with mean 20: at most 20"),
        ({"min": 41}, "min 41 is above max 40"),
        ({"min": 0.5, "integer": True}, "min 0.5 is no whole number"),
        ({"mean": 20.5, "sd": 0.1, "integer": True}, "narrower than integers"),
    ],
)
def test_an_impossible_number_is_refused_in_validations_words(change: dict[str, Any], reason: str) -> None:
    """A mean outside, too wide an sd, a range the wrong way round, fractional ends of integers."""
    bp = blueprint(number("hours", 0, 40, 20, 4))
    with pytest.raises(BlueprintError, match=reason):
        edits.apply(bp, "set_numeric", {"field": "hours", **law(20), **change})


# Conditionals


def test_a_base_is_the_mixture_of_what_holds() -> None:
    """By the parents' shares: its mean and variance are those of what would be drawn."""
    bp = workers()
    base = edits.apply(bp, "add_base", {"field": "hours"})["hours"].base
    parts = [(0.75, 8), (0.125, 20), (0.125, 30)]
    mean = sum(share * each for share, each in parts)
    assert base.mean == pytest.approx(mean, abs=1e-3)
    assert base.sd**2 == pytest.approx(16 + sum(share * (each - mean) ** 2 for share, each in parts), rel=1e-3)
    frame = sample(bp, 20_000, seed=1)
    assert frame["hours"].mean() == pytest.approx(base.mean, abs=4 * base.sd / math.sqrt(20_000))


def test_a_mixture_of_weights_is_their_weighted_mean(nurses: Blueprint) -> None:
    """Also where the parent is itself a child, and a number."""
    base = edits.add_base(nurses, field="contract")["contract"].base
    drawn = sample(nurses.replace(constraints=()), 20_000, seed=1)["contract"].value_counts(normalize=True)
    assert base.weights["full time"] == pytest.approx(drawn["full time"], abs=0.01)
    assert math.fsum(base.weights.values()) == pytest.approx(1, abs=1e-12)


def test_a_base_goes_where_conditionals_cover_everything() -> None:
    """Else it is refused, naming what would be uncovered."""
    bp = edits.add_base(workers(), field="hours")
    assert edits.apply(bp, "remove_base", {"field": "hours"}) == workers()
    bare = edits.remove_row(bp, field="hours", when={"tier": "low"})
    with pytest.raises(BlueprintError, match="no distribution is stated for tier=low"):
        edits.apply(bare, "remove_base", {"field": "hours"})
    with pytest.raises(RequestError, match="all that 'age' has"):
        edits.apply(bp, "remove_base", {"field": "age"})


def test_a_row_states_what_holds_now(league: Blueprint) -> None:
    """So nothing changes for anybody but where it comes from."""
    after = edits.apply(league, "add_row", {"field": "hours_per_week", "when": {"rank": "Gold"}})
    assert paths(after, league) == ["fields.hours_per_week.conditionals.rank=Gold"]
    before = {row.label: row for row in edits.rows(league, "hours_per_week")[0]}
    now = {row.label: row for row in edits.rows(after, "hours_per_week")[0]}
    assert before["rank=Gold"].distribution == now["rank=Gold"].distribution
    assert (before["rank=Gold"].origin, now["rank=Gold"].origin) == ("interpolated", "stated")
    assert edits.apply(after, "remove_row", {"field": "hours_per_week", "when": {"rank": "Gold"}}) == league


def test_a_condition_changes_at_its_place() -> None:
    """What is misspelt, stated already or of no parent is refused with what to write."""
    bp, change = workers(), {"field": "hours", "when": {"tier": "high", "age": "40.."}}
    after = edits.apply(bp, "change_when", {**change, "to": {"tier": "high", "age": "40..70"}})
    assert after["hours"].conditionals[2].when == {"tier": "high", "age": "40..70"}
    for to, reason, hint in [
        ({"tier": "hihg"}, "'hihg' is no value of 'tier'", "did you mean 'high'"),
        ({"tire": "high"}, "'tire' is not a parent", "did you mean 'tier'"),
        ({"age": "4..3"}, "ends before it begins", ""),
        ({"tier": "high", "age": " ..39"}, "is stated for tier=high, age= ..39 already", ""),
        ({}, "at least one parent", ""),
    ]:
        with pytest.raises(PersonalabError, match=reason) as error:
            edits.apply(bp, "change_when", {**change, "to": to})
        assert hint in "".join(getattr(error.value, "__notes__", []))


def test_a_row_that_is_needed_stays() -> None:
    """Without it something would be uncovered; and one that is not stated cannot go."""
    with pytest.raises(BlueprintError, match="no distribution is stated for"):
        edits.apply(workers(), "remove_row", {"field": "hours", "when": {"tier": "low"}})
    with pytest.raises(RequestError, match="states nothing of its own for tier=high"):
        edits.apply(workers(), "remove_row", {"field": "hours", "when": {"tier": "high"}})


# Values


def test_a_renamed_value_is_renamed_everywhere(nurses: Blueprint) -> None:
    """In weights and order, in children's conditions, quoted in constraints; not in prose, not in other fields."""
    rule = {"name": "junior", "lhs": "seniority == 'staff nurse'", "op": "<=", "rhs": 'ward != "staff nurse"'}
    bp = edits.add_value(nurses, field="ward", value="staff nurse").replace(constraints=[rule])
    bp = bp.replace("ward", description="staff nurse")
    after = edits.apply(bp, "rename_value", {"field": "seniority", "value": "staff nurse", "to": "o'er"})
    assert after["ward"] == bp["ward"]
    assert str(after.constraints[0]) == "(seniority == 'o\\'er') <= (ward != 'staff nurse')"
    assert wire(after.replace(constraints=())).replace("o'er", "staff nurse") == wire(bp.replace(constraints=()))
    back = edits.apply(after, "rename_value", {"field": "seniority", "value": "o'er", "to": "staff nurse"})
    assert wire(back.replace(constraints=())) == wire(bp.replace(constraints=()))


def test_a_literal_opposite_the_field_is_renamed() -> None:
    """Where the two sides of the constraint are compared with each other, in either sequence."""
    side = choice("side", {"head": 0.5, "tail": 0.5})
    bp = blueprint(side, rules=("'tail' != side",)).replace("side", description="tail")
    after = edits.apply(bp, "rename_value", {"field": "side", "value": "tail", "to": "zahl é"})
    assert str(after.constraints[0]) == "'zahl é' != side"
    assert after["side"].description == "tail"


def test_a_removed_value_leaves_its_share_to_the_others(league: Blueprint) -> None:
    """In proportion; children no longer speak of it; where no other had any weight they share equally."""
    after = edits.apply(league, "remove_value", {"field": "rank", "value": "Bronze"})
    assert after["rank"].base.weights["Silver"] == pytest.approx(0.3 / 0.8)
    assert after["rank"].ordered_values == league["rank"].ordered_values[1:]
    assert [rule.when["rank"] for rule in after["hours_per_week"].conditionals] == ["Challenger"]
    lone = blueprint(choice("side", {"head": 1, "tail": 0, "edge": 0}))
    assert edits.remove_value(lone, field="side", value="head")["side"].base.weights == {"tail": 0.5, "edge": 0.5}
    assert edits.remove_value(lone, field="side", value="edge")["side"].base.weights == {"head": 1, "tail": 0}


def test_a_child_that_spoke_of_a_removed_value_only_gets_a_base() -> None:
    """The mixture of what held, so that there is something to draw from."""
    tier = choice("tier", {"low": 0.75, "high": 0.25}, ordered_values=["low", "high"])
    hours = stated({"name": "hours", "kind": "numeric", "parents": ["tier"]}, ({"tier": "low"}, law(8)))
    after = edits.apply(blueprint(tier, hours), "remove_value", {"field": "tier", "value": "low"})
    assert (after["hours"].base.mean, after["hours"].conditionals) == (8, ())


def test_a_value_that_is_needed_stays() -> None:
    """The only one, and one that a constraint speaks of."""
    side = choice("side", {"head": 0.5, "tail": 0.5})
    with pytest.raises(RequestError, match="'tail' is named in the constraint 'rule_0'"):
        edits.apply(blueprint(side, rules=("side != 'tail'",)), "remove_value", {"field": "side", "value": "tail"})
    lone = edits.remove_value(blueprint(side), field="side", value="tail")
    with pytest.raises(RequestError, match="the only value"):
        edits.apply(lone, "remove_value", {"field": "side", "value": "head"})


def test_a_new_value_has_nobody_yet(league: Blueprint) -> None:
    """It stands last, with weight 0, and may not be there already."""
    after = edits.apply(league, "add_value", {"field": "rank", "value": "Iron"})
    assert paths(after, league) == ["fields.rank.categorical.weights.Iron", "fields.rank.ordered_values"]
    assert after["rank"].values[-1] == "Iron"
    for value, reason in (("Gold", "already"), (" ", "needs a name")):
        with pytest.raises(RequestError, match=reason):
            edits.apply(league, "add_value", {"field": "rank", "value": value})


def test_values_change_places(league: Blueprint) -> None:
    """With an order or without; there and back is the identity to the letter."""
    for field, value in (("rank", "Gold"), ("region", "KR")):
        moved = edits.apply(league, "move_value", {"field": field, "value": value, "by": -1})
        place = league[field].values.index(value)
        assert moved[field].values.index(value) == place - 1
        assert moved[field].base.weights == league[field].base.weights
        assert wire(edits.move_value(moved, field=field, value=value, by=1)) == wire(league)
    with pytest.raises(RequestError, match="'Bronze' is first already"):
        edits.apply(league, "move_value", {"field": "rank", "value": "Bronze", "by": -1})


def test_values_get_and_lose_their_order(league: Blueprint) -> None:
    """The sequence they are listed in becomes their order."""
    after = edits.apply(league, "set_ordered", {"field": "region", "ordered": True})
    assert after["region"].ordered_values == league["region"].values
    assert edits.apply(after, "set_ordered", {"field": "region", "ordered": False}) == league


# Fields


def test_a_renamed_field_is_renamed_everywhere_but_in_prose(nurses: Blueprint) -> None:
    """In the order, among parents, in conditions, in constraints; there and back is the identity."""
    after = edits.apply(nurses, "rename_field", {"field": "age", "to": "years_of_age"})
    assert "age" not in after.order + tuple(p for f in after.fields for p in f.parents)
    assert str(after.constraints[0]) == "years_nursing <= years_of_age - 21"
    assert after["years_of_age"].description == nurses["age"].description
    assert after.rationale == nurses.rationale
    assert wire(edits.apply(after, "rename_field", {"field": "years_of_age", "to": "age"})) == wire(nurses)


def test_only_names_are_renamed_in_a_constraint() -> None:
    """Quoted values, longer names and functions that are spelt alike stay; there and back is the identity."""
    names = {"max": 0.5, "maxi": 0.5}
    fields = (choice("größe", names), number("max", 0, 9, 5, 2), number("maxi", 0, 9, 5, 2))
    bp = blueprint(*fields, rules=("(größe == 'max') * max(max, maxi) <= max + 9",))
    after = edits.apply(bp, "rename_field", {"field": "max", "to": "m"})
    assert str(after.constraints[0]) == "(größe == 'max') * max(m, maxi) <= m + 9"
    assert wire(edits.rename_field(after, field="m", to="max")) == wire(bp)


@pytest.mark.parametrize("name", ["age in years", "if", "None", "age-1", "m²", "`", "a\\b", "and"])
def test_a_field_may_get_any_name(name: str) -> None:
    """Where a constraint speaks of it the name is quoted, if it is no plain word; there and back is the identity."""
    bp = blueprint(number("age", 0, 90, 40, 9), number("pay", 0, 90, 40, 9), rules=("min(age, pay) >= age - 10",))
    after = edits.apply(bp, "rename_field", {"field": "age", "to": name})
    assert edits.dependents(after, name)[1] == ("rule_0",)
    assert wire(edits.rename_field(after, field=name, to="age")) == wire(bp)
    again = edits.apply(after, "add_constraint", {"name": "same", "text": str(after.constraints[0])})
    assert again.constraints[1].model_copy(update={"name": "rule_0"}) == after.constraints[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "needs a name"), (" a", "padded"), ("rank", "already"), ("persona_id", "adds itself")],
)
def test_a_bad_name_is_refused(league: Blueprint, name: str, reason: str) -> None:
    """Empty, padded, taken, or a column of personalab's own; by whatever way it would come in."""
    for op, args in (
        ("add_field", {"name": name, "kind": "text"}),
        ("rename_field", {"field": "region", "to": name}),
        ("duplicate_field", {"field": "region", "to": name}),
    ):
        with pytest.raises(RequestError, match=reason):
            edits.apply(league, op, args)


def test_a_removed_field_takes_what_hangs_on_it(nurses: Blueprint) -> None:
    """Children lose a parent, its constraints go, and the rest stays."""
    assert edits.dependents(nurses, "seniority")[0] == ("age", "years_nursing", "weekly_hours", "backstory")
    after = edits.apply(nurses, "remove_field", {"field": "seniority"})
    assert "seniority" not in wire(after).replace(nurses.rationale, "")
    assert after["age"].base is not None
    rest = edits.apply(nurses, "remove_field", {"field": "years_nursing"})
    assert [rule.name for rule in nurses.constraints if rule not in rest.constraints] == list(
        edits.dependents(nurses, "years_nursing")[1]
    )


def test_the_last_sampled_field_stays() -> None:
    """A population of nothing cannot be drawn."""
    bp = edits.add_field(blueprint(choice("side", {"head": 1})), name="bio", kind="text")
    with pytest.raises(RequestError, match="last field that is sampled"):
        edits.apply(bp, "remove_field", {"field": "side"})
    assert edits.apply(bp, "remove_field", {"field": "bio"}) == edits.remove_field(bp, field="bio")


def test_a_copy_stands_right_after_its_original(nurses: Blueprint) -> None:
    """Under the next free name; children and constraints stay with the original."""
    after = edits.apply(nurses, "duplicate_field", {"field": "age"})
    names = [field.name for field in after.fields]
    assert names[names.index("age") + 1] == after.order[after.order.index("age") + 1] == "age_2"
    assert edits.dependents(after, "age_2") == ((), ())
    assert after["age_2"].model_copy(update={"name": "age"}) == nurses["age"]
    again = edits.apply(after, "duplicate_field", {"field": "age", "to": None})
    assert "age_3" in again.order
    assert edits.remove_field(after, field="age_2") == nurses


@pytest.mark.parametrize("kind", ["categorical", "numeric", "text"])
def test_a_new_field_can_be_drawn_at_once(league: Blueprint, kind: str) -> None:
    """It stands last and changes nothing else; a text is not sampled."""
    after = edits.apply(league, "add_field", {"name": "pet", "kind": kind})
    assert set(paths(after, league)) == {"fields.pet"} | ({"order"} if kind != "text" else set())
    assert edits.apply(after, "remove_field", {"field": "pet"}) == league
    assert len(sample(after, 5, seed=1)) == 5


def test_fields_change_places(real: Blueprint) -> None:
    """The order of sampling follows where parents stay before children; there and back is the identity."""
    for field, after_it in itertools.pairwise(real.fields):
        moved = edits.apply(real, "move_field", {"field": field.name, "by": 1})
        names = [each.name for each in moved.fields]
        assert names.index(field.name) == names.index(after_it.name) + 1
        assert wire(edits.apply(moved, "move_field", {"field": field.name, "by": -1})) == wire(real)
    with pytest.raises(RequestError, match="is first already"):
        edits.apply(real, "move_field", {"field": real.fields[0].name, "by": -1})


# Parents


def test_a_parent_may_be_added_and_taken_away_again(nurses: Blueprint) -> None:
    """Nothing but the parents changes, and the order only where it must."""
    after = edits.apply(nurses, "set_parents", {"field": "ward", "parents": ["commute_km"]})
    assert paths(after, nurses) == ["order", "fields.ward.parents"]
    assert after.order.index("commute_km") < after.order.index("ward")
    assert [name for name in after.order if name != "commute_km"] == [n for n in nurses.order if n != "commute_km"]
    assert edits.apply(after, "set_parents", {"field": "ward", "parents": []})["ward"] == nurses["ward"]


def test_a_lost_parent_is_averaged_over() -> None:
    """Conditionals that come to say the same become their mixture, and keep what did not speak of that parent."""
    after = edits.apply(workers(), "set_parents", {"field": "hours", "parents": ["tier"]})
    low, high = after["hours"].conditionals
    assert low == workers()["hours"].conditionals[0]
    assert (high.when, high.numeric.mean) == ({"tier": "high"}, pytest.approx(25, abs=0.02))
    assert high.numeric.sd == pytest.approx(math.sqrt(16 + 25), abs=0.02)


def test_a_field_without_parents_has_a_base() -> None:
    """The mixture of all that held; a base that was stated stays as it is."""
    after = edits.apply(workers(), "set_parents", {"field": "hours", "parents": []})
    assert after["hours"].conditionals == ()
    assert after["hours"].base == edits.add_base(workers(), field="hours")["hours"].base
    based = edits.add_base(workers(), field="hours").replace("hours", mean=12)
    assert edits.set_parents(based, field="hours", parents=[])["hours"].base.mean == 12


def test_what_cannot_be_a_parent_is_refused_with_the_reason(nurses: Blueprint) -> None:
    """A ring is named, a text comes too late, and nobody depends on themselves."""
    reasons = edits.barred(nurses, "seniority")
    assert reasons["weekly_hours"].endswith("seniority → weekly_hours → seniority")
    assert "written after all sampling" in reasons["backstory"]
    assert "ward" not in reasons
    for parents, reason in (
        (["weekly_hours"], "in a ring: seniority → weekly_hours → seniority"),
        (["seniority"], "cannot depend on itself"),
        (["backstory"], "is a text"),
        (["wrad"], "'wrad' is no field"),
        (["ward", "ward"], "named twice"),
    ):
        with pytest.raises(RequestError, match=reason):
            edits.apply(nurses, "set_parents", {"field": "seniority", "parents": parents})


def test_a_text_may_depend_on_any_sampled_field(real: Blueprint) -> None:
    """It is written last of all."""
    text = real.texts[0].name
    names = [field.name for field in real.sampled]
    assert not set(edits.barred(real, text)) & set(names)
    assert paths(edits.apply(real, "set_parents", {"field": text, "parents": names}), real) == [
        f"fields.{text}.parents"
    ]


# Prose and constraints


def test_prose_is_stored_as_written(league: Blueprint) -> None:
    """Sources are one a line; the population keeps a name."""
    after = edits.apply(league, "about", {"key": "sources", "text": "a\n\n  b \n"})
    assert (after.sources, paths(after, league)) == (("a", "b"), ["sources"])
    assert edits.apply(league, "about", {"key": "rationale", "text": " x\ny "}).rationale == " x\ny "
    assert edits.apply(league, "describe", {"field": "rank", "text": "tier"})["rank"].description == "tier"
    with pytest.raises(RequestError, match="needs a name"):
        edits.apply(league, "about", {"key": "domain", "text": " "})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("age >= 18", ("age", ">=", "18")),
        ("tier!='<= high'", ("tier", "!=", "'<= high'")),
        ("(age < 60)", ("age", "<", "60")),
        ("age <\n60", ("age", "<", "60")),
        ("((age - 1) * 2 <= (hours))", ("(age - 1) * 2", "<=", "hours")),
        ("18<=age<60", ("18 <= age", "<", "60")),
        ("(tier == 'low') <= (hours <= 10)", ("(tier == 'low')", "<=", "(hours <= 10)")),
        ("tier == 'ä' < (age > 3)", None),
    ],
)
def test_a_constraint_is_split_where_it_compares(text: str, parts: tuple[str, ...] | None) -> None:
    """Whatever stands in quotes or brackets."""
    bp = edits.add_value(workers(), field="tier", value="<= high")
    if parts is None:
        with pytest.raises(BlueprintError, match="more than once"):
            edits.comparison(bp, "r", text)
    else:
        rule = edits.comparison(bp, "r", text)
        assert (rule.lhs, rule.op, rule.rhs) == parts
        assert edits.comparison(bp, "r", str(rule)) == rule


def test_constraints_come_change_and_go() -> None:
    """Each at its place; a new name alone leaves the text to the letter."""
    bp = workers("(age >= 20) <= (hours <= 41)")
    bp = bp.replace(constraints=[{"name": "r", "lhs": "(age >= 20)", "op": "<=", "rhs": "hours <= 41"}])
    text = str(bp.constraints[0])
    renamed = edits.apply(bp, "change_constraint", {"name": "r", "to_name": "s", "text": text})
    assert renamed.constraints[0] == bp.constraints[0].model_copy(update={"name": "s"})
    more = edits.apply(bp, "add_constraint", {"name": "adult", "text": "age>=21"})
    assert [rule.name for rule in more.constraints] == ["r", "adult"]
    assert edits.apply(more, "remove_constraint", {"name": "adult"}) == bp
    changed = edits.apply(more, "change_constraint", {"name": "adult", "to_name": "adult", "text": "age >= 22"})
    assert paths(changed, more) == ["constraints.adult.rhs"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("age = 18", "cannot be read from '='"),
        ("18 <= age == 60", "compares more than once"),
        ("age >= 18 and age < 60", "compares more than once"),
        ("age + 1", "compares nothing"),
        ("", "ends too early"),
        ("age is 18", "cannot be read from 'is'"),
        ("age >= 18 # adults", "cannot be read from '#'"),
        ("agee >= 18", "'agee' is no field, did you mean 'age'"),
        ("tier == 'hihg'", "did you mean 'high'"),
        ("age ** 2 > 4", "cannot be read from '*'"),
        ("__import__('os').system('x') == 0", "cannot be read from '.'"),
        ("tier >= low", "'low' is a value of 'tier': quote it"),
        ("tier >= 3", "'tier' is one"),
        ("(18 <= age) <= 50", "is worth 1 or 0"),
        ("age > 90", "can never hold"),
        ("1" * 500 + " < age", "too long"),
    ],
)
def test_a_constraint_that_means_nothing_is_refused(text: str, reason: str) -> None:
    """As a sentence that says why."""
    with pytest.raises(PersonalabError, match=reason.replace("*", r"\*")):
        edits.apply(workers(), "add_constraint", {"name": "r", "text": text})


@pytest.mark.parametrize(("text", "hint"), [("age = 18", "=="), ("age ≥ 18", ">="), ("(age", "age >= 18")])
def test_a_slip_in_a_constraint_is_answered_by_how_to_write_it(text: str, hint: str) -> None:
    """The hint shows the sign that is meant, or an example."""
    with pytest.raises(BlueprintError) as error:
        edits.comparison(workers(), "r", text)
    assert hint in error.value.__notes__[0]


def test_a_value_that_a_constraint_has_no_room_for_is_refused() -> None:
    """An expression has a greatest length."""
    bp = blueprint(choice("side", {"head": 0.5, "tail": 0.5}), rules=("side != 'tail'",))
    with pytest.raises(RequestError, match="'rule_0' has no room"):
        edits.apply(bp, "rename_value", {"field": "side", "value": "tail", "to": "x" * 500})


def test_constraints_have_names_of_their_own() -> None:
    """A taken or empty name is refused, and so is one that is not there."""
    bp = workers("age >= 20")
    for op, args, reason in (
        ("add_constraint", {"name": "rule_0", "text": "age > 1"}, "already"),
        ("add_constraint", {"name": "", "text": "age > 1"}, "needs a name"),
        ("remove_constraint", {"name": "rule_1"}, "is no constraint"),
    ):
        with pytest.raises(RequestError, match=reason):
            edits.apply(bp, op, args)


# Rows


def test_rows_say_what_holds_and_why() -> None:
    """Partial conditionals first, then every combination in order."""
    listed, more = edits.rows(workers(), "hours")
    assert [(row.label, row.origin, row.source, row.distribution.mean) for row in listed] == [
        ("tier=low", "stated", None, 8),
        ("tier=low, age=..39", "inherited", "tier=low", 8),
        ("tier=low, age=40..", "inherited", "tier=low", 8),
        ("tier=high, age=..39", "stated", None, 20),
        ("tier=high, age=40..", "stated", None, 30),
    ]
    assert more == 0


def test_rows_tell_base_and_interpolation_apart(league: Blueprint, nurses: Blueprint) -> None:
    """And a root or a text has none."""
    assert [row.origin for row in edits.rows(league, "hours_per_week")[0]] == [
        "stated",
        *["interpolated"] * 4,
        "stated",
    ]
    based = edits.set_parents(nurses, field="ward", parents=["hospital"])
    assert {row.origin for row in edits.rows(based, "ward")[0]} == {"base"}
    assert edits.rows(nurses, "hospital") == edits.rows(nurses, "backstory") == ([], 0)


def test_an_interval_that_others_make_up_has_a_row_where_it_is_stated_only() -> None:
    """There it would tell no more than they do."""
    bp = edits.set_numeric(workers(), field="hours", when={"age": "20..30"}, **law(5))
    bp = edits.set_numeric(bp, field="hours", when={"age": "31..39"}, **law(5))
    labels = [row.label for row in edits.rows(bp, "hours")[0]]
    assert "tier=high, age=..39" in labels
    assert "tier=low, age=31..39" in labels
    bp = edits.set_numeric(workers(), field="hours", when={"age": "20..40"}, **law(5))
    assert "tier=low, age=..39" in [row.label for row in edits.rows(bp, "hours")[0]]


def test_overlapping_intervals_have_rows_only_for_the_values_they_are_stated_for(nurses: Blueprint) -> None:
    """Each grade states ages of its own; across those of another grade several of its cases would hold."""
    listed, _ = edits.rows(nurses, "years_nursing")
    assert [row.when for row in listed] == [rule.when for rule in nurses["years_nursing"].conditionals]
    assert {row.origin for row in listed} == {"stated"}


def test_where_no_overlapping_interval_decides_there_is_one_row(nurses: Blueprint) -> None:
    """Newly qualified nurses have the base at whatever age once nothing is stated for them."""
    bp = nurses
    for field in ("age", "years_nursing", "weekly_hours"):
        bp = edits.add_base(bp, field=field)
    loose = edits.set_ordered(bp, field="seniority", ordered=False)  # else a line from the next grade would hold
    freed = edits.remove_row(loose, field="years_nursing", when={"seniority": "newly qualified"})
    (row,) = [row for row in edits.rows(freed, "years_nursing")[0] if row.origin != "stated"]
    assert (row.when, row.origin) == ({"seniority": "newly qualified"}, "base")


def test_rows_are_listed_up_to_a_number() -> None:
    """The rest is counted."""
    city = choice("city", {f"c{i}": 1 / 33 for i in range(33)})
    team = choice("team", {f"t{i}": 1 / 20 for i in range(20)})
    bp = blueprint(city, team, number("pay", 0, 100, 40, 9, "city", "team"))
    listed, more = edits.rows(bp, "pay")
    assert (len(listed), more) == (400, 33 * 20 - 400)


@given(blueprints())
def test_rows_agree_with_what_is_drawn(bp: Blueprint) -> None:
    """A row of categorical parents holds what a member with these values is drawn from."""
    assume(_is_valid(bp))
    for field in bp.sampled:
        lookup = Lookup(bp, field)
        for row in edits.rows(bp, field.name)[0]:
            if set(row.when) == set(field.parents) and all(isinstance(bp[p], CategoricalField) for p in field.parents):
                branch = lookup.find(row.when)
                assert branch is not None
                assert branch.distribution == row.distribution
                assert (row.origin in ("stated", "inherited")) == (branch.origin == "conditional")


# Any blueprint, any edits


@pytest.mark.parametrize(
    ("op", "args", "expected"),
    [
        ("set_weights", {"field": "ward", "weights": WARDS}, {"fields.ward.categorical.weights.medical", *SURGICAL}),
        ("set_numeric", {"field": "age", "when": {"seniority": "staff nurse"}, **AGE}, {f"{AGES}staff nurse"}),
        ("add_base", {"field": "contract"}, {"fields.contract.categorical"}),
        ("add_row", {"field": "age", "when": {"seniority": "staff nurse"}}, {f"{AGES}staff nurse"}),
        ("remove_row", {"field": "age", "when": {"seniority": "ward manager"}}, {f"{AGES}ward manager"}),
        ("add_value", {"field": "ward", "value": "x"}, {"fields.ward.categorical.weights.x"}),
        ("set_ordered", {"field": "ward", "ordered": True}, {"fields.ward.ordered_values"}),
        ("set_parents", {"field": "ward", "parents": ["hospital"]}, {"fields.ward.parents"}),
        ("describe", {"field": "ward", "text": "x"}, {"fields.ward.description"}),
        ("about", {"key": "domain", "text": "x"}, {"domain"}),
        ("add_field", {"name": "x", "kind": "text"}, {"fields.x"}),
        ("duplicate_field", {"field": "ward"}, {"order", "fields.ward_2"}),
        ("move_field", {"field": "ward", "by": -1}, {"order"}),
        ("add_constraint", {"name": "x", "text": "age > 20"}, {"constraints.x"}),
        ("remove_constraint", {"name": "cap_on_night_work"}, {"constraints.cap_on_night_work"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_edit_touches_what_it_says(nurses: Blueprint, op: str, args: dict[str, Any], expected: set[str]) -> None:
    """Everything else is as it was, and so is the blueprint that was edited."""
    before = wire(nurses)
    assert set(paths(edits.apply(nurses, op, args), nurses)) == expected
    assert wire(nurses) == before


def _is_valid(bp: Blueprint) -> bool:
    return not any(finding.level == "error" for finding in validate(bp))


@st.composite
def commands(draw: st.DrawFn, bp: Blueprint) -> tuple[str, dict[str, Any]]:
    """An edit that somebody might ask for, sensible or not."""
    field = draw(st.sampled_from(bp.fields))
    values = list(field.values) if isinstance(field, CategoricalField) else ["x"]
    whens = [row.when for row in edits.rows(bp, field.name)[0]] or [{}]
    names = [each.name for each in bp.fields]
    moments = law(draw(st.integers(0, 30)), draw(st.integers(0, 15)), integer=draw(st.booleans()))
    parts = [draw(st.integers(0, 5)) for _ in values]
    parts[0] += not sum(parts)
    choices: dict[str, Any] = {
        "field": field.name,
        "when": draw(st.sampled_from([*whens, {}])),
        "weights": {value: part / sum(parts) for value, part in zip(values, parts, strict=True)},
        **moments,
        "value": draw(st.sampled_from([*values, "new"])),
        "by": draw(st.sampled_from([-1, 1])),
        "ordered": draw(st.booleans()),
        "parents": draw(st.lists(st.sampled_from(names), max_size=3, unique=True)),
        "text": draw(st.sampled_from([f"{field.name} <= 30", f"{names[0]} != 'new'", "words"])),
        "key": draw(st.sampled_from(["domain", "rationale", "sources"])),
        "kind": draw(st.sampled_from(["categorical", "numeric", "text"])),
        "name": draw(st.sampled_from([rule.name for rule in bp.constraints] + ["fresh", "fresh thing"])),
        "to_name": draw(st.sampled_from(["fresh", "rule"])),
    }
    op = draw(st.sampled_from(sorted(edits.EDITS)))
    to: Any = (
        draw(st.sampled_from(whens)) if op == "change_when" else draw(st.sampled_from([*names, "fresh", "an other"]))
    )
    known = {name for name in EDIT_ARGUMENTS[op] if name != "to"}
    return op, {name: choices[name] for name in known} | ({"to": to} if "to" in EDIT_ARGUMENTS[op] else {})


EDIT_ARGUMENTS = {
    op: tuple(name for name in edit.__annotations__ if name not in ("bp", "return")) for op, edit in edits.EDITS.items()
}


@given(blueprints(max_fields=4), st.data())
def test_any_sequence_of_edits_stays_valid_or_is_refused(bp: Blueprint, data: st.DataObject) -> None:
    """A refusal is a sentence of personalab's, and nothing has changed."""
    assume(_is_valid(bp))
    for _ in range(6):
        op, args = data.draw(commands(bp))
        before, asked = wire(bp), json.dumps(args)
        try:
            after = edits.apply(bp, op, args)
        except PersonalabError as refusal:
            told, after = str(refusal), bp
        else:
            told = edits.step(op, args)
        assert told
        assert "\n" not in told
        assert (wire(bp), json.dumps(args)) == (before, asked)
        assert _is_valid(after)
        assert Blueprint.from_dict(after.to_dict()) == after
        for name in after.order:
            edits.rows(after, name)
        bp = after


@given(blueprints(), st.data())
def test_renaming_there_and_back_is_the_identity(bp: Blueprint, data: st.DataObject) -> None:
    """To the letter, for fields and for values."""
    assume(_is_valid(bp))
    field = data.draw(st.sampled_from(bp.fields))
    there = edits.apply(bp, "rename_field", {"field": field.name, "to": "other"})
    assert wire(edits.apply(there, "rename_field", {"field": "other", "to": field.name})) == wire(bp)
    if isinstance(field, CategoricalField):
        value = data.draw(st.sampled_from(field.values))
        there = edits.apply(bp, "rename_value", {"field": field.name, "value": value, "to": "other"})
        assert wire(edits.apply(there, "rename_value", {"field": field.name, "value": "other", "to": value})) == wire(
            bp
        )


@given(blueprints())
def test_a_mixture_is_what_a_population_has(bp: Blueprint) -> None:
    """A child that loses all its parents and had no base gets one that can be drawn, within the range it had."""
    assume(_is_valid(bp))
    for field in bp.sampled:
        after = edits.apply(bp.replace(constraints=()), "set_parents", {"field": field.name, "parents": []})[field.name]
        assert after.base is not None
        if isinstance(field, NumericField):
            assert after.base.min >= min(each.min for each in field.distributions)
            assert after.base.max <= max(each.max for each in field.distributions)
