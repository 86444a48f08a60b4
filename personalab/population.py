"""Populations: everything together, from one sentence to people.

``generate`` walks the whole way: a blueprint is inferred, a frame sampled, its texts written, a report made. What comes
back is a frozen `Population` that holds all four, shows itself in a notebook, saves itself as files, and turns
into the ``result`` object of the hosted persona API.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import operator
import os
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from personalab import charts, llm
from personalab.blueprint import Blueprint, write_whole
from personalab.charts.pages import cards_in_text
from personalab.draws import Method, Rounding
from personalab.errors import BlueprintError, ProviderError, RequestError
from personalab.facts import as_strings
from personalab.fidelity import report
from personalab.inference import check_request, infer_with
from personalab.reports import Report
from personalab.sampling import one_of, sample
from personalab.writing import write_with

if TYPE_CHECKING:
    from personalab.llm import Connection, Model, Usage

_log = logging.getLogger(__name__)

Draw = Callable[[Blueprint], pd.DataFrame]

LIMIT = 10_000  # people a call; PERSONALAB_LIMIT sets another
SHOWN = 12  # personas in a notebook's output
SEEDS = "give a whole number of 0 or more"


@dataclass(frozen=True, eq=False)
class Population:
    """A written population with the blueprint it was drawn from and the report on it.

    Attributes
    ----------
    prompt : str
        The sentence it began with.
    blueprint : Blueprint
        What was inferred.
    frame : pandas.DataFrame
        One row a persona, index ``persona_id``: the blueprint's fields, then ``tagline``, ``portrait``,
        ``system_prompt`` and ``markdown``.
    report : Report
        How closely the frame follows the blueprint, and how varied it is.
    model : str
        Which model inferred and wrote.
    usage : Usage
        The tokens it took, by stage, replayed ones apart.
    """

    prompt: str
    blueprint: Blueprint
    frame: pd.DataFrame
    report: Report
    model: str = ""
    usage: Usage | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.frame)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Population):
            return NotImplemented
        return self.prompt == other.prompt and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.prompt, self.blueprint, len(self)))

    def __repr__(self) -> str:
        return f"Population({self.blueprint.domain!r}, {len(self)} personas, model={self.model!r})"

    def _repr_html_(self) -> str:
        shown, total = self.frame.head(SHOWN), len(self)
        return charts.cards(shown, self.blueprint, of=total, heading=self.prompt, summary=self.report.summary)

    def __str__(self) -> str:
        people = cards_in_text(self.frame.head(SHOWN), self.blueprint, of=len(self))
        return f"{self.prompt}: {self.report.summary}\n{people}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def to_dict(self) -> dict[str, Any]:
        """Turn the population into the hosted API's ``result`` object.

        Returns
        -------
        dict
            ``personas`` (each ``persona_id``, ``fields`` as strings, ``system_prompt``, ``markdown``) and
            ``blueprint``; for more than one persona also ``diversity`` and ``marginals``.
        """
        return {
            "personas": [self._persona(row) for _, row in self.frame.iterrows()],
            "blueprint": self.blueprint.to_dict(),
            **self.report.contract(),
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the population as files that anyone can open.

        Parameters
        ----------
        folder : path-like
            Made if it is not there; files of an earlier population in it are replaced.

        Returns
        -------
        pathlib.Path
            The folder, now with ``population.json``, ``personas.csv``, ``blueprint.yaml``, ``report.html`` and a
            Markdown sheet a persona under ``personas/``.

        Raises
        ------
        RequestError
            If the folder cannot be made or written to.
        """
        folder = Path(folder)
        try:
            self._save(folder)
        except OSError as error:
            message = f"{str(folder)!r} cannot be written: {error.strerror}"
            raise RequestError(message, hint="name a folder that can be made or written to") from error
        return folder

    def _save(self, folder: Path) -> None:
        sheets = folder / "personas"
        sheets.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "population.json", json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")
        write_whole(folder / "personas.csv", self.frame.to_csv())
        self.blueprint.save(folder / "blueprint.yaml")
        page = charts.page(self.frame, self.blueprint, self.report, prompt=self.prompt, model=self.model)
        write_whole(folder / "report.html", page)
        for persona, sheet in self.frame["markdown"].items():
            write_whole(sheets / f"{persona}.md", sheet)
        for stale in set(sheets.glob("p_*.md")) - {sheets / f"{persona}.md" for persona in self.frame.index}:
            stale.unlink()

    def _persona(self, row: pd.Series[Any]) -> dict[str, Any]:
        values = as_strings(row, self.blueprint)
        return {
            "persona_id": str(row.name),
            "fields": {item.name: values.get(item.name) or str(row[item.name]) for item in self.blueprint.fields},
            "system_prompt": str(row["system_prompt"]),
            "markdown": str(row["markdown"]),
        }


