"""How a session opens: from a blueprint, a file, or a population whose people are there already."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from personalab.blueprint.files import format_of
from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import demand_valid
from personalab.editor.history import History, Source, Step, is_same
from personalab.errors import RequestError
from personalab.population import Population
from personalab.sampling.sample import whole

SEEDS = 1_000_000  # made-up seeds are below: short enough to be typed again


def opening(bp: Any, n: int | None, seed: int | None, file: Path | None) -> History:
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
    if file is None or kept is None or is_same(kept, first.blueprint):
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
