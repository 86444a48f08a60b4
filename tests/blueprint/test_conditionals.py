"""Which distribution holds: the most specific rule, else a line between neighbours, else the base, else none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab import Blueprint
from personalab.blueprint.conditionals import Lookup, find_distribution, find_distributions, interval, label
from personalab.blueprint.model import Categorical, CategoricalField, Numeric
from personalab.errors import BlueprintError
from personalab.frames import from_frame
from tests.strategies import blueprints


def hours(mean: float, **changes: Any) -> dict[str, Any]:
    """A numeric distribution that its mean tells apart."""
    return {"min": 0, "max": 100, "mean": mean, "sd": 5} | changes


def made(
    parents: dict[str, Any], rules: list[tuple[dict[str, str], Any]], base: Any = None, kind: str = "numeric"
) -> Any:
    """A blueprint whose field ``child`` has the parents, rules and base given; a parent is a list, tuple or range.

    A tuple of values is ordered, a list is not, and a pair of numbers is the range of a numeric parent.
    """
    fields: list[dict[str, Any]] = []
    for name, values in parents.items():
        if isinstance(values, range):
            spread = {"min": values.start, "max": values.stop, "mean": (values.start + values.stop) / 2, "sd": 3}
            fields.append({"name": name, "kind": "numeric", "numeric": spread | {"integer": True}})
            continue
        table = {"weights": {value: 1 / len(values) for value in values}}
        order = {"ordered_values": list(values)} if isinstance(values, tuple) else {}
        fields.append({"name": name, "kind": "categorical", "categorical": table, **order})
    child = {"name": "child", "kind": kind, "parents": list(parents)}
    child["conditionals"] = [{"when": when, kind: stated} for when, stated in rules]
    child |= {kind: base} if base else {}
    return Blueprint.from_dict({"domain": "d", "order": [*parents, "child"], "fields": [*fields, child]})


def at(bp: Blueprint, **parents: Any) -> tuple[str, float] | None:
    """Origin and mean of what holds at some parent values."""
    found = find_distribution(bp, bp["child"], parents)  # type: ignore[arg-type]  # the child is sampled
    return None if found is None else (found.origin, round(found.distribution.mean, 9))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("rank", "stated"),
    [  # a fifth of the way from Bronze to Challenger for each rank
        ("Silver", (6.8, 32, 14.8, 5.2)),
        ("Gold", (12.6, 44, 23.6, 6.4)),
        ("Platinum", (18.4, 56, 32.4, 7.6)),
        ("Diamond", (24.2, 68, 41.2, 8.8)),
    ],
)
def test_example_is_interpolated_by_hand(league: Blueprint, rank: str, stated: tuple[float, ...]) -> None:
    """The example states hours for the first and last of six ranks; the four between lie on a straight line.

    From Bronze (1, 20, 6, 4) to Challenger (30, 80, 50, 10); the ends are rounded, for the hours are integers.
    """
    hours_field: Any = league["hours_per_week"]
    found = find_distribution(league, hours_field, {"rank": rank})
    assert found is not None
    assert (found.origin, found.label) == ("interpolated", f"rank={rank}")
    law: Any = found.distribution
    assert (law.min, law.max, law.integer) == (round(stated[0]), stated[1], True)
    assert (law.mean, law.sd) == pytest.approx(stated[2:])


def test_stated_values_are_taken_as_stated(league: Blueprint) -> None:
    """Where the example states a rank's hours, they are those and the rule is named."""
    hours_field: Any = league["hours_per_week"]
    found = find_distribution(league, hours_field, {"rank": "Challenger"})
    assert found is not None
    assert (found.origin, found.label) == ("conditional", "rank=Challenger")
    assert found.distribution == Numeric(min=30, max=80, mean=50, sd=10, integer=True)


def test_root_has_its_base(league: Blueprint) -> None:
    """A field without parents has its base everywhere."""
    region: Any = league["region"]
    found = find_distribution(league, region, {})
    assert found is not None
    assert (found.origin, found.distribution) == ("base", region.categorical)


