"""What the editor costs in a notebook: ``python benchmarks/editor.py [--quick] [n …]``.

A real JupyterLab runs on loopback, and a real browser without a window opens a notebook in it. The blueprint has ten
fields of six values. Keys are pressed on a slider as a person presses them; the clock is the browser's own, from a
key's time stamp to the frame in which the chart has its new marks. Messages and bytes are those of the websocket
between the page and its kernel, in both directions and of every kind.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Page, WebSocket, sync_playwright
from sampling import Tally, judged, say, table

from personalab import Blueprint

sys.path.insert(0, str(Path(__file__).parents[1]))  # JupyterLab is driven as the tests drive it

from tests.browser.lab import Lab, message_type, serving

from tests.browser.conftest import CHROMIUM, FLAGS, MISSING

FIELDS, VALUES = 10, 6
SEED = 7
WARM_UP = 5  # presses before a clock starts
BURST = 20  # quick presses
INTERVAL = 0.015  # seconds between them, as of a keyboard that repeats at its fastest
PAUSE = 0.15  # seconds between presses that are timed one by one
QUIET = 1.2  # seconds without a message after which everything has settled
PATIENCE = 60.0  # seconds until it must have
SLIDER = "field 0: weight of value 0"
WEIGHT = "form.blueprint['field 0'].base.weights['value 0']"

WATCH = """() => {
  window.shown = null;
  new MutationObserver((_, observer) => {
    if (!document.querySelector(".personalab-editor[data-drawn]")) return;
    window.shown = performance.now();
    observer.disconnect();
  }).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ["data-drawn"]});
  window.began = performance.now();
}"""

FOLLOW = """() => {
  const root = document.querySelector(".personalab-editor");
  let pressed = null;
  window.latencies = [];
  root.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    const began = pressed;
    pressed = null;
    if (began !== null) requestAnimationFrame(() => window.latencies.push(performance.now() - began));
  }).observe(root, {attributes: true, attributeFilter: ["data-drawn"]});
}"""


class Frame(NamedTuple):
    """One message between the page and its kernel."""

    is_sent: bool
    kind: str
    size: int
    at: float


class Traffic:
    """All messages between a page and its kernel since it was opened."""

    def __init__(self, page: Page) -> None:
        self.frames: list[Frame] = []
        page.on("websocket", self._listen)

    def since(self, at: float) -> list[Frame]:
        """Those from a moment on."""
        return [frame for frame in self.frames if frame.at >= at]

    def _listen(self, socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", lambda frame: self._add(frame, is_sent=True))
            socket.on("framereceived", lambda frame: self._add(frame, is_sent=False))

    def _add(self, frame: str | bytes, *, is_sent: bool) -> None:
        size = len(frame.encode() if isinstance(frame, str) else frame)
        self.frames.append(Frame(is_sent, message_type(frame), size, time.monotonic()))


class Notebook:
    """An editor that is open in a notebook, and what its page and kernel say to each other."""

    def __init__(self, lab: Lab, traffic: Traffic) -> None:
        self.lab = lab
        self.page = lab.page
        self.traffic = traffic

    def show(self, n: int) -> tuple[float, list[Frame]]:
        """Milliseconds from running the cell to the editor with its chart, and the messages meanwhile."""
        since = time.monotonic()
        self.page.evaluate(WATCH)
        self.lab.run(f"form = lab.edit(bp, n={n}, seed={SEED})\nform")
        self.page.wait_for_function("window.shown !== null")
        self.settle()
        return float(self.page.evaluate("window.shown - window.began")), self.traffic.since(since)

    def settle(self) -> None:
        """Wait until page and kernel have nothing more to say to each other."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.page.wait_for_timeout(100)
            if not self.traffic.since(time.monotonic() - QUIET):
                return
        raise RuntimeError("the page and its kernel did not come to rest")

    def press(self, keys: Sequence[str]) -> tuple[list[float], list[Frame]]:
        """Press keys one after the other, each once the chart shows the last: milliseconds of each, and messages."""
        self.page.evaluate("window.latencies.length = 0")
        since = time.monotonic()
        for at, key in enumerate(keys, start=1):
            self.page.keyboard.press(key)
            self.page.wait_for_function("(count) => window.latencies.length >= count", arg=at)
            self.page.wait_for_timeout(1000 * PAUSE)
        return self.page.evaluate("window.latencies"), self.traffic.since(since)

    def burst(self) -> list[Frame]:
        """Press a key many times as fast as a keyboard repeats it, and give the messages until all has settled."""
        since = time.monotonic()
        for at in range(1, BURST + 1):
            self.page.keyboard.press("ArrowRight")
            time.sleep(max(0.0, since + at * INTERVAL - time.monotonic()))
        self.settle()
        return self.traffic.since(since)

    def percent(self) -> float:
        """Where the slider stands."""
        return float(self.page.get_by_label(SLIDER).input_value())


def even(fields: int = FIELDS, values: int = VALUES) -> Blueprint:
    """Categorical fields of uneven shares, none with a parent: as many weights as a notebook's editor shows at once."""
    rng = np.random.default_rng(SEED)
    made = []
    for at in range(fields):
        shares = np.round(rng.dirichlet([8.0] * values), 3)
        shares[-1] = 1 - shares[:-1].sum()
        weights = {f"value {each}": round(float(share), 3) for each, share in enumerate(shares)}
        made.append({"name": f"field {at}", "kind": "categorical", "categorical": {"weights": weights}})
    return Blueprint.from_dict({"domain": "people", "order": [each["name"] for each in made], "fields": made})


