"""What `personalab.sampling.apportionment` promises: whole counts as near to the shares as whole counts can be."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab.reports.fidelity import distance, limit
from personalab.sampling.apportionment import fit_margins, largest_remainder, round_rows, round_table

COUNTS = st.sampled_from([1, 10, 37, 100, 1000, 10**6])
TABLES = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))


@st.composite
def shares(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    """One to fifty weights: small whole numbers, so that there are ties and zeros, or reals down to 1e-12."""
    sizes = draw(st.sampled_from([st.integers(0, 4).map(float), st.floats(1e-12, 1.0)]))
    weights = np.array(draw(st.lists(sizes, min_size=1, max_size=50)))
    weights[draw(st.integers(0, len(weights) - 1))] += 1
    return np.asarray(weights / weights.sum())


def table(groups: int, values: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Group sizes and the counts expected in each group, some of them whole."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 30, groups)
    return sizes, sizes[:, None] * rng.dirichlet(np.full(values, 0.5), groups)


def renormalised(expected: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same table with row sums that are the sizes to the last digit that a double has."""
    total = expected.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, expected / np.where(total > 0, total, 1), 0) * sizes[:, None])


@given(shares(), COUNTS, st.integers(0, 99))
def test_apportionment_is_as_close_as_whole_counts_can_be(weights: np.ndarray[Any, Any], n: int, seed: int) -> None:
    """Ties, zeros, tiny weights and fifty values included, the distance equals the limit to 1e-12."""
    counts = largest_remainder(weights, n, np.random.default_rng(seed))
    assert counts.sum() == n
    assert counts.min() >= 0
    assert not counts[weights == 0].any()
    assert distance(weights, counts / n) <= limit(weights, n) + 1e-12


@given(st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any), st.integers(1, 7))
def test_no_other_whole_counts_are_closer(weights: list[int], n: int) -> None:
    """Every composition of n was compared."""
    p = np.array(weights) / sum(weights)
    every = (c for c in itertools.product(range(n + 1), repeat=len(p)) if sum(c) == n)
    best = min(distance(p, np.array(c) / n) for c in every)
    assert distance(p, largest_remainder(p, n) / n) == pytest.approx(best, abs=1e-12)


@given(st.lists(st.floats(-3e-9, 3e-9), min_size=2, max_size=4), st.integers(1, 7), st.integers(0, 9))
def test_nearly_equal_shares_are_no_ties(gaps: list[float], n: int, seed: int) -> None:
    """Where shares differ by a billionth the closest counts are still found, whatever chance says."""
    p = np.array([1 / len(gaps) + gap for gap in gaps])
    p /= p.sum()
    every = (c for c in itertools.product(range(n + 1), repeat=len(p)) if sum(c) == n)
    best = min(distance(p, np.array(c) / n) for c in every)
    assert distance(p, largest_remainder(p, n, np.random.default_rng(seed)) / n) <= best + 1e-12


def test_ties_are_broken_by_chance_and_without_it_by_order() -> None:
    """Of 400 draws of one person of two equal kinds, half are of each, within four standard errors of 10."""
    assert largest_remainder(np.array([0.5, 0.5]), 1).tolist() == [1, 0]
    rng = np.random.default_rng(3)
    first = sum(int(largest_remainder(np.array([0.5, 0.5]), 1, rng)[0]) for _ in range(400))
    assert abs(first - 200) < 4 * 10


@given(TABLES)
def test_controlled_rounding_holds_every_margin(shape: tuple[int, int, int]) -> None:
    """Rows are exact, and cells and columns within one of what is expected."""
    sizes, expected = table(*shape)
    expected = renormalised(expected, sizes)
    counts = round_table(expected, np.random.default_rng(shape[2]))
    assert (counts.sum(axis=1) == sizes).all()
    assert np.abs(counts - expected).max() < 1
    assert np.abs(counts.sum(axis=0) - expected.sum(axis=0)).max() < 1 + 1e-8


