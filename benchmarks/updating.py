"""How near an updated population comes to a fresh sample, and how many people it costs against the least there can be.

Random blueprints of roots and children, edited in every way, by every method. For each kind of edit:

- `pairs`: the mean distance of all two-way tables from the distribution asked for, over that of fresh samples;
- `worst`: the same of the table that differs most;
- `cells`: the worst error, in people, of a child's value in a parent configuration, beside a fresh sample's;
- `moved`: people who changed, over n times the total variation distance of the two joint distributions, and by how
  many people more.

Run with `python benchmarks/updating.py [n] [seeds]`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from personalab import Blueprint, sample, update
from personalab.blueprint.conditionals import find_distribution
from personalab.blueprint.model import Categorical

Wire = dict[str, Any]
SIZES = {"a": 3, "b": 4, "c": 2, "d": 5}
CHILDREN = {"e": ("a",), "f": ("e", "b"), "g": ("b",), "h": ("c", "d")}


def weights(rng: np.random.Generator, values: list[str]) -> dict[str, float]:
    """Random shares."""
    return dict(zip(values, rng.dirichlet(np.full(len(values), 1.2)).tolist(), strict=True))


def values(name: str) -> list[str]:
    """A field's values."""
    return [f"{name}{i}" for i in range(SIZES.get(name, 3))]


def field(rng: np.random.Generator, name: str, parents: tuple[str, ...] = ()) -> Wire:
    """A root, or a child with a table for each combination of its parents' values."""
    cells = itertools.product(*map(values, parents)) if parents else ()
    return {
        "name": name,
        "kind": "categorical",
        "parents": list(parents),
        "categorical": {"weights": weights(rng, values(name))},
        "conditionals": [
            {"when": dict(zip(parents, cell, strict=True)), "categorical": {"weights": weights(rng, values(name))}}
            for cell in cells
        ],
    }


def start(seed: int) -> Wire:
    """Four roots and four children, as JSON."""
    rng = np.random.default_rng(seed)
    fields = [*(field(rng, name) for name in SIZES), *(field(rng, *each) for each in CHILDREN.items())]
    return {"domain": "people", "order": [each["name"] for each in fields], "fields": fields}


def by_name(data: Wire) -> dict[str, Wire]:
    """The fields, to be changed in place."""
    return {each["name"]: each for each in data["fields"]}


def nudge(data: Wire, name: str, by: float) -> None:
    """Add to the share of a root's first value, in proportion from the others."""
    table = by_name(data)[name]["categorical"]["weights"]
    first, *others = table
    share = min(max(table[first] + by, 0.0), 1.0)
    rest = sum(table[value] for value in others)
    table |= {value: table[value] * (1 - share) / rest for value in others} | {first: share}


def reorder(data: Wire, _: np.random.Generator) -> None:
    """List every root's values backwards."""
    for name in SIZES:
        table = by_name(data)[name]["categorical"]
        table["weights"] = dict(reversed(table["weights"].items()))


def unparent(data: Wire, _: np.random.Generator) -> None:
    """Take its parent from a child; it keeps its margin."""
    child, parent = by_name(data)["e"], by_name(data)["a"]["categorical"]["weights"]
    margin = dict.fromkeys(values("e"), 0.0)
    for rule in child["conditionals"]:
        for value, share in rule["categorical"]["weights"].items():
            margin[value] += share * parent[rule["when"]["a"]]
    child |= {"parents": [], "conditionals": [], "categorical": {"weights": margin}}


def reduce_parents(data: Wire, rng: np.random.Generator) -> None:
    """Leave a child one of its two parents."""
    by_name(data)["h"].update(field(rng, "h", ("d",)))


def reparent(data: Wire, rng: np.random.Generator) -> None:
    """Give a child another parent."""
    by_name(data)["g"].update(field(rng, "g", ("c",)))


def add_parent(data: Wire, rng: np.random.Generator) -> None:
    """Give a root a parent before it."""
    by_name(data)["d"].update(field(rng, "d", ("a",)))


def turn(data: Wire, rng: np.random.Generator) -> None:
    """Make a root of a child and a child of its parent."""
    fields = by_name(data)
    fields["g"].update(field(rng, "g"))
    fields["b"].update(field(rng, "b", ("g",)))
    data["order"] = ["a", "g", "b", "c", "d", "e", "f", "h"]


def retable(data: Wire, rng: np.random.Generator) -> None:
    """State one of a child's distributions anew."""
    by_name(data)["f"]["conditionals"][0]["categorical"]["weights"] = weights(rng, values("f"))


def zero(data: Wire, _: np.random.Generator) -> None:
    """Add a value that nobody has, before all others."""
    table = by_name(data)["a"]["categorical"]
    table["weights"] = {"A": 0.0} | table["weights"]


