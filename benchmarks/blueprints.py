"""Blueprints to measure with: any number of fields, in the mixture that a demanding study has.

Twelve fields make a block: roots of 3 to 50 values, children of one and of two parents, and two numbers whose law
depends on a parent. Larger blueprints repeat the block under other names. Fields stand in such an order that a
shorter blueprint holds roots, children and numbers as well.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np

from personalab import Blueprint

# How many values a categorical field has, and its parents.
CATEGORICAL: dict[str, tuple[int, tuple[str, ...]]] = {
    "gender": (3, ()),
    "education": (6, ()),
    "income": (5, ("education",)),
    "country": (50, ()),
    "language": (12, ("country",)),
    "plan": (8, ()),
    "device": (4, ()),
    "churn": (2, ("plan", "device")),
    "hobby": (20, ()),
    "occupation": (10, ("income", "gender")),
}
# A number's parent, and its law for the parent's first value; for every further value the mean is 1 more.
NUMERIC: dict[str, tuple[str, dict[str, float]]] = {
    "age": ("education", {"min": 16, "max": 90, "mean": 38, "sd": 12}),
    "years_exp": ("occupation", {"min": 0, "max": 60, "mean": 10, "sd": 8}),
}
BLOCK = ["gender", "education", "income", "country", "language", "age"]
BLOCK += ["plan", "device", "churn", "hobby", "occupation", "years_exp"]
# About a quarter of the rows would break the second rule if it were not kept.
RULES = {"age": ("age{0}", ">=", "18"), "years_exp": ("years_exp{0}", "<=", "age{0} - 16")}
CONCENTRATION = 1.5  # of the Dirichlet law that weights are drawn from: uneven, with few values near 0
SEED = 0  # of the weights


def hard(
    size: int = 12, *, is_ruled: bool = True, numbers: Literal["integer", "real", "none"] = "integer"
) -> Blueprint:
    """Make a blueprint.

    Parameters
    ----------
    size : int
        How many fields.
    is_ruled : bool
        Whether the rules on age and years of experience are part of it.
    numbers : {"integer", "real", "none"}
        What the two numbers of a block are; with "none" a block has its ten categorical fields only.

    Returns
    -------
    Blueprint
        Always the same one for the same arguments.
    """
    rng = np.random.default_rng(SEED)
    block = [name for name in BLOCK if name in CATEGORICAL or numbers != "none"]
    fields, constraints = [], []
    for place in range(size):
        name, suffix = block[place % len(block)], f"_{place // len(block) + 1}" if place >= len(block) else ""
        if name in CATEGORICAL:
            fields.append(categorical(name, suffix, rng))
        else:
            fields.append(number(name, suffix, is_integer=numbers == "integer"))
            lhs, op, rhs = (part.format(suffix) for part in RULES[name])
            constraints.append({"name": f"{name}{suffix}_rule", "lhs": lhs, "op": op, "rhs": rhs})
    order = [field["name"] for field in fields]
    return Blueprint.from_dict(
        {"domain": "hard", "order": order, "fields": fields, "constraints": constraints if is_ruled else []}
    )


def categorical(name: str, suffix: str, rng: np.random.Generator) -> dict[str, Any]:
    """A root, or a child with weights of its own for every combination of its parents' values."""
    _, parents = CATEGORICAL[name]
    field = {"name": name + suffix, "kind": "categorical", "parents": [parent + suffix for parent in parents]}
    if not parents:
        return field | {"categorical": table(name, rng)}
    cells = itertools.product(*map(values, parents))
    whens = [dict(zip(field["parents"], cell, strict=True)) for cell in cells]
    return field | {"conditionals": [{"when": when, "categorical": table(name, rng)} for when in whens]}


def number(name: str, suffix: str, *, is_integer: bool) -> dict[str, Any]:
    """A number with a mean of its own for every value of its parent."""
    parent, law = NUMERIC[name]
    conditionals = [
        {"when": {parent + suffix: value}, "numeric": law | {"mean": law["mean"] + i, "integer": is_integer}}
        for i, value in enumerate(values(parent))
    ]
    return {"name": name + suffix, "kind": "numeric", "parents": [parent + suffix], "conditionals": conditionals}


def table(name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Random weights for a field's values."""
    parts = rng.dirichlet(np.full(len(values(name)), CONCENTRATION))
    return {"weights": dict(zip(values(name), parts.tolist(), strict=True))}


def values(name: str) -> list[str]:
    """The values of a categorical field."""
    return [f"{name}_{i}" for i in range(CATEGORICAL[name][0])]
