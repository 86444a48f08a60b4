"""What the page shows, as plain data: the state, and what of it has changed.

The state holds nothing but JSON's own types. A patch is a part of it: of ``fields``, ``people`` and ``panels`` the
entries that have changed (None for one that is gone while its field is still there), of all else whole keys. Its
``select`` is no part of the state: it names the field that an edit has just made, for the page to turn to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from personalab import edits
from personalab.blueprint.conditionals import Stated
from personalab.blueprint.diff import Change
from personalab.blueprint.display import positional
from personalab.blueprint.model import AnyField, Blueprint, Categorical, CategoricalField, Numeric, TextField
from personalab.blueprint.validation import WRITTEN, validate
from personalab.charts.html import card
from personalab.editor.panels import caption, curve
from personalab.editor.people import People
from personalab.errors import PersonalabError, RequestError
from personalab.inference import GROUNDINGS, check_request
from personalab.writing.roster import unwritten

State = dict[str, Any]

BY_NAME = ("fields", "people", "panels")  # keys that a patch changes entry by entry
MOST_CHANGES = 40  # that the page lists
ROWS = 8  # of the frame
CARDS = 6
MOST_EXACT = 2**53 - 1  # beyond, a page rounds whole numbers
LONGEST = 60  # characters of a value that a line of changes tells
_NUMBERS = ("min", "max", "mean", "sd")


class Page:
    """What the page was told last."""

    def __init__(self) -> None:
        self._sent: State = {}
        self._rev = 0
        self._described: tuple[Blueprint | None, Blueprint | None, State] | None = None

    def opened(self, state: State) -> State:
        """The whole state, for a page that opens."""
        state = state | {"rev": self._rev}
        self._sent = self._sent or state
        return state

    def patch(self, state: State) -> State:
        """What has changed since the page was last told; empty where nothing has."""
        patch = difference(self._sent, state)
        if patch:
            self._rev += 1
            patch["rev"] = self._rev
            self._sent = state | {"rev": self._rev}
        return patch

    def described(self, bp: Blueprint | None, start: Blueprint | None) -> State:
        """What the blueprint alone decides, found once as long as it stays."""
        known = self._described
        if known is None or known[0] is not bp or known[1] is not start:
            known = self._described = (bp, start, described(bp, start))
        return known[2]


def described(bp: Blueprint | None, start: Blueprint | None) -> State:
    """The part of the state that the blueprint alone decides."""
    if bp is None:
        nothing = {"domain": "", "rationale": "", "sources": [], "notes": [], "names": [], "fields": {}}
        return nothing | {"constraints": [], "diff": [], "warnings": [], "has_blueprint": False}
    past = {field.name: field for field in start.fields} if start else {}
    return {
        "domain": bp.domain,
        "rationale": bp.rationale,
        "sources": list(bp.sources),
        "notes": list(bp.notes or ()),
        "names": [field.name for field in bp.fields],
        "fields": {field.name: _field(bp, field, field != past.get(field.name)) for field in bp.fields},
        "constraints": [{"name": each.name, "text": str(each), "broken": None} for each in bp.constraints],
        "diff": changes(bp, start),
        "warnings": [
            {"path": each.path, "reason": each.reason, "fix": each.fix}
            for each in validate(bp)
            if each.level == "warning"
        ],
        "has_blueprint": True,
    }


def changes(bp: Blueprint, start: Blueprint | None, most: int = MOST_CHANGES) -> list[str]:
    """Where a blueprint differs from its start, as lines for people."""
    found = bp.diff(start) if start else ()
    rest = len(found) - most
    return [*map(_line, found[:most]), *([f"and {rest:,} more changes"] if rest > 0 else [])]


def followed(told: State, people: People) -> State:
    """What of the blueprint depends on its people: who meets which condition, and who breaks which constraint."""
    verdicts = people.fidelity.constraints
    broken = {each.name: each.violations for each in verdicts if each.status != "not applicable"}
    rows = {name: field["rows"] for name, field in told["fields"].items() if field["rows"]}
    return {
        "constraints": [each | {"broken": broken.get(each["name"])} for each in told["constraints"]],
        "people": {name: people.meeting([row["when"] for row in listed]) for name, listed in rows.items()},
        "panels": people.panels,
    }


def population(people: People, frame: pd.DataFrame, first: int) -> State:
    """The people themselves: who they are, a few of them, and how they follow the blueprint."""
    bare = unwritten(frame, people.blueprint)
    is_written = not bare.all() or WRITTEN[0] in frame
    return {
        "n": len(frame),
        "seed": people.source.seed if (people.source.seed or 0) <= MOST_EXACT else str(people.source.seed),
        "texts": int(np.count_nonzero(bare)) if is_written else 0,
        "written": is_written,
        **_shown(frame, people.blueprint, first if first < len(frame) else 0),
        "caption": caption(people.panels),
        "summary": people.fidelity.summary,
    }


def _shown(frame: pd.DataFrame, bp: Blueprint, first: int) -> State:
    """A few of the people, as rows of a table and as cards."""
    names = [field.name for field in bp.sampled]
    rows = frame.iloc[first : first + ROWS]
    return {
        "first": first,
        "columns": ["persona_id", *names],
        "rows": [[str(persona), *(_cell(row[name]) for name in names)] for persona, row in rows.iterrows()],
        "cards": [_card(str(persona), row, bp) for persona, row in rows.head(CARDS).iterrows()],
    }


def groundings() -> list[str]:
    """The ways of looking things up first that this version has."""
    return [each for each in GROUNDINGS if _is_served(each)]


def refusal(error: PersonalabError) -> dict[str, Any]:
    """Put an error as sentences: what, and what to do about it."""
    hint = " ".join(getattr(error, "__notes__", ())).removeprefix("→ ")
    found = [str(each) for each in getattr(error, "findings", ()) if each.level == "error"]
    return {"message": str(error), "hint": hint} | ({"findings": found} if found else {})


def difference(before: State, after: State) -> State:
    """What has changed between two states."""
    patch = {key: value for key, value in after.items() if key not in BY_NAME and before.get(key) != value}
    for key in BY_NAME:
        if before.get(key) == after[key]:
            continue
        patch[key] = after[key]
        if isinstance(before.get(key), Mapping) and isinstance(after[key], Mapping):
            patch[key] = _entries(before[key], after[key], after["names"])
    return patch


def _entries(before: Mapping[str, Any], after: Mapping[str, Any], names: list[str]) -> State:
    gone = {name: None for name in before if name not in after and name in names}
    return {name: part for name, part in after.items() if before.get(name) != part} | gone


def _field(bp: Blueprint, field: AnyField, is_changed: bool) -> State:
    children, mentions = edits.dependents(bp, field.name)
    told: State = {
        "name": field.name,
        "kind": field.kind,
        "description": field.description,
        "parents": list(field.parents),
        "changed": is_changed,
        "depends": list(children),
        "mentioned": list(mentions),
        "barred": edits.barred(bp, field.name),
    }
    if isinstance(field, TextField):
        return told | {"rows": [], "more": 0}
    if isinstance(field, CategoricalField):
        told |= {"values": list(field.values), "ordered": field.ordered_values is not None}
    told["base"] = _distribution(field, field.base) if field.base else None
    rows, more = edits.rows(bp, field.name)
    told["rows"] = [_row(field, row) for row in rows]
    return told | {"more": more}


def _row(field: AnyField, row: edits.Row) -> State:
    told: State = {"when": row.when, "label": row.label, "origin": row.origin}
    return told | ({"from": row.source} if row.source else {}) | _distribution(field, row.distribution)


def _distribution(field: AnyField, stated: Stated) -> State:
    if isinstance(stated, Categorical) and isinstance(field, CategoricalField):
        return {"weights": [stated.weights.get(value, 0) for value in field.values]}
    if isinstance(stated, Numeric):
        numbers = {key: getattr(stated, key) for key in _NUMBERS}
        return numbers | {"integer": stated.integer, "curve": curve(stated)}
    raise TypeError("a field's distributions are of its own kind")


def _line(change: Change) -> str:
    before, after = _word(change.before), _word(change.after)
    if before is None or after is None or before == after:
        return (
            f"{change.path}: {'added' if change.before is None else 'removed' if change.after is None else 'changed'}"
        )
    return f"{change.path}: {before} → {after}"


def _word(value: Any) -> str | None:
    """A short value for people; None for what is too long for a line."""
    if isinstance(value, float):
        return positional(value, 6)
    word = value if isinstance(value, str) else repr(value)
    return word if value is not None and len(word) <= LONGEST else None


def _card(persona: str, row: pd.Series[Any], bp: Blueprint) -> State:
    """A card with a place for every text, written or not; without the system prompt, which is long and not shown."""
    told = {key: value for key, value in card(persona, row, bp).items() if key != "system_prompt"}
    written = dict(told["texts"])
    return told | {"texts": [[each.name, written.get(each.name, "")] for each in bp.texts if each.name != "name"]}


def _cell(value: Any) -> str | int | float:
    if isinstance(value, str):
        return value
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _is_served(grounding: str) -> bool:
    try:
        check_request("anybody", grounding)
    except RequestError:
        return False
    return True
