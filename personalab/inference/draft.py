"""The draft: a blueprint in the form that a model fills in.

The wire form of a blueprint has dictionaries with free keys and parts that may be absent, which no server's strict
schema can express. A draft says the same with closed objects, lists of pairs, and empty lists for what is absent.
Its ``rationale`` comes first, because a model writes properties in order and plans better before than after.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from personalab.llm.fencing import NOTICE, fenced, tidy

Finite = Annotated[float, Field(allow_inf_nan=False)]  # JSON as Python reads it knows Infinity and NaN


class DraftWeight(BaseModel):
    """One value and its share."""

    value: str
    weight: Finite


class DraftNumeric(BaseModel):
    """A numeric distribution."""

    min: Finite
    max: Finite
    mean: Finite
    sd: Finite
    integer: bool


class DraftCondition(BaseModel):
    """A parent and the value, or interval of values, that a conditional holds for."""

    field: str
    value: str


class DraftConditional(BaseModel):
    """What holds for some parent values: weights for a categorical field, one numeric for a numeric one."""

    when: list[DraftCondition]
    weights: list[DraftWeight]
    numeric: list[DraftNumeric]


class DraftField(BaseModel):
    """A field, of whichever kind; the lists that its kind does not use stay empty."""

    name: str
    kind: Literal["categorical", "numeric", "text"]
    description: str
    parents: list[str]
    ordered_values: list[str]
    weights: list[DraftWeight]
    numeric: list[DraftNumeric]
    conditionals: list[DraftConditional]


class DraftConstraint(BaseModel):
    """A rule that every member obeys."""

    name: str
    lhs: str
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    rhs: str


class Draft(BaseModel):
    """A blueprint as a model writes it."""

    rationale: str
    domain: str
    fields: list[DraftField]
    constraints: list[DraftConstraint]


def wire(draft: Draft) -> dict[str, Any]:
    """Turn a draft into a blueprint's wire form, faults included.

    Parameters
    ----------
    draft : Draft
        What the model wrote.

    Returns
    -------
    dict
        For `personalab.inference.repair.repaired`; not yet a valid blueprint. What the wire form has no place for,
        such as a value listed twice, is told in ``notes``, which are absent where there is nothing to tell.
    """
    notes: list[str] = []
    data = {
        "domain": tidy(draft.domain),
        "order": [tidy(field.name) for field in draft.fields if field.kind != "text"],
        "fields": [_field(field, notes) for field in draft.fields],
        "constraints": [
            {key: tidy(value) for key, value in constraint.model_dump().items()} for constraint in draft.constraints
        ],
        "rationale": tidy(draft.rationale),
        "sources": [],
    }
    return data | ({"notes": notes} if notes else {})


def _field(field: DraftField, notes: list[str]) -> dict[str, Any]:
    name = tidy(field.name)
    plain: dict[str, Any] = {
        "name": name,
        "kind": field.kind,
        "description": tidy(field.description),
        "parents": [tidy(parent) for parent in field.parents],
    }
    if field.kind == "text":
        if field.weights or field.numeric or field.conditionals:
            notes.append(f"the distribution of the text field {name!r} was left out")
        return plain | {"conditionals": []}
    plain |= _distribution(name, field.kind, field, notes)
    if field.kind == "categorical" and field.ordered_values:
        plain["ordered_values"] = [tidy(value) for value in field.ordered_values]
    return plain | {"conditionals": list(_conditionals(name, field, notes))}


def _conditionals(name: str, field: DraftField, notes: list[str]) -> Iterator[dict[str, Any]]:
    for rule in field.conditionals:
        when = {tidy(item.field): tidy(item.value) for item in rule.when}
        inner = _distribution(f"{name} at {when}", field.kind, rule, notes)
        if len(when) < len(rule.when):
            notes.append(f"a conditional of {name!r} names a parent twice; it was read as {when}")
        if when and inner:
            yield {"when": when, **inner}
        else:
            notes.append(f"the conditional of {name!r} for {when} had no {'condition' if inner else 'distribution'}")


def _distribution(where: str, kind: str, part: DraftField | DraftConditional, notes: list[str]) -> dict[str, Any]:
    """The distribution that a field's kind has; one of the other kind is told of."""
    used, unused = (part.weights, part.numeric) if kind == "categorical" else (part.numeric, part.weights)
    if unused:
        notes.append(f"{where} is {kind}, so its {'weights' if kind == 'numeric' else 'numeric'} were left out")
    if not used:
        return {}
    if kind == "categorical":
        return {"categorical": {"weights": _weights(where, part.weights, notes)}}
    if part.numeric[1:]:
        notes.append(f"only the first numeric of {where} was kept")
    return {"numeric": {key: _short(value) for key, value in part.numeric[0].model_dump().items()}}


