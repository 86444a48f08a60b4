"""Validation names everything wrong or doubtful, where it stands and how to mend it, and never fails itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab import Blueprint, sample, validate
from personalab.blueprint.reachable import MOST_CONFIGURATIONS
from personalab.blueprint.shape import UNSEEN
from personalab.blueprint.validation import RESERVED, Finding, demand_valid
from personalab.errors import BlueprintError
from tests.strategies import blueprints


def players(**changes: Any) -> dict[str, Any]:
    """A small valid blueprint as plain data: a root, an ordered root, a number that depends on it, and a text."""
    return {
        "domain": "players",
        "order": ["region", "rank", "hours"],
        "fields": [
            {"name": "region", "kind": "categorical", "categorical": {"weights": {"NA": 0.5, "EUW": 0.5}}},
            {
                "name": "rank",
                "kind": "categorical",
                "ordered_values": ["Bronze", "Silver", "Gold"],
                "categorical": {"weights": {"Bronze": 0.5, "Silver": 0.25, "Gold": 0.25}},
            },
            {
                "name": "hours",
                "kind": "numeric",
                "parents": ["rank"],
                "conditionals": [
                    {"when": {"rank": rank}, "numeric": {"min": 0, "max": 40, "mean": mean, "sd": 4}}
                    for rank, mean in (("Bronze", 5), ("Silver", 10), ("Gold", 20))
                ],
            },
            {"name": "name", "kind": "text", "parents": ["region"]},
        ],
    } | changes


def found(data: dict[str, Any], level: str = "error") -> list[Finding]:
    """The findings of one level."""
    return [finding for finding in validate(Blueprint.from_dict(data)) if finding.level == level]


def only(data: dict[str, Any], level: str = "error") -> Finding:
    """The one finding of a level, when there is no worse one."""
    if level != "error":
        assert found(data) == []
    [finding] = found(data, level)
    return finding


def rule(lhs: str, op: str, rhs: str) -> dict[str, Any]:
    """The small blueprint with one constraint."""
    return players(constraints=[{"name": "rule", "lhs": lhs, "op": op, "rhs": rhs}])


def test_valid_blueprint_has_no_findings() -> None:
    """About a blueprint that says all it should there is nothing to say."""
    assert validate(Blueprint.from_dict(players())) == ()


def test_example_of_the_contract_has_notes_only(league: Blueprint) -> None:
    """The contract's example can be sampled: four ranks are interpolated and its constraint always holds."""
    first, second = validate(league)
    assert (first.level, first.path) == ("note", "fields.hours_per_week")
    assert "rank=Silver; rank=Gold; rank=Platinum; rank=Diamond" in first.reason
    assert (second.level, second.path) == ("note", "constraints.hours_nonneg")
    assert demand_valid(league) == (first, second)


@given(blueprints())
def test_valid_blueprints_have_no_errors(bp: Blueprint) -> None:
    """Blueprints made to be valid are found valid."""
    assert [str(finding) for finding in validate(bp) if finding.level == "error"] == []


def test_errors_stop_and_are_all_named() -> None:
    """What cannot be sampled is refused with every error in the message, and the findings on the exception."""
    data = rule("hours", ">=", "9**9")
    data["fields"][0]["categorical"]["weights"] = {"NA": 0.5, "EUW": 0.6}
    with pytest.raises(BlueprintError, match="cannot be sampled") as caught:
        demand_valid(Blueprint.from_dict(data))
    assert [finding.path for finding in caught.value.findings] == [
        "fields.region",
        "constraints.rule",
    ]
    assert all(str(finding) in str(caught.value) for finding in caught.value.findings)


def test_finding_reads_as_a_sentence() -> None:
    """A finding prints as level, path, reason and what to do."""
    finding = Finding("error", "order", "'rnk' is no field", "did you mean 'rank'?")
    assert str(finding) == "error at order: 'rnk' is no field → did you mean 'rank'?"


def test_errors_come_first() -> None:
    """Findings are sorted by weight: errors, warnings, notes."""
    data = rule("rank", "<", "3")
    data["order"] = ["name", "region", "rank", "hours", "hours"]
    assert [finding.level for finding in validate(Blueprint.from_dict(data))] == ["error", "warning", "note"]


