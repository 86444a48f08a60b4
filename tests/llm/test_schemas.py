"""Tests of `personalab.llm.schemas`."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import llguidance
import pytest
from outlines_core.json_schema import build_regex_from_schema
from pydantic import BaseModel, Field, RootModel

import personalab as lab
from personalab import Blueprint
from personalab.inference import draft
from personalab.llm.schemas import response_format, strict_schema
from personalab.writing.write import persona_form
from tests.fluent import Fluent
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


# What OpenAI documents for strict structured outputs (platform.openai.com/docs/guides/structured-outputs, "Supported
# schemas"), less what other servers refuse of it: unions, references, patterns, formats and bounds.
ALLOWED = {"type", "properties", "required", "additionalProperties", "items", "enum", "description"}
KINDS = {"object", "array", "string", "integer", "number", "boolean"}
MOST_PROPERTIES, MOST_LEVELS, MOST_CHARACTERS, MOST_CHOICES = 5000, 10, 120_000, 1000
LONG_ENUM, LONG_ENUM_CHARACTERS = 250, 15_000


def _nodes(node: dict[str, Any], level: int = 1) -> Iterator[tuple[dict[str, Any], int]]:
    yield node, level
    for part in (*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])):
        yield from _nodes(part, level + (node["type"] == "object"))


def _violations(schema: dict[str, Any]) -> list[str]:
    """List what a strict server would refuse."""
    nodes = list(_nodes(schema))
    found = [key for node, _ in nodes for key in sorted(set(node) - ALLOWED)]
    found += [f"the type {node.get('type')}" for node, _ in nodes if node.get("type") not in KINDS]
    for node, _ in nodes:
        names = list(node.get("properties", {}))
        if node["type"] == "object":
            found += [] if node.get("additionalProperties") is False else ["open"]
            found += [] if node["required"] == names else ["optional"]
        found += [] if (node["type"] == "array") == ("items" in node) else ["items"]
        choices = [str(choice) for choice in node.get("enum", ())]
        found += ["a long enum"] * (len(choices) > LONG_ENUM and len("".join(choices)) > LONG_ENUM_CHARACTERS)
    names = [name for node, _ in nodes for name in node.get("properties", ())]
    choices = [str(choice) for node, _ in nodes for choice in node.get("enum", ())]
    limits = {
        "properties": len(names) > MOST_PROPERTIES,
        "levels": max(level for _, level in nodes) > MOST_LEVELS,
        "characters": len("".join(names + choices)) > MOST_CHARACTERS,
        "choices": len(choices) > MOST_CHOICES,
        "root": schema["type"] != "object",
    }
    return found + [name for name, is_passed in limits.items() if is_passed]


class Watched(Fluent):
    """A fluent model that keeps the schemas it is sent; one whose drafts are of no use is asked in stages."""

    def __init__(self, *, is_small: bool, drafts: bool = True) -> None:
        self.is_small = is_small
        self.drafts = drafts
        self.schemas: list[dict[str, Any]] = []

    def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """Answer, and remember."""
        self.schemas.append(schema)
        is_draft = "constraints" in schema["properties"]
        return super().complete(messages, schema) if self.drafts or not is_draft else "no"


@pytest.fixture(scope="module")
def sent() -> dict[str, list[dict[str, Any]]]:
    """Every schema that is sent on the way from a sentence to personas: by a strong, a weak and a small model."""
    models = {
        "strong": Watched(is_small=False),
        "weak": Watched(is_small=False, drafts=False),
        "small": Watched(is_small=True),
    }
    for model in models.values():
        lab.generate("street musicians", 2, seed=7, model=model)
    return {name: model.schemas for name, model in models.items()}


def test_every_form_is_among_what_is_checked(sent):
    """A blueprint, each stage of one, and a persona are all asked for."""
    keys = {next(iter(schema["properties"])) for schemas in sent.values() for schema in schemas}
    assert keys >= {"rationale", "most_common", "typical_age", "depends_on", "name"}
    assert [strict_schema(draft.Draft), strict_schema(persona_form(_texts()))] == [sent["strong"][0], sent["strong"][1]]


def _texts() -> Blueprint:
    return lab.infer("street musicians", model=Fluent())


def test_what_is_sent_is_strict(sent):
    """Nothing that is sent to a server is outside the part of JSON Schema that all strict servers take."""
    assert [_violations(schema) for schema in (*sent["strong"], *sent["weak"]) if _violations(schema)] == []
    assert _violations(strict_schema(Draft)) == []


def test_the_checker_finds_what_it_looks_for():
    """Bounds, defaults, open objects, optional properties and large schemas are noticed."""
    bounded = _violations(strict_schema(Draft, bounded=True))
    assert {"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"} <= set(bounded)
    raw = Weight.model_json_schema() | {"properties": {"a": {"type": "string", "default": "b"}}, "required": []}
    assert {"title", "default", "open", "optional"} <= set(_violations(raw))
    many = {"type": "array", "items": {"type": "string", "enum": [str(n) for n in range(1001)]}}
    assert {"choices", "root"} <= set(_violations(many))


def test_a_small_model_comes_to_an_end(sent):
    """Towards the embedded model, whose grammar keeps to bounds, every text and every list has one."""
    nodes = [node for schema in sent["small"] for node, _ in _nodes(schema)]
    texts = [node for node in nodes if node["type"] == "string" and "enum" not in node]
    lists = [node for node in nodes if node["type"] == "array"]
    assert texts
    assert lists
    assert [node for node in texts if "maxLength" not in node] == []
    assert [node for node in lists if "maxItems" not in node] == []


@pytest.mark.parametrize("who", ["strong", "weak", "small"])
def test_what_is_sent_compiles_and_admits_an_answer(sent, who):
    """Two engines, llguidance and outlines, turn each schema into a grammar under which a plain answer is possible."""
    tokenizer = llguidance.LLTokenizer("byte")
    for schema in sent[who]:
        answer = json.dumps(plausible(schema))
        matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
        assert matcher.get_error() == ""
        tokens = tokenizer.tokenize_str(answer)
        assert matcher.validate_tokens(tokens) == len(tokens)
        assert re.fullmatch(build_regex_from_schema(json.dumps(schema)), answer)


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
    """The wrapping asks for strictness, and names the schema in letters that every server takes."""
    told = response_format("Draft [ö]" + "x" * 90, strict_schema(Draft))
    assert told["json_schema"]["strict"] is True
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", told["json_schema"]["name"])
    assert "strict" not in response_format("Draft", strict_schema(Draft), is_strict=False)["json_schema"]


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
