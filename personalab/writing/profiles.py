"""Profiles: a written person as instructions to a model and as a page to read.

Both are rendered by rule from the row and the texts, so facts cannot drift between them. What a model wrote is
untrusted: on a page it is escaped until Markdown and HTML can take it for nothing but text.
"""

from __future__ import annotations

import html
import re

from personalab.blueprint.model import Blueprint
from personalab.llm.fencing import NOTICE, fenced, tidy

_MARKUP = re.compile(r"([\\`*_\[\]|#~$@]|:(?=//)|(?<=www)\.)")
_PLAIN = re.compile(r"[^#<>{}\[\]|:=*`\\\n\r]{1,100}")  # what a name or a tagline looks like
_BLOCK = re.compile(r"^(\d*)([-+=.)])")  # what makes a list, a rule or a heading at the beginning of a line


def render_system_prompt(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> str:
    """Put a person as instructions to a model that shall play them.

    Parameters
    ----------
    texts, facts : dict
        What was written, and the row as strings.
    bp : Blueprint
        Describes each field.

    Returns
    -------
    str
        Plain text: who they are, every fact, every text, and how to speak.
    """
    return "\n\n".join([
        _opening(texts),
        f"This is known of you. {NOTICE}",
        fenced(
            *(f"{words(key)}: {text}" for key, text in texts.items()),
            *(f"{field.name}: {facts[field.name]} ({field.description or 'as said'})" for field in bp.sampled),
        ),
        "Answer as this person would, in the first person and in your own voice. Never contradict what is known of "
        "you; where it is silent, answer as such a person plausibly would. Do not say that you were given a "
        "description.",
    ])  # fmt: skip


def _opening(texts: dict[str, str]) -> str:
    """Who they are in a sentence, where name and tagline are plain enough to stand among our own words."""
    told = [texts["name"]] if "name" in texts else []
    told.append(re.sub(r"^(A|An|The) ", lambda match: match[0].lower(), texts["tagline"]).rstrip("."))
    return f"You are {', '.join(told)}." if all(map(_PLAIN.fullmatch, told)) else "You are the person described here."


def render_markdown(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> str:
    """Put a person as a sheet in Markdown.

    Parameters
    ----------
    texts, facts : dict
        What was written, and the row as strings.
    bp : Blueprint
        Names the fields in order.

    Returns
    -------
    str
        A heading, the tagline, the portrait, a table of the fields, a section a text. What a model wrote is escaped,
        so that it can be nothing but text.
    """
    title = texts.get("name") or texts["tagline"]
    rows = [f"| {_escaped(words(field.name))} | {_escaped(facts[field.name])} |" for field in bp.sampled]
    told = [(words(field.name).capitalize(), texts[field.name]) for field in bp.texts if field.name != "name"]
    sections = [f"## {_escaped(heading)}\n\n{_escaped(text)}" for heading, text in told]
    parts = [f"# {_escaped(title)}", f"_{_escaped(texts['tagline'])}_", _escaped(texts["portrait"])]
    return "\n\n".join([*parts, "\n".join(["| field | value |", "| --- | --- |", *rows]), *sections]) + "\n"


def words(name: str) -> str:
    """A field's name as a person would say it."""
    return name.replace("_", " ")


def _escaped(text: str) -> str:
    """Text that Markdown and HTML take for text: no markup, no link made of a bare address, no formula."""
    plain = _MARKUP.sub(r"\\\1", html.escape(tidy(text), quote=False))
    return _BLOCK.sub(r"\1\\\2", plain)
