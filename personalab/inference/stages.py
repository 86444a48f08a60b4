"""Inference in small steps, for small models.

A model of one or two billion parameters cannot write a whole blueprint, but it can fill in one form after another:
an outline of attributes with their values, which value is common and which rare, which attribute the quantity
depends on, and its typical range for each value. Every form is closed, its choices are listed in the grammar, each
piece is checked by code, and only a piece that fails is asked for again. The conversation grows at its end only, so
that the server re-reads none of it.

What a small model says of numbers is not research. It can say which value is common and which is rare, but not how
common; so it is asked for the order, the shares follow by a fixed rule and stay close to equal ones, and the
blueprint's ``sources`` say whose estimates they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, create_model

from personalab.blueprint.validation import RESERVED
from personalab.errors import ProviderError
from personalab.inference.distributions import feasible
from personalab.inference.draft import asked
from personalab.inference.repair import BACKSTORY, NAME, ROOTS, slug
from personalab.llm import Connection
from personalab.llm.fencing import NOTICE, fenced, tidy

T = TypeVar("T", bound=BaseModel)
Messages = list[dict[str, str]]
Plain = Annotated[str, AfterValidator(tidy)]

ATTEMPTS = 4  # at one piece, each with a fresh seed
WARMER = 0.15  # by how much each attempt is hotter than the one before, so that it does not repeat it
PATCHED = 2  # from this attempt on, the sound attributes of all outlines so far will do
REASONING_ROOM = 4000  # tokens; what a strong model thinks before it answers counts, too
TAKEN = ("age", NAME["name"], BACKSTORY["name"], *RESERVED)  # names that no attribute or quantity may have
LONGEST_VALUE = 40  # characters; beyond, it is a sentence
CENTRAL = 3.29  # sds between the 5 % and the 95 % quantile of a normal
WIDEST = 0.6  # sd over mean; beyond, a quantity of which nothing is known but its range is mostly zeros and extremes
# What a small model's order of frequency is worth, as parts of the whole. Asked for percentages the 1.5B counts up
# 10, 20, 30, 40 in the order it listed the values (five of five prompts); asked which is commonest it answers sensibly.
FREQUENCY = {"most_common": 2.0, "next": 1.5, "other": 1.0, "rarest": 0.3}
ROOM = {"outline": 700, "frequency": 120, "age": 40, "parent": 60, "ranges": 400}  # tokens; an answer takes half


Value = Annotated[Plain, Field(min_length=1, max_length=LONGEST_VALUE + 10)]  # so that a rambling model comes to an end


class Attribute(BaseModel):
    """A categorical field in outline."""

    name: Plain = Field(min_length=2, max_length=28)
    description: Plain = Field(min_length=4, max_length=70)
    is_ordered: bool
    values: list[Value] = Field(min_length=3, max_length=6)


class Quantity(BaseModel):
    """A numeric field in outline."""

    name: Plain = Field(min_length=2, max_length=28)
    description: Plain = Field(min_length=4, max_length=70)
    unit: Plain = Field(min_length=1, max_length=16)
    lowest: int = Field(ge=0, le=100_000)
    highest: int = Field(ge=1, le=1_000_000)


class Outline(BaseModel):
    """The fields of a population, before any number; age is asked for by name, because everybody has one."""

    rationale: Plain = Field(min_length=20, max_length=240)
    member: Plain = Field(min_length=3, max_length=28)
    youngest: int = Field(ge=3, le=80)
    oldest: int = Field(ge=10, le=100)
    attributes: list[Attribute] = Field(min_length=3, max_length=4)
    quantity: Quantity


GUIDE = f"""\
You describe populations for a statistician. Given a population, name the attributes and quantities that tell its
members apart, in the words of their own world. An attribute has 3 to 6 short values that exclude each other and fit
every member; nothing in it may contradict the population. The quantity is a count or an amount that members have much
or little of, with its lowest and highest believable value. Attributes and quantity are about different things, and
none is about age, which is given by the youngest and the oldest member. {NOTICE} Answer in JSON."""

EXAMPLES = (
    (
        "street musicians in European cities",
        {
            "rationale": "What they earn depends on how far they live on it; city and instrument vary freely.",
            "member": "street musician",
            "youngest": 16,
            "oldest": 75,
            "attributes": [
                {"name": "city", "description": "city they mostly play in", "is_ordered": False,
                 "values": ["Barcelona", "London", "Berlin", "Prague"]},
                {"name": "commitment", "description": "how far they live on it", "is_ordered": True,
                 "values": ["hobby", "side income", "full time"]},
                {"name": "instrument", "description": "what they play", "is_ordered": False,
                 "values": ["guitar", "violin", "accordion", "percussion", "voice only"]},
            ],
            "quantity": {"name": "hours_per_week", "description": "hours played in the street per week",
                         "unit": "hours", "lowest": 1, "highest": 55},
        },
    ),
    (
        "owners of electric cars in Norway",
        {
            "rationale": "Mileage follows where they live and how they commute; charging follows the home.",
            "member": "electric car owner",
            "youngest": 19,
            "oldest": 85,
            "attributes": [
                {"name": "region", "description": "part of Norway they live in", "is_ordered": False,
                 "values": ["Oslo area", "western coast", "Trondelag", "northern Norway"]},
                {"name": "charging", "description": "where the car is mostly charged", "is_ordered": False,
                 "values": ["at home", "at work", "public fast charger", "street charger"]},
                {"name": "income_group", "description": "household income", "is_ordered": True,
                 "values": ["below average", "average", "above average", "high"]},
            ],
            "quantity": {"name": "km_per_year", "description": "distance driven per year",
                         "unit": "km", "lowest": 2000, "highest": 45000},
        },
    ),
)  # fmt: skip


async def infer_in_stages(prompt: str, connection: Connection) -> dict[str, Any]:
    """Ask a small model for a blueprint, piece by piece.

    Parameters
    ----------
    prompt : str
        Who the population is.
    connection : Connection
        The model.

    Returns
    -------
    dict
        The blueprint in wire form, every piece of it checked.

    Raises
    ------
    ProviderError
        If a piece did not come out right in any of the attempts; ``answer`` holds the last one.
    """
    shown = [turn for example, answer in EXAMPLES for turn in (_user(asked(example)), _assistant(answer))]
    talk = [{"role": "system", "content": GUIDE}, *shown, _user(asked(prompt))]
    outline = await _outline(connection, talk)
    talk.append(_assistant(outline.model_dump()))
    fields = [await _categorical(connection, talk, attribute) for attribute in outline.attributes]
    fields.append(await _age(connection, talk, outline))
    fields.append(await _numeric(connection, talk, outline.quantity, outline.attributes))
    return _blueprint(outline, fields)


async def _outline(connection: Connection, talk: Messages) -> Outline:
    """The outline: the sound attributes of one answer where they suffice, else of several."""
    sound: dict[str, Attribute] = {}
    answers: list[Outline] = []

    def fault(outline: Outline) -> str | None:
        answers.append(outline)
        mine = {slug(attribute.name): attribute for attribute in _sound(outline)}
        if len(mine) >= ROOTS:
            sound.clear()
        sound.update({name: attribute for name, attribute in mine.items() if name not in sound})
        is_enough = len(mine) >= ROOTS or (len(answers) >= PATCHED and len(sound) >= ROOTS)
        return _quantity_fault(outline.quantity) if is_enough else "too few attributes tell the members apart"

    outline = await _piece(connection, talk, Outline, "outline", fault)
    others = [item for name, item in sound.items() if name != slug(outline.quantity.name)]
    return outline.model_copy(update={"attributes": others[:4]})


async def _piece(
    connection: Connection, talk: Messages, type_: type[T], stage: str, fault: Callable[[T], str | None]
) -> T:
    """One form filled in and checked; a faulty one is drawn again, without its history, which a small model repeats."""
    wrong, answer = "", None
    room = ROOM[stage] if connection.is_small else REASONING_ROOM
    for sample in range(ATTEMPTS):
        try:
            filled = await connection.ask(
                talk, type_, stage="blueprint", sample=sample, max_tokens=room, temperature=0.7 + WARMER * sample
            )
        except ProviderError as error:
            if error.category not in ("invalid_output", "output_truncated"):
                raise
            wrong, answer = str(error), error.answer
            continue
        found = fault(filled)
        if found is None:
            return filled
        wrong, answer = found, filled.model_dump_json()
    raise ProviderError(
        f"{connection.name} did not fill in the {stage} in {ATTEMPTS} attempts: {wrong}",
        category="invalid_output",
        answer=answer,
        hint="word the prompt otherwise, or use a larger model",
    )


async def _categorical(connection: Connection, talk: Messages, attribute: Attribute) -> dict[str, Any]:
    """One root: which value is the commonest, which the next, which the rarest."""
    value: Any = (Literal[tuple(attribute.values)], ...)
    form = create_model("Frequency", most_common=value, next=value, rarest=value)
    question = _user(
        "In the real world, which value of this attribute do most members have, which is next, and which is the "
        f"rarest?\n{fenced(_named(attribute))}"
    )
    filled: Any = await _piece(connection, [*talk, question], form, "frequency", lambda _: None)
    # A value named twice keeps the likelier of its places.
    places = {filled.rarest: "rarest", filled.next: "next", filled.most_common: "most_common"}
    parts = [FREQUENCY[places.get(value, "other")] for value in attribute.values]
    field: dict[str, Any] = {
        "name": slug(attribute.name),
        "kind": "categorical",
        "description": attribute.description,
        "parents": [],
        "categorical": {"weights": dict(zip(attribute.values, _rounded(parts), strict=True))},
    }
    if attribute.is_ordered:
        field["ordered_values"] = list(attribute.values)
    return field | {"conditionals": []}


async def _age(connection: Connection, talk: Messages, outline: Outline) -> dict[str, Any]:
    youngest, oldest = sorted((outline.youngest, outline.oldest))
    oldest = max(oldest, youngest + 2)
    form = create_model("Age", typical_age=(int, Field(ge=youngest, le=oldest)))
    question = _user(f"How old is a typical member, between {youngest} and {oldest}?")
    filled: Any = await _piece(connection, [*talk, question], form, "age", lambda _: None)
    spread = (oldest - youngest) / CENTRAL / 1.5  # ages thin out towards both ends
    typical = min(max(filled.typical_age, youngest + spread / 2), oldest - spread / 2)
    numeric = {"min": youngest, "max": oldest, "mean": round(typical, 1), "sd": round(spread, 1), "integer": True}
    return {
        "name": "age",
        "kind": "numeric",
        "description": "age in years",
        "parents": [],
        "numeric": feasible(numeric),
        "conditionals": [],
    }


async def _numeric(
    connection: Connection, talk: Messages, quantity: Quantity, attributes: list[Attribute]
) -> dict[str, Any]:
    names: Any = Literal[tuple(attribute.name for attribute in attributes)]
    choice: Any = create_model("Parent", depends_on=(names, ...))
    question = _user(f"Which attribute does this quantity depend on most?\n{fenced(_named(quantity))}")
    chosen: Any = await _piece(connection, [*talk, question], choice, "parent", lambda _: None)
    parent = next(attribute for attribute in attributes if attribute.name == chosen.depends_on)
    lowest, highest = sorted((quantity.lowest, quantity.highest))
    number: Any = (int, Field(ge=lowest, le=highest))
    form = _form("Ranges", parent.values, create_model("Range", low=number, typical=number, high=number))
    question = _user(
        "For each value of this attribute: what is a low, a typical and a high number of this quantity, between "
        f"{lowest} and {highest}? Nine of ten members lie between low and high.\n"
        f"{fenced(_named(parent), f'{_named(quantity)}, in {quantity.unit}')}"
    )
    filled = await _piece(connection, [*talk, question], form, "ranges", lambda _: None)
    return {
        "name": slug(quantity.name),
        "kind": "numeric",
        "description": quantity.description,
        "parents": [slug(parent.name)],
        "conditionals": [
            {"when": {slug(parent.name): value}, "numeric": _distribution(quantity, **triple)}
            for value, triple in filled.model_dump(by_alias=True).items()
        ],
    }


def _form(name: str, keys: list[str], type_: Any, **bounds: Any) -> type[BaseModel]:
    """A closed object whose keys are a population's own values."""
    made: Any = {f"key_{i}": (type_, Field(alias=key, **bounds)) for i, key in enumerate(keys)}
    form: type[BaseModel] = create_model(name, **made)
    return form


