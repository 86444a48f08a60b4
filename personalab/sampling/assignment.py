"""Assignment: who gets which value.

Every row has a *key*, a random number or its level in a randomised orthogonal array (`arrays`), and belongs to a
*group*, the rows that are alike in everything the field depends on. There are two ways to turn keys into values:

- `assign_by_cdf` reads the key as a place in [0, 1) and looks up whose share covers it: each row for itself, so that
  counts come out as chance has it;
- `assign_by_rank` puts the rows of a group in the order of their keys and deals value after value until its quota is
  used up, so that counts are exact. Among random keys every arrangement is equally likely.

Numbers go a third way: `stratify` turns ranks into shares of a distribution, and `quantiles` shares into values.

Sorting a million rows would cost more than everything else: 9 to 19 times what is done here (one ``argsort`` of group,
key and chance in 64 bits), and ``searchsorted`` in `assign_by_cdf` 11 to 16 times; 3 to 21 times at 100,000 rows, and
half or less at 1,000, where either takes a fifth of a millisecond. So neither way looks at a whole key first: its
leading bits name a cell of a table, and where one value owns the whole cell the table gives it at once. Only rows in
cells that a boundary between two values runs through are looked at one by one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, smallest
from personalab.blueprint.moments import Distribution

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Keys = NDArray[np.uint16] | NDArray[np.uint32]

TABLE = 1 << 16  # cells that two bytes name, and that stay in a processor's cache
ROWS_EACH = 16  # rows a cell of the table, about, when ranks decide
SORTED = 1 << 15  # rows whose ranks are all told apart
BINS = 1 << 8  # strata of numbers that are told apart among more rows
FEWEST = 1 << 4  # of them, however many groups there are
KNOTS = 1 << 11  # of a quantile function that is looked up instead of searched
STRAIGHT = 1e-4  # of the range between the outer percentiles, by which a stretch may bend and still count as straight


def stream(seed: int, name: str, chunk: int = 0) -> np.random.Generator:
    """Return a field's own random numbers: a function of seed, name and chunk, so that no field disturbs another."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big"), *([chunk] if chunk else [])])