@contextmanager
def opened(folder: Path) -> Iterator[Notebook]:
    """A notebook in JupyterLab in a browser, with the blueprint loaded."""
    with serving(folder) as server, sync_playwright() as playwright:
        even().save(server.folder / "people.json")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        lab = Lab(server, browser.new_page())
        traffic = Traffic(lab.page)
        lab.open(server.write("editor.ipynb"))
        lab.run("import personalab as lab\nbp = lab.Blueprint.load('people.json')")
        yield Notebook(lab, traffic)
        lab.close()
        browser.close()


def measure(book: Notebook, n: int, presses: int) -> Tally:
    """Show the editor of a population of `n`, press keys, and print what it cost against the targets."""
    display, frames = book.show(n)
    comms = Counter(frame.kind for frame in frames)["comm_open"]
    kilobytes = sum(frame.size for frame in frames) / 1000
    rows: list[list[object]] = [
        ["messages that open a comm, to show the cell", judged(float(comms), most=2)],
        ["kB to show the cell", kilobytes],
        ["ms from running the cell to the editor with its chart", judged(display, most=1000)],
        ["of it in the kernel, ms until it has sent its last comm", kernel_time(frames)],
        *typing(book, presses),
        *resting(book),
        *quick(book),
    ]
    return table(f"editor: {n:,} people, {FIELDS} fields of {VALUES} values", ["what", "value"], rows)


def kernel_time(frames: Sequence[Frame]) -> float:
    """Milliseconds from the request to run a cell to the last comm that was opened."""
    asked = next(frame.at for frame in frames if frame.kind == "execute_request")
    return 1000 * (max(frame.at for frame in frames if frame.kind == "comm_open") - asked)


def typing(book: Notebook, presses: int) -> list[list[object]]:
    """One press at a time: its latency, its messages, its bytes."""
    book.page.get_by_label(SLIDER).focus()
    book.page.evaluate(FOLLOW)
    book.press(["ArrowRight"] * WARM_UP)
    back_and_forth = (["ArrowRight"] * 10 + ["ArrowLeft"] * 10) * presses
    latencies, frames = book.press(back_and_forth[:presses])
    edits = [frame for frame in frames if frame.is_sent]
    middle, late = (float(np.percentile(latencies, q)) for q in (50, 95))
    return [
        [f"ms from key press to redrawn chart, p50 of {presses}", judged(middle, most=200)],
        ["ms from key press to redrawn chart, p95", judged(late, most=400)],
        ["messages to the kernel an edit", judged(len(edits) / presses, most=1)],
        ["messages in all an edit", judged(len(frames) / presses, most=6)],
        ["kB an edit", judged(sum(frame.size for frame in frames) / presses / 1000, most=15)],
        ["of it the median kB of the largest message", largest(frames)],
    ]


def largest(frames: Sequence[Frame]) -> float:
    """The median size, in kB, of the messages of the heaviest kind."""
    sizes: dict[str, list[int]] = {}
    for frame in frames:
        sizes.setdefault(frame.kind, []).append(0 if frame.is_sent else frame.size)
    return max(statistics.median(each) for each in sizes.values()) / 1000


def resting(book: Notebook) -> list[list[object]]:
    """What is said when the hands rest, and the outputs stored in the notebook follow the edits."""
    since, end = time.monotonic(), time.monotonic() + PATIENCE
    while not any(frame.kind == "update_display_data" for frame in book.traffic.since(since)):
        if time.monotonic() > end:
            raise RuntimeError("the stored outputs did not follow the edits")
        book.page.wait_for_timeout(100)
    book.settle()
    frames = book.traffic.since(since)
    return [[f"kB once the hands rest, in {len(frames)} messages", sum(frame.size for frame in frames) / 1000]]


def quick(book: Notebook) -> list[list[object]]:
    """Many presses at once: none may be lost, and page and kernel must end with the same weight."""
    book.settle()
    before = book.percent()
    frames = book.burst()
    shown = book.percent()
    held = 100 * float(book.lab.value(WEIGHT))
    return [
        [f"{BURST} quick presses: presses lost", judged(abs(round(before + BURST - shown)), most=0)],
        [f"{BURST} quick presses: points between slider and form.blueprint", judged(abs(shown - held), most=0.05)],
        [f"{BURST} quick presses: messages to the kernel", sum(frame.is_sent for frame in frames)],
        [f"{BURST} quick presses: messages in all", len(frames)],
        [f"{BURST} quick presses: seconds until the last message", frames[-1].at - frames[0].at],
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each size of population, and count the targets met and missed."""
    parser = argparse.ArgumentParser(description="What the editor costs in a notebook.")
    parser.add_argument("n", nargs="*", type=int, default=[1_000, 10_000], help="people; default 1000 10000")
    parser.add_argument("--quick", action="store_true", help="fewer presses, to try it out")
    given = parser.parse_args(arguments)
    if CHROMIUM is None:
        parser.error(MISSING)
    say(f"Python {platform.python_version()}, jupyterlab {version('jupyterlab')}, {os.cpu_count()} cores")
    say(f"load {os.getloadavg()[0]:.1f} at the start")
    tally = Tally()
    for n in given.n:
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as book:
            tally += measure(book, n, 10 if given.quick else 60)
    say(f"\n{tally['ok']} targets met, {tally['MISSED']} missed; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
