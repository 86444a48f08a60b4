"""Draws: one field, dealt to all rows at once, given the fields before it.

What the field may be, and how often, is worked out once for each situation, or case, of `configurations`, and
only then dealt to the rows, of which there may be a million.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, cast

import numpy as np

from personalab.blueprint import moments, validation
from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.model import Categorical, CategoricalField, NumericField
from personalab.sampling.apportionment import Counts, controlled, fitted, largest_remainder, systematic
from personalab.sampling.assignment import Keys, by_rank, by_share, evenly, members, quantiles
from personalab.sampling.configurations import CROWD, MOST_CELLS, Floats, Mask, Situations, law_of

Method = Literal["balanced", "quota", "iid"]
Rounding = Literal["nearest", "unbiased"]

REDRAWS = 100  # of rows whose number misses a constraint that is no interval, before candidates are listed one by one
CANDIDATES = 2001  # quantiles looked at where a constraint is no interval and redrawing has not met it
CAREFUL = 3000  # cells of a table, above which rounding it cell by cell would take longer than dealing it


@dataclass(frozen=True)
class Choices:
    """What each row may get of a list of values.

    Attributes
    ----------
    case : array of int, shape (rows,)
        Each row's case: rows of one case have one row of `shares`.
    shares : array of float, shape (cases, values)
        Each case's shares of the values.
    is_stuck : array of bool, shape (cases,)
        The cases that the constraints leave no value.
    home : array of int, shape (cases,), optional
        The situation that each case is part of; None where the constraints take nothing from anyone, and cases are
        situations, or for numbers branches.
    """

    case: Array
    shares: Floats
    is_stuck: Mask
    home: Array | None = None


@dataclass(frozen=True)
class Windows:
    """Between which shares of its law each row's number lies, by cases: from `below` on, `width` wide.

    `low` and `high` are the same in numbers, and `end` is what remains where the window has no width.
    """

    case: Array
    below: Floats
    width: Floats
    low: Floats
    high: Floats
    end: Floats


@dataclass(frozen=True)
class Draw(Situations):
    """One field about to be drawn for `n` rows.

    Attributes
    ----------
    bp, field, columns, n, keep
        As for `Situations`.
    method, rounding : str
        As for `personalab.sample`.
    key : array of uint16 or uint32
        Each row's key.
    rng : numpy.random.Generator
        The field's own random numbers.
    quota : array of int, optional
        A root's counts, where they are decided already.
    toward : array of int, shape (situations, values), optional
        Counts that a child's quotas should stay close to where rounding leaves a choice.
    is_hasty : bool
        Whether this is one of many attempts, in which a number that misses a constraint may stay missing.
    """

    method: Method
    rounding: Rounding
    key: Keys
    rng: np.random.Generator
    quota: Counts | None = None
    toward: Counts | None = None
    is_hasty: bool = False

    def column(self) -> tuple[Array, Mask]:
        """The field's codes or numbers, and which rows the constraints leave none (what stands there is no value)."""
        choices, key, rng = self.choices, self.key, self.rng
        if choices is None or (self._is_sparse and self.method != "iid"):
            return self.at_share(self._u)
        if self.method == "iid":
            codes = by_share(choices.case, key, choices.shares, rng)
        elif isinstance(self.field, CategoricalField):
            part, counts = self.quotas(choices)
            codes = by_rank(part, key, counts, rng)
        else:
            sizes = np.bincount(choices.case, minlength=len(choices.shares))
            codes = by_rank(choices.case, key, systematic(sizes[:, None] * choices.shares, rng), rng)
        return self._valued(codes), self._stuck(choices)

    def at_share(self, u: Floats) -> tuple[Array, Mask]:
        """A number for each row, below which a share `u` of what it may be lies; and which rows may be nothing."""
        if self.choices is not None:
            codes = by_share(self.choices.case, u, self.choices.shares, self.rng)
            return self._valued(codes), self._stuck(self.choices)
        x = self._numbers(u)
        stuck = np.isnan(x)
        return (np.where(stuck, 0, x).astype(np.int64) if self.is_whole else x), stuck

    @cached_property
    def choices(self) -> Choices | None:
        """The values that rows may get and their shares; None for numbers that are too many to list."""
        situation, branch, _ = self.found
        if isinstance(self.field, CategoricalField):
            values = np.arange(len(self.field.values))
            asked = self._asked
            at, may, best = branch, asked > 0, asked
            plain = Choices(situation, asked[branch], np.zeros(len(branch), dtype=bool))
        else:
            low, table = self._table
            if table is None:
                return None
            values, laws = np.arange(low, low + table.shape[1]), self.laws
            at, asked = branch, table
            may = np.array([(law.points[0] <= values) & (values <= law.points[-1]) for law in laws])
            # Where what is allowed has no mass that a double can see, the value nearest to the law is all there is.
            best = 1 / (1 + np.abs(values - np.array([law.mean for law in laws])[:, None]))
            plain = Choices(self.branch_of, table, np.zeros(len(table), dtype=bool))
        if not self.keep:
            return plain
        _, view, home = self.views
        of = at[home]
        allowed = view.allowed(values) & may[of]
        if (allowed == may[of]).all():
            return plain
        stuck: Mask = ~np.logical_or.reduce(allowed, axis=1)
        allowed[stuck] = may[of[stuck]]
        left = np.where(allowed, asked[of], 0.0)
        bare = np.flatnonzero(left.sum(axis=1) <= 0)
        left[bare, np.where(allowed, best[of], -1.0)[bare].argmax(axis=1)] = 1.0
        return Choices(self.case, left / left.sum(axis=1, keepdims=True), stuck, home)

    def _stuck(self, choices: Choices) -> Mask:
        return choices.is_stuck[choices.case] if choices.is_stuck.any() else np.zeros(self.n, dtype=bool)

    def _valued(self, codes: Array) -> Array:
        """What stands in the column for places in the list of values."""
        if isinstance(self.field, CategoricalField):
            return codes
        numbers = codes.astype(np.int64)
        numbers += self.least
        return numbers

    def quotas(self, choices: Choices) -> tuple[Array, Counts]:
        """Each row's part, and how many rows of each part get each value."""
        situation, branch, _ = self.found
        asked = self._asked[branch]
        counts = self._counts(asked)
        if choices.home is None:
            return situation, counts
        # Split situations by what their rows may hold, and share each one's quotas out among its parts.
        allowed = choices.shares > 0
        packed = np.packbits(allowed, axis=1)  # whose bytes compare many times faster than as many columns
        pattern = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].reshape(-1)
        axes = [(choices.home, len(branch)), (pattern, int(pattern.max()) + 1)]
        part, first = numbered(axes, len(pattern))
        of, rows = choices.home[first], part[choices.case]
        sizes = np.bincount(rows, minlength=len(first))
        dealt = np.empty((len(first), asked.shape[1]), dtype=np.int64)
        for number, mine in enumerate(members(of, len(branch))):
            if len(mine):
                dealt[mine] = fitted(sizes[mine], counts[number], allowed[first[mine]], asked[number])
        return rows, dealt

    @cached_property
    def _asked(self) -> Floats:
        """Each branch's shares of a categorical field's values, before any constraint."""
        field = cast(CategoricalField, self.field)
        return np.array([shares(field, cast(Categorical, each.distribution)) for each in self.found.branches])

    def _counts(self, asked: Floats) -> Counts:
        """How many rows of each situation get each value, given the situations' shares."""
        situation, branch, found = self.found
        if not self.field.parents:
            return self.quota if self.quota is not None else rounded(asked[0], self.n, self.rounding, self.rng)
        sizes = np.bincount(situation, minlength=len(branch))
        if len(found) == len(branch):
            return _whole(sizes[:, None] * asked, self.rng, self.toward)
        # Every branch as a whole is right, and then every situation in it.
        groups = members(branch, len(found))
        total = np.array([sizes[group].sum() for group in groups])
        toward = None if self.toward is None else np.array([self.toward[group].sum(axis=0) for group in groups])
        whole = _whole(total[:, None] * asked[[group[0] for group in groups]], self.rng, toward)
        counts = np.empty(asked.shape, dtype=np.int64)
        for own, group, size in zip(whole, groups, total, strict=True):
            toward = None if self.toward is None else self.toward[group]
            counts[group] = _whole(sizes[group, None] * own / max(size, 1), self.rng, toward)
        return counts

    def _numbers(self, u: Floats) -> Floats:
        """Quantiles of each row's law, inside its window; nan where there is none."""
        laws, part = self.laws, self.branch_of
        if self.windows is None:
            return quantiles(part, u, laws)
        at, window = self.windows.case, self.windows
        place = u * np.take(window.width, at, mode="clip")
        place += np.take(window.below, at, mode="clip")
        x = quantiles(part, place, laws)
        bare = window.width <= 0
        if bare.any():
            x = np.where(bare[at], window.end[at], x)
        missed = np.flatnonzero(~(self.can_hold(x) | np.isnan(x)))
        if len(missed):  # by rounding, or because a constraint is no interval
            low, high = window.low[at[missed]], window.high[at[missed]]
            x[missed] = np.clip(x[missed], low, high)
            rows = self.of(missed)
            again = np.flatnonzero(~rows.can_hold(x[missed]))
            if len(again):
                fresh = np.nan if self.is_hasty else rows.of(again)._redrawn(low[again], high[again])
                x[missed[again]] = fresh
        return x

    @cached_property
    def windows(self) -> Windows | None:
        """What linear constraints leave of each case's law; None where nothing has to be kept."""
        if not self.keep:
            return None
        _, view, home = self.views
        _, branch, found = self.found
        low, high = view.bounds()
        below, width, end = np.zeros(view.n), np.zeros(view.n), np.zeros(view.n)
        for each, rows in zip(found, members(branch[home], len(found)), strict=True):
            law = law_of(each)
            low[rows], high[rows] = law.reach(low[rows], high[rows])
            below[rows], upto, end[rows] = law.window(low[rows], high[rows])
            width[rows] = upto - below[rows]
        return Windows(self.case, below, width, low, high, end)

    @property
    def _is_sparse(self) -> bool:
        """Whether a number's choices are too many for quotas of their own, and evenly spaced quantiles serve it better.

        Rounding each number's quota for itself moves the mean, which only many people can even out.
        """
        choices = self.choices
        if choices is None or not isinstance(self.field, NumericField):
            return False
        # Under constraints a case is what quantiles would be spaced within, and is what has to be large.
        return CROWD * (choices.shares.size if choices.home is None else len(choices.shares)) > self.n

    @cached_property
    def _u(self) -> Floats:
        """For each row the share of its law that lies below its value: even in each branch, or independent."""
        if self.method == "iid":
            return self.rng.random(self.n)
        return evenly(
            self.branch_of, np.bincount(self.branch_of, minlength=len(self.found.branches)), self.key, self.rng
        )

    @cached_property
    def _table(self) -> tuple[int, Floats | None]:
        """The least whole number and each branch's shares from there on; no shares where a table would not do."""
        branch, laws = self.found.branch, self.laws
        if not laws or not all(law.is_discrete and law.is_integer for law in laws):
            return 0, None
        low, high = min(law.points[0] for law in laws), max(law.points[-1] for law in laws)
        rows = len(self.views.home) if self.keep else len(branch)
        if (high - low + 1) * rows > MOST_CELLS:
            return 0, None
        shares = np.zeros((len(laws), int(high - low) + 1))
        for row, law in zip(shares, laws, strict=True):
            row[(law.points - low).astype(np.intp)] = np.diff(law.cumulative, prepend=0.0)
        return int(low), shares

    @property
    def laws(self) -> list[moments.Law]:
        """The laws of a numeric field's branches."""
        return [law_of(each) for each in self.found.branches]

    @property
    def least(self) -> int:
        """The number that the first of the choices stands for."""
        return self._table[0]

    @property
    def is_whole(self) -> bool:
        """Whether the field holds whole numbers."""
        return isinstance(self.field, NumericField) and self.field.is_integer

    def _between(self, u: Floats, low: Floats, high: Floats) -> Floats:
        """Values below which a share `u` of each row's law between its bounds lies; nan where nothing is between."""
        found = self.found.branches
        x = np.empty(self.n)
        for each, rows in zip(found, members(self.branch_of, len(found)), strict=True):
            x[rows] = law_of(each).between(u[rows], low[rows], high[rows])
        return x

    def _redrawn(self, low: Floats, high: Floats) -> Floats:
        """Values where constraints are no intervals: fresh draws until one fits, then one of a list, then nan."""
        x = np.full(self.n, np.nan)
        for _ in range(REDRAWS):
            fresh = self._between(self.rng.random(self.n), low, high)
            x = np.where(np.isnan(x) & self.can_hold(fresh), fresh, x)
            if not np.isnan(x).any():
                return x
        for row in np.flatnonzero(np.isnan(x)):
            x[row] = self._candidate(int(row), low[row], high[row])
        return x

    def _candidate(self, row: int, low: float, high: float) -> float:
        """One of a row's values that fit, listed from end to end."""
        law, u = law_of(self.found.branches[self.branch_of[row]]), (np.arange(CANDIDATES) + 0.5) / CANDIDATES
        grid = law.points if law.is_discrete else law.between(u, np.full_like(u, low), np.full_like(u, high))
        fits = self.of(np.full(len(grid), row)).can_hold(grid) & (grid >= low) & (grid <= high)
        mass = np.diff(law.cumulative, prepend=0.0) * fits if law.is_discrete else fits.astype(float)
        if mass.sum() > 0:
            return float(self.rng.choice(grid, p=mass / mass.sum()))
        return float(grid[np.argmax(fits)]) if fits.any() else float("nan")


def rounded(shares: Floats, n: int, rounding: Rounding, rng: np.random.Generator) -> Counts:
    """A root's counts, shape (1, values): the nearest there are, or right on average."""
    if rounding == "nearest":
        return largest_remainder(shares, n, rng)[None, :]
    return systematic(n * shares[None, :], rng)


def shares(field: CategoricalField, table: Categorical) -> Floats:
    """The requested share of every value of a field, in the field's order, summing to 1."""
    weights = np.array([table.weights.get(value, 0) for value in field.values], dtype=float)
    total = math.fsum(weights)
    return weights if abs(total - 1) <= validation.EXACT else weights / total


def _whole(expected: Floats, rng: np.random.Generator, toward: Counts | None) -> Counts:
    """Whole counts for a table with both margins held; the columns' nearly, where the table is large."""
    if expected.size <= CAREFUL:
        return controlled(expected, rng, toward)
    return systematic(expected, rng, controlled(expected.sum(axis=0)[None, :], rng)[0])
