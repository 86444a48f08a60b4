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
from personalab.columns import Array, Columns, combined, numbered, smallest
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
class Choices:
    """What each row may get of a list of values.

    Attributes
    ----------
    kind : array of int, shape (rows,)
        Each row's kind.
    shares : array of float, shape (kinds, values)
        Each kind's shares of the values.
    is_stuck : array of bool, shape (kinds,)
        The kinds that the constraints leave no value.
    home : array of int, shape (kinds,), optional
        The situation that each kind is part of; None where the constraints take nothing from anyone, and kinds are
        situations, or for numbers branches.
    """

    kind: Array
    shares: Floats
    is_stuck: Mask
    home: Array | None = None


@dataclass(frozen=True)
class Windows:
    """Between which shares of its law each row's number lies, by kinds: from `below` on, `width` wide.

    `low` and `high` are the same in numbers, and `end` is what remains where the window has no width.
    """

    kind: Array
    below: Floats
    width: Floats
    low: Floats
    high: Floats
    end: Floats


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
    toward : array of int, shape (situations, values), optional
        Counts that a child's quotas should stay close to where rounding leaves a choice.
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
    toward: Counts | None = None
    is_hasty: bool = False

    def column(self) -> tuple[Array, Mask]:
        """The field's codes or numbers, and which rows the constraints leave none (what stands there is no value)."""
        choices, key, rng = self.choices, self.key, self.rng
        if choices is None or (choices.home is not None and self._is_many and self.method != "iid"):
            return self.at_share(self._u)
        if self.method == "iid":
            codes = by_share(choices.kind, key, choices.shares, rng)
        elif isinstance(self.field, CategoricalField):
            part, counts = self.quotas(choices)
            codes = by_rank(part, key, counts, rng)
        else:
            sizes = np.bincount(choices.kind, minlength=len(choices.shares))
            codes = by_rank(choices.kind, key, systematic(sizes[:, None] * choices.shares, rng), rng)
        return self._valued(codes), self._stuck(choices)

    def at_share(self, u: Floats) -> tuple[Array, Mask]:
        """A number for each row, below which a share `u` of what it may be lies; and which rows may be nothing."""
        if self.choices is not None:
            codes = by_share(self.choices.kind, u, self.choices.shares, self.rng)
            return self._valued(codes), self._stuck(self.choices)
        x = self._numbers(u)
        stuck = np.isnan(x)
        return (np.where(stuck, 0, x).astype(np.int64) if self.is_whole else x), stuck

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

    @cached_property
    def choices(self) -> Choices | None:
        """The values that rows may get and their shares; None for numbers that are too many to list."""
        situation, branch, found = self._situations
        if isinstance(self.field, CategoricalField):
            values = np.arange(len(self.field.values))
            asked = np.array([shares(self.field, cast(Categorical, each.distribution)) for each in found])
            at, may, best = branch, asked > 0, asked
            plain = Choices(situation, asked[branch], np.zeros(len(branch), dtype=bool))
        else:
            low, table = self._table
            if table is None:
                return None
            values, laws = np.arange(low, low + table.shape[1]), [law_of(each) for each in found]
            at, asked = branch, table
            may = np.array([(law.points[0] <= values) & (values <= law.points[-1]) for law in laws])
            # Where what is allowed has no mass that a double can see, the value nearest to the law is all there is.
            best = 1 / (1 + np.abs(values - np.array([law.mean for law in laws])[:, None]))
            plain = Choices(self.part, table, np.zeros(len(table), dtype=bool))
        if not self.keep:
            return plain
        _, view, home = self._views
        of = at[home]
        allowed = view.allowed(values) & may[of]
        if (allowed == may[of]).all():
            return plain
        stuck: Mask = ~np.logical_or.reduce(allowed, axis=1)
        allowed[stuck] = may[of[stuck]]
        left = np.where(allowed, asked[of], 0.0)
        bare = np.flatnonzero(left.sum(axis=1) <= 0)
        left[bare, np.where(allowed, best[of], -1.0)[bare].argmax(axis=1)] = 1.0
        return Choices(self.kind, left / left.sum(axis=1, keepdims=True), stuck, home)

    def _stuck(self, choices: Choices) -> Mask:
        return choices.is_stuck[choices.kind] if choices.is_stuck.any() else np.zeros(self.n, dtype=bool)

    def _valued(self, codes: Array) -> Array:
        """What stands in the column for places in the list of values."""
        if isinstance(self.field, CategoricalField):
            return codes
        numbers = codes.astype(np.int64)
        numbers += self._table[0]
        return numbers

    def quotas(self, choices: Choices) -> tuple[Array, Counts]:
        """Each row's part, and how many rows of each part get each value."""
        situation, branch, _ = self._situations
        asked = choices.shares if choices.home is None else self._unrestricted
        counts = self._counts(asked)
        if choices.home is None:
            return situation, counts
        # Split situations by what their rows may hold, and share each one's quotas out among its parts.
        allowed = choices.shares > 0
        packed = np.packbits(allowed, axis=1)  # whose bytes compare many times faster than as many columns
        pattern = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].reshape(-1)
        axes = [(choices.home, len(branch)), (pattern, int(pattern.max()) + 1)]
        part, first = numbered(axes, len(pattern))
        of, rows = choices.home[first], part[choices.kind]
        sizes = np.bincount(rows, minlength=len(first))
        dealt = np.empty((len(first), asked.shape[1]), dtype=np.int64)
        for number, mine in enumerate(members(of, len(branch))):
            if len(mine):
                dealt[mine] = fitted(sizes[mine], counts[number], allowed[first[mine]], asked[number])
        return rows, dealt

    @property
    def _unrestricted(self) -> Floats:
        """Each situation's shares of a categorical field's values before any constraint."""
        _, branch, found = self._situations
        field = cast(CategoricalField, self.field)
        return np.array([shares(field, cast(Categorical, each.distribution)) for each in found])[branch]

    def _counts(self, asked: Floats) -> Counts:
        """How many rows of each situation get each value, given the situations' shares."""
        situation, branch, found = self._situations
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
        laws, part = [law_of(each) for each in self._situations[2]], self.part
        if self.windows is None:
            return quantiles(part, u, laws)
        at, window = self.windows.kind, self.windows
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
        """What linear constraints leave of each kind's law; None where nothing has to be kept."""
        if not self.keep:
            return None
        _, view, home = self._views
        _, branch, found = self._situations
        low, high = view._bounds()
        below, width, end = np.zeros(view.n), np.zeros(view.n), np.zeros(view.n)
        for each, rows in zip(found, members(branch[home], len(found)), strict=True):
            law = law_of(each)
            low[rows], high[rows] = law.reach(low[rows], high[rows])
            below[rows], upto, end[rows] = law.window(low[rows], high[rows])
            width[rows] = upto - below[rows]
        return Windows(self.kind, below, width, low, high, end)

    @property
    def _is_many(self) -> bool:
        """Whether there are too many kinds for each to have quotas of its own: a number's case, not a category's."""
        choices = self.choices
        return choices is not None and isinstance(self.field, NumericField) and len(choices.shares) * CROWD > self.n

    @cached_property
    def _u(self) -> Floats:
        """For each row the share of its law that lies below its value: even in each branch, or independent."""
        if self.method == "iid":
            return self.rng.random(self.n)
        return evenly(self.part, np.bincount(self.part, minlength=len(self._situations[2])), self.key, self.rng)

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
        if self._has_all_places:
            axes = [(self.columns[name], len(values)) for name, values in zip(self.field.parents, lists, strict=True)]
            return combined(axes), [dict(zip(self.field.parents, at, strict=True)) for at in itertools.product(*lists)]
        situation, member = situations(self.bp, self.field, self.columns)
        return situation, values_at(self.bp, self.field.parents, self.columns, member)

    @cached_property
    def part(self) -> Array:
        """Each row's branch."""
        situation, branch, found = self._situations
        return situation if len(found) == len(branch) else np.take(branch, situation, mode="clip")

    @cached_property
    def kind(self) -> Array:
        """Each row's kind: rows of one kind are alike also in what the constraints speak of."""
        return combined(self._views[0])

    @cached_property
    def _views(self) -> tuple[list[tuple[Array, int]], Draw, Array]:
        """What tells kinds apart, a draw of one row for each kind, and each kind's situation.

        Where the constraints speak of real numbers every row is a kind of its own.
        """
        situation, branch, _ = self._situations
        if not (self.keep and self._involved):
            view = replace(self, columns={}, n=len(branch), key=np.zeros(len(branch), dtype=np.uint16))
            return [(situation, len(branch))], view, np.arange(len(branch))
        others = sorted(self._involved - set(self.field.parents) if self._has_all_places else self._involved)
        found = {name: self._exactly(name) for name in others}
        sizes = [len(branch), *(size for _, size, _ in found.values())]
        if 0 in sizes:
            return [(np.arange(self.n), self.n)], self, situation
        axes = [(situation, len(branch)), *((codes, size) for codes, size, _ in found.values())]
        firsts = [first for _, _, first in found.values() if first is not None]
        if not self._has_all_places or len(firsts) < len(found) or CROWD * math.prod(sizes) > self.n:
            kind, member = numbered(axes, self.n)
            return [(kind, len(member))], self.of(member), situation[member]
        # All that can be, rather than what there is: then nothing need be looked for among many rows.
        home, *codes = np.unravel_index(np.arange(math.prod(sizes)), sizes)
        columns = {name: code + first for name, code, first in zip(found, codes, firsts, strict=True)}
        lists = [len(self.bp[name].values) for name in self.field.parents]  # type: ignore[union-attr]
        columns |= dict(zip(self.field.parents, np.unravel_index(home, lists), strict=True)) if lists else {}
        return axes, replace(self, columns=columns, n=len(home), key=np.zeros(len(home), dtype=np.uint16)), home

    @cached_property
    def _has_all_places(self) -> bool:
        """Whether situations are all combinations of the parents' values, rather than those that occur."""
        sizes = [
            len(parent.values)
            for parent in map(self.bp.__getitem__, self.field.parents)
            if parent.kind == "categorical"
        ]
        return len(sizes) == len(self.field.parents) and (not sizes or CROWD * math.prod(sizes) <= self.n)

    def _exactly(self, name: str) -> tuple[Array, int, int | None]:
        """Number the values of a field drawn before, as far as what is to be decided depends on them.

        Returned are the numbers, how many there are, and which value the first stands for; none where a number stands
        for several values, and zero numbers where there are too many.
        """
        field, column = sampled(self.bp, name), self.columns[name]
        if isinstance(field, CategoricalField):
            return column, len(field.values), 0
        if not any(name in each.fields for each in self.keep):
            axes = [axis(self.bp, heir, name, column) for heir in self._undrawn if name in heir.parents]
            return combined(axes), math.prod(size for _, size in axes), None
        least, most = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if column.dtype.kind != "i" or most - least >= FEW_NUMBERS:
            return column, 0, None
        return (column - least).astype(smallest(most - least + 1)), most - least + 1, least

    @property
    def situation(self) -> Array:
        """Each row's situation."""
        return self._situations[0]

    @property
    def situations(self) -> int:
        """How many situations there are."""
        return len(self._situations[1])

    @property
    def laws(self) -> list[numerics.Law]:
        """The laws of a numeric field's branches."""
        return [law_of(each) for each in self._situations[2]]

    @property
    def least(self) -> int:
        """The number that the first of the choices stands for."""
        return self._table[0]

    @property
    def is_whole(self) -> bool:
        """Whether the field holds whole numbers."""
        return isinstance(self.field, NumericField) and self.field.is_integer

    def of(self, rows: NDArray[np.intp]) -> Draw:
        """The same draw for some of the rows, or for some of them many times."""
        names = {*self.field.parents, *self._involved} & set(self.columns)
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
        for each, rows in zip(found, members(self.part, len(found)), strict=True):
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
        law, u = law_of(self._situations[2][self.part[row]]), (np.arange(CANDIDATES) + 0.5) / CANDIDATES
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


def _whole(expected: Floats, rng: np.random.Generator, toward: Counts | None) -> Counts:
    """Whole counts for a table: with both margins held, or where it is too large for that, every row's own."""
    return controlled(expected, rng, toward) if expected.size <= CAREFUL else systematic(expected, rng)


def _plain(value: str | float) -> str | int | float:
    return int(value) if isinstance(value, float) and value.is_integer() else value
