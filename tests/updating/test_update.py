"""What `personalab.updating.update` promises: the edited blueprint kept as by a sample, with the fewest changes."""

from __future__ import annotations

import io
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from personalab import Blueprint, sample, update, validate
from personalab.blueprint import moments
from personalab.blueprint.conditionals import find_distribution
from personalab.blueprint.model import Categorical, CategoricalField, NumericField
from personalab.edits import add_field, rename_field, rename_value
from personalab.errors import BlueprintError, PersonalabError, RequestError
from personalab.reports.fidelity import distance
from personalab.reports.report import report
from personalab.updating.reassignment import raise_quotas
from tests.builders import (
    BOUNDS,
    PEOPLE,
    RULES,
    blueprint,
    choice,
    excess,
    hard,
    margin,
    number,
    violations,
)
from tests.conftest import ROOT
from tests.strategies import blueprints, edited

METHODS = ("balanced", "quota", "iid")
ROUNDINGS = ("nearest", "unbiased")


def weights(bp: Blueprint, name: str) -> dict[str, float]:
    """A root's weights."""
    field = bp[name]
    assert isinstance(field, CategoricalField)
    assert field.base is not None
    return {value: float(share) for value, share in field.base.weights.items()}


def moved(bp: Blueprint, name: str, part: float = 0.2, seed: int = 1) -> Blueprint:
    """The blueprint with a part of a root's weights dealt anew."""
    old = weights(bp, name)
    fresh = np.random.default_rng(seed).dirichlet(np.ones(len(old)))
    shares = (1 - part) * np.array(list(old.values())) + part * fresh
    return bp.replace(name, weights=dict(zip(old, (shares / shares.sum()).tolist(), strict=True)))


def distances(before: Blueprint, after: Blueprint, name: str) -> float:
    """How far a root's distribution has moved."""
    old, new = weights(before, name), weights(after, name)
    return distance([old.get(value, 0) for value in new], list(new.values()))


def changes(frame: pd.DataFrame, new: pd.DataFrame) -> dict[str, int]:
    """How many cells of each column are others, of those columns where some are."""
    counts = {str(name): int((new[name].astype(object) != frame[name].astype(object)).sum()) for name in new}
    return {name: count for name, count in counts.items() if count}


def association(frame: pd.DataFrame, one: str, other: str) -> float:
    """Cramér's V of two fields."""
    table = pd.crosstab(frame[one], frame[other]).to_numpy().astype(float)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / table.sum() / (min(table.shape) - 1)))


def asked(bp: Blueprint, name: str, at: dict[str, Any]) -> dict[str, float]:
    """The weights that a categorical field has where its parents have these values."""
    field = bp[name]
    assert isinstance(field, CategoricalField)
    found = find_distribution(bp, field, at)
    assert found is not None
    assert isinstance(found.distribution, Categorical)
    return dict(found.distribution.weights)


def is_valid(bp: Blueprint) -> bool:
    """Whether the linter finds no error."""
    return not any(finding.level == "error" for finding in validate(bp))


@st.composite
def edits(draw: st.DrawFn) -> tuple[Blueprint, Blueprint]:
    """A valid blueprint, and what one to three random edits make of it."""
    before = draw(blueprints(max_fields=4))
    assume(is_valid(before))
    after = before
    for _ in range(draw(st.integers(1, 3))):
        new = draw(edited(after))
        after = new if is_valid(new) else after
    return before, after


SIZES, SEEDS = st.sampled_from([1, 2, 7, 10, 37, 100, 400]), st.integers(0, 2**40)


COINS = blueprint(
    choice("side", {"head": 0.7, "tail": 0.3}),
    choice("level", {"1": 0.5, "2": 0.3, "3": 0.2}, ordered_values=["1", "2", "3"]),
    choice("answer", {"NO": 0.5, "null": 0.5}, "side"),
    number("age", 18, 90, 40, 10, integer=True),
    number("height", 1, 2, 1.5, 0.1, "side"),
)
BENT = COINS.replace("side", weights={"head": 0.5, "tail": 0.5})
FRAME = sample(COINS, 20, seed=1)


# Any edit of any blueprint


@given(edits(), SIZES, SEEDS, st.sampled_from(METHODS), st.sampled_from(ROUNDINGS))
@settings(max_examples=120)
def test_any_edit_is_followed_as_exactly_as_by_a_sample(
    case: tuple[Blueprint, Blueprint], n: int, seed: int, method: Any, rounding: Any
) -> None:
    """Roots are at their limit, or within one person; no rule is broken, no range left; the frame given stays."""
    before, after = case
    frame = sample(before, n, seed=seed, method=method, rounding=rounding)
    given_frame = frame.copy(deep=True)
    new = update(frame, before, after)
    pd.testing.assert_frame_equal(frame, given_frame)
    pd.testing.assert_frame_equal(new, update(frame, before, after))
    assert list(new.columns) == [field.name for field in after.sampled]
    assert dict(new.dtypes) == dict(sample(after, 1, seed=1).dtypes)
    assert violations(new, after) == 0
    assert not any(each.outside for each in report(new, after).numerics)
    if method != "iid" and rounding == "nearest":
        assert excess(new, after) <= 1e-12
    if method != "iid" and rounding == "unbiased":
        for root in after.roots:
            shares = weights(after, root.name)
            total = sum(shares.values())
            for value, share in shares.items():
                assert abs(int((new[root.name] == value).sum()) - n * share / total) < 1 + 1e-6


