"""Reassignment: people carried from one table of counts to another, as few of them as can be (transport).

People of one parent configuration then and now form a *stratum*. Coupling says how many of a stratum may be expected to
keep each value and to get it (`expect`); these expectations are fitted to the counts asked for and rounded. Who leaves
a value is decided by an order that does not depend on how many do (`herd`): so the leavers of one edit are among those
of a slightly larger one, and each beginning of the order is a small image of all, which keeps other fields'
distributions right among those who stay. Where the leavers go is decided by a second order, cut into stretches.

People whose parents have changed are served one after the other (`reassign_in_turn`): each is coupled for itself, and
among the values it may get, takes one that its configuration lacks.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, numbered
from personalab.sampling.apportionment import Counts, round_rows, round_table
from personalab.sampling.assignment import Floats, assign_by_cdf, members
from personalab.sampling.draw import CAREFUL
from personalab.sampling.restrictions import Mask

BLOCK = 1 << 10  # people who are put in order at once: the time this takes grows with its square
ROUNDS = 100  # of fitting a table to its margins
GOLDEN = (5**0.5 - 1) / 2  # whose multiples fill [0, 1) evenly, however many there are
LACKING = 8.0  # how much more it counts that a configuration lacks a value than that a stratum does,
TOTAL = 8.0  # and that all configurations together do
BELOW = 8.0  # how much more a child's distribution counts than another field's; these three by trial
SHARP = 6  # power by which a value that is lacked more is preferred


@dataclass(frozen=True)
class Image:
    """What else rows have, in which those who leave should be an image of all: a field, or a child's distribution.

    Attributes
    ----------
    cell : array of int, shape (rows,)
        Each row's cell.
    group : array of int, shape (cells,)
        Which cells are of one parent configuration.
    asked : array of float, shape (cells,)
        The share of its group that a cell should have.
    weight : float
        How much it counts beside other images.
    is_below : bool
        Whether this is the distribution of a child.
    """

    cell: Array
    group: Array
    asked: Floats
    weight: float = 1.0
    is_below: bool = False

    @cached_property
    def start(self) -> tuple[Counts, Counts]:
        """How many rows each cell, and each group, has."""
        there = np.bincount(self.cell, minlength=len(self.group))
        return there, np.bincount(self.group, weights=there).astype(np.int64)

    @cached_property
    def excess(self) -> Floats:
        """How many rows each cell has too many."""
        there, size = self.start
        return np.asarray(there - self.asked * size[self.group])

    def of(self, rows: NDArray[np.intp]) -> Image:
        """The same cells, as they are among all, for some of the rows."""
        some = replace(self, cell=self.cell[rows])
        some.__dict__.update(start=self.start, excess=self.excess)
        return some


def expect(there: Floats, size: Floats, was: Floats, now: Floats) -> Floats:
    """How many of each stratum should have each value, if all are coupled; shape (strata, values).

    `there` are those who have the value, of `size` people, who had the distribution `was` and get `now`.
    """
    kept = there * keep_share(was, now)
    return np.asarray(kept + (size - kept.sum(axis=1))[:, None] * gain_share(was, now))


def keep_share(was: Floats, now: Floats) -> Floats:
    """The share of those with each value who may keep it."""
    return np.divide(np.minimum(was, now), was, out=np.zeros_like(was), where=was > 0)


def gain_share(was: Floats, now: Floats) -> Floats:
    """The distribution of what the others get: of what there is more now than before."""
    gain = np.maximum(now - was, 0.0) + 1e-300 * now
    return np.asarray(gain / gain.sum(axis=1, keepdims=True))


def reassign(
    group: Array,
    pair: Array,
    code: Array,
    counts: Counts,
    was: Floats,
    now: Floats,
    images: Sequence[Image],
    bonus: Floats,
    rng: np.random.Generator,
) -> tuple[Array, Floats]:
    """Give each row a value so that there are as many as asked for, and the fewest change.

    Parameters
    ----------
    group, pair, code : array of int, shape (rows,)
        Each row's group, its pair of distributions, and the value it has; -1 where that is none any more.
    counts : array of int, shape (groups, values)
        How many rows of each group should have each value.
    was, now : array of float, shape (pairs, values)
        The distributions of each pair.
    images : sequence of Image
        What else the rows have.
    bonus : array of float, shape (rows,)
        Who leaves rather, where others might as well: between 0 and 1.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    array of int, array of float
        Each row's value, and where in the order of its like each leaver stands, in [0, 1]; 0 for who stays.
    """
    groups, values = counts.shape
    start = bonus + 0.1 * rng.random(len(code)) + sum(image.weight * image.excess[image.cell] for image in images)
    cells, weights = np.array([image.cell for image in images], dtype=np.int32), np.array([i.weight for i in images])
    cells = cells.reshape(len(images), len(code))
    second, codes, when = rng.random(len(code)), code.copy(), np.zeros(len(code))
    is_held = is_same(was, now)[pair] & (code >= 0) & (now[pair, code] > 0)
    held = np.bincount(group[is_held] * values + code[is_held], minlength=counts.size).reshape(counts.shape)
    _, some = numbered([(group, groups), (pair, len(now))], len(code))
    may = np.zeros(counts.shape, dtype=bool)
    np.logical_or.at(may, group[some], now[pair[some]] > 0)
    counts = raise_quotas(counts, held, may) - held
    loose = np.flatnonzero(~is_held)
    if not len(loose):
        return codes, when
    stratum, first = numbered([(group[loose], groups), (pair[loose], len(now))], len(loose))
    own, at = code[loose], loose[first]
    cell = np.where(own >= 0, stratum.astype(np.int64) * values + own, len(first) * values)
    there = np.bincount(cell, minlength=len(first) * values + 1)[:-1].reshape(-1, values)
    table = round_strata(there, np.bincount(stratum), group[at], counts, was[pair[at]], now[pair[at]], rng)
    surplus = (there - table).clip(0)
    leaves = own < 0
    for rows, many in zip(members(cell, surplus.size + 1), surplus.ravel().tolist(), strict=False):
        if many:
            like = loose[rows]
            order = herd(cells[:, like], weights, start[like], second[like], many)
            leaves[rows[order]] = True
            when[like[order]] = (np.arange(many) + 0.5) / len(like)
            second[like[order]] = (second[like[order[0]]] + GOLDEN * np.arange(many)) % 1.0
    going = loose[leaves]
    when[going] = np.where(code[going] < 0, second[going], when[going]).clip(1e-9)
    codes[going] = place_leavers(
        stratum[leaves], second[going], when[going], table - (there - surplus), gain_share(was, now)[pair[at]], rng
    )
    return codes, when


def place_leavers(
    stratum: Array, key: Floats, when: Floats, counts: Counts, shares: Floats, rng: np.random.Generator
) -> Array:
    """Give each leaver of a stratum the value whose share covers its key; the last to leave make the counts right."""
    codes = assign_by_cdf(stratum, key, shares, rng).astype(np.int64)
    over = np.bincount(stratum * counts.shape[1] + codes, minlength=counts.size).reshape(counts.shape) - counts
    for row in np.flatnonzero(over.any(axis=1)):
        rows = np.flatnonzero(stratum == row)
        rows = rows[np.argsort(-when[rows], kind="stable")]
        spare = np.concatenate([rows[codes[rows] == value][:many] for value, many in enumerate(over[row].clip(0))])
        spare = spare[np.argsort(key[spare], kind="stable")]
        codes[spare] = np.repeat(np.arange(len(over[row])), (-over[row]).clip(0))
    return codes


def is_same(was: Floats, now: Floats) -> Mask:
    """Which pairs of distributions are one and the same."""
    return np.asarray((np.abs(was - now) <= 1e-9).all(axis=1))


def round_strata(
    there: Counts, size: Counts, group: Array, counts: Counts, was: Floats, now: Floats, rng: np.random.Generator
) -> Counts:
    """How many rows of each stratum get each value: coupled as nearly as the counts of its group allow."""
    table = np.empty(there.shape, dtype=np.int64)
    for rows in members(group, len(counts)):
        if len(rows) == 1:
            table[rows] = counts[group[rows]]
        elif len(rows):
            columns = counts[group[rows[0]]]
            expected = expect(there[rows].astype(float), size[rows].astype(float), was[rows], now[rows])
            fitted = fit_proportionally(expected + 1e-6 * now[rows], size[rows], columns)
            is_small = fitted.size <= CAREFUL
            rounded = round_table(fitted, rng) if is_small else round_rows(fitted, rng, columns)
            table[rows] = meet_columns(rounded, fitted, columns, now[rows] > 0)
    return table


def fit_proportionally(table: Floats, rows: Counts, columns: Counts) -> Floats:
    """Iterative proportional fitting; the rows' sums are met exactly, the columns' as nearly as can be."""
    for _ in range(ROUNDS):
        sums = table.sum(axis=0)
        if np.abs(sums - columns).max() <= 1e-9:
            break
        table = table * (columns / np.maximum(sums, 1e-300))
        table = table * (rows / np.maximum(table.sum(axis=1), 1e-300))[:, None]
    return table


def meet_columns(table: Counts, expected: Floats, columns: Counts, may: Mask) -> Counts:
    """Shift people inside strata until each value has its count, as far as strata may have it."""
    table = table.copy()
    while True:
        gap = table.sum(axis=0) - columns
        ways = [
            (float((table - expected)[row, over] - (table - expected)[row, under]), int(row), over, under)
            for over in np.flatnonzero(gap > 0)
            for under in np.flatnonzero(gap < 0)
            for row in np.flatnonzero((table[:, over] > 0) & may[:, under])
        ]
        if not ways:
            return table
        _, row, over, under = max(ways)
        table[row, over] -= 1
        table[row, under] += 1


def herd(cells: Array, weights: Floats, start: Floats, key: Floats, many: int) -> NDArray[np.intp]:
    """Put the first `many` people in an order of which every beginning is an image of all.

    Each next one is whoever has most of what is missing in the image so far (kernel herding, Welling 2009). Large
    numbers of people are split into blocks at random, which take turns.

    Parameters
    ----------
    cells : array of int, shape (images, people)
        Each person's cell in each image.
    weights : array of float, shape (images,)
        How much each image counts.
    start, key : array of float, shape (people,)
        Who is preferred, and what decides the blocks.
    many : int
        How many are to be put in order.

    Returns
    -------
    array of int
        People, as positions.
    """
    blocks = -(-len(key) // BLOCK)
    mixed, order = np.argsort(key, kind="stable"), np.empty(many, dtype=np.intp)
    for block in range(min(blocks, many)):
        rows = mixed[block::blocks]
        own, score, place = cells[:, rows], start[rows] / blocks, order[block::blocks]
        counts = [np.unique(each, return_inverse=True, return_counts=True)[1:] for each in own]
        gain = np.sum([w * size[at.reshape(-1)] for w, (at, size) in zip(weights, counts, strict=True)], axis=0)
        for turn in range(len(place)):
            score += gain / len(rows)
            chosen = int(score.argmax())
            place[turn] = rows[chosen]
            score -= weights @ (own == own[:, chosen, None])
            score[chosen] = -np.inf
    return order


def reassign_in_turn(
    pair: Array,
    group: Array,
    code: Array,
    was: Floats,
    now: Floats,
    gap: Floats,
    images: Sequence[Image],
    u: Floats,
    *,
    is_revised: bool,
) -> Array:
    """Couple rows one after the other, so that no configuration gets too many or too few of a value.

    Parameters
    ----------
    pair, group, code : array of int, shape (rows,)
        Each row's pair of distributions, its configuration, and the value it has; -1 where that is none any more.
    was, now : array of float, shape (pairs, values)
        The distributions of each pair.
    gap : array of float, shape (groups, values)
        How many each configuration lacks without these rows.
    images : sequence of Image
        The distributions of children, which should stay as they are among those who keep their value; their cells are
        of these rows.
    u : array of float, shape (rows,)
        Each row's random number.
    is_revised : bool
        Whether the first rows may be decided anew once the last are: nearer to the counts, but no longer the same under
        an edit that is a little larger.

    Returns
    -------
    array of int
        The rows' values.
    """
    # Of all configurations together those who change are taken away one by one too: an edit a little larger, which adds
    # to their end, then decides nothing else for the first of them.
    leaving = was[pair].sum(axis=0) - np.bincount(code[code >= 0], minlength=now.shape[1])
    missing = [[0.0] * now.shape[1] for _ in now]
    lacking: list[list[float]] = gap.tolist()
    total: list[float] = (gap.sum(axis=0) + leaving).tolist()
    tables: list[list[list[float]]] = [each.tolist() for each in (keep_share(was, now), now, was)]
    keep, shares, gone = tables
    rows: list[list[float]] = gain_share(was, now).tolist()
    gains = [[(value, share) for value, share in enumerate(own) if share] for own in rows]
    below = [[each.tolist() for each in (*i.start, i.cell, i.group, i.asked)] for i in images]

    def score(at: int, here: int, value: int) -> float:
        """How much a value is missing, near by first."""
        return float(missing[at][value] + LACKING * lacking[here][value] + TOTAL * total[value])

    def place(at: int, here: int, value: int, many: int = 1) -> None:
        """Count a row, or take one back, of a pair and a configuration."""
        missing[at][value] -= many
        lacking[here][value] -= many
        total[value] -= many

    codes: list[int] = []
    free: list[tuple[int, int, int, list[int]]] = []
    for turn, (at, here, own, toss) in enumerate(zip(*(x.tolist() for x in (pair, group, code, u)), strict=True)):
        stays = keep[at][own] if own >= 0 else 0.0
        for value, share in enumerate(shares[at]):
            lacking[here][value] += share
            total[value] += share - gone[at][value]
        for value, share in gains[at]:
            missing[at][value] += (1 - stays) * share
        if own >= 0:
            total[own] += 1
            missing[at][own] += stays
        chosen = own
        if stays < 1:
            may = [value for value, _ in gains[at] if value != own] + [own] * (stays > 0)
            scores = [score(at, here, value) for value in may]
            for there, size, cell, groups, asked in below if stays > 0 else ():
                scores[-1] -= BELOW * (there[cell[turn]] - asked[cell[turn]] * size[groups[cell[turn]]])
            upto = list(itertools.accumulate(max(each, 0.0) ** SHARP for each in scores))
            chosen = may[bisect.bisect(upto, toss * upto[-1]) if upto[-1] > 0 else scores.index(max(scores))]
            for there, size, cell, groups, _ in below if chosen != own else ():
                there[cell[turn]] -= 1
                size[groups[cell[turn]]] -= 1
            free.append((turn, at, here, may))
        place(at, here, chosen)
        codes.append(chosen)
    for turn, at, here, may in reversed(free) if is_revised else ():
        best = max(may, key=lambda value: score(at, here, value))
        if score(at, here, best) - score(at, here, codes[turn]) > 1 + LACKING + TOTAL:
            place(at, here, codes[turn], -1)
            place(at, here, best)
            codes[turn] = best
    return np.array(codes, dtype=code.dtype)


def raise_quotas(counts: Counts, held: Counts, may: Mask) -> Counts:
    """Counts that leave room for those who are held, in the same groups and, as far as can be, the same values."""
    raised, total = np.maximum(counts, held), counts.sum(axis=0)
    # What the held take too much is taken from other values of their group,
    for group in np.flatnonzero(raised.sum(axis=1) > counts.sum(axis=1)):
        for _ in range(int(raised[group].sum() - counts[group].sum())):
            beyond = np.where(raised[group] > held[group], raised.sum(axis=0) - total + 1e-3 * raised[group], -np.inf)
            raised[group, int(np.argmax(beyond))] -= 1
    # and made up for in other groups, so that each value keeps its total.
    for _ in range(len(total)):
        gap = raised.sum(axis=0) - total
        over, under = int(np.argmax(gap)), int(np.argmin(gap))
        movable = np.flatnonzero((raised > held)[:, over] & (held < counts).any(axis=1) & may[:, under])
        if gap[over] <= 0 or not len(movable):
            break
        order = np.argsort((raised - counts)[movable, under] - (raised - counts)[movable, over], kind="stable")
        moving = movable[order][: min(int(gap[over]), int(-gap[under]))]
        raised[moving, over] -= 1
        raised[moving, under] += 1
    return raised