def test_ring_is_named() -> None:
    """Fields that depend on each other in a ring are an error that shows the ring."""
    data = players()
    data["fields"][0]["parents"] = ["hours"]
    data["fields"][1]["parents"] = ["region"]
    ring = [finding.reason for finding in found(data) if "ring" in finding.reason]
    assert len(ring) == 1
    assert all(name in ring[0] for name in ("region", "rank", "hours"))


def test_own_parent_is_a_ring() -> None:
    """A field that depends on itself is a ring of one."""
    data = players()
    data["fields"][0]["parents"] = ["region"]
    assert "region → region" in only(data).reason


def test_parent_after_child() -> None:
    """A parent that is drawn after its child is an error that says which to put first."""
    finding = only(players(order=["region", "hours", "rank"]))
    assert (finding.path, finding.reason) == ("order", "'rank' comes after its child 'hours'")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (["region", "rank"], "'hours' is missing, so nothing would sample it"),
        (["region", "rank", "hours", "rank"], "'rank' stands 2 times"),
        (["region", "rank", "hours", "rnk"], "'rnk' is no field"),
    ],
)
def test_order_names_every_sampled_field_once(order: list[str], reason: str) -> None:
    """A field missing from the order, there twice, or unknown there is an error."""
    assert only(players(order=order)).reason == reason


@pytest.mark.parametrize("name", ["rnk", "Rank", "rank "])
def test_misspelt_parent_names_the_nearest(name: str) -> None:
    """A parent that is no field is an error that names the field probably meant."""
    data = players()
    data["fields"][2] |= {"parents": [name], "conditionals": [], "numeric": {"min": 0, "max": 9, "mean": 5, "sd": 1}}
    finding = only(data)
    assert (finding.path, finding.fix) == ("fields.hours.parents", "did you mean 'rank'?")


def test_misspelt_value_in_a_condition_names_the_nearest() -> None:
    """A parent's value that does not exist is an error at its place that names the value probably meant."""
    data = players()
    data["fields"][2]["conditionals"][1]["when"] = {"rank": "silver"}
    finding = only(data)
    assert finding.path == "fields.hours where rank=silver"
    assert finding.fix == "did you mean 'Silver'?"


@pytest.mark.parametrize("lhs", ["rank == 'Godl'", "1 - (rank != 'Godl')"])
def test_misspelt_value_in_a_constraint_names_the_nearest(lhs: str) -> None:
    """A quoted value that its field does not have is an error that names the value probably meant."""
    assert "did you mean 'Gold'?" in only(rule(lhs, "==", "1")).reason


def test_misspelt_weight_names_the_nearest() -> None:
    """A weight for a value outside the stated order is an error that names the value probably meant."""
    data = players()
    data["fields"][1]["categorical"]["weights"] = {"Bronze": 0.5, "Slver": 0.25, "Gold": 0.25}
    finding = only(data)
    assert finding.path == "fields.rank"
    assert finding.reason == "'Slver' is not one of 'rank''s values"
    assert finding.fix == "write 'Silver'"


def test_condition_on_a_field_that_is_no_parent() -> None:
    """A condition on a field that is not among the parents is an error."""
    data = players()
    data["fields"][2]["conditionals"][0]["when"] = {"region": "NA"}
    assert only(data).reason == "'region' is not a parent of 'hours'"


def test_uncovered_values_are_named() -> None:
    """Parent values without a distribution are an error that lists them."""
    data = players()
    del data["fields"][1]["ordered_values"], data["fields"][2]["conditionals"][1:]
    finding = only(data)
    assert finding.path == "fields.hours"
    assert finding.reason == "no distribution is stated for rank=Silver; rank=Gold"


