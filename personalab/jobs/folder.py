"""A job's folder: what any process can read of it, and how two of them keep out of each other's way.

::

    .personalab/jobs/<id>/
    ├── state.json       where the job stands, replaced as a whole
    ├── blueprint.json   once it is inferred
    ├── people.parquet   the frame, once it is drawn
    ├── texts.jsonl      a line a person, appended as they come; of two lines the later holds
    ├── claim-2          who took the job up the second time
    └── cancel-2         that somebody wants that to end

Nothing is locked, because network drives do not do it reliably. A job is claimed by creating a file, which only one
process can, and a state is renamed into place, so that nobody reads half of one.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from personalab.blueprint.files import write_whole
from personalab.blueprint.model import Blueprint
from personalab.errors import Category, RequestError
from personalab.jobs.owner import SILENCE, Owner, here
from personalab.llm import Budget, Count
from personalab.llm.replies import Mode
from personalab.llm.segments import append
from personalab.population import Call, Piece
from personalab.writing.roster import Line, Roster, text_keys

Status = Literal["pending", "running", "succeeded", "failed"]
Counts = dict[str, Count]  # by stage


class State(BaseModel):
    """Where a job stands.

    Attributes
    ----------
    id : str
        The job's identifier.
    call, budget : dict
        What it was started with.
    model : str
        What the model is called.
    is_object : bool
        Whether the model was an object of the caller's, which no name brings back.
    replies, mode : str
        Where the model's replies are kept, and how they are used.
    owner : Owner
        Who works on it.
    attempt : int
        1 at first, and one more whenever it is taken up again.
    created, heard : float
        When it was started, and last heard of, in seconds since 1970.
    status : str
        The contract's word.
    stage, message, hint : str
        What is being done, or went wrong, and what can be done about it.
    error : str or None
        What it failed for.
    produced : int
        Personas written so far.
    paid, replayed : dict
        What was used in all attempts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    call: dict[str, Any]
    budget: dict[str, Any]
    model: str
    is_object: bool
    replies: str
    mode: Mode
    owner: Owner
    attempt: int = 1
    created: float
    heard: float
    status: Status = "pending"
    stage: str = ""
    message: str = ""
    hint: str = ""
    error: Category | None = None
    produced: int = 0
    paid: Counts = {}
    replayed: Counts = {}

    @field_validator("call")
    @classmethod
    def _is_call(cls, call: dict[str, Any]) -> dict[str, Any]:
        known = {field.name for field in fields(Call)}
        if (
            not call.keys() <= known
            or not isinstance(call.get("prompt"), str)
            or not isinstance(call.get("count"), int)
        ):
            raise ValueError("no call")
        return call

    @field_validator("budget")
    @classmethod
    def _is_budget(cls, budget: dict[str, Any]) -> dict[str, Any]:
        try:
            Budget(**budget)
        except TypeError:
            raise ValueError("no budget") from None
        return budget

    @property
    def total(self) -> int:
        """How many personas were asked for."""
        return int(self.call["count"])

    @property
    def is_abandoned(self) -> bool:
        """Whether it should be under way, and nobody works on it any more."""
        return self.status in ("pending", "running") and not self.owner.is_alive(self.heard)


