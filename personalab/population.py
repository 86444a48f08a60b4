"""Populations: everything together, from one sentence to people.

``generate`` walks the whole way: a blueprint is inferred, a frame sampled, its texts written, a report made. What comes
back is a frozen `Population` that holds all four, shows itself in a notebook, saves itself as files, and turns
into the ``result`` object of the hosted persona API. What is asked for is a `Request`, and the work on it a `Run`,
which tells its progress and hands on each piece as it comes, so that `personalab.jobs` can keep it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from personalab import charts, llm
from personalab.blueprint.files import write_whole
from personalab.blueprint.model import Blueprint
from personalab.charts.html import cards_in_text
from personalab.errors import BlueprintError, ProviderError, RequestError, quoted
from personalab.frames import persona_ids
from personalab.inference import check_request, infer_with
from personalab.llm.faults import number_set
from personalab.llm.progress import Progress, bar
from personalab.llm.segments import check_plain, oddity
from personalab.reports.report import report
from personalab.reports.values import Report
from personalab.sampling.draw import Method, Rounding
from personalab.sampling.sample import one_of, sample, whole
from personalab.writing.consistency import as_strings
from personalab.writing.roster import Line, Roster
from personalab.writing.write import Backend, check_backend, write_with

if TYPE_CHECKING:
    from personalab.llm import Budget, Connection, Model, Usage

Piece = Blueprint | pd.DataFrame | Line  # what a run makes, as it comes
Formulas = Literal["keep", "escape"]

LIMIT = 10_000  # people a call; PERSONALAB_LIMIT sets another
LARGEST_SEED = 2**128  # numpy makes none larger up itself
SHOWN = 12  # personas in a notebook's output
FILES = ("population.json", "personas.csv", "blueprint.yaml", "report.html")
# What a text begins with that spreadsheets take for a formula; the last four are the first ones in full width.
FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


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

    def save(self, folder: str | os.PathLike[str], *, formulas: Formulas = "keep") -> Path:
        """Write the population as files that anyone can open.

        Parameters
        ----------
        folder : path-like
            Made if it is not there; files of an earlier population in it are replaced, and its other sheets removed.
        formulas : {"keep", "escape"}
            What becomes of texts that a spreadsheet takes for a formula, and may run, since they begin with ``=``,
            ``+``, ``-`` or ``@``: in ``personas.csv`` an apostrophe is put before them, or they stay as they are, which
            is what `report` and other programs read.

        Returns
        -------
        pathlib.Path
            The folder, now with ``population.json``, ``personas.csv``, ``blueprint.yaml``, ``report.html`` and a
            Markdown sheet a persona under ``personas/``, numbered in the order of the rows.

        Raises
        ------
        RequestError
            If the folder cannot be made or written to, or a link or a folder stands where a file belongs.
        """
        folder = Path(folder)
        one_of("formulas", formulas, get_args(Formulas))
        try:
            self._save(folder, escaped(self.frame) if formulas == "escape" else self.frame)
        except OSError as error:
            message = f"{str(folder)!r} cannot be written: {error.strerror}"
            raise RequestError(message, hint="name a folder that can be made or written to") from error
        return folder

    def _save(self, folder: Path, table: pd.DataFrame) -> None:
        sheets = _sheets(folder, len(self))
        sheets[0].parent.mkdir(parents=True, exist_ok=True)
        if (what := oddity(sheets[0].parent)) != "a folder":
            raise RequestError(f"{str(sheets[0].parent)!r} is {what}", hint="save to another folder")
        for path in (*(folder / name for name in FILES), *sheets):
            check_plain(path)
        earlier = _earlier(folder)
        write_whole(folder / "population.json", json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n")
        write_whole(folder / "personas.csv", table.to_csv())
        self.blueprint.save(folder / "blueprint.yaml")
        page = charts.page(self.frame, self.blueprint, self.report, prompt=self.prompt, model=self.model)
        write_whole(folder / "report.html", page)
        for path, sheet in zip(sheets, self.frame["markdown"], strict=True):
            write_whole(path, sheet)
        for path in earlier.keys() - set(sheets):
            if oddity(path) is None and path.exists() and path.read_bytes() == earlier[path]:
                path.unlink()

    def _persona(self, row: pd.Series[Any]) -> dict[str, Any]:
        values = as_strings(row, self.blueprint)
        return {
            "persona_id": str(row.name),
            "fields": {item.name: values.get(item.name) or str(row[item.name]) for item in self.blueprint.fields},
            "system_prompt": str(row["system_prompt"]),
            "markdown": str(row["markdown"]),
        }


def escaped(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before every text that a spreadsheet takes for a formula, names of columns and ids included.

    Examples
    --------
    >>> print(escaped(pd.DataFrame({"=age": [-1], "name": ["@SUM(A1)"]}, index=["p_01"])).to_csv(), end="")
    ,'=age,name
    p_01,-1,'@SUM(A1)
    """

    def plain(value: Any) -> Any:
        """A value that no spreadsheet runs."""
        if not isinstance(value, str):
            return value
        # pandas does not quote a carriage return, behind which a spreadsheet begins a row
        return ("'" if value.startswith(FORMULA) else "") + value.replace("\r", "\n")

    is_number = pd.api.types.is_numeric_dtype
    named = frame.rename(columns=plain, index=plain)
    made: pd.DataFrame = named.apply(lambda each: each if is_number(each) else each.map(plain))
    return made


