"""A blank page that runs the editor's module, with a model that answers from Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STATIC = Path(__file__).parents[2] / "personalab" / "static"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)

HOST = """async ({code, css, state}) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const listeners = new Map();
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


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Debian's chromium, without the requests it makes on its own."""
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": FLAGS}


Handle = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture
def show(page: Any) -> Iterator[Callable[..., Any]]:
    """Show the editor: ``show(state, handle)`` gives the page; `handle` answers commands as the kernel would."""
    from personalab.editor import css, module

    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def shown(state: dict[str, Any], handle: Handle = lambda command: {"ack": command["id"], "patch": {}}) -> Any:
        page.set_content("<!doctype html><html lang='en'><head><title>personalab</title></head><body></body></html>")
        page.expose_function("handle", handle)
        page.evaluate(HOST, {"code": module(), "css": css(), "state": state})
        return page

    yield shown
    assert errors == []
