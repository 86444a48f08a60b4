"""Draws: one field, for all rows at once, given the fields before it.

Rows that are alike in all that decides the field's distribution form a *situation*; situations with one and the same
distribution form a *branch*. What follows from a distribution or a constraint is worked out once a situation, of
which there are few, and only then dealt to the rows, of which there may be a million.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from personalab import lint, numerics, rules
from personalab.blueprint import Blueprint, Categorical, CategoricalField, Numeric, NumericField, SampledField
from personalab.branches import Branch, Lookup, axis, branches, situations, values_at
from personalab.columns import Array, Columns, combined, numbered
from personalab.dealing import Keys, by_rank, by_share, evenly, members, quantiles
from personalab.errors import BlueprintError, NotApplicableError
from personalab.quotas import Counts, controlled, fitted, largest_remainder, systematic

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Method = Literal["balanced", "quota", "iid"]
Rounding = Literal["nearest", "unbiased"]

REDRAWS = 100  # of rows whose number misses a constraint that is no interval, before candidates are listed one by one
CANDIDATES = 2001  # quantiles looked at where a constraint is no interval and redrawing has not met it
MOST_CELLS = 1 << 20  # of situations and values that are laid out as a table
CAREFUL = 3000  # cells of a table that is rounded with both margins held
CROWD = 64  # rows a situation, above which situations are many-membered enough to be dealt with one by one
FEW_NUMBERS = 1 << 12  # whole numbers a field may have to be told apart one by one


@dataclass(frozen=True)
class Restriction:
    """A constraint ready to be kept: its name and text for messages, its tree, and the fields it speaks of."""

    name: str
    text: str
    tree: rules.Apply
    fields: frozenset[str]


def restrictions(bp: Blueprint) -> list[Restriction]:
    """The constraints that can be judged; the others are the linter's to report."""
    kept = []
    for constraint in bp.constraints:
        tree = rules.comparison(constraint)
        try:
            rules.check(tree, bp)
        except NotApplicableError:
            continue
        kept.append(Restriction(constraint.name, str(constraint), tree, rules.names(tree)))
    return kept


def concerned(bp: Blueprint, name: str, drawn: Columns, kept: Sequence[Restriction]) -> list[Restriction]:
    """Those that a field can break: they speak of it, or of a field still to be drawn that depends on it."""
    children = {field.name for field in bp.sampled if name in field.parents and field.name not in drawn}
    return [each for each in kept if name in each.fields or each.fields & children]


def sampled(bp: Blueprint, name: str) -> SampledField:
    """A field that is drawn, not written."""
    return cast(SampledField, bp[name])


