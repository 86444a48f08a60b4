"""What `sampling.assignment` promises: tables of leading bits give what looking at every row for itself would give."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from personalab.blueprint.model import Numeric
from personalab.blueprint.moments import Distribution, solve
from personalab.sampling.assignment import assign_by_cdf, assign_by_rank, members, quantiles, random_keys, stratify

Array = NDArray[Any]

# Parts, values and rows: one of each, tables of every number of bits, more parts than rows, more parts than slots.
SHAPES = [
    (1, 1, 1),
    (1, 5, 7),
    (1, 3, 3000),
    (1, 2, 200_000),
    (1, 300, 70_000),
    (3, 4, 50_000),
    (130, 3, 100_000),
    (700, 2, 40_000),
    (900, 3, 50),
    (70_000, 2, 3000),
]
KEYS = ["uint16", "uint32", "tied", "low", "high"]


def keys(kind: str, n: int, rng: np.random.Generator) -> Array:
    """Keys of one kind: random ones of both widths, such as are full of ties, and such as crowd at either end."""
    if kind == "uint32":
        return rng.integers(2**32, size=n, dtype=np.uint32)
    most = {"uint16": 2**16, "tied": 3, "low": 200, "high": 200}[kind]
    key = rng.integers(most, size=n, dtype=np.uint16)
    return np.asarray(65535 - key if kind == "high" else key)


def table(parts: int, values: int, rng: np.random.Generator) -> Array:
    """Shares of every part's values, a third of them 0, the first and the last of some parts among them."""
    shares = rng.dirichlet(np.full(values, 0.7), parts) * (rng.random((parts, values)) < 2 / 3)
    shares[np.arange(parts), rng.integers(values, size=parts)] += 0.1
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def quotas(part: Array, shares: Array, rng: np.random.Generator) -> Array:
    """How many of each part's rows get each value."""
    sizes = np.bincount(part, minlength=len(shares))
    return np.array([rng.multinomial(size, each) for size, each in zip(sizes, shares, strict=True)])


# Shares


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_whole_key_is_looked_up_as_a_search_would(shape: tuple[int, int, int]) -> None:
    """Every row gets the value whose stretch of [0, 1) its key lies in."""
    parts, values, n = shape
    rng = np.random.default_rng(n)
    shares, part, key = table(parts, values, rng), rng.integers(parts, size=n), rng.random(n)
    codes = assign_by_cdf(part, key, shares, rng)
    ends = np.cumsum(shares, axis=1)
    naive = (ends[part] <= key[:, None]).sum(axis=1)
    near = (np.abs(ends[part] - key[:, None]) < 1e-9).any(axis=1)
    assert near.mean() < 0.01
    assert (codes[~near] == naive[~near]).all()
    assert (shares[part, codes] > 0).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_short_key_stays_within_its_bits(shape: tuple[int, int, int]) -> None:
    """A row with 16 bits gets a value whose stretch meets theirs."""
    parts, values, n = shape
    rng = np.random.default_rng(n)
    shares, part, key = table(parts, values, rng), rng.integers(parts, size=n), random_keys(n, rng)
    codes = assign_by_cdf(part, key, shares, rng)
    ends = np.cumsum(shares, axis=1)
    upto, share = ends[part, codes], shares[part, codes]
    assert (share > 0).all()
    assert (upto >= key / 2**16 - 1e-9).all()
    assert (upto - share <= (key + 1.0) / 2**16 + 1e-9).all()


@pytest.mark.parametrize("key", [0.0, 0.25, 0.5, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize("n", [1, 4, 5000])
def test_a_boundary_belongs_to_the_value_above_it(key: float, n: int) -> None:
    """Values without a share are passed over, at both ends and between."""
    shares = np.array([[0.0, 0.25, 0.25, 0.0, 0.5, 0.0], [0.25, 0.0, 0.25, 0.5, 0.0, 0.0]])
    expected = {0.0: (1, 0), 0.25: (2, 2), 0.5: (4, 3)}.get(key, (4, 3))
    for part in (0, 1):
        codes = assign_by_cdf(np.full(n, part), np.full(n, key), shares, np.random.default_rng(0))
        assert (codes == expected[part]).all()


@pytest.mark.parametrize("share", [0.4, 0.6, 1 / 3], ids=str)
def test_the_bits_that_a_short_key_lacks_are_drawn(share: float) -> None:
    """Of rows with one key a value gets its share of the key's own stretch, within four standard errors."""
    n, rng = 20_000, np.random.default_rng(4)
    for key in (0, 7, 65535):
        upto = (key + share) / 2**16
        codes = assign_by_cdf(np.zeros(n, np.int8), np.full(n, key, np.uint16), np.array([[upto, 1 - upto]]), rng)
        assert abs((codes == 0).sum() - n * share) < 4 * math.sqrt(n * share * (1 - share))


def test_independent_codes_are_told_apart_by_no_test() -> None:
    """Over 300 seeds the p-values of χ² tests in two parts are uniform, where tables decide and where they do not."""
    shares = np.array([[0.2, 0.0, 0.5, 0.3], [0.1, 0.6, 0.05, 0.25]])
    for n, seeds in ((100, 300), (20_000, 300)):
        p_values = []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, n])
            part = np.arange(n) % 2
            codes = assign_by_cdf(part, random_keys(n, rng), shares, rng)
            for at, asked in enumerate(shares):
                counts = np.bincount(codes[part == at], minlength=4)[asked > 0]
                p_values.append(stats.chisquare(counts, asked[asked > 0] * n / 2).pvalue)
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3


