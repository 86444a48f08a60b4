"""Tests of `personalab.schemas`."""

from __future__ import annotations

import enum
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field, RootModel

from personalab.schemas import response_format, strict_schema
from tests.server import answer_well, plausible


class Rank(enum.Enum):
    """Two ranks."""

    GOLD = "Gold"
    IRON = "Iron"


class Weight(BaseModel):
    """A value and its share."""

    value: str = Field(description="as declared", min_length=1, max_length=40)
    weight: float = Field(ge=0, le=1)


class Draft(BaseModel, frozen=True):
    """A field."""

    rationale: str
    kind: Literal["categorical", "numeric"]
    only: Literal["this"] = "this"
    rank: Rank = Field(default=Rank.GOLD, description="the better")
    weights: list[Weight] = Field(default_factory=list, min_length=2, max_length=9)
    best: Weight
    is_ordered: bool = False


# the part of JSON Schema that OpenAI documents for strict structured outputs, less what others refuse
ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "enum", "description"}


def _violations(node: dict[str, Any]) -> list[str]:
    """List what a strict server would refuse."""
    found = sorted(set(node) - ALLOWED)
    if node["type"] == "object":
        found += [] if node["additionalProperties"] is False else ["open"]
        found += [] if node["required"] == list(node["properties"]) else ["optional"]
    parts = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
    return found + [violation for part in parts for violation in _violations(part)]


def test_a_type_becomes_a_schema_that_every_server_takes():
    """References are inlined, objects closed, all properties required, nothing else said."""
    assert _violations(strict_schema(Draft)) == []


def test_properties_keep_their_order():
    """A model writes them in this order, so what it should think of first stands first."""
    assert list(strict_schema(Draft)["properties"]) == list(Draft.model_fields)


def test_closed_lists_and_descriptions_survive():
    """A constant is a list of one, an enumeration its values, and what a field means is said."""
    fields = strict_schema(Draft)["properties"]
    assert fields["kind"] == {"type": "string", "enum": ["categorical", "numeric"]}
    assert fields["only"] == {"type": "string", "enum": ["this"]}
    assert fields["rank"] == {"type": "string", "enum": ["Gold", "Iron"], "description": "the better"}


def test_bounds_are_kept_where_they_are_wanted():
    """The embedded server's grammar enforces them; other servers may refuse them."""
    weights = strict_schema(Draft, bounded=True)["properties"]["weights"]
    assert (weights["minItems"], weights["maxItems"]) == (2, 9)
    assert weights["items"]["properties"]["value"]["maxLength"] == 40
    assert weights["items"]["properties"]["weight"]["maximum"] == 1


def test_the_schema_is_marked_strict():
    """The wrapping names it and asks for strictness."""
    told = response_format("Draft", strict_schema(Draft))
    assert told["json_schema"]["strict"] is True
    assert told["json_schema"]["name"] == "Draft"


class Tree(BaseModel):
    """A type that contains itself."""

    below: list[Tree]


TOO_MUCH = {
    "optional": int | None,
    "union": Weight | Tree,
    "dictionary": dict[str, float],
    "tuple": tuple[int, str],
    "anything": Any,
    "bare list": list,
    "mixed": Literal["a", 1],
    "recursion": Tree,
    "list of optionals": list[int | None],
}


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_a_type_that_needs_more_is_refused_at_once(kind):
    """The error names the place."""
    holder = type("Holder", (BaseModel,), {"__annotations__": {"held": TOO_MUCH[kind]}})
    with pytest.raises(TypeError, match=r"Holder\.held"):
        strict_schema(holder)


def test_a_type_that_is_no_object_is_refused():
    """The answer has to be an object; a list of them is a property of one."""
    with pytest.raises(TypeError, match="has to be an object"):
        strict_schema(RootModel[list[int]])
    with pytest.raises(TypeError, match="contains itself"):
        strict_schema(Tree)


@pytest.mark.parametrize("bounded", [False, True])
def test_the_test_servers_answers_fit(bounded):
    """A plausible instance is valid under its schema, and under the type."""
    schema = strict_schema(Draft, bounded=bounded)
    jsonschema.validate(plausible(schema), schema)
    if bounded:
        request = {"response_format": response_format("Draft", schema)}
        assert Draft.model_validate_json(answer_well(request)).rank is Rank.GOLD
