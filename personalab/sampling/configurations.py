"""Parent configurations and strata: which rows are alike in all that decides one field's distribution.

Rows that are alike in a field's parents have one *parent configuration*, and so one conditional distribution.
Constraints may tell rows of one configuration apart: rows that are alike also in what these speak of form a *stratum*.
There are few of each, however many the rows, and what follows from a distribution or a constraint is worked out for
each of these once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.conditionals import ConditionalDistribution, Lookup, axis, number_configurations, values_at
from personalab.blueprint.grouping import Array, Columns, combined, numbered, smallest
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.errors import BlueprintError
from personalab.sampling.restrictions import Restriction, sampled

CROWDED = 64  # rows a configuration, stratum or whole number, above which there are many of each
FEW_NUMBERS = 1 << 12  # whole numbers a field may have to be told apart one by one


class Found(NamedTuple):
    """Each row's parent configuration, the number of each one's conditional distribution, and these distributions."""

    configuration: Array
    number: NDArray[np.intp]
    conditionals: list[ConditionalDistribution]


class Layout(NamedTuple):
    """What tells strata apart, with how many there are of each; one row a stratum; and each one's configuration."""

    axes: list[tuple[Array, int]]
    rows: Configurations
    configuration: Array


@dataclass(frozen=True)
class Configurations:
    """Which of `n` rows are alike in all that decides one field's distribution.

    Attributes
    ----------
    bp, field
        The blueprint and the field.
    columns : mapping of str to array
        The fields drawn so far.
    n : int
        How many rows.
    restrictions : sequence of Restriction
        The constraints that the field can break.
    """

    bp: Blueprint
    field: SampledField
    columns: Columns
    n: int
    restrictions: Sequence[Restriction]

    def of(self, rows: NDArray[np.intp]) -> Self:
        """The same for some of the rows, or for some of them many times."""
        kept = {*self.field.parents, *self._involved} & set(self.columns)
        return replace(self, columns={name: self.columns[name][rows] for name in kept}, n=len(rows))

    @cached_property
    def found(self) -> Found:
        """Each row's parent configuration, and the conditional distribution that holds in each."""
        if not self.field.parents:
            root = Lookup(self.bp, self.field).find({})
            if root is None:
                raise self._unstated()
            return Found(np.zeros(self.n, dtype=np.int8), np.zeros(1, dtype=np.intp), [root])
        configuration, parents = self._parents()
        lookup, numbers = Lookup(self.bp, self.field), dict[ConditionalDistribution, int]()
        held = [lookup.find(at) for at in parents]
        if None in held:
            at = np.intersect1d([place for place, each in enumerate(held) if each is None], configuration)
            if len(at):
                raise self._unstated(f" for {parents[at[0]]}")
        number = [0 if each is None else numbers.setdefault(each, len(numbers)) for each in held]
        return Found(configuration, np.array(number, dtype=np.intp), list(numbers))

    def _unstated(self, where: str = "") -> BlueprintError:
        text = f"no distribution of {self.field.name!r} is stated{where}"
        return BlueprintError(text, hint="add a base distribution")

    def _parents(self) -> tuple[Array, list[dict[str, Any]]]:
        """Each row's configuration, and the parents' values in each: those that occur, or all where rows are many."""
        names, parents = self.field.parents, [self.bp[name] for name in self.field.parents]
        lists = [parent.values for parent in parents if isinstance(parent, CategoricalField)]
        if self._has_all:
            axes = [(self.columns[name], len(values)) for name, values in zip(names, lists, strict=True)]
            return combined(axes), [dict(zip(names, at, strict=True)) for at in itertools.product(*lists)]
        configuration, member = number_configurations(self.bp, self.field, self.columns)
        return configuration, values_at(self.bp, names, self.columns, member)

    @property
    def configuration(self) -> Array:
        """Each row's parent configuration."""
        return self.found.configuration

    @property
    def configurations(self) -> int:
        """How many parent configurations there are."""
        return len(self.found.number)

    @property
    def conditionals(self) -> list[ConditionalDistribution]:
        """The conditional distributions that hold in some configuration."""
        return self.found.conditionals

    @cached_property
    def conditional(self) -> Array:
        """The number of each row's conditional distribution."""
        configuration, number, conditionals = self.found
        return configuration if len(conditionals) == len(number) else np.take(number, configuration, mode="clip")

    @cached_property
    def stratum(self) -> Array:
        """Each row's stratum: rows of one are alike also in what the constraints speak of."""
        return combined(self.layout.axes)

    @cached_property
    def layout(self) -> Layout:
        """What tells strata apart, one row for each, and the configuration of each.

        Where the constraints speak of real numbers every row is a stratum of its own.
        """
        configuration, many = self.configuration, self.configurations
        if not (self.restrictions and self._involved):
            return Layout([(configuration, many)], replace(self, columns={}, n=many), np.arange(many))
        others = sorted(self._involved - set(self.field.parents) if self._has_all else self._involved)
        found = {name: self._exactly(name) for name in others}
        sizes = [many, *(size for _, size, _ in found.values())]
        if 0 in sizes:
            return Layout([(np.arange(self.n), self.n)], self, configuration)
        axes = [(configuration, many), *((codes, size) for codes, size, _ in found.values())]
        firsts = [first for _, _, first in found.values() if first is not None]
        if not self._has_all or len(firsts) < len(found) or CROWDED * math.prod(sizes) > self.n:
            stratum, member = numbered(axes, self.n)
            return Layout([(stratum, len(member))], self.of(member), configuration[member])
        # All that can be, rather than what there is: then nothing need be looked for among many rows.
        home, *codes = np.unravel_index(np.arange(math.prod(sizes)), sizes)
        columns = {name: code + first for name, code, first in zip(found, codes, firsts, strict=True)}
        lists = [len(self.bp[name].values) for name in self.field.parents]  # type: ignore[union-attr]
        columns |= dict(zip(self.field.parents, np.unravel_index(home, lists), strict=True)) if lists else {}
        return Layout(axes, replace(self, columns=columns, n=len(home)), home)

    @cached_property
    def _has_all(self) -> bool:
        """Whether configurations are all combinations of the parents' values, rather than those that occur."""
        parents = [self.bp[name] for name in self.field.parents]
        sizes = [len(parent.values) for parent in parents if isinstance(parent, CategoricalField)]
        return len(sizes) == len(parents) and (not sizes or CROWDED * math.prod(sizes) <= self.n)

    def _exactly(self, name: str) -> tuple[Array, int, int | None]:
        """Number the values of a field drawn before, as far as what is to be decided depends on them.

        Returned are the numbers, how many there are, and which value the first stands for; none where a number stands
        for several values, and zero numbers where there are too many.
        """
        field, column = sampled(self.bp, name), self.columns[name]
        if isinstance(field, CategoricalField):
            return column, len(field.values), 0
        if not any(name in each.fields for each in self.restrictions):
            axes = [axis(self.bp, later, name, column) for later in self._undrawn if name in later.parents]
            return combined(axes), math.prod(size for _, size in axes), None
        least, most = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if column.dtype.kind != "i" or most - least >= FEW_NUMBERS:
            return column, 0, None
        return (column - least).astype(smallest(most - least + 1)), most - least + 1, least

    @cached_property
    def _involved(self) -> set[str]:
        """The fields drawn before that decide what the constraints leave this one."""
        deciding = self._spoken_of | {parent for later in self._undrawn for parent in later.parents}
        return deciding & set(self.columns)

    @cached_property
    def _spoken_of(self) -> set[str]:
        """The fields that the constraints speak of."""
        return {name for each in self.restrictions for name in each.fields}

    @cached_property
    def _undrawn(self) -> list[SampledField]:
        """The other fields that the constraints speak of and that are still to be drawn."""
        others = sorted(self._spoken_of - {self.field.name} - set(self.columns))
        return [sampled(self.bp, name) for name in others]