def test_controlled_rounding_is_unbiased() -> None:
    """Over 6,000 draws every cell's mean lies within four standard errors of its expectation."""
    rng, draws = np.random.default_rng(8), 6000
    sizes, expected = table(5, 6, seed=8)
    expected = renormalised(expected, sizes)
    mean = sum(round_table(expected, rng) for _ in range(draws)) / draws
    part = expected - np.floor(expected)
    standard_error = np.sqrt(part * (1 - part) / draws)
    assert (np.abs(mean - expected) <= 4 * standard_error + 1e-9).all()


@given(TABLES)
def test_systematic_rounding_holds_every_row_and_cell(shape: tuple[int, int, int]) -> None:
    """Rows are exact and each cell is next to what is expected, empty rows and cells included."""
    sizes, expected = table(*shape)
    counts = round_rows(renormalised(expected, sizes), np.random.default_rng(shape[2]))
    assert (counts.sum(axis=1) == sizes).all()
    assert (counts >= np.floor(expected + 1e-9)).all()
    assert (counts <= np.ceil(expected - 1e-9)).all()


@pytest.mark.parametrize("scale", [1, 10**6], ids=["few", "many"])
def test_systematic_rounding_is_unbiased(scale: int) -> None:
    """Over 6,000 draws every cell's mean lies within four standard errors of its expectation, also far above 1."""
    rng, draws = np.random.default_rng(8), 6000
    sizes, expected = table(5, 6, seed=8)
    expected = renormalised(expected, sizes) * scale
    rows = rng.permutation(5)
    mean = sum(round_rows(expected[rows], rng) for _ in range(draws)) / draws
    part = expected[rows] - np.floor(expected[rows])
    standard_error = np.sqrt(part * (1 - part) / draws)
    assert (np.abs(mean - expected[rows]) <= 4 * standard_error + 1e-8).all()


def test_systematic_rounding_lets_no_row_decide_over_another() -> None:
    """Two rows of equal expectations round alike no more often than by chance, within four standard errors."""
    rng, draws = np.random.default_rng(5), 4000
    same = sum((counts[0] == counts[1]).all() for counts in (round_rows(HALVES, rng) for _ in range(draws)))
    assert abs(same - draws / 2) < 4 * np.sqrt(draws / 4)


HALVES = np.full((2, 2), 0.5)


class Coin:
    """A source of chance that counts how often it is asked."""

    def __init__(self, seed: int) -> None:
        self.asked, self._rng = 0, np.random.default_rng(seed)

    def random(self) -> float:
        """A number in [0, 1)."""
        self.asked += 1
        return self._rng.random()


def test_controlled_rounding_makes_a_cell_whole_with_every_turn() -> None:
    """A table of 50 groups and 12 values takes no more turns than it and its slack row have cells."""
    coin, (sizes, expected) = Coin(1), table(50, 12, seed=1)
    round_table(renormalised(expected, sizes), coin)  # type: ignore[arg-type]
    assert 0 < coin.asked <= 51 * 12


@given(TABLES)
def test_fitted_counts_respect_what_is_ruled_out(shape: tuple[int, int, int]) -> None:
    """Rows are exact and excluded cells empty, whatever is excluded."""
    groups, values, seed = shape
    rng = np.random.default_rng(seed)
    sizes, weights = rng.integers(1, 20, groups), rng.dirichlet(np.ones(values))
    allowed = rng.random((groups, values)) < 0.5
    allowed[np.arange(groups), rng.integers(0, values, groups)] = True
    counts = fit_margins(sizes, largest_remainder(weights, int(sizes.sum())), allowed, weights)
    assert (counts.sum(axis=1) == sizes).all()
    assert not counts[~allowed].any()
    assert counts.min() >= 0


@given(TABLES)
def test_fitted_counts_keep_quotas_that_some_table_keeps(shape: tuple[int, int, int]) -> None:
    """Quotas taken from a table that respects the exclusions are met exactly."""
    groups, values, seed = shape
    rng = np.random.default_rng(seed)
    allowed = rng.random((groups, values)) < 0.5
    allowed[:, 0] |= ~allowed.any(axis=1)
    truth = rng.integers(0, 6, (groups, values)) * allowed
    counts = fit_margins(truth.sum(axis=1), truth.sum(axis=0), allowed, np.full(values, 1 / values))
    assert (counts.sum(axis=0) == truth.sum(axis=0)).all()