def three(data: Wire, _: np.random.Generator) -> None:
    """Change three roots at once."""
    for name in "abd":
        nudge(data, name, 0.1)


EDITS: dict[str, Callable[[Wire, np.random.Generator], None]] = {
    "reorder": reorder,
    "zero weight": zero,
    "nudge": lambda data, _: nudge(data, "b", 0.07),
    "three roots": three,
    "table": retable,
    "unparent": unparent,
    "one parent less": reduce_parents,
    "reparent": reparent,
    "root to child": add_parent,
    "turn an edge": turn,
}


def joint(bp: Blueprint, names: list[str]) -> np.ndarray[Any, Any]:
    """The distribution over all combinations of the fields named, which are all there are."""
    table = np.ones([len(values(name)) for name in names])
    for place in itertools.product(*(range(len(values(name))) for name in names)):
        at = {name: values(name)[code] for name, code in zip(names, place, strict=True)}
        table[place] = 1.0
    for name in bp.order:
        own = bp[name]
        axes = [*own.parents, name]
        factor = np.zeros([len(values(each)) for each in axes])
        for place in itertools.product(*(values(parent) for parent in own.parents)):
            at = dict(zip(own.parents, place, strict=True))
            found = find_distribution(bp, own, at)  # type: ignore[arg-type]
            assert found is not None
            assert isinstance(found.distribution, Categorical)
            where = tuple(values(parent).index(value) for parent, value in at.items())
            factor[where] = [found.distribution.weights.get(value, 0.0) for value in values(name)]
        order = [names.index(each) for each in axes]
        shape = [len(values(each)) if each in axes else 1 for each in names]
        table = table * np.transpose(factor, np.argsort(order)).reshape(shape)
    return table / table.sum()


def counted(frame: pd.DataFrame, names: list[str]) -> np.ndarray[Any, Any]:
    """How many people there are of each combination, over all."""
    codes = [pd.Categorical(frame[name].astype(str), categories=values(name)).codes for name in names]
    table = np.zeros([len(values(name)) for name in names])
    np.add.at(table, tuple(codes), 1 / len(frame))
    return table


def pairs(table: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """All two-way tables."""
    axes = range(table.ndim)
    return [table.sum(axis=tuple(set(axes) - set(two))) for two in itertools.combinations(axes, 2)]


def distances(frame: pd.DataFrame, names: list[str], expected: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """The total variation distance of every two-way table."""
    return np.array(
        [np.abs(got - want).sum() / 2 for got, want in zip(pairs(counted(frame, names)), expected, strict=True)]
    )


def worst_cell(frame: pd.DataFrame, bp: Blueprint) -> float:
    """By how many people the worst cell of any child's table misses what its configuration's people should have."""
    worst = 0.0
    for own in bp.sampled:
        for at, people in frame.groupby(list(own.parents), observed=True) if own.parents else [((), frame)]:
            found = find_distribution(bp, own, dict(zip(own.parents, at, strict=True)))
            assert found is not None
            assert isinstance(found.distribution, Categorical)
            counts = people[own.name].value_counts()
            for value, share in found.distribution.weights.items():
                worst = max(worst, abs(int(counts.get(value, 0)) - len(people) * share))
    return worst


def say(line: str) -> None:
    """Print a line, also where output is a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(n: int = 1500, seeds: int = 6) -> None:
    """Print a line for each edit and method."""
    names = list(start(0)["order"])
    say(f"{'edit':>16} {'method':>9} {'pairs':>6} {'worst':>6} {'cells':>12} {'moved':>6} {'more':>6}")
    for edit, method in itertools.product(EDITS, ("balanced", "quota", "iid")):
        far, least, cells, moved = [], [], [], []
        for seed in range(seeds):
            data = start(seed)
            before = Blueprint.from_dict(data)
            EDITS[edit](data, np.random.default_rng(seed + 100))
            after = Blueprint.from_dict(data)
            frame = sample(before, n, seed=seed, method=method)
            new, fresh = update(frame, before, after), sample(after, n, seed=seed + 50, method=method)
            was, now = joint(before, names), joint(after, names)
            far.append(distances(new, names, pairs(now)))
            least.append(distances(fresh, names, pairs(now)))
            cells.append((worst_cell(new, after), worst_cell(fresh, after)))
            touched = (new[names].astype(str) != frame[names].astype(str)).any(axis=1).sum()
            moved.append((touched, n * np.abs(was - now).sum() / 2))
        ratio = np.mean(far, axis=0) / np.maximum(np.mean(least, axis=0), 1 / n)
        most, (people, due) = np.mean(cells, axis=0), np.mean(moved, axis=0)
        say(
            f"{edit:>16} {method:>9} {np.mean(far) / np.mean(least):6.2f} {ratio.max():6.2f} "
            f"{most[0]:5.1f} / {most[1]:4.1f} {people / max(due, 1):6.2f} {people - due:6.1f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
