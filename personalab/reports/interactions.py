"""Interactions: whether any three unrelated roots go together in a way that no two of them show.

Pairs can be as even as the blueprint asks while a third field follows from two others: a grid drawn with too regular
numbers does that, and no table of pairs tells. The part of a triple's table that belongs to all three at once and to
no two of them (Lancaster 1951) is compared with χ². Values are pooled first, neighbours with neighbours, until five
people are expected in every cell; below 40 people nothing can be told. Of very many triples some are drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Columns
from personalab.blueprint.model import Blueprint
from personalab.reports.values import Interaction

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]

EXPECTED = 5  # people at least in every cell of a triple (Cochran 1954)
LEAST = 1 / 4  # share of the people that a pool need not exceed, so that a field has at most four
MOST = 1000  # triples that are looked at
MOST_ROWS = 20_000_000  # rows counted for all triples together


def worst_triple(bp: Blueprint, people: Columns, tied: Collection[frozenset[str]]) -> Interaction | None:
    """The triple of unrelated roots that goes together most, of those that can be tested.

    Parameters
    ----------
    bp : Blueprint
        What says which fields are unrelated: roots that no constraint, and no constraint on descendants, ties.
    people : mapping of str to array
        Codes of categories, and numbers.
    tied : collection of frozenset of str
        The fields of each constraint that can bind.

    Returns
    -------
    Interaction or None
        None where no triple can be tested.
    """
    roots = [field.name for field in bp.sampled if not field.parents and field.name in people]
    n = len(people[roots[0]]) if roots else 0
    pooled = {name: _pooled(people[name]) for name in roots} if n >= EXPECTED * 2**3 else {}
    contrasts = {name: _contrasts(codes) for name, codes in pooled.items() if codes.any()}
    wholes = [frozenset(root for name in fields for root in _roots(bp, name)) for fields in tied]
    found = [
        (_chi2(three, pooled, contrasts), three)
        for three in _triples(list(contrasts), max(1, min(MOST, MOST_ROWS // max(n, 1))))
        if not any(len(whole.intersection(three)) > 1 for whole in wholes)
    ]
    if not found:
        return None
    (p, ratio), fields = min(found)
    return Interaction(fields, ratio, min(1.0, p * len(found)), len(found))


def _triples(names: list[str], most: int) -> list[tuple[str, str, str]]:
    """All triples of names, or as many of them as there may be."""
    if math.comb(len(names), 3) <= most:
        return list(itertools.combinations(names, 3))
    rng = np.random.default_rng(0)
    drawn = {tuple(sorted(rng.choice(len(names), 3, replace=False).tolist())) for _ in range(most)}
    return [(names[a], names[b], names[c]) for a, b, c in sorted(drawn)]


def _roots(bp: Blueprint, name: str) -> set[str]:
    """The roots that a field descends from, itself where it is one."""
    found, open_ = set[str](), {name}
    while open_:
        each = open_.pop()
        found.add(each)
        open_ |= set(bp[each].parents) - found
    return {each for each in found if not bp[each].parents}


def _pooled(column: NDArray[np.generic]) -> Codes:
    """A column's values in order, neighbours pooled until each pool is large enough for any triple."""
    _, where, counts = np.unique(column, return_inverse=True, return_counts=True)
    upto = np.cumsum(counts) / len(column)
    least = max(LEAST, (EXPECTED / len(column)) ** (1 / 3)) - 1e-9
    ends, reached = list[int](), 0.0
    while (end := int(np.searchsorted(upto, reached + least))) < len(upto) and 1 - upto[end] >= least:
        ends.append(end)
        reached = float(upto[end])
    return np.asarray(np.searchsorted(ends, np.arange(len(upto)))[where.reshape(-1)])


def _contrasts(codes: Codes) -> Floats:
    """Functions of the pools with mean 0, sd 1 and no correlation, a column each."""
    shares = np.bincount(codes) / len(codes)
    root = np.sqrt(shares)[:, None]
    return np.asarray(np.linalg.qr(np.hstack([root, np.eye(len(shares))[:, 1:]]))[0][:, 1:] / root)


def _chi2(three: tuple[str, str, str], pooled: dict[str, Codes], contrasts: dict[str, Floats]) -> tuple[float, float]:
    """The p-value of what three fields share that no two do, and its χ² over its degrees of freedom."""
    from scipy.special import chdtrc

    a, b, c = (contrasts[name] for name in three)
    sizes = (len(a), len(b), len(c))
    cells = np.ravel_multi_index(tuple(pooled[name] for name in three), sizes)
    table = np.bincount(cells, minlength=math.prod(sizes)).reshape(sizes)
    shared = np.einsum("xyz,xi,yj,zk->ijk", table, a, b, c, optimize=True)
    chi2 = float((shared**2).sum()) / len(cells)
    return float(chdtrc(shared.size, chi2)), chi2 / shared.size
