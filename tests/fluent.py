"""A model that answers well, for a server (`fluent`) or as an object (`Fluent`): a sound draft, and personas.

It reads what it is to answer from the request's JSON schema alone, as a real model does, and writes the same each
time it is asked the same. What it writes of a person follows from the last message, so that people differ. It is
not keyed to any prompt: every population gets the same blueprint.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

from personalab.inference.draft import EXAMPLE

FIRST = (
    "Ada", "Bruno", "Chidi", "Dalia", "Emre", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kaito", "Lena", "Marek",
    "Noor", "Olga", "Pavel", "Quim", "Rosa", "Sven", "Tariq", "Uma", "Vera", "Wim", "Yara", "Zoe",
)  # fmt: skip
LAST = (
    "Almeida", "Berg", "Castro", "Dvorak", "Eriksen", "Ferrari", "Garcia", "Horvat", "Ito", "Jensen", "Kaya", "Lopez",
    "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vargas", "Weiss",
)  # fmt: skip
PLACES = (
    "under the arcade", "by the ferry stop", "outside the library", "near the old gate", "on the market square",
    "behind the theatre", "at the tram terminus", "in the station passage", "beside the canal",
)  # fmt: skip
HABITS = (
    "counts the coins twice", "knows every shopkeeper", "never repeats a set", "tunes by ear", "keeps a notebook",
    "shares the pitch with strangers", "arrives before the crowds", "plays requests for children", "saves for a van",
    "hums while packing up", "refuses amplifiers", "writes new songs on trains",
)  # fmt: skip
WORDS = (
    "copper", "lantern", "harbour", "winter", "cousin", "bicycle", "orchard", "thunder", "ribbon", "pepper", "marble",
    "whistle", "compass", "feather", "window", "garden", "kettle", "sparrow", "velvet", "basket",
)  # fmt: skip


def fluent(request: dict[str, Any], _number: int = 1) -> str:
    """Answer any request well; this is a script for `tests.server.Server`."""
    return answer(request["messages"], request["response_format"]["json_schema"]["schema"])


class Fluent:
    """The same as an object that can be passed as ``model=``."""

    def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
        """Answer a conversation."""
        return answer(messages, schema)


def answer(messages: list[dict[str, str]], schema: dict[str, Any]) -> str:
    """Answer a conversation: a draft, a persona, or a form of the staged inference."""
    keys = schema["properties"]
    if "constraints" in keys:
        return EXAMPLE.model_dump_json()
    dice = random.Random(hashlib.sha256(messages[-1]["content"].encode()).digest())
    if "portrait" in keys:
        return json.dumps(persona(list(keys), dice))
    if "attributes" in keys:
        return json.dumps(OUTLINE)
    if "rarest" in keys:
        most, rare = dice.sample(keys["rarest"]["enum"], 2)
        return json.dumps({"most_common": most, "next": dice.choice(keys["next"]["enum"]), "rarest": rare})
    return json.dumps({key: _piece(part, dice) for key, part in keys.items()})


def persona(keys: list[str], dice: random.Random) -> dict[str, str]:
    """A person's texts: the keys that were asked for, whichever they are."""
    place, habits = dice.choice(PLACES), dice.sample(HABITS, 3)
    w = dice.sample(WORDS, 8)
    told = {
        "name": f"{dice.choice(FIRST)} {dice.choice(LAST)}",
        "tagline": f"a player {place} who {habits[0]}",
        "portrait": dice.choice([
            f"Quick with a {w[0]} joke, slow with a {w[1]} answer. Somebody who {habits[1]}.",
            f"People remember the {w[0]} hat and how this one {habits[1]}. Nothing matters more than {w[1]} and tea.",
            f"Looks like {w[0]}, sounds like {w[1]}; {habits[1]} without being asked. Hates hurry.",
            f"Everyone says: {w[0]}, {w[1]}, patience. In private this friend {habits[1]}.",
        ]),
    }  # fmt: skip
    other = dice.choice([
        f"It began {place} with one {w[2]} and one borrowed {w[3]}. Ever since, {w[4]} and {w[5]}.",
        f"An aunt with a {w[2]} taught the first song over {w[3]} soup. Now each day ends {place} with {w[4]}.",
        f"After the {w[2]} factory closed, {w[3]} was all that remained. This stranger {habits[2]} and trusts {w[4]}.",
        f"Two trains, a {w[2]} suitcase, no plan but {w[3]}. Whoever stops {place} hears of {w[4]} and {w[6]}.",
    ])  # fmt: skip
    return {key: told.get(key, other) for key in keys}


def _piece(part: dict[str, Any], dice: random.Random) -> Any:
    """One entry of a small form: a count, a choice, or a low, a typical and a high number."""
    if "enum" in part:
        return dice.choice(part["enum"])
    if part["type"] == "integer":
        return dice.randint(10, 60)
    if part["type"] == "object":
        numbers = sorted(dice.randint(10, 60) for _ in part["properties"])
        return dict(zip(part["properties"], numbers, strict=True))
    return " ".join(dice.sample(WORDS, 3))


OUTLINE = {
    "rationale": "Hours follow from how far they live on it; city and instrument vary freely.",
    "member": "street musician",
    "youngest": 10,
    "oldest": 75,
    "attributes": [
        {"name": "city", "description": "city they mostly play in", "is_ordered": False,
         "values": ["Barcelona", "London", "Berlin", "Prague"]},
        {"name": "commitment", "description": "how far they live on it", "is_ordered": True,
         "values": ["hobby", "side income", "full time"]},
        {"name": "instrument", "description": "what they play", "is_ordered": False,
         "values": ["guitar", "violin", "accordion"]},
    ],
    "quantity": {"name": "hours_per_week", "description": "hours played per week", "unit": "hours", "lowest": 10,
                 "highest": 60},
}  # fmt: skip
