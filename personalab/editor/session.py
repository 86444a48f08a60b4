"""The session: what one form holds, what it can be asked to do, and what its page is told of it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from personalab import edits, llm
from personalab.blueprint.model import Blueprint
from personalab.blueprint.resolution import resolve
from personalab.blueprint.validation import demand_valid
from personalab.editor.autosave import Autosave
from personalab.editor.background import Home, Work
from personalab.editor.history import NOBODY, History, Step, drawn_from, open_history, same_gesture
from personalab.editor.people import Crowd, People, Texts
from personalab.editor.state import Page, State, followed, groundings, population, refusal
from personalab.errors import PersonalabError, RequestError
from personalab.inference import check_request, infer_with
from personalab.llm import Model
from personalab.population import Population, check_count
from personalab.reports.report import report
from personalab.reports.values import Report
from personalab.sampling.sample import whole
from personalab.updating.match import Match, Renamed, follow
from personalab.writing.roster import Roster
from personalab.writing.write import write_with

_log = logging.getLogger(__name__)

PATIENT = ("cancel", "check", "page", "rest", "save")  # what can be done while a model is at work
QUIET = ("check", "page", "rest")  # what leaves an error where it is
LONGEST = 80  # characters of a step's name, of which every message holds all


class Session:
    """A blueprint being edited, with its history and its people.

    Parameters
    ----------
    bp : Blueprint or Population or path-like, optional
        What to edit; without it a blueprint has to be inferred or opened first.
    n : int, optional
        How many people follow the edits; none by default.
    seed : int, optional
        Fixes their draw; without it one is made up.
    file : path-like, optional
        Where the blueprint is saved after each edit, and read from at first where it is there already.
    model : str or Model, optional
        Which model infers and writes, see `personalab.generate`.
    tell : callable, optional
        Is told, as a message to the page, what changes without having been asked for by the page.

    Attributes
    ----------
    at_rest : callable
        Called when the page has come to rest.

    Examples
    --------
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
    >>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> session = Session(coins, n=10, seed=1)
    >>> even = {"id": 1, "op": "set_weights", "field": "side", "when": None, "weights": {"head": 0.5, "tail": 0.5}}
    >>> answer = session.handle(even)
    >>> answer["patch"]["population"]["changed"], session.frame["side"].value_counts().to_dict()
    (2, {'head': 5, 'tail': 5})
    """

    def __init__(
        self,
        bp: Blueprint | Population | str | os.PathLike[str] | None = None,
        *,
        n: int | None = None,
        seed: int | None = None,
        file: str | os.PathLike[str] | None = None,
        model: str | Model | None = None,
        tell: Callable[[dict[str, Any]], object] = lambda _: None,
    ) -> None:
        self.model = model
        self.at_rest: Callable[[], object] = lambda: None
        self.tell = tell
        self._seed = None if seed is None else whole("seed", seed, at_least=0)
        self._crowd = Crowd()
        self._view = Page()
        self._first = 0
        self._error: dict[str, str] | None = None
        self._work: Work | None = None
        self._lock = threading.RLock()
        place = None if file is None else _path(file)
        self._history = open_history(bp, n, self._seed, place)
        self._hold(self._history)
        self._autosave = Autosave(place, self.blueprint)

    # ---- values -------------------------------------------------------------------------------------------------

    @property
    def blueprint(self) -> Blueprint | None:
        """The blueprint as it is now; always one that is valid."""
        return self._history.current.blueprint

    @property
    def start(self) -> Blueprint | None:
        """The blueprint that edits are compared with and people are drawn from."""
        return self._history.current.source.start

    @property
    def n(self) -> int | None:
        """How many people there are."""
        return self._history.current.source.n

    @property
    def renamed(self) -> Renamed:
        """What is called otherwise than in the start, as far as both blueprints have it."""
        if self.start is None or self.blueprint is None:
            return {}
        return Match(self.start, self.blueprint, self._history.current.renamed).valid().renamed

    @property
    def seed(self) -> int | None:
        """What fixes their draw."""
        return self._history.current.source.seed

    @property
    def history(self) -> History:
        """The steps."""
        return self._history

    @property
    def frame(self) -> pd.DataFrame:
        """The people, with the texts that are true of them."""
        return self._crowd.told(self._demand_people())

    @property
    def report(self) -> Report:
        """How closely the people follow the blueprint, and how varied their texts are."""
        people = self._demand_people()
        return report(self._crowd.told(people), people.blueprint)

    # ---- the page -----------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Put all that the page shows as plain data.

        Returns
        -------
        dict
            Nothing but JSON's own types.
        """
        with self._lock:
            return self._view.opened(self._current())

    def handle(self, command: Any) -> dict[str, Any]:
        """Do what the page asks for.

        Parameters
        ----------
        command : dict
            With ``id``, ``op``, perhaps ``gesture``, and the operation's own arguments.

        Returns
        -------
        dict
            ``ack`` and either ``refused``, after which nothing has changed, or a ``patch``. Never raises.
        """
        ack = command.get("id") if isinstance(command, dict) else None
        ack = ack if isinstance(ack, int | str) else None
        try:
            op, args, gesture = _read(command)
            with self._transaction(op):
                answer = self._done(op, args, gesture)
                return {"ack": ack, **answer, "patch": self._view.patch(self._current()) | answer.pop("patch", {})}
        except PersonalabError as error:
            return {"ack": ack, "refused": refusal(error)}
        except Exception as error:  # whatever it is, the page must hear of it, and the next command be served
            return {"ack": ack, "refused": _unforeseen(error)}

    def do(self, op: str, **args: Any) -> None:
        """Do the same from Python, and tell the page.

        Parameters
        ----------
        op : str
            What to do, as in a command.
        **args
            The operation's own arguments.
        """
        with self._transaction(op):
            self._done(op, args, None)
            self._announce()

    def use(self, bp: Blueprint) -> None:
        """Go on with another blueprint, as a step that can be undone.

        Parameters
        ----------
        bp : Blueprint
            One without errors.
        """
        demand_valid(bp)
        with self._transaction("use"):
            self._step("set from Python", bp, self._history.current.renamed)
            self._announce()

    # ---- what can be done ---------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, op: str) -> Iterator[None]:
        """Let a command have its effect in whole, or none."""
        with self._lock:
            before = (self._history, self._first, self._error)
            if self._work is not None and op not in PATIENT:
                raise RequestError(
                    f"{self._work.text}: nothing can be edited meanwhile", hint="wait for it, or cancel it"
                )
            if op not in QUIET:
                self._error = None
            try:
                yield
            except BaseException:
                self._history, self._first, self._error = before
                raise
            self._autosave.soon(self.blueprint, self._save_now)

    def _done(self, op: str, args: Mapping[str, Any], gesture: int | str | None) -> dict[str, Any]:
        """Do it, and return what the answer holds besides what has changed."""
        if op in edits.EDITS:
            return self._edited(op, args, gesture)
        act = _OPS.get(op)
        if act is None:
            raise RequestError(f"there is no operation {op!r}", hint=f"one of {', '.join([*edits.EDITS, *_OPS])}")
        try:
            inspect.signature(act).bind(self, **args)
        except TypeError as error:
            raise RequestError(f"{op} was asked for with the wrong arguments: {error}") from error
        return act(self, **args) or {}

    def _edited(self, op: str, args: Mapping[str, Any], gesture: int | str | None) -> dict[str, Any]:
        before = self._demand_blueprint()
        bp = edits.apply(before, op, args)
        renamed = self._history.current.renamed
        if op in ("rename_field", "rename_value"):
            renamed = follow(renamed, args["field"], args["to"], args.get("value"))
        self._step(_brief(edits.step(op, args)), bp, renamed, gesture)
        new = [field.name for field in bp.fields if field.name not in {each.name for each in before.fields}]
        return {"patch": {"select": new[0]}} if len(new) == 1 else {}

    def _step(self, name: str, bp: Blueprint, renamed: Renamed, gesture: int | str | None = None) -> None:
        if bp != self.blueprint:
            source = self._history.current.source
            if source.start is None:
                source = drawn_from(bp, source.n, self._seed)
            self._hold(self._history.then(Step(name, bp, source, gesture, renamed)))

    def _undo(self) -> None:
        self._hold(self._history.back())

    def _redo(self) -> None:
        self._hold(self._history.forward())

    def _jump(self, step: int) -> None:
        self._hold(self._history.to(whole("step", step, at_least=0)))

    def _reset(self) -> None:
        if self.start is None:
            raise RequestError("there is nothing to go back to")
        self._step("back to the start", self.start, {})

    def _resample(self, seed: int | None = None, n: int | None = None) -> None:
        if self.start is None:
            raise RequestError("there is no blueprint to draw people from", hint="infer or open one first")
        if n is None:
            n = self.n
        elif seed is None:
            seed = self.seed  # more or fewer people of the same draw
        if n is None:
            raise RequestError("nobody said how many people to draw", hint="give n")
        source = drawn_from(self.start, n, seed)
        renamed = self._history.current.renamed
        step = Step(f"{source.n:,} people, seed {source.seed}", self.blueprint, source, renamed=renamed)
        self._hold(self._history.then(step))

    def _save(self, path: str) -> None:
        self._autosave.save(self._demand_blueprint(), _path(path))

    def _open(self, path: str) -> None:
        bp = Blueprint.load(_path(path))
        demand_valid(bp)
        self._step(f"opened {Path(path).name}", bp, {})
        self._autosave.saw(self._demand_blueprint(), Path(path))

    def _page(self, first: int) -> None:
        self._first = min(whole("first", first, at_least=0), max((self.n or 1) - 1, 0))

    def _rest(self) -> None:
        self._save_now()
        self.at_rest()

    def _check(self, text: str, name: str | None = None) -> dict[str, Any]:
        """Say whether a constraint, as typed, can be read, how many people break it, and how many it would change."""
        name = _word(name or "a new rule")
        people = self._crowd.at(self._history.current)
        try:
            bp = _constrained(self._demand_blueprint(), name, _word(text))
            if people is None:
                return {"check": {"message": "reads well", "ok": True, "n": None, "broken": None}}
            broken = people.breaking(resolve(next(each for each in bp.constraints if each.name == name), bp))
            changed = replace(people, blueprint=bp).changed(people)
        except PersonalabError as error:
            told = refusal(error)
            message = f"{told['message']} → {told['hint']}" if told["hint"] else told["message"]
            return {"check": {"message": message, "ok": False, "n": self.n, "broken": None}}
        n = len(people.frame)
        parts = [f"{broken:,} of {n:,} people break it" if broken else f"holds for all {n:,}"]
        parts += [f"{changed:,} would change"] if changed else []
        return {"check": {"message": "; ".join(parts), "ok": True, "n": n, "broken": broken}}

    # ---- work with a model --------------------------------------------------------------------------------------

    def _infer(self, prompt: str, count: int | None = None, grounding: str = "off") -> None:
        check_request(prompt, grounding)
        if count is not None:
            check_count(count)
        connection = llm.connect(self.model)
        work = Work("infer", f"{connection.name} is inferring a blueprint", connection)
        self._begin(work, partial(infer_with, prompt, connection), partial(self._inferred, prompt, count))

    def _inferred(self, prompt: str, count: int | None, bp: Blueprint) -> None:
        source = drawn_from(bp, self.n if count is None else count, self._seed)
        self._hold(self._history.then(Step(_brief(f"inferred: {prompt}"), bp, source)))

    def _write(self) -> None:
        people = self._demand_people()
        roster = Roster(self._crowd.told(people), people.blueprint)
        if not roster.bare:
            raise RequestError("everybody has their texts already", hint="edit the blueprint, or resample")
        check_count(len(roster.bare))
        connection = llm.connect(self.model)
        work = Work("write", f"{connection.name} is writing the texts", connection, len(roster.bare))
        job = partial(write_with, roster, connection, work.watch)
        self._begin(work, job, partial(self._written, people))

    def _written(self, people: People, frame: pd.DataFrame) -> None:
        self._crowd.add(Texts(self.start, people.blueprint, frame, people.renamed))

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _begin(self, work: Work, job: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._work, home = work, Home()
        work.start(job, lambda: home.soon(self._announce), lambda: home.soon(partial(self._finish, work, then)))

    def _finish(self, work: Work, then: Callable[[Any], None]) -> None:
        """Take over what the work gave, or say why it gave nothing."""
        with self._lock:
            if self._work is not work or work.future is None:
                return
            self._work = None
            try:
                result = work.future.result()
                with self._transaction(work.what):
                    then(result)
            except CancelledError:
                hint = "what was answered already is kept, so that it goes on from there next time"
                self._error = {"message": "cancelled; nothing has changed", "hint": hint}
            except PersonalabError as error:
                self._error = _sentences(error)
            except Exception as error:  # as for a command: said, logged, and the form stays alive
                self._error = _unforeseen(error)
            self._announce()

    # ---- people -------------------------------------------------------------------------------------------------

    def _hold(self, history: History) -> None:
        """Make a history hold, provided that its people can be had."""
        people = self._crowd.at(history.current)
        if people is not None:
            _ = people.panels
        self._history = history

    def _demand_people(self) -> People:
        people = self._crowd.at(self._history.current)
        if people is None:
            raise RequestError("there are no people yet", hint=NOBODY)
        return people

    def _demand_blueprint(self) -> Blueprint:
        if self.blueprint is None:
            raise RequestError("there is no blueprint yet", hint="infer or open one first")
        return self.blueprint

    # ---- what the page is told ----------------------------------------------------------------------------------

    def _announce(self) -> None:
        with self._lock:
            if patch := self._view.patch(self._current()):
                self.tell({"patch": patch})

    def _current(self) -> State:
        step = self._history.current
        return {
            **self._told_of(step),
            "steps": self._history.names(),
            "step": self._history.at,
            "saved": self._autosave.where(step.blueprint),
            "groundings": groundings(),
            "model": self._model_name(),
            "work": self._work.told() if self._work else None,
            "error": self._error,
        }

    def _told_of(self, step: Step) -> State:
        """Of the blueprint and its people."""
        told, people = self._view.described(step.blueprint, step.source.start), self._crowd.at(step)
        if people is None:
            return {**told, "people": None, "population": None, "panels": {}}
        frame, previous = self._crowd.told(people), self._history.previous
        count = {
            "changed": people.changed(self._crowd.at(Step("", step.source.start, step.source))),
            "edited": people.changed(self._crowd.at(previous) if previous else people),
            "drawn": previous is not None and previous.source is not step.source,
        }
        return {**told, **followed(told, people), "population": count | population(people, frame, self._first)}

    def _model_name(self) -> str:
        if self._work is not None:
            return self._work.connection.name
        name = self.model if isinstance(self.model, str) else getattr(self.model, "name", None)
        return str(name or (type(self.model).__name__ if self.model is not None else ""))

    def _save_now(self) -> None:
        """Save to the file; that it cannot be written is said, and costs no edit."""
        with self._lock:
            try:
                self._autosave.now(self.blueprint)
            except PersonalabError as error:
                self._error = _sentences(error)
            self._announce()


_OPS: dict[str, Callable[..., dict[str, Any] | None]] = {
    "undo": Session._undo,
    "redo": Session._redo,
    "jump": Session._jump,
    "reset": Session._reset,
    "resample": Session._resample,
    "save": Session._save,
    "open": Session._open,
    "infer": Session._infer,
    "write": Session._write,
    "cancel": Session._cancel,
    "check": Session._check,
    "page": Session._page,
    "rest": Session._rest,
}


def _read(command: Any) -> tuple[str, dict[str, Any], int | str | None]:
    """Take a command apart, or refuse it."""
    if not isinstance(command, dict) or not all(isinstance(key, str) for key in command):
        raise RequestError("this is no command: it is not an object", hint="send {id, op, …}")
    if not isinstance(command.get("id"), int | str) or isinstance(command["id"], bool):
        raise RequestError("the command has no id", hint="send {id, op, …}")
    if not isinstance(command.get("op"), str):
        raise RequestError("the command names no operation", hint="send {id, op, …}")
    try:
        json.dumps(command, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # an answer that quotes it could not be sent either
        raise RequestError("a text holds half a character, which no file can keep", hint="type it again") from error
    args = {key: value for key, value in command.items() if key not in ("id", "op", "gesture")}
    return command["op"], args, same_gesture(command.get("gesture"))


def _brief(name: str) -> str:
    """A step's name on one line, and no longer than a list of them bears."""
    line = " ".join(name.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _sentences(error: PersonalabError) -> dict[str, str]:
    told = refusal(error)
    return {"message": told["message"], "hint": told["hint"]}


def _unforeseen(error: Exception) -> dict[str, str]:
    """Log a fault of the library itself, and say its type."""
    _log.error("what was asked for could not be done", exc_info=error)
    return {
        "message": f"this could not be done: {type(error).__name__}",
        "hint": "nothing has changed; the log says more",
    }


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path).strip():
        raise RequestError(f"the path is {path!r}", hint="name a file that ends in .yaml or .json")
    return Path(path)


def _word(text: Any) -> str:
    if not isinstance(text, str):
        raise RequestError(f"{text!r} is no text", hint="write a comparison such as age >= 18")
    return text


def _constrained(bp: Blueprint, name: str, text: str) -> Blueprint:
    """The blueprint with a text as its constraint of that name, where it can be one."""
    is_new = name not in (each.name for each in bp.constraints)
    op, args = ("add_constraint", {}) if is_new else ("change_constraint", {"to_name": name})
    return edits.apply(bp, op, {"name": name, "text": text, **args})
