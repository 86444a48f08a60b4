"""Matching: which field and which value of one blueprint is which of another.

A field is the one of its name and kind, a value the one of its name, unless it is said to have been renamed. Nothing is
guessed: another name means another field. Codes of values are never compared across blueprints but by way of names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField, TextField
from personalab.errors import RequestError

Key = str | tuple[str, str]
Renamed = Mapping[Key, str]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Match:
    """Two blueprints, and what is called otherwise in the second: as `renamed` of `personalab.update`."""

    before: Blueprint
    after: Blueprint
    renamed: Renamed = field(default_factory=dict)

    def demand(self) -> None:
        """Raise RequestError where `renamed` speaks of what is not there, or gives one name to two."""
        for key, reason in self._faults.items():
            raise RequestError(
                f"renamed={{{key!r}: {self.renamed[key]!r}}}: {reason}",
                hint='write {"old field": "new field", ("old field", "old value"): "new value"}',
            )

    def valid(self) -> Match:
        """The same without what `demand` would refuse."""
        return Match(self.before, self.after, {k: new for k, new in self.renamed.items() if k not in self._faults})

    @cached_property
    def now(self) -> dict[str, str]:
        """For each field that both have its name in the second."""
        kinds = {each.name: each.kind for each in self.after.fields}
        taken = {new for key, new in self.renamed.items() if isinstance(key, str)}
        named = {each.name: self.renamed.get(each.name, each.name) for each in self.before.fields}
        return {
            old: new
            for old, new in named.items()
            if kinds.get(new) == self.before[old].kind and (old in self.renamed or new not in taken)
        }

    @cached_property
    def origin(self) -> dict[str, str]:
        """For each field that both have its name in the first."""
        return {new: old for old, new in self.now.items()}

    def values(self, name: str) -> tuple[str, ...]:
        """What the values of a field of the first are called in the second; one whose name another took has none."""
        values = values_of(self.before[name])
        taken = {self.renamed[name, value] for value in values if (name, value) in self.renamed}
        return tuple(
            self.renamed.get((name, value), f"\0{value}" if value in taken else value)  # no value begins so
            for value in values
        )

    def has_changed(self, name: str, old: Columns, column: Array) -> Mask:
        """In which rows a field of the second has another value than its old column; all, where it is new."""
        if name not in self.origin:
            return np.ones(len(column), dtype=bool)
        was = old[self.origin[name]]
        if isinstance(self.after[name], CategoricalField):
            was = places(self.values(self.origin[name]), values_of(self.after[name]))[was]
        return np.asarray(column != was)

    def differing(self, old: Columns, columns: Columns) -> Mask:
        """In which rows any field of the second has another value."""
        return np.asarray(np.logical_or.reduce([self.has_changed(name, old, own) for name, own in columns.items()]))

    @cached_property
    def _faults(self) -> dict[Key, str]:
        found: dict[Key, str] = {}
        given = set[Key]()
        for key, new in self.renamed.items():
            name, value = key if isinstance(key, tuple) else (key, None)
            now = self.renamed.get(name, name) if value is not None else new
            sides = ((self.before, name, value, "before the edit"), (self.after, now, new, "after it"))
            for bp, each, word, when in sides:
                if each not in {one.name for one in bp.fields}:
                    found.setdefault(key, f"the blueprint {when} has no field {each!r}")
                elif value is not None and word not in values_of(bp[each]):
                    found.setdefault(key, f"{each!r} has no value {word!r} {when}")
            if key not in found and self.before[name].kind != self.after[now].kind:
                found[key] = f"one is {self.before[name].kind}, the other {self.after[now].kind}"
            target: Key = new if value is None else (now, new)
            if target in given:
                found[key] = "two cannot have one name"
            given.add(target)
        return found


def follow(renamed: Renamed, field: str, to: str, value: str | None = None) -> Renamed:
    """What has been renamed in all, when one more field, or value, is: the old names stay those of the beginning."""
    first = next((old for old, new in renamed.items() if new == field and isinstance(old, str)), field)
    if value is None:
        return {**renamed, first: to}
    known = (key for key, new in renamed.items() if isinstance(key, tuple) and key[0] == first and new == value)
    return {**renamed, next(known, (first, value)): to}


def between(earlier: Renamed, later: Renamed) -> Renamed:
    """What has been renamed between two blueprints, of each of which is known what has been renamed in it."""
    keys, made = {*earlier, *later}, dict[Key, str]()
    for key in keys:
        here, there = (side.get(key, key if isinstance(key, str) else key[1]) for side in (earlier, later))
        name: Key = here if isinstance(key, str) else (earlier.get(key[0], key[0]), here)
        if here != there:
            made[name] = there
    return made


def values_of(field: SampledField | TextField) -> tuple[str, ...]:
    """A categorical field's values; none of another's."""
    return field.values if isinstance(field, CategoricalField) else ()


def places(values: Sequence[str], among: Sequence[str]) -> NDArray[np.intp]:
    """Where each value stands in another list; -1 where it does not."""
    place = {value: code for code, value in enumerate(among)}
    return np.array([place.get(value, -1) for value in values], dtype=np.intp)
