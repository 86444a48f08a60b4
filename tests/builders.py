"""Blueprints of a few lines for tests, and what is measured of the frames drawn from them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from personalab import Blueprint
from personalab.blueprint.conditionals import find_distributions
from personalab.blueprint.model import Categorical, CategoricalField
from personalab.frames import from_frame
from personalab.reports.fidelity import distance, limit
from personalab.reports.report import report


def table(values: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """Random weights."""
    parts = rng.dirichlet(np.full(len(values), 1.5))
    return {"weights": dict(zip(values, (parts / parts.sum()).tolist(), strict=True))}


def categorical(name: str, size: int, rng: np.random.Generator, *parents: dict[str, Any]) -> dict[str, Any]:
    """A root, or a child with weights of its own for every combination of its parents' values."""
    values = [f"{name}_{i}" for i in range(size)]
    field = {"name": name, "kind": "categorical", "parents": [p["name"] for p in parents]}
    field["categorical"] = table(values, rng)
    cells = itertools.product(*(p["categorical"]["weights"] for p in parents)) if parents else ()
    rules = [dict(zip(field["parents"], cell, strict=True)) for cell in cells]
    return field | {"conditionals": [{"when": when, "categorical": table(values, rng)} for when in rules]}


def number(name: str, low: float, high: float, mean: float, sd: float, *parents: str, **more: Any) -> dict[str, Any]:
    """A number in wire form."""
    law = {"min": low, "max": high, "mean": mean, "sd": sd, "integer": more.pop("integer", False)}
    return {"name": name, "kind": "numeric", "parents": list(parents), "numeric": law} | more


def choice(name: str, weights: dict[str, float], *parents: str, **more: Any) -> dict[str, Any]:
    """A categorical field in wire form, with the weights given."""
    return {"name": name, "kind": "categorical", "parents": list(parents), "categorical": {"weights": weights}} | more


def blueprint(*fields: dict[str, Any], rules: tuple[str, ...] = (), order: list[str] | None = None) -> Blueprint:
    """A blueprint whose rules are written as text, such as ``years <= age - 16``."""
    constraints = []
    for i, text in enumerate(rules):
        op = next(op for op in (" <= ", " >= ", " != ", " == ", " < ", " > ") if op in text)
        lhs, rhs = text.split(op, 1)
        constraints.append({"name": f"rule_{i}", "lhs": lhs, "op": op.strip(), "rhs": rhs})
    names = order or [field["name"] for field in fields]
    return Blueprint.from_dict({"domain": "d", "order": names, "fields": list(fields), "constraints": constraints})


def hard(*rules: str) -> Blueprint:
    """Twelve fields: roots of up to 50 values, children of one and two parents, numbers that depend on them."""
    rng = np.random.default_rng(0)
    sizes = {"gender": 3, "country": 50, "education": 6, "device": 4, "plan": 8, "hobby": 20}
    roots = {name: categorical(name, size, rng) for name, size in sizes.items()}
    income = categorical("income", 5, rng, roots["education"])
    children = [
        income,
        categorical("language", 12, rng, roots["country"]),
        categorical("occupation", 10, rng, income, roots["gender"]),
        categorical("churn", 2, rng, roots["plan"], roots["device"]),
    ]
    numbers = [number("age", 18, 90, 41, 12, "education", integer=True), number("years", 0, 60, 14, 8, "occupation")]
    for field, parent in zip(numbers, ("education", "occupation"), strict=True):
        means = (field["numeric"]["mean"] + i for i in range(sizes.get(parent, 10)))
        field["conditionals"] = [
            {"when": {parent: f"{parent}_{i}"}, "numeric": field["numeric"] | {"mean": mean}}
            for i, mean in enumerate(means)
        ]
    return blueprint(*roots.values(), *children, *numbers, rules=rules)


def excess(frame: pd.DataFrame, bp: Blueprint) -> float:
    """By how much the worst root misses the closest that any population of its size can be."""
    found = report(frame, bp).marginals
    return max((each.total_variation_distance - each.limit for each in found), default=0.0)


def violations(frame: pd.DataFrame, bp: Blueprint) -> int:
    """Rows that break a rule, over all rules."""
    return sum(verdict.violations for verdict in report(frame, bp).constraints)


def margin(bp: Blueprint, field: CategoricalField, frame: pd.DataFrame) -> tuple[float, float]:
    """A child's distance from the margin that its parents' values imply, and the smallest possible."""
    found, which = find_distributions(bp, field, from_frame(bp, frame))
    tables = [branch.distribution for branch in found if branch and isinstance(branch.distribution, Categorical)]
    expected = np.array([field.shares(weights) for weights in tables])[which].mean(axis=0)
    achieved = np.bincount(frame[field.name].cat.codes, minlength=len(field.values)) / len(frame)
    return distance(expected, achieved), limit(expected, len(frame))


PEOPLE = (
    choice("region", {"north": 0.5, "south": 0.3, "east": 0.2}),
    choice("status", {"single": 0.5, "married": 0.4, "widowed": 0.1}),
    number("age", 10, 90, 40, 18, integer=True),
    number("years", 0, 60, 12, 9, integer=True),
    number("height", 1.4, 2.1, 1.7, 0.1),
    choice("spouse_region", {"north": 0.5, "south": 0.3, "east": 0.2}),
    number("children", 0, 8, 1.5, 1.3, "status", integer=True),
)


RULES = [
    ("age >= 18",),
    ("years <= age - 10",),
    ("age - 10 >= years",),
    ("(age < 18) <= (status == 'single')",),
    ("(status == 'widowed') <= (age > 50)",),
    ("region == spouse_region",),
    ("region != spouse_region",),
    ("years + children < age - 5",),
    ("years * children <= 40",),
    ("years * height <= age",),
    ("years != children",),
    ("abs(age - 3 * years) >= 5",),
    ("max(years, children) <= min(age - 8, 40)",),
    ("height * age >= 30", "children <= age / 10", "years <= age - 10", "(children > 0) <= (age >= 20)"),
]


BOUNDS = (number("a", 0, 10, 5, 2), number("b", 0, 10, 5, 2), number("x", 0, 10, 5, 2))
