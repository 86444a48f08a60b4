"""Chromium, a blank page that runs the editor's module with a model that answers from Python, and JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.lab import PATIENCE, Lab, Server, serving

STATIC = Path(__file__).parents[2] / "personalab" / "editor" / "static"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NAMES = [
    *("chromium", "chromium-browser", "google-chrome"),
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]
CHROMIUM = os.environ.get("PERSONALAB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
MISSING = (
    "the tests in a browser found no Chromium; apt-get install chromium (Debian), snap install chromium (Ubuntu), "
    "brew install --cask google-chrome (macOS), or name one with PERSONALAB_CHROMIUM"
)
HERE = Path(__file__).parent

expect.set_options(timeout=PATIENCE)  # a busy machine is not a failing test

HOST = """async ({code, css, state}) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const listeners = new Map();
  state = JSON.parse(state); // as from a kernel: whatever carries an object here loses what is called __proto__
  window.sent = [];
  const model = {
    get: (key) => (key === "state" ? state : undefined),
    set() {}, save_changes() {}, off() {},
    on: (event, then) => listeners.set(event, [...(listeners.get(event) ?? []), then]),
    send: (message) => {
      window.sent.push(message);
      window.handle(message).then((answer) => answer && window.receive(answer));
    },
  };
  window.receive = (message) => (listeners.get("msg:custom") ?? []).forEach((then) => then(message, []));
  const url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
  const module = (await import(url)).default;
  const el = document.createElement("div");
  document.body.append(el);
  await module.initialize?.({model});
  await module.render({model, el});
}"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put these tests last, for Playwright keeps an event loop running; leave them out where no browser is."""
    here = [item for item in items if HERE in item.path.parents]
    others = [item for item in items if HERE not in item.path.parents]
    if CHROMIUM is not None or not here:
        items[:] = others + here
    elif os.environ.get("PERSONALAB_BROWSER") == "required":
        raise pytest.UsageError(MISSING)
    else:
        items[:] = others
        config.hook.pytest_deselected(items=here)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line that tests were left out, and what to do."""
    left_out = [item for item in terminalreporter.stats.get("deselected", []) if HERE in item.path.parents]
    if left_out and CHROMIUM is None:
        terminalreporter.write_line(f"{len(left_out)} skipped: {MISSING}", yellow=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where no browser is, that no test was left is no failure."""
    if CHROMIUM is None and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.fixture(scope="session")
def base_url() -> None:
    """No page here has a relative address; pytest-playwright's own fixture of this name makes pytest warn."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's chromium, without the requests it makes on its own."""
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": FLAGS}


Handle = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture
def show(page: Any) -> Iterator[Callable[..., Any]]:
    """Show the editor: ``show(state, handle)`` gives the page; `handle` answers commands as the kernel would."""
    from personalab.editor.widget import css, module

    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def shown(state: dict[str, Any], handle: Handle = lambda command: {"ack": command["id"], "patch": {}}) -> Any:
        page.set_content("<!doctype html><html lang='en'><head><title>personalab</title></head><body></body></html>")
        page.expose_function("handle", handle)
        page.evaluate(HOST, {"code": module(), "css": css(), "state": json.dumps(state)})
        return page

    yield shown
    assert errors == []


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab for all tests."""
    with serving(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def lab(jupyter: Server, page: Any) -> Iterator[Lab]:
    """A page of JupyterLab; whatever the test does there, nothing may go wrong unseen and no request leave."""
    made = Lab(jupyter, page)
    yield made
    made.close()
    assert made.errors == []
    assert set(made.hosts) <= {"127.0.0.1"}