def test_long_lists_are_cut() -> None:
    """Of many uncovered values the first four are named and the rest counted."""
    data = players()
    values = [f"tier {i}" for i in range(11)]
    data["fields"][1] = {
        "name": "rank",
        "kind": "categorical",
        "categorical": {"weights": dict.fromkeys(values, 1 / 11)},
    }
    data["fields"][2]["conditionals"] = [
        {"when": {"rank": "tier 0"}, "numeric": {"min": 0, "max": 9, "mean": 5, "sd": 1}}
    ]
    assert only(data).reason.endswith("rank=tier 1; rank=tier 2; rank=tier 3; rank=tier 4 and 6 more")


def age_and_job(*spans: str, integer: bool = True) -> dict[str, Any]:
    """A number and a child with a rule for each span of it."""
    numeric = {"min": 18, "max": 90, "mean": 45, "sd": 15, "integer": integer}
    rules = [{"when": {"age": span}, "categorical": {"weights": {"a": 0.5, "b": 0.5}}} for span in spans]
    return {
        "domain": "d",
        "order": ["age", "job"],
        "fields": [
            {"name": "age", "kind": "numeric", "numeric": numeric},
            {"name": "job", "kind": "categorical", "parents": ["age"], "conditionals": rules},
        ],
    }


def test_gap_between_intervals_is_found() -> None:
    """Intervals that leave out a number of the parent's range are an error; touching whole numbers leave none."""
    assert "age=41" in only(age_and_job("..40", "42..")).reason
    assert found(age_and_job("..40", "41..")) == []
    assert "age=" in only(age_and_job("..40", "41..", integer=False)).reason
    assert found(age_and_job("..40", "40..", integer=False)) == []


@pytest.mark.parametrize("span", ["40-50", "old", "50..40", ""])
def test_bad_interval_is_an_error(span: str) -> None:
    """A condition on a number that is no interval is an error that shows how to write one."""
    assert '"30..44"' in only(age_and_job("18..90", span)).fix


def test_interval_outside_the_range() -> None:
    """A condition that the parent's range never meets is a warning."""
    assert "never holds" in only(age_and_job("18..90", "100.."), "warning").reason


def test_tie_is_a_warning() -> None:
    """Two conditions of which only the order decides are a warning that says where."""
    finding = only(age_and_job("..50", "50.."), "warning")
    assert "only their order decides" in finding.reason
    assert "age=50" in finding.reason


def test_base_replaced_by_lines_is_a_warning() -> None:
    """Where a line between stated values replaces a base that is stated too, a warning says so."""
    data = players()
    del data["fields"][2]["conditionals"][1]
    data["fields"][2]["numeric"] = {"min": 0, "max": 9, "mean": 5, "sd": 1}
    assert only(data, "warning").reason == "interpolation replaces the base distribution at rank=Silver"


def test_impossible_line_is_an_error() -> None:
    """Integers with sd 0 at both ends have half an integer for a mean in the middle, which no sd of 0 can give."""
    data = players()
    data["fields"][2]["conditionals"] = [
        {"when": {"rank": rank}, "numeric": {"min": 0, "max": 9, "mean": mean, "sd": 0, "integer": True}}
        for rank, mean in (("Bronze", 5), ("Gold", 6))
    ]
    finding = only(data)
    assert finding.path == "fields.hours"
    assert "at rank=Silver interpolation yields" in finding.reason
    assert "at least 0.5" in finding.reason


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"NA": 1.5, "EUW": -0.5}, "the weight -0.5 of 'EUW' is negative"),
        ({"NA": 0.5, "EUW": 0.6}, "the weights sum to 1.1, not 1"),
        ({"NA": 0.5, "EUW": 0.4989}, "the weights sum to 0.9989, not 1"),
        ({"NA": 0, "EUW": 0}, "the weights sum to 0, not 1"),
        ({"NA": 50, "EUW": 50}, "the weights sum to 100, not 1"),
        ({"NA": 1e308, "EUW": 1e308}, "the weights sum to inf, not 1"),
        ({}, "there are no values"),
        ({" ": 0.5, "EUW": 0.5}, "a value is called ' '"),
    ],
)
def test_bad_weights(weights: dict[str, float], reason: str) -> None:
    """Negative weights, a sum off by more than 0.001, no values and nameless values are errors."""
    data = players()
    data["fields"][0]["categorical"]["weights"] = weights
    assert only(data).reason == reason


