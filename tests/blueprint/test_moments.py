"""A law has the minimum, maximum, mean and standard deviation that were promised, or says why it cannot."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import special

from personalab import Blueprint, sample
from personalab.blueprint import moments as laws
from personalab.blueprint.model import Numeric
from personalab.blueprint.moments import Distribution, complaint, solve
from personalab.errors import BlueprintError
from tests.strategies import numerics

# min, max, mean, sd and whether of integers: what people write, and the corners of what is possible.
CASES = [
    (1, 20, 6, 4, True),  # the contract's Bronze
    (30, 80, 50, 10, True),  # the contract's Challenger
    (16, 90, 24, 8, False),
    (16, 90, 24, 8, True),
    (0, 60, 4, 4, False),
    (0, 200, 30, 40, False),  # no truncated normal has this sd
    (0, 200, 30, 40, True),
    (1, 5, 4.6, 1.0, False),  # nor this
    (1, 5, 4.6, 1.0, True),
    (0, 1, 0.5, 0.5, False),  # the widest: two points
    (0, 1, 0.5, 0.499, False),
    (0, 10, 5, 5, True),
    (0, 10, 5, 4.999, True),
    (0, 10, 5.5, 0.5, True),  # the narrowest: 5 or 6
    (0, 10, 5.5, 0.51, True),
    (0, 10, 5, 1e-2, True),
    (0, 10, 5, 1e-3, False),
    (0, 100_000, 50_000, 12_000, True),  # more integers than are listed one by one
    (0, 100_000, 50_000, 49_000, True),
    (0, 10**12, 40, 9, True),  # a maximum that means: no maximum
    (0, 1e308, 40, 9, False),
    (-100, -50, -60, 8, False),
    (0.5, 9.5, 5, 2, True),
    (7, 7, 7, 0, True),
    (0, 10, 3.3, 0, False),
]


def numeric(low: float, high: float, mean: float, sd: float, integer: bool) -> Numeric:
    """Four promises, in the order of a sentence."""
    return Numeric(min=low, max=high, mean=mean, sd=sd, integer=integer)


def stratified(found: Distribution, n: int = 200_000) -> Any:
    """Evenly spaced quantiles, whose moments are the law's up to terms of order 1/n."""
    return found.ppf((np.arange(n) + 0.5) / n)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_promises_are_kept(case: tuple[float, float, float, float, bool]) -> None:
    """What is drawn lies in range, is whole where promised, and has the mean and sd stated to 1/1000 sd."""
    low, high, mean, sd, integer = case
    found = solve(numeric(*case))
    drawn = stratified(found)
    assert low <= drawn.min() <= drawn.max() <= high
    assert not integer or np.array_equal(drawn, np.rint(drawn))
    assert found.mean == pytest.approx(mean, abs=1e-3 * sd + 1e-12)
    assert drawn.mean() == pytest.approx(mean, abs=2e-3 * sd + 1e-12)
    assert drawn.std() == pytest.approx(sd, rel=2e-3, abs=1e-12)


def test_fair_die_is_found() -> None:
    """The integers 1..6 with mean 3.5 and variance 35/12 are a fair die: nothing else is less assuming."""
    die = solve(numeric(1, 6, 3.5, math.sqrt(35 / 12), True))
    assert np.diff(die.cumulative, prepend=0) == pytest.approx(np.full(6, 1 / 6), abs=1e-6)


def test_wide_range_gives_the_normal() -> None:
    """Far from both bounds the law is the ordinary normal: 1.959964 sd hold 97.5 %."""
    found = solve(numeric(-1000, 1000, 10, 2, False))
    assert found.family == "truncated normal"
    assert found.ppf(np.array([0.025, 0.5, 0.975])) == pytest.approx([6.080072, 10, 13.919928], abs=1e-3)


def test_half_normal_is_found() -> None:
    """From 0 upwards, mean √(2/π) and variance 1 - 2/π belong to the half-normal, whose median is 0.674490."""
    found = solve(numeric(0, 100, math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi), False))
    assert found.family == "truncated normal"
    assert float(found.ppf(np.array(0.5))) == pytest.approx(0.674490, abs=1e-3)