def random_keys(n: int, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Independent keys of 16 bits; the bits beyond are drawn where they matter."""
    return rng.bit_generator.random_raw(n // 4 + 1).astype("<u8", copy=False).view("<u2")[:n]


def assign_by_cdf(group: Array, key: Array, shares: Floats, rng: np.random.Generator) -> Array:
    """Give each row the value whose share of [0, 1) its key falls into.

    Parameters
    ----------
    group : array of int, shape (rows,)
        Each row's group.
    key : array of uint16 or float, shape (rows,)
        Leading bits of a random number, or a number in [0, 1).
    shares : array of float, shape (groups, values)
        Of each group's values; every row sums to 1.
    rng : numpy.random.Generator
        Draws the bits that a short key lacks.

    Returns
    -------
    array of int, shape (rows,)
        Codes of values.
    """
    groups, values = shares.shape
    bits = _bits(min(max(TABLE, groups << 10), len(key)) // groups)
    ends = np.cumsum(shares, axis=1)
    ends /= ends[:, -1:]
    # A group owns a stretch of length 1 on one line, on which all boundaries lie in order.
    edges = (ends + np.arange(groups)[:, None]).ravel()
    before = np.ceil(edges * (1 << bits)).astype(np.intp)
    cell = _cell(group, key, bits, groups)
    codes = np.take(_table(before, before > edges * (1 << bits), groups << bits, values), cell, mode="clip")
    split = np.flatnonzero(codes < 0)
    place = key[split] if key.dtype.kind == "f" else (key[split] + rng.random(len(split))) / (1 << 16)
    at = group[split].astype(np.intp)
    place += at
    boundary = np.repeat(np.arange(len(edges) + 1, dtype=np.int32), np.diff(before, prepend=0, append=groups << bits))
    passed = boundary[cell[split]]
    while (is_beyond := (passed < len(edges)) & (np.take(edges, passed, mode="clip") <= place)).any():
        passed += is_beyond
    last = (ends < 1.0).sum(axis=1)  # the last value with a share, where rounding led beyond it
    codes[split] = np.minimum(passed - at * values, last[at])
    return codes


def assign_by_rank(group: Array, key: Keys, counts: Counts, rng: np.random.Generator) -> Array:
    """Deal values to the rows of each group in the order of their keys, each as often as its quota says.

    Parameters
    ----------
    group : array of int, shape (rows,)
        Each row's group.
    key : array of uint16 or uint32, shape (rows,)
        What decides the order; equal keys are put in random order.
    counts : array of int, shape (groups, values)
        How many rows of each group get each value; every row sums to the group's size.
    rng : numpy.random.Generator
        Decides between equal keys.

    Returns
    -------
    array of int, shape (rows,)
        Codes of values.
    """
    (groups, values), n = counts.shape, len(key)
    bits = _bits(min(max(TABLE, groups << 10), n // ROWS_EACH) // groups)
    cell = _cell(group, key, bits, groups)
    upto = np.cumsum(np.bincount(cell, minlength=groups << bits))
    start = np.concatenate([[0], upto[:-1]])
    edges = np.cumsum(counts.ravel())  # in ranks over all groups, one group after the other
    before = np.searchsorted(start, edges)
    codes = np.take(_table(before, upto[before - 1] > edges, groups << bits, values), cell, mode="clip")
    split = np.flatnonzero(codes < 0)
    split = split[np.lexsort((rng.random(len(split)), key[split], cell[split]))]
    mine, begin = cell[split], np.arange(len(split))
    is_new = np.concatenate([[True], mine[1:] != mine[:-1]])[: len(split)]
    rank = start[mine] + begin - np.maximum.accumulate(np.where(is_new, begin, 0))
    codes[split] = np.searchsorted(edges, rank, side="right") % values
    return codes


def stratify(group: Array, sizes: Counts, key: Keys, rng: np.random.Generator) -> Floats:
    """Give each row a number in [0, 1), within each group one in every equal stratum, in the order of the keys.

    Among more than `SORTED` rows a group has at most `BINS` strata, with equally many rows in each.
    """
    strata = int(sizes.max(initial=1))
    if len(key) > SORTED:
        strata = min(strata, max(FEWEST, min(BINS, len(key) // (len(sizes) * BINS))))
    strata = min(strata, max(1, TABLE // len(sizes)))
    own = np.minimum(sizes, strata).clip(1)
    # Which strata hold a row more than others is left to chance: were it the last ones, every number would be too high.
    start = rng.integers(own)[:, None]
    upto = ((sizes[:, None] * np.arange(1, strata + 1) + start) // own[:, None]).clip(max=sizes[:, None])
    u = rng.random(len(key))
    u += assign_by_rank(group, key, np.diff(upto, axis=1, prepend=0), rng)
    u *= 1 / strata if (own == strata).all() else (1 / own)[group]
    return np.minimum(u, np.nextafter(1.0, 0.0), out=u)


def quantiles(group: Array, u: Floats, distributions: Sequence[Distribution]) -> Floats:
    """Values below which a share `u` of each row's distribution lies; `distributions` are those of the groups.

    A quantile function is looked up between knots where it is straight, and searched for where it bends or jumps.
    """
    if len(u) < KNOTS * len(distributions):
        return _searched(group, u, distributions)
    grid = np.linspace(0.0, 1.0, 2 * KNOTS + 1)
    tables = np.array([distribution.ppf(grid) for distribution in distributions])
    knots, middles = tables[:, ::2], tables[:, 1::2]
    scale = np.array([np.ptp(distribution.ppf(np.array([0.01, 0.99]))) for distribution in distributions])
    bend = np.abs(middles - (knots[:, :-1] + knots[:, 1:]) / 2)
    is_bent = np.concatenate([bend > STRAIGHT * scale[:, None], np.ones((len(distributions), 1), dtype=bool)], axis=1)
    are_whole = np.array([distribution.is_integer for distribution in distributions])
    if not are_whole.all():
        is_bent[are_whole] = True
    scaled = u * KNOTS
    knot = scaled.astype(np.int32)
    scaled -= knot
    if len(distributions) > 1:
        knot += group.astype(np.int32) * np.int32(KNOTS + 1)
    low = np.take(knots.ravel(), knot, mode="clip")
    x = np.take(knots.ravel()[1:], knot, mode="clip")
    x -= low
    x *= scaled
    x += low
    bent = np.flatnonzero(np.take(is_bent.ravel(), knot, mode="clip"))
    x[bent] = _searched(group[bent], u[bent], distributions)
    return np.rint(x, out=x) if are_whole.all() else x


def _searched(group: Array, u: Floats, distributions: Sequence[Distribution]) -> Floats:
    x = np.empty(len(u))
    for rows, distribution in zip(members(group, len(distributions)), distributions, strict=True):
        x[rows] = distribution.ppf(u[rows])
    return x


def members(group: Array, groups: int) -> list[NDArray[np.intp]]:
    """The rows of each group."""
    order = np.argsort(group.astype(smallest(groups)), kind="stable")
    return np.split(order, np.cumsum(np.bincount(group, minlength=groups))[:-1])


def _bits(cells: int) -> int:
    """How many leading bits of a key make about as many cells."""
    return min(max(cells, 1).bit_length() - 1, 16)


def _cell(group: Array, key: Array, bits: int, groups: int) -> Array:
    """Each row's cell: its group, then the leading bits of its key."""
    kind = np.uint16 if groups << bits <= 1 << 16 else np.int32
    if key.dtype.kind == "f":
        lead = (key * (1 << bits)).astype(kind)
    elif bits:
        lead = (key >> key.dtype.type(8 * key.dtype.itemsize - bits)).astype(kind, copy=False)
    else:
        return group
    if groups == 1:
        return lead
    cell: Array = group.astype(kind)
    np.left_shift(cell, kind(bits), out=cell)
    np.bitwise_or(cell, lead, out=cell)
    return cell


def _table(before: NDArray[np.intp], is_split: NDArray[np.bool_], cells: int, values: int) -> Array:
    """The value that owns each cell, -1 where there are several.

    `before` tells how many cells begin before each boundary, `is_split` whether the boundary falls inside the last of
    these. Values follow one another, those of one group after those of the other.
    """
    owner = np.append(np.tile(np.arange(values), len(before) // values), -1)
    table = np.repeat(owner.astype(smallest(values)), np.diff(before, prepend=0, append=cells))
    table[before[is_split & (before > 0)] - 1] = -1
    return table
