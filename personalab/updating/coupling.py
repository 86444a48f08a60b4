"""Coupling: values carried over to other distributions one by one, changed as rarely as can be.

A value that was drawn from p is kept with probability min(1, q/p), and replaced by one drawn from what q has more
than p. The outcome is drawn from q, and differs from what was there with probability of the total variation distance
between the two, which is the least there can be (maximal coupling). So independent draws stay independent, and so
numbers of every method are carried over; where sampling spreads numbers evenly, the random numbers that decide are
spread evenly too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.moments import Law
from personalab.sampling.assignment import by_share, evenly, members
from personalab.sampling.configurations import Floats, Mask
from personalab.sampling.draw import Draw
from personalab.updating.reassignment import gain_share, keep_share

ATTEMPTS = 1 << 12  # numbers drawn at once by those who leave
ROUNDS = 64  # of attempts; then any number of the new law will do
STRETCHES = 1 << 10  # of equal probability, into which the law of those who leave is divided


def couple(pair: Array, code: Array, was: Floats, now: Floats, rng: np.random.Generator) -> Array:
    """Draw each row's category for itself from its new distribution so that it keeps its own as often as can be."""
    u, v = rng.random(len(code)), rng.random(len(code))
    codes = code.copy()
    moving = np.flatnonzero((code < 0) | (u >= keep_share(was, now)[pair, code]))
    codes[moving] = by_share(pair[moving], v[moving], gain_share(was, now), rng)
    return codes


def couple_numbers(draw: Draw, earlier: Draw, old: Array) -> tuple[Array, Mask, Floats]:
    """The same for numbers: the column, which rows have no value, and how early each row leaves in [0, 1]."""
    rng, column, stuck = draw.rng, old.astype(np.int64 if draw.is_whole else np.float64), np.zeros(draw.n, dtype=bool)
    u = rng.random(draw.n) if draw.method == "iid" else spread(earlier.branch_of, old, rng)
    (now, is_atom), (was, was_atom) = _mass(draw, old), _mass(earlier, old)
    stays = draw.can_hold(old) & (is_atom == was_atom) & (now > 0) & (u * was < now)
    left, key = np.flatnonzero(~stays), rng.random(draw.n)
    if draw.method != "iid" and draw.windows is None and earlier.windows is None and len(left):
        column[left], stuck[left] = _stretched(draw.of(left), earlier.of(left), key[left])
        left = left[:0]
    for _ in range(ROUNDS):
        if not len(left):
            break
        rows = np.repeat(left, max(1, ATTEMPTS // len(left)))
        tried = replace(draw.of(rows), is_hasty=True)
        x, is_stuck = tried.at_share(rng.random(len(rows)))
        (now, is_atom), (was, was_atom) = _mass(tried, x), _mass(earlier.of(rows), x)
        fits = is_stuck | (is_atom != was_atom) | (rng.random(len(rows)) * now >= was)
        column[rows], stuck[rows] = x, is_stuck  # in case nothing ever fits
        served, first = np.unique(rows[fits], return_index=True)
        column[served], stuck[served] = x[fits][first], is_stuck[fits][first]
        left = np.setdiff1d(left, served)
    return column, stuck, np.where(stays, 0.0, 1.0 - u)


def spread(part: Array, x: Array, rng: np.random.Generator) -> Floats:
    """Random numbers that are even in every stretch of every part's values (Hammersley's points).

    In the order of the values of a part, one with the other at random, each gets the next number of van der Corput.
    """
    order = np.lexsort((rng.random(len(x)), x, part))
    size = np.bincount(part)
    rank = np.empty(len(x), dtype=np.int64)
    rank[order] = np.arange(len(x)) - np.repeat(np.cumsum(size) - size, size)
    digits, u = rank, rng.random(len(size))[part]
    for place in range(1, int(size.max()).bit_length() + 1):
        u = u + (digits & 1) / 2**place
        digits = digits >> 1
    return np.asarray(u % 1.0)


def _stretched(draw: Draw, earlier: Draw, key: Floats) -> tuple[Array, Mask]:
    """New numbers for people who leave: evenly from what their new law has more than their old one."""
    axes = [(draw.branch_of, len(draw.laws)), (earlier.branch_of, len(earlier.laws))]
    pair, member = numbered(axes, draw.n)
    ends = np.arange(STRETCHES + 1) / STRETCHES
    new, old = draw.laws, earlier.laws
    laws = [(new[draw.branch_of[row]], old[earlier.branch_of[row]]) for row in member]
    gain = np.array([(1 / STRETCHES - np.diff(_mass_below(now, was, ends))).clip(1e-12) for now, was in laws])
    upto = np.cumsum(gain / gain.sum(axis=1, keepdims=True), axis=1)
    v = evenly(pair, np.bincount(pair), (key * 2**32).astype(np.uint32), draw.rng)
    u = np.empty(draw.n)
    for rows, own in zip(members(pair, len(member)), upto, strict=True):
        u[rows] = np.interp(v[rows], np.concatenate([[0.0], own]), ends)
    return draw.at_share(np.minimum(u, np.nextafter(1.0, 0.0)))


def _mass_below(now: Law, was: Law, u: Floats) -> Floats:
    """How much of an old law lies among the numbers below which a share `u` of the new one lies."""
    if not now.is_discrete:
        return was.cdf(now.ppf(u))
    jumps = _density(was, now.points) * (was.is_discrete or was.is_integer)
    return np.interp(u, np.append(0.0, now.cumulative), np.append(0.0, np.cumsum(jumps)))


def _mass(draw: Draw, x: Array) -> tuple[Floats, Mask]:
    """How likely each row's number is, or where there are no steps how dense; and whether there are steps."""
    x, is_atom = x.astype(np.float64), np.ones(draw.n, dtype=bool)
    if draw.choices is not None:
        shares, place = draw.choices.shares, np.rint(x) - draw.least
        inside = (place >= 0) & (place < shares.shape[1]) & (x == np.rint(x))
        return inside * shares[draw.choices.case, np.where(inside, place, 0).astype(np.intp)], is_atom
    mass = np.empty(draw.n)
    for law, rows in zip(draw.laws, members(draw.branch_of, len(draw.laws)), strict=True):
        is_atom[rows] = law.is_discrete or law.is_integer
        mass[rows] = _density(law, x[rows])
    if draw.windows is not None:
        at = draw.windows.case
        inside = (draw.windows.low[at] <= x) & (x <= draw.windows.high[at])
        width, end = draw.windows.width[at], draw.windows.end[at]
        mass = np.where(inside, mass, 0.0) / np.where(width > 0, width, 1.0)
        mass, is_atom = np.where(width > 0, mass, x == end), is_atom | (width <= 0)
    return mass, is_atom


def _density(law: Law, x: Floats) -> Floats:
    """A law's density, or the probability of each number where only some occur."""
    if law.is_discrete or law.is_integer:
        before = law.cdf(x - 1 if law.is_integer else np.nextafter(x, -np.inf))
        return np.where((x == np.rint(x)) | (not law.is_integer), law.cdf(x) - before, 0.0)
    slopes = np.diff(law.cumulative) / np.maximum(np.diff(law.points), 1e-300)
    place = np.searchsorted(law.points, x, side="right").clip(1, len(slopes)) - 1
    return np.where((law.points[0] <= x) & (x <= law.points[-1]), slopes[place], 0.0)
