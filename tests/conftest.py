"""What several test modules share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from personalab import Blueprint, llm
from personalab.llm import replies
from tests.server import Script, Server, answer_well

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


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Begin with no key, no server and no replies, and wait for nothing between sendings; gives the replies' folder."""
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "OLLAMA_", "PERSONALAB_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PERSONALAB_BACKOFF", "0.001")
    with replies.use(tmp_path / "calls"):
        yield tmp_path / "calls"


@pytest.fixture
def serve(alone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:  # noqa: ARG001  # for its effect
    """Start a server with a script, and let it be what ``openai/…`` means."""
    with contextlib.ExitStack() as running:

        def start(script: Script = answer_well) -> Server:
            server = running.enter_context(Server(script))
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
            return server

        yield start
