"""The plan of a population: everything that decides every one of its rows.

A population is drawn in chunks of at most 2²⁰ rows, each a function of the blueprint, the seed and its own number, so
that they may be drawn anywhere and in any order. The roots' counts are split over the chunks beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from personalab.blueprint.grouping import Array
from personalab.blueprint.model import Blueprint
from personalab.frames import persona_ids, to_frame
from personalab.sampling.apportionment import Counts, round_table
from personalab.sampling.arrays import keys
from personalab.sampling.assignment import Keys, random_keys, stream
from personalab.sampling.draw import Method, Rounding, draw, rounded
from personalab.sampling.resampling import resolve
from personalab.sampling.restrictions import read_restrictions, sampled, select
from personalab.sampling.strata import Strata

CHUNK = 1 << 20  # rows drawn at once


@dataclass(frozen=True)
class Plan:
    """What a population is drawn from: everything that decides every one of its rows.

    Attributes
    ----------
    bp, n, seed, method, rounding
        As for `sample`.
    size : int
        How many rows a chunk has.
    """

    bp: Blueprint
    n: int
    seed: int
    method: Method
    rounding: Rounding
    size: int = field(default_factory=lambda: CHUNK)

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.n // self.size)

    def rows(self, chunk: int) -> range:
        """The places of a chunk's rows in the population."""
        return range(chunk * self.size, min(self.n, (chunk + 1) * self.size))

    def alone(self) -> Plan:
        """The same plan without the quotas, of which a chunk is sent its own."""
        return replace(self)

    def frame(self, columns: Mapping[str, Array], rows: range) -> pd.DataFrame:
        """The frame that users see of these rows."""
        frame = to_frame(self.bp, columns, persona_ids(len(rows), first=rows.start + 1, of=self.n))
        frame.attrs.update(method=self.method, rounding=self.rounding, seed=self.seed)
        return frame

    def columns(self) -> dict[str, Array]:
        """Every column of the whole population, drawn chunk by chunk in place."""
        quotas = self.quotas
        if self.chunks == 1:
            return self.chunk(0, quotas[0])
        whole: dict[str, Array] = {}
        for number in range(self.chunks):
            rows = self.rows(number)
            for name, column in self.chunk(number, quotas[number]).items():
                whole.setdefault(name, np.empty(self.n, column.dtype))[rows.start : rows.stop] = column
        return whole

    @cached_property
    def quotas(self) -> list[dict[str, Counts]]:
        """For each chunk how many of its rows get each value of each categorical root; nothing where chance decides.

        The counts of the whole population are split over the chunks: evenly for ``balanced``, and for ``quota`` as if
        the rows had been shuffled.
        """
        split: list[dict[str, Counts]] = [{} for _ in range(self.chunks)]
        for root in self.bp.roots if self.method != "iid" else ():
            rng = stream(self.seed, f"{root.name}/quotas")  # not the stream of the keys
            total = rounded(root.shares(), self.n, self.rounding, rng)[0]
            for own, counts in zip(split, self._split(total, rng), strict=True):
                own[root.name] = counts[None, :]
        return split

    def _split(self, total: Counts, rng: np.random.Generator) -> Counts:
        sizes = np.array([len(self.rows(chunk)) for chunk in range(self.chunks)])
        if self.method == "balanced":
            return round_table(sizes[:, None] * total / self.n, rng)
        parts = np.empty((len(sizes), len(total)), dtype=np.int64)
        left = total.copy()
        for part, size in zip(parts[:-1], sizes, strict=False):
            part[:] = rng.multivariate_hypergeometric(left, size)
            left -= part
        parts[-1] = left
        return parts

    def chunk(self, number: int, quotas: Mapping[str, Counts]) -> dict[str, Array]:
        """Draw the rows of one chunk, given its share of the roots' counts: a column a sampled field."""
        bp, rows, restrictions = self.bp, self.rows(number), read_restrictions(self.bp)
        names = [name for name in bp.order if bp[name].kind != "text"]
        spread = keys(names, len(rows), self.seed, start=rows.start) if self.method == "balanced" else {}
        columns: dict[str, Array] = {}
        for name in names:
            rng = stream(self.seed, name, number)
            key: Keys = spread[name] if spread else random_keys(len(rows), rng)
            strata = Strata(bp, sampled(bp, name), columns, len(rows), select(bp, name, columns, restrictions))
            make = partial(draw, method=self.method, rounding=self.rounding, key=key, rng=rng, quota=quotas.get(name))
            columns = resolve(strata, restrictions, make, rng, is_independent=self.method == "iid")
        return columns