def test_more_conditions_win() -> None:
    """A rule with two conditions beats both rules with one, whatever stands first."""
    bp = made(
        {"a": ["x", "y"], "b": ["p", "q"]},
        [({"a": "x"}, hours(1)), ({"a": "x", "b": "p"}, hours(2)), ({"b": "q"}, hours(3))],
        base=hours(4),
    )
    assert at(bp, a="x", b="p") == ("conditional", 2)
    assert at(bp, a="y", b="q") == ("conditional", 3)
    assert at(bp, a="y", b="p") == ("base", 4)


@pytest.mark.parametrize("turned", [False, True])
def test_inner_interval_wins(turned: bool) -> None:
    """Of two intervals that match, the one inside the other holds, whatever stands first."""
    rules = [({"age": "30..44"}, hours(1)), ({"age": "30..34"}, hours(2)), ({"age": "18.."}, hours(3))]
    bp = made({"age": range(99)}, rules[::-1] if turned else rules, base=hours(4))
    assert [at(bp, age=age) for age in (30.0, 34.0, 35.0, 44.0, 45.0, 17.0)] == [
        ("conditional", 2),
        ("conditional", 2),
        ("conditional", 1),
        ("conditional", 1),
        ("conditional", 3),
        ("base", 4),
    ]
    assert not any(Lookup(bp, bp["child"]).is_tie({"age": float(age)}) for age in range(99))


@pytest.mark.parametrize(
    ("rules", "parents"),
    [
        ([{"age": "20..40"}, {"age": "30..50"}], {"age": 35.0, "a": "x"}),  # overlap
        ([{"age": "30"}, {"age": "30..30"}], {"age": 30.0, "a": "x"}),  # the same in other words
        ([{"a": "x"}, {"a": "x"}], {"age": 1.0, "a": "x"}),  # twice the same
        ([{"a": "x"}, {"age": "0..9"}], {"age": 1.0, "a": "x"}),  # two parents
        ([{"a": "x", "age": "0..9"}, {"a": "x", "age": "9..20"}], {"age": 9.0, "a": "x"}),
    ],
    ids=str,
)
def test_tie_goes_to_the_first(rules: list[dict[str, str]], parents: dict[str, Any]) -> None:
    """Where nothing but the list's order decides, the first holds, and it is called a tie."""
    bp = made({"a": ["x", "y"], "age": range(99)}, [(when, hours(i)) for i, when in enumerate(rules)], hours(9))
    assert at(bp, **parents) == ("conditional", 0)
    assert Lookup(bp, bp["child"]).is_tie(parents)
    assert not Lookup(bp, bp["child"]).is_tie({"age": 60.0, "a": "y"})
    assert at(bp, age=60.0, a="y") == ("base", 9)


TIERS = ("1", "2", "3", "4", "5")


def test_ends_are_held() -> None:
    """Beyond the outermost value stated, the nearest one's distribution holds unchanged."""
    bp = made({"a": TIERS}, [({"a": "2"}, hours(10)), ({"a": "4"}, hours(30))])
    assert [at(bp, a=tier) for tier in TIERS] == [
        ("interpolated", 10),
        ("conditional", 10),
        ("interpolated", 20),
        ("conditional", 30),
        ("interpolated", 30),
    ]


def test_line_runs_between_the_nearest() -> None:
    """With three values stated there are two lines, one on either side."""
    bp = made({"a": TIERS}, [({"a": "1"}, hours(0)), ({"a": "3"}, hours(20)), ({"a": "5"}, hours(90))])
    assert [at(bp, a=tier)[1] for tier in TIERS] == [0, 10, 20, 55, 90]  # type: ignore[index]


