"""What goes wrong on the way to a model, and how long to wait before asking again.

A server that is busy deserves patience; one that refuses the key does not. Each failure of a request
becomes a `Fault`: a category, a sentence, and how often such a request is sent while nothing else is
answered. The waits between grow exponentially and are spread, so that requests refused together do not come
back together; a server that says when to come back (``Retry-After``) is taken at its word up to two
minutes. How long a whole run goes on is not decided here but by `personalab.llm.gate`. What a server says
about a failure is shortened and cleared of keys, because it ends up in a notebook.
"""

from __future__ import annotations

import math
import os
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from personalab.errors import RequestError
from personalab.llm.forms import OPTIONS
from personalab.llm.masking import masked_in_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personalab.errors import Category

LONGEST_RETRY_AFTER = 120.0  # seconds; openai's own client gives up above the same bound
LONGEST_BACKOFF = 32.0  # times the first wait; six refusals in a row
BROKEN_SENDS = 5
ABSENT_SENDS = 4  # a server that is being restarted is back within seconds
SILENT_SENDS = 2  # a server that does not answer twice is down, not busy
WHILE_OTHERS = 3  # times as many sends as long as other requests are answered
SAID_LENGTH = 300
_BAD_REQUEST = {400, 422, 501}  # the last of servers that have not built what was asked for
_RETRIED_STATUS = {408, 409, 500, 502, 503, 504, 529}
_NO_CREDIT = {"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached", "billing_not_active"}
_FILTERED = {"content_filter", "content_policy_violation"}
_LONG = {"context_length_exceeded", "string_above_max_length"}
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|not permitted|unexpected|unavailable|extra",
    re.IGNORECASE,
)
# of an option that a server knows, and takes with other values than the one sent
_UNFIT = re.compile(r"\bonly\b|must be|too (?:large|high|big)|at most|less than|exceeds|invalid", re.IGNORECASE)
#: what a server may not know, in the order in which its words are searched
PARAMETERS = (
    *OPTIONS, "strict", "json_schema", "json_object", "response_format", "tool_choice", "tools",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Why a request failed.

    Attributes
    ----------
    category : Category
        The word of the error tree.
    message : str
        What happened, as a sentence without a full stop.
    hint : str, optional
        What to do about it.
    sends : int or None
        How often a request that fails in this way is sent while no other is answered; None for as long as the
        run goes on.
    retry_after : float, optional
        Seconds after which the server said to come back.
    is_final : bool
        Whether every other request would fail in the same way, so that none need be sent.
    is_unclear : bool
        Whether the server may have refused how it was asked, without saying so.
    """

    category: Category
    message: str
    hint: str | None = None
    sends: int | None = 1
    retry_after: float | None = None
    is_final: bool = False
    is_unclear: bool = False


def classify(error: Exception, *, model: str, host: str, has_answered: bool = True) -> Fault:
    """Say what a failure of openai's client means.

    Parameters
    ----------
    error : Exception
        What the client raised, or TimeoutError.
    model : str
        The model asked.
    host : str
        The server asked, for the message.
    has_answered : bool
        Whether it has ever answered, so that it takes the key.

    Returns
    -------
    Fault
        The failure's meaning.
    """
    import openai

    if isinstance(error, openai.APITimeoutError | TimeoutError):
        hint = "try again later, or allow more seconds with PERSONALAB_TIMEOUT"
        return Fault("provider_timeout", f"{host} did not answer in time", hint, SILENT_SENDS)
    if isinstance(error, openai.APIStatusError):
        return _status(error, model, host, has_answered)
    if isinstance(error, openai.APIConnectionError):
        return _connection(error, host)
    hint = "check OPENAI_BASE_URL: it usually ends in /v1"
    message = f"{host} did not answer as an OpenAI-compatible server does"
    return Fault("provider_error", message, hint, BROKEN_SENDS)


def pause(fault: Fault, sent: int, spread: float, *, others_answered: bool = False) -> float | None:
    """Return how long to wait before a failed request is sent again.

    Parameters
    ----------
    fault : Fault
        Why it failed.
    sent : int
        How often it has been sent.
    spread : float
        From 0 to 1, different for requests that fail together.
    others_answered : bool
        Whether other requests have been answered since it was first sent, so that the server is at work.

    Returns
    -------
    float or None
        Seconds; None when it is not worth sending again.

    Examples
    --------
    >>> pause(Fault("rate_limited", "busy", sends=None, retry_after=7.0), sent=1, spread=0.5)
    7.0
    >>> pause(Fault("auth_error", "wrong key"), sent=1, spread=0.5) is None
    True
    """
    if fault.sends is not None and sent >= fault.sends * (WHILE_OTHERS if others_answered and fault.sends > 1 else 1):
        return None
    if fault.retry_after is not None:
        return fault.retry_after if fault.retry_after <= LONGEST_RETRY_AFTER else None
    return backoff(sent) * (0.5 + spread / 2)


def backoff(times: int) -> float:
    """Return how long to wait after so many failures in a row.

    Parameters
    ----------
    times : int
        At least 1.

    Returns
    -------
    float
        Seconds: ``PERSONALAB_BACKOFF`` (1 by default), doubled each time up to `LONGEST_BACKOFF` times as much.

    Examples
    --------
    >>> [backoff(times) for times in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 32.0]
    """
    return seconds_set("PERSONALAB_BACKOFF", 1.0) * min(LONGEST_BACKOFF, 2.0 ** (times - 1))


def seconds_set(variable: str, default: float) -> float:
    """Read seconds from the environment.

    Parameters
    ----------
    variable : str
        The variable's name.
    default : float
        What holds when it is not set.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    RequestError
        When the variable is no number of 0 or more, or no finite one.
    """
    text = os.environ.get(variable)
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        message = f"{variable} is {text!r}, which is no number of seconds"
        raise RequestError(message, hint=f"set it to a number such as {default:g}")
    return seconds


def number_set(variable: str, default: int) -> int:
    """Read a number of things from the environment.

    Parameters
    ----------
    variable : str
        The variable's name.
    default : int
        What holds when it is not set.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    RequestError
        When the variable is no whole number, or below 1.
    """
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        message = f"{variable} is {text!r}, which is no whole number of at least 1"
        raise RequestError(message, hint=f"set it to a number such as {default}")
    return int(text)


def refused_parameter(error: Exception, sent: Mapping[str, Any]) -> str | None:
    """Name the parameter that a server refused because it does not know it, or not the option's value.

    Parameters
    ----------
    error : Exception
        What the client raised.
    sent : mapping
        The request's parameters.

    Returns
    -------
    str or None
        One of `PARAMETERS`; None when the refusal has another reason.
    """
    if getattr(error, "status_code", None) not in _BAD_REQUEST:
        return None
    text = f"{getattr(error, 'param', '')} {_raw(error)}"
    if "invalid schema" in text.lower():
        return None
    possible = PARAMETERS if _UNSUPPORTED.search(text) else OPTIONS if _UNFIT.search(text) else ()
    named = (name for name in possible if re.search(rf"\b{name}\b", text) and _is_sent(name, sent))
    return next(named, None)


def said(error: Exception, *secrets: str) -> str:
    """Return what the server said about a failure, short and without keys.

    Parameters
    ----------
    error : Exception
        What the client raised.
    *secrets : str
        Texts that must not appear.

    Returns
    -------
    str
        At most `SAID_LENGTH` characters; empty for a page of HTML.
    """
    text = " ".join(_raw(error).split())
    if text.lstrip().startswith("<"):
        return ""
    text = masked_in_errors(text, *secrets)
    return text if len(text) <= SAID_LENGTH else text[: SAID_LENGTH - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read when a server wants to be asked again.

    Parameters
    ----------
    headers : mapping
        The answer's headers, names in lower case or case-insensitive.

    Returns
    -------
    float or None
        Seconds from now, never below 0; None when it does not say.

    Examples
    --------
    >>> retry_after({"retry-after": "2.5"}), retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    (2.5, 0.0)
    """
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _status(error: Any, model: str, host: str, has_answered: bool) -> Fault:
    """Read an HTTP status, and the code in the body where the status says too little."""
    status, words = error.status_code, {str(error.code), str(error.type)}
    after = retry_after(error.response.headers)
    if 300 <= status < 400:
        return _redirect(error, host)
    if words & _NO_CREDIT or status == 402:
        message = f"the account at {host} has no credit left"
        return Fault("quota_exceeded", message, "top it up, or name another model", is_final=True)
    if status in (401, 403):
        hint = "check the key, for OpenAI in OPENAI_API_KEY, and what it may be used for"
        # 403 may be about one request: some servers answer it when a moderation refuses a prompt
        is_final = status == 401 or not has_answered
        return Fault("auth_error", f"{host} refused the key (HTTP {status})", hint, is_final=is_final)
    if status == 429:
        hint = "wait, or ask for fewer personas at a time"
        return Fault("rate_limited", f"{host} kept answering that it is asked too often", hint, None, after)
    if words & _FILTERED:
        return Fault("content_refused", f"a content filter at {host} refused the request", "word the prompt otherwise")
    if status == 404:
        hint = "check the model's name and, if set, OPENAI_BASE_URL (it usually ends in /v1)"
        return Fault("config_error", f"{host} knows no model {model!r}", hint)
    sends = BROKEN_SENDS if status in _RETRIED_STATUS else 1
    hint = "try again later" if sends > 1 else "name another model or server"
    message = f"{host} could not serve the request (HTTP {status})"
    is_unclear = status in _BAD_REQUEST and not words & _LONG
    return Fault("provider_error", message, hint, sends, after, is_unclear=is_unclear)


def _redirect(error: Any, host: str) -> Fault:
    """Go where the user says, and nowhere else: neither key nor prompts are sent on."""
    there = re.match(r"https?://(?:[^/@]*@)?([\w.-]+)", error.response.headers.get("location", ""))
    named = there[1] if there else "another address"
    message = f"{host} wants the request sent on to {named} (HTTP {error.status_code}), which was not done"
    hint = "if you trust it, set the address it wants, for OpenAI-compatible servers in OPENAI_BASE_URL"
    return Fault("config_error", message, hint, is_final=True)


def _connection(error: Exception, host: str) -> Fault:
    """Tell a server that is not there from one that hung up."""
    # the class is httpx's or httpx2's, depending on openai's version
    if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
        hint = "check the network and the address, and that the server runs"
        return Fault("provider_unreachable", f"{host} could not be reached", hint, ABSENT_SENDS)
    return Fault("provider_error", f"{host} kept hanging up before it had answered", "try again later", BROKEN_SENDS)


def _raw(error: Exception) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body.get("error") or ""
    return str(body or "")


def _is_sent(name: str, sent: Mapping[str, Any]) -> bool:
    form = sent.get("response_format", {})
    if name == "strict":
        return "strict" in form.get("json_schema", {})
    return form.get("type") == name if name in ("json_schema", "json_object") else name in sent