@given(edits(), SIZES, SEEDS, st.sampled_from(METHODS))
@settings(max_examples=60)
def test_only_who_has_another_distribution_changes(
    case: tuple[Blueprint, Blueprint], n: int, seed: int, method: Any
) -> None:
    """Where no rule plays a part, a cell whose row has the parents and the distribution that it had is the same."""
    before, after = (bp.replace(constraints=()) for bp in case)
    frame = sample(before, n, seed=seed, method=method)
    new = update(frame, before, after)
    same_kind = {field.name for field in before.sampled if field.name in new and field.kind == after[field.name].kind}
    for field in after.sampled:
        old = before[field.name] if field.name in same_kind else None
        if not isinstance(old, CategoricalField | NumericField) or old.parents != field.parents:
            continue
        if not set(field.parents) <= same_kind:
            continue
        for i in range(n):
            at = {name: new[name].iloc[i] for name in field.parents}
            if at == {name: frame[name].iloc[i] for name in field.parents}:
                was, now = find_distribution(before, old, at), find_distribution(after, field, at)
                if was is not None and now is not None and was.distribution == now.distribution:
                    assert new[field.name].iloc[i] == frame[field.name].iloc[i]


@given(blueprints(max_fields=4), SIZES, SEEDS, st.sampled_from(METHODS), st.sampled_from(ROUNDINGS))
@settings(max_examples=30)
def test_no_edit_changes_nothing(bp: Blueprint, n: int, seed: int, method: Any, rounding: Any) -> None:
    """Nor does another domain, rationale or description."""
    assume(is_valid(bp))
    frame = sample(bp, n, seed=seed, method=method, rounding=rounding)
    new = update(frame, bp, bp.replace(domain="others").replace(bp.order[0], description="words"))
    pd.testing.assert_frame_equal(new, frame)
    assert new.attrs == frame.attrs


@given(blueprints(max_fields=4), SIZES, SEEDS)
@settings(max_examples=20)
def test_a_new_name_keeps_the_values(bp: Blueprint, n: int, seed: int) -> None:
    """A field that is only called otherwise is the same column."""
    assume(is_valid(bp))
    name = bp.order[-1]
    after = bp.replace(
        order=[*bp.order[:-1], "other"],
        fields=[field.model_dump() | ({"name": "other"} if field.name == name else {}) for field in bp.fields],
        constraints=(),
    )
    bare = bp.replace(constraints=())
    frame = sample(bare, n, seed=seed)
    new = update(frame, bare, after, renamed={name: "other"})
    pd.testing.assert_frame_equal(new, frame.rename(columns={name: "other"}))


# How many change


@pytest.mark.parametrize("n", [1, 10, 100, 1000, 5000])
@pytest.mark.parametrize("method", METHODS[:2])
def test_a_root_changes_as_often_as_its_distribution_moved(n: int, method: Any) -> None:
    """As many as n times the distance, up to one a value; below it only those whose parents changed."""
    bp = hard()
    for name, heirs in {"education": {"income", "age", "occupation", "years"}, "country": {"language"}}.items():
        after = moved(bp, name)
        frame = sample(bp, n, seed=3, method=method)
        new = update(frame, bp, after)
        count = changes(frame, new)
        assert abs(count.get(name, 0) - n * distances(bp, after, name)) <= len(weights(bp, name))
        assert set(count) <= {name} | heirs
        changed = {column: (new[column] != frame[column]).to_numpy() for column in new}
        for field in after.sampled:
            if field.parents:
                assert not (changed[field.name] & ~np.logical_or.reduce([changed[p] for p in field.parents])).any()


def test_a_number_changes_as_often_as_its_distribution_moved() -> None:
    """Of 5,000, n times the distance between the laws, up to what slices can see."""
    bp = blueprint(number("x", 0, 100, 50, 10), number("age", 18, 90, 40, 12, integer=True))
    grid = np.linspace(0, 100, 100_001)
    for name, edit in (("x", {"mean": 52}), ("x", {"sd": 12}), ("age", {"mean": 42}), ("age", {"max": 70})):
        after, n = bp.replace(name, **edit), 5000
        masses = [np.diff(moments.solve(each[name].base).cdf(grid)) for each in (bp, after)]  # type: ignore[union-attr, arg-type]
        frame = sample(bp, n, seed=5)
        new = update(frame, bp, after)
        least = n * np.abs(masses[0] - masses[1]).sum() / 2
        assert set(changes(frame, new)) == {name}
        assert least * 0.8 - 2 <= changes(frame, new)[name] <= least * 1.1 + 64
        found = report(new, after).numerics
        assert max(each.ks for each in found) <= 0.02