@pytest.mark.parametrize(("weight", "says"), [(0.501, ["warning"]), (0.499, ["warning"]), (0.5005, []), (0.4995, [])])
def test_sums_near_one_are_scaled(weight: float, says: list[str]) -> None:
    """A sum off by up to 0.001 is scaled; up to 0.0005, as thirds or shares of three digits are, without a word."""
    data = players()
    data["fields"][0]["categorical"]["weights"] = {"NA": 0.5, "EUW": weight}
    assert [finding.level for finding in [*found(data), *found(data, "warning")]] == says
    assert not any("sum to 1, not 1" in finding.reason for finding in found(data, "warning"))
    assert sample(Blueprint.from_dict(data), 1000, seed=1)["region"].value_counts().min() >= 499


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sd": 30}, "at most 13.23"),  # √(5 · 35)
        ({"mean": 50}, "mean 50 lies outside 0..40"),
        ({"sd": -1}, "sd -1 is negative"),
        ({"min": 41}, "min 41 is above max 40"),
        ({"integer": True, "mean": 5.5, "sd": 0.1}, "at least 0.5"),
    ],
)
def test_impossible_moments(changes: dict[str, Any], reason: str) -> None:
    """Moments that no distribution can have are an error at their place that says what is possible."""
    data = players()
    for conditional in data["fields"][2]["conditionals"]:
        conditional["numeric"]["integer"] = changes.get("integer", False)
    data["fields"][2]["conditionals"][0]["numeric"] |= changes
    finding = only(data)
    assert finding.path == "fields.hours where rank=Bronze"
    assert reason in finding.reason


@pytest.mark.parametrize("words", ["hourz", "hourz + 1", "min(hourz, 3)"])
def test_unknown_field_in_a_constraint(words: str) -> None:
    """A constraint on a field that does not exist is an error that names the nearest."""
    assert only(rule(words, ">=", "0")).reason == "'hourz' is no field, did you mean 'hours'?"


@pytest.mark.parametrize(
    "text", ["9**9**9", "__import__('os')", "hours.mean()", "lambda: 0", "'a' * 9 ** 9", "hours if 1 else 2", "", "1 <"]
)
def test_code_in_a_constraint(text: str) -> None:
    """Code, power towers and what is no expression are errors at the constraint."""
    finding = only(rule("hours", "<=", text))
    assert finding.path == "constraints.rule"


@pytest.mark.parametrize(
    ("lhs", "op", "rhs"),
    [("hours", ">", "40"), ("hours", "<", "0"), ("hours*2", "==", "81"), ("rank == 'Gold'", ">", "1"), ("1", ">", "2")],
)
def test_constraint_that_can_never_hold(lhs: str, op: str, rhs: str) -> None:
    """A rule that no number in range meets is an error."""
    assert only(rule(lhs, op, rhs)).reason.endswith("can never hold, whatever is drawn")


@pytest.mark.parametrize(
    ("lhs", "op", "rhs"),
    [("hours", "<=", "40"), ("abs(hours)", ">=", "0"), ("rank == 'Gold'", "<=", "1"), ("1", "<", "2")],
)
def test_constraint_that_always_holds(lhs: str, op: str, rhs: str) -> None:
    """A rule that every number in range meets is noted as superfluous."""
    assert only(rule(lhs, op, rhs), "note").reason.endswith("always holds, whatever is drawn")


@pytest.mark.parametrize(("lhs", "op", "rhs"), [("hours", "<=", "20"), ("10/hours", ">", "1")])
def test_constraint_that_may_hold_is_not_mentioned(lhs: str, op: str, rhs: str) -> None:
    """A rule that some numbers meet and others do not is what rules are for; a divisor of 0 does not rule it out."""
    assert validate(Blueprint.from_dict(rule(lhs, op, rhs))) == ()


@pytest.mark.parametrize(("lhs", "op", "rhs"), [("rank", "<", "3"), ("name", "==", "'Ann'"), ("rank", "==", "hours")])
def test_constraint_that_does_not_apply(lhs: str, op: str, rhs: str) -> None:
    """A rule that compares what has no common scale is a warning, not silently true."""
    assert only(rule(lhs, op, rhs), "warning").reason.startswith("not applicable, so it holds no one to anything")


