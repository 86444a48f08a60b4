"""What can go wrong, as one small tree.

::

    PersonalabError
    ├── RequestError     the call itself cannot be served: a wrong argument, count or grounding
    │   └── UnknownFieldError    a field that a blueprint does not have; also a KeyError
    ├── BlueprintError   a blueprint that cannot be read, or cannot be sampled
    └── ProviderError    the model, or the way to it, did not give what was needed

Every message is a sentence: what happened, because of what. What to do about it stands in a note that
begins with an arrow, shown below the traceback's last line. Exceptions of other libraries are caught where
they enter and kept as ``__cause__``.
"""

from __future__ import annotations

import difflib
import reprlib
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pandas import DataFrame

Category = Literal[
    "config_error",
    "auth_error",
    "quota_exceeded",
    "rate_limited",
    "provider_error",
    "provider_timeout",
    "provider_unreachable",
    "invalid_output",
    "output_truncated",
    "content_refused",
    "replay_miss",
    "budget_exceeded",
    "interrupted",
    "cancelled",
    "internal_error",
]
CATEGORIES: tuple[Category, ...] = get_args(Category)
MOST_SPELT = 200  # letters of a word that are compared, since the time grows with their square
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = 80  # characters
OWN: tuple[Category, ...] = ("interrupted", "cancelled", "internal_error")  # what lies neither with a model nor a call


def on_the_wire(category: Category) -> str:
    """Name a failure as the hosted persona API does, which tells nobody what its providers do.

    Parameters
    ----------
    category : Category
        What went wrong.

    Returns
    -------
    str
        The category itself where the failure is the run's own, else ``"provider_error"``.

    Examples
    --------
    >>> on_the_wire("rate_limited"), on_the_wire("interrupted")
    ('provider_error', 'interrupted')
    """
    return category if category in OWN else "provider_error"


def quoted(value: Any) -> str:
    """Quote a value, shortened where it is long, so that a sentence stays one."""
    try:
        return _BRIEF.repr(value)
    except ValueError:  # Python does not write out whole numbers of more than 4,300 digits
        return f"a {type(value).__name__} too long to be shown"


def some(items: Sequence[str], most: int = 4) -> str:
    """Name the first few of many things, and how many more there are.

    Examples
    --------
    >>> some(["'a'", "'b'", "'c'"], 2)
    "'a', 'b' and 1 more"
    """
    return ", ".join(items[:most]) + (f" and {len(items) - most:,} more" if len(items) > most else "")


def nearest(word: str, among: Iterable[Any]) -> str | None:
    """The legal word closest to a misspelt one, or None where none is close."""
    lowered = {str(item).lower(): str(item) for item in among}
    close = difflib.get_close_matches(str(word).lower()[:MOST_SPELT], lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def instead(word: str, among: Iterable[str]) -> str:
    """What to write instead of a word that is not known.

    Examples
    --------
    >>> instead("rnak", ["rank", "region"]), instead("age", ["rank", "region"])
    ("did you mean 'rank'?", "one of 'rank', 'region'")
    """
    legal = list(among)
    close = nearest(word, legal)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"one of {some(list(map(quoted, legal)), 12)}" if legal else "there is none yet"


class PersonalabError(Exception):
    """Base of every error that personalab raises on purpose.

    Parameters
    ----------
    message : str
        What happened and why, one or two sentences.
    hint : str, optional
        What to do about it; shown as a note below the message.

    Examples
    --------
    >>> error = PersonalabError("count is 0, but a population has members", hint="ask for 1 or more")
    >>> error.__notes__
    ['→ ask for 1 or more']
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"→ {hint}")

    __str__ = Exception.__str__  # a KeyError would put its message in quotes


class RequestError(PersonalabError, ValueError):
    """The call cannot be served as it was made: a wrong argument, file, folder or setting."""


class UnknownFieldError(RequestError, KeyError):
    """A name that is no field of the blueprint; a KeyError too, as Python has it for names looked up in brackets."""


class BlueprintError(PersonalabError, ValueError):
    """The blueprint cannot be read or cannot be sampled.

    Parameters
    ----------
    message : str
        What is wrong, and where.
    findings : sequence, optional
        What `personalab.validate` found, when that is what stopped the call.
    hint : str, optional
        What to do about it.
    """

    def __init__(self, message: str, *, findings: Sequence[Any] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class ProviderError(PersonalabError):
    """The model, or the way to it, did not give what was needed.

    Parameters
    ----------
    message : str
        What happened, without the model's words.
    category : Category
        One of a fixed set of words, safe to branch on.
    answer : str, optional
        The model's own last words, kept here and out of the message: they can be long, and can be anything.
    hint : str, optional
        What to do about it.
    partial : pandas.DataFrame, optional
        Where personas were being written: those that had their texts by then.
    """

    def __init__(
        self,
        message: str,
        *,
        category: Category = "provider_error",
        answer: str | None = None,
        hint: str | None = None,
        partial: DataFrame | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.category: Category = category
        self.answer = answer
        self.partial = partial
