"""Moves: who keeps a place in a table of quotas, and who gets another.

Places that are too full are left by as many as they are too full by, places that are too empty are filled by these.
Who leaves is not left to chance: the leavers of a crowd are a small image of it, so that the distributions of the
fields below stay right among those who remain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, numbered
from personalab.sampling.apportionment import Counts
from personalab.sampling.assignment import Floats, Keys, assign_by_rank, members
from personalab.sampling.restrictions import Mask

SWAPS = 400  # of a leaver for one who stays, at most, to make the image better


@dataclass(frozen=True)
class Cells:
    """Where rows stand in the distribution of a field below.

    Attributes
    ----------
    cell : array of int, shape (rows,)
        Each row's cell: what its parents are, and what it is itself.
    group : array of int, shape (cells,)
        Which cells have the same parents.
    there, asked : array of float, shape (cells,)
        The share of its group that a cell has, and should have.
    """

    cell: Array
    group: Array
    there: Floats
    asked: Floats

    def leaving(self, crowd: NDArray[np.intp], share: float) -> tuple[Array, NDArray[np.intp], Floats]:
        """For each of a crowd its cell, newly numbered; these cells; and how many of each should leave."""
        found, own = np.unique(self.cell[crowd], return_inverse=True)
        sizes = np.bincount(self.group[self.cell[crowd]], minlength=int(self.group.max()) + 1)[self.group[found]]
        return own, found, sizes * (self.there - (1 - share) * self.asked)[found]


@dataclass(frozen=True)
class Moves:
    """Who keeps their place in a table, and who gets another.

    Attributes
    ----------
    part, code : array of int, shape (rows,)
        Where each row stands: its part, and its place there.
    can_stay, is_held : array of bool, shape (rows,)
        Whether the place may be kept, and whether it must be.
    counts : array of int, shape (parts, places)
        How many rows there should be.
    may : array of bool, shape (parts, places)
        Which places a part has.
    key : array of uint16 or uint32, shape (rows,)
        Decides who of those who move gets which place.
    rng : numpy.random.Generator
        The source of chance.
    below : list of Cells
        Where the rows stand in the distributions of the fields below.
    """

    part: Array
    code: Array
    can_stay: Mask
    is_held: Mask
    counts: Counts
    may: Mask
    key: Keys
    rng: np.random.Generator
    below: list[Cells]

    def codes(self) -> Array:
        """Each row's place afterwards."""
        parts, places = self.counts.shape
        cell = np.where(self.can_stay, self.part.astype(np.int64) * places + self.code, parts * places)
        there = np.bincount(cell, minlength=parts * places + 1)[:-1].reshape(parts, places)
        held = np.bincount(cell[self.is_held], minlength=parts * places).reshape(parts, places)
        counts = lifted(self.counts, held, self.may)
        stays, surplus = self.can_stay.copy(), (there - counts).clip(0).ravel()
        loose = np.flatnonzero(self.can_stay & ~self.is_held & (surplus[np.minimum(cell, len(surplus) - 1)] > 0))
        beyond = [np.zeros(len(each.there)) for each in self.below]
        group, member = numbered([(cell[loose], parts * places)], len(loose))
        for rows in members(group, len(member)):
            crowd = loose[rows]
            if len(crowd):
                stays[self._leavers(crowd, int(surplus[cell[crowd[0]]]), beyond)] = False
        free = np.flatnonzero(~stays)
        codes = np.where(stays, self.code, 0)
        missing = counts - np.bincount(cell[stays], minlength=parts * places).reshape(parts, places)
        codes[free] = assign_by_rank(self.part[free], self.key[free], missing, self.rng)
        return codes

    def _leavers(self, crowd: NDArray[np.intp], many: int, beyond: list[Floats]) -> NDArray[np.intp]:
        """Choose so many of a crowd that the cells of every field below keep their proportions among the others.

        First a systematic sample along the cells, then swaps as long as they help. `beyond` are the leavers of each
        cell that earlier crowds had too many; it is carried on.
        """
        rng, found = self.rng, [each.leaving(crowd, many / len(crowd)) for each in self.below]
        cells = [own for own, _, _ in found]
        order = np.lexsort([rng.random(len(crowd)), *reversed(cells)])
        leaves = np.zeros(len(crowd), dtype=bool)
        leaves[order[((np.arange(many) + rng.random()) * len(crowd) / many).astype(np.intp)]] = True
        excess = [
            before[places] + np.bincount(own[leaves], minlength=len(want)) - want
            for before, (own, places, want) in zip(beyond, found, strict=True)
        ]
        for _ in range(min(SWAPS, 4 * many) if cells and many < len(crowd) else 0):
            score = np.sum([gap[own] for own, gap in zip(cells, excess, strict=True)], axis=0)
            out = int(np.argmax(np.where(leaves, score, -np.inf)))
            into = int(np.argmin(np.where(leaves, np.inf, score)))
            apart = sum(int(own[out] != own[into]) for own in cells)
            if score[out] - score[into] <= apart + 1e-9:
                break
            leaves[[out, into]] = False, True
            for own, gap in zip(cells, excess, strict=True):
                gap[own[out]] -= 1
                gap[own[into]] += 1
        for before, (_, places, _), gap in zip(beyond, found, excess, strict=True):
            before[places] = gap
        return crowd[leaves]


def lifted(counts: Counts, held: Counts, may: Mask) -> Counts:
    """Counts that leave room for those who are held, in the same parts and, as far as can be, the same places."""
    raised, total = np.maximum(counts, held), counts.sum(axis=0)
    # What the held take too much is taken from other places of their part,
    for part in np.flatnonzero(raised.sum(axis=1) > counts.sum(axis=1)):
        for _ in range(int(raised[part].sum() - counts[part].sum())):
            beyond = np.where(raised[part] > held[part], raised.sum(axis=0) - total + 1e-3 * raised[part], -np.inf)
            raised[part, int(np.argmax(beyond))] -= 1
    # and made up for in other parts, so that each place keeps its total.
    for _ in range(len(total)):
        gap = raised.sum(axis=0) - total
        over, under = int(np.argmax(gap)), int(np.argmin(gap))
        movable = np.flatnonzero((raised > held)[:, over] & (held < counts).any(axis=1) & may[:, under])
        if gap[over] <= 0 or not len(movable):
            break
        order = np.argsort((raised - counts)[movable, under] - (raised - counts)[movable, over], kind="stable")
        moving = movable[order][: min(int(gap[over]), int(-gap[under]))]
        raised[moving, over] -= 1
        raised[moving, under] += 1
    return raised