def test_groups_of_any_size_share_out_their_own_slices_and_values_only() -> None:
    """Room that people who are held take from others is made up for only where a group has that place."""
    counts, held = np.array([[2, 2, 0], [1, 1, 1]]), np.array([[4, 0, 0], [0, 0, 0]])
    may = np.array([[True, True, False], [True, False, False]])
    found = raise_quotas(counts, held, may)
    assert found.sum(axis=1).tolist() == [4, 3]
    assert not (found[~may] > counts[~may]).any()


# How exactly


@pytest.mark.parametrize("n", [100, 1000])
def test_children_stay_near_their_limits(n: int) -> None:
    """Conditional distance at most 1.35 times and a child's margin at most 1.5 times its limit, over 30 seeds."""
    bp, edges, margins = hard(), [], []
    after = moved(moved(moved(bp, "gender"), "education"), "plan")
    for seed in range(30):
        new = update(sample(bp, n, seed=seed), bp, after)
        edges += [(each.total_variation_distance, each.limit) for each in report(new, after).conditionals]
        margins += [margin(after, f, new) for f in after.sampled if isinstance(f, CategoricalField) and f.parents]
    for pairs, most in ((edges, 1.35), (margins, 1.5)):
        achieved, least = np.mean(pairs, axis=0)
        assert achieved <= most * least


def test_two_parents_that_change_one_after_the_other_leave_the_child_right() -> None:
    """Of those who keep their own distribution, who leaves is told apart from whom another parent has moved."""
    bp, n = hard(), 10_000
    after = moved(moved(bp, "plan", 0.5, seed=2), "device", 0.5, seed=3)
    found = []
    for seed in range(3):
        edges = report(update(sample(bp, n, seed=seed), bp, after), after).conditionals
        found += [each.total_variation_distance / each.limit for each in edges if each.attribute == "churn"]
    assert np.mean(found) <= 1.6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rules", RULES, ids="; ".join)
def test_a_new_rule_is_kept_by_everybody(rules: tuple[str, ...], method: Any) -> None:
    """Whatever it compares; roots stay as exact as a sample's, and it may go again."""
    free, bound = blueprint(*PEOPLE), blueprint(*PEOPLE, rules=rules)
    for n in (1, 40, 300):
        frame = sample(free, n, seed=n, method=method, rounding="nearest")
        new = update(frame, free, bound)
        assert violations(new, bound) == 0
        if method != "iid":
            assert excess(new, bound) <= excess(sample(bound, n, seed=n, rounding="nearest"), bound) + 1e-12
            assert excess(update(new, bound, free), free) <= 1e-12


def test_a_rule_that_nobody_broke_changes_nobody_who_kept_it_gladly() -> None:
    """Numbers that the new rule leaves their whole range are kept."""
    bp = blueprint(*BOUNDS)
    frame = sample(bp, 300, seed=1)
    after = blueprint(*BOUNDS, rules=("b <= a + 10",))
    assert changes(frame, update(frame, bp, after)) == {}


def test_independent_draws_are_independent_again() -> None:
    """Over 100 seeds p-values of every root and number are uniform, and changes n times the distance on average."""
    fields = [choice("a", {"x": 0.5, "y": 0.3, "z": 0.2}), number("h", 0, 10, 4, 2), number("k", 0, 30, 9, 4)]
    bp = blueprint(*fields[:2], fields[2] | {"numeric": fields[2]["numeric"] | {"integer": True}})
    after = bp.replace("a", weights={"x": 0.4, "y": 0.3, "z": 0.3}).replace("h", mean=4.5, sd=2.5).replace("k", sd=5)
    n, found, count = 500, [], []
    laws = {name: moments.solve(after[name].base) for name in ("h", "k")}  # type: ignore[union-attr, arg-type]
    points = np.arange(31)
    shares = np.diff(laws["k"].cdf(points), prepend=0)
    for seed in range(100):
        frame = sample(bp, n, seed=seed, method="iid")
        new = update(frame, bp, after)
        counts = [(new["a"] == value).sum() for value in "xyz"]
        number_of = np.bincount(np.clip(new["k"].to_numpy(int), 2, 18), minlength=19)[2:]
        expected = n * np.array([shares[:3].sum(), *shares[3:18], shares[18:].sum()])
        found.append(
            (
                stats.chisquare(counts, n * np.array([0.4, 0.3, 0.3])).pvalue,
                stats.kstest(laws["h"].cdf(new["h"].to_numpy()), "uniform").pvalue,
                stats.chisquare(number_of, expected).pvalue,
            )
        )
        count.append(changes(frame, new)["a"])
    for values in np.array(found).T:
        assert stats.kstest(values, "uniform").pvalue > 1e-3
    assert np.mean(count) == pytest.approx(n * 0.1, abs=4 * np.sqrt(n * 0.1 / 100))