def generate(
    prompt: str,
    count: int = 1,
    *,
    grounding: str = "off",
    seed: int | None = None,
    model: str | Model | None = None,
    method: Method | None = None,
    rounding: Rounding = "nearest",
) -> Population:
    """Generate a population from one sentence.

    Parameters
    ----------
    prompt : str
        Who the population is, such as ``"10 League of Legends players from around the globe"``. A number in it is
        description; `count` decides how many are made.
    count : int
        How many personas, at least 1 and at most 10,000 (``PERSONALAB_LIMIT`` sets another limit).
    grounding : {"off"}
        Whether to look things up first; only ``"off"`` in this version.
    seed : int, optional
        Fixes the draw; without it one is made up and kept in ``frame.attrs``.
    model : str or Model, optional
        ``"openai/gpt-5-mini"``, ``"ollama/qwen3"``, ``"local"`` or an object with a ``complete`` method. Without
        it ``PERSONALAB_MODEL``; else an OpenAI key, an Ollama on this machine, the embedded model.
    method : {"balanced", "quota", "iid"}, optional
        How people are drawn, as for `sample`: ``"balanced"`` unless told otherwise.
    rounding : {"nearest", "unbiased"}
        How shares become counts, as for `sample`.

    Returns
    -------
    Population
        Always with `count` members.

    Raises
    ------
    RequestError
        If the prompt is empty, the count out of range, or the grounding, method or rounding unknown; no model is
        asked then.
    ProviderError
        If the model cannot be had or gives nothing usable. What it has answered is kept among the replies, so
        that the same call goes on from there.
    """
    check_call(prompt, count, grounding, seed, method, rounding)
    connection = llm.connect(model)
    draw = partial(sample, n=operator.index(count), seed=seed, method=method, rounding=rounding)
    return llm.run_with(connection, _generated(prompt, operator.index(count), draw, connection))


def check_call(
    prompt: str,
    count: int,
    grounding: str,
    seed: int | None = None,
    method: str | None = None,
    rounding: str = "nearest",
) -> None:
    """Refuse a call to `generate` that cannot be served, before any model is asked."""
    check_request(prompt, grounding)
    limit = _limit()
    number = _whole("count", count, f"ask for 1 to {limit:,}")
    if not 1 <= number <= limit:
        raise RequestError(
            f"count is {count!r}, outside 1 to {limit:,}",
            hint="ask for a number in that range; PERSONALAB_LIMIT sets another limit",
        )
    if seed is not None and _whole("seed", seed, SEEDS) < 0:
        raise RequestError(f"seed is {seed!r}", hint=SEEDS)
    if method is not None:
        one_of("method", method, get_args(Method))
    one_of("rounding", rounding, get_args(Rounding))


def _limit() -> int:
    text = os.environ.get("PERSONALAB_LIMIT") or str(LIMIT)
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"PERSONALAB_LIMIT is {text!r}", hint=f"set it to a whole number such as {LIMIT}")
    return int(text)


def _whole(what: str, value: Any, hint: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RequestError(f"{what} is {value!r}, which is no whole number", hint=hint)
    return operator.index(value)


async def _generated(prompt: str, count: int, draw: Draw, connection: Connection) -> Population:
    async with _progress(count, connection) as bar:

        def written(done: int) -> None:
            bar.update()
            _log.info("%d of %d personas written", done, count)

        bar.set_description("inferring the blueprint")
        _log.info("inferring the blueprint")
        bp = await infer_with(prompt, connection)
        _log.info("blueprint %s: %s", bp.domain, ", ".join(item.name for item in bp.fields))
        bar.set_description("writing")
        frame = await write_with(_sampled(bp, count, draw, connection), bp, connection, progress=written)
    return Population(prompt, bp, frame, report(frame, bp), connection.name, connection.usage)


def _sampled(bp: Blueprint, count: int, draw: Draw, connection: Connection) -> pd.DataFrame:
    """Sample; that a rare row cannot be drawn, which no trial met, is the inferred blueprint's fault."""
    try:
        return draw(bp)
    except BlueprintError as error:
        raise ProviderError(
            f"the blueprint that {connection.name} wrote leaves some of {count:,} members no value",
            category="invalid_output",
            answer=json.dumps(bp.to_dict(), ensure_ascii=False),
            hint="try another seed, or infer the blueprint, ease its constraints and sample it",
        ) from error


@contextlib.asynccontextmanager
async def _progress(total: int, connection: Connection) -> AsyncIterator[Any]:
    """A bar on standard error that ticks while the model works; where nobody watches, only the log's lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm complains of notebooks without widgets, and then does without
        from tqdm.auto import tqdm

    async def tick(bar: Any) -> None:
        while True:
            await asyncio.sleep(1)
            bar.set_postfix_str(f"{connection.usage.total.completion_tokens:,} tokens")

    # A replay has nothing to wait for, and a notebook that replays must show the same each time.
    hidden = True if connection.replies.mode == "replay" else None
    with tqdm(total=total, unit="persona", file=sys.stderr, disable=hidden, leave=False, delay=1) as bar:
        ticking = asyncio.create_task(tick(bar))
        try:
            yield bar
        finally:
            ticking.cancel()
