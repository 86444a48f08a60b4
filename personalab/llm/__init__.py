"""The only door to a language model: a name in, validated values out.

``connect`` turns a name (``"openai/gpt-5-mini"``, ``"ollama/qwen3"``, ``"local"``) or an object with one
method into a `Connection` (`personalab.llm.connection`), and ``Connection.ask`` turns messages and a pydantic type
into an instance of that type. Work that asks over a connection runs in a loop of its own, which ``run_with`` waits
for and ``start_with`` does not.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from personalab.errors import ProviderError, RequestError, quoted
from personalab.llm import places, replies
from personalab.llm.background import kept, loop, run
from personalab.llm.connection import UNUSABLE, Connection
from personalab.llm.endpoint import Endpoint, forget
from personalab.llm.faults import number_set, seconds_set
from personalab.llm.gate import Gate
from personalab.llm.schemas import strict_schema
from personalab.llm.usage import Budget, Count, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from concurrent.futures import Future

__all__ = [
    "UNUSABLE",
    "Budget",
    "Connection",
    "Count",
    "Model",
    "Usage",
    "connect",
    "forget",
    "run",
    "run_with",
    "start_with",
    "strict_schema",
]

R = TypeVar("R")

OBJECT_LIMIT = 8  # calls under way of an object whose method is async: it may well ask a server
REMOTE_SECONDS = 120.0
EMBEDDED_SECONDS = 600.0  # a blueprint took 64 s on two idle cores; a busy laptop needs ten times that


@runtime_checkable
class Model(Protocol):
    """What an object of the user's own needs in order to serve as a model.

    With a ``name``, its replies are kept and replayed under that name; without, it is asked every time. With
    ``is_small = True`` it is treated as a small model. An ordinary ``complete`` is called once at a time,
    in a thread; one that is ``async`` is called for several requests at once.

    Examples
    --------
    >>> class Fixed:
    ...     def complete(self, messages, schema):
    ...         return '{"age": 30}'
    >>> connect(Fixed())
    Connection('Fixed')
    """

    def complete(self, messages: list[dict[str, str]], schema: dict[str, Any]) -> str | Awaitable[str]:
        """Answer a conversation.

        Parameters
        ----------
        messages : list of dict
            Each with ``role`` and ``content``.
        schema : dict
            The JSON schema that the answer has to fulfil.

        Returns
        -------
        str
            The answer, as JSON.
        """


def connect(model: str | Model | None = None, budget: Budget | None = None) -> Connection:
    """Find a model and get ready to ask it; nothing is sent yet.

    Parameters
    ----------
    model : str or Model, optional
        ``"openai/…"`` (a key in ``OPENAI_API_KEY``, or any compatible server in ``OPENAI_BASE_URL``),
        ``"ollama/…"``, ``"local"``, ``"local-small"``, ``"local-tiny"``, or an object with a method
        ``complete``. By default the environment's ``PERSONALAB_MODEL``, else what is there: OpenAI with a
        key, an Ollama on this machine, the embedded model.
    budget : Budget, optional
        How much may be used.

    Returns
    -------
    Connection
        Ready to be asked.

    Raises
    ------
    RequestError
        When the name or the object is of no known form, or the budget is none.
    ProviderError
        When nothing is named and nothing is there (category ``config_error``).
    """
    budget = Budget() if budget is None else budget
    if not isinstance(budget, Budget):
        hint = "give a personalab.Budget, such as Budget(tokens=100_000)"
        raise RequestError(f"budget is {quoted(budget)}, which is no Budget", hint=hint)
    if model is not None and not isinstance(model, str):
        return _object(model, budget)
    name = model or os.environ.get("PERSONALAB_MODEL") or places.what_is_there(replies.current())
    found = places.find(name)
    most = 1 if found.is_embedded else number_set("PERSONALAB_CONCURRENCY", found.at_once)
    timeout = seconds_set("PERSONALAB_TIMEOUT", EMBEDDED_SECONDS if found.is_embedded else REMOTE_SECONDS)
    stall = seconds_set("PERSONALAB_STALL", timeout)
    endpoint = Endpoint(found.open, most=most, timeout=timeout, stall=stall, is_seeded=found.is_embedded)
    small = found.is_embedded
    batching = None if small else endpoint
    options: dict[str, Any] = {"is_small": small, "budget": budget, "at_once": most, "endpoint": batching}
    return Connection(name, found.model, found.description, endpoint.complete, **options)


def run_with(connection: Connection, work: Coroutine[Any, Any, R], tick: Callable[[], object] | None = None) -> R:
    """Run work that asks a model; should it fail for what the model said, the same work asks again next time.

    Parameters
    ----------
    connection : Connection
        The model.
    work : coroutine
        What to run.
    tick : callable, optional
        Called in the waiting thread several times a second.

    Returns
    -------
    object
        What the work returned.
    """
    try:
        return run(work, tick)
    except ProviderError as error:
        connection.forget_useless(error)
        raise


def start_with(connection: Connection, work: Callable[[], Coroutine[Any, Any, R]]) -> Future[R]:
    """Start work that asks a model, as `run_with` does, and go on without waiting for it.

    Parameters
    ----------
    connection : Connection
        The model.
    work : callable
        Makes the coroutine to run; one made beforehand would be left over where the work is cancelled at once.

    Returns
    -------
    concurrent.futures.Future
        Holds the result once there is one; cancelling it cancels the work.
    """

    async def started() -> R:
        """Forget, as `run_with` does, what was of no use."""
        try:
            return await work()
        except ProviderError as error:
            connection.forget_useless(error)
            raise

    return asyncio.run_coroutine_threadsafe(started(), loop())


def _object(model: Any, budget: Budget) -> Connection:
    """Connect to an object of the user's own."""
    if not callable(getattr(model, "complete", None)):
        hint = "give it complete(messages, schema), which returns JSON text"
        raise RequestError(f"a {type(model).__name__} is no model: it has no method `complete`", hint=hint)
    is_async = inspect.iscoroutinefunction(model.complete)
    most = OBJECT_LIMIT if is_async else 1
    gate = Gate(most, is_known=True)
    own = getattr(model, "name", None)
    name = own or type(model).__name__

    async def complete(request: Mapping[str, Any], _name: str) -> dict[str, Any]:
        called = (list(request["messages"]), request["schema"])
        async with gate.slot():
            try:
                text = await kept(
                    lambda: model.complete(*called) if is_async else asyncio.to_thread(model.complete, *called)
                )
            except ProviderError:
                raise
            except Exception as error:
                raise ProviderError(f"{name} raised {type(error).__name__} when it was asked") from error
        if not isinstance(text, str):
            hint = "return JSON text, for instance with json.dumps"
            raise ProviderError(f"{name} returned a {type(text).__name__}, not a text", hint=hint)
        return {"content": text.encode(errors="replace").decode()}  # half a character cannot be kept

    small = bool(getattr(model, "is_small", False))
    told = f"{name}, an object given by the caller"
    return Connection(name, own, told, complete, is_small=small, budget=budget, at_once=most)
