"""Inference in small steps, for small models.

A model of one or two billion parameters cannot write a whole blueprint, but it can fill in one form after another:
an outline of attributes with their values, the shares of one attribute, which attribute a quantity depends on, and its
typical range for each value. Every form is closed, its choices are listed in the grammar, each piece is checked by
code, and only a piece that fails is asked for again. The conversation grows at its end only, so that the
server re-reads none of it.

What a small model says of numbers is not research. Its shares fall off in the order it listed the values, whatever
they are, so they are drawn towards equal ones, and the blueprint's ``sources`` say whose estimates they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, create_model

from personalab.errors import ProviderError
from personalab.inference.distributions import feasible
from personalab.inference.draft import tidy
from personalab.inference.repair import BACKSTORY, NAME, ROOTS, slug
from personalab.lint import RESERVED
from personalab.llm import Connection

T = TypeVar("T", bound=BaseModel)
Plain = Annotated[str, AfterValidator(tidy)]
Messages = list[dict[str, str]]

ATTEMPTS = 4  # at one piece, each with a fresh seed
WARMER = 0.15  # by how much each attempt is hotter than the one before, so that it does not repeat it
REASONING_ROOM = 4000  # tokens; what a strong model thinks before it answers counts, too
FEWEST = 2  # values that make an attribute worth having
PATCHED = 2  # from this attempt on, the sound parts of all outlines so far will do
SHRINKAGE = 0.4  # how far a small model's shares are drawn towards equal ones; its word is worth little more than half
CENTRAL = 3.29  # sds between the 5 % and the 95 % quantile of a normal
ROOM = {"outline": 700, "shares": 200, "parent": 40, "ranges": 400}  # tokens; a full answer takes half


LONGEST_VALUE = 40  # characters; beyond, it is a sentence
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
    """The fields of a population, before any number."""

    rationale: Plain = Field(min_length=20, max_length=240)
    member: Plain = Field(min_length=3, max_length=28)
    attributes: list[Attribute] = Field(min_length=3, max_length=4)
    quantities: list[Quantity] = Field(min_length=2, max_length=2)

    @property
    def parts(self) -> list[Attribute | Quantity]:
        """All fields in outline."""
        return [*self.attributes, *self.quantities]


GUIDE = """\
You describe populations for a statistician. Given a population, name the attributes and quantities that tell its
members apart, in the words of their own world. An attribute has 3 to 6 short values that exclude each other and fit
every member; nothing in it may contradict the population. A quantity is a count or an amount with its lowest and
highest believable value. Each attribute and quantity is about something different. Answer in JSON."""

EXAMPLES = (
    (
        "street musicians in European cities",
        {
            "rationale": "What they earn depends on how far they live on it; city and instrument vary freely.",
            "member": "street musician",
            "attributes": [
                {"name": "city", "description": "city they mostly play in", "is_ordered": False,
                 "values": ["Barcelona", "London", "Berlin", "Prague"]},
                {"name": "commitment", "description": "how far they live on it", "is_ordered": True,
                 "values": ["hobby", "side income", "full time"]},
                {"name": "instrument", "description": "what they play", "is_ordered": False,
                 "values": ["guitar", "violin", "accordion", "percussion", "voice only"]},
            ],
            "quantities": [
                {"name": "age", "description": "age in years", "unit": "years", "lowest": 16, "highest": 75},
                {"name": "hours_per_week", "description": "hours played in the street per week", "unit": "hours",
                 "lowest": 1, "highest": 55},
            ],
        },
    ),
    (
        "owners of electric cars in Norway",
        {
            "rationale": "Mileage follows where they live and how they commute; charging follows the home.",
            "member": "electric car owner",
            "attributes": [
                {"name": "region", "description": "part of Norway they live in", "is_ordered": False,
                 "values": ["Oslo area", "western coast", "Trondelag", "northern Norway"]},
                {"name": "charging", "description": "where the car is mostly charged", "is_ordered": False,
                 "values": ["at home", "at work", "public fast charger", "street charger"]},
                {"name": "income_group", "description": "household income", "is_ordered": True,
                 "values": ["below average", "average", "above average", "high"]},
            ],
            "quantities": [
                {"name": "age", "description": "age in years", "unit": "years", "lowest": 19, "highest": 85},
                {"name": "km_per_year", "description": "distance driven per year", "unit": "km",
                 "lowest": 2000, "highest": 45000},
            ],
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
    shown = [turn for example, answer in EXAMPLES for turn in (_user(f"Population: {example}"), _assistant(answer))]
    talk = [{"role": "system", "content": GUIDE}, *shown, _user(f"Population: {prompt}")]
    outline = await _outline(connection, talk)
    talk.append(_assistant(outline.model_dump()))
    fields = [await _categorical(connection, talk, attribute) for attribute in outline.attributes]
    fields += [await _numeric(connection, talk, quantity, outline.attributes) for quantity in outline.quantities]
    return _blueprint(outline, fields)


async def _outline(connection: Connection, talk: Messages) -> Outline:
    """The outline: one answer where it is sound, else the sound parts of several."""
    parts: dict[str, Attribute | Quantity] = {}
    wholes: list[Outline] = []

    def fault(outline: Outline) -> str | None:
        found = _outline_fault(outline)
        wholes.append(outline)
        for part in outline.parts:
            if (mended := _mended(part)) is not None:
                parts.setdefault(slug(part.name), mended)
        is_enough = len(wholes) >= PATCHED and _patched(outline, parts) is not None
        return None if is_enough else found

    outline = await _piece(connection, talk, Outline, "outline", fault)
    return outline if _outline_fault(outline) is None else _patched(outline, parts) or outline


def _patched(outline: Outline, parts: dict[str, Attribute | Quantity]) -> Outline | None:
    """An outline of the parts that are sound, if they suffice."""
    attributes = [part for part in parts.values() if isinstance(part, Attribute)][:4]
    quantities = [part for part in parts.values() if isinstance(part, Quantity)][:2]
    if len(attributes) < ROOTS or not quantities:
        return None
    return outline.model_copy(update={"attributes": attributes, "quantities": quantities})


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
    form = _form("Shares", attribute.values, int, ge=0, le=100)
    question = _user(
        f"Of 100 members, how many have each value of {attribute.name} ({attribute.description})? "
        "Use real-world knowledge: some values are common and some are rare, whatever their place in the list."
    )
    filled = await _piece(connection, [*talk, question], form, "shares", _shares_fault)
    counts = list(filled.model_dump(by_alias=True).values())
    equal = 1 / len(counts)
    shares = [(1 - SHRINKAGE) * count / sum(counts) + SHRINKAGE * equal for count in counts]
    field: dict[str, Any] = {
        "name": slug(attribute.name),
        "kind": "categorical",
        "description": attribute.description,
        "parents": [],
        "categorical": {"weights": dict(zip(attribute.values, _rounded(shares), strict=True))},
    }
    if attribute.is_ordered:
        field["ordered_values"] = list(attribute.values)
    return field | {"conditionals": []}


async def _numeric(
    connection: Connection, talk: Messages, quantity: Quantity, attributes: list[Attribute]
) -> dict[str, Any]:
    names: Any = Literal[tuple(attribute.name for attribute in attributes)]
    choice: Any = create_model("Parent", depends_on=(names, ...))
    question = _user(f"Which attribute does {quantity.name} ({quantity.description}) depend on most?")
    chosen: Any = await _piece(connection, [*talk, question], choice, "parent", lambda _: None)
    parent = next(attribute for attribute in attributes if attribute.name == chosen.depends_on)
    number: Any = (int, Field(ge=quantity.lowest, le=quantity.highest))
    form = _form("Ranges", parent.values, create_model("Range", low=number, typical=number, high=number))
    question = _user(
        f"For each {parent.name}: what is a low, a typical and a high {quantity.name} in {quantity.unit}, "
        f"between {quantity.lowest} and {quantity.highest}? Nine of ten members lie between low and high."
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
    widest = (quantity.highest - quantity.lowest) / 3
    least = max(0.5, 0.05 * typical)  # nobody is alike to the digit, whatever a model says
    sd = min(max((high - low) / CENTRAL, least), widest)
    moments = {"min": quantity.lowest, "max": quantity.highest, "mean": typical, "sd": round(sd, 2), "integer": True}
    inside = min(max(typical, quantity.lowest + sd / 2), quantity.highest - sd / 2)
    return feasible(moments | {"mean": round(inside, 1)})


def _blueprint(outline: Outline, fields: list[dict[str, Any]]) -> dict[str, Any]:
    roots = [field["name"] for field in fields if field["kind"] == "categorical"]
    name = NAME | {"description": f"full name of the {outline.member}", "parents": roots[:1]}
    return {
        "domain": slug(outline.member),
        "order": [field["name"] for field in fields],
        "fields": [*fields, name, BACKSTORY | {"parents": roots}],
        "constraints": _constraints(outline),
        "rationale": outline.rationale,
        "sources": [],
    }


def _constraints(outline: Outline) -> list[dict[str, str]]:
    """What must hold by the meaning of the quantities alone: nobody did anything for longer than they have lived."""
    years = [slug(q.name) for q in outline.quantities if q.unit.lower().startswith("year")]
    spans = [name for name in years if "age" in years and name != "age"]
    if spans:
        return [{"name": f"{name}_within_age", "lhs": name, "op": "<=", "rhs": "age"} for name in spans]
    last = outline.quantities[-1]
    name = slug(last.name)
    return [{"name": f"{name}_in_range", "lhs": name, "op": ">=", "rhs": str(last.lowest)}]


def _outline_fault(outline: Outline) -> str | None:
    if len({slug(part.name) for part in outline.parts}) < len(outline.parts):
        return "two fields have the same name"
    return next((found for part in outline.parts if (found := _part_fault(part))), None)


def _part_fault(part: Attribute | Quantity) -> str | None:
    name = slug(part.name)
    if not name or name in (NAME["name"], BACKSTORY["name"], *RESERVED):
        return f"{part.name!r} cannot be the name of a field"
    if isinstance(part, Quantity):
        return None if part.lowest < part.highest else f"{part.name!r} has no range"
    values = [value.lower() for value in part.values]
    if len(set(values)) < len(values) or not all(values):
        return f"{part.name!r} lists a value twice"
    return f"a value of {part.name!r} is a sentence" if max(map(len, values)) > LONGEST_VALUE else None


def _mended(part: Attribute | Quantity) -> Attribute | Quantity | None:
    """The part without the values that it lists twice or at length, if two are left."""
    if isinstance(part, Attribute):
        short = {value.lower(): value for value in reversed(part.values) if value and len(value) <= LONGEST_VALUE}
        if len(short) >= FEWEST:
            part = part.model_copy(update={"values": list(reversed(short.values()))})
    return part if _part_fault(part) is None else None


def _shares_fault(shares: BaseModel) -> str | None:
    return None if sum(shares.model_dump().values()) > 0 else "all shares are 0"


def _rounded(shares: list[float]) -> list[float]:
    """Shares to three digits that sum to 1 exactly; the largest takes the difference."""
    digits = [round(share, 3) for share in shares]
    digits[digits.index(max(digits))] += 1 - math.fsum(digits)
    return [round(share, 3) for share in digits]


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _assistant(answer: dict[str, Any]) -> dict[str, str]:
    return {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)}