def _distribution(quantity: Quantity, low: int, typical: int, high: int) -> dict[str, Any]:
    low, typical, high = sorted((low, typical, high))
    lowest, highest = sorted((quantity.lowest, quantity.highest))
    least = max(0.5, 0.05 * typical)  # nobody is alike to the digit, whatever a model says
    widest = max(least, min((highest - lowest) / 3, WIDEST * typical))
    sd = round(min(max((high - low) / CENTRAL, least), widest), 2)
    inside = min(max(typical, lowest + sd / 2), highest - sd / 2)
    return feasible({"min": lowest, "max": highest, "mean": round(inside, 1), "sd": sd, "integer": True})


def _blueprint(outline: Outline, fields: list[dict[str, Any]]) -> dict[str, Any]:
    roots = [field["name"] for field in fields if field["kind"] == "categorical"]
    member = re.sub(r"^[\W\d_]+", "", outline.member) or outline.member  # the prompt's own number of people
    name = NAME | {"description": f"full name of the {member}", "parents": roots[:1]}
    return {
        "domain": slug(member),
        "order": [field["name"] for field in fields],
        "fields": [*fields, name, BACKSTORY | {"parents": roots}],
        "constraints": [_constraint(outline.quantity)],
        "rationale": outline.rationale,
        "sources": [],
    }