# Ranks


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_are_dealt_in_the_order_of_the_keys(shape: tuple[int, int, int], kind: str) -> None:
    """Counts are the quotas, and in each part no row has a lower value than one with a smaller key."""
    parts, values, n = shape
    rng = np.random.default_rng(n)
    part, key = rng.integers(parts, size=n), keys(kind, n, rng)
    counts = quotas(part, table(parts, values, rng), rng)
    codes = assign_by_rank(part, key, counts, rng)
    assert (np.bincount(part * values + codes, minlength=parts * values) == counts.ravel()).all()
    order = np.lexsort((codes, key, part))
    part, key, codes = part[order], key[order], codes[order].astype(int)
    assert (np.diff(codes)[np.diff(part) == 0] >= 0).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 60), st.integers(1, 70_000), st.integers(0, 99))
def test_any_quotas_are_met(parts: int, values: int, n: int, most: int, seed: int) -> None:
    """Empty parts, quotas of 0, no rows at all and ties of any number included."""
    rng = np.random.default_rng(seed)
    part = rng.integers(parts, size=n).astype(np.int8)
    key = rng.integers(min(most, 2**16), size=n, dtype=np.uint16)
    counts = quotas(part, table(parts, values, rng), rng)
    codes = assign_by_rank(part, key, counts, rng)
    assert codes.shape == (n,)
    for at in range(parts):
        mine = part == at
        assert np.bincount(codes[mine], minlength=values).tolist() == counts[at].tolist()
        greatest = [key[mine & (codes == value)].max(initial=0) for value in range(values)]
        least = [key[mine & (codes == value)].min(initial=2**16 - 1) for value in range(values)]
        assert all(greatest[a] <= least[b] for a, b in itertools.combinations(range(values), 2) if counts[at, b])


@pytest.mark.parametrize("bits", [0, 1, 16])
def test_every_arrangement_is_as_likely_whether_keys_are_tied_or_not(bits: int) -> None:
    """Of six rows with quotas 3, 2 and 1 all 60 arrangements occur alike over 6,000 draws, as a χ² test finds."""
    rng, found = np.random.default_rng(bits), np.zeros(3**6, dtype=int)
    for _ in range(6000):
        key = rng.integers(1 << bits, size=6, dtype=np.uint16)
        codes = assign_by_rank(np.zeros(6, np.int8), key, np.array([[3, 2, 1]]), rng)
        found[codes @ 3 ** np.arange(6)] += 1
    assert (found > 0).sum() == 60
    assert stats.chisquare(found[found > 0]).pvalue > 1e-3


