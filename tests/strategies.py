"""Random blueprints that are valid, for tests that state what holds of every one of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import strategies as st

from personalab import Blueprint

# Words that file formats, spreadsheets and frames like to take for something else.
ODD_VALUES = ("NO", "null", "1.5", "", "it's", '"quoted"', "日本", "a: b", "#1", "18..24", " padded", "-", "2020-01-01")
SHARES = st.integers(0, 1000).map(lambda k: k / 1000)


@st.composite
def weights(draw: st.DrawFn, values: list[str]) -> dict[str, float]:
    """Shares for the values named, some of them 0, that sum to 1."""
    parts = draw(st.lists(st.integers(0, 20), min_size=len(values), max_size=len(values)))
    parts[draw(st.integers(0, len(values) - 1))] += 1
    return {value: part / sum(parts) for value, part in zip(values, parts, strict=True)}


@st.composite
def numerics(draw: st.DrawFn, *, integer: bool | None = None, roomy: bool = False) -> dict[str, Any]:
    """Four promises that some distribution keeps; `roomy` ones stay so when interpolated and rounded."""
    integer = draw(st.booleans()) if integer is None else integer
    low: float = draw(st.integers(-50, 50))
    width: float = draw(st.integers(10, 60) if roomy else st.integers(0, 60))
    if not integer:
        low, width = low / 4, width / 8
    share = draw(SHARES.map(lambda s: 0.2 + 0.6 * s) if roomy else SHARES)
    mean = min(low + share * width, low + width)
    fraction = mean - math.floor(mean)
    narrowest = math.sqrt(fraction * (1 - fraction)) if integer else 0.0
    widest = math.sqrt((mean - low) * (low + width - mean))
    if roomy:
        narrowest, widest = 0.5 if integer else 0.0, 0.7 * widest
    sd = narrowest + draw(SHARES) * max(widest - narrowest, 0.0)
    return {"min": low, "max": low + width, "mean": mean, "sd": sd, "integer": integer}


@st.composite
def categories(draw: st.DrawFn, name: str) -> tuple[list[str], bool]:
    """One to eight values of a field, and whether they have an order."""
    plain = [f"{name}_{i}" for i in range(draw(st.integers(1, 8)))]
    odd = draw(st.sampled_from([value for value in ODD_VALUES if value.strip()]))
    return [*plain[1:], odd] if draw(st.booleans()) else plain, draw(st.booleans())


def spans(parent: dict[str, Any]) -> list[str]:
    """Two intervals that cover a numeric parent."""
    stated = [parent.get("numeric"), *(rule["numeric"] for rule in parent["conditionals"])]
    least, most = (pick(d[key] for d in stated if d) for pick, key in ((min, "min"), (max, "max")))
    middle = math.floor((least + most) / 2)
    return [f"..{middle}", f"{middle + 1 if stated[-1]['integer'] else middle}.."]


def conditions(parent: dict[str, Any]) -> list[str]:
    """Everything that a condition can say about a parent."""
    if parent["kind"] == "numeric":
        return spans(parent)
    return list(parent["categorical"]["weights"] if "categorical" in parent else parent["ordered_values"])


@st.composite
def fields(draw: st.DrawFn, name: str, before: list[dict[str, Any]]) -> dict[str, Any]:
    """A root, or a child of one or two fields before it, wholly covered or with a base for the rest."""
    kind = draw(st.sampled_from(["categorical", "numeric"]))
    parents = draw(st.lists(st.sampled_from(before), max_size=2, unique_by=lambda f: f["name"])) if before else []
    field: dict[str, Any] = {"name": name, "kind": kind, "description": "", "parents": [p["name"] for p in parents]}
    combinations = list(itertools.product(*(conditions(parent) for parent in parents))) if parents else []
    is_whole = bool(parents) and draw(st.booleans())
    if kind == "categorical":
        values, is_ordered = draw(categories(name))
        stated = weights(values).map(lambda table: {"weights": table})
        if is_ordered:
            field["ordered_values"] = values
    else:
        stated = numerics(integer=draw(st.booleans()), roomy=not is_whole)
    chosen = combinations if is_whole else [c for c in combinations if draw(st.booleans())]
    if not is_whole or (kind == "categorical" and "ordered_values" not in field):
        field[kind] = draw(stated)
    names = field["parents"]
    field["conditionals"] = [{"when": dict(zip(names, c, strict=True)), kind: draw(stated)} for c in chosen]
    return field


@st.composite
def constraints(draw: st.DrawFn, sampled: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rules that leave every branch of the field they speak of some value at or below its mean."""
    found = []
    numeric = [f for f in sampled if f["kind"] == "numeric"]
    for i, field in enumerate(numeric):
        if not draw(st.booleans()):
            continue
        stated = [d for d in [field.get("numeric"), *(rule["numeric"] for rule in field["conditionals"])] if d]
        top = math.ceil(max(d["mean"] for d in stated))
        rhs = str(top) if top >= 0 else f"-{-top}"
        if i and draw(st.booleans()):
            other = numeric[draw(st.integers(0, i - 1))]
            tables = [other.get("numeric"), *(rule["numeric"] for rule in other["conditionals"])]
            least = math.floor(min(d["min"] for d in tables if d))
            rhs = f"{other['name']} + {top - least}" if top >= least else f"{other['name']} - {least - top}"
        found.append({"name": f"rule_{i}", "lhs": field["name"], "op": "<=", "rhs": rhs})
    return found


@st.composite
def blueprints(draw: st.DrawFn, max_fields: int = 5) -> Blueprint:
    """A valid blueprint: roots and children of both kinds, perhaps rules, perhaps a text."""
    sampled: list[dict[str, Any]] = []
    for i in range(draw(st.integers(1, max_fields))):
        sampled.append(draw(fields(f"f{i}", sampled)))
    texts = [{"name": "bio", "kind": "text", "parents": [sampled[0]["name"]]}] if draw(st.booleans()) else []
    return Blueprint.from_dict(
        {
            "domain": "people",
            "order": [field["name"] for field in sampled],
            "fields": [*draw(st.permutations(sampled)), *texts],
            "constraints": draw(constraints(sampled)),
        }
    )