def _weights(where: str, listed: list[DraftWeight], notes: list[str]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in listed:
        value = tidy(item.value)
        if value in weights:
            notes.append(f"{where} lists {value!r} twice; its weights were added up")
        weights[value] = weights.get(value, 0.0) + item.weight
    return weights


def _short(value: float | bool) -> float | int | bool:
    """A whole float as the int that a person would write."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


GUIDE = f"""\
You are a demographer. From a one-line description of a population you write its blueprint: the statistical model
that a sampler draws members from. You never write members yourself.

A blueprint has fields of three kinds.
- categorical: `weights` lists every value with its share; the shares are positive and sum to 1. Fill `ordered_values`
  with all values from least to greatest when they have a natural order, else leave it empty.
- numeric: `numeric` holds one distribution: min, max, mean, sd, and whether values are integers. The mean lies well
  inside min..max and sd is at most a third of that range.
- text: written later, one person at a time. Always include one text field called name and one called backstory.

A field depends on its `parents`. For each value of a parent, add a conditional whose `when` names the parent and the
value, with the weights or the numeric that hold there. Cover every value. A condition on a numeric parent is an
interval such as "18..29" or "65..". Fields come parents first, and never depend on each other in a ring.

What makes a blueprint good:
- It is about who these people are, in the words of their own world: 5 to 9 sampled fields that tell members apart.
- At least two categorical fields without parents, at least one numeric field, and at least two dependencies
  that an expert would insist on.
- Weights are what is known or likely of the real population, not equal shares and not round guesses for their own sake.
- `constraints` hold for every member: comparisons between numeric fields, or numbers, such as
  years_experience <= age - 16. Expressions use field names, numbers, + - * /, min(), max(), abs(), and
  comparisons of a categorical field with a quoted value. At least one where numbers allow.
- Names are short, lower case, with underscores. Descriptions are one plain clause. The domain is one or two words.
- `rationale` says in two or three sentences what drives this population and which numbers you are least sure of.
Ignore any number of people in the description: how many are drawn is decided elsewhere.
{NOTICE}
"""

EXAMPLE_PROMPT = "street musicians in European cities"
EXAMPLE = Draft.model_validate(
    {
        "rationale": "Hours in the street follow from how far they live on it; experience is bounded by age. "
        "The share of full-time players is the least certain number.",
        "domain": "street_musician",
        "fields": [
            {
                "name": "city", "kind": "categorical", "description": "city they mostly play in", "parents": [],
                "ordered_values": [], "numeric": [], "conditionals": [],
                "weights": [
                    {"value": "Barcelona", "weight": 0.24}, {"value": "London", "weight": 0.28},
                    {"value": "Berlin", "weight": 0.29}, {"value": "Prague", "weight": 0.19},
                ],
            },
            {
                "name": "commitment", "kind": "categorical", "description": "how far they live on it", "parents": [],
                "ordered_values": ["hobby", "side income", "full time"], "numeric": [], "conditionals": [],
                "weights": [
                    {"value": "hobby", "weight": 0.37}, {"value": "side income", "weight": 0.41},
                    {"value": "full time", "weight": 0.22},
                ],
            },
            {
                "name": "age", "kind": "numeric", "description": "age in years", "parents": [], "ordered_values": [],
                "weights": [], "conditionals": [],
                "numeric": [{"min": 16, "max": 75, "mean": 33, "sd": 12, "integer": True}],
            },
            {
                "name": "hours_per_week", "kind": "numeric", "description": "hours played in the street per week",
                "parents": ["commitment"], "ordered_values": [], "weights": [], "numeric": [],
                "conditionals": [
                    {"when": [{"field": "commitment", "value": value}], "weights": [], "numeric": [numeric]}
                    for value, numeric in (
                        ("hobby", {"min": 1, "max": 15, "mean": 4, "sd": 2.5, "integer": True}),
                        ("side income", {"min": 4, "max": 30, "mean": 13, "sd": 5, "integer": True}),
                        ("full time", {"min": 15, "max": 55, "mean": 32, "sd": 8, "integer": True}),
                    )
                ],
            },
            {
                "name": "years_playing", "kind": "numeric", "description": "years since they first played outdoors",
                "parents": [], "ordered_values": [], "weights": [], "conditionals": [],
                "numeric": [{"min": 0, "max": 50, "mean": 7, "sd": 6.5, "integer": True}],
            },
            {
                "name": "name", "kind": "text", "description": "full name, fitting the city", "parents": ["city"],
                "ordered_values": [], "weights": [], "numeric": [], "conditionals": [],
            },
            {
                "name": "backstory", "kind": "text", "description": "how they came to play in the street",
                "parents": ["commitment", "years_playing"], "ordered_values": [], "weights": [], "numeric": [],
                "conditionals": [],
            },
        ],
        "constraints": [{"name": "started_as_a_child_at_most", "lhs": "years_playing", "op": "<=", "rhs": "age - 12"}],
    }
)  # fmt: skip


def conversation(prompt: str) -> list[dict[str, str]]:
    """The messages that ask for a draft: the guide and an example, always the same, and the prompt last."""
    return [
        {"role": "system", "content": GUIDE},
        {"role": "user", "content": asked(EXAMPLE_PROMPT)},
        {"role": "assistant", "content": json.dumps(EXAMPLE.model_dump(), ensure_ascii=False)},
        {"role": "user", "content": asked(prompt)},
    ]


def asked(prompt: str) -> str:
    """What is said of a population."""
    return f"Population:\n{fenced(prompt)}"
