"""HTML: a population as one document, and as cards for a notebook.

`page` puts chart, tables, blueprint and personas into one HTML document: styles and drawings inline, no script, no
request. What a model wrote is untrusted, so the template escapes everything, and the document forbids itself scripts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from personalab.blueprint import display
from personalab.blueprint.conditionals import Stated, label, stated
from personalab.blueprint.model import AnyField, Blueprint, TextField
from personalab.charts.marginals import marginals
from personalab.charts.numerics import numerics
from personalab.charts.style import as_svg
from personalab.reports.values import Report
from personalab.writing.consistency import as_string

PAGE_WIDTH = 340  # on a page, where two charts stand side by side and one fits a telephone
MOST_CARDS = 200  # personas on a page, some 500 KB of text


def page(frame: pd.DataFrame, bp: Blueprint, report: Report, *, prompt: str = "", model: str = "") -> str:
    """Write a population as one HTML document that needs no network.

    Parameters
    ----------
    frame : pandas.DataFrame
        The personas, sampled or written; the first 200 are shown.
    bp : Blueprint
        What they were drawn from.
    report : Report
        How closely they match it.
    prompt : str
        What was asked for, the title of the page.
    model : str
        What wrote blueprint and texts.

    Returns
    -------
    str
        The document: light and dark, for screens and paper, without scripts and requests. All that a model may have
        written is escaped.

    Examples
    --------
    >>> from personalab import report, sample
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> frame = sample(bp, 10, seed=7)
    >>> document = page(frame, bp, report(frame, bp), prompt="ten players")
    >>> "<h1>ten players</h1>" in document, "<script" in document
    (True, False)
    """
    from markupsafe import Markup

    drawings = [(marginals, report.marginals), (numerics, report.numerics)]
    charts = [draw(report, width=PAGE_WIDTH) for draw, rows in drawings if rows]
    return display.render(
        "page.html.j2",
        title=prompt or bp.domain,
        model=model,
        bp=bp,
        report=report,
        fields=[_told(field) for field in bp.fields],
        # The one thing not escaped: drawn here, and every text inside it escaped by the renderer.
        charts=[(chart.description, Markup(as_svg(chart))) for chart in charts],
        personas=[card(str(index), row, bp) for index, row in frame.head(MOST_CARDS).iterrows()],
        total=len(frame),
    )


def cards(frame: pd.DataFrame, bp: Blueprint, *, of: int | None = None, heading: str = "", summary: str = "") -> str:
    """Write personas as HTML cards for a notebook.

    Parameters
    ----------
    frame : pandas.DataFrame
        The personas to show, sampled or written.
    bp : Blueprint
        What they were drawn from.
    of : int, optional
        How many there are in all, where `frame` is a part of them.
    heading, summary : str
        What stands above the cards: who these people are, and a sentence on them.

    Returns
    -------
    str
        A fragment that any notebook shows, trusted or not, light or dark; all that a model may have written is escaped.

    Examples
    --------
    >>> from personalab import sample
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> frame = sample(bp, 10, seed=7)
    >>> "2 of 10 personas are shown." in cards(frame.head(2), bp, of=len(frame))
    True
    """
    shown = [card(str(index), row, bp) for index, row in frame.iterrows()]
    return display.render(
        "notebook.html.j2",
        personas=shown,
        total=of or len(frame),
        heading=heading,
        summary=summary,
        grey=display.GREY,
    )


def cards_in_text(frame: pd.DataFrame, bp: Blueprint, *, of: int | None = None) -> str:
    """Tell personas as text: a line each for name, tagline and values, then what they say."""
    parts = []
    for index, row in frame.iterrows():
        told = card(str(index), row, bp)
        name = told["id"] if told["name"] == told["id"] else f"{told['id']} {told['name']}"
        facts = ", ".join(f"{key} {value or 'not given'}" for key, value in told["facts"])
        lines = [name + (f": {told['tagline']}" if told["tagline"] else ""), facts]
        lines += [f"{key}: {text}" for key, text in told["texts"]]
        parts.append("\n  ".join(filter(None, lines)))
    if of and of > len(frame):
        parts.append(f"{len(frame)} of {of:,} personas are shown.")
    return "\n".join(parts)


def in_words(distribution: Stated) -> str:
    """Tell a distribution: its shares, or its range, mean and spread.

    Parameters
    ----------
    distribution : Categorical or Numeric
        What a field states, in its base or in one of its conditionals.

    Returns
    -------
    str
        One line; of more than 12 values it says how many more there are.

    Examples
    --------
    >>> in_words(Blueprint.load("data/blueprints/league-of-legends.json")["region"].base)
    'NA 20 %, EUW 25 %, KR 15 %, BR 15 %, CN 25 %'
    """
    return display.in_words(distribution.model_dump())


def base_in_words(field: AnyField) -> str:
    """Tell what a field is drawn from where none of its conditions holds; empty where that is nothing."""
    if isinstance(field, TextField):
        return "written by a model"
    return in_words(field.base) if field.base else ""


def _told(field: AnyField) -> dict[str, Any]:
    cases = [] if isinstance(field, TextField) else [(label(r.when), in_words(stated(r))) for r in field.conditionals]
    return {
        "name": field.name,
        "kind": field.kind,
        "parents": ", ".join(field.parents),
        "description": field.description,
        "base": base_in_words(field),
        "cases": cases,
    }


def card(persona_id: str, row: pd.Series[Any], bp: Blueprint) -> dict[str, Any]:
    """One persona as a card shows it: a name, the values drawn, and whatever was written."""
    shown = {str(name): _shown(value) for name, value in row.items()}
    texts = [field.name for field in bp.texts if field.name != "name" and shown.get(field.name)]
    return {
        "id": persona_id,
        "name": shown.get("name") or persona_id,
        "facts": [[field.name, shown[field.name]] for field in bp.sampled if field.name in shown],
        "texts": [[name, shown[name]] for name in texts],
        **{key: shown.get(key, "") for key in ("tagline", "portrait", "system_prompt")},
    }


def _shown(value: Any) -> str:
    if pd.isna(value):
        return ""
    return as_string(value)