def test_ties_favour_no_place_among_many_rows() -> None:
    """Of 100,000 rows with keys of 4 bits, each tenth of the places has its share of a value, by χ² tests' p-values."""
    n, p_values = 100_000, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        key = rng.integers(16, size=n, dtype=np.uint16)
        codes = assign_by_rank(np.zeros(n, np.int8), key, np.array([[n // 3, n - n // 3]]), rng)
        counts = np.bincount(np.arange(n) * 10 // n, weights=codes == 0)
        p_values.append(stats.chi2(9).sf((((counts - n / 30) ** 2) / (n / 10 * 2 / 9)).sum()))
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


# Slices


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 30_000])
@pytest.mark.parametrize("parts", [1, 2, 40])
def test_every_slice_of_a_part_holds_one_row(n: int, parts: int) -> None:
    """In the order of the keys, the i-th of m rows has a number in [i/m, (i + 1)/m)."""
    rng = np.random.default_rng(n)
    part, key = rng.integers(parts, size=n), (rng.permutation(n) << 17).astype(np.uint32)
    sizes = np.bincount(part, minlength=parts)
    u = stratify(part, sizes, key, rng)
    assert u.shape == (n,)
    if n and sizes.max() <= 2**16 // parts:
        rank = np.empty(n, dtype=int)
        rank[np.lexsort((key, part))] = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        assert (np.floor(u * sizes[part] + 1e-9) == rank).all()
    assert ((u >= 0) & (u < 1)).all()


@pytest.mark.parametrize(("n", "parts"), [(33_000, 1), (100_000, 7), (40_000, 2500), (100_000, 4900), (70_000, 70_000)])
def test_slices_shared_by_many_rows_favour_none(n: int, parts: int) -> None:
    """Moments and counts over all rows lie within four standard errors of independent uniform numbers."""
    rng = np.random.default_rng(parts)
    part, key = rng.integers(parts, size=n), random_keys(n, rng)
    u = stratify(part, np.bincount(part, minlength=parts), key, rng)
    assert abs(u.mean() - 0.5) < 4 / math.sqrt(12 * n)
    assert abs(np.mean(u**2) - 1 / 3) < 4 * math.sqrt(4 / 45 / n)
    counts = np.bincount((u * 16).astype(int), minlength=16)
    assert np.abs(counts - n / 16).max() < 4 * math.sqrt(n / 16)


# Quantiles

LAWS = [
    {"min": 0, "max": 1, "mean": 0.5, "sd": math.sqrt(1 / 12)},
    {"min": 0, "max": 60, "mean": 4, "sd": 4},
    {"min": 0, "max": 1e6, "mean": 5000, "sd": 20_000},
    {"min": -5, "max": 5, "mean": 0.2, "sd": 0.4, "integer": True},
    {"min": 0, "max": 10**9, "mean": 4e8, "sd": 300, "integer": True},
    {"min": 0, "max": 10, "mean": 5, "sd": 5},
    {"min": 3, "max": 3, "mean": 3, "sd": 0},
]


@pytest.mark.parametrize("stated", LAWS, ids=str)
def test_quantiles_that_are_looked_up_are_those_that_are_searched(stated: dict[str, Any]) -> None:
    """Off by at most a ten-thousandth of the range between the outer percentiles, and by one for whole numbers."""
    found, rng = solve(Numeric(**stated)), np.random.default_rng(0)
    u = np.concatenate([rng.random(50_000), [0.0, np.nextafter(1.0, 0.0)]])
    x = quantiles(np.zeros(len(u), np.int8), u, [found])
    slack = 3e-4 * np.ptp(found.ppf(np.array([0.01, 0.99]))) + (1.0 if found.is_integer else 0.0)
    assert np.abs(x - found.ppf(u)).max() <= slack
    assert x.min() >= stated["min"]
    assert x.max() <= stated["max"]
    assert not found.is_integer or (x == np.rint(x)).all()


def test_parts_of_different_laws_get_their_own_quantiles() -> None:
    """Whole numbers stay whole beside laws of real ones, in small populations and in large ones."""
    laws: list[Distribution] = [solve(Numeric(**stated)) for stated in LAWS]
    rng = np.random.default_rng(0)
    for n in (500, 100_000):
        part, u = rng.integers(len(laws), size=n), rng.random(n)
        x = quantiles(part, u, laws)
        for at, found in enumerate(laws):
            own, exact = x[part == at], found.ppf(u[part == at])
            slack = 3e-4 * np.ptp(found.ppf(np.array([0.01, 0.99]))) + (1.0 if found.is_integer else 0.0)
            assert np.abs(own - exact).max() <= slack
            assert not found.is_integer or (own == np.rint(own)).all()


# Keys and members


def test_keys_are_a_function_of_the_generator() -> None:
    """Of any length, the shorter the beginning of the longer, and uniform by a χ² test of their leading bits."""
    whole = random_keys(100_000, np.random.default_rng(1))
    for n in (0, 1, 3, 4, 5, 1000):
        assert (random_keys(n, np.random.default_rng(1)) == whole[:n]).all()
    assert stats.chisquare(np.bincount(whole >> 8, minlength=256)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(whole & 255, minlength=256)).pvalue > 1e-3


@given(st.lists(st.integers(0, 300), max_size=50))
@settings(max_examples=30)
def test_members_are_the_rows_of_each_part(part: list[int]) -> None:
    """In ascending order, empty parts included."""
    found = members(np.array(part, dtype=int), 301)
    assert [rows.tolist() for rows in found] == [[i for i, each in enumerate(part) if each == p] for p in range(301)]