def _constraint(quantity: Quantity) -> dict[str, str]:
    """What holds by the meaning of the quantity alone: nobody did anything for longer than they have lived."""
    name = slug(quantity.name)
    if quantity.unit.lower().startswith("year"):
        return {"name": f"{name}_within_age", "lhs": name, "op": "<=", "rhs": "age"}
    return {"name": f"{name}_not_negative", "lhs": name, "op": ">=", "rhs": "0"}


def _sound(outline: Outline) -> list[Attribute]:
    """The attributes that are of use: about something of their own, with at least two short values."""
    sound: dict[str, Attribute] = {}
    for attribute in outline.attributes:
        name = slug(attribute.name)
        short = [value for value in attribute.values if 0 < len(value) <= LONGEST_VALUE]
        named = {value.lower(): value for value in reversed(short) if value.lower() != attribute.description.lower()}
        is_own = name not in TAKEN and "age" not in name.split("_") and name != slug(outline.quantity.name)
        if name and is_own and len(named) > 1:
            sound[name] = attribute.model_copy(update={"values": list(reversed(named.values()))})
    return list(sound.values())


def _named(field: Attribute | Quantity) -> str:
    return f"{field.name}: {field.description}"


def _quantity_fault(quantity: Quantity) -> str | None:
    if slug(quantity.name) in ("", *TAKEN):
        return f"{quantity.name!r} cannot be the name of a quantity"
    return f"{quantity.name!r} has no range" if quantity.lowest == quantity.highest else None


def _rounded(parts: list[float]) -> list[float]:
    """Shares to three digits that sum to 1 exactly; the largest takes the difference."""
    shares = [round(part / sum(parts), 3) for part in parts]
    shares[shares.index(max(shares))] += 1 - math.fsum(shares)
    return [round(share, 3) for share in shares]


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _assistant(answer: dict[str, Any]) -> dict[str, str]:
    return {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)}
