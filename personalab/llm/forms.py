"""How a server is told which form an answer has to have, and how its answer is read.

All servers of OpenAI's protocol take messages, but not all hold an answer to a schema, and those that do are told so
in different ways. Here the ways stand on a ladder, the surest first: a schema that the server promises to keep to
(``strict``), one without the promise (``schema``), the parameters of a function that the model has to call
(``tools``), an object of any kind with the schema in the prompt (``json``), and the prompt alone. A `Manner` is the
rung on which a server is asked, and the options that it does not know. Which manner suits a server is learnt by
`personalab.llm.habits`; all that is decided here follows from its arguments.

What is told in which way is no part of a request's key: a reply given on one rung answers on every other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from personalab.llm.schemas import plain_name, response_format

if TYPE_CHECKING:
    from collections.abc import Mapping

Rung = Literal["strict", "schema", "tools", "json", "prompt"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
OPTIONS = ("max_tokens", "max_completion_tokens", "temperature", "seed")
# what a server may not know → the rung below the one that needs it
_BELOW: dict[str, Rung] = {
    "strict": "schema",
    "json_schema": "tools",
    "tools": "json",
    "tool_choice": "json",
    "json_object": "prompt",
}
_TOLD = "Answer with one JSON object and nothing else, of this JSON schema:\n"


@dataclass(frozen=True)
class Manner:
    """How a server is asked.

    Attributes
    ----------
    rung : str
        One of `RUNGS`.
    left_out : frozenset of str
        The `OPTIONS` that the server does not know.
    """

    rung: Rung = "strict"
    left_out: frozenset[str] = frozenset()


def wire(
    request: Mapping[str, Any], name: str, model: str, manner: Manner, *, is_seeded: bool = False
) -> dict[str, Any]:
    """Build the parameters of a chat completion.

    Parameters
    ----------
    request : mapping
        ``messages`` and ``schema``; perhaps ``max_tokens``, ``temperature`` and ``sample``.
    name : str
        What the schema is called.
    model : str
        What the server calls the model.
    manner : Manner
        How the server is asked.
    is_seeded : bool
        Send ``sample`` as the seed.

    Returns
    -------
    dict
        What is sent as JSON.

    Examples
    --------
    >>> asked = {"messages": [], "schema": {"type": "object"}, "max_tokens": 9}
    >>> wire(asked, "P", "m", Manner("prompt", frozenset({"max_tokens"})))["max_completion_tokens"]
    9
    """
    return {
        "model": model,
        **_form(manner.rung, list(request["messages"]), name, request["schema"]),
        **_options(request, manner.left_out, is_seeded),
    }


def without(manner: Manner, parameter: str) -> Manner:
    """Ask in the same manner, but for one parameter.

    Parameters
    ----------
    manner : Manner
        How the server was asked.
    parameter : str
        What it does not know.

    Returns
    -------
    Manner
        How it is asked next.

    Examples
    --------
    >>> without(Manner("strict"), "response_format").rung
    'tools'
    """
    if parameter in OPTIONS:
        return replace(manner, left_out=manner.left_out | {parameter})
    if parameter == "response_format":
        parameter = "json_object" if manner.rung == "json" else "json_schema"
    return replace(manner, rung=_BELOW[parameter])


def lower(manner: Manner) -> Manner | None:
    """Ask for less, when a server refuses without saying what it does not know.

    Parameters
    ----------
    manner : Manner
        How it was asked.

    Returns
    -------
    Manner or None
        The rung below; from the last one the same without any option; None when nothing is left to leave out.

    Examples
    --------
    >>> lower(Manner("strict")).rung, lower(Manner("prompt", frozenset(OPTIONS)))
    ('schema', None)
    """
    if manner.rung != RUNGS[-1]:
        return replace(manner, rung=RUNGS[RUNGS.index(manner.rung) + 1])
    bare = replace(manner, left_out=frozenset(OPTIONS))
    return None if bare == manner else bare


def plainer(manner: Manner) -> Manner:
    """Put the schema in the prompt, when a server takes a form and does not heed it.

    Parameters
    ----------
    manner : Manner
        How it was asked.

    Returns
    -------
    Manner
        Asked so that a server that knows of no form can answer; after the last rung the first one again, because
        then it was not for the form.
    """
    rungs: dict[Rung, Rung] = {"json": "prompt", "prompt": "strict"}
    return replace(manner, rung=rungs.get(manner.rung, "json"))


def heeds(reply: Mapping[str, Any], schema: Mapping[str, Any]) -> bool | None:
    """Say whether an answer shows that the form was heeded.

    Parameters
    ----------
    reply : mapping
        As from `read`.
    schema : mapping
        What was asked for.

    Returns
    -------
    bool or None
        False for prose and for an object with other keys; None for an answer that was cut short or declined.
    """
    if reply["refusal"] or reply["finish_reason"] != "stop":
        return None
    text = unwrapped(reply["content"])
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        is_begun = text.lstrip().startswith("{") and any(f'"{key}"' in text for key in schema["required"])
        return None if is_begun else False
    return isinstance(answer, dict) and all(key in answer for key in schema["required"])


def read(body: Any) -> dict[str, Any]:
    """Reduce a chat completion to what is kept of it.

    Parameters
    ----------
    body : object
        The server's answer, read as JSON.

    Returns
    -------
    dict
        ``content`` (of a called function: its arguments), ``finish_reason``, ``refusal`` and ``usage``.

    Raises
    ------
    ValueError
        When it is no chat completion: a text, or an error sent with status 200. One that says nothing and tells its
        tokens is an answer of no use, since they may have to be paid for.
    """
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content = _arguments(message) or message.get("content")
        refusal, reason = message.get("refusal"), choice.get("finish_reason")
    except (TypeError, LookupError, AttributeError):
        usage = _usage(body.get("usage")) if isinstance(body, dict) else {}
        if not any(usage.values()):
            raise ValueError("the answer is no chat completion") from None
        return {"content": "", "finish_reason": "stop", "refusal": None, "usage": usage}
    return {
        "content": _text(content),
        "finish_reason": "stop" if reason in (None, "tool_calls", "function_call") else str(reason),
        "refusal": _text(refusal) or None,
        "usage": _usage(body.get("usage")),
    }


def unwrapped(content: str) -> str:
    """Take the JSON object out of an answer that wraps it.

    Parameters
    ----------
    content : str
        What a model said, perhaps with a code fence, polite words or thoughts around the object.

    Returns
    -------
    str
        The object's text; what was said where there is none.

    Examples
    --------
    >>> unwrapped('Here you are: {"age": 30}.')
    '{"age": 30}'
    """
    if content.lstrip().startswith("{"):
        return content
    after = content.rpartition("</think>")[2]
    inner = after[after.find("{") : after.rfind("}") + 1]
    try:
        return inner if inner and isinstance(json.loads(inner), dict) else content
    except (ValueError, RecursionError):
        return content


def _form(rung: Rung, messages: list[Any], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Tell the form, in the way of a rung."""
    if rung in ("strict", "schema"):
        return {"messages": messages, "response_format": response_format(name, schema, is_strict=rung == "strict")}
    if rung == "tools":
        function = {"name": plain_name(name), "description": "Give the answer.", "parameters": schema}
        chosen = {"type": "function", "function": {"name": function["name"]}}
        return {"messages": messages, "tools": [{"type": "function", "function": function}], "tool_choice": chosen}
    told = {"messages": _with_schema(messages, schema)}
    return told | {"response_format": {"type": "json_object"}} if rung == "json" else told