def test_unrelated_roots_still_meet_more_evenly_than_chance() -> None:
    """After an edit the joint of a balanced population lies well below that of quotas, though above a sample's."""
    bp, n = hard(), 2000
    after = moved(bp, "gender")

    def unevenness(frame: pd.DataFrame) -> float:
        table = pd.crosstab(frame["gender"], frame["plan"]).to_numpy()
        return distance(np.outer(table.sum(axis=1), table.sum(axis=0)).ravel() / n**2, table.ravel() / n)

    found: dict[str, list[float]] = {"updated": [], "quota": []}
    for seed in range(8):
        found["updated"].append(unevenness(update(sample(bp, n, seed=seed), bp, after)))
        found["quota"].append(unevenness(sample(after, n, seed=seed, method="quota")))
    assert np.mean(found["updated"]) < 0.8 * np.mean(found["quota"])


# Against a fresh sample, and against the least that can change

LEVELS = {"a0": 0.5, "a1": 0.3, "a2": 0.2}


def leaning(name: str, parent: str, values: Any, strength: float = 0.85) -> dict[str, Any]:
    """A child of three values, each of which most of its parent's people of one value have."""
    own = [f"{name}{i}" for i in range(3)]
    tables = [{value: strength if i == j % 3 else (1 - strength) / 2 for i, value in enumerate(own)} for j in range(9)]
    rules = [{"when": {parent: v}, "categorical": {"weights": t}} for v, t in zip(values, tables, strict=False)]
    return choice(name, dict.fromkeys(own, 1 / 3), parent, conditionals=rules)


ROOTS = (choice("a", LEVELS), choice("b", {"b0": 0.6, "b1": 0.4}), choice("c", {"c0": 0.3, "c1": 0.3, "c2": 0.4}))
ECHO, PAY = leaning("e", "a", LEVELS), number("pay", 0, 100, 40, 12, "e")
TIED = blueprint(*ROOTS, ECHO, leaning("f", "e", ("e0", "e1", "e2")), PAY)
REWIRED = {
    "a parent less": (choice("e", {"e0": 0.48, "e1": 0.31, "e2": 0.21}), ["a", "b", "c", "e", "f", "pay"]),
    "another parent": (leaning("e", "c", ("c0", "c1", "c2"), 0.7), ["a", "b", "c", "e", "f", "pay"]),
    "a root with a parent": (leaning("c", "a", LEVELS, 0.6), ["a", "b", "c", "e", "f", "pay"]),
    "two edges turned": (choice("e", {"e0": 0.4, "e1": 0.4, "e2": 0.2}), ["e", "a", "b", "c", "f", "pay"]),
}


def rewired(edit: str) -> Blueprint:
    """The blueprint with one field's parents changed; of the turned one its old parent is a child now."""
    new, order = REWIRED[edit]
    fresh = {new["name"]: new} | ({"a": leaning("a", "e", ("e0", "e1", "e2"), 0.5)} if order[0] == "e" else {})
    return TIED.replace(fields=[fresh.get(f.name, f.model_dump(exclude_none=True)) for f in TIED.fields], order=order)


def pair_tables(frame: pd.DataFrame) -> list[Any]:
    """The shares of every two categories, for every two of the fields."""
    codes = [pd.factorize(frame[name].astype(str), sort=True)[0] for name in "abcef"]
    pairs = [(one, other) for i, one in enumerate(codes) for other in codes[:i]]
    return [np.bincount(3 * one + other, minlength=9) / len(frame) for one, other in pairs]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("edit", REWIRED)
def test_no_dependence_outlives_the_edit_that_dropped_it(edit: str, method: Any) -> None:
    """Every pair of fields is as far from the distribution asked for as in fresh samples, twice the mean at most."""
    after, n = rewired(edit), 600
    wanted = pair_tables(sample(after, 30_000, seed=99, method="quota"))

    def far(frame: pd.DataFrame) -> list[float]:
        return [np.abs(got - want).sum() / 2 for got, want in zip(pair_tables(frame), wanted, strict=True)]

    new = [update(sample(TIED, n, seed=seed, method=method), TIED, after) for seed in range(4)]
    updated = np.mean([far(frame) for frame in new], axis=0)
    fresh = np.mean([far(sample(after, n, seed=seed, method="iid")) for seed in range(4)], axis=0)
    assert (updated <= 2 * fresh).all()
    assert updated.mean() <= 1.15 * fresh.mean()