def test_duplicate_names() -> None:
    """Two fields, or two constraints, of one name are an error."""
    data = rule("hours", "<=", "20")
    data["constraints"] *= 2
    assert only(data).reason == "2 constraints are called 'rule'"
    data = players()
    data["fields"].append(data["fields"][3])
    assert only(data).reason == "2 fields are called 'name'"


@pytest.mark.parametrize("name", [*RESERVED, "", " ", "region "])
def test_names_that_cannot_be(name: str) -> None:
    """A field may not take the name of a column that is added later, nor an empty or padded one."""
    data = players()
    data["fields"][3]["name"] = name
    assert only(data).path == f"fields.{name}"


@pytest.mark.parametrize("index", [0, 2])
def test_field_nobody_can_sample(index: int) -> None:
    """A field without any distribution is an error."""
    data = players()
    kept = {key: data["fields"][index][key] for key in ("name", "kind")}
    data["fields"][index] = kept
    assert "nobody can sample it" in only(data).reason


def test_parent_that_changes_nothing() -> None:
    """A parent that no conditional speaks of is a warning."""
    data = players()
    data["fields"][2]["parents"] = ["rank", "region"]
    assert only(data, "warning").reason == "it depends on 'region', but no conditional says how"


def test_text_as_parent_of_a_number() -> None:
    """A text is written last, so nothing sampled can depend on it."""
    data = players()
    data["fields"][0]["parents"] = ["name"]
    data["fields"][3]["parents"] = []
    assert "written after all sampling" in only(data).reason


def test_value_without_any_weight() -> None:
    """A value of the order that no distribution weighs is a warning."""
    data = players()
    data["fields"][1]["ordered_values"].append("Platinum")
    assert any(
        "nobody has 'Platinum', for which no weight is stated" in finding.reason for finding in found(data, "warning")
    )


def test_mixed_integers() -> None:
    """A field whose values are whole in some situations only is a warning."""
    data = players()
    data["fields"][2]["conditionals"][0]["numeric"]["integer"] = True
    assert "some distributions are of integers" in only(data, "warning").reason


def test_too_many_combinations_are_noted() -> None:
    """Where parents combine in more ways than are looked at, a note says so."""
    table = {"weights": {f"v{i}": 1 / 30 for i in range(30)}}
    roots = [{"name": name, "kind": "categorical", "categorical": table} for name in "abc"]
    rules = [{"when": dict.fromkeys("abc", "v1"), "categorical": {"weights": {"x": 1}}}]
    child = {"name": "d", "kind": "categorical", "parents": list("abc"), "categorical": {"weights": {"x": 1}}}
    data = {"domain": "d", "order": list("abcd"), "fields": [*roots, child | {"conditionals": rules}]}
    assert f"more than {MOST_CONFIGURATIONS:,} ways" in only(data, "note").reason


WORDS = st.one_of(
    st.sampled_from(["", " ", "f0", "f1", "NO", "..", "1..2", "9..1", "9**9", "f0 +", "\x00", "'"]), st.text(max_size=8)
)
NUMBERS = st.one_of(
    st.sampled_from([0, -0.0, -1, 1, 1e308, -1e308, 5e-324, 1e-12, 2**53 + 1, 10**300]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**20), 10**20),
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every part of nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def mutated(draw: st.DrawFn, data: dict[str, Any]) -> None:
    """Change one part to something of its own type, rename a key, drop an item or double one."""
    *steps, last = draw(st.sampled_from(places(data)[1:]))
    holder = data
    for step in steps:
        holder = holder[step]
    value: Any = holder[last]
    action = draw(st.sampled_from(["change", "change", "drop", "double"]))
    if action == "drop":
        del holder[last]
    elif action == "double" and isinstance(holder, list):
        holder.append(copy.deepcopy(value))
    elif action == "double" and isinstance(value, float | int | dict):
        holder[draw(WORDS)] = copy.deepcopy(value)
    elif isinstance(value, str):
        holder[last] = draw(WORDS)
    elif isinstance(value, bool):
        holder[last] = not value
    elif isinstance(value, int | float):
        holder[last] = draw(NUMBERS)
    elif isinstance(value, dict):
        holder[last] = {} if draw(st.booleans()) else {draw(WORDS): item for item in value.values()}


