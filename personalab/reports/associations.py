"""Associations: whether fields go together that the blueprint calls independent.

In a Bayesian network a field is independent of every field before it, once its parents are known (the local Markov
property). So the two fields of each pair without an arrow between them are crossed in strata, people whose later field
has the same conditional distribution, and the table is compared with the one that independent fields of the same
margins have. A field that constraints bind is compared in strata of the other fields they speak of, too; pairs that a
constraint ties together are left out. Numbers are cut at their quartiles.

Cramér's V says how strongly, in [0, 1]; it is above 0 for independent fields too. Whether it is more than chance is
judged by the share of people who would have to change (TVD), whose mean and standard deviation under independence are
known, and in which, other than in χ², a single person in a rare cell counts as one person.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, Columns, numbered
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.reports.values import Association

Floats = NDArray[np.float64]

BEYOND = 6  # standard deviations above the mean, where chance no longer comes among thousands of pairs
PAIRS = 3_000  # pairs that are looked at, at most
WORK = 30_000_000  # rows that are counted, over all pairs
CELLS = 1_000_000  # of all strata's tables of a pair
LEVELS = 50  # values of a field that are told apart; the rarer ones count as one
QUARTERS = (0.25, 0.5, 0.75)
LISTED = 20  # pairs that are kept, those furthest beyond chance


def associations(
    bp: Blueprint, people: Columns, drawn: Mapping[str, Array], tied: Mapping[str, frozenset[str]]
) -> tuple[list[Association], str]:
    """Cross the pairs of fields that should be independent.

    Parameters
    ----------
    bp : Blueprint
        Says what depends on what.
    people : mapping of str to array
        Codes and numbers of the fields that are there.
    drawn : mapping of str to array
        For each field the number of the conditional distribution that each row was drawn from.
    tied : mapping of str to set of str
        The fields that each binding constraint speaks of.

    Returns
    -------
    list of Association, str
        At most twenty pairs, the one furthest beyond chance first; and what was left out, empty where nothing was.
    """
    names = [name for name in bp.order if name in drawn]
    pairs = [pair for pair in itertools.combinations(names, 2) if _is_free(bp, *pair, tied)]
    all_, told = len(pairs), ""
    if all_ > PAIRS:
        pairs = [pairs[i] for i in np.random.default_rng(0).choice(all_, PAIRS, replace=False)]
        told = f"{all_:,} pairs of fields should be independent, and {PAIRS:,} of them, by chance, were looked at"
    size = len(next(iter(people.values())))
    rows = slice(None, None, -(-size * max(1, len(pairs)) // WORK))
    cut = {name: _cut(bp[name], people[name][rows]) for name in names}  # type: ignore[arg-type]  # these are sampled
    found = []
    for earlier, later in pairs:
        bound = {other for each in tied.values() if later in each for other in each if other != later and other in cut}
        strata = [(drawn[later][rows], int(drawn[later].max()) + 1), *(_levels(cut[name]) for name in bound)]
        of = _crossed((earlier, later), bp[later].parents, numbered(strata, len(cut[later]))[0], cut)
        found += [of] if of else []
    return sorted(found, key=lambda each: each.by_chance - each.cramers_v - each.is_beyond_chance)[:LISTED], told


def _is_free(bp: Blueprint, earlier: str, later: str, tied: Mapping[str, frozenset[str]]) -> bool:
    """Whether nothing says that one of two fields has to do with the other but through others."""
    return earlier not in bp[later].parents and not any({earlier, later} <= fields for fields in tied.values())


def _cut(field: SampledField, column: Array) -> Array:
    """A column's codes, at most so many: rare values in one, numbers in quarters."""
    if isinstance(field, CategoricalField):
        return _lumped(column.astype(np.intp), LEVELS)
    return np.searchsorted(np.unique(np.quantile(column, QUARTERS)), column)


def _lumped(codes: Array, most: int) -> Array:
    """The same codes, and where there are too many without gaps, the commonest first, all beyond as one."""
    if codes.max() < most:
        return codes
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.intp)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.asarray(np.minimum(rank[codes], most - 1))


def _levels(codes: Array) -> tuple[Array, int]:
    return codes, int(codes.max()) + 1


def _crossed(
    pair: tuple[str, str], given: tuple[str, ...], stratum: Array, cut: Mapping[str, Array]
) -> Association | None:
    """How strongly two fields go together within strata; None where in none of them both vary."""
    strata = int(stratum.max()) + 1
    most = max(2, int((CELLS / strata) ** 0.5))
    (a, rows), (b, columns) = (_levels(_lumped(cut[name], most)) for name in pair)
    at = (stratum.astype(np.int64) * rows + a) * columns + b
    table = np.bincount(at, minlength=strata * rows * columns).reshape(strata, rows, columns).astype(float)
    n = table.sum(axis=(1, 2), keepdims=True)
    table, n = table[n[:, 0, 0] > 1], n[n[:, 0, 0] > 1]
    across, down = table.sum(axis=2, keepdims=True), table.sum(axis=1, keepdims=True)
    free_rows, free_columns = (across > 0).sum(axis=1) - 1, (down > 0).sum(axis=2) - 1
    weight = float((n[:, 0] * np.minimum(free_rows, free_columns)).sum())
    if not weight:
        return None
    even = across * down / n
    chi2 = float(((table - even) ** 2 / np.where(even > 0, even, 1)).sum())
    by_chance = float((free_rows * free_columns * n[:, 0] / (n[:, 0] - 1)).sum())
    variance = even * (1 - across / n) * (1 - down / n) * n / (n - 1)
    usual = _deviation(even, variance)
    people, off = float(n.sum()), float(np.abs(table - even).sum())
    spread = float((variance - usual**2).clip(0).sum()) ** 0.5
    return Association(
        fields=pair,
        cramers_v=min(1.0, (chi2 / weight) ** 0.5),
        by_chance=(by_chance / weight) ** 0.5,
        given=given,
        distance=off / 2 / people,
        distance_by_chance=float(usual.sum()) / 2 / people,
        is_beyond_chance=off > float(usual.sum()) + BEYOND * spread,
    )


def _deviation(mean: Floats, variance: Floats) -> Floats:
    """The mean absolute deviation of counts: a Poisson's, 2 μᵏ⁺¹ e⁻ᵘ / k! with k = ⌊μ⌋, scaled to the variance."""
    from scipy.special import gammaln, xlogy

    k = np.floor(mean)
    poisson = 2 * np.exp(xlogy(k + 1, mean) - mean - gammaln(k + 1))
    return np.asarray(poisson * np.sqrt(variance / np.where(mean > 0, mean, 1)))
