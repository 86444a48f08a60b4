"""How close a drawn frame is to its blueprint, recomputed from the frame alone.

Nothing here uses what the sampler or the report of `personalab` compute, so that a mistake there cannot hide itself.
Distances are total variation distances (TVD), half the sum of the absolute differences of shares. The limit of a
distance is what the nearest whole counts reach, those of the largest remainder.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab import Blueprint
from personalab.blueprint.model import CategoricalField

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

TIE = 9  # decimals in which remainders are compared, so that equal ones are equal


class Pair(NamedTuple):
    """A distance, and what to compare it with."""

    distance: float
    yardstick: float


def tvd(counts: Counts, shares: Floats) -> float:
    """The distance of counts from shares, in [0, 1]."""
    return float(np.abs(counts / counts.sum() - shares).sum() / 2)


def limit(shares: Floats, n: int) -> float:
    """The least distance from the shares that any `n` people can have."""
    expected = n * shares / shares.sum()
    counts = np.floor(np.round(expected, TIE)).astype(np.int64)
    counts[np.argsort(counts - expected, kind="stable")[: n - counts.sum()]] += 1
    return tvd(counts, shares)


def shares(column: pd.Series, weights: dict[str, float]) -> Floats:
    """Weights in the order of a column's categories, summing to 1."""
    table = np.array([weights.get(value, 0.0) for value in column.cat.categories], dtype=float)
    return np.asarray(table / table.sum())


def counted(column: pd.Series) -> Counts:
    """How many people have each category."""
    return np.bincount(column.cat.codes, minlength=len(column.cat.categories))


def roots(bp: Blueprint) -> list[CategoricalField]:
    """The categorical fields without parents."""
    return [field for field in bp.fields if isinstance(field, CategoricalField) and not field.parents]


def children(bp: Blueprint) -> list[CategoricalField]:
    """The categorical fields with parents; here each states weights for every combination of their values."""
    return [field for field in bp.fields if isinstance(field, CategoricalField) and field.parents]


def root_excess(bp: Blueprint, counts: dict[str, Counts], columns: pd.DataFrame) -> float:
    """By how much the worst root misses its limit, from its counts and any frame with the same categories."""
    tables = {field.name: shares(columns[field.name], field.base.weights) for field in roots(bp) if field.base}
    return max(tvd(counts[name], table) - limit(table, int(counts[name].sum())) for name, table in tables.items())


def edges(bp: Blueprint, frame: pd.DataFrame) -> Iterator[tuple[Pair, Pair]]:
    """For each child its conditional distance, weighted by group sizes, and that of its margin, with their limits.

    The margin is compared with the one that the groups imply which the frame holds.
    """
    for field in children(bp):
        column = frame[field.name]
        tables: dict[tuple[Hashable, ...], dict[str, float]] = {
            tuple(rule.when[name] for name in field.parents): rule.categorical.weights for rule in field.conditionals
        }
        groups = column.groupby([frame[name] for name in field.parents], observed=True)
        achieved = least = 0.0
        implied = np.zeros(len(column.cat.categories))
        for cell, group in groups:
            table, share = shares(column, tables[cell]), len(group) / len(frame)
            achieved += share * tvd(counted(group), table)
            least += share * limit(table, len(group))
            implied += share * table
        yield Pair(achieved, least), Pair(tvd(counted(column), implied), limit(implied, len(frame)))


def pairs(bp: Blueprint, frame: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple[Pair, float]]:
    """For each pair of roots its distance from independence beside that of a chance draw, and its χ² / df.

    χ² compares with the frame's own margins; a value that nobody has counts for no degree of freedom.
    """
    for a, b in itertools.combinations(roots(bp), 2):
        if a.base is None or b.base is None:
            continue
        columns = frame[a.name], frame[b.name]
        product = np.outer(shares(columns[0], a.base.weights), shares(columns[1], b.base.weights)).ravel()
        cells = columns[0].cat.codes.to_numpy(int) * len(columns[1].cat.categories) + columns[1].cat.codes.to_numpy()
        met = np.bincount(cells, minlength=product.size)
        chance = rng.multinomial(len(frame), product / product.sum())
        yield (
            Pair(tvd(met, product), tvd(chance, product)),
            chi2_per_df(met.reshape(-1, len(columns[1].cat.categories))),
        )


def chi2_per_df(met: Counts) -> float:
    """Pearson's χ² of a two-way table over its degrees of freedom, about 1 for independent draws."""
    met = met[met.any(axis=1)][:, met.any(axis=0)]
    expected = np.outer(met.sum(axis=1), met.sum(axis=0)) / met.sum()
    df = (met.shape[0] - 1) * (met.shape[1] - 1)
    return float(((met - expected) ** 2 / expected).sum() / df) if df else float("nan")