def test_uniform_is_found() -> None:
    """On 0..1, mean 1/2 and variance 1/12 belong to the uniform law, on the border between two families."""
    found = solve(numeric(0, 1, 0.5, math.sqrt(1 / 12), False))
    u = np.linspace(0.01, 0.99, 50)
    assert found.ppf(u) == pytest.approx(u, abs=1e-3)


def test_widest_integers_are_two_points() -> None:
    """On 0..10 a mean of 4 with sd √24 leaves only 0 and 10, with shares 0.6 and 0.4."""
    found = solve(numeric(0, 10, 4, math.sqrt(24), True))
    shares = np.diff(found.cumulative, prepend=0)
    assert shares[[0, 10]] == pytest.approx([0.6, 0.4], abs=1e-4)


@given(numerics(integer=True))
@example({"min": 0, "max": 60, "mean": 59.0, "sd": math.sqrt(59), "integer": True})
@example({"min": 0, "max": 1, "mean": 1e-9, "sd": math.sqrt(1e-9), "integer": True})
def test_integers_have_the_moments_stated(stated: dict[str, Any]) -> None:
    """For any integers that can be, mean and sd of the discrete law itself are those stated to 1/1000 sd."""
    found = solve(Numeric(**stated))
    shares = np.diff(found.cumulative, prepend=0)
    mean = shares @ found.points
    sd = math.sqrt(shares @ (found.points - mean) ** 2)
    assert np.array_equal(found.points, np.rint(found.points))
    assert stated["min"] <= found.points[0] <= found.points[-1] <= stated["max"]
    assert mean == pytest.approx(stated["mean"], abs=1e-3 * stated["sd"] + 1e-9)
    assert sd == pytest.approx(stated["sd"], rel=1e-3, abs=1e-6)


@given(numerics(integer=False))
def test_reals_have_the_moments_stated(stated: dict[str, Any]) -> None:
    """For any real numbers that can be, the quantile function's mean and sd are those stated to 1/1000 sd."""
    assume(stated["sd"] == 0 or stated["sd"] > 1e-9)  # below, a double's own steps are wider
    side = min(stated["mean"] - stated["min"], stated["max"] - stated["mean"])
    assume(stated["sd"] < 30 * side)  # beyond, too few of the quantiles below make up the sd
    found = solve(Numeric(**stated))
    drawn = stratified(found)
    assert stated["min"] <= drawn.min() <= drawn.max() <= stated["max"]
    assert drawn.mean() == pytest.approx(stated["mean"], abs=1e-3 * stated["sd"] + 1e-9)
    assert drawn.std() == pytest.approx(stated["sd"], rel=1e-3, abs=1e-9)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ((0, 10, 5, 6, False), "at most 5"),
        ((0, 60, 15, 30, False), "at most 25.98"),  # √(15 · 45)
        ((1, 5, 4.6, 2, True), "at most 1.2"),  # √(3.6 · 0.4)
        ((0, 10, 11, 1, False), "mean 11 lies outside 0..10"),
        ((0, 10, 5, -1, False), "sd -1 is negative"),
        ((10, 0, 5, 1, False), "min 10 is above max 0"),
        ((0.2, 0.8, 0.5, 0, True), "min 0.2 is above max 0.8 for integers"),
        ((0, 10, 5.5, 0.4, True), "at least 0.5"),
        ((0, 1e-300, 5e-301, 6e-301, False), "at most 5e-301"),
        ((0, 1e300, 40, 9, True), "2^53"),
        ((0, 1e308, 5e307, 1e307, False), "more than can be computed with"),
    ],
    ids=str,
)
def test_impossible_moments_are_named(case: tuple[float, float, float, float, bool], words: str) -> None:
    """What no distribution can have is an error that names the moment, and the widest or narrowest sd possible."""
    assert words in (complaint(numeric(*case)) or words)
    with pytest.raises(BlueprintError, match=re.escape(words)):
        solve(numeric(*case))


