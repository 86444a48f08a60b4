"""A server that speaks OpenAI's chat completions, asked with patience.

OpenAI, Ollama, vLLM, llama.cpp and many others answer the same request, with small differences: one knows
no ``temperature``, another wants ``max_completion_tokens``. An `Endpoint` learns them: a parameter that a
server does not know is taken out once and remembered. It also holds the one loop that sends a request
again. openai's own retries are off, because they would keep a place in the queue while they sleep and hide
from us that a server is busy. How many requests are under way at once is the `Gate`'s to say.
"""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from personalab.errors import ProviderError
from personalab.llm.background import kept
from personalab.llm.faults import classify, pause, refused_parameter, said
from personalab.llm.schemas import response_format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openai import AsyncOpenAI

    from personalab.llm.faults import Fault

CONNECT_SECONDS = 10.0  # a server that is there takes a connection within this time
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_GOLDEN = 0.618033988749895  # multiples of the golden ratio spread most evenly over [0, 1)


@dataclass(frozen=True)
class Place:
    """Where a model is.

    Attributes
    ----------
    base_url : str
        Up to and with ``/v1``.
    model : str
        What the server calls the model.
    api_key : str
        The key, kept out of the repr.
    """

    base_url: str
    model: str
    api_key: str = field(repr=False)

    @property
    def host(self) -> str:
        """The server's name and port, for messages.

        Returns
        -------
        str
            Without the user's part of the address, which may hold a password.
        """
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class Gate:
    """How many requests may be under way at once: a fixed number in every event loop.

    Parameters
    ----------
    limit : int
        The number.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]
        self._slots = weakref.WeakKeyDictionary()

    def slot(self) -> asyncio.Semaphore:
        """Return what to enter for the time of one request.

        Returns
        -------
        asyncio.Semaphore
            The running loop's semaphore.
        """
        return self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self.limit))


class Endpoint:
    """A model on a server, which is opened when the first request is sent.

    Parameters
    ----------
    open_ : callable
        Returns the `Place`; may start a server.
    gate : Gate
        How many requests may be under way.
    timeout : float
        Seconds that one answer may take.
    is_seeded : bool
        Send ``sample`` as the seed.
    """

    def __init__(self, open_: Callable[[], Place], gate: Gate, *, timeout: float, is_seeded: bool = False) -> None:
        self.gate = gate
        self.timeout = timeout
        self.is_seeded = is_seeded
        self._open = open_
        self._opening = threading.Lock()
        self._place: Place | None = None
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI]
        self._clients = weakref.WeakKeyDictionary()
        self._unknown: list[str] = []
        self._final: Fault | None = None
        self._requests = 0

    async def complete(self, request: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Ask the model.

        Parameters
        ----------
        request : mapping
            ``messages`` and ``schema``; perhaps ``max_tokens``, ``temperature`` and ``sample``.
        name : str
            What the schema is called.

        Returns
        -------
        dict
            ``content``, ``finish_reason``, ``refusal`` and ``usage`` of the answer.

        Raises
        ------
        ProviderError
            When the server cannot be asked, or not in time, or does not answer as it should.
        """
        import openai

        place = self._place if self._place is not None else await asyncio.to_thread(self._opened)
        self._requests += 1
        spread, sent, waited = self._requests * _GOLDEN % 1, 0, 0.0
        while True:
            wire = self._wire(request, name, place)
            try:
                return await self._send(wire, place)
            except (openai.OpenAIError, TimeoutError, ValueError) as error:
                if self._learns(error, wire):
                    continue
                sent += 1
                fault = classify(error, model=place.model, host=place.host)
                seconds = pause(fault, sent, waited, spread)
                if seconds is None:
                    raise self._failure(fault, error, place) from _safe(error, place)
            waited += seconds
            await asyncio.sleep(seconds)

    def _opened(self) -> Place:
        with self._opening:
            self._place = self._place or self._open()
            return self._place

    def _client(self, place: Place) -> AsyncOpenAI:
        """Return the running loop's client; connections cannot move between loops."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = _client(place, self.timeout)
            weakref.finalize(self, _hang_up, self._clients[loop], loop)
        return self._clients[loop]

    async def _send(self, wire: dict[str, Any], place: Place) -> dict[str, Any]:
        """Send once. The slot is free again before the caller sleeps."""
        async with self.gate.slot():
            if self._final is not None:
                raise _error(self._final)
            create = self._client(place).chat.completions.create
            completion = await kept(lambda: asyncio.wait_for(create(**wire), self.timeout))
        return _reply(completion)

    def _wire(self, request: Mapping[str, Any], name: str, place: Place) -> dict[str, Any]:
        """Build the request's parameters, without those that the server does not know."""
        options = {key: request[key] for key in ("max_tokens", "temperature") if request.get(key) is not None}
        if self.is_seeded:
            options["seed"] = request.get("sample", 0)
        format_ = response_format(name, request["schema"])
        wire = {"model": place.model, "messages": request["messages"], "response_format": format_, **options}
        for parameter in self._unknown:
            wire = _without(wire, parameter)
        return wire

    def _failure(self, fault: Fault, error: Exception, place: Place) -> ProviderError:
        """Make the error, and remember one that every further request would meet again."""
        words = said(error, place.api_key)
        fault = replace(fault, message=f"{fault.message}: {words}") if words else fault
        if fault.is_final:
            self._final = fault
        return _error(fault)

    def _learns(self, error: Exception, wire: dict[str, Any]) -> bool:
        """Remember a parameter that the server does not know; False when the failure is another."""
        parameter = refused_parameter(error, wire)
        if parameter is not None and parameter not in self._unknown:
            self._unknown.append(parameter)
        return parameter is not None


