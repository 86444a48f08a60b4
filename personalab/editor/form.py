"""The editor: a blueprint edited by hand in a notebook, and the population that follows.

What is edited, and what follows from it, is a session's affair (`editor.session`); its page is a widget
(`editor.widget`), which is blank where no kernel runs. So beside it stands a *still*: the blueprint, its changes and
the report as plain HTML and text. It is hidden while the editor is alive, is refreshed when the page comes to rest, and
is what a reader of the saved notebook sees.
"""

from __future__ import annotations

import html
import os
import uuid
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalab.blueprint.diff import Change
from personalab.blueprint.model import Blueprint
from personalab.editor.session import Session
from personalab.editor.state import changes
from personalab.editor.widget import panel
from personalab.errors import RequestError
from personalab.reports.values import Report

if TYPE_CHECKING:
    from personalab.llm import Model
    from personalab.population import Population

CHANGES = "Changes since it was opened:"
MOST_CHANGES = 200  # that a still lists
VIEW = "application/vnd.jupyter.widget-view+json"


def edit(
    bp: Blueprint | Population | str | os.PathLike[str] | None = None,
    *,
    n: int | None = None,
    seed: int | None = None,
    file: str | os.PathLike[str] | None = None,
    model: str | Model | None = None,
) -> Form:
    """Edit a blueprint by hand in a notebook, and watch the population follow.

    Parameters
    ----------
    bp : Blueprint or Population or path-like, optional
        What to edit: a blueprint, a file that holds one, or a population, whose people and texts are then carried
        along. Without it the form opens with a box for a prompt.
    n : int, optional
        How many people to draw and carry along, at least 1; without it there is a blueprint only.
    seed : int, optional
        A number of 0 or more that fixes their draw; without it one is made up and shown.
    file : path-like, optional
        Where the blueprint is saved after every edit, as YAML or JSON. Where the file is there already the form goes
        on from it, so that a notebook run again comes to the same blueprint. What somebody else has written to it
        since is never overwritten unasked.
    model : str or Model, optional
        Which model infers and writes, when asked to in the form; see `personalab.generate`.

    Returns
    -------
    Form
        Shows itself as the last value of a cell; its `blueprint`, `frame` and `report` are values for the next one.

    Raises
    ------
    RequestError
        If an argument is not of the kind asked for, a file cannot be read, or the widget's package is missing (the
        extra ``lab``).
    BlueprintError
        If the blueprint has errors, or leaves some of the people no value.

    Notes
    -----
    However the blueprint came about, the people are ``update(sample(start, n, seed=seed), start, blueprint)``, with
    `start` the blueprint that the form opened with: whoever has these three has the people too.

    Examples
    --------
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
    >>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> form = edit(coins, n=10, seed=1)
    >>> form.use(coins.replace("side", weights={"head": 0.5, "tail": 0.5}))
    >>> form
    Form(Blueprint('coins', fields=['side'], constraints=0), n=10, seed=1, step 1 of 1, 2 changes)
    >>> form.frame["side"].value_counts().to_dict()
    {'head': 5, 'tail': 5}
    >>> form.undo()
    >>> form.blueprint == coins
    True
    """
    if find_spec("anywidget") is None:
        message = "the editor needs anywidget, which is not installed"
        raise RequestError(message, hint="in a clone of the project: pip install -e '.[lab]'")
    return Form(Session(bp, n=n, seed=seed, file=file, model=model))


