"""A real JupyterLab on loopback, driven as a person would drive it.

The server is the one of the running Python, so its kernel is that Python and imports this clone. Settings, run-time
files and kernels' profiles lie in a temporary folder: the developer's own are neither read nor changed. The page
exposes JupyterLab's application object, through which cells are added and run; everything inside the editor is done
with real keys and a real pointer.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import nbformat
from playwright.sync_api import Error, Locator, Page, WebSocket

ROOT = Path(__file__).parents[2]
PATIENCE = 60_000  # ms; a kernel that imports pandas on two busy cores takes twenty seconds
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"

# JupyterLab's own looking for news and updates, the only requests it makes on its own.
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}

# The widgets' own extension asks for the kernel of a session where there is none; any such notebook has this error.
NO_KERNEL = ("reading 'kernel'", "jupyterlab-manager")

OPEN = """async ([path, kernelPreference]) => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = await app.commands.execute("docmanager:open", { path, factory: "Notebook", kernelPreference });
  window.panel = panel;
  await panel.context.ready;
  await panel.revealed;
}"""

RUN = """async (source) => {
  const { content, sessionContext } = window.panel;
  await sessionContext.ready;
  const cells = content.model.sharedModel;
  const last = cells.cells.length - 1;
  const empty = last >= 0 && cells.cells[last].cell_type === "code" && !cells.cells[last].source;
  const at = empty ? last : last + 1;
  if (empty) cells.cells[last].source = source;
  else cells.insertCell(at, { cell_type: "code", source });
  content.activeCellIndex = at;
  await window.jupyterapp.commands.execute("notebook:run-cell");
  return [at, content.widgets[at].model.sharedModel.getOutputs()];
}"""

KERNEL = "(what) => window.panel.sessionContext[what]()"
COMMAND = "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)"


class Server:
    """JupyterLab at `url`, serving the notebooks in `folder`; `own` holds its settings."""

    def __init__(self, url: str, folder: Path, own: Path) -> None:
        self.url = url
        self.folder = folder
        self.own = own

    def wear(self, theme: str) -> None:
        """Set the theme of the pages to come."""
        settings = self.own / "settings" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({"theme": theme}), encoding="utf-8")

    def write(self, name: str, cells: Sequence[str] = ()) -> Path:
        """Lay down a notebook that nobody has run."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.folder / name
        nbformat.write(notebook, path)
        return path


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Start JupyterLab in `folder`, wait until it answers, and stop it with its kernels at the end."""
    own = folder / "jupyter"
    work = folder / "work"
    work.mkdir()
    (own / "labconfig").mkdir(parents=True)
    (own / "labconfig" / "page_config.json").write_text(json.dumps(QUIET), encoding="utf-8")
    url = f"http://127.0.0.1:{_free_port()}"
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(_command(url, work), env=_environment(own), cwd=work, stdout=log, stderr=log)
        try:
            _wait(url, process, own / "log")
            yield Server(url, work, own)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def _command(url: str, folder: Path) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": str(urlsplit(url).port),
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": str(folder),
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "IdentityProvider.token": "",
        "LabApp.expose_app_in_browser": "True",
        "LabApp.extension_manager": "readonly",  # the other one asks a package index
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


def _environment(own: Path) -> dict[str, str]:
    where = {
        "JUPYTER_CONFIG_DIR": own,
        "JUPYTERLAB_SETTINGS_DIR": own / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": own / "workspaces",
        "JUPYTER_DATA_DIR": own / "data",
        "JUPYTER_RUNTIME_DIR": own / "runtime",
        "IPYTHONDIR": own / "ipython",
        "PYTHONPATH": ROOT,
    }
    return {**os.environ, **{name: str(value) for name, value in where.items()}, "JUPYTER_PLATFORM_DIRS": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        with suppress(OSError), urlopen(f"{url}/api", timeout=5):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    raise RuntimeError(f"JupyterLab ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")


class Lab:
    """One page of JupyterLab with one notebook open; it keeps the page's errors, requests and kernel messages."""

    def __init__(self, server: Server, page: Page) -> None:
        self.server = server
        self.page = page
        self.page.set_default_timeout(PATIENCE)
        self.page.set_viewport_size({"width": 1280, "height": 1000})
        self.errors: list[str] = []
        self.hosts: Counter[str] = Counter()
        self.messages: list[tuple[str, str]] = []
        self.page.on("pageerror", self._failed)
        self.page.on("request", lambda request: self._seen(request.url))
        self.page.on("websocket", self._listen)

    def open(self, path: Path, theme: str = LIGHT, *, has_kernel: bool = True) -> Lab:
        """Open a notebook that lies in the server's folder, with a kernel or to be read only."""
        self.server.wear(theme)
        self.page.goto(f"{self.server.url}/lab?reset")
        self.page.wait_for_function("() => window.jupyterapp?.restored")
        self._unveiled(theme)
        self.page.evaluate(OPEN, [path.name, {"shouldStart": has_kernel, "canStart": has_kernel}])
        return self

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme, and wait until the page wears it."""
        self.command("apputils:change-theme", theme=name)
        self._unveiled(name)

    def command(self, name: str, **args: Any) -> None:
        """Execute one of JupyterLab's commands."""
        self.page.evaluate(COMMAND, [name, args])

    def run(self, source: str) -> Locator:
        """Run `source` in a new last cell, and give the place of its outputs once it is done."""
        at, _ = self._ran(source)
        return self.outputs(at)

    def value(self, source: str) -> str:
        """The text that `source` shows when run in a new last cell."""
        _, outputs = self._ran(source)
        return "".join(_text(output) for output in outputs).strip()

    def outputs(self, at: int) -> Locator:
        """Where the outputs of a cell are shown."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{at}'] .jp-Cell-outputArea")

    def kernel(self, what: str) -> None:
        """Call a method of the notebook's session, such as ``"shutdown"`` or ``"restartKernel"``."""
        self.page.evaluate(KERNEL, what)

    def save(self) -> None:
        """Save the notebook as JupyterLab does."""
        self.command("docmanager:save")

    def close(self) -> None:
        """End the notebook's kernel, so that it does not slow the next test down."""
        if self.page.evaluate("() => Boolean(window.panel?.sessionContext.session)"):
            self.kernel("shutdown")

    def _unveiled(self, theme: str) -> None:
        self.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def _ran(self, source: str) -> tuple[int, list[dict[str, Any]]]:
        at, outputs = self.page.evaluate(RUN, source)
        failed = [output["evalue"] for output in outputs if output["output_type"] == "error"]
        if failed:
            raise RuntimeError(f"the cell {source!r} failed: {failed[0]}")
        return at, outputs

    def _seen(self, url: str) -> None:
        place = urlsplit(url)
        if place.scheme not in ("data", "blob"):
            self.hosts[place.hostname or url] += 1

    def _failed(self, error: Error) -> None:
        text = error.stack or str(error)
        if not all(part in text for part in NO_KERNEL):
            self.errors.append(text)

    def _listen(self, socket: WebSocket) -> None:
        self._seen(socket.url)
        if "/channels" in socket.url:
            socket.on("framesent", lambda frame: self.messages.append(("sent", message_type(frame))))
            socket.on("framereceived", lambda frame: self.messages.append(("received", message_type(frame))))


def message_type(frame: str | bytes) -> str:
    """The type of a kernel message in a frame of either of Jupyter's websocket protocols."""
    if isinstance(frame, str):
        return str(json.loads(frame)["header"]["msg_type"])
    count = int.from_bytes(frame[:8], "little")  # v1: the number of offsets, the offsets, then the parts
    ends = [int.from_bytes(frame[8 * at : 8 * at + 8], "little") for at in range(1, count + 1)]
    return str(json.loads(frame[ends[1] : ends[2]])["msg_type"])


def _text(output: dict[str, Any]) -> str:
    text = output["text"] if output["output_type"] == "stream" else output.get("data", {}).get("text/plain", "")
    return text if isinstance(text, str) else "".join(text)