def _with_schema(messages: list[Any], schema: dict[str, Any]) -> list[Any]:
    """Tell the schema in the first message; some models take words of the system nowhere else."""
    told = _TOLD + json.dumps(schema, ensure_ascii=False)
    if messages and messages[0]["role"] == "system":
        return [{**messages[0], "content": f"{messages[0]['content']}\n\n{told}"}, *messages[1:]]
    return [{"role": "system", "content": told}, *messages]


def _options(request: Mapping[str, Any], left_out: frozenset[str], is_seeded: bool) -> dict[str, Any]:
    """The options that are wanted and known; room for the answer has two names."""
    room = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
    wanted = {room: request.get("max_tokens"), "temperature": request.get("temperature")}
    if is_seeded:
        wanted["seed"] = request.get("sample", 0)
    return {name: value for name, value in wanted.items() if value is not None and name not in left_out}


def _arguments(message: Mapping[str, Any]) -> Any:
    """What a called function was given."""
    calls = message.get("tool_calls")
    return calls[0]["function"]["arguments"] if calls else None


def _text(content: Any) -> str:
    """What a file can hold of an answer: half a character, as some servers cut it, becomes a question mark."""
    if isinstance(content, list):  # some servers answer in parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    elif isinstance(content, dict):  # and some give a function's arguments already read
        content = json.dumps(content, ensure_ascii=False)
    text = content if isinstance(content, str) else "" if content is None else str(content)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _usage(told: Any) -> dict[str, int]:
    """The tokens of an answer, and how many of the prompt's the server had read before, where it says so."""
    counts = told if isinstance(told, dict) else {}
    details = counts.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    usage = {name: _count(counts.get(name)) for name in ("prompt_tokens", "completion_tokens")}
    return usage | ({"cached_tokens": cached} if cached else {})


def _count(count: Any) -> int:
    return count if isinstance(count, int) and count > 0 else 0
