"""Profiles: a written person as instructions to a model and as a page to read.

Both are rendered by rule from the row and the texts, so facts cannot drift between them. What a model wrote is
untrusted: on a page it is escaped until Markdown and HTML can take it for nothing but text.
"""

from __future__ import annotations

import html
import re

from personalab.blueprint.model import Blueprint

_MARKUP = re.compile(r"([\\`*_\[\]|#~$@]|:(?=//)|(?<=www)\.)")
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
    name = texts.get("name") or texts["tagline"]
    tagline = re.sub(r"^(A|An|The) ", lambda match: match[0].lower(), texts["tagline"]).rstrip(".")
    known = [f"- {field.name}: {facts[field.name]} ({field.description or 'as said'})" for field in bp.sampled]
    told = [f"Your {words(f.name)}: {texts[f.name]}" for f in bp.texts if f.name != "name"]
    opening = f"You are {name}, {tagline}." if "name" in texts else f"You are {tagline}."
    return "\n\n".join([
        opening,
        f"How others describe you: {texts['portrait']}",
        "What is true of you:\n" + "\n".join(known),
        *told,
        f"Answer as {name} would, in the first person and in your own voice. Never contradict what is written here; "
        "where it is silent, answer as such a person plausibly would. Do not say that you were given a description.",
    ])  # fmt: skip


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
    plain = _MARKUP.sub(r"\\\1", html.escape(text, quote=False))
    return _BLOCK.sub(r"\1\\\2", plain)
