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


def ruled(names: list[str], data: dict[str, Any]) -> dict[str, Any]:
    """The same blueprint, without conditionals and rules that speak of what is no more."""
    there = {field["name"]: field for field in data["fields"]}
    for field in data["fields"]:
        parents = field["parents"] = [name for name in field.get("parents", []) if name in there]
        if field["kind"] == "text":
            continue
        if not parents and field["kind"] not in field:
            field[field["kind"]] = field["conditionals"][0][field["kind"]]
        known = {name: set(conditions(there[name])) for name in parents if there[name]["kind"] == "categorical"}
        field["conditionals"] = [
            rule
            for rule in field.get("conditionals", [])
            if all(
                name in parents and (value in known[name] if name in known else ".." in value)
                for name, value in rule["when"].items()
            )
        ]
    data["constraints"] = [
        rule
        for rule in data["constraints"]
        if not any(name in f"{rule['lhs']} {rule['rhs']}".split() for name in names)
    ]
    return data


def in_turn(fields: list[dict[str, Any]], rank: dict[str, int]) -> list[str]:
    """Names of fields by rank, parents first."""
    order: list[str] = []
    left = [field for field in fields if field["kind"] != "text"]
    while left:
        ready = [field for field in left if set(field["parents"]) <= set(order)]
        field = min(ready, key=lambda one: rank[one["name"]])
        order.append(field["name"])
        left.remove(field)
    return order


def tables(field: dict[str, Any]) -> list[dict[str, Any]]:
    """Every distribution that a field states."""
    stated = [field, *field.get("conditionals", [])]
    return [each[field["kind"]] for each in stated if field["kind"] in each]


def values_of(field: dict[str, Any]) -> list[str]:
    """All values of a categorical field."""
    named = [*field.get("ordered_values", []), *(value for table in tables(field) for value in table["weights"])]
    return list(dict.fromkeys(named))


EDITS = (
    *("weights", "weights", "number", "number", "conditional", "conditional gone", "value", "value gone"),
    *("value renamed", "field", "field gone", "field renamed", "order", "parent", "parent gone", "rule", "rule gone"),
    *("rule eased", "kind", "text", "text gone"),
)


@st.composite
def edited(draw: st.DrawFn, bp: Blueprint) -> Blueprint:
    """A blueprint after one edit, which may have made it invalid; of a kind that does not apply, the same one."""
    data, edit = bp.to_dict(), draw(st.sampled_from(EDITS))
    drawn = [field for field in data["fields"] if field["kind"] != "text"]
    by_name = {field["name"]: field for field in data["fields"]}
    kind = "categorical" if edit.startswith(("weights", "value")) else "numeric" if edit == "number" else None
    fitting = [field for field in drawn if kind in (None, field["kind"])]
    if not fitting:
        return bp
    field = draw(st.sampled_from(fitting))
    name, values = field["name"], values_of(field) if field["kind"] == "categorical" else []
    stated = (
        weights(values).map(lambda table: {"weights": table})
        if values
        else numerics(integer=tables(field)[0]["integer"])
    )
    if edit == "weights":
        draw(st.sampled_from(tables(field)))["weights"] = draw(weights(values))
    elif edit == "number":
        draw(st.sampled_from(tables(field))).update(draw(numerics()))
    elif edit == "conditional" and field["parents"]:
        when = {parent: draw(st.sampled_from(conditions(by_name[parent]))) for parent in field["parents"]}
        others = [rule for rule in field["conditionals"] if rule["when"] != when]
        field["conditionals"] = [*others, {"when": when, field["kind"]: draw(stated)}]
    elif edit == "conditional gone" and field["conditionals"]:
        field["conditionals"].remove(draw(st.sampled_from(field["conditionals"])))
    elif edit == "value":
        for table in tables(field):
            table["weights"] = draw(weights([*table["weights"], "new"]))
        if "ordered_values" in field:
            field["ordered_values"].insert(draw(st.integers(0, len(values))), "new")
    elif edit == "value gone" and len(values) > 1:
        gone = draw(st.sampled_from(values))
        for table in tables(field):
            table["weights"].pop(gone, None)
            if not sum(table["weights"].values()):
                table["weights"] = draw(weights([value for value in values if value != gone]))
            total = sum(table["weights"].values())
            table["weights"] = {value: share / total for value, share in table["weights"].items()}
        if "ordered_values" in field:
            field["ordered_values"].remove(gone)
    elif edit == "value renamed":
        old = draw(st.sampled_from(values))
        for table in tables(field):
            table["weights"] = {"new" if value == old else value: share for value, share in table["weights"].items()}
        if "ordered_values" in field:
            field["ordered_values"] = ["new" if value == old else value for value in values]
    elif edit in ("field", "kind"):
        places = data["order"] if edit == "field" else data["order"][: data["order"].index(name)]
        others = [by_name[one] for one in places if one != "g"]
        fresh = draw(fields("g" if edit == "field" else name, others))
        data["fields"] = [each for each in data["fields"] if each["name"] != fresh["name"]] + [fresh]
        data["order"] = [*data["order"], "g"] if edit == "field" and "g" not in data["order"] else data["order"]
        data = ruled([name], data) if edit == "kind" else data
        rank = {each: place for place, each in enumerate(data["order"])}
        data["order"] = in_turn(data["fields"], rank)
    elif edit == "field gone" and len(drawn) > 1:
        data["fields"].remove(field)
        data["order"].remove(name)
    elif edit == "field renamed":
        data = Renaming(name, "renamed").of(data)
    elif edit == "order":
        data["fields"] = draw(st.permutations(data["fields"]))
        shuffled = draw(st.permutations(data["order"]))
        data["order"] = in_turn(data["fields"], {each: place for place, each in enumerate(shuffled)})
    elif edit == "parent":
        before = [by_name[one] for one in data["order"][: data["order"].index(name)] if one not in field["parents"]]
        field["parents"] += [draw(st.sampled_from(before))["name"]] if before else []
    elif edit == "parent gone" and field["parents"]:
        gone = draw(st.sampled_from(field["parents"]))
        field["parents"].remove(gone)
    elif edit == "rule":
        fresh_rules = draw(constraints([by_name[one] for one in data["order"]]))
        data["constraints"] = [rule | {"name": f"new_{i}"} for i, rule in enumerate(fresh_rules)]
    elif edit == "rule gone":
        data["constraints"] = data["constraints"][1:]
    elif edit == "rule eased":
        for rule in data["constraints"]:
            rule["rhs"] += " + 3"
    elif edit == "text":
        data["fields"] = [*(each for each in data["fields"] if each["name"] != "cv"), {"name": "cv", "kind": "text"}]
    elif edit == "text gone":
        data["fields"] = drawn
    return Blueprint.from_dict(ruled([name] if edit == "field gone" else [], data))


class Renaming:
    """One name for another, wherever a blueprint speaks of the field."""

    def __init__(self, old: str, new: str) -> None:
        self.names = {old: new}

    def of(self, data: dict[str, Any]) -> dict[str, Any]:
        """The same blueprint with the new name."""
        data["order"] = [self.names.get(name, name) for name in data["order"]]
        for field in data["fields"]:
            field["name"] = self.names.get(field["name"], field["name"])
            field["parents"] = [self.names.get(name, name) for name in field.get("parents", [])]
            for rule in field.get("conditionals", []):
                rule["when"] = {self.names.get(name, name): value for name, value in rule["when"].items()}
        for rule in data["constraints"]:
            for side in ("lhs", "rhs"):
                rule[side] = " ".join(self.names.get(word, word) for word in rule[side].split())
        return data