@dataclass(frozen=True)
class Draw:
    """One field about to be drawn for `n` rows.

    Attributes
    ----------
    bp, field
        The blueprint and the field.
    columns : mapping of str to array
        The fields drawn so far.
    n : int
        How many rows.
    keep : sequence of Restriction
        The constraints that the field can break.
    method, rounding : str
        As for `personalab.sample`.
    key : array of uint16 or uint32
        Each row's key.
    rng : numpy.random.Generator
        The field's own random numbers.
    quota : array of int, optional
        A root's counts, where they are decided already.
    is_hasty : bool
        Whether this is one of many attempts, in which a number that misses a constraint may stay missing.
    """

    bp: Blueprint
    field: SampledField
    columns: Columns
    n: int
    keep: Sequence[Restriction]
    method: Method
    rounding: Rounding
    key: Keys
    rng: np.random.Generator
    quota: Counts | None = None
    is_hasty: bool = False

    def column(self) -> tuple[Array, Mask]:
        """The field's codes or numbers, and which rows the constraints leave none (what stands there is no value)."""
        if isinstance(self.field, CategoricalField):
            return self._codes(self.field)
        low, shares = self._table
        values, stuck = self._numbers() if shares is None else self._integers(low, shares)
        if self.field.is_integer and values.dtype.kind == "f":
            return np.where(stuck, 0, values).astype(np.int64), stuck
        return values, stuck

    def demand(self, stuck: Mask) -> None:
        """Raise for rows that no value can serve, naming the constraints and the rows' situation."""
        if not stuck.any():
            return
        named = {name for each in self.keep for name in each.fields if name in self.columns} | set(self.field.parents)
        rows = values_at(self.bp, sorted(named), self.columns, np.flatnonzero(stuck)[:1])
        at = ", ".join(f"{name}={_plain(value)}" for row in rows for name, value in row.items())
        texts = "; ".join(f"{each.name} ({each.text})" for each in self.keep)
        raise BlueprintError(
            f"{int(stuck.sum())} of {len(stuck)} rows leave {self.field.name!r} no value that keeps {texts}"
            + (f", for example where {at}" if at else ""),
            hint="widen the field's range there, or ease the constraint",
        )

    def _codes(self, field: CategoricalField) -> tuple[Array, Mask]:
        """Deal the values of a categorical field."""
        situation, branch, found = self._situations
        asked = np.array([shares(field, cast(Categorical, each.distribution)) for each in found])
        at, view, home = self._views
        allowed = view.allowed(np.arange(len(field.values))) & (asked[branch[home]] > 0)
        stuck: Mask = np.asarray(~allowed.any(axis=1))
        allowed[stuck] = asked[branch[home[stuck]]] > 0
        if allowed.all() or (allowed == (asked[branch[home]] > 0)).all():
            part, masked = situation, asked[branch]
            counts = None if self.method == "iid" else self._quotas(asked)
        else:
            part, masked, counts = self._restricted(at, home, allowed, asked)
        if counts is None:
            codes = by_share(part, self.key, masked, self.rng)
        else:
            codes = by_rank(part, self.key, counts, self.rng)
        return codes, np.asarray(stuck[at])

    def _restricted(self, at: Array, home: Array, allowed: Mask, asked: Floats) -> tuple[Array, Floats, Counts | None]:
        """Split situations by what their rows may hold, and share each one's quotas out among its parts."""
        branch = self._situations[1]
        packed = np.packbits(allowed, axis=1)  # whose bytes compare many times faster than as many columns
        pattern = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].reshape(-1)
        part, first = numbered([(home, len(branch)), (pattern, int(pattern.max()) + 1)], len(home))
        may, base = allowed[first], asked[branch[home[first]]]
        masked = base * may
        if self.method == "iid":
            return part[at], masked / masked.sum(axis=1, keepdims=True), None
        sizes, quotas = np.bincount(part[at], minlength=len(first)), self._quotas(asked)
        counts = np.empty(may.shape, dtype=np.int64)
        for number in range(len(branch)):
            mine = home[first] == number
            if (may[mine] >= (base[mine] > 0)).all() and mine.sum() <= 1:
                counts[mine] = quotas[number]
            else:
                counts[mine] = fitted(sizes[mine], quotas[number], may[mine], asked[branch[number]])
        return part[at], masked, counts

    def _quotas(self, asked: Floats) -> Counts:
        """How many rows of each situation get each value."""
        situation, branch, _ = self._situations
        if not self.field.parents:
            return self.quota if self.quota is not None else rounded(asked[0], self.n, self.rounding, self.rng)
        sizes = np.bincount(situation, minlength=len(branch))
        total = np.bincount(branch, weights=sizes, minlength=len(asked))
        counts = _whole(total[:, None] * asked, self.rng)
        if len(asked) == len(branch):
            return counts[branch]
        # Every branch as a whole is right, and then every situation in it.
        cells = np.empty((len(branch), asked.shape[1]), dtype=np.int64)
        for number, rows in enumerate(members(branch, len(asked))):
            cells[rows] = _whole(sizes[rows, None] * counts[number] / max(total[number], 1), self.rng)
        return cells

    def _integers(self, low: int, shares: Floats) -> tuple[Array, Mask]:
        """Deal whole numbers from a table of their shares in each branch."""
        at, table, stuck = self._part, shares, np.zeros(self.n, dtype=bool)
        if self.keep:
            kind, masked, none = self._masked(np.arange(low, low + shares.shape[1]), shares)
            if masked is not None:
                at, table, stuck = kind, masked, none[kind] if none.any() else stuck
        if self.method == "iid":
            codes = by_share(at, self.key, table, self.rng)
        elif at is self._part or len(table) * CROWD <= self.n:
            sizes = np.bincount(at, minlength=len(table))
            codes = by_rank(at, self.key, systematic(sizes[:, None] * table, self.rng), self.rng)
        else:
            codes = by_share(at, self._u, table, self.rng)
        numbers = codes.astype(np.int64)
        numbers += low
        return numbers, stuck

    def _masked(self, values: Array, shares: Floats) -> tuple[Array, Floats | None, Mask]:
        """Each row's kind, each kind's shares of the values that the constraints leave it, and which are left none.

        No shares where the constraints take nothing from anyone.
        """
        kind, view, home = self._views
        _, branch, found = self._situations
        laws, of = [law_of(each) for each in found], branch[home]
        inside = np.array([(law.points[0] <= values) & (values <= law.points[-1]) for law in laws])
        allowed = view.allowed(values) & inside[of]
        if (allowed == inside[of]).all():
            return kind, None, np.zeros(len(home), dtype=bool)
        table = np.where(allowed, shares[of], 0.0)
        # Where what is allowed has no mass that a double can see, the value nearest to the law is all there is.
        away = np.where(allowed, np.abs(values - np.array([law.mean for law in laws])[of, None]), np.inf)
        bare = table.sum(axis=1) <= 0
        table[bare] = np.arange(len(values)) == np.argmin(away, axis=1)[bare, None]
        return kind, table / table.sum(axis=1, keepdims=True), ~allowed.any(axis=1)

    def _numbers(self) -> tuple[Floats, Mask]:
        """Deal quantiles of each branch's law."""
        _, branch, found = self._situations
        laws, part = [law_of(each) for each in found], self._part
        if not self.keep:
            return quantiles(part, self._u, laws), np.zeros(self.n, dtype=bool)
        at, view, home = self._views
        low, high = view._bounds()
        below, width, end = np.zeros(view.n), np.zeros(view.n), np.zeros(view.n)
        for law, rows in zip(laws, members(branch[home], len(laws)), strict=True):
            low[rows], high[rows] = law.reach(low[rows], high[rows])
            below[rows], upto, end[rows] = law.window(low[rows], high[rows])
            width[rows] = upto - below[rows]
        x = quantiles(part, below[at] + self._u * width[at], laws)
        np.clip(x, low[at], high[at], out=x)
        bare = width <= 0
        if bare.any():
            x = np.where(bare[at], end[at], x)
        missed = np.flatnonzero(~(self.can_hold(x) | np.isnan(x)))
        if len(missed):
            x[missed] = np.nan if self.is_hasty else self.of(missed)._redrawn(low[at[missed]], high[at[missed]])
        return x, np.isnan(x)

    @cached_property
    def _u(self) -> Floats:
        """For each row the share of its law that lies below its value: even in each branch, or independent."""
        if self.method == "iid":
            return self.rng.random(self.n)
        return evenly(self._part, np.bincount(self._part, minlength=len(self._situations[2])), self.key, self.rng)

    @cached_property
    def _table(self) -> tuple[int, Floats | None]:
        """The least whole number and each branch's shares from there on; no shares where a table would not do."""
        _, branch, found = self._situations
        laws = [law_of(each) for each in found]
        if not laws or not all(law.is_discrete and law.is_integer for law in laws):
            return 0, None
        low, high = min(law.points[0] for law in laws), max(law.points[-1] for law in laws)
        rows = len(self._views[2]) if self.keep else len(branch)
        if (high - low + 1) * rows > MOST_CELLS:
            return 0, None
        shares = np.zeros((len(laws), int(high - low) + 1))
        for row, law in zip(shares, laws, strict=True):
            row[(law.points - low).astype(np.intp)] = np.diff(law.cumulative, prepend=0.0)
        return int(low), shares

    @cached_property
    def _situations(self) -> tuple[Array, NDArray[np.intp], list[Branch]]:
        """Each row's situation, each situation's branch, and the branches."""
        if not self.field.parents:
            root = Lookup(self.bp, self.field).branch({})
            if root is None:
                raise BlueprintError(
                    f"no distribution of {self.field.name!r} is stated", hint="add a base distribution"
                )
            return np.zeros(self.n, dtype=np.int8), np.zeros(1, dtype=np.intp), [root]
        situation, places = self._places()
        lookup, number = Lookup(self.bp, self.field), dict[Branch, int]()
        found = [lookup.branch(at) for at in places]
        if None in found:
            at = np.intersect1d([place for place, each in enumerate(found) if each is None], situation)
            if len(at):
                raise BlueprintError(
                    f"no distribution of {self.field.name!r} is stated for {places[at[0]]}",
                    hint="add a base distribution",
                )
        of = [0 if each is None else number.setdefault(each, len(number)) for each in found]
        return situation, np.array(of, dtype=np.intp), list(number)

    def _places(self) -> tuple[Array, list[dict[str, Any]]]:
        """Each row's situation, and the parents' values in each: those that occur, or all where rows are many."""
        parents = [self.bp[name] for name in self.field.parents]
        lists = [parent.values for parent in parents if isinstance(parent, CategoricalField)]
        if len(lists) == len(parents) and CROWD * math.prod(map(len, lists)) <= self.n:
            axes = [(self.columns[name], len(values)) for name, values in zip(self.field.parents, lists, strict=True)]
            return combined(axes), [dict(zip(self.field.parents, at, strict=True)) for at in itertools.product(*lists)]
        situation, member = situations(self.bp, self.field, self.columns)
        return situation, values_at(self.bp, self.field.parents, self.columns, member)

    @cached_property
    def _part(self) -> Array:
        """Each row's branch."""
        situation, branch, found = self._situations
        return situation if len(found) == len(branch) else np.take(branch, situation, mode="clip")

    @cached_property
    def _views(self) -> tuple[Array, Draw, Array]:
        """Rows that are alike also in what the constraints speak of, as a draw of one row for each kind.

        Returned are each row's kind, that draw, and each kind's situation. Where the constraints speak of real numbers
        every row is a kind of its own.
        """
        situation, branch, _ = self._situations
        if not self.keep:
            return situation, replace(self, n=len(branch)), np.arange(len(branch))
        axes = [(situation, len(branch)), *(self._exactly(name) for name in sorted(self._involved))]
        if any(size == 0 for _, size in axes):
            return np.arange(self.n), self, situation
        kind, member = numbered(axes, self.n)
        return kind, self.of(member), situation[member]

    def _exactly(self, name: str) -> tuple[Array, int]:
        """Number the values of a field drawn before, as far as what is to be decided depends on them."""
        field, column = sampled(self.bp, name), self.columns[name]
        if isinstance(field, CategoricalField):
            return column, len(field.values)
        if not any(name in each.fields for each in self.keep):
            axes = [axis(self.bp, heir, name, column) for heir in self._undrawn if name in heir.parents]
            return numbered(axes, self.n)[0], int(np.prod([size for _, size in axes]))
        least, most = (column.min(), column.max()) if len(column) else (0, 0)
        if column.dtype.kind != "i" or most - least >= FEW_NUMBERS:
            return column, 0
        return (column - least).astype(np.int32), int(most - least) + 1

    def of(self, rows: NDArray[np.intp]) -> Draw:
        """The same draw for some of the rows, or for some of them many times."""
        names = {*self.field.parents, *self._involved}
        return replace(
            self, columns={name: self.columns[name][rows] for name in names}, n=len(rows), key=self.key[rows]
        )

    def allowed(self, values: Array) -> Mask:
        """Which of these values leave every constraint that speaks of the field able to hold, row by row."""
        if not self.keep:
            return np.ones((self.n, len(values)), dtype=bool)
        if self.n * len(values) <= MOST_CELLS:
            many = self.of(np.repeat(np.arange(self.n), len(values)))
            return many.can_hold(np.tile(values, self.n)).reshape(self.n, len(values))
        return np.column_stack([self.can_hold(np.full(self.n, value)) for value in values])

    def can_hold(self, values: Array) -> Mask:
        """Whether every constraint holds, or still can, where the field has these values, or codes of values."""
        if not self.keep:
            return np.ones(len(values), dtype=bool)
        tried = dict(self.columns) | {self.field.name: values}
        known = dict(self._others) | {self.field.name: self._known(self.field.name, tried)}
        for heir in self._undrawn:
            if self.field.name in heir.parents:
                known[heir.name] = self._known(heir.name, tried)
        possible = np.ones(len(values), dtype=bool)
        for each in self.keep:
            possible &= rules.holds(each.tree, known, len(values))
        return possible

    @cached_property
    def _involved(self) -> set[str]:
        """The fields drawn before that decide what the constraints leave this one."""
        names = {name for each in self.keep for name in each.fields}
        return {name for name in names | {p for heir in self._undrawn for p in heir.parents} if name in self.columns}

    @cached_property
    def _undrawn(self) -> list[SampledField]:
        """The other fields that the constraints speak of and that are still to be drawn."""
        names = {name for each in self.keep for name in each.fields} - {self.field.name}
        return [sampled(self.bp, name) for name in sorted(names) if name not in self.columns]

    @cached_property
    def _others(self) -> dict[str, rules.Interval | rules.Drawn]:
        """What is known of the other fields that the constraints speak of, whatever this field becomes."""
        names = {name for each in self.keep for name in each.fields}
        return {name: self._known(name, self.columns) for name in names - {self.field.name}}

    def _known(self, name: str, columns: Columns) -> rules.Interval | rules.Drawn:
        """What is known of a field: its column where drawn, else all that its parents, or nothing, leave open."""
        field = sampled(self.bp, name)
        if name in columns:
            if isinstance(field, CategoricalField):
                return rules.Drawn(field.values, columns[name])
            values = columns[name].astype(float, copy=False)
            return values, values
        if isinstance(field, NumericField) and field.parents and set(field.parents) <= set(columns):
            found, which = branches(self.bp, field, columns)
            reach = np.array([law_of(each).points[[0, -1]] if each else (-np.inf, np.inf) for each in found])
            return reach[which, 0], reach[which, 1]
        return lint.known(self.bp, field)

    def _bounds(self) -> tuple[Floats, Floats]:
        """The interval that every linear constraint leaves the field, row by row."""
        low, high = np.full(self.n, -np.inf), np.full(self.n, np.inf)
        for each in self.keep:
            if self.field.name in each.fields:
                window = rules.bounds(each.tree, self.field.name, self._others)
                if window is not None:
                    low, high = np.maximum(low, window[0]), np.minimum(high, window[1])
        return low, high

    def _between(self, u: Floats, low: Floats, high: Floats) -> Floats:
        """Values below which a share `u` of each row's law between its bounds lies; nan where nothing is between."""
        found = self._situations[2]
        x = np.empty(self.n)
        for each, rows in zip(found, members(self._part, len(found)), strict=True):
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
        law, u = law_of(self._situations[2][self._part[row]]), (np.arange(CANDIDATES) + 0.5) / CANDIDATES
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


def law_of(branch: Branch) -> numerics.Law:
    """The solved law of a numeric field's branch."""
    return numerics.law(cast(Numeric, branch.distribution))


def shares(field: CategoricalField, table: Categorical) -> Floats:
    """The requested share of every value of a field, in the field's order, summing to 1."""
    weights = np.array([table.weights.get(value, 0) for value in field.values], dtype=float)
    total = math.fsum(weights)
    return weights if abs(total - 1) <= lint.EXACT else weights / total


def _whole(expected: Floats, rng: np.random.Generator) -> Counts:
    """Whole counts for a table: with both margins held, or where it is too large for that, every row's own."""
    return controlled(expected, rng) if expected.size <= CAREFUL else systematic(expected, rng)


def _plain(value: str | float) -> str | int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value
