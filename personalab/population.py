"""Populations: everything together, from one sentence to people.

``generate`` walks the whole way: a blueprint is inferred, a frame sampled, its texts written, a report made. What comes
back is a frozen `Population` that holds all four, shows itself in a notebook, saves itself as files, and turns
into the ``result`` object of the hosted persona API. On the way there it is a `Making`, which tells how far it is and
hands on each piece as it comes, so that `personalab.jobs` can keep it.
"""

from __future__ import annotations

import asyncio
import json
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from personalab import charts, llm
from personalab.blueprint.files import write_whole
from personalab.blueprint.model import Blueprint
from personalab.charts.html import cards_in_text
from personalab.errors import BlueprintError, ProviderError, RequestError
from personalab.inference import check_request, infer_with
from personalab.llm import Budget
from personalab.llm.faults import number_set
from personalab.llm.progress import Watch, bar
from personalab.reports.report import report
from personalab.reports.values import Report
from personalab.sampling.draw import Method, Rounding
from personalab.sampling.sample import one_of, sample
from personalab.writing.consistency import as_strings
from personalab.writing.roster import Line, Roster
from personalab.writing.write import Backend, check_backend, write_with

if TYPE_CHECKING:
    from personalab.llm import Connection, Model, Usage

Piece = Blueprint | pd.DataFrame | Line  # of a population in the making

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
    max_tokens: int | None = None,
    max_cost: float | None = None,
    prices: tuple[float, float] | None = None,
    backend: Backend = "live",
) -> Population:
    """Generate a population from one sentence, and wait for it; `start` does the same in the background.

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
    max_tokens : int, optional
        The most tokens that may be used, of requests and answers together: the call that would pass it is not sent.
    max_cost : float, optional
        The most money that may be used, in the currency of `prices`.
    prices : tuple of float, optional
        What a million prompt tokens and a million completion tokens cost.
    backend : {"live", "batch"}
        Whether people are asked for one by one, or first in a batch, at half the price within a day, as for `write`.

    Returns
    -------
    Population
        Always with `count` members.

    Raises
    ------
    RequestError
        If the prompt is empty, the count out of range, or the grounding, method, rounding or backend unknown; no
        model is asked then.
    ProviderError
        If the model cannot be had or gives nothing usable, or the budget is used up; ``partial`` is the frame of
        those written by then. What the model has answered is kept among the replies, so that the same call goes on
        from there.
    """
    call = Call(prompt, count, grounding, seed, method, rounding, backend)
    connection = llm.connect(model, Budget(max_tokens, max_cost, prices))
    making = Making(call, connection)
    with bar(making.watch) as tick:
        return llm.run_with(connection, making.made(), tick)


@dataclass(frozen=True)
class Call:
    """What a population is asked for with, checked before any model is asked; as for `generate`."""

    prompt: str
    count: int = 1
    grounding: str = "off"
    seed: int | None = None
    method: Method | None = None
    rounding: Rounding = "nearest"
    backend: Backend = "live"

    def __post_init__(self) -> None:
        check_backend(self.backend)
        check_call(self.prompt, self.count, self.grounding, self.seed, self.method, self.rounding)
        for name in ("count", "seed"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, operator.index(value))

    def draw(self, bp: Blueprint) -> pd.DataFrame:
        """Draw the people."""
        return sample(bp, self.count, seed=self.seed, method=self.method, rounding=self.rounding)


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
    limit = number_set("PERSONALAB_LIMIT", LIMIT)
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


def _whole(what: str, value: Any, hint: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RequestError(f"{what} is {value!r}, which is no whole number", hint=hint)
    return operator.index(value)


class Making:
    """A population in the making: what there is of it, whoever made it, and how to make the rest.

    Parameters
    ----------
    call : Call
        What is asked for.
    connection : Connection
        The model.
    keep : callable, optional
        Is handed the blueprint, then the frame drawn from it, then each `Line` as it comes.

    Attributes
    ----------
    blueprint : Blueprint or None
        What was inferred.
    roster : Roster or None
        The people, and what is written of them.
    watch : Watch
        How far it is.
    """

    def __init__(self, call: Call, connection: Connection, keep: Callable[[Piece], object] = lambda _: None) -> None:
        self.call, self.connection, self.keep = call, connection, keep
        self.blueprint: Blueprint | None = None
        self.roster: Roster | None = None
        self.watch = Watch.of(connection, call.count)

    async def made(self) -> Population:
        """Make what is not there yet."""
        self.blueprint = bp = self.blueprint or await self._inferred()
        if self.roster is None:
            self.roster = await asyncio.to_thread(self._drawn, bp)
        frame = await write_with(self.roster, self.connection, self.watch, self.call.backend)
        self.watch.begin("comparing with the blueprint")
        found = await asyncio.to_thread(report, frame, bp)
        return Population(self.call.prompt, bp, frame, found, self.connection.name, self.connection.usage)

    async def _inferred(self) -> Blueprint:
        self.watch.begin("inferring the blueprint")
        bp = await infer_with(self.call.prompt, self.connection)
        self.keep(bp)
        return bp

    def _drawn(self, bp: Blueprint) -> Roster:
        """Sample; that a rare row cannot be drawn, which no trial met, is the inferred blueprint's fault."""
        try:
            frame = self.call.draw(bp)
        except BlueprintError as error:
            raise ProviderError(
                f"the blueprint that {self.connection.name} wrote leaves some of {self.call.count:,} members no value",
                category="invalid_output",
                answer=json.dumps(bp.to_dict(), ensure_ascii=False),
                hint="try another seed, or infer the blueprint, ease its constraints and sample it",
            ) from error
        self.keep(frame)
        return Roster(frame, bp, self.keep)
