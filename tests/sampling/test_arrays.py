"""What the keys of `balanced` promise: even pairs, triples as chance has them, and hardly a disturbance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from personalab import sample
from personalab.sampling.arrays import keys
from tests.builders import blueprint, choice

Codes = NDArray[np.intp]
NAMES = [f"f{i}" for i in range(12)]


def cells(names: list[str], n: int, seed: int, values: int = 4) -> list[Codes]:
    """Each name's keys cut into as many equal parts by their ranks."""
    return [np.argsort(np.argsort(key, kind="stable")) * values // n for key in keys(names, n, seed).values()]


def interaction(codes: tuple[Codes, ...], sizes: list[int]) -> float:
    """The p-value of what goes together in all of the fields at once and in no fewer (Lancaster 1951)."""
    n, table = len(codes[0]), np.zeros(sizes)
    np.add.at(table, codes, 1.0)
    for axis, (code, size) in enumerate(zip(codes, sizes, strict=True)):
        root = np.sqrt(np.bincount(code, minlength=size) / n)
        contrasts = np.linalg.qr(np.column_stack([root, np.eye(size)[:, 1:]]))[0][:, 1:] / root[:, None]
        table = np.moveaxis(np.tensordot(contrasts, table, (0, axis)), 0, axis)
    return float(stats.chi2.sf((table**2).sum() / n, table.size))


@pytest.mark.parametrize("n", [30, 100, 300, 1000, 20_000])
@pytest.mark.parametrize("size", [3, 4])
def test_no_fields_go_together_that_no_pair_shows(n: int, size: int) -> None:
    """Of 220 triples or as many quadruples, over 5 seeds, none has p < 1e-6, and those below .001 are chance's few.

    Independent keys have 1.1 of 1,100 below .001, and more than 8 in one run of 100,000. The arrays' χ² is on average
    up to 1.2 times theirs; Sobol's points had 9 % below .001 at n = 100 and 4 % at 1,000.
    """
    found, rng = list[float](), np.random.default_rng(0)
    for seed in range(5):
        codes = cells(NAMES, n, seed, 3)
        chosen = list(itertools.combinations(codes, size))
        found += [interaction(chosen[i], [3] * size) for i in rng.choice(len(chosen), 220, replace=False)]
    assert min(found) > 1e-6
    assert sum(p < 1e-3 for p in found) <= 8


def test_a_field_is_not_guessed_from_two_others() -> None:
    """With 12 even roots of four values and 1,000 people no three leave a combination out, or show an interaction."""
    even = dict.fromkeys("abcd", 0.25)
    bp = blueprint(*(choice(name, even) for name in NAMES))
    for seed in range(3):
        columns = [column.cat.codes.to_numpy(int) for _, column in sample(bp, 1000, seed=seed).items()]
        for three in itertools.combinations(columns, 3):
            assert np.bincount(np.ravel_multi_index(three, (4, 4, 4)), minlength=64).min() > 0
            assert interaction(three, [4, 4, 4]) > 1e-6


@pytest.mark.parametrize("n", [500, 2000])
def test_a_product_of_two_numbers_tells_nothing_of_a_third(n: int) -> None:
    """Over 660 triples and both sides, the partial R² of an interaction stays below what chance has once in 1e6."""
    most = stats.beta.isf(1e-6, 0.5, (n - 4) / 2)
    for seed in range(3):
        centred = [key / 2**32 - 0.5 for key in keys(NAMES, n, seed).values()]
        for x, y, z in itertools.combinations(centred, 3):
            product = x * y - np.mean(x * y)
            assert np.corrcoef(product, z)[0, 1] ** 2 < most


@pytest.mark.parametrize(
    ("n", "most", "worst"),
    [(10, 1.3, 4.5), (32, 1.1, 4.5), (100, 0.6, 3), (300, 0.3, 2), (1000, 0.2, 1), (9999, 0.1, 0.5)],
)
def test_pairs_are_more_even_than_chance(n: int, most: float, worst: float) -> None:
    """Of 12 fields the mean χ² over its degrees of freedom in 16 cells, and the worst pair's; by chance 1, and 3."""
    found = []
    for a, b in itertools.combinations(cells(NAMES, n, 3), 2):
        counts = np.bincount(a * 4 + b, minlength=16).reshape(4, 4)
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
        found.append(((counts - expected) ** 2 / expected).sum() / 9)
    assert np.mean(found) <= most
    assert max(found) <= worst


@pytest.mark.parametrize("n", [1, 2, 10, 100, 512, 2000])
def test_a_field_more_moves_no_other(n: int) -> None:
    """Of any number of them, also past those that have a column."""
    names = [f"f{i}" for i in range(130)]
    whole = keys(names, n, 3)
    for many in (1, 3, 12, 24, 47, 129):
        assert all((x == whole[name]).all() for name, x in keys(names[:many], n, 3).items())


def test_another_order_moves_the_few_that_want_one_column() -> None:
    """Of six fields among 10,000: reversed, removed from, inserted into, on average over 30 seeds less than .3."""
    names, moved = NAMES[:6], []
    for seed in range(30):
        before = keys(names, 10_000, seed)
        for after in (names[::-1], names[1:], ["new", *names], ["new", *names[1:]]):
            new = keys(after, 10_000, seed)
            moved.append(sum((before[name] != new[name]).any() for name in before if name in new))
    assert np.mean(moved) < 0.3


@pytest.mark.parametrize("n", [9, 49, 120, 1000])
def test_no_two_fields_share_a_column(n: int) -> None:
    """However many they are: no pair's keys agree in rank more than independent ones do, to six standard errors."""
    ranks = [stats.rankdata(key) for key in keys([f"f{i}" for i in range(40)], n, 1).values()]
    agreement = np.corrcoef(ranks)[np.triu_indices(40, 1)]
    assert np.abs(agreement).max() < (6 / np.sqrt(n) if n > 36 else 1)


def test_keys_are_even_in_themselves() -> None:
    """Over the seeds, each row's key of a field with a column and one without is uniform, and so are places."""
    for n in (5, 30):
        drawn = [keys(NAMES, n, seed) for seed in range(400)]
        for name in (NAMES[0], NAMES[-1]):
            assert stats.kstest([each[name][0] / 2**32 for each in drawn], "uniform").pvalue > 1e-3
