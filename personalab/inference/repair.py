"""Repair: what a model still gets wrong is mended by rule, and every mending is written down.

Each step takes a blueprint in wire form and mends one kind of fault in place: names, texts, parents, weights, moments,
conditions (these three in `personalab.inference.distributions`), coverage, order, constraints. Nothing is dropped in
silence: a step returns a sentence for each thing it changed, and these become the blueprint's ``notes``. A step acts
only on what is at fault, so a sound blueprint passes through untouched and without notes. What no rule can supply,
such as an attribute that nobody thought of, is noted too.
"""

from __future__ import annotations

import copy
import graphlib
import keyword
import re
import unicodedata
from collections.abc import Iterator

from personalab.blueprint.model import Blueprint, CategoricalField, NumericField
from personalab.blueprint.validation import RESERVED, validate
from personalab.errors import BlueprintError
from personalab.inference.distributions import Wire, average, mend_conditions, mend_moments, mend_weights, tables
from personalab.sampling.sample import sample

TRIAL = 500  # rows drawn to see that a blueprint samples; a branch that one in a hundred reaches is among them
NAME: Wire = {"name": "name", "kind": "text", "description": "full name", "parents": [], "conditionals": []}
BACKSTORY: Wire = {
    "name": "backstory",
    "kind": "text",
    "description": "a short paragraph on who they are and how they came to be here",
    "parents": [],
    "conditionals": [],
}
ROOTS = 2  # categorical fields without parents that a population needs to have marginals worth comparing


def repaired(data: Wire) -> Blueprint:
    """Mend a drafted blueprint until it samples.

    Parameters
    ----------
    data : dict
        Wire form, as a model's draft yields it.

    Returns
    -------
    Blueprint
        One that has no errors and has been drawn from; its ``notes`` say what was changed, and what is missing.

    Raises
    ------
    BlueprintError
        If no rule mends it.
    """
    data = copy.deepcopy(data)
    notes: list[str] = list(data.get("notes") or ())
    # Weights are looked at twice: a parent that goes takes tables along, which may have been the last to name a value.
    steps = (
        _names, _texts, _parents, mend_weights, mend_moments, mend_conditions, _coverage, mend_weights, _order,
        _constraints,
    )  # fmt: skip
    for step in steps:
        notes += step(data)
    if not data["order"]:
        raise BlueprintError("nothing is left to sample", hint="; ".join(notes) or None)
    notes += _trial(data)
    notes += [f"{lack}, and no rule can supply that" for lack, _ in lacks(Blueprint.from_dict(data))]
    return Blueprint.from_dict({**data, "notes": notes or None})


def lacks(bp: Blueprint) -> Iterator[tuple[str, str]]:
    """What every blueprint needs and this one has not, each with what to do about it."""
    numbers = [field for field in bp.fields if isinstance(field, NumericField)]
    if len(bp.roots) < ROOTS:
        yield "there are fewer than two categorical fields without parents", "add what tells members apart"
    if not numbers:
        yield "there is no numeric field", "add one, such as an age, a duration or a frequency"
    if not any(field.parents for field in bp.fields if isinstance(field, CategoricalField | NumericField)):
        yield "no field depends on another", "add parents and conditionals where an expert would"
    if numbers and not bp.constraints:
        yield "there is no constraint", "add a comparison that every member obeys"
    if "name" not in {field.name for field in bp.texts}:
        yield "there is no text field called 'name'", "add it"


def _names(data: Wire) -> Iterator[str]:
    """Plain names, each once; who speaks of a field by its old name speaks of it by its new one."""
    if not data["domain"].strip():
        data["domain"] = "population"
        yield "the domain had no name and is called 'population'"
    renamed: dict[str, str] = {}
    kept: dict[str, Wire] = {}
    for i, field in enumerate(data["fields"]):
        name = slug(field["name"]) or f"field_{i + 1}"
        name = f"{name}_field" if name in RESERVED or keyword.iskeyword(name) else name
        if name in kept:
            yield f"the second field called {name!r} was removed"
            continue
        if name != field["name"]:
            renamed[field["name"]] = name
            yield f"the field {field['name']!r} was renamed {name!r}"
        kept[name] = field | {"name": name}
    data["fields"] = list(kept.values())
    data["order"] = [renamed.get(name, name) for name in data["order"]]
    for field in data["fields"]:
        field["parents"] = list(dict.fromkeys(_renamed(name, renamed, kept) for name in field["parents"]))
        for rule in field["conditionals"]:
            rule["when"] = {_renamed(name, renamed, kept): value for name, value in rule["when"].items()}
    for constraint in data["constraints"]:
        for old, new in renamed.items():
            if old and not old[0].isdecimal():  # a field called "42" is not what an expression means by 42
                for side in ("lhs", "rhs"):
                    constraint[side] = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, constraint[side])


def _renamed(name: str, renamed: dict[str, str], known: dict[str, Wire]) -> str:
    new = renamed.get(name, name)
    return new if new in known else slug(new)


def _texts(data: Wire) -> Iterator[str]:
    """Every population has names and backstories, and neither is drawn from a table."""
    fields = {field["name"]: field for field in data["fields"]}
    for extra in (NAME, BACKSTORY):
        field = fields.get(extra["name"])
        if field is None:
            data["fields"].append(copy.deepcopy(extra))
            yield f"the text field {extra['name']!r} was added"
        elif field["kind"] != "text":
            description = field["description"] or extra["description"]
            field.clear()
            field.update(copy.deepcopy(extra), description=description)
            yield f"{extra['name']!r} was made a text field"