def _sheets(folder: Path, n: int) -> list[Path]:
    """Where the sheets of so many people are: an id is data, and no path is made of it."""
    return [folder / "personas" / f"{name}.md" for name in persona_ids(n)]


def _earlier(folder: Path) -> dict[Path, bytes]:
    """The sheets of the population that a folder holds, as they were written; what somebody changed is theirs."""
    try:
        personas = json.loads((folder / "population.json").read_bytes())["personas"]
        sheets = [str(persona["markdown"]).encode() for persona in personas]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return dict(zip(_sheets(folder, len(sheets)), sheets, strict=True))


def generate(
    prompt: str,
    count: int = 1,
    *,
    grounding: str = "off",
    seed: int | None = None,
    model: str | Model | None = None,
    method: Method | None = None,
    rounding: Rounding | None = None,
    budget: Budget | None = None,
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
    rounding : {"nearest", "unbiased"}, optional
        How shares become counts, as for `sample`: right on average below 10 people, the closest from there on.
    budget : Budget, optional
        How much may be used, such as ``Budget(tokens=100_000)``, or ``Budget(cost=3, prices=(0.25, 2))``.
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
    request = Request(prompt, count, grounding, seed, method, rounding, backend)
    connection = llm.connect(model, budget)
    run = Run(request, connection)
    with bar(run.progress) as tick:
        return llm.run_with(connection, run.finish(), tick)


@dataclass(frozen=True)
class Request:
    """What a population is asked for with, checked before any model is asked; as for `generate`."""

    prompt: str
    count: int = 1
    grounding: str = "off"
    seed: int | None = None
    method: Method | None = None
    rounding: Rounding | None = None
    backend: Backend = "live"

    def __post_init__(self) -> None:
        check_backend(self.backend)
        check_request(self.prompt, self.grounding)
        object.__setattr__(self, "count", check_count(self.count))
        if self.seed is not None:
            number = _within("seed", self.seed, 0, LARGEST_SEED, "give a whole number from 0 to 2 to the power of 128")
            object.__setattr__(self, "seed", number)
        if self.method is not None:
            one_of("method", self.method, get_args(Method))
        if self.rounding is not None:
            one_of("rounding", self.rounding, get_args(Rounding))

    def draw(self, bp: Blueprint) -> pd.DataFrame:
        """Draw the people."""
        return sample(bp, self.count, seed=self.seed, method=self.method, rounding=self.rounding)


def check_count(count: int) -> int:
    """Return a number of people that may be asked for, or raise RequestError."""
    limit = number_set("PERSONALAB_LIMIT", LIMIT)
    return _within("count", count, 1, limit, f"ask for 1 to {limit:,}; PERSONALAB_LIMIT sets another limit")


def _within(what: str, value: Any, low: int, high: int, hint: str) -> int:
    number = whole(what, value, at_least=low)
    if number > high:
        raise RequestError(f"{what} is {quoted(value)}, outside {low} to {high:,}", hint=hint)
    return number


class Run:
    """The work on a request: what there is of the population, whoever made it, and how to make the rest.

    Parameters
    ----------
    request : Request
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
    progress : Progress
        How far it is.
    """

    def __init__(
        self, request: Request, connection: Connection, keep: Callable[[Piece], object] = lambda _: None
    ) -> None:
        self.request, self.connection, self.keep = request, connection, keep
        self.blueprint: Blueprint | None = None
        self.roster: Roster | None = None
        self.progress = Progress.of(connection, request.count)

    async def finish(self) -> Population:
        """Make what is not there yet."""
        self.blueprint = bp = self.blueprint or await self._inferred()
        if self.roster is None:
            self.roster = await asyncio.to_thread(self._drawn, bp)
        frame = await write_with(self.roster, self.connection, self.progress, self.request.backend)
        self.progress.begin("comparing with the blueprint")
        found = await asyncio.to_thread(report, frame, bp)
        return Population(self.request.prompt, bp, frame, found, self.connection.name, self.connection.usage)

    async def _inferred(self) -> Blueprint:
        self.progress.begin("inferring the blueprint")
        bp = await infer_with(self.request.prompt, self.connection)
        self.keep(bp)
        return bp

    def _drawn(self, bp: Blueprint) -> Roster:
        """Sample; that a rare row cannot be drawn, which no trial met, is the inferred blueprint's fault."""
        try:
            frame = self.request.draw(bp)
        except BlueprintError as error:
            raise ProviderError(
                f"the blueprint that {self.connection.name} wrote leaves some of {self.request.count:,} members no"
                " value",
                category="invalid_output",
                answer=json.dumps(bp.to_dict(), ensure_ascii=False),
                hint="try another seed, or infer the blueprint, ease its constraints and sample it",
            ) from error
        self.keep(frame)
        return Roster(frame, bp, self.keep)
