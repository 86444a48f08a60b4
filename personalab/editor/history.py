"""The history of a session: named steps, each a whole value, of which one is the current one.

It opens with a blueprint, a file, or a population whose people are there already.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from personalab.blueprint.files import format_of
from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import demand_valid
from personalab.errors import RequestError
from personalab.population import Population
from personalab.sampling.sample import sample, whole
from personalab.updating.match import Renamed

NOBODY = "say how many with n=, or draw them with Resample"
MOST_STEPS = 200  # that are kept: each is named in every message
SEEDS = 1_000_000  # made-up seeds are below: short enough to be typed again


@dataclass(frozen=True, eq=False)
class Source:
    """Where the people of a step come from.

    Attributes
    ----------
    start : Blueprint or None
        What the people are drawn from, and what edits are compared with; None before there is any blueprint.
    n : int or None
        How many people, or None where there are none.
    seed : int or None
        Fixes the draw.
    given : pandas.DataFrame or None
        A population that was there already and is not drawn.
    """

    start: Blueprint | None = None
    n: int | None = None
    seed: int | None = None
    given: pd.DataFrame | None = field(default=None, repr=False)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The people as drawn from the start."""
        if self.given is not None:
            return self.given
        if self.start is None or self.n is None:
            raise RequestError("there are no people yet", hint=NOBODY)
        return sample(self.start, self.n, seed=self.seed)


@dataclass(frozen=True)
class Step:
    """One step: what it is called, and what held after it.

    Attributes
    ----------
    name : str
        For people, such as ``weights of rank``.
    blueprint : Blueprint or None
        None before there is any.
    source : Source
        Where its people come from.
    gesture : int or str or None
        What it has in common with further commands that belong to it, such as the same drag of a slider.
    renamed : mapping
        What is called otherwise than in what the people are drawn from; as for `personalab.update`.
    """

    name: str
    blueprint: Blueprint | None
    source: Source
    gesture: int | str | None = None
    renamed: Renamed = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """Steps, of which the one `at` is current; those behind it can be redone."""

    steps: tuple[Step, ...]
    at: int = 0

    @property
    def current(self) -> Step:
        """The step that holds."""
        return self.steps[self.at]

    @property
    def previous(self) -> Step | None:
        """The step before it."""
        return self.steps[self.at - 1] if self.at else None

    def then(self, step: Step) -> History:
        """Go a step on; what could be redone is gone, and a gesture that goes on replaces its own step."""
        goes_on = self.at > 0 and step.gesture is not None and step.gesture == self.current.gesture
        done = self.steps[: self.at + (0 if goes_on else 1)]
        if len(done) >= MOST_STEPS:
            done = (done[0], *done[len(done) - MOST_STEPS + 2 :])  # how it opened is kept
        return History((*done, step), len(done))

    def to(self, step: int) -> History:
        """Make another step the current one."""
        if not 0 <= step < len(self.steps):
            last = len(self.steps) - 1
            raise RequestError(f"there is no step {step}", hint=f"the steps are numbered from 0 to {last}")
        return replace(self, at=step)

    def back(self) -> History:
        """Undo a step."""
        if not self.at:
            raise RequestError("there is nothing to undo: this is how it opened")
        return self.to(self.at - 1)

    def forward(self) -> History:
        """Redo a step."""
        if self.at + 1 == len(self.steps):
            raise RequestError("there is nothing to redo: this is the last step")
        return self.to(self.at + 1)

    def names(self) -> list[str]:
        """What the steps are called."""
        return [step.name for step in self.steps]


def open_history(bp: Any, n: int | None, seed: int | None, file: Path | None) -> History:
    """Begin a history, and go on where the file left off, if it is there.

    Parameters
    ----------
    bp : Blueprint or Population or path-like or None
        What to edit.
    n, seed : int or None
        How many people to draw, and what fixes their draw.
    file : Path or None
        Where the blueprint is kept.

    Returns
    -------
    History
        Of one step, or of a second one that reads the file.
    """
    if file is not None:
        format_of(file)  # else the first edit would be the one to learn that it cannot be kept
    kept = Blueprint.load(file) if file is not None and file.exists() else None
    first = _population(bp, n, seed) if isinstance(bp, Population) else _blueprint(bp or kept, n, seed)
    history = History((first,))
    if file is None or kept is None or kept == first.blueprint:
        return history
    demand_valid(kept)
    return history.then(Step(f"opened {file.name}", kept, first.source))


def drawn_from(start: Blueprint | None, n: int | None, seed: int | None) -> Source:
    """A source of so many people; without a seed one is made up."""
    n = None if n is None else whole("n", n, at_least=1)
    if n is None or start is None:
        return Source(start, n)
    return Source(start, n, secrets.randbelow(SEEDS) if seed is None else whole("seed", seed, at_least=0))


def _population(pop: Population, n: int | None, seed: int | None) -> Step:
    if n is not None or seed is not None:
        raise RequestError("a population has its people already", hint="leave n and seed out, or pass its blueprint")
    known = pop.frame.attrs.get("seed")
    seed = secrets.randbelow(SEEDS) if known is None else known
    return Step("opened", pop.blueprint, Source(pop.blueprint, len(pop.frame), seed, pop.frame))


def _blueprint(bp: Any, n: int | None, seed: int | None) -> Step:
    start = Blueprint.load(bp) if isinstance(bp, str | os.PathLike) else bp
    if start is not None:
        demand_valid(start)
    return Step("opened", start, drawn_from(start, n, seed))


def same_gesture(value: Any) -> int | str | None:
    """Read what a command says of the gesture that it belongs to."""
    if value is None or isinstance(value, int | str):
        return value
    raise RequestError(f"the gesture is {value!r}", hint="give a number or a text")