def test_a_child_that_lost_its_parent_is_dealt_anew_at_the_least_cost() -> None:
    """As many change as the distributions of parent and child together have moved; the tie is gone."""
    after, n = rewired("a parent less"), 1000
    frame = sample(TIED, n, seed=1)
    new = update(frame, TIED, after)
    was, now = (
        {v: find_distribution(bp, bp["e"], {"a": v}).distribution.weights for v in LEVELS} for bp in (TIED, after)
    )  # type: ignore[arg-type, union-attr]
    due = n * sum(LEVELS[v] * distance([*was[v].values()], [*now[v].values()]) for v in LEVELS)
    assert association(frame, "a", "e") > 0.7
    assert association(new, "a", "e") < 0.01
    assert changes(frame, new)["e"] == pytest.approx(due, abs=9)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_values_and_values_of_no_weight_move_nobody(method: Any) -> None:
    """Frames have the new order; and an edit is the same in whatever order values are listed."""
    turned = [f.model_dump(exclude_none=True) for f in TIED.fields]
    for field in turned:
        for each in [field, *field["conditionals"]] if field["kind"] == "categorical" else []:
            weights = each["categorical"]["weights"]
            each["categorical"] = {"weights": {"A": 0.0} | dict(reversed(weights.items()))}
    after = TIED.replace(fields=turned)
    frame = sample(TIED, 300, seed=2, method=method)
    new = update(frame, TIED, after)
    assert changes(frame, new) == {}
    assert list(new["a"].cat.categories) == ["A", "a2", "a1", "a0"]
    edited_, turned_ = (
        bp.replace("a", weights=w)
        for bp, w in ((TIED, {"a0": 0.4, "a1": 0.4, "a2": 0.2}), (after, {"a2": 0.2, "A": 0.0, "a1": 0.4, "a0": 0.4}))
    )
    assert changes(update(frame, TIED, edited_), update(frame, TIED, turned_)) == {}


@pytest.mark.parametrize("method", METHODS)
def test_a_slightly_larger_edit_changes_a_few_more_and_only_those(method: Any) -> None:
    """Shares of 36, 37 and 37.1 %: ten people and one differ, and below the field only they do."""
    frame = sample(TIED, 1000, seed=3, method=method)
    made = []
    for share in (0.36, 0.37, 0.371):
        weights = {"a0": 0.5 * (1 - share) / 0.7, "a1": share, "a2": 0.2 * (1 - share) / 0.7}
        made.append(update(frame, TIED, TIED.replace("a", weights=weights)))
    for one, other, due in zip(made, made[1:], (10, 1), strict=False):
        moved_ = (one["a"] != other["a"]).to_numpy()
        below = ["e", "f", "pay"]
        differ = (one[below].astype(object) != other[below].astype(object)).to_numpy().any(axis=1)
        assert moved_.sum() <= due + (3 if method != "iid" else 3 * due**0.5 + 1)
        assert not (differ & ~moved_).any()


def test_people_who_change_in_one_root_change_in_others_too() -> None:
    """Three roots edited at once cost far fewer people than they cost one by one."""
    roots = [choice(name, {"x": 0.5, "y": 0.5}) for name in "abc"]
    before = blueprint(*roots)
    after = before
    for name in "abc":
        after = after.replace(name, weights={"x": 0.6, "y": 0.4})
    frame = sample(before, 1000, seed=1)
    touched = (update(frame, before, after) != frame).any(axis=1).sum()
    assert touched <= 220  # independent of one another they would be 271; 148 is the least


@pytest.mark.parametrize("n", [300, 1500])
def test_no_cell_of_a_child_is_far_off(n: int) -> None:
    """Two people at most, over ten seeds, where a fresh sample is within one."""
    after, worst = TIED.replace("a", weights={"a0": 0.4, "a1": 0.4, "a2": 0.2}), 0.0
    for seed in range(10):
        for child, parent in (("e", "a"), ("f", "e")):
            new = update(sample(TIED, n, seed=seed), TIED, after)
            for at, people in new.groupby(parent, observed=True):
                table = asked(after, child, {parent: at})
                worst = max(worst, *(abs((people[child] == v).sum() - len(people) * w) for v, w in table.items()))
    assert worst <= 2


# Renames

RENAMED: list[tuple[Any, str]] = [
    ({"nose": "tone"}, "before the edit has no field 'nose'"),
    ({"side": "nose"}, "after it has no field 'nose'"),
    ({"side": "age"}, "one is categorical, the other numeric"),
    ({"side": "level", "answer": "level"}, "two cannot have one name"),
    ({("side", "edge"): "head"}, "'side' has no value 'edge' before the edit"),
    ({("side", "head"): "edge"}, "'side' has no value 'edge' after it"),
    ({("age", "30"): "31"}, "'age' has no value '30'"),
]


@pytest.mark.parametrize(("renamed", "sentence"), RENAMED, ids=str)
def test_a_renaming_of_what_is_not_there_is_refused(renamed: Any, sentence: str) -> None:
    """With both names, and how they are written."""
    with pytest.raises(RequestError, match=sentence) as caught:
        update(FRAME, COINS, COINS, renamed=renamed)
    assert "old field" in caught.value.__notes__[0]


