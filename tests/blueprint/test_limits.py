"""How large a blueprint may be."""

from __future__ import annotations

from typing import Any

import pytest

from personalab import Blueprint, sample, validate
from personalab.errors import BlueprintError
from tests.builders import blueprint, choice

COIN = {"x": 0.5, "y": 0.5}


def even(values: int, **more: Any) -> dict[str, Any]:
    """A field of so many values, ordered where `more` says so."""
    return choice("a", {f"v{i}": 1 / values for i in range(values)}, **more)


def child(parents: int, levels: int) -> Blueprint:
    """A child of ordered parents, whose first and last corner are stated."""
    values = [f"l{i}" for i in range(levels)]
    names = [f"p{i}" for i in range(parents)]
    even = dict.fromkeys(values, 1 / levels)
    rules = [{"when": dict.fromkeys(names, values[end]), "categorical": {"weights": COIN}} for end in (0, levels - 1)]
    roots = [choice(name, even, ordered_values=values) for name in names]
    field = {"name": "c", "kind": "categorical", "parents": names, "conditionals": rules}
    return blueprint(*roots, field)


BEYOND = {
    "2,000, and a blueprint has at most 100": blueprint(*(choice(f"f{i}", COIN) for i in range(2000))),
    "10,000 values": blueprint(even(10_000)),
    "60 parents": blueprint(
        *(choice(f"f{i}", COIN) for i in range(60)), choice("c", COIN, *(f"f{i}" for i in range(60)))
    ),
    "combine in 15,625 ways": child(6, 5),
    "combine in 6,561 ways": child(8, 3),
    "a value has 1,000,000 characters": blueprint(choice("a", {"x" * 1_000_000: 0.5, "y": 0.5})),
    "its name has 1,001 characters": blueprint(choice("a" * 1001, COIN)),
    "it has 200,000 characters": blueprint(choice("a", COIN)).replace(domain="d" * 200_000),
}


@pytest.mark.parametrize("told", BEYOND)
def test_what_is_beyond_a_limit_is_refused_by_name(told: str) -> None:
    """At once, in a short sentence, and nothing else is looked at."""
    found = validate(BEYOND[told])
    assert [each.level for each in found] == ["error"]
    assert told in found[0].reason
    assert len(str(found[0])) < 300
    with pytest.raises(BlueprintError, match="cannot be sampled"):
        sample(BEYOND[told], 10, seed=1)


@pytest.mark.parametrize("bp", [blueprint(even(1000)), child(3, 10)], ids=["values", "parents"])
def test_what_is_within_the_limits_is_drawn(bp: Blueprint) -> None:
    """A thousand values, and a thousand combinations to interpolate between."""
    assert len(sample(bp, 200, seed=1)) == 200


def test_a_table_stated_in_full_may_be_larger() -> None:
    """Two ordered parents of 40 values each, where nothing has to be interpolated."""
    names = [f"v{i}" for i in range(40)]
    roots = [choice(root, dict.fromkeys(names, 1 / 40), ordered_values=names) for root in "pq"]
    rules = [{"when": {"p": p, "q": q}, "categorical": {"weights": COIN}} for p in names for q in names]
    bp = blueprint(*roots, choice("c", COIN, "p", "q", conditionals=rules))
    assert not any(each.level == "error" for each in validate(bp))
