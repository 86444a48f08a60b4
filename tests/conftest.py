"""What several test modules share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from personalab import Blueprint, llm

ROOT = Path(__file__).parents[1]
LEAGUE = ROOT / "data" / "blueprints" / "league-of-legends.json"

# No deadline: a busy machine is not a failing test. The same examples on every run, so that a failure stays one.
settings.register_profile(
    "tests", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _strangers() -> None:
    """Let no test know servers from another one: ports are used again."""
    llm.forget()


@pytest.fixture(scope="session")
def league() -> Blueprint:
    """The blueprint that the API contract shows as its example."""
    return Blueprint.load(LEAGUE)


@pytest.fixture
def league_data() -> dict[str, Any]:
    """The same as plain data, a fresh copy for every test."""
    data: dict[str, Any] = json.loads(LEAGUE.read_text(encoding="utf-8"))
    return data
