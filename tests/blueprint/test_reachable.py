"""What is called reachable is what people can have: no more is said of a blueprint, and no less is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalab import Blueprint, sample, validate
from personalab.blueprint.reachable import MOST_CONFIGURATIONS, joint, lookups_of
from personalab.blueprint.resolution import resolve
from personalab.errors import BlueprintError
from tests.strategies import blueprints


def choice(name: str, weights: dict[str, float], **more: Any) -> dict[str, Any]:
    """A categorical field."""
    return {"name": name, "kind": "categorical", "categorical": {"weights": weights}, **more}


def number(name: str, low: float, high: float, *, integer: bool = True, **more: Any) -> dict[str, Any]:
    """A number with its mean in the middle."""
    return {"name": name, "kind": "numeric", "numeric": law(low, high, integer=integer), **more}


def law(low: float, high: float, *, integer: bool = True) -> dict[str, Any]:
    """A numeric distribution with its mean in the middle."""
    return {"min": low, "max": high, "mean": (low + high) / 2, "sd": (high - low) / 5, "integer": integer}


def ages(*spans: str, integer: bool = True, rules: tuple[str, ...] = ()) -> Blueprint:
    """Pupils of 6 to 19, nurses of 21 to 66, and something that depends on both, stated for some spans of age."""
    job = choice("job", {"pupil": 0.2, "nurse": 0.8, "king": 0})
    age: dict[str, Any] = {"name": "age", "kind": "numeric", "parents": ["job"]}
    age["conditionals"] = [
        {"when": {"job": name}, "numeric": law(*span, integer=integer)}
        for name, span in (("pupil", (6, 19)), ("nurse", (21, 66)))
    ]
    pay: dict[str, Any] = {"name": "pay", "kind": "categorical", "parents": ["job", "age"]}
    stated = [dict(zip(("job", "age"), span.split(), strict=True)) for span in spans]
    pay["conditionals"] = [{"when": when, "categorical": {"weights": {"low": 0.5, "high": 0.5}}} for when in stated]
    constraints = [{"name": "c", **dict(zip(("lhs", "op", "rhs"), rule.split(), strict=True))} for rule in rules]
    return Blueprint.from_dict(
        {"domain": "d", "order": ["job", "age", "pay"], "fields": [job, age, pay], "constraints": constraints}
    )


@pytest.mark.parametrize("integer", [True, False])
@pytest.mark.parametrize("method", ["balanced", "quota", "iid"])
def test_who_cannot_be_needs_no_distribution(method: Any, integer: bool) -> None:
    """A pupil of 30, and a value of weight 0: nothing is said of them, and everybody there is is drawn."""
    bp = ages("pupil ..19", "nurse 21..", integer=integer)
    assert validate(bp) == ()
    assert sample(bp, 500, seed=1, method=method).notna().all(axis=None)


def test_who_can_be_and_is_not_stated_is_named_with_a_range() -> None:
    """The whole stretch of a number that lacks a distribution, as far as somebody is in it."""
    [finding] = validate(ages("pupil ..15", "nurse 30..49"))
    assert finding.level == "error"
    assert (
        finding.reason
        == "no distribution is stated for job=pupil, age=16..19; job=nurse, age=21..29; job=nurse, age=50..66"
    )


@pytest.mark.parametrize("method", ["balanced", "quota", "iid"])
def test_whom_a_constraint_excludes_needs_no_distribution(method: Any) -> None:
    """Nobody is below 30, so that nothing has to be stated there."""
    bp = ages("nurse 30..", rules=("age >= 30",))
    assert [finding.level for finding in validate(bp)] == ["warning"]  # about the pupils, who are gone
    assert sample(bp, 500, seed=1, method=method).notna().all(axis=None)


def test_a_distant_ancestor_tells_what_goes_together() -> None:
    """Two fields that never differ, because of a third, make two configurations and not four."""
    rules = [{"when": {"a": value}, "categorical": {"weights": {value: 1}}} for value in "xy"]
    fields = [choice("a", {"x": 0.5, "y": 0.5})]
    fields += [{"name": name, "kind": "categorical", "parents": ["a"], "conditionals": rules} for name in "bc"]
    found = joint(lookups_of(Blueprint.from_dict({"domain": "d", "order": [*"abc"], "fields": fields})), "bc")
    assert found.labels("bc") == ["b=x, c=x", "b=y, c=y"]


def test_more_than_can_be_looked_at_is_told() -> None:
    """The first are looked at, and the rest is not forgotten."""
    table = {f"v{i}": 1 / 30 for i in range(30)}
    bp = Blueprint.from_dict({"domain": "d", "order": [*"abc"], "fields": [choice(name, table) for name in "abc"]})
    found = joint(lookups_of(bp), "abc")
    assert not found.is_whole
    assert 0 < len(found.rows) <= MOST_CONFIGURATIONS


@settings(max_examples=60, deadline=None)
@given(blueprints(max_fields=4), st.integers(0, 5))
def test_everybody_drawn_was_reachable(bp: Blueprint, seed: int) -> None:
    """Whatever the blueprint, each row's values are among those found for all its fields together."""
    try:
        frame = sample(bp, 30, seed=seed)
    except BlueprintError:
        return  # constraints that cannot be met together
    found = joint(lookups_of(bp), bp.order, [resolve(rule, bp) for rule in bp.constraints])
    columns = [
        frame[name].cat.codes if hasattr(frame[name], "cat") else frame[name].astype(float) for name in found.fields
    ]
    for row in zip(*columns, strict=True):
        ends = [found.column(name).T for name in found.fields]
        inside = [(low <= x) & (x <= high) for (low, high), x in zip(ends, row, strict=True)]
        assert any(all(each) for each in zip(*inside, strict=True))


@settings(max_examples=60, deadline=None)
@given(blueprints(max_fields=4), st.data())
def test_what_is_found_sound_is_drawn(bp: Blueprint, data: st.DataObject) -> None:
    """Whatever conditionals and bases are taken away: where nothing is called uncovered, nobody lacks anything."""
    wire = bp.to_dict()
    for field in wire["fields"]:
        rules = field["conditionals"]
        field["conditionals"] = [rule for rule in rules if data.draw(st.booleans())] or rules
        if field["conditionals"] and field["kind"] in field and data.draw(st.booleans()):
            del field[field["kind"]]
    changed = Blueprint.from_dict(wire)
    if any(finding.level == "error" for finding in validate(changed)):
        return
    try:
        lacking = sample(changed, 40, seed=1)[list(changed.order)].isna().to_numpy().sum()
    except BlueprintError as error:
        lacking = 0 if any(rule.name in str(error) for rule in changed.constraints) else error
    assert lacking == 0  # else constraints alone are to blame
