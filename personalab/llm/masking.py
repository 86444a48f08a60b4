"""Masking: a key, or a password in a server's address, leaves the process where it is meant to, and nowhere else.

Servers and gateways repeat what they were sent: in the text of an error, in a header, once even in an answer,
and not always as it was written, but as part of an address or in base64. What a server says is kept among the
replies, shown in errors and, where somebody has turned that on, logged by the client, so each secret is taken out of
all of it first, in each of these forms.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "[key]"
SHORTEST = 6  # characters; a shorter key is a placeholder, and would be found in every other word
WORD = 20  # letters; a shorter key of letters alone is a word, such as "EMPTY" or "ollama"
CLIENTS = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")  # whose loggers tell what is sent and received
# what keys of the usual servers look like, also where they are shortened, or are not the one in use
_LIKE_A_KEY = re.compile(r"\b(sk|gsk|xai)-[\w\-*.]{4,}|Bearer\s+\S+", re.IGNORECASE)


def masked(text: str, *secrets: str) -> str:
    """Take secrets out of a text.

    Parameters
    ----------
    text : str
        What a server said.
    *secrets : str
        The key that it was sent, the password; one that is a plain word, or very short, is no secret.

    Returns
    -------
    str
        The text with ``[key]`` in their place, also where it is quoted for an address, for JSON, or in base64.

    Examples
    --------
    >>> masked("Incorrect API key: s3cret+key=", "s3cret+key=")
    'Incorrect API key: [key]'
    >>> masked("/login?key=s3cret%2bkey%3D", "s3cret+key=")
    '/login?key=[key]'
    >>> masked("an EMPTY room", "EMPTY")
    'an EMPTY room'
    """
    for pattern in filter(None, map(_forms, secrets)):
        text = pattern.sub(MASK, text)
    return text


def masked_in_errors(text: str, *secrets: str) -> str:
    """Take secrets out of an error's text, and whatever else looks like a key.

    Parameters
    ----------
    text : str
        What a server said.
    *secrets : str
        As for `masked`.

    Returns
    -------
    str
        The text without them.

    Examples
    --------
    >>> masked_in_errors("Incorrect API key provided: sk-abcd****wxyz.", "another")
    'Incorrect API key provided: [key]'
    """
    return _LIKE_A_KEY.sub(MASK, masked(text, *secrets))


def mask_logs(*secrets: str) -> None:
    """Take secrets out of whatever the clients log from now on, and let them be quiet unless somebody chose a level.

    Parameters
    ----------
    *secrets : str
        As for `masked`; the clients have to be loaded.
    """
    _log_filter.secrets.update(secrets)
    for name in [*CLIENTS, *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        if name in CLIENTS and logger.level == logging.NOTSET:  # they tell of every request
            logger.setLevel(logging.WARNING)
        if name.partition(".")[0] in CLIENTS:  # a filter holds for one logger, not for those below it
            logger.addFilter(_log_filter)


class _LogFilter(logging.Filter):
    """Lets every record through, without the secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        told = masked(message, *self.secrets)
        if told != message:
            record.msg, record.args = told, ()
        return True


_log_filter = _LogFilter()


@lru_cache(maxsize=16)
def _forms(key: str) -> re.Pattern[str] | None:
    """A pattern of all the forms of a key; None where it is no secret."""
    if len(key) < SHORTEST or (key.isalpha() and len(key) < WORD):
        return None
    forms = {key, quote(key, safe=""), quote(key), quote_plus(key), json.dumps(key)[1:-1]}
    forms |= {coded for at in range(3) for coded in _in_base64(key, at)}
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)


def _in_base64(key: str, at: int) -> tuple[str, str]:
    """The characters of base64 that a key fills alone when it begins at the given byte of a group of three."""
    coded = base64.b64encode(b"\0" * at + key.encode(errors="replace")).decode()
    first = (0, 2, 3)[at]
    last = -(1 + coded.count("=")) if coded.endswith("=") else None
    inner = coded[first:last]
    return inner, inner.replace("+", "-").replace("/", "_")
