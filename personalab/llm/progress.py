"""Progress: what a run that asks a model tells of itself, and the bar that shows it.

A run changes its `Progress`: the stage it is at, how many personas are written, and through its connection the tokens
and the money used. Whoever waits for the run, in whichever thread, draws it as a `bar` and reads it now and then;
the run itself draws nothing, so that there is never more than one bar. The bar appears after a second, in notebooks
and in terminals, and goes when the run is over, however it ends. Where nobody watches, the log tells the same.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from personalab.llm.usage import money

if TYPE_CHECKING:
    from personalab.llm import Connection, Usage

_log = logging.getLogger(__name__)

DELAY = 1.0  # seconds of which no bar need tell
TOLD = 20  # lines of log that tell of a stage's personas, at most
COUNTED = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
UNCOUNTED = "{desc} [{elapsed}{postfix}]"


class Tally(NamedTuple):
    """How many personas of a population are written.

    Attributes
    ----------
    produced : int
        Personas written so far.
    total : int
        Personas asked for.
    """

    produced: int
    total: int


class Progress:
    """How far a run is, as the run itself tells it.

    Parameters
    ----------
    used : callable
        Returns the `Usage` so far.
    total : int
        How many personas are asked for; 0 where none are written.
    is_quiet : bool
        Whether there is nothing to wait for, so that no bar is drawn.

    Attributes
    ----------
    stage : str
        What is being done.
    produced : int
        Personas written so far.
    """

    def __init__(self, used: Callable[[], Usage], total: int = 0, *, is_quiet: bool = False) -> None:
        self.used = used
        self.stage = ""
        self.produced = 0
        self.total = total
        self.is_quiet = is_quiet

    @classmethod
    def of(cls, connection: Connection, total: int = 0) -> Progress:
        """What asks over a connection; a replay is quiet, also because a notebook shall show the same again."""
        return cls(lambda: connection.usage, total, is_quiet=connection.replies.mode == "replay")

    def begin(self, stage: str, total: int | None = None) -> None:
        """Go on to another stage; with a total, count anew."""
        if total is not None:
            self.produced, self.total = 0, total
        self.stage = stage
        _log.info(stage)

    def advance(self) -> None:
        """Count one more persona."""
        self.produced += 1
        step = max(1, self.total // TOLD)
        if self.produced % step == 0 or self.produced == self.total:
            _log.info("%d of %d personas written", self.produced, self.total)

    def spent(self) -> str:
        """Tell tokens, and with prices money."""
        usage = self.used()
        tokens = f"{usage.total.tokens:,} tokens"
        return tokens if usage.cost is None else f"{tokens}, cost {money(usage.cost)}"


@contextlib.contextmanager
def bar(progress: Progress) -> Iterator[Callable[[], None]]:
    """Show how far a run is, as long as somebody watches.

    Parameters
    ----------
    progress : Progress
        What the run tells.

    Yields
    ------
    callable
        To be called several times a second; draws what has changed.
    """
    drawn: list[_Bar] = []
    begun = time.monotonic()

    def tick() -> None:
        """Draw, once there has been something to wait for."""
        if not (drawn or progress.is_quiet) and time.monotonic() - begun >= DELAY:
            drawn.append(_Bar(progress))
        for each in drawn:
            each.draw()

    try:
        yield tick
    finally:
        for each in drawn:
            each.close()


class _Bar:
    """A bar of tqdm's: a widget in a notebook, a line on standard error in a terminal, nothing elsewhere."""

    def __init__(self, progress: Progress) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm complains of notebooks without widgets, and then does without
            from tqdm.auto import tqdm
        is_widget = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
        options: dict[str, Any] = {"display": False} if is_widget else {"file": sys.stderr}
        is_hidden = not (is_widget or sys.stderr.isatty())
        form = COUNTED if progress.total else UNCOUNTED
        self._progress, self._at = progress, (progress.stage, progress.total)
        options |= {"disable": is_hidden, "leave": False, "bar_format": form, "smoothing": 0}
        self._bar: tqdm[Any] = tqdm(total=progress.total, **options)
        self._place = _shown(self._bar) if is_widget else None

    def draw(self) -> None:
        """Draw how far it is now."""
        progress, bar = self._progress, self._bar
        if (progress.stage, progress.total) != self._at:  # time left is told of a stage, not of all
            self._at = progress.stage, progress.total
            bar.reset(progress.total)
        bar.n = progress.produced
        bar.set_description_str(progress.stage, refresh=False)
        bar.set_postfix_str(progress.spent())

    def close(self) -> None:
        """Take it away, and leave nothing in its place."""
        self._bar.close()
        if self._place is not None:
            self._place.update({"text/plain": ""}, raw=True)


def _shown(widget: Any) -> Any:
    """Show a notebook's bar in an output that can be emptied afterwards."""
    from IPython.display import display

    return display(widget.container, display_id=True)  # type: ignore[no-untyped-call]