def _parents(data: Wire) -> Iterator[str]:
    """Whoever a condition names is a parent; unknown ones, texts and rings go."""
    kinds = {field["name"]: field["kind"] for field in data["fields"]}
    for field in data["fields"]:
        named = [name for rule in field["conditionals"] for name in rule["when"]]
        for name in dict.fromkeys(name for name in named if name not in field["parents"]):
            field["parents"].append(name)
            yield f"{name!r} was made a parent of {field['name']!r}, which has conditionals for it"
        for name in list(field["parents"]):
            if name not in kinds:
                yield from _cut(field, name, "is no field")
            elif name == field["name"]:
                yield from _cut(field, name, "is the field itself")
            elif kinds[name] == "text" and field["kind"] != "text":
                yield from _cut(field, name, "is written after all sampling")
    while ring := _ring(data):
        yield from _cut(next(field for field in data["fields"] if field["name"] == ring[1]), ring[0], "closes a ring")


def _cut(field: Wire, parent: str, why: str) -> Iterator[str]:
    field["parents"] = [name for name in field["parents"] if name != parent]
    field["conditionals"] = [rule for rule in field["conditionals"] if parent not in rule["when"]]
    yield f"{parent!r} is no longer a parent of {field['name']!r}, because it {why}"


def _ring(data: Wire) -> list[str]:
    try:
        graphlib.TopologicalSorter({field["name"]: field["parents"] for field in data["fields"]}).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _coverage(data: Wire) -> Iterator[str]:
    """A field with no distribution goes; one that has none everywhere gets the average of what it has as its base."""
    while gone := [f["name"] for f in data["fields"] if f["kind"] != "text" and not list(tables(f))]:
        data["fields"] = [field for field in data["fields"] if field["name"] not in gone]
        for name in gone:
            yield f"the field {name!r} had no distribution and was removed"
            for field in data["fields"]:
                if name in field["parents"]:
                    yield from _cut(field, name, "was removed")
    for field in data["fields"]:
        if field["kind"] != "text" and field["kind"] not in field and not _is_covered(data, field):
            field[field["kind"]] = average(field["kind"], [table for _, table in tables(field)])
            yield f"{field['name']!r} was not stated for every value of its parents; the rest has the average"


def _is_covered(data: Wire, field: Wire) -> bool:
    trial = {**data, "constraints": [], "order": _sorted(data)}
    found = validate(Blueprint.from_dict(trial))
    return not any(f.level == "error" and f.path == f"fields.{field['name']}" for f in found)


def _order(data: Wire) -> Iterator[str]:
    """Parents first; the order follows from them, so that a new one is not worth a word."""
    data["order"] = _sorted(data)
    yield from ()


def _sorted(data: Wire) -> list[str]:
    """Parents first, else as ordered, else as listed."""
    sampled = [field["name"] for field in data["fields"] if field["kind"] != "text"]
    listed = list(dict.fromkeys(name for name in (*data["order"], *sampled) if name in sampled))
    parents = {field["name"]: [name for name in field["parents"] if name in listed] for field in data["fields"]}
    order: list[str] = []
    while len(order) < len(listed):
        order.append(next(name for name in listed if name not in order and set(parents[name]) <= set(order)))
    return order


def _constraints(data: Wire) -> Iterator[str]:
    """Rules that can be judged and can hold, each under a name of its own."""
    kept: dict[str, Wire] = {}
    for i, constraint in enumerate(data["constraints"]):
        name = constraint["name"] or f"rule_{i + 1}"
        if constraint in kept.values():
            yield f"the constraint {name!r} stands twice and was kept once"
            continue
        while name in kept:
            name += "_too"
        named = {**constraint, "name": name}
        found = validate(Blueprint.from_dict({**data, "constraints": [named]}))
        wrong = [f for f in found if f.path == f"constraints.{name}" and f.level != "note"]
        if wrong:
            yield f"the constraint {name!r} was removed: {wrong[0].reason}"
            continue
        if name != constraint["name"]:
            yield f"the constraint {constraint['name']!r} was renamed {name!r}"
        kept[name] = named
    data["constraints"] = list(kept.values())


def _trial(data: Wire) -> Iterator[str]:
    """Draw once; of constraints that cannot be met together the last goes, and the bounds of a number remain."""
    while True:
        bp = Blueprint.from_dict(data)
        try:
            sample(bp, TRIAL, seed=0)
        except BlueprintError as error:
            blamed = [item for item in bp.constraints if f"{item.name} ({item})" in str(error)]
            if not blamed:
                raise
            data["constraints"] = [item for item in data["constraints"] if item["name"] != blamed[-1].name]
            yield f"the constraint {blamed[-1].name!r} was removed: some members could not obey it"
            continue
        break
    numbers = [field for field in bp.fields if isinstance(field, NumericField)]
    if numbers and not bp.constraints:
        field, least = numbers[0], min(distribution.min for distribution in numbers[0].distributions)
        bound = {"name": f"{field.name}_in_range", "lhs": field.name, "op": ">=", "rhs": str(least)}
        data["constraints"] = [bound]
        yield f"no constraint was left, so {field.name} >= {least} was added, which says no more than its range"


def slug(text: str) -> str:
    """A plain name: lower case, words joined by underscores, at most 64 characters, beginning with a letter.

    Examples
    --------
    >>> slug("Hours per Week!")
    'hours_per_week'
    """
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", text).lower()).strip("_")  # as Python reads names
    plain = re.sub(r"^[\d_]+", "", words)[:64].strip("_")
    return plain if plain.isidentifier() else ""