def _without(wire: dict[str, Any], parameter: str) -> dict[str, Any]:
    """Say the same without one parameter."""
    rest = {name: value for name, value in wire.items() if name != parameter}
    if parameter == "max_tokens" and parameter in wire:
        return {**rest, "max_completion_tokens": wire[parameter]}
    schema = wire["response_format"].get("json_schema", {})
    if parameter == "strict":
        schema = {name: value for name, value in schema.items() if name != "strict"}
        return {**wire, "response_format": {**wire["response_format"], "json_schema": schema}}
    if parameter == "response_format":
        told = "Answer with JSON only, of this JSON schema:\n" + json.dumps(schema["schema"])
        messages = [*wire["messages"], {"role": "system", "content": told}]
        return {**wire, "messages": messages, "response_format": {"type": "json_object"}}
    return rest


def _client(place: Place, timeout: float) -> AsyncOpenAI:
    import openai

    seconds = openai.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout))
    options: dict[str, Any] = {"max_retries": 0, "timeout": seconds}
    if urlsplit(place.base_url).hostname in _LOOPBACK:  # a proxy cannot reach this machine's own servers
        options["http_client"] = openai.DefaultAsyncHttpxClient(trust_env=False, timeout=seconds)
    return openai.AsyncOpenAI(base_url=place.base_url, api_key=place.api_key, **options)


def _hang_up(client: AsyncOpenAI, loop: asyncio.AbstractEventLoop) -> None:
    """Close a client whose endpoint is gone, where it lived."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(client.close(), loop)


def _reply(completion: Any) -> dict[str, Any]:
    """Reduce an answer to what is kept of it."""
    choices: Any = getattr(completion, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if message is None:  # a text, or an error sent with status 200
        raise ValueError("the answer is no chat completion")
    counts = {name: getattr(completion.usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return {
        "content": _text(message.content),
        "finish_reason": choices[0].finish_reason,
        "refusal": _text(getattr(message, "refusal", None)) or None,
        "usage": {name: count if isinstance(count, int) else 0 for name, count in counts.items()},
    }


def _text(content: Any) -> str:
    """What a file can hold of an answer: half a character, as some servers cut it, becomes a question mark."""
    text = content if isinstance(content, str) else "" if content is None else str(content)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _error(fault: Fault) -> ProviderError:
    return ProviderError(fault.message, category=fault.category, hint=fault.hint)


def _safe(error: Exception, place: Place) -> Exception | None:
    """Keep the cause, unless the server repeated the key in it."""
    return None if place.api_key in "".join(traceback.format_exception(error)) else error
