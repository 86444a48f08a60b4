"""Coupling: independent draws carried over to other distributions, changed as rarely as can be.

A value that was drawn from p is kept with probability min(1, q/p), and replaced by one drawn from what q has more
than p. The outcome is drawn from q, and differs from what was there with probability of the total variation distance
between the two, which is the least there can be (maximal coupling).
"""

from __future__ import annotations

import numpy as np

from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.moments import Distribution
from personalab.sampling.assignment import Floats, assign_by_cdf, members
from personalab.sampling.restrictions import Mask
from personalab.sampling.strata import Strata

ATTEMPTS = 1 << 12  # numbers drawn at once by those who leave
ROUNDS = 64  # of attempts; then any number of the new law will do


def pairs_of(case: Array, shares: Floats, was: Array, previous: Floats) -> tuple[Array, list[tuple[Floats, Floats]]]:
    """Number the pairs of distributions that rows have now and had before; and list them."""
    pair, member = numbered([(case, len(shares)), (was, len(previous))], len(case))
    return pair, [(shares[case[row]], previous[was[row]]) for row in member]


def coupled(
    pair: Array, laws: list[tuple[Floats, Floats]], code: Array, can_stay: Mask, rng: np.random.Generator
) -> Array:
    """Draw each row for itself from its new distribution so that it keeps its value as often as can be."""
    now, was = (np.array(side) for side in zip(*laws, strict=True))
    codes = code.copy()
    stays = can_stay & (rng.random(len(code)) * was[pair, code] < now[pair, code])
    rest = (now - was).clip(0.0) + 1e-300 * now
    moving = np.flatnonzero(~stays)
    rest /= rest.sum(axis=1, keepdims=True)
    codes[moving] = assign_by_cdf(pair[moving], rng.random(len(moving)), rest, rng)
    return codes


def coupled_numbers(strata: Strata, earlier: Strata, old: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
    """The same for numbers: who leaves draws until a number comes of which there is more now than before."""
    column = old.astype(np.int64 if strata.field.is_integer else np.float64)
    stuck = np.zeros(strata.n, dtype=bool)
    (now, is_atom), (was, was_atom) = _mass(strata, old), _mass(earlier, old)
    stays = strata.can_hold(old) & (is_atom == was_atom) & (now > 0) & (rng.random(strata.n) * was < now)
    left = np.flatnonzero(~stays)
    for _ in range(ROUNDS):
        if not len(left):
            break
        rows = np.repeat(left, max(1, ATTEMPTS // len(left)))
        tried = strata.of(rows)
        x, is_stuck = tried.invert_cdf(rng.random(len(rows)), rng, is_hasty=True)
        (now, is_atom), (was, was_atom) = _mass(tried, x), _mass(earlier.of(rows), x)
        fits = is_stuck | (is_atom != was_atom) | (rng.random(len(rows)) * now >= was)
        column[rows], stuck[rows] = x, is_stuck  # in case nothing ever fits
        served, first = np.unique(rows[fits], return_index=True)
        column[served], stuck[served] = x[fits][first], is_stuck[fits][first]
        left = np.setdiff1d(left, served)
    return column, stuck


def _mass(strata: Strata, x: Array) -> tuple[Floats, Mask]:
    """How likely each row's number is, or where there are no steps how dense; and whether there are steps."""
    x, is_atom = x.astype(np.float64), np.ones(strata.n, dtype=bool)
    if strata.choices is not None:
        shares, place = strata.choices.shares, np.rint(x) - strata.least
        inside = (place >= 0) & (place < shares.shape[1]) & (x == np.rint(x))
        return inside * shares[strata.choices.stratum, np.where(inside, place, 0).astype(np.intp)], is_atom
    mass = np.empty(strata.n)
    for law, rows in zip(strata.distributions, members(strata.conditional, len(strata.distributions)), strict=True):
        is_atom[rows] = law.is_discrete or law.is_integer
        mass[rows] = _density(law, x[rows])
    if strata.windows is not None:
        at = strata.windows.stratum
        inside = (strata.windows.low[at] <= x) & (x <= strata.windows.high[at])
        width, end = strata.windows.width[at], strata.windows.end[at]
        mass = np.where(inside, mass, 0.0) / np.where(width > 0, width, 1.0)
        mass, is_atom = np.where(width > 0, mass, x == end), is_atom | (width <= 0)
    return mass, is_atom


def _density(law: Distribution, x: Floats) -> Floats:
    """A law's density, or the probability of each number where only some occur."""
    if law.is_discrete or law.is_integer:
        before = law.cdf(x - 1 if law.is_integer else np.nextafter(x, -np.inf))
        return np.where((x == np.rint(x)) | (not law.is_integer), law.cdf(x) - before, 0.0)
    slopes = np.diff(law.cumulative) / np.maximum(np.diff(law.points), 1e-300)
    place = np.searchsorted(law.points, x, side="right").clip(1, len(slopes)) - 1
    return np.where((law.points[0] <= x) & (x <= law.points[-1]), slopes[place], 0.0)