def test_base_stands_beside_one_exception() -> None:
    """One value stated beside a base is an exception to it: the others keep the base; two draw a line."""
    one = made({"a": TIERS}, [({"a": "5"}, hours(90))], base=hours(7))
    assert [at(one, a=tier) for tier in ("1", "4", "5")] == [("base", 7), ("base", 7), ("conditional", 90)]
    two = made({"a": TIERS}, [({"a": "5"}, hours(90)), ({"a": "3"}, hours(70))], base=hours(7))
    assert [at(two, a=tier) for tier in ("1", "4")] == [("interpolated", 70), ("interpolated", 80)]


def test_without_order_the_base_holds() -> None:
    """Values without an order are never interpolated: the base holds, or nothing does."""
    rules = [({"a": "1"}, hours(10)), ({"a": "5"}, hours(50))]
    assert at(made({"a": list(TIERS)}, rules, base=hours(7)), a="3") == ("base", 7)
    assert at(made({"a": list(TIERS)}, rules), a="3") is None


def test_two_ordered_parents() -> None:
    """With only the corners of a 3 x 3 table stated, edges lie midway and the centre is the mean of all four."""
    low_high = ("low", "mid", "high")
    corners = {("low", "low"): 10, ("low", "high"): 20, ("high", "low"): 30, ("high", "high"): 80}
    bp = made({"a": low_high, "b": low_high}, [({"a": a, "b": b}, hours(m)) for (a, b), m in corners.items()])
    table = [[at(bp, a=a, b=b)[1] for b in low_high] for a in low_high]  # type: ignore[index]
    assert table == [[10, 15, 20], [20, 35, 50], [30, 55, 80]]


def test_line_keeps_the_other_parent() -> None:
    """A line along one parent is drawn for each value of an unordered other one, and not across them."""
    rules = [({"a": "1", "b": "p"}, hours(10)), ({"a": "5", "b": "p"}, hours(50)), ({"a": "1", "b": "q"}, hours(80))]
    bp = made({"a": TIERS, "b": ["p", "q", "r"]}, rules)
    assert at(bp, a="3", b="p") == ("interpolated", 30)
    assert at(bp, a="3", b="q") == ("interpolated", 80)
    assert at(bp, a="3", b="r") is None


def test_weights_are_interpolated() -> None:
    """Between weights, shares lie on a line too; a value missing on one side counts as 0, and the sum stays 1."""
    rules = [({"a": "1"}, {"weights": {"x": 1}}), ({"a": "5"}, {"weights": {"x": 0.2, "y": 0.8}})]
    bp = made({"a": TIERS}, rules, kind="categorical")
    found = find_distribution(bp, bp["child"], {"a": "4"})
    assert found is not None
    assert found.distribution.weights == pytest.approx({"x": 0.4, "y": 0.6})  # type: ignore[union-attr]


@given(st.lists(st.integers(0, 20), min_size=6, max_size=6), st.sampled_from(["2", "3", "4"]))
def test_interpolated_weights_are_weights(parts: list[int], tier: str) -> None:
    """Whatever the two ends, what lies between is never negative and sums to 1."""
    tables = [{v: p / max(sum(side), 1) for v, p in zip("xyz", side, strict=True)} for side in (parts[:3], parts[3:])]
    tables = [table if sum(table.values()) else {"x": 1} for table in tables]
    rules = [({"a": "1"}, {"weights": tables[0]}), ({"a": "5"}, {"weights": tables[1]})]
    bp = made({"a": TIERS}, rules, kind="categorical")
    found: Any = find_distribution(bp, bp["child"], {"a": tier})
    assert isinstance(found.distribution, Categorical)
    assert min(found.distribution.weights.values()) >= 0
    assert sum(found.distribution.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("30..44", (30, 44)),
        ("65..", (65, math.inf)),
        ("..17", (-math.inf, 17)),
        ("30", (30, 30)),
        ("-5..-1", (-5, -1)),
        ("-5..+1", (-5, 1)),
        ("0.5..2.25", (0.5, 2.25)),
        (" 30 .. 44 ", (30, 44)),
        ("7..7", (7, 7)),
    ],
)
def test_intervals(text: str, ends: tuple[float, float]) -> None:
    """An interval has two ends, one end, or is one number; ends may be negative and fractional."""
    assert interval(text) == ends