def test_a_value_with_another_name_keeps_its_people() -> None:
    """In its own field and as a parent; without a word it is one gone and another come."""
    frame = sample(TIED, 200, seed=1)
    after = rename_value(rename_field(TIED, field="a", to="level"), field="level", value="a1", to="first")
    new = update(frame, TIED, after, renamed={"a": "level", ("a", "a1"): "first"})
    assert (new["level"].astype(str) == frame["a"].astype(str).replace("a1", "first")).all()
    assert changes(frame.drop(columns="a"), new.drop(columns="level")) == {}
    assert changes(frame.drop(columns="a"), update(frame, TIED, after).drop(columns="level"))


def test_two_fields_may_swap_their_names() -> None:
    """Nobody is taken for another, and nothing is drawn."""
    before = blueprint(choice("a", {"x": 0.7, "y": 0.3}), choice("b", {"x": 0.2, "y": 0.8}))
    after = blueprint(choice("b", {"x": 0.7, "y": 0.3}), choice("a", {"x": 0.2, "y": 0.8}))
    frame = sample(before, 50, seed=1)
    new = update(frame, before, after, renamed={"a": "b", "b": "a"})
    assert new["b"].tolist() == frame["a"].tolist()
    assert new["a"].tolist() == frame["b"].tolist()


def test_a_method_may_be_given_for_a_frame_that_lost_its_own() -> None:
    """Nor does it have to be the one that the frame remembers."""
    frame = sample(COINS, 60, seed=2, method="iid")
    bare = frame.copy()
    bare.attrs = {}
    pd.testing.assert_frame_equal(update(bare, COINS, BENT, method="iid", seed=2), update(frame, COINS, BENT))
    assert update(frame, COINS, BENT, method="quota").attrs["method"] == "quota"
    with pytest.raises(RequestError, match="method is 'best'"):
        update(frame, COINS, BENT, method="best")  # type: ignore[arg-type]


# The same arguments, the same result


