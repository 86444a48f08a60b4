"""Strata: what one field's conditional distribution is in each stratum, constraints included.

Nothing is drawn here. `Strata` says, given the fields drawn before, which values each row may get and how often: for a
list of values by their shares (`choices`), for numbers too many to list by the window that constraints leave of a
solved distribution (`windows`). Drawing, updating and reports all ask it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from personalab.blueprint import intervals, moments
from personalab.blueprint.conditionals import find_distributions, values_at
from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.intervals import Categories, Interval
from personalab.blueprint.model import Categorical, CategoricalField, Numeric, NumericField, SampledField
from personalab.errors import BlueprintError
from personalab.sampling.assignment import Floats, assign_by_cdf, members, quantiles
from personalab.sampling.configurations import Configurations
from personalab.sampling.restrictions import Mask, as_interval, sampled

MOST_CELLS = 1 << 20  # of strata and values that are laid out as a table
REDRAWS = 100  # of rows whose number misses a constraint that is no interval, before candidates are listed one by one
CANDIDATES = 2001  # quantiles looked at where a constraint is no interval and redrawing has not met it


@dataclass(frozen=True)
class Choices:
    """What each row may get of a list of values.

    Attributes
    ----------
    stratum : array of int, shape (rows,)
        Each row's stratum: rows of one stratum have one row of `shares`.
    shares : array of float, shape (strata, values)
        Each stratum's shares of the values.
    is_stuck : array of bool, shape (strata,)
        The strata that the constraints leave no value.
    configuration : array of int, shape (strata,), optional
        The parent configuration that each stratum is part of; None where the constraints take nothing from anyone, and
        strata are configurations, or for numbers their distinct distributions.
    """

    stratum: Array
    shares: Floats
    is_stuck: Mask
    configuration: Array | None = None


@dataclass(frozen=True)
class Windows:
    """Between which shares of its distribution each row's number lies, by strata: from `below` on, `width` wide.

    `low` and `high` are the same in numbers, and `end` is what remains where the window has no width.
    """

    stratum: Array
    below: Floats
    width: Floats
    low: Floats
    high: Floats
    end: Floats


class Strata(Configurations):
    """What one field's conditional distributions are, stratum by stratum; made like `Configurations`."""

    @cached_property
    def choices(self) -> Choices | None:
        """The values that rows may get and their shares; None for numbers that are too many to list."""
        _, number, _ = self.found
        if isinstance(self.field, CategoricalField):
            values = np.arange(len(self.field.values))
            at, may, best, stated = number, self.stated > 0, self.stated, self.stated
            plain = Choices(self.configuration, stated[number], np.zeros(len(number), dtype=bool))
        else:
            table = self._table[1]
            if table is None:
                return None
            values, found = np.arange(self.least, self.least + table.shape[1]), self.distributions
            at, stated = number, table
            may = np.array([(each.points[0] <= values) & (values <= each.points[-1]) for each in found])
            # Where what is allowed has no mass that a double can see, the value nearest to the mean is all there is.
            best = 1 / (1 + np.abs(values - np.array([each.mean for each in found])[:, None]))
            plain = Choices(self.conditional, table, np.zeros(len(table), dtype=bool))
        if not self.restrictions:
            return plain
        _, rows, home = self.layout
        of = at[home]
        allowed = cast(Strata, rows).allowed(values) & may[of]
        if (allowed == may[of]).all():
            return plain
        stuck: Mask = ~np.logical_or.reduce(allowed, axis=1)
        allowed[stuck] = may[of[stuck]]
        left = np.where(allowed, stated[of], 0.0)
        bare = np.flatnonzero(left.sum(axis=1) <= 0)
        left[bare, np.where(allowed, best[of], -1.0)[bare].argmax(axis=1)] = 1.0
        return Choices(self.stratum, left / left.sum(axis=1, keepdims=True), stuck, home)

    @cached_property
    def windows(self) -> Windows | None:
        """What linear constraints leave of each stratum's distribution; None where nothing has to be kept."""
        if not self.restrictions:
            return None
        _, rows, home = self.layout
        low, high = cast(Strata, rows).bounds()
        below, width, end = np.zeros(rows.n), np.zeros(rows.n), np.zeros(rows.n)
        for each, own in zip(self.distributions, members(self.found.number[home], len(self.conditionals)), strict=True):
            low[own], high[own] = each.reach(low[own], high[own])
            below[own], upto, end[own] = each.window(low[own], high[own])
            width[own] = upto - below[own]
        return Windows(self.stratum, below, width, low, high, end)

    @cached_property
    def stated(self) -> Floats:
        """Each conditional distribution's shares of a categorical field's values, before any constraint."""
        field = cast(CategoricalField, self.field)
        return np.array([field.shares(cast(Categorical, each.distribution)) for each in self.conditionals])

    @cached_property
    def distributions(self) -> list[moments.Distribution]:
        """Each conditional distribution of a numeric field, solved, before any constraint."""
        return [moments.solve(cast(Numeric, each.distribution)) for each in self.conditionals]

    @property
    def least(self) -> int:
        """The number that the first of the choices stands for."""
        return self._table[0]

    @cached_property
    def _table(self) -> tuple[int, Floats | None]:
        """The least whole number and each distribution's shares from there on; no shares where a table is too large."""
        found = self.distributions
        if not found or not all(each.is_discrete and each.is_integer for each in found):
            return 0, None
        low, high = min(each.points[0] for each in found), max(each.points[-1] for each in found)
        rows = len(self.layout.configuration) if self.restrictions else self.configurations
        if (high - low + 1) * rows > MOST_CELLS:
            return 0, None
        shares = np.zeros((len(found), int(high) - int(low) + 1))
        for row, each in zip(shares, found, strict=True):
            row[(each.points - low).astype(np.intp)] = np.diff(each.cumulative, prepend=0.0)
        return int(low), shares

    def find_stuck(self) -> Mask:
        """The rows that the constraints leave none of the choices."""
        if self.choices is None or not self.choices.is_stuck.any():
            return np.zeros(self.n, dtype=bool)
        return self.choices.is_stuck[self.choices.stratum]

    def to_values(self, codes: Array) -> Array:
        """What stands in the column for places in the list of values."""
        if isinstance(self.field, CategoricalField):
            return codes
        numbers = codes.astype(np.int64)
        numbers += self.least
        return numbers

    def invert_cdf(self, u: Floats, rng: np.random.Generator, *, is_hasty: bool = False) -> tuple[Array, Mask]:
        """The value below which a share `u` of each row's distribution lies; and which rows may have none.

        `rng` draws again what misses a constraint that is no interval; where `is_hasty` it stays missing.
        """
        if self.choices is not None:
            return self.to_values(assign_by_cdf(self.choices.stratum, u, self.choices.shares, rng)), self.find_stuck()
        x = self._quantiles(u, rng, is_hasty)
        stuck = np.isnan(x)
        return (np.where(stuck, 0, x).astype(np.int64) if cast(NumericField, self.field).is_integer else x), stuck

    def _quantiles(self, u: Floats, rng: np.random.Generator, is_hasty: bool) -> Floats:
        """Quantiles of each row's distribution, inside its window; nan where there is none."""
        if self.windows is None:
            return quantiles(self.conditional, u, self.distributions)
        at, window = self.windows.stratum, self.windows
        inside = u * np.take(window.width, at, mode="clip")
        inside += np.take(window.below, at, mode="clip")
        x = quantiles(self.conditional, inside, self.distributions)
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
                x[missed[again]] = np.nan if is_hasty else rows.of(again)._redraw(low[again], high[again], rng)
        return x

    def _redraw(self, low: Floats, high: Floats, rng: np.random.Generator) -> Floats:
        """Values where constraints are no intervals: fresh draws until one fits, then one of a list, then nan."""
        x, found = np.full(self.n, np.nan), members(self.conditional, len(self.conditionals))
        for _ in range(REDRAWS):
            u, fresh = rng.random(self.n), np.empty(self.n)
            for each, rows in zip(self.distributions, found, strict=True):
                fresh[rows] = each.between(u[rows], low[rows], high[rows])
            x = np.where(np.isnan(x) & self.can_hold(fresh), fresh, x)
            if not np.isnan(x).any():
                return x
        for row in np.flatnonzero(np.isnan(x)):
            x[row] = self._pick(int(row), low[row], high[row], rng)
        return x

    def _pick(self, row: int, low: float, high: float, rng: np.random.Generator) -> float:
        """One of a row's values that fit, listed from end to end."""
        own, u = self.distributions[self.conditional[row]], (np.arange(CANDIDATES) + 0.5) / CANDIDATES
        grid = own.points if own.is_discrete else own.between(u, np.full_like(u, low), np.full_like(u, high))
        fits = self.of(np.full(len(grid), row)).can_hold(grid) & (grid >= low) & (grid <= high)
        mass = np.diff(own.cumulative, prepend=0.0) * fits if own.is_discrete else fits.astype(float)
        if mass.sum() > 0:
            return float(rng.choice(grid, p=mass / mass.sum()))
        return float(grid[np.argmax(fits)]) if fits.any() else float("nan")

    def allowed(self, values: Array) -> Mask:
        """Which of these values leave every constraint that speaks of the field able to hold, row by row."""
        if not self.restrictions:
            return np.ones((self.n, len(values)), dtype=bool)
        if self.n * len(values) <= MOST_CELLS:
            many = self.of(np.repeat(np.arange(self.n), len(values)))
            return many.can_hold(np.tile(values, self.n)).reshape(self.n, len(values))
        return np.column_stack([self.can_hold(np.full(self.n, value)) for value in values])

    def can_hold(self, values: Array) -> Mask:
        """Whether every constraint holds, or still can, where the field has these values, or codes of values."""
        if not self.restrictions:
            return np.ones(len(values), dtype=bool)
        tried = dict(self.columns) | {self.field.name: values}
        known = dict(self._others) | {self.field.name: self._known(self.field.name, tried)}
        for later in self._undrawn:
            if self.field.name in later.parents:
                known[later.name] = self._known(later.name, tried)
        possible = np.ones(len(values), dtype=bool)
        for each in self.restrictions:
            possible &= intervals.holds(each.tree, known, len(values))
        return possible

    def bounds(self) -> tuple[Floats, Floats]:
        """The interval that every linear constraint leaves the field, row by row."""
        low, high = np.full(self.n, -np.inf), np.full(self.n, np.inf)
        for each in self.restrictions:
            if self.field.name in each.fields:
                window = intervals.bounds(each.tree, self.field.name, self._others)
                if window is not None:
                    low, high = np.maximum(low, window[0]), np.minimum(high, window[1])
        return low, high

    @cached_property
    def _others(self) -> dict[str, Interval | Categories]:
        """What is known of the other fields that the constraints speak of, whatever this field becomes."""
        return {name: self._known(name, self.columns) for name in self._spoken_of - {self.field.name}}

    def _known(self, name: str, columns: Columns) -> Interval | Categories:
        """What is known of a field: its column where drawn, else all that its parents, or nothing, leave open."""
        field: SampledField = sampled(self.bp, name)
        if name in columns:
            return as_interval(field, columns[name])
        if isinstance(field, NumericField) and field.parents and set(field.parents) <= set(columns):
            found, which = find_distributions(self.bp, field, columns)
            solved = [moments.solve(cast(Numeric, each.distribution)) if each else None for each in found]
            reach = np.array([each.points[[0, -1]] if each else (-np.inf, np.inf) for each in solved])
            return reach[which, 0], reach[which, 1]
        return intervals.support(field)

    def demand_none(self, stuck: Mask) -> None:
        """Raise for rows that no value can serve, naming the constraints and the rows' parents."""
        if not stuck.any():
            return
        named = self._spoken_of & set(self.columns) | set(self.field.parents)
        rows = values_at(self.bp, sorted(named), self.columns, np.flatnonzero(stuck)[:1])
        at = ", ".join(f"{name}={_plain(value)}" for row in rows for name, value in row.items())
        texts = "; ".join(f"{each.name} ({each.text})" for each in self.restrictions)
        raise BlueprintError(
            f"{int(stuck.sum())} of {len(stuck)} rows leave {self.field.name!r} no value that keeps {texts}"
            + (f", for example where {at}" if at else ""),
            hint="widen the field's range there, or ease the constraint",
        )


def _plain(value: str | float) -> str | int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value