@pytest.mark.parametrize(
    "text", ["", "..", " .. ", "30-44", "30…44", "44..30", "a..b", "30..44..50", ">30", "1e3..", "nan", "inf..", "30,5"]
)
def test_what_is_no_interval(text: str) -> None:
    """Anything else, and an interval that ends before it begins, is an error that quotes it."""
    with pytest.raises(BlueprintError) as caught:
        interval(text)
    assert repr(text) in str(caught.value)


def coded(bp: Blueprint, frame: pd.DataFrame) -> dict[str, Any]:
    """The columns of a frame of labels and numbers."""
    for field in bp.sampled:
        if isinstance(field, CategoricalField) and field.name in frame:
            frame = frame.assign(**{field.name: pd.Categorical(frame[field.name], field.values)})
    return from_frame(bp, frame)


def test_every_row_has_its_branch(league: Blueprint) -> None:
    """For a frame, the rows of one rank share a branch, and it is the one found for that rank alone."""
    hours_field: Any = league["hours_per_week"]
    frame = pd.DataFrame({"rank": ["Gold", "Bronze", "Gold", "Challenger"]})
    distinct, index = find_distributions(league, hours_field, coded(league, frame))
    assert len(distinct) == 3
    assert [distinct[i] for i in index] == [
        find_distribution(league, hours_field, {"rank": rank}) for rank in frame["rank"]
    ]


@given(blueprints(), st.integers(0, 2**32 - 1))
def test_frames_and_single_rows_agree(bp: Blueprint, seed: int) -> None:
    """In any blueprint, what is found for a whole frame is what is found row by row."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(index=range(5))
    for field in bp.sampled:
        values = getattr(field, "values", None) or tuple(float(d.min) for d in field.distributions)  # type: ignore[union-attr]
        frame[field.name] = rng.choice(
            np.array(values, dtype=object if values and isinstance(values[0], str) else float), 5
        )
    for field in bp.sampled:
        distinct, index = find_distributions(bp, field, coded(bp, frame))
        alone = [find_distribution(bp, field, dict(frame.loc[row, list(field.parents)])) for row in frame.index]
        assert [distinct[i] and distinct[i].distribution for i in index] == [b and b.distribution for b in alone]  # type: ignore[union-attr]


def test_no_rows_have_no_branches(league: Blueprint) -> None:
    """An empty frame has no branches, also for a field with parents."""
    hours_field: Any = league["hours_per_week"]
    for field in (hours_field, league["rank"]):
        distinct, index = find_distributions(league, field, {"rank": np.array([], dtype=np.int8)})  # type: ignore[arg-type]
        assert (distinct, len(index)) == ([], 0)


def test_numeric_parent_without_conditions() -> None:
    """A numeric parent that no rule speaks of leaves one branch, the base, for all rows."""
    bp = made({"age": range(99)}, [], base=hours(7))
    distinct, index = find_distributions(bp, bp["child"], {"age": np.array([1, 50, 99])})
    assert [found.origin for found in distinct if found] == ["base"]
    assert index.tolist() == [0, 0, 0]


def test_thousands_of_rules_are_looked_up() -> None:
    """Two parents of 50 values with a rule for every pair: each row gets the rule of its own pair."""
    values = [f"v{i}" for i in range(50)]
    rules = [({"a": a, "b": b}, hours(i / 50)) for i, (a, b) in enumerate((a, b) for a in values for b in values)]
    bp = made({"a": values, "b": values}, rules)
    frame = pd.DataFrame(rules_when := [when for when, _ in rules])
    distinct, index = find_distributions(bp, bp["child"], coded(bp, frame))
    assert len(distinct) == len(rules_when) == 2500
    assert [distinct[i].distribution.mean for i in index[:3]] == [0, 0.02, 0.04]  # type: ignore[union-attr]


def test_label_is_for_people() -> None:
    """Conditions read as name=value, one after the other."""
    assert label({"rank": "Gold", "age": "30..44"}) == "rank=Gold, age=30..44"
