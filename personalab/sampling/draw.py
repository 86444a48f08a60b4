"""Drawing one field for all rows at once, given the fields before it.

`Strata` says what the field may be, and how often, in each stratum. Here that becomes a column: counts are decided
first (`apportion`), and then who gets what (`draw`); or each row is drawn for itself (`draw_independently`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.model import CategoricalField
from personalab.sampling.apportionment import Counts, fit_margins, largest_remainder, round_rows, round_table
from personalab.sampling.assignment import Floats, Keys, assign_by_cdf, assign_by_rank, members, stratify
from personalab.sampling.configurations import CROWDED
from personalab.sampling.restrictions import Mask
from personalab.sampling.strata import Choices, Strata

Method = Literal["balanced", "quota", "iid"]
Rounding = Literal["nearest", "unbiased"]

CAREFUL = 3000  # cells of a table, above which rounding it cell by cell would take longer than dealing it


def draw(
    strata: Strata,
    method: Method,
    rounding: Rounding,
    key: Keys,
    rng: np.random.Generator,
    quota: Counts | None = None,
) -> tuple[Array, Mask]:
    """Draw a field's column.

    Parameters
    ----------
    strata : Strata
        What the field may be.
    method, rounding : str
        As for `personalab.sample`.
    key : array of uint16 or uint32, shape (rows,)
        Each row's key.
    rng : numpy.random.Generator
        The field's own random numbers.
    quota : array of int, shape (1, values), optional
        A root's counts, where they are decided already.

    Returns
    -------
    array, array of bool
        The field's codes or numbers, and which rows the constraints leave none (what stands there is no value).
    """
    if method == "iid":
        return draw_independently(strata, key, rng)
    choices = strata.choices
    if choices is None or (not isinstance(strata.field, CategoricalField) and _is_sparse(choices, strata.n)):
        sizes = np.bincount(strata.conditional, minlength=len(strata.conditionals))
        return strata.invert_cdf(stratify(strata.conditional, sizes, key, rng), rng)
    if isinstance(strata.field, CategoricalField):
        group, counts = apportion(strata, rng, rounding=rounding, quota=quota)
    else:
        group, sizes = choices.stratum, np.bincount(choices.stratum, minlength=len(choices.shares))
        counts = round_rows(sizes[:, None] * choices.shares, rng)
    return strata.to_values(assign_by_rank(group, key, counts, rng)), strata.find_stuck()


def draw_independently(
    strata: Strata, key: Keys, rng: np.random.Generator, *, is_hasty: bool = False
) -> tuple[Array, Mask]:
    """Draw every row for itself; as `draw`, and where `is_hasty` a number that misses a constraint is none."""
    choices = strata.choices
    if choices is None:
        return strata.invert_cdf(rng.random(strata.n), rng, is_hasty=is_hasty)
    return strata.to_values(assign_by_cdf(choices.stratum, key, choices.shares, rng)), strata.find_stuck()


def apportion(
    strata: Strata,
    rng: np.random.Generator,
    *,
    rounding: Rounding = "nearest",
    quota: Counts | None = None,
) -> tuple[Array, Counts]:
    """Decide how many rows get each value of a categorical field.

    Parameters
    ----------
    strata : Strata
        What the field may be.
    rng : numpy.random.Generator
        The source of chance.
    rounding : {"nearest", "unbiased"}
        As for `draw`: of a root.
    quota : array of int, optional
        As for `draw`: of a root.

    Returns
    -------
    array of int, shape (rows,), array of int, shape (groups, values)
        Each row's group, and how many rows of each group get each value.
    """
    choices, stated = strata.choices, strata.stated[strata.found.number]
    if strata.field.parents:
        counts = _child_counts(strata, stated, rng)
    else:
        counts = quota if quota is not None else rounded(stated[0], strata.n, rounding, rng)
    if choices is None or choices.configuration is None:
        return strata.configuration, counts
    # Split configurations by what their rows may hold, and share each one's quotas out among its groups.
    allowed, home, many = choices.shares > 0, choices.configuration, strata.configurations
    packed = np.packbits(allowed, axis=1)  # whose bytes compare many times faster than as many columns
    pattern = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].reshape(-1)
    group, first = numbered([(home, many), (pattern, int(pattern.max()) + 1)], len(pattern))
    rows = group[choices.stratum]
    sizes = np.bincount(rows, minlength=len(first))
    split = np.empty((len(first), stated.shape[1]), dtype=np.int64)
    for number, own in enumerate(members(home[first], many)):
        if len(own):
            split[own] = fit_margins(sizes[own], counts[number], allowed[first[own]], stated[number])
    return rows, split


def _child_counts(strata: Strata, stated: Floats, rng: np.random.Generator) -> Counts:
    """How many rows of each parent configuration get each value, given the configurations' shares."""
    number, many = strata.found.number, len(strata.conditionals)
    sizes = np.bincount(strata.configuration, minlength=len(number))
    if many == len(number):
        return _whole(sizes[:, None] * stated, rng)
    # Every conditional distribution as a whole is right, and then every configuration in which it holds.
    groups = members(number, many)
    total = np.array([sizes[group].sum() for group in groups])
    whole = _whole(total[:, None] * stated[[group[0] for group in groups]], rng)
    counts = np.empty(stated.shape, dtype=np.int64)
    for own, group, size in zip(whole, groups, total, strict=True):
        counts[group] = _whole(sizes[group, None] * own / max(size, 1), rng)
    return counts


def _is_sparse(choices: Choices, n: int) -> bool:
    """Whether whole numbers are too many for quotas of their own, and evenly spaced quantiles serve them better.

    Rounding each number's quota for itself moves the mean, which only many people can even out. Under constraints a
    stratum is what quantiles would be spaced within, and is what has to be large.
    """
    return CROWDED * (choices.shares.size if choices.configuration is None else len(choices.shares)) > n


def rounded(shares: Floats, n: int, rounding: Rounding, rng: np.random.Generator) -> Counts:
    """A root's counts, shape (1, values): the nearest there are, or right on average."""
    if rounding == "nearest":
        return largest_remainder(shares, n, rng)[None, :]
    return round_rows(n * shares[None, :], rng)


def _whole(expected: Floats, rng: np.random.Generator) -> Counts:
    """Whole counts for a table with both margins held; the columns' nearly, where the table is large."""
    if expected.size <= CAREFUL:
        return round_table(expected, rng)
    return round_rows(expected, rng, round_table(expected.sum(axis=0)[None, :], rng)[0])
