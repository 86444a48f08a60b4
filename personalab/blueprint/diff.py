"""Diff: where two blueprints differ, as short paths with what stood there before and after.

It is told of their wire forms. Fields and constraints are matched by name, conditionals by their condition and weights
by value, so that what only moved is one change of an order and not many of contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Wire = dict[str, Any]
ORDERED = ("weights", "fields", "constraints", "conditionals")  # what lists things whose sequence counts


@dataclass(frozen=True)
class Change:
    """One difference between two blueprints: where, and what stood there before and after."""

    path: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        return f"{self.path}: {self.before!r} → {self.after!r}"


def changes(before: Wire, after: Wire) -> tuple[Change, ...]:
    """List where a blueprint's wire form differs from an earlier one, in reading order.

    Examples
    --------
    >>> side = {"name": "side", "conditionals": [], "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> moved = side | {"categorical": {"weights": {"tail": 0.5, "head": 0.5}}}
    >>> print(*changes({"fields": [side], "constraints": []}, {"fields": [moved], "constraints": []}))
    fields.side.categorical.weights: ['head', 'tail'] → ['tail', 'head']
    """
    found = tuple(_changes("", _keyed(before), _keyed(after)))
    stated = {change.path for change in found}
    return tuple(change for change in found if not _follows(change.path, stated))


def _follows(path: str, stated: set[str]) -> bool:
    """Whether it is the sequence of a list that only follows an order which is stated, and has changed, too."""
    if path == "fields":
        return "order" in stated
    field = path.removeprefix("fields.").removesuffix(".categorical.weights").partition(".conditionals.")[0]
    return path.endswith(".weights") and f"fields.{field}.ordered_values" in stated


def _keyed(data: Wire) -> Wire:
    """The data with its lists by name; conditionals by what they hold for, such as ``rank=Gold, age=30..44``."""
    fields = [field | {"conditionals": _by(field["conditionals"], _condition)} for field in data["fields"]]
    return data | {"fields": _by(fields, _name), "constraints": _by(data["constraints"], _name)}


def _by(items: list[Wire], naming: Callable[[Wire], str]) -> Wire:
    named, times = dict[str, Any](), Counter[str]()
    for item in items:
        name = naming(item)
        times[name] += 1
        named[name if times[name] == 1 else f"{name} ({times[name]})"] = item
    return named


def _name(item: Wire) -> str:
    return str(item["name"])


def _condition(item: Wire) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(item["when"].items()))


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield Change(path, before, after)
        return
    if path.rpartition(".")[2] in ORDERED:
        kept, moved = [key for key in before if key in after], [key for key in after if key in before]
        if kept != moved:
            yield Change(path, kept, moved)
    for key in dict.fromkeys([*before, *after]):
        yield from _changes(f"{path}.{key}".lstrip("."), before.get(key), after.get(key))
