"""A job's folder: what any process can read of it, and how two of them keep out of each other's way.

::

    .personalab/jobs/<id>/
    ├── state.json       where the job stands, replaced as a whole
    ├── blueprint.json   once it is inferred
    ├── people.json      the frame, once it is drawn
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
from dataclasses import astuple
from pathlib import Path
from typing import Annotated, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from personalab.blueprint.files import write_whole
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.errors import Category, RequestError
from personalab.frames import from_frame, persona_ids, to_frame
from personalab.jobs.owner import SILENCE, Owner, here
from personalab.llm import Budget, Count
from personalab.llm.fencing import tidy
from personalab.llm.segments import LONGEST, append, check_plain, read_lines, read_plain
from personalab.llm.usage import LARGEST
from personalab.population import LARGEST_SEED, Piece, Request
from personalab.sampling.draw import Method, Rounding
from personalab.writing.roster import Line, Roster, text_keys
from personalab.writing.write import ROUNDS

LONGEST_TEXT = 100_000  # characters; of a text as of a message
NUMBER = 32  # bytes of a number as JSON, at most

Status = Literal["pending", "running", "succeeded", "failed"]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Stage = Annotated[str, Field(max_length=100)]
Counts = Annotated[dict[Stage, Count], Field(max_length=100)]  # by stage
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # since 1970

_AS_WRITTEN = ConfigDict(frozen=True, extra="forbid", strict=True)


class State(BaseModel):
    """Where a job stands.

    Attributes
    ----------
    id : str
        The job's identifier.
    request, budget : Request, Budget
        What it was started with.
    model : str
        What the model is called.
    is_object : bool
        Whether the model was an object of the caller's, which no name brings back.
    replies : str
        Where the model's replies are kept.
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

    model_config = _AS_WRITTEN

    id: Text
    request: Request
    budget: Budget
    model: Text
    is_object: bool
    replies: Text
    owner: Owner
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    created: Seconds
    heard: Seconds
    status: Status = "pending"
    stage: Text = ""
    message: Text = ""
    hint: Text = ""
    error: Category | None = None
    produced: Annotated[int, Field(ge=0, le=LARGEST)] = 0
    paid: Counts = {}
    replayed: Counts = {}

    @model_validator(mode="after")
    def _counts(self) -> Self:
        used = [*self.paid.values(), *self.replayed.values()]
        if not all(0 <= number <= LARGEST for count in used for number in astuple(count)):
            raise ValueError("no count")
        return self

    @property
    def total(self) -> int:
        """How many personas were asked for."""
        return self.request.count

    @property
    def is_abandoned(self) -> bool:
        """Whether it should be under way, and nobody works on it any more."""
        return self.status in ("pending", "running") and not self.owner.is_alive(self.heard)


