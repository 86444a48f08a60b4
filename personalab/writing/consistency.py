"""Consistency: what a row says of a person, as text, and whether what was written of them says the same.

The check reads English prose with a few patterns and no grammar. It is tuned to be silent when in doubt, because an
alarm costs another draw: it looks for another value of the same field, or another number before the same noun, and
ignores what the text puts off as past, wished for or denied. It misses numbers in words, other languages, and whatever
is said between the lines. What it finds is a reason to look, not a proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from personalab.blueprint.display import positional
from personalab.blueprint.model import Blueprint, CategoricalField

SMALL = 0.1  # numbers below have fewer than 3 digits that count among the first 3 after the point
READ = 10_000  # characters of a text that are read; one that was asked for has a few hundred
NEAR = 3  # words between a mention and what it is about
WINDOW = 200  # characters in which these words are looked for
ROUNDED = 0.05  # share by which prose rounds a number: 12,400 km are told as 12,000

# Words shortly before a mention that make it a wish, a memory, a denial, or about somebody else.
PUT_OFF = {
    "not", "never", "no", "without", "neither", "nor", "than", "unlike", "instead", "former", "formerly", "once", "ex",
    "used", "before", "after", "until", "since", "when", "was", "were", "had", "from", "left", "moved", "dreams",
    "dreamed", "hopes", "hoping", "hoped", "wants", "wanted", "wishes", "aims", "aspires", "toward", "towards", "reach",
    "reaching", "her", "his", "their", "its", "whose", "mother", "father", "sister", "brother", "son", "daughter",
    "wife", "husband", "parents",
}  # fmt: skip
_GAP = re.compile(r"[\s-]")
_NUMBER = r"(?<![\w.,\u2013-])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
_AGES = (
    re.compile(r"\baged (\d{1,3})\b"),
    re.compile(r"(?<![\w.,\u2013-])(\d{1,3})[- ]years?[- ]old\b"),
)


def as_strings(row: pd.Series[Any], bp: Blueprint) -> dict[str, str]:
    """A row's sampled values as the strings that go on the wire: whole numbers without a point, others to 3 digits."""
    return {field.name: as_string(row[field.name]) for field in bp.sampled}


def as_string(value: Any) -> str:
    """One value as a string: whole numbers without a point, others to 3 digits after it, small ones to 3 that count."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) >= SMALL else positional(value + 0.0, 3)
    return str(value)


def contradictions(texts: dict[str, str], facts: dict[str, str], bp: Blueprint) -> list[str]:
    """Read categories and numbers back out of a person's texts.

    Parameters
    ----------
    texts : dict
        What was written.
    facts : dict
        The row, as strings.
    bp : Blueprint
        Knows every value a field could have had.

    Returns
    -------
    list of str
        The fields that the texts speak against: they name another value of it and not its own, or put another
        number to what it counts. Empty if there is none.
    """
    told = [text[:READ] for name, text in texts.items() if name != "name"]  # Paris and London are names of people, too
    wrong = []
    for field in bp.sampled:
        own = facts[field.name]
        if isinstance(field, CategoricalField):
            named = set().union(*(_named(text, field, own) for text in told))
            if named and own not in named:
                wrong.append(field.name)
        else:
            numbers = [number for text in told for number in _counted(text.lower(), field.name)]
            near = max(0.51, ROUNDED * abs(float(own)))
            if numbers and not any(abs(number - float(own)) <= near for number in numbers):
                wrong.append(field.name)
    return wrong


def _named(text: str, field: CategoricalField, own: str) -> set[str]:
    """The values that a text names as the person's, the longest where one is part of another."""
    plain = _GAP.sub(" ", text.lower())
    found = [
        (match.span(), value)
        for value in field.values
        if _GAP.sub(" ", value.lower()) in plain  # few of many values are, and the others cost no pattern
        for match in _mentions(text, value, field.name)
        if value == own or PUT_OFF.isdisjoint(_around(text, match)[0])
    ]
    named, longest = set(), (0, 0)
    for span, value in sorted(found, key=lambda each: (each[0][0], -each[0][1])):
        if span[1] > longest[1]:
            longest = span
        if span == longest:
            named.add(value)
    return named


def _mentions(text: str, value: str, field: str) -> Iterator[re.Match[str]]:
    # "support" and "top" are words of every day; "Gold" is not, as long as it keeps its capital.
    is_plain = value.islower() and value.isalpha()
    pattern = re.escape(value).replace(r"\ ", r"[\s-]")
    for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE if value.islower() else 0):
        before, after = _around(text, match)
        if not is_plain or _speaks_of(field, (*before, *after)):
            yield match


def _around(text: str, match: re.Match[str]) -> tuple[list[str], list[str]]:
    """The words before and after a mention, within its sentence."""
    before = re.split(r"[.!?;]", text[max(0, match.start() - WINDOW) : match.start()])[-1]
    after = re.split(r"[.!?;]", text[match.end() : match.end() + WINDOW])[0]
    return re.findall(r"\w+", before.lower())[-NEAR:], re.findall(r"\w+", after.lower())[:NEAR]


def _speaks_of(field: str, around: Iterable[str]) -> bool:
    """Whether a word of the field's name stands there, in whatever form."""
    stems = [word[:5] for word in field.split("_") if len(word) > 3]
    return any(word.startswith(stem) for word in around for stem in stems)


def _counted(text: str, field: str) -> Iterator[float]:
    """The numbers a text gives for a field: ``34-year-old`` for age, ``12 hours a week`` for hours_per_week."""
    if field == "age":
        for pattern in _AGES:
            for match in pattern.finditer(text):
                if not PUT_OFF.intersection(_around(text, match)[0]):
                    yield float(match[1])
        return
    noun, *rest = field.lower().split("_")
    unit = [word for word in rest if word not in ("per", "a", "of", "in")]
    for match in re.finditer(rf"{_NUMBER} {re.escape(noun)}\b(?! ago)", text):
        before, after = _around(text, match)
        if PUT_OFF.isdisjoint(before) and (not unit or _speaks_of("_".join(unit), after)):
            yield float(match[1].replace(",", ""))