@given(numerics(), st.floats(1.001, 10))
def test_beyond_the_widest_nothing_is_possible(stated: dict[str, Any], factor: float) -> None:
    """Between the narrowest and the widest sd there is no complaint, a thousandth above the widest there is one."""
    low, high, mean = stated["min"], stated["max"], stated["mean"]
    widest = math.sqrt((mean - low) * (high - mean))
    assume(widest > 1e-6)
    assert complaint(Numeric(**stated)) is None
    assert "at most" in str(complaint(Numeric(**stated | {"sd": factor * widest})))


@given(numerics(), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_quantiles_undo_probabilities(stated: dict[str, Any], shares: list[float]) -> None:
    """A share's quantile has at least that share at or below it, and quantiles rise with their shares."""
    found, u = solve(Numeric(**stated)), np.sort(np.array(shares))
    x = found.ppf(u)
    assert np.all(np.diff(x) >= 0)
    assert np.all(found.cdf(x + 1e-9) >= u - 1e-9)  # a hair above: many members may share one double
    assert np.all((stated["min"] <= x) & (x <= stated["max"]))


@given(numerics(integer=False), st.floats(0.01, 0.99))
def test_probabilities_undo_quantiles(stated: dict[str, Any], share: float) -> None:
    """Where a law has no atoms, the probability below a quantile is its share."""
    widest = math.sqrt((stated["mean"] - stated["min"]) * (stated["max"] - stated["mean"]))
    assume(1e-6 < stated["sd"] < 0.9 * widest)
    found = solve(Numeric(**stated))
    x = found.ppf(np.array(share))
    assume(stated["min"] + 1e-6 < x < stated["max"] - 1e-6)
    assert float(found.cdf(x - 1e-9)) - 1e-6 <= share <= float(found.cdf(x + 1e-9)) + 1e-6


def test_cdf_counts_its_own_point() -> None:
    """The probability at or below 1 of a coin with faces 0 and 1 is 1, at 0 it is one half, below 0 none."""
    coin = solve(numeric(0, 1, 0.5, 0.5, True))
    assert coin.cdf(np.array([-1, -0.1, 0, 0.9, 1, 2])) == pytest.approx([0, 0, 0.5, 0.5, 1, 1])


@given(numerics(), st.floats(-60, 120), st.floats(0, 80), st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_between_stays_in_its_window(stated: dict[str, Any], low: float, width: float, shares: list[float]) -> None:
    """A draw from part of a law lies in the window and the range, is whole where promised, and rises with u."""
    found, u, high = solve(Numeric(**stated)), np.sort(np.array(shares)), low + width
    x = found.between(u, np.full_like(u, low), np.full_like(u, high))
    first, last = max(low, stated["min"]), min(high, stated["max"])
    if stated["integer"]:
        first, last = math.ceil(first), math.floor(last)
    if first > last:
        assert np.isnan(x).all()
        return
    if found.family == "point" and not first <= stated["mean"] <= last:
        assert np.isnan(x).all()
        return
    assert np.all((first <= x) & (x <= last))
    assert np.all(np.diff(x) >= 0)
    assert not stated["integer"] or np.array_equal(x, np.rint(x))


def test_between_without_a_window_is_the_quantile() -> None:
    """A window as wide as the line leaves every quantile where it is."""
    u = np.linspace(0.001, 0.999, 500)
    everywhere = (np.full_like(u, -np.inf), np.full_like(u, np.inf))
    for case in CASES:
        found = solve(numeric(*case))
        assert found.between(u, *everywhere) == pytest.approx(found.ppf(u))


def test_between_is_the_law_given_the_window() -> None:
    """Of a fair die that shows 3 to 5 each face has a third; the window's ends may be any numbers around them."""
    die = solve(numeric(1, 6, 3.5, math.sqrt(35 / 12), True))
    u = (np.arange(300) + 0.5) / 300
    drawn = die.between(u, np.full_like(u, 2.1), np.full_like(u, 5.9))
    assert dict(zip(*np.unique(drawn, return_counts=True), strict=True)) == {3: 100, 4: 100, 5: 100}


def test_atom_on_the_edge_of_a_window_counts() -> None:
    """Of two points 0 and 1, a window from 0 to a half holds 0, and one from a half to 1 holds 1."""
    coin = solve(numeric(0, 1, 0.5, 0.5, False))
    u = np.array([0.1, 0.9])
    assert coin.between(u, np.zeros(2), np.full(2, 0.5)).tolist() == [0, 0]
    assert coin.between(u, np.full(2, 0.5), np.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize("integer", [True, False])
def test_window_without_visible_mass_gives_its_nearest_end(integer: bool) -> None:
    """Where only a tail too thin for a double is left, the end nearest to the law is drawn, up to the stated bounds."""
    found, u = solve(numeric(0, 1000, 30, 5, integer)), np.array([0.5])
    assert found.between(u, np.array([900.0]), np.array([950.0])).tolist() == [900]
    assert np.isnan(found.between(u, np.array([1001.0]), np.array([1002.0]))).all()
    assert np.isnan(found.between(u, np.array([31.0]), np.array([30.0]))).all()


def test_window_between_two_atoms_yields_whole_numbers() -> None:
    """Where all mass sits on 0 and 20, a window from 5 to 9 still yields a whole number inside it."""
    found = solve(numeric(0, 20, 7.3, math.sqrt(7.3 * 12.7), True))
    [x] = found.between(np.array([0.5]), np.array([5.0]), np.array([9.0]))
    assert x == round(x)
    assert 5 <= x <= 9


@pytest.mark.parametrize(
    "case",
    [
        (-1e308, 1e308, 0, 1e150, False),
        (0, 1e308, 5e149, 1e149, False),
        (-1e308, 1e308, 1e307, 1, False),
        (0, 10, 5, 1e-300, False),
        (0, 10, 5, 1e-300, True),
        (0, 10, 5, 5e-324, False),
        (1e15, 1e15 + 10, 1e15 + 5, 1, False),
        (0, 1e-300, 5e-301, 1e-301, False),
        (0, 1, 1e-12, 1e-7, False),
        (0, 1e308, 40, 400, False),
        (-0.0, 0, 0, 0, False),
        (0, 2**53, 2**52, 1e15, True),
    ],
    ids=str,
)
def test_numbers_at_the_limits_of_a_double(case: tuple[float, float, float, float, bool]) -> None:
    """Ranges and spreads near the largest and smallest doubles give draws in range, without a warning."""
    x = solve(numeric(*case)).ppf(np.linspace(0, 1, 101))
    assert np.all((case[0] <= x) & (x <= case[1]))
    assert np.all(np.diff(x) >= 0)


@pytest.mark.parametrize(
    "case", [(0, 2, 2e-9, math.sqrt(4e-9 - 4e-18), True), (0, 1, 1e-12, 1e-7, False), (0, 1, 1 - 1e-12, 1e-7, False)]
)
def test_rare_and_far(case: tuple[float, float, float, float, bool]) -> None:
    """Moments that one in a million makes are kept too, where need be by two points."""
    found = solve(numeric(*case))
    shares = np.diff(found.cumulative, prepend=0)
    assert shares @ found.points == pytest.approx(case[2], rel=1e-3)
    assert shares @ (found.points - case[2]) ** 2 == pytest.approx(case[3] ** 2, rel=1e-3)


def test_laws_are_small() -> None:
    """A law is a table of a few thousand numbers, so thousands of conditionals fit in memory."""
    assert all(len(solve(numeric(*case)).points) <= 20_003 for case in CASES)
    assert len(solve(numeric(0, 1e6, 5e5, 1e5, False)).points) < 5_000


def table(case: tuple[float, float, float, float, bool]) -> tuple[bytes, bytes]:
    """A law solved anew, as the bytes of its table."""
    laws._solved.cache_clear()
    found = solve(numeric(*case))
    return found.points.tobytes(), found.cumulative.tobytes()


def test_last_bits_of_a_library_change_no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numpy's and SciPy's functions are one unit in the last place off, every law is the same to the bit."""
    before = [table(case) for case in CASES]
    for module, name in [
        *((np, name) for name in ("exp", "log", "log1p", "expm1", "power", "cos", "interp", "dot", "sum", "geomspace")),
        *((math, name) for name in ("exp", "log", "log1p", "pow", "fsum")),
        *((special, name) for name in ("betainc", "betaincinv", "betaln", "gammaln")),
    ]:
        exact = getattr(module, name)
        off = lambda *args, exact=exact, **more: np.nextafter(exact(*args, **more), np.inf)  # noqa: E731
        monkeypatch.setattr(module, name, off)
    assert [table(case) for case in CASES] == before


def test_laws_are_the_same_everywhere() -> None:
    """The tables of all cases have the digest they had where it was written down: 3 Pythons, numpy 2.0 to 2.5."""
    assert hashlib.sha256(b"".join(b"".join(table(case)) for case in CASES)).hexdigest()[:16] == "66e49c5e2cf11658"


@given(numerics())
@settings(max_examples=40)
def test_samples_have_the_moments_stated(stated: dict[str, Any]) -> None:
    """A field of 100,000 people has the mean and sd stated to a hundredth of the sd, and nobody out of range."""
    assume(stated["sd"] > 0.02 * (stated["max"] - stated["min"]))  # else whole people are too few to make up the sd
    x = {"name": "x", "kind": "numeric", "numeric": stated}
    bp = Blueprint.from_dict({"domain": "d", "order": ["x"], "fields": [x]})
    drawn = sample(bp, 100_000, seed=1)["x"].to_numpy(dtype=float)
    assert stated["min"] <= drawn.min() <= drawn.max() <= stated["max"]
    assert drawn.mean() == pytest.approx(stated["mean"], abs=0.01 * stated["sd"])
    assert drawn.std() == pytest.approx(stated["sd"], rel=0.01)


@given(numerics(integer=False))
def test_bounds_hold_no_more_than_the_law_puts_there(stated: dict[str, Any]) -> None:
    """Real numbers are not clipped: no more draws equal a bound than the law has within a billionth of the range."""
    widest = math.sqrt((stated["mean"] - stated["min"]) * (stated["max"] - stated["mean"]))
    assume(1e-6 < stated["sd"] < 0.99 * widest)
    found, hair = solve(Numeric(**stated)), 1e-9 * (stated["max"] - stated["min"])
    drawn = stratified(found, 10_000)
    ends = np.array([stated["min"] + hair, stated["max"] - hair])
    below, upto = found.cdf(ends)
    assert np.mean(drawn == stated["min"]) <= below + 1e-4
    assert np.mean(drawn == stated["max"]) <= 1 - upto + 1e-4


@pytest.mark.parametrize("moments", [(0, 1000, 3.2, 9), (0, 60, 3, 6), (0, 10**9, 5, 30), (0, 100, 0.02, 0.3)], ids=str)
def test_counts_that_vary_widely_fall_off_smoothly(moments: tuple[float, float, float, float]) -> None:
    """Where no peak can have the moments, shares fall from the mode on instead of piling up at the far end."""
    low, high, mean, sd = moments
    found = solve(Numeric(min=low, max=high, mean=mean, sd=sd, integer=True))
    shares = np.diff(found.cumulative, prepend=0.0)[:-1]
    assert found.family == "beta-binomial"
    assert found.mean == pytest.approx(mean, rel=1e-3)
    assert found.sd == pytest.approx(sd, rel=1e-2)
    assert (np.diff(shares[int(np.argmax(shares)) :]) <= 1e-12).all()


@pytest.mark.parametrize("percent", range(101))
def test_a_yes_or_no_takes_any_percentage_as_it_is_typed(percent: int) -> None:
    """Of 0 and 1 the sd follows from the mean, and is accepted as printed with two digits or with four."""
    mean = percent / 100
    sd = (mean * (1 - mean)) ** 0.5
    for typed in (float(f"{sd:.2f}"), float(f"{sd:.4g}"), sd):
        found = solve(Numeric(min=0, max=1, mean=mean, sd=typed, integer=True))
        assert found.mean == pytest.approx(mean, abs=1e-8)


@given(numerics())
def test_limits_are_accepted_as_they_are_printed(numeric: dict[str, Any]) -> None:
    """The sd that a refusal calls the widest or the narrowest is accepted when it is typed back."""
    for sd in (1e9, 0.0):
        refused = complaint(Numeric(**numeric | {"sd": sd})) or ""
        if " at most " in refused or " at least " in refused:
            typed = float(refused.rsplit(" ", 1)[1])
            assert complaint(Numeric(**numeric | {"sd": typed})) is None