def test_another_process_gets_the_same_frame() -> None:
    """Frame, blueprints and seed decide everything."""
    code = (
        "from tests.updating.test_update import *\n"
        "new = update(sample(hard(), 200, seed=4), hard(), moved(hard(), 'plan'), seed=9)\n"
        "print(int(pd.util.hash_pandas_object(new).sum()))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    bp = hard()
    new = update(sample(bp, 200, seed=4), bp, moved(bp, "plan"), seed=9)
    assert runs == [f"{int(pd.util.hash_pandas_object(new).sum())}\n"] * 2


def test_the_seed_is_the_frames_unless_given() -> None:
    """It is recorded, and another one lets others change."""
    frame = sample(COINS, 100, seed=6)
    pd.testing.assert_frame_equal(update(frame, COINS, BENT), update(frame, COINS, BENT, seed=6))
    other = update(frame, COINS, BENT, seed=7)
    assert other.attrs == {"method": "balanced", "rounding": "nearest", "seed": 7}
    assert not other.equals(update(frame, COINS, BENT))


def test_a_frame_read_from_a_file_is_carried_over_alike() -> None:
    """Strings and numbers are taken for the values that they were."""
    frame = sample(COINS, 60, seed=2, method="quota")
    read = pd.read_csv(io.StringIO(frame.to_csv()), index_col="persona_id", keep_default_na=False)
    pd.testing.assert_frame_equal(update(read, COINS, BENT, seed=2), update(frame, COINS, BENT))
    floats = read.astype({"level": float, "age": float, "height": object})
    pd.testing.assert_frame_equal(update(floats, COINS, BENT, seed=2), update(frame, COINS, BENT))


# Texts


def test_texts_of_untouched_people_stay_and_others_are_cleared() -> None:
    """A user's own columns stay for all, and notes on who contradicts themselves for the untouched."""
    bio = {"name": "bio", "kind": "text", "parents": ["side"]}
    before = COINS.replace(fields=[*(field.model_dump(exclude_none=True) for field in COINS.fields), bio])
    after = before.replace("side", weights={"head": 0.5, "tail": 0.5})
    frame = sample(before, 50, seed=1)
    texts = ["bio", "tagline", "portrait", "system_prompt", "markdown"]
    frame = frame.assign(**{name: [f"{name} of {i}" for i in frame.index] for name in texts}, note=range(50))
    frame.attrs |= {"contradictions": list(frame.index), "doubles": list(frame.index[:9]), "mine": 1}
    new = update(frame, before, after)
    touched = np.logical_or.reduce([new[name].to_numpy() != frame[name].to_numpy() for name in COINS.order])
    assert 10 <= touched.sum() < 25
    assert new[texts][touched].isna().all(axis=None)
    pd.testing.assert_frame_equal(new[texts][~touched], frame[texts][~touched])
    pd.testing.assert_series_equal(new["note"], frame["note"])
    assert new.attrs["contradictions"] == list(frame.index[~touched])
    assert new.attrs["doubles"] == [each for each in frame.index[:9] if each not in frame.index[touched]]
    assert new.attrs["mine"] == 1
    assert list(new) == list(frame)


def test_text_fields_come_and_go() -> None:
    """One that is gone takes its column with it; a new one has none until it is written; nobody is touched."""
    bio = {"name": "bio", "kind": "text", "parents": ["side"]}
    told = COINS.replace(fields=[*(field.model_dump(exclude_none=True) for field in COINS.fields), bio])
    frame = sample(COINS, 5, seed=1)
    pd.testing.assert_frame_equal(update(frame, COINS, told), frame)
    pd.testing.assert_frame_equal(update(frame.assign(bio="x", tagline="y"), told, COINS), frame.assign(tagline="y"))
    asked = {"name": "answer", "kind": "text", "parents": []}
    kept = [asked if field.name == "answer" else field.model_dump(exclude_none=True) for field in COINS.fields]
    spoken = COINS.replace(fields=kept, order=[name for name in COINS.order if name != "answer"])
    assert "answer" not in update(frame, COINS, spoken)


# What cannot be carried over

WRONG: dict[str, tuple[Any, str]] = {
    "no frame": (FRAME.to_dict(), "a dict is no pandas frame"),
    "nobody": (FRAME.head(0), "no rows"),
    "a column too few": (FRAME.drop(columns="side"), "no column 'side'"),
    "a column twice": (pd.concat([FRAME, FRAME[["side"]]], axis=1), "two columns of one name: 'side'"),
    "an unknown value": (FRAME.assign(side="edge"), "'side' holds 'edge', which is no value of it, in 20 of 20"),
    "a missing value": (FRAME.assign(side=None), "'side' has no value in 20 of 20 rows"),
    "a missing number": (FRAME.assign(height=np.nan), "'height' has no value"),
    "an endless number": (FRAME.assign(height=np.inf), "'height' holds 'inf'"),
    "a number out of range": (FRAME.assign(age=10**30), "'age' holds"),
    "half a year": (FRAME.assign(age=30.5), "'age' holds '30.5'"),
    "words for numbers": (FRAME.assign(age="old"), "'age' holds 'old'"),
    "a column in the way": (FRAME.assign(extra=1), "column 'extra' of its own"),
}
EXTRA = blueprint(*(field.model_dump(exclude_none=True) for field in COINS.fields), choice("extra", {"x": 1.0}))


@pytest.mark.parametrize(("frame", "sentence"), WRONG.values(), ids=WRONG)
def test_a_frame_that_was_not_drawn_so_is_refused(frame: Any, sentence: str) -> None:
    """The sentence names the column and what it holds, and a hint says what to do."""
    with pytest.raises(RequestError, match=sentence) as caught:
        update(frame, COINS, EXTRA)
    assert caught.value.__notes__


@pytest.mark.parametrize(
    "attrs", [{"method": "best"}, {"rounding": None}, {"seed": "5"}, {"contradictions": 5}, {"doubles": None}], ids=str
)
def test_attrs_that_no_sample_writes_are_refused(attrs: dict[str, Any]) -> None:
    """By their name."""
    frame = FRAME.copy()
    frame.attrs = attrs
    with pytest.raises(RequestError, match=rf"attrs\['{next(iter(attrs))}'\] is"):
        update(frame, COINS, BENT)


def test_a_broken_blueprint_is_refused_on_either_side() -> None:
    """Before anything is read."""
    broken = COINS.replace("age", mean=400)
    for before, after in ((broken, COINS), (COINS, broken)):
        with pytest.raises(BlueprintError, match="mean 400 lies outside"):
            update(FRAME, before, after)


def test_a_rule_that_nobody_can_keep_is_refused_by_name() -> None:
    """As sampling refuses it, and as an error of the library's own."""
    after = blueprint(*BOUNDS, rules=("b <= a", "a + 1 <= b"))
    frame = sample(blueprint(*BOUNDS), 10, seed=1)
    with pytest.raises(PersonalabError, match="rule_1"):
        update(frame, blueprint(*BOUNDS), after)


@pytest.mark.parametrize("edit", [{"mean": 52}, {"sd": 8}], ids=str)
@pytest.mark.parametrize("integer", [False, True], ids=["real", "whole"])
def test_an_edited_number_has_its_new_moments(edit: dict[str, float], integer: bool) -> None:
    """Over 10 seeds the mean and the sd lie within a hundredth of the sd of those asked for, as a sample's do."""
    bp = blueprint(number("x", 0, 100, 50, 10, integer=integer))
    after = bp.replace("x", **edit)
    drawn = [update(sample(bp, 1000, seed=seed), bp, after)["x"].astype(float) for seed in range(10)]
    assert np.mean([x.mean() for x in drawn]) == pytest.approx(edit.get("mean", 50), abs=0.15)
    assert np.mean([x.std() for x in drawn]) == pytest.approx(edit.get("sd", 10), abs=0.15)


def test_a_renamed_text_keeps_its_texts() -> None:
    """They cost money, and nobody changed."""
    bio = {"name": "bio", "kind": "text", "description": "a life"}
    side = choice("side", {"head": 0.5, "tail": 0.5})
    before, after = (blueprint(side, bio | {"name": name}, order=["side"]) for name in ("bio", "story"))
    frame = sample(before, 4, seed=1).assign(bio=["a", "b", "c", "d"])
    assert update(frame, before, after, renamed={"bio": "story"})["story"].tolist() == ["a", "b", "c", "d"]
    assert "story" not in update(frame, before, after)


def test_a_renamed_and_reweighted_field_is_the_same_field() -> None:
    """As many of its people change as its distribution moved, and nobody where it has no heirs."""
    before = Blueprint.load(ROOT / "data" / "blueprints" / "hospital-nurses.yaml")
    moving = moved(before, "ward")
    after = rename_field(moving, field="ward", to="unit")
    frame = sample(before, 1000, seed=3)
    count = changes(frame.rename(columns={"ward": "unit"}), update(frame, before, after, renamed={"ward": "unit"}))
    assert abs(count.pop("unit") - 1000 * distances(before, moving, "ward")) <= len(weights(before, "ward"))
    assert set(count) <= {"shift_pattern", "weekly_hours"}


def test_a_renamed_number_with_another_mean_keeps_most_of_its_people() -> None:
    """As few change as without the new name, up to what slices can see."""
    before = blueprint(number("age", 18, 80, 40, 10), number("pay", 0, 100, 40, 12))
    moving = before.replace("pay", mean=44)
    frame = sample(before, 500, seed=3)
    new = update(frame, before, rename_field(moving, field="pay", to="income"), renamed={"pay": "income"})
    count = changes(frame, update(frame, before, moving))["pay"]
    assert changes(frame.rename(columns={"pay": "income"}), new)["income"] == count
    assert count < 150


def test_a_field_that_was_not_renamed_is_new_wherever_it_stands() -> None:
    """It takes nobody's column, and has nothing to do with what the other was tied to."""
    rule = [{"when": {"side": v}, "categorical": {"weights": {v: 0.9, w: 0.1}}} for v, w in ("xy", "yx")]
    tied = choice("echo", {"x": 0.5, "y": 0.5}, "side", conditionals=rule)
    before = blueprint(choice("side", {"x": 0.5, "y": 0.5}), tied)
    after = blueprint(choice("tone", {"x": 0.5, "y": 0.5}), choice("echo", {"x": 0.5, "y": 0.5}))
    new = update(sample(before, 1000, seed=1), before, after)
    assert association(new, "tone", "echo") < 0.1


def test_numbers_that_move_far_away_take_no_room_between() -> None:
    """The billions of whole numbers between an old and a new range are not laid out to be compared."""
    before = blueprint(number("pay", 0, 40, 20, 5, integer=True))
    after = before.replace("pay", min=10**7, max=10**7 + 40, mean=10**7 + 20)
    frame = sample(before, 50, seed=1)
    tracemalloc.start()
    moved_far = update(frame, before, after)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moved_far["pay"].min() >= 10**7
    assert most < 20_000_000


def test_a_text_that_becomes_a_number_has_its_column() -> None:
    """A text not yet written has no column; the number of the same name has one, in the field's place."""
    before = blueprint(choice("side", {"head": 0.5, "tail": 0.5}))
    texted = add_field(before, name="age", kind="text")
    numbered = add_field(before, name="age", kind="numeric")
    assert list(update(sample(texted, 10, seed=1), texted, numbered)) == ["side", "age"]


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_that_is_no_interval_is_kept_by_updated_numbers(method: Any) -> None:
    """A number that an attempt misses is drawn again before anybody is said to have no value."""
    people = (number("w", 40, 120, 60, 10), number("h", 1.5, 2.1, 1.7, 0.1))
    bound = blueprint(*people, rules=("w / (h * h) <= 24",))
    heavier = bound.replace("w", mean=61.0)
    new = update(sample(bound, 200, seed=1, method=method), bound, heavier)
    assert violations(new, heavier) == 0


def test_two_numbers_that_change_places_in_the_order_are_drawn_anew() -> None:
    """Which of two fields a constraint binds depends on which is drawn first: another order is another distribution."""
    people = (number("age", 18, 80, 40, 12), number("years", 0, 60, 30, 10))
    before, after = (
        blueprint(*people, rules=("years <= age - 16",), order=names) for names in (None, ["years", "age"])
    )
    new, fresh = update(sample(before, 1_000, seed=1), before, after), sample(after, 1_000, seed=1)
    assert abs(new["age"].mean() - fresh["age"].mean()) < 1.5
    assert abs(new["years"].mean() - fresh["years"].mean()) < 1.5
