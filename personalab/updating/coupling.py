"""Coupling: values carried over to other distributions one by one, changed as rarely as can be.

A value that was drawn from p is kept with probability min(1, q/p), and replaced by one drawn from what q has more
than p. The outcome is drawn from q, and differs from what was there with probability of the total variation distance
between the two, which is the least there can be (maximal coupling). So independent draws stay independent, and so
numbers of every method are carried over; where sampling spreads numbers evenly, the random numbers that decide are
spread evenly too.
"""

from __future__ import annotations

import numpy as np

from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.moments import Distribution
from personalab.sampling.assignment import Floats, assign_by_cdf, members, stratify
from personalab.sampling.restrictions import Mask
from personalab.sampling.strata import Strata
from personalab.updating.reassignment import gain_share, keep_share

ATTEMPTS = 1 << 12  # numbers drawn at once by those who leave
ROUNDS = 64  # of attempts; then any number of the new distribution will do
STRETCHES = 1 << 10  # of equal probability, into which what those who leave may get is divided


def couple(pair: Array, code: Array, was: Floats, now: Floats, rng: np.random.Generator) -> Array:
    """Draw each row's category for itself from its new distribution so that it keeps its own as often as can be."""
    u, v = rng.random(len(code)), rng.random(len(code))
    codes = code.copy()
    moving = np.flatnonzero((code < 0) | (u >= keep_share(was, now)[pair, code]))
    codes[moving] = assign_by_cdf(pair[moving], v[moving], gain_share(was, now), rng)
    return codes


def couple_numbers(
    strata: Strata, earlier: Strata, old: Array, rng: np.random.Generator, *, is_independent: bool
) -> tuple[Array, Mask, Floats]:
    """The same for numbers: the column, which rows have no value, and how early each row leaves in [0, 1]."""
    column, stuck = old.astype(np.int64 if strata.field.is_integer else np.float64), np.zeros(strata.n, dtype=bool)
    u = rng.random(strata.n) if is_independent else spread(earlier.conditional, old, rng)
    (now, is_atom), (was, was_atom) = _mass(strata, old), _mass(earlier, old)
    stays = strata.can_hold(old) & (is_atom == was_atom) & (now > 0) & (u * was < now)
    left, key = np.flatnonzero(~stays), rng.random(strata.n)
    if not is_independent and strata.windows is None and earlier.windows is None and len(left):
        column[left], stuck[left] = _stretched(strata.of(left), earlier.of(left), key[left], rng)
        left = left[:0]
    for _ in range(ROUNDS):
        if not len(left):
            break
        rows = np.repeat(left, max(1, ATTEMPTS // len(left)))
        tried = strata.of(rows)
        x, is_stuck = tried.invert_cdf(rng.random(len(rows)), rng, is_hasty=True)
        (now, is_atom), (was, was_atom) = _mass(tried, x), _mass(earlier.of(rows), x)
        fits = ~is_stuck & ((is_atom != was_atom) | (rng.random(len(rows)) * now >= was))
        served, first = np.unique(rows[fits], return_index=True)
        column[served] = x[fits][first]
        left = np.setdiff1d(left, served)
        if is_stuck.all():
            break
    if len(left):  # nothing fitted: any number of the new distribution will do
        column[left], stuck[left] = strata.of(left).invert_cdf(rng.random(len(left)), rng)
    return column, stuck, np.where(stays, 0.0, 1.0 - u)


def spread(group: Array, x: Array, rng: np.random.Generator) -> Floats:
    """Random numbers that are even in every stretch of every group's values (Hammersley's points).

    In the order of the values of a group, one with the other at random, each gets the next number of van der Corput.
    """
    order = np.lexsort((rng.random(len(x)), x, group))
    size = np.bincount(group)
    rank = np.empty(len(x), dtype=np.int64)
    rank[order] = np.arange(len(x)) - np.repeat(np.cumsum(size) - size, size)
    digits, u = rank, rng.random(len(size))[group]
    for place in range(1, int(size.max()).bit_length() + 1):
        u = u + (digits & 1) / 2**place
        digits = digits >> 1
    return np.asarray(u % 1.0)


def _stretched(strata: Strata, earlier: Strata, key: Floats, rng: np.random.Generator) -> tuple[Array, Mask]:
    """New numbers for people who leave: evenly from what their new distribution has more than their old one."""
    new, old = strata.distributions, earlier.distributions
    pair, member = numbered([(strata.conditional, len(new)), (earlier.conditional, len(old))], strata.n)
    ends = np.arange(STRETCHES + 1) / STRETCHES
    pairs = [(new[strata.conditional[row]], old[earlier.conditional[row]]) for row in member]
    gain = np.array([(1 / STRETCHES - np.diff(_mass_below(now, was, ends))).clip(1e-12) for now, was in pairs])
    upto = np.cumsum(gain / gain.sum(axis=1, keepdims=True), axis=1)
    v = stratify(pair, np.bincount(pair), (key * 2**32).astype(np.uint32), rng)
    u = np.empty(strata.n)
    for rows, own in zip(members(pair, len(member)), upto, strict=True):
        u[rows] = np.interp(v[rows], np.concatenate([[0.0], own]), ends)
    return strata.invert_cdf(np.minimum(u, np.nextafter(1.0, 0.0)), rng)


def _mass_below(now: Distribution, was: Distribution, u: Floats) -> Floats:
    """How much of an old distribution lies among the numbers below which a share `u` of the new one lies."""
    if not now.is_discrete:
        return was.cdf(now.ppf(u))
    jumps = _density(was, now.points) * (was.is_discrete or was.is_integer)
    return np.asarray(np.interp(u, np.append(0.0, now.cumulative), np.append(0.0, np.cumsum(jumps))))


def _mass(strata: Strata, x: Array) -> tuple[Floats, Mask]:
    """How likely each row's number is, or where there are no steps how dense; and whether there are steps."""
    x, is_atom = x.astype(np.float64), np.ones(strata.n, dtype=bool)
    if strata.choices is not None:
        shares, place = strata.choices.shares, np.rint(x) - strata.least
        inside = (place >= 0) & (place < shares.shape[1]) & (x == np.rint(x))
        return inside * shares[strata.choices.stratum, np.where(inside, place, 0).astype(np.intp)], is_atom
    mass = np.empty(strata.n)
    for own, rows in zip(strata.distributions, members(strata.conditional, len(strata.distributions)), strict=True):
        is_atom[rows] = own.is_discrete or own.is_integer
        mass[rows] = _density(own, x[rows])
    if strata.windows is not None:
        at = strata.windows.stratum
        inside = (strata.windows.low[at] <= x) & (x <= strata.windows.high[at])
        width, end = strata.windows.width[at], strata.windows.end[at]
        mass = np.where(inside, mass, 0.0) / np.where(width > 0, width, 1.0)
        mass, is_atom = np.where(width > 0, mass, x == end), is_atom | (width <= 0)
    return mass, is_atom


def _density(own: Distribution, x: Floats) -> Floats:
    """A distribution's density, or the probability of each number where only some occur."""
    if own.is_discrete or own.is_integer:
        before = own.cdf(x - 1 if own.is_integer else np.nextafter(x, -np.inf))
        return np.where((x == np.rint(x)) | (not own.is_integer), own.cdf(x) - before, 0.0)
    slopes = np.diff(own.cumulative) / np.maximum(np.diff(own.points), 1e-300)
    place = np.searchsorted(own.points, x, side="right").clip(1, len(slopes)) - 1
    return np.where((own.points[0] <= x) & (x <= own.points[-1]), slopes[place], 0.0)