@given(blueprints(max_fields=4), st.data())
def test_validate_never_fails(bp: Blueprint, data: st.DataObject) -> None:
    """Whatever is changed in a blueprint, it is refused for its shape or validated to findings that can be read."""
    changed = bp.to_dict()
    for _ in range(data.draw(st.integers(1, 4))):
        mutated(data.draw, changed)  # type: ignore[arg-type]  # draws as a composite's draw does
    try:
        read = Blueprint.from_dict(changed)
    except BlueprintError:
        return
    assert all(str(finding) for finding in validate(read))


SEEN = WORDS.map(lambda word: UNSEEN.sub("", word))  # others are no text of a constraint


@given(blueprints(max_fields=4), SEEN, st.sampled_from(["<", ">=", "==", "!="]), SEEN)
def test_any_constraint_is_judged(bp: Blueprint, lhs: str, op: str, rhs: str) -> None:
    """Whatever a constraint's sides say, it is judged and never raises."""
    with_rule = bp.replace(constraints=[{"name": "rule", "lhs": lhs, "op": op, "rhs": rhs}])
    assert all(finding.reason for finding in validate(with_rule))


@pytest.mark.parametrize("kind", ["categorical", "numeric"])
@pytest.mark.parametrize("share", [1, 7, 97])
def test_thousands_of_conditionals(kind: str, share: int) -> None:
    """Two ordered parents of 50 values and up to 2,500 conditionals are validated, every line between them too."""
    values = [f"v{i}" for i in range(50)]
    root = {"kind": "categorical", "ordered_values": values, "categorical": {"weights": dict.fromkeys(values, 0.02)}}
    stated = {"categorical": {"weights": {"x": 1}}, "numeric": {"min": 0, "max": 80, "mean": 20, "sd": 5}}[kind]
    pairs = [{"a": a, "b": b} for a in values for b in values][::share]
    child = {"name": "c", "kind": kind, "parents": ["a", "b"]}
    child |= {"conditionals": [{"when": when, kind: stated} for when in pairs]}
    data = {"domain": "d", "order": ["a", "b", "c"], "fields": [root | {"name": "a"}, root | {"name": "b"}, child]}
    assert [finding.level for finding in validate(Blueprint.from_dict(data))] == ["note"] * (share > 1)


@pytest.mark.parametrize("sides", [("hours", "==", "hours + 1"), ("hours - hours", ">", "0"), ("rank", "!=", "rank")])
def test_what_no_value_of_one_field_can_meet_is_found(league: Blueprint, sides: tuple[str, str, str]) -> None:
    """A constraint on one field is tried on all its values, so a contradiction in terms does not pass."""
    lhs, op, rhs = (side.replace("hours", "hours_per_week") for side in sides)
    wrong = league.replace(constraints=[{"name": "odd", "lhs": lhs, "op": op, "rhs": rhs}])
    assert [f.level for f in validate(wrong) if f.path == "constraints.odd"] == ["error"]


def test_what_a_constraint_leaves_nobody_in_is_named() -> None:
    """A value that a rule excludes, and a branch whose range it misses, are warnings that say where."""
    assert "leaves nobody with rank=Gold (25 % of the weights)" in only(rule("rank", "!=", "'Gold'"), "warning").reason


def test_a_group_that_a_constraint_empties_is_named() -> None:
    """Where *if Gold, then 30 hours* meets Gold players who never play 30, Gold is named, with its share."""
    data = rule("rank == 'Gold'", "<=", "hours >= 30")
    for each in data["fields"][2]["conditionals"]:
        each["numeric"] |= {"max": 50} if each["when"]["rank"] != "Gold" else {"max": 25}
    reason = only(data, "warning").reason
    assert reason == "(rank == 'Gold') <= (hours >= 30) leaves nobody with rank=Gold (25 % of the weights)"