class Folder:
    """The files of one job.

    Parameters
    ----------
    path : Path
        Where they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: tuple[str, ...] = ()
        self._ids: list[str] = []

    def state(self) -> State:
        """Read where the job stands."""
        path = self.path / "state.json"
        try:
            return State.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            message = f"{str(path)!r} is not what personalab writes of a job"
            raise RequestError(message, hint="remove the folder; its replies are kept elsewhere") from error

    def write(self, state: State) -> None:
        """Write where the job stands."""
        write_whole(self.path / "state.json", state.model_dump_json(indent=1) + "\n")

    def keep(self, piece: Piece) -> None:
        """Keep a piece of the population as it comes."""
        try:
            if isinstance(piece, Blueprint):
                self._keys = text_keys(piece)
                piece.save(self.path / "blueprint.json")
            elif isinstance(piece, pd.DataFrame):
                self._ids = [str(persona) for persona in piece.index]
                partial = self.path / ".people.parquet.partial"
                piece.to_parquet(partial)
                partial.replace(self.path / "people.parquet")
            else:
                self._append(piece)
        except OSError as error:
            raise self._unwritable(error) from error

    def roster(self) -> Roster | None:
        """Read the people and what is written of them, if they are drawn yet; what is put into it is kept here."""
        blueprint, people = self.path / "blueprint.json", self.path / "people.parquet"
        if not people.exists():
            return None
        try:
            bp, frame = Blueprint.load(blueprint), pd.read_parquet(people)
        except (OSError, ValueError) as error:  # which all that is said of a torn file is
            raise self.broken() from error
        roster = Roster(frame, bp, self.keep)
        self._keys, self._ids = roster.keys, [str(persona) for persona in frame.index]
        for line in self._lines():
            roster.answered[line.position, line.round] = line.texts
            roster.put(line)
        return roster

    def broken(self) -> RequestError:
        """Say that the files do not hold what they should."""
        return RequestError(f"the files of job {self.path.name} are not whole", hint="start it anew: replies are kept")

    def blueprint(self) -> Blueprint | None:
        """Read the blueprint, if it is inferred yet."""
        path = self.path / "blueprint.json"
        return Blueprint.load(path) if path.exists() else None

    def claim(self, attempt: int) -> int:
        """Take the job up after an attempt, as the only one who does; the number of the new attempt."""
        while True:
            attempt += 1
            path = self._claim(attempt)
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(here().model_dump_json())
            except FileExistsError:
                if not _is_left(path):
                    message = "the job is being taken up again by another process at this very moment"
                    raise RequestError(message, hint="get it without resume=True to see how it goes") from None
            except OSError as error:
                raise self._unwritable(error) from error
            else:
                return attempt

    def disclaim(self, attempt: int) -> None:
        """Let others take the job up, since this attempt cannot begin."""
        self._claim(attempt).unlink(missing_ok=True)

    def is_claimed(self, attempt: int) -> bool:
        """Whether somebody has taken the job up for that attempt."""
        return self._claim(attempt).exists()

    def cancel(self, attempt: int) -> None:
        """Ask whoever works on it to end."""
        try:
            self._cancel(attempt).touch()
        except OSError as error:
            raise self._unwritable(error) from error

    def is_cancelled(self, attempt: int) -> bool:
        """Whether somebody wants the attempt to end."""
        return self._cancel(attempt).exists()

    def _unwritable(self, error: OSError) -> RequestError:
        message = f"{str(self.path)!r} cannot be written: {error.strerror}"
        return RequestError(message, hint="make room there, then get the job with resume=True")

    def _claim(self, attempt: int) -> Path:
        return self.path / f"claim-{attempt}"

    def _cancel(self, attempt: int) -> Path:
        return self.path / f"cancel-{attempt}"

    def _append(self, line: Line) -> None:
        texts = dict(zip(self._keys, line.texts, strict=True))
        entry = {"persona_id": self._ids[line.position], "round": line.round, "texts": texts}
        append(self.path / "texts.jsonl", json.dumps(entry, ensure_ascii=False).encode() + b"\n")

    def _lines(self) -> Iterator[Line]:
        """Read the texts in the order in which they came; a line that a killed process left torn is passed over."""
        path = self.path / "texts.jsonl"
        place = {persona: position for position, persona in enumerate(self._ids)}
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    entry = json.loads(line)
                    texts = tuple(str(entry["texts"][key]) for key in self._keys)
                    yield Line(place[entry["persona_id"]], int(entry["round"]), texts)


def _is_left(claim: Path) -> bool:
    """Whether whoever made a claim is gone without having begun."""
    heard = claim.stat().st_mtime
    try:
        return not Owner.model_validate_json(claim.read_bytes()).is_alive(heard)
    except ValidationError:  # not written to the end, or not yet
        return time.time() - heard > SILENCE