class People(BaseModel):
    """A drawn frame: how it was drawn, and its columns by the names of their fields."""

    model_config = _AS_WRITTEN

    method: Method
    rounding: Rounding
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)]
    columns: dict[str, list[str] | list[int] | list[float]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> People:
        """Take a frame apart."""
        columns = {str(name): frame[name].tolist() for name in frame}
        return cls.model_construct(**{key: frame.attrs[key] for key in ("method", "rounding", "seed")}, columns=columns)

    def frame(self, bp: Blueprint, n: int) -> pd.DataFrame:
        """Put the frame of so many people together; RequestError where it is none of the blueprint's."""
        ids = persona_ids(n)
        frame = to_frame(bp, from_frame(bp, pd.DataFrame(self.columns, index=ids), strict=True), ids)
        frame.attrs.update(method=self.method, rounding=self.rounding, seed=self.seed)
        return frame


class Written(BaseModel):
    """A person's texts, as they stand in a line of a file."""

    model_config = _AS_WRITTEN

    persona_id: Text
    round: Annotated[int, Field(ge=0, le=ROUNDS)]
    texts: dict[Text, Text]


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
        path = self._file("state.json")
        try:
            state = State.model_validate_json(read_plain(path))
        except (OSError, ValidationError) as error:
            raise self._foreign(path) from error
        if state.id != self.path.name:
            raise self._foreign(path)
        return state

    def write(self, state: State) -> None:
        """Write where the job stands."""
        write_whole(self._file("state.json"), state.model_dump_json(indent=1) + "\n")

    def keep(self, piece: Piece) -> None:
        """Keep a piece of the population as it comes."""
        try:
            if isinstance(piece, Blueprint):
                self._keys = text_keys(piece)
                piece.save(self._file("blueprint.json"))
            elif isinstance(piece, pd.DataFrame):
                self._ids = [str(persona) for persona in piece.index]
                write_whole(self._file("people.json"), People.of(piece).model_dump_json() + "\n")
            else:
                self._append(piece)
        except OSError as error:
            raise self._unwritable(error) from error

    def roster(self, n: int) -> Roster | None:
        """Read the people, and what is written of them, if they are drawn yet; what is put into it is kept here."""
        people, bp = self._file("people.json"), self.blueprint()
        if bp is None or not people.exists():
            return None
        try:
            text = read_plain(people, LONGEST + n * sum(map(_room, bp.sampled)))
            roster = Roster(People.model_validate_json(text).frame(bp, n), bp, self.keep)
        except (OSError, ValueError) as error:  # which all that is said of a torn file is
            raise self.broken() from error
        self._keys, self._ids = roster.keys, persona_ids(n).tolist()
        for line in self._lines():
            roster.answered[line.position, line.round] = line.texts
            roster.put(line)
        return roster

    def broken(self) -> RequestError:
        """Say that the files do not hold what they should."""
        return RequestError(f"the files of job {self.path.name} are not whole", hint="start it anew: replies are kept")

    def blueprint(self) -> Blueprint | None:
        """Read the blueprint, if it is inferred yet."""
        path = self._file("blueprint.json")
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
        return (self.path / f"claim-{attempt}").exists()

    def cancel(self, attempt: int) -> None:
        """Ask whoever works on it to end."""
        try:
            self._file(f"cancel-{attempt}").touch()
        except OSError as error:
            raise self._unwritable(error) from error

    def is_cancelled(self, attempt: int) -> bool:
        """Whether somebody wants the attempt to end."""
        return (self.path / f"cancel-{attempt}").exists()

    def _foreign(self, path: Path) -> RequestError:
        message = f"{str(path)!r} is not what personalab writes of a job"
        return RequestError(message, hint="remove the folder; its replies are kept elsewhere")

    def _unwritable(self, error: OSError) -> RequestError:
        message = f"{str(self.path)!r} cannot be written: {error.strerror}"
        return RequestError(message, hint="make room there, then get the job with resume=True")

    def _claim(self, attempt: int) -> Path:
        return self._file(f"claim-{attempt}")

    def _file(self, name: str) -> Path:
        """The path of a file, which is no link and no pipe."""
        path = self.path / name
        check_plain(path)
        return path

    def _append(self, line: Line) -> None:
        texts = dict(zip(self._keys, line.texts, strict=True))
        entry = {"persona_id": self._ids[line.position], "round": line.round, "texts": texts}
        append(self.path / "texts.jsonl", json.dumps(entry, ensure_ascii=False).encode() + b"\n")

    def _lines(self) -> Iterator[Line]:
        """Read the texts in the order in which they came; a line that a killed process left torn is passed over."""
        path = self._file("texts.jsonl")
        position = {persona: i for i, persona in enumerate(self._ids)}
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            for line, _ in read_lines(file):
                with suppress(ValidationError, KeyError):
                    entry = Written.model_validate_json(line)
                    texts = tuple(tidy(entry.texts[key]) for key in self._keys)
                    yield Line(position[entry.persona_id], entry.round, texts)


def _room(field: SampledField) -> int:
    """How many bytes a field's value takes as JSON, at most."""
    return max(map(_quoted_size, field.values)) if isinstance(field, CategoricalField) else NUMBER


def _quoted_size(value: str) -> int:
    return len(json.dumps(value)) + 1  # with a comma


def _is_left(claim: Path) -> bool:
    """Whether whoever made a claim is gone without having begun."""
    heard = claim.stat().st_mtime
    try:
        return not Owner.model_validate_json(read_plain(claim)).is_alive(heard)
    except ValidationError:  # not written to the end, or not yet
        return time.time() - heard > SILENCE
