"""Fields as the kernel describes them, and a kernel that answers for them, for the tests of their editors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import exp
from typing import Any

Field = dict[str, Any]


def distribution(low: float, high: float, mean: float, sd: float, *, integer: bool = False) -> dict[str, Any]:
    """A numeric distribution, its density a bell."""
    places = [low + (high - low) * i / 63 for i in range(64)]
    heights = [exp(-0.5 * ((x - mean) / (sd or 1)) ** 2) for x in places]
    return {
        "min": low,
        "max": high,
        "mean": mean,
        "sd": sd,
        "integer": integer,
        "curve": [h / max(heights) for h in heights],
    }


def field(name: str, kind: str, **given: Any) -> Field:
    """A field with nothing stated but what is given."""
    empty: Field = {"description": "", "parents": [], "changed": False, "depends": [], "mentioned": [], "barred": {}}
    return {"name": name, "kind": kind, **empty, "base": None, "rows": [], "more": 0, **given}


def categorical(name: str, weights: dict[str, float], **given: Any) -> Field:
    """A categorical field with a base."""
    base = {"weights": list(weights.values())}
    return field(name, "categorical", values=list(weights), ordered=False, base=base, **given)


RANKS = {"Iron": 0.05, "Bronze": 0.2, "Silver": 0.3, "Gold": 0.25, "Platinum": 0.15, "Diamond": 0.05}


def rank(**given: Any) -> Field:
    """A field of six values."""
    return {**categorical("rank", RANKS), "description": "the ladder's tier", "ordered": True, **given}


def hours(**given: Any) -> Field:
    """A numeric root."""
    return field(
        "hours",
        "numeric",
        **{"base": distribution(0, 40, 12, 5), "description": "hours played in a usual week", **given},
    )


def rows(
    held_at: Callable[[int], dict[str, Any]], *parents: tuple[str, list[str]], stated: int = 2
) -> list[dict[str, Any]]:
    """A row for each combination of the parents' values; every `stated`-th is stated, the others follow."""
    made = []
    for at, values in enumerate(product(*(texts for _, texts in parents))):
        when = dict(zip((name for name, _ in parents), values, strict=True))
        label = ", ".join(f"{key}={value}" for key, value in when.items())
        origin = ("stated", "interpolated", "inherited", "base")[at % 4 if at % stated else 0]
        made.append(
            {"when": when, "label": label, "origin": origin, "from": f"{parents[0][0]}={values[0]}", **held_at(at)}
        )
    return made


def state(*fields: Field, **given: Any) -> dict[str, Any]:
    """The whole state with these fields."""
    names = [each["name"] for each in fields]
    lists: dict[str, Any] = {key: [] for key in ("sources", "notes", "constraints", "diff", "warnings")}
    work = {
        "population": None,
        "panels": {},
        "people": {},
        "groundings": ["off"],
        "model": "",
        "work": None,
        "error": None,
    }
    steps = {"rev": 1, "steps": ["opened"], "step": 0, "saved": "", "has_blueprint": True}
    about = {"domain": "players", "rationale": "", "names": names, "fields": {each["name"]: each for each in fields}}
    return {**about, **lists, **steps, **work, **given}


class Kernel:
    """Answers as the kernel would: sets weights and numbers, states and removes rows, refuses what `refusals` names."""

    def __init__(self, state: dict[str, Any], **refusals: str) -> None:
        self.state = state
        self.refusals = refusals
        self.heard: list[dict[str, Any]] = []

    def __call__(self, command: dict[str, Any]) -> dict[str, Any]:
        """Answer one command."""
        self.heard.append(command)
        if command["op"] in self.refusals:
            return {"ack": command["id"], "refused": {"message": self.refusals[command["op"]], "hint": None}}
        act = getattr(self, command["op"], None)
        if act is None:
            return {"ack": command["id"], "patch": {}}
        act(command)
        name = command["field"]
        return {"ack": command["id"], "patch": {"fields": {name: self.state["fields"][name]}}}

    def last(self, op: str) -> dict[str, Any]:
        """The last command of this op."""
        return [command for command in self.heard if command["op"] == op][-1]

    def held(self, command: dict[str, Any]) -> dict[str, Any]:
        """What the command is about: a row, which is stated from now on, or the base."""
        field = self.state["fields"][command["field"]]
        if not command["when"]:
            base: dict[str, Any] = field["base"]
            return base
        row: dict[str, Any] = next(row for row in field["rows"] if row["when"] == command["when"])
        row["origin"] = "stated"
        return row

    def set_weights(self, command: dict[str, Any]) -> None:
        """Hold new weights."""
        values = self.state["fields"][command["field"]]["values"]
        self.held(command)["weights"] = [command["weights"][value] for value in values]

    def set_numeric(self, command: dict[str, Any]) -> None:
        """Hold new promises."""
        self.held(command).update(
            distribution(*(command[key] for key in ("min", "max", "mean", "sd")), integer=command["integer"])
        )

    def add_row(self, command: dict[str, Any]) -> None:
        """State what holds at a row."""
        self.held(command)

    def remove_row(self, command: dict[str, Any]) -> None:
        """Let a row follow from the base."""
        self.held(command)["origin"] = "base"

    def rename_value(self, command: dict[str, Any]) -> None:
        """Give a value another name."""
        field = self.state["fields"][command["field"]]
        field["values"] = [command["to"] if value == command["value"] else value for value in field["values"]]

    def move_value(self, command: dict[str, Any]) -> None:
        """Move a value, and its weight with it."""
        field = self.state["fields"][command["field"]]
        at = field["values"].index(command["value"])
        for kept in (field["values"], field["base"]["weights"]):
            kept.insert(at + command["by"], kept.pop(at))

    def remove_value(self, command: dict[str, Any]) -> None:
        """Leave a value out; the others share what it had."""
        field = self.state["fields"][command["field"]]
        at = field["values"].index(command["value"])
        gone = field["base"]["weights"].pop(at)
        field["values"].pop(at)
        field["base"]["weights"] = [weight / (1 - gone) for weight in field["base"]["weights"]]

    def remove_base(self, command: dict[str, Any]) -> None:
        """Leave the field without a base."""
        self.state["fields"][command["field"]]["base"] = None

    def set_parents(self, command: dict[str, Any]) -> None:
        """Let the field depend on others."""
        self.state["fields"][command["field"]]["parents"] = command["parents"]
