"""Panels and a population as the kernel describes them, for the tests of the chart and of what stands beside it."""

from __future__ import annotations

import math
from typing import Any

from tests.browser import fields

DASH = "\N{EN DASH}"
RANKS = {"Iron": (0.15, 0.16), "Silver": (0.45, 0.44), "Gold": (0.2, 0.201), "Diamond": (0.2, 0.199)}


def shares(field: str, cells: dict[str, tuple[float, float]], n: int = 1000) -> dict[str, Any]:
    """A categorical field's panel: requested and achieved by value, with the band of `n` draws."""
    drawn = []
    for value, (requested, achieved) in cells.items():
        half = 1.96 * math.sqrt(requested * (1 - requested) / n)
        drawn.append([value, requested, achieved, max(0.0, requested - half), min(1.0, requested + half)])
    far = {"title": field, "tvd": 0.0812, "limit": 0.0004, "expected": 0.026, "rules": []}
    return {"field": field, "kind": "shares", **far, "cells": drawn}


def numbers(field: str) -> dict[str, Any]:
    """A numeric field's panel: 20 bins from 0 to 100, the requested mean at 40."""
    heights = [math.exp(-((x + 2.5 - 40) ** 2) / 450) for x in range(0, 100, 5)]
    bins = [[5 * at, 5 * at + 5, height / sum(heights), 1 / 20] for at, height in enumerate(heights)]
    achieved = {"mean": 50.0, "sd": 28.9, "min": 0, "max": 100}
    moments = {"requested": {"mean": 40.0, "sd": 15.0}, "achieved": achieved}
    return {"field": field, "kind": "numbers", "min": 0, "max": 100, **moments, "bins": bins, "rules": []}


def population(**changes: Any) -> dict[str, Any]:
    """A population of 1,000 with eight rows and six cards at hand."""
    texts = {"tagline": "Plays to relax", "portrait": "Mina plays after work.", "texts": [["why", "It is my hour."]]}
    cards = [
        {"id": f"p_{i:03}", "name": f"Mina {i}", "facts": [["rank", "Gold"], ["age", str(20 + i)]], **texts}
        for i in range(6)
    ]
    rows = [[f"p_{i:03}", "Gold", 20 + i] for i in range(8)]
    told = {"caption": "1 of 4 shares outside the band", "summary": "Every share is as requested."}
    counts = {"n": 1000, "seed": 7, "changed": 120, "edited": 80, "texts": 12, "written": True, "first": 0}
    return {
        **counts,
        "drawn": False,
        **told,
        "columns": ["persona_id", "rank", "age"],
        "rows": rows,
        "cards": cards,
    } | changes


def field_of(panel: dict[str, Any]) -> fields.Field:
    """The field that a panel shows."""
    if panel["kind"] == "numbers":
        return fields.field(panel["field"], "numeric", base=fields.distribution(0, 100, 40, 15, integer=True))
    return fields.categorical(panel["field"], {value: requested for value, requested, *_ in panel["cells"]})


def state(*panels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An editor's state with these panels."""
    drawn = {panel["field"]: panel for panel in panels}
    given = {"panels": drawn, "population": population(), "model": "gpt-5-mini", **changes}
    return fields.state(*map(field_of, panels), **given)
