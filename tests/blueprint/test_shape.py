"""The parts of a blueprint hold nothing that cannot be seen, and are refused in sentences that name the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from personalab import Blueprint, CategoricalField, Constraint, NumericField, PersonalabError, TextField
from personalab.blueprint.model import Categorical
from personalab.blueprint.shape import MOST_ITEMS
from personalab.errors import BlueprintError
from personalab.inference.draft import tidy

# A line break of Word's, controls, half a character, what turns a line round, what is not shown, no character at all.
UNSEEN = ["\x0b", "\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\xad", "\u200b", "\u2028", "\u202e", "\u2066"]
UNSEEN += ["\ufeff", "\ud800", "\udfff", "\ufffe", "\U0001ffff", "\U000e0041"]
# Accents, joiners as Persian and emoji need them, blanks that do not break, signs of Arabic, marks, emoji.
SEEN = ["a\u0301", "می‌خواهم", "👩‍🚀", "10\u202f%", "5\xa0km", "\u0600123", "हिन्दी", "❤️", " padded", "日本"]


def players() -> dict[str, Any]:
    """A blueprint with every place where a name or a text can stand."""
    rank = {"name": "rank", "kind": "categorical", "ordered_values": ["low", "high"], "description": "how good"}
    rank["categorical"] = {"weights": {"low": 0.5, "high": 0.5}}
    hours: Any = {"name": "hours", "kind": "numeric", "parents": ["rank"]}
    hours["numeric"] = {"min": 0, "max": 9, "mean": 4, "sd": 2}
    hours["conditionals"] = [{"when": {"rank": "low"}, "numeric": dict(hours["numeric"])}]
    rule = {"name": "busy", "lhs": "hours", "op": "<", "rhs": "9"}
    data = {"domain": "players", "order": ["rank", "hours"], "fields": [rank, hours], "constraints": [rule]}
    return data | {"rationale": "why", "sources": ["where"]}


def put(data: Any, steps: list[Any], word: str) -> dict[str, Any]:
    """The data with a word in a place; behind a star, as a key in another's stead."""
    part = data
    for step in steps[:-1]:
        part = part[step]
    last = steps[-1]
    if isinstance(last, str) and last.startswith("*"):
        part[word] = part.pop(last[1:])
    else:
        part[last] = word
    return data  # type: ignore[no-any-return]


NAMES: list[tuple[str, list[Any]]] = [
    ("order[0]", ["order", 0]),
    ("fields[0].name", ["fields", 0, "name"]),
    ("fields[0].ordered_values[1]", ["fields", 0, "ordered_values", 1]),
    ("fields[0].categorical.weights.", ["fields", 0, "categorical", "weights", "*low"]),
    ("fields[1].parents[0]", ["fields", 1, "parents", 0]),
    ("fields[1].conditionals[0].when.", ["fields", 1, "conditionals", 0, "when", "*rank"]),
    ("fields[1].conditionals[0].when.rank", ["fields", 1, "conditionals", 0, "when", "rank"]),
    ("constraints[0].name", ["constraints", 0, "name"]),
    ("constraints[0].rhs", ["constraints", 0, "rhs"]),
]
TEXTS: list[list[Any]] = [["domain"], ["rationale"], ["sources", 0], ["fields", 0, "description"]]


@pytest.mark.parametrize(("path", "steps"), NAMES, ids=[path for path, _ in NAMES])
@pytest.mark.parametrize("bad", UNSEEN, ids=ascii)
def test_a_name_with_what_cannot_be_seen_is_refused_where_it_stands(bad: str, path: str, steps: list[Any]) -> None:
    """Names and values are one line that can be printed; the message is one, too."""
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict(put(players(), steps, f"a{bad}b"))
    assert f"\n  {path}" in str(caught.value)
    assert "".join(str(caught.value).split("\n  ")).isprintable()


@pytest.mark.parametrize("good", SEEN, ids=ascii)
def test_a_name_in_any_writing_is_taken(good: str) -> None:
    """Every letter, mark, blank and emoji stays as it was typed."""
    bp = Blueprint.from_dict(put(players(), ["fields", 0, "description"], good))
    assert bp.fields[0].description == good
    assert CategoricalField(name=good, categorical=Categorical(weights={good: 1.0})).values == (good,)


@pytest.mark.parametrize("bad", UNSEEN, ids=ascii)
def test_what_is_inferred_can_be_loaded(bad: str) -> None:
    """A model's name, once tidied, is a name."""
    assert TextField(name=tidy(f"a{bad}b")).name


@pytest.mark.parametrize("steps", TEXTS, ids=str)
def test_texts_are_freed_of_what_cannot_be_seen(steps: list[Any]) -> None:
    """Line breaks of all kinds become one kind, and in the domain a blank."""
    text = "one\r\ntwo\x0bthree\u2028four\x00\ud800\x1b[0m\u202efive\tsix"
    part: Any = Blueprint.from_dict(put(players(), steps, text)).to_dict()
    for step in steps:
        part = part[step]
    lines = ["one", "two", "three", "four[0mfive six"]
    assert part == (" " if steps == ["domain"] else "\n").join(lines)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: CategoricalField(nam="side"), "name: missing\n  nam: unknown key, did you mean 'name'?"),
        (lambda: CategoricalField(name="side", categorical={"wieghts": {}}), "categorical.wieghts: unknown key"),
        (lambda: NumericField(name="n", numeric={"min": "0", "max": 1, "mean": 1, "sd": 0}), "numeric.min: input"),
        (lambda: Constraint(name="c", lhs="a", op="=<", rhs="b"), "'<', '<=', '>', '>=', '==' or '!=', got '=<'"),
        (lambda: Blueprint(domain="d", order=(), fields=()), "fields: tuple should have at least 1 item"),
        (lambda: setattr(TextField(name="bio"), "name", "x"), "a TextField is frozen"),
    ],
)
def test_what_is_built_by_a_call_is_refused_in_the_package_s_words(build: Callable[[], Any], told: str) -> None:
    """Every refusal is a PersonalabError, and a ValueError as Python has it."""
    with pytest.raises(PersonalabError) as caught:
        build()
    assert isinstance(caught.value, ValueError)
    assert told in str(caught.value)


def test_data_of_too_many_parts_is_refused_before_it_is_looked_at() -> None:
    """A list that goes round in itself is endless, and refused as well."""
    ring: list[Any] = []
    ring.append(ring)
    for data in ({"order": ["a"] * MOST_ITEMS, "fields": []}, {"order": ring}):
        with pytest.raises(BlueprintError, match="more than 100,000 keys and entries"):
            Blueprint.from_dict(data)
