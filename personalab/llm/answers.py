"""From a conversation and a type to a valid instance, with instructor's help where the first answer is none.

An answer that is valid needs no help. One that is not goes to instructor, which shows the model what was wrong with
it and asks again. It is put on top of a ``create`` of ours, so that whatever it asks goes through the replies and
the count of tokens first. What it must not do is kept from it: its log and the text of its exceptions repeat whole
answers, so neither is shown; templates in messages stay text, because ``context`` is never passed.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from personalab.errors import ProviderError
from personalab.llm.fencing import fenced
from personalab.llm.forms import unwrapped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Create = Callable[[list[dict[str, str]]], Awaitable[str]]

T = TypeVar("T", bound=BaseModel)

NAMED_MISTAKES = 5  # more of them make no clearer message


async def validated(
    create: Create,
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
        Called with a conversation; returns what the model says.
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
    first = unwrapped(await create([dict(message) for message in messages]))
    try:
        return type_.model_validate_json(first)
    except ValidationError as error:
        if not reasks:
            raise _failure(error, 1, first, type_, name) from None  # its text repeats the answer
    return await _reasked(create, messages, type_, first, reasks, name)


async def _reasked(
    create: Create, messages: Sequence[Mapping[str, str]], type_: type[T], first: str, reasks: int, name: str
) -> T:
    """Let instructor find again what is wrong with the first answer, and show it to the model."""
    from instructor.core.exceptions import InstructorRetryException

    answers, given = [first], [dict(each) for each in messages]
    known = iter(answers)

    async def completed(*, messages: list[Any], **_instructors: Any) -> Any:
        answer = next(known, None)
        if answer is None:
            answer = unwrapped(await create([*given, *map(_corrected, messages[len(given) :])]))
            answers.append(answer)
        return _completion(answer, name)

    try:
        await _instructor(completed)(
            response_model=_wrapped(type_), messages=[*given], max_retries=reasks, strict=False
        )
    except InstructorRetryException as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            raise _failure(cause, error.n_attempts, answers[-1], type_, name) from None
        raise (cause or error) from (cause and cause.__cause__)  # what `create` raised, as it was
    # instructor validates into a subclass it makes; the caller gets the type that was asked for
    return type_.model_validate_json(answers[-1])


def _corrected(message: Mapping[str, str]) -> dict[str, str]:
    """A message of instructor's; what its first line tells of repeats the answer's words."""
    if message["role"] != "user":
        return dict(message)
    head, _, mistakes = message["content"].partition("\n")
    return {"role": "user", "content": f"{head}\n{fenced(*mistakes.splitlines())}"}


def _completion(content: str, model: str) -> Any:
    """Dress a text as the chat completion that instructor reads, without usage, which it would add up once more."""
    from openai.types.chat import ChatCompletion

    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    whole = {"id": "", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return ChatCompletion.model_validate(whole)


def _failure(error: ValidationError, attempts: int, answer: str, type_: type[BaseModel], name: str) -> ProviderError:
    """Name the mistakes in the last answer, without the answer's words."""
    mistakes = error.errors(include_input=False, include_context=False)
    found = [f"{'.'.join(map(str, mistake['loc'])) or 'all'} ({mistake['type']})" for mistake in mistakes]
    wrong = ", ".join(found[:NAMED_MISTAKES]) + (" and more" if found[NAMED_MISTAKES:] else "")
    return ProviderError(
        f"{name} did not answer in the form of {type_.__name__} in {attempts} attempts: {wrong}",
        category="invalid_output",
        answer=answer,
        hint="try again, or name a stronger model",
    )


def _instructor(create: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Put instructor on top of our own `create`; its log, which repeats whole answers, stays out of the notebook."""
    import instructor

    logging.getLogger("instructor").setLevel(logging.CRITICAL + 1)
    mode = instructor.Mode.JSON_SCHEMA
    patched = instructor.patch(create=create, mode=mode)
    return cast("Callable[..., Awaitable[Any]]", instructor.AsyncInstructor(None, create=patched, mode=mode).create)


@lru_cache(maxsize=256)
def _wrapped(type_: type[BaseModel]) -> type[BaseModel]:
    """Make instructor's subclass of a type once; it would make one a call."""
    import instructor

    return cast("type[BaseModel]", instructor.response_schema(type_))