class Form:
    """A blueprint being edited, as `edit` returns it.

    Every property is a value of its own: what the form does next changes none that was taken from it before.

    Parameters
    ----------
    session : Session
        What is edited.

    Examples
    --------
    >>> form = edit("data/blueprints/league-of-legends.json", n=100, seed=7)
    >>> form.use(form.blueprint.replace("region", description="where they play"))
    >>> form.steps, len(form.diff)
    (('opened', 'set from Python'), 1)
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._place = uuid.uuid4().hex  # the still's, by which it is refreshed; not stored in the notebook
        self._shown: dict[str, str] | None = None
        session.tell = self._send
        session.at_rest = self._refresh

    @property
    def blueprint(self) -> Blueprint | None:
        """The blueprint as edited so far, always one that is valid; None before there is any."""
        return self._session.blueprint

    @property
    def start(self) -> Blueprint | None:
        """The blueprint that the form opened with, or that was inferred in it."""
        return self._session.start

    @property
    def frame(self) -> pd.DataFrame:
        """The people who follow the blueprint, a row each, with the texts that are true of them.

        Raises
        ------
        RequestError
            If there are no people yet.
        """
        return self._session.frame.copy()

    @property
    def report(self) -> Report:
        """How closely they follow it.

        Raises
        ------
        RequestError
            If there are no people yet.
        """
        return self._session.report

    @property
    def n(self) -> int | None:
        """How many people there are."""
        return self._session.n

    @property
    def seed(self) -> int | None:
        """What fixes their draw."""
        return self._session.seed

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done, those steps included that can be redone."""
        return tuple(self._session.history.names())

    @property
    def diff(self) -> tuple[Change, ...]:
        """Where the blueprint differs from its start."""
        bp, start = self._session.blueprint, self._session.start
        return () if bp is None or start is None else bp.diff(start)

    @cached_property
    def widget(self) -> Any:
        """The editor as a widget, for layouts of ipywidgets."""
        return panel()(self._session)

    def undo(self) -> None:
        """Take the last step back.

        Raises
        ------
        RequestError
            If there is none, or a model is at work.
        """
        self._do("undo")

    def redo(self) -> None:
        """Take the last undone step again.

        Raises
        ------
        RequestError
            If there is none, or a model is at work.
        """
        self._do("redo")

    def use(self, bp: Blueprint) -> None:
        """Go on with another blueprint, as a step that can be undone.

        Parameters
        ----------
        bp : Blueprint
            One without errors.

        Raises
        ------
        RequestError
            If it is no blueprint, or a model is at work.
        BlueprintError
            If it has errors, or leaves some of the people no value; the form is as before then.
        """
        self._session.use(bp)
        self._refresh()

    def resample(self, seed: int | None = None) -> None:
        """Draw other people.

        Parameters
        ----------
        seed : int, optional
            A number of 0 or more that fixes the draw; without it one is made up.

        Raises
        ------
        RequestError
            If there is no blueprint, nobody has said how many people, or a model is at work.
        """
        self._do("resample", seed=seed)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the blueprint as ``.json`` or ``.yaml``.

        Parameters
        ----------
        path : path-like
            The file; its ending decides the format.

        Returns
        -------
        pathlib.Path
            Where it was written.

        Raises
        ------
        RequestError
            If there is no blueprint yet, the ending is another, or the place cannot be written to.
        """
        self._do("save", path=path)
        return Path(path)

    def __repr__(self) -> str:
        history, differences = self._session.history, len(self.diff)
        people = f", n={self.n}, seed={self.seed}" if self.n and self.seed is not None else ""
        step = f"step {history.at} of {len(history.steps) - 1}"
        return f"Form({self.blueprint!r}{people}, {step}, {differences} change{'' if differences == 1 else 's'})"

    def _ipython_display_(self) -> None:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        _publish({VIEW: view, "text/plain": f"{self!r}, as it opened; its last state stands below"})
        self._shown = self._still()
        _publish(self._shown, transient={"display_id": self._place})

    def _do(self, op: str, **args: Any) -> None:
        self._session.do(op, **args)
        self._refresh()

    def _refresh(self) -> None:
        """Bring the still up to date, where it is shown and has changed."""
        still = self._still()
        if self._shown not in (None, still):
            self._shown = still
            _publish(still, transient={"display_id": self._place}, update=True)

    def _still(self) -> dict[str, str]:
        """The form for readers without a kernel, in HTML and in text."""
        if self.blueprint is None:
            text = "no blueprint yet"
            return {"text/html": _framed([f"<p>{text}</p>"]), "text/plain": text}
        lines = changes(self.blueprint, self.start, most=MOST_CHANGES)
        values: list[Any] = [self.blueprint, *([self.report] if self.n else [])]
        bundles = [value._repr_mimebundle_() for value in values]
        pages, texts = ([each[kind] for each in bundles] for kind in ("text/html", "text/plain"))
        listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        pages.insert(1, f"<p><b>{CHANGES}</b></p><ul>{listed}</ul>" if lines else "")
        texts.insert(1, "\n".join([CHANGES, *(f"  {line}" for line in lines)]) if lines else "")
        return {"text/html": _framed(pages), "text/plain": "\n\n".join(part for part in texts if part)}

    def _send(self, message: dict[str, Any]) -> None:
        if "widget" in self.__dict__:
            self.widget.send(message)


def _publish(data: dict[str, Any], **how: Any) -> None:
    from IPython.display import publish_display_data

    publish: Any = publish_display_data  # it has no types
    publish(data, **how)


def _framed(parts: list[str]) -> str:
    return '<div class="personalab-still">\n' + "\n".join(part for part in parts if part) + "\n</div>"
