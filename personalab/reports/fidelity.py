"""Fidelity: how closely a population matches the blueprint it was drawn from, and how closely it could.

Ten people cannot be 25 % anything, so a distance between requested and achieved shares says little alone. Each one
here stands between two yardsticks that depend on the requested shares and on the number of people only:

- the *limit*, the least distance that any population of this size can have;
- the distance *expected of independent draws*, what honest chance gives.

The distance is the total variation distance (TVD), half the sum of the absolute differences of all shares, in
[0, 1]: the share of people who would have to change. Every cell also has a *band*, where 95 % of independent draws
fall.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from personalab.blueprint import moments
from personalab.sampling.apportionment import largest_remainder
from personalab.writing.similarity import ROUNDING_ERROR

Floats = NDArray[np.float64]

COVERAGE = 0.95  # of independent draws, inside a cell's band
TRIALS = 1999  # simulated populations a p-value rests on: its standard error is 0.005 at 5 %, its least value 0.0005


def distance(requested: ArrayLike, achieved: ArrayLike) -> float:
    """Total variation distance: half the sum of absolute differences of two sets of shares, in [0, 1].

    Parameters
    ----------
    requested, achieved : array of float
        Shares of the same values, each summing to 1.

    Returns
    -------
    float
        Not rounded, but 0 where nothing but the arithmetic's own error is left.
    """
    found = math.fsum(np.abs(np.asarray(requested) - np.asarray(achieved)).tolist()) / 2
    return found if found > ROUNDING_ERROR else 0.0


def limit(requested: ArrayLike, n: int) -> float:
    """The least total variation distance that any `n` people can have.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.

    Returns
    -------
    float
        What the largest-remainder apportionment leaves, which is the least for every Lp distance.

    Examples
    --------
    >>> round(limit([0.2, 0.3, 0.25, 0.15, 0.07, 0.03], 10), 12)
    0.08
    """
    p = np.asarray(requested, dtype=float)
    return distance(p, largest_remainder(p, n) / n)


def expected_iid(requested: ArrayLike, n: int) -> float:
    """The total variation distance expected of `n` independent draws.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.

    Returns
    -------
    float
        Exact: half the sum of the binomials' mean absolute deviations, 2 k (1 - p) P(X = k) with k = ⌊np⌋ + 1
        (De Moivre 1730; Diaconis and Zabell 1991).

    Examples
    --------
    >>> round(expected_iid([0.5, 0.5], 1), 9)
    0.5
    """
    return chance(requested, n)[0]


def chance(requested: ArrayLike, n: int) -> tuple[float, float]:
    """Mean and standard deviation of the total variation distance of `n` independent draws.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.

    Returns
    -------
    tuple of float
        The mean as `expected_iid` has it; the deviation as if the counts of the values did not depend on each other,
        which is somewhat too wide.

    Examples
    --------
    >>> [round(each, 3) for each in chance([0.5, 0.5], 100)]
    [0.04, 0.021]
    """
    from scipy.special import gammaln, xlog1py, xlogy

    p = np.asarray(requested, dtype=float)
    p = p[(p > 0) & (p < 1)]
    k = np.minimum(np.floor(n * p) + 1, n)
    log_mass = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    mean = 2 * k * (1 - p) * np.exp(log_mass) / n
    return float(mean.sum() / 2), float(np.sqrt((p * (1 - p) / n - mean**2).clip(0).sum()) / 2)


def p_value(requested: ArrayLike, n: int, found: float) -> float:
    """How often `n` independent draws are at least as far from the requested shares as was found.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.
    found : float
        A total variation distance.

    Returns
    -------
    float
        A Monte Carlo p-value in (0, 1] from 1,999 simulated populations, the observed one counted among them (Barnard
        1963; Dwass 1957): valid for any `n`, where χ² wants five expected people a cell. The same arguments always
        give the same value.

    Examples
    --------
    >>> p_value([0.5, 0.5], 10, 0.0), p_value([0.5, 0.5], 10, 0.5) < 0.01
    (1.0, True)
    """
    p = np.asarray(requested, dtype=float)
    counts = np.random.default_rng(0).multinomial(n, p / p.sum(), size=TRIALS)
    distances = np.abs(counts / n - p).sum(axis=1) / 2
    return (1 + int(np.count_nonzero(distances >= found - ROUNDING_ERROR))) / (1 + TRIALS)


def band(requested: ArrayLike, n: int) -> tuple[Floats, Floats]:
    """Where 95 % of independent draws of `n` people fall, share by share.

    Parameters
    ----------
    requested : array of float
        Shares in [0, 1].
    n : int
        How many people, at least 1.

    Returns
    -------
    tuple of two arrays of float
        Lower and upper end as shares: binomial quantiles at 2.5 % and 97.5 %, widened where needed to hold the two
        counts next to the requested one.
    """
    p = np.asarray(requested, dtype=float)
    tail = (1 - COVERAGE) / 2
    low = np.minimum(_quantile(tail, n, p), np.floor(n * p + ROUNDING_ERROR))
    high = np.maximum(_quantile(1 - tail, n, p), np.ceil(n * p - ROUNDING_ERROR))
    return low / n, high / n


def _quantile(q: float, n: int, p: Floats) -> Floats:
    """The least count that a binomial of `n` and `p` stays at or below with probability `q`."""
    from scipy.special import bdtr, bdtrik

    inside = (p > 0) & (p < 1)
    safe = np.where(inside, p, 0.5)
    real = bdtrik(q, n, safe)  # nan where nearly all mass is on none or all
    above = np.ceil(np.where(np.isnan(real), np.rint(n * safe), real))  # the count itself or one too many
    below = np.maximum(above - 1, 0)
    return np.where(inside, np.where(bdtr(below, n, safe) >= q, below, above), n * p)


def kolmogorov_smirnov(values: Floats, distribution: moments.Distribution) -> float:
    """Greatest distance between the cumulative shares of values and those of a distribution, in [0, 1]."""
    at, counts = np.unique(values, return_counts=True)
    upto = np.cumsum(counts) / len(values)
    below = upto - counts / len(values)
    # Both step functions are constant between values and jumps, so the extremes lie at a value or just before one.
    before = distribution.cdf(np.nextafter(at, -np.inf))
    return float(max(np.abs(upto - distribution.cdf(at)).max(), np.abs(below - before).max()))
