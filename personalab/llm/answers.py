"""Instructor behind one function: from a conversation and a type to a valid instance.

instructor sends the type's schema, validates the answer, and shows the model what was wrong with it. It is
put on top of a ``create`` of ours, so that whatever it sends goes through the replies and the count of
tokens first. What it must not do is kept from it: its log and the text of its exceptions repeat whole
answers, so neither is shown; templates in messages stay text, because ``context`` is never passed.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from personalab.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T", bound=BaseModel)

NAMED_MISTAKES = 5  # more of them make no clearer message


async def validated(
    create: Callable[..., Awaitable[Any]],
    messages: Sequence[Mapping[str, str]],
    type_: type[T],
    *,
    reasks: int,
    name: str,
) -> T:
    """Ask until the answer is valid.

    Parameters
    ----------
    create : callable
        Called with ``messages`` (and instructor's own parameters); returns a chat completion.
    messages : sequence of mapping
        The conversation.
    type_ : type
        What the answer has to be.
    reasks : int
        How often the model is shown its mistake.
    name : str
        The model's name, for the error.

    Returns
    -------
    BaseModel
        An instance of ``type_``.

    Raises
    ------
    ProviderError
        When the answer was never valid, and whatever ``create`` raised.
    """
    from instructor.core.exceptions import InstructorRetryException

    ask = _instructor(create)
    plain = [dict(message) for message in messages]
    try:
        answer = await ask(response_model=_wrapped(type_), messages=plain, max_retries=reasks, strict=False)
    except InstructorRetryException as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            raise _failure(error, cause, type_, name) from cause
        raise (cause or error) from (cause and cause.__cause__)  # what `create` raised, as it was
    # instructor validates into a subclass it makes; the caller gets the type that was asked for
    return type_.model_validate_json(answer._raw_response.choices[0].message.content)


def completion(content: str, model: str) -> Any:
    """Dress a text as the chat completion that instructor reads.

    Parameters
    ----------
    content : str
        The model's answer.
    model : str
        Its name.

    Returns
    -------
    openai.types.chat.ChatCompletion
        A completion without usage, which instructor would add up a second time.
    """
    from openai.types.chat import ChatCompletion

    message = {"role": "assistant", "content": _object(content)}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    whole = {"id": "", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return ChatCompletion.model_validate(whole)


def _object(content: str) -> str:
    """The JSON object in an answer that wraps it in a code fence, in words or in thoughts; else the answer itself."""
    if content.lstrip().startswith("{"):
        return content
    after = content.rpartition("</think>")[2]
    inner = after[after.find("{") : after.rfind("}") + 1]
    try:
        return inner if inner and isinstance(json.loads(inner), dict) else content
    except ValueError:
        return content


def _failure(error: Any, cause: ValidationError, type_: type[BaseModel], name: str) -> ProviderError:
    """Turn instructor's exception, whose text repeats whole answers, into one of ours."""
    mistakes = cause.errors(include_input=False, include_context=False)
    found = [f"{'.'.join(map(str, mistake['loc'])) or 'all'} ({mistake['type']})" for mistake in mistakes]
    wrong = ", ".join(found[:NAMED_MISTAKES]) + (" and more" if found[NAMED_MISTAKES:] else "")
    last = error.last_completion
    return ProviderError(
        f"{name} did not answer in the form of {type_.__name__} in {error.n_attempts} attempts: {wrong}",
        category="invalid_output",
        answer=last.choices[0].message.content if last else None,
        hint="try again, or name a stronger model",
    )


def _instructor(create: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Put instructor on top of our own `create`."""
    import instructor

    _silence()
    mode = instructor.Mode.JSON_SCHEMA
    patched = instructor.patch(create=create, mode=mode)
    return cast("Callable[..., Awaitable[Any]]", instructor.AsyncInstructor(None, create=patched, mode=mode).create)


@lru_cache(maxsize=1)
def _silence() -> None:
    """Keep instructor's log, which repeats whole answers, and the clients' out of the notebook."""
    logging.getLogger("instructor").setLevel(logging.CRITICAL + 1)
    for name in ("openai", "httpx", "httpx2"):  # they tell of every request, unless the user chose a level
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)


@lru_cache(maxsize=256)
def _wrapped(type_: type[BaseModel]) -> type[BaseModel]:
    """Make instructor's subclass of a type once; it would make one a call."""
    import instructor

    return cast("type[BaseModel]", instructor.response_schema(type_))
