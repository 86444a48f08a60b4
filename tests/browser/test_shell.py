"""The editor's frame in a real browser: navigation, history, rules, the prompt bar, and what the kernel says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

Command = dict[str, Any]
State = dict[str, Any]


def field(name: str, kind: str = "categorical", parents: tuple[str, ...] = (), changed: bool = False) -> State:
    """A field as the kernel sends it, in short."""
    common = {"name": name, "kind": kind, "description": f"The {name} of a player.", "parents": list(parents)}
    common |= {"changed": changed, "depends": [], "mentioned": [], "barred": {}, "rows": [], "more": 0}
    if kind == "categorical":
        return common | {"values": ["a", "b"], "ordered": False, "base": {"weights": [0.25, 0.75]}}
    if kind == "numeric":
        curve = [1 - abs(at - 32) / 32 for at in range(64)]
        return common | {"base": {"min": 16, "max": 60, "mean": 24, "sd": 5, "integer": True, "curve": curve}}
    return common


def full() -> State:
    """A state in which every part of the frame has something to show."""
    names = {
        "region": field("region"),
        "rank": field("rank", parents=("region",), changed=True),
        "age": field("age", "numeric"),
        "hours": field("hours", "numeric", ("rank", "age")),
        "motto": field("motto", "text", ("rank",)),
    }
    card = {"id": "p_001", "name": "Ada", "facts": [["rank", "a"]], "texts": [["motto", "Onward"]]}
    cells = [["a", 0.25, 0.26, 0.2, 0.3], ["b", 0.75, 0.74, 0.7, 0.8]]
    shares = {"kind": "shares", "title": "", "tvd": 0.01, "limit": 0.05, "expected": 0.02, "cells": cells}
    population = {"n": 1000, "seed": 7, "changed": 120, "edited": 80, "texts": 12, "written": True, "first": 0}
    population |= {"columns": ["id", *names], "rows": [[f"p_{at:03}", "a", "b", 20 + at, 9.5, "Onward"] for at in range(8)]}
    population |= {"cards": [card | {"tagline": "Keeps going", "portrait": None}], "summary": "2 fields, all inside."}
    return {
        "rev": 3, "domain": "League of Legends players", "rationale": "From the ladder of 2024.", "sources": ["ladder"],
        "notes": ["hours was widened"], "names": list(names), "fields": names, "people": {},
        "constraints": [{"name": "grown", "text": "age >= 16", "broken": 0}, {"name": "awake", "text": "hours < 100", "broken": 12}],
        "steps": ["opened", "weights of rank", "added motto", "mean of age"], "step": 2, "saved": "players.yaml",
        "diff": ["fields.rank.categorical.weights.a: 0.2 → 0.25", "fields.motto: added", "domain: players → League of Legends players"],
        "warnings": [{"path": "fields.region", "reason": "has no sources.", "fix": "name where its shares are from."},
                     {"path": "fields.motto", "reason": "hangs on one field only.", "fix": ""}],
        "population": population | {"caption": "1 of 60 shares outside the band"},
        "panels": {"region": shares | {"field": "region"}, "rank": shares | {"field": "rank"}},
        "groundings": ["off", "web"], "model": "a model", "work": None, "error": None, "has_blueprint": True,
    }  # fmt: skip


def empty() -> State:
    """The state of an editor that opened without a blueprint."""
    nothing: State = {key: [] for key in ("sources", "notes", "names", "constraints", "diff", "warnings")}
    nothing |= {"rev": 0, "domain": "", "rationale": "", "fields": {}, "people": None, "panels": {}, "population": None}
    nothing |= {"steps": ["opened"], "step": 0, "saved": "", "groundings": ["off", "web"], "model": "", "work": None}
    return nothing | {"error": None, "has_blueprint": False}


Answer = Callable[[Command], dict[str, Any]]


def kernel(**answers: Answer) -> tuple[list[Command], Callable[[Command], dict[str, Any]]]:
    """What came in, and a handler that answers each op as told, else with an empty patch."""
    came: list[Command] = []

    def handle(command: Command) -> dict[str, Any]:
        came.append(command)
        return {"ack": command["id"], **answers.get(command["op"], lambda _: {"patch": {}})(command)}

    return came, handle


def patch(**parts: Any) -> Answer:
    """An answer that changes the state."""
    return lambda _: {"patch": parts}


def refuse(message: str, hint: str = "") -> Answer:
    """An answer that changes nothing."""
    return lambda _: {"refused": {"message": message, "hint": hint}}