def test_a_group_of_two_parents_that_a_constraint_empties_is_named() -> None:
    """As a configuration of the parents, where neither value is gone for all; and by intervals of a number."""
    data = rule("hours", ">=", "10")
    data["fields"][2] |= {"parents": ["region", "rank"], "numeric": {"min": 0, "max": 40, "mean": 20, "sd": 4}}
    few = {"min": 0, "max": 9, "mean": 5, "sd": 1}
    data["fields"][2]["conditionals"] = [{"when": {"region": "NA", "rank": "Gold"}, "numeric": few}]
    assert only(data, "warning").reason == "hours >= 10 leaves nobody with region=NA, rank=Gold"
    data = age_and_job()
    data["fields"][1] = {"name": "hours", "kind": "numeric", "parents": ["age"]}
    data["fields"][1]["conditionals"] = [
        {"when": {"age": "..24"}, "numeric": few},
        {"when": {"age": "25.."}, "numeric": few | {"max": 20}},
    ]
    data |= {"order": ["age", "hours"], "constraints": [{"name": "c", "lhs": "hours", "op": ">=", "rhs": "10"}]}
    assert only(data, "warning").reason == "hours >= 10 leaves nobody with age=18..24"


def test_one_cause_has_one_finding() -> None:
    """A misspelling in the order, a ring, a value misspelt in many places, parents of which nothing is said."""
    assert only(players(order=["region", "rank", "houres"])).fix == "did you mean 'hours'?"
    data = players(order=["region", "hours", "rank"])
    data["fields"][1]["parents"] = ["hours"]
    assert "ring" in only(data).reason
    data = players()
    data["fields"][1] |= {"parents": ["region"], "conditionals": []}
    for region in ("NA", "EUW"):
        table = {"weights": {"Bronze": 0.5, "Slver": 0.25, "Gold": 0.25}}
        data["fields"][1]["conditionals"].append({"when": {"region": region}, "categorical": table})
    assert only(data).reason == "'Slver' is not one of 'rank''s values, in 2 places"
    data = players()
    data["fields"][2] |= {"parents": ["rank", "region"], "numeric": {"min": 0, "max": 9, "mean": 5, "sd": 1}}
    data["fields"][2]["conditionals"] = []
    assert only(data, "warning").reason == "it depends on 'rank', 'region', but no conditional says how"


@pytest.mark.parametrize("name", ["gross income", "net-income", "m²", "1st", "and"])
def test_a_name_that_needs_quotes_is_told(name: str) -> None:
    """Where it stands, with the quotes; a plain word of any language is not."""
    data = players()
    data["fields"][0]["name"], data["order"][0], data["fields"][3]["parents"] = name, name, [name]
    finding = only(data, "warning")
    assert (finding.path, f"`{name}`" in finding.fix) == (f"fields.{name}", True)
    for plain in ("class", "größe", "性別"):
        data["fields"][0]["name"], data["order"][0], data["fields"][3]["parents"] = plain, plain, [plain]
        assert validate(Blueprint.from_dict(data)) == ()


def test_names_that_look_alike_are_told() -> None:
    """Two fields that only a computer tells apart."""
    data = players()
    data["fields"] += [{"name": name, "kind": "text"} for name in ("\ufb01n", "fin")]
    assert [finding.path for finding in found(data, "warning")] == ["fields.\ufb01n", "fields.fin"]


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (("hours-x", "<=", "5"), "'hours-x' is a field, and without backticks its name is read as something else"),
        (("rank", ">=", "Gold"), "'Gold' is a value of 'rank': quote it"),
        (("(0 <= hours)", "<=", "50"), "(0 <= hours) is worth 1 or 0, and is compared with 50"),
        (("hours >= 1 and hours", "<=", "50"), "'hours >= 1 and hours' joins by 'and' what does not compare"),
    ],
)
def test_what_would_bind_nobody_is_an_error(sides: tuple[str, str, str], reason: str) -> None:
    """A name, a value or a comparison that reads as something else is never reported as held."""
    data = rule(*sides)
    data["fields"].append({"name": "hours-x", "kind": "text"})
    assert only(data).reason == reason
