"""Resampling: rows that constraints, harmless one by one, leave without a value together.

What such a row's field hangs together with is drawn again for this row, its categorical roots held, so that their
counts stay exact. Where that does not serve, one of these roots is exchanged with another row's; where that does not
either, they give way. Only what nothing can meet is refused. No row spoils the population.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array
from personalab.sampling.assignment import random_keys
from personalab.sampling.draw import draw_independently
from personalab.sampling.restrictions import Mask, Restriction, find_kept, sampled, select
from personalab.sampling.strata import Strata

ATTEMPTS = 4096  # rows tried at least in place of those that are left no value
MOST_ATTEMPTS = 1 << 20  # rows tried at once at most, or one for each row that is left no value
SERVED = 1 / 64  # of those rows: a round that serves fewer was in vain, and the next one tries twice as many
ROUNDS = 5  # in vain, before roots are exchanged or a blueprint is refused
PARTNERS = 64  # rows at least with which those without a value may exchange a root at once
TRIES = 16  # of a row whose root has been exchanged

Held = dict[str, Array]  # the columns drawn so far


def resolve(
    strata: Strata,
    restrictions: Sequence[Restriction],
    draw: Callable[[Strata], tuple[Array, Mask]],
    rng: np.random.Generator,
    *,
    is_independent: bool,
) -> Held:
    """Draw a field so that each row has a value; columns before it are changed where a row had none.

    Parameters
    ----------
    strata : Strata
        Of the field.
    restrictions : sequence of Restriction
        All constraints of the blueprint.
    draw : callable
        Draws the field and tells the rows without a value; it may be asked twice.
    rng : numpy.random.Generator
        The source of chance.
    is_independent : bool
        Whether rows are drawn independently; else categorical roots keep their counts as long as anything else serves.

    Returns
    -------
    dict of str to array
        The columns drawn so far, and the field's own.

    Raises
    ------
    BlueprintError
        If a row has no value whatever is drawn again.
    """
    column, stuck = draw(strata)
    if stuck.any():
        columns, left = _Resampling(strata, restrictions, rng).columns(stuck, is_independent)
        if len(left):
            strata.demand_none(stuck)
        strata = replace(strata, columns=columns)
        column, stuck = draw(strata)
        strata.demand_none(stuck)
    return {**strata.columns, strata.field.name: column}


@dataclass(frozen=True)
class _Resampling:
    """A field that some rows have no value for, all constraints of the blueprint, and the source of chance."""

    strata: Strata
    restrictions: Sequence[Restriction]
    rng: np.random.Generator

    def columns(self, stuck: Mask, is_independent: bool) -> tuple[Held, NDArray[np.intp]]:
        """The columns in which these rows have a value, as far as that can be; and the rows still without one."""
        columns, left = dict(self.strata.columns), np.flatnonzero(stuck)
        linked = self._roots & self._linked(self.strata.field.name, frozenset())
        if linked and not is_independent:
            columns, left = self._attempt(columns, left, self._roots)
            for root in sorted(linked):
                vain = 0
                while len(left) and vain < ROUNDS:
                    columns, rest = self._exchange(columns, left, root)
                    vain = 0 if len(rest) < len(left) else vain + 1
                    left = rest
        return self._attempt(columns, left, frozenset())

    @property
    def _roots(self) -> frozenset[str]:
        return frozenset(field.name for field in self.strata.bp.roots if field.name in self.strata.columns)

    def _attempt(self, columns: Held, left: NDArray[np.intp], held: frozenset[str]) -> tuple[Held, NDArray[np.intp]]:
        """Draw rows again, many times each, and keep the first that leaves the field a value; and who is left."""
        loose, vain = self._linked(self.strata.field.name, held), 0
        while len(left) and vain < ROUNDS and loose - {self.strata.field.name}:
            many = min(max(ATTEMPTS, len(left)) << vain, MOST_ATTEMPTS)
            copies = np.repeat(left, max(1, many // len(left)))
            start = {name: column[copies] for name, column in columns.items() if name not in loose}
            found, alive = self._draw_on(start, len(copies))
            served, first = np.unique(copies[alive], return_index=True)
            columns = _with(columns, served, {name: column[first] for name, column in found.items()})
            vain += len(served) < SERVED * len(left)
            left = np.setdiff1d(left, served)
        return columns, left

    def _exchange(self, columns: Held, left: NDArray[np.intp], root: str) -> tuple[Held, NDArray[np.intp]]:
        """Exchange a categorical root between rows left and others, wherever both of a pair then have a value.

        Rows without a value are tried before others, since they need a partner as well. Returned are the columns and
        the rows still left.
        """
        loose = self._linked(self.strata.field.name, self._roots - {root}) | self._linked(root, self._roots)
        many = max(PARTNERS, min(len(left), MOST_ATTEMPTS // TRIES // 4))
        one = np.tile(np.resize(self.rng.permutation(left), many), 2)
        other = np.concatenate([self.rng.choice(left, many), self.rng.integers(self.strata.n, size=many)])
        is_pair = columns[root][one] != columns[root][other]
        pairs = np.column_stack([one, other])[is_pair]
        side = np.repeat(np.arange(pairs.size), TRIES)  # the one of each pair, then the other
        places, givers = pairs.ravel()[side], pairs[:, ::-1].ravel()[side]
        start = {name: column[places] for name, column in columns.items() if name not in loose}
        found, alive = self._draw_on(start | {root: columns[root][givers]}, len(places))
        served, first = np.unique(side[alive], return_index=True)
        used, chosen = set[int](), list[int]()
        for at in np.flatnonzero(served[:-1] + 1 == served[1:]).tolist():
            own = set(pairs[served[at] // 2].tolist())
            if served[at] % 2 == 0 and not own & used:
                used |= own
                chosen += [at, at + 1]
        rows = pairs.ravel()[served[chosen]]
        columns = _with(columns, rows, {name: column[first[chosen]] for name, column in found.items()})
        return columns, np.setdiff1d(left, rows)

    def _draw_on(self, columns: Held, n: int) -> tuple[Held, NDArray[np.intp]]:
        """Draw the columns that rows lack, up to the field's own, each row for itself; and which came to something."""
        bp, alive = self.strata.bp, np.arange(n)
        for name in bp.order[: bp.order.index(self.strata.field.name) + 1]:
            if name in columns or bp[name].kind == "text" or not len(alive):
                continue
            own = select(bp, name, columns, self.restrictions)
            key, strata = random_keys(len(alive), self.rng), Strata(bp, sampled(bp, name), columns, len(alive), own)
            column, stuck = draw_independently(strata, key, self.rng, is_hasty=True)
            columns = {name: each[~stuck] for name, each in (columns | {name: column}).items()}
            alive = alive[~stuck]
        # A root that was exchanged has not been held against the columns that stayed.
        fine = find_kept(bp, columns, len(alive), self.restrictions)
        return {name: each[fine] for name, each in columns.items()}, alive[fine]

    def _linked(self, name: str, held: frozenset[str]) -> frozenset[str]:
        """The fields that hang together with a field by constraint and descent, on ways that pass no field held."""
        links = [each.fields for each in self.restrictions]
        links += [frozenset({field.name, *field.parents}) for field in self.strata.bp.sampled]
        linked, before = {name}, 0
        while len(linked) > before:
            before = len(linked)
            linked |= {each for link in links if link & linked for each in link if each not in held}
        return frozenset(linked)


def _with(columns: Held, rows: NDArray[np.intp], new: Mapping[str, Array]) -> Held:
    """The columns there are, with some rows replaced."""
    if not len(rows):
        return columns
    changed = {name: column.copy() for name, column in columns.items()}
    for name, column in changed.items():
        column[rows] = new[name]
    return changed
