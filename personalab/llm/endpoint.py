"""A server that speaks OpenAI's chat completions, asked with patience.

OpenAI, Ollama, vLLM, llama.cpp and many others answer the same request, with small differences: one knows
no ``temperature``, another no schema, a third takes a schema and does not heed it. What is learnt of them is kept for
the process, by address, model and key: their `personalab.llm.habits.Habits`, and the `personalab.llm.gate.Gate` that
says how many requests they bear; `forget` drops it. An `Endpoint` also holds the one loop that sends a request again.
openai's own retries are off, because they would keep a place in the queue while they sleep and hide from us that a
server is busy.
"""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
import weakref
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from personalab.errors import ProviderError
from personalab.llm.background import kept
from personalab.llm.faults import Fault, classify, pause, refused_parameter, said
from personalab.llm.forms import heeds, read, wire, without
from personalab.llm.gate import Gate
from personalab.llm.habits import Habits
from personalab.llm.masking import mask_logs, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from openai import AsyncOpenAI

    from personalab.llm.forms import Manner
    from personalab.llm.gate import Slot

CONNECT_SECONDS = 10.0  # a server that is there takes a connection within this time
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_GOLDEN = 0.618033988749895  # multiples of the golden ratio spread most evenly over [0, 1)


@dataclass(frozen=True, repr=False)
class Place:
    """Where a model is.

    Attributes
    ----------
    base_url : str
        Up to and with ``/v1``.
    model : str
        What the server calls the model.
    api_key : str
        The key, kept out of the repr like whatever stands before the server's name.
    """

    base_url: str
    model: str
    api_key: str

    def __repr__(self) -> str:
        return f"Place({self.model!r} at {self.host})"

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

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated, however a server or a client writes it.

        Returns
        -------
        tuple of str
            The key, and what stands before the server's name in the address: with the user, so that a password that
            is a plain word is masked where it stands beside them, and alone.
        """
        before = urlsplit(self.base_url).netloc.rpartition("@")[0]
        return self.api_key, before, unquote(before), unquote(before.partition(":")[2])


class Server(NamedTuple):
    """What is known of a server."""

    gate: Gate
    habits: Habits


_servers: dict[tuple[int, Place], Server] = {}  # by process: a forked child has none of the requests under way


def forget() -> None:
    """Drop what has been learnt of servers, for one that has been changed behind the same address."""
    _servers.clear()


class Endpoint:
    """A model on a server, which is opened when the first request is sent.

    Parameters
    ----------
    open_ : callable
        Returns the `Place`; may start a server.
    most : int
        The most requests that may be under way.
    timeout : float
        Seconds that one answer may take.
    stall : float
        Seconds without any answer after which all is given up.
    is_seeded : bool
        Send ``sample`` as the seed.
    """

    def __init__(
        self, open_: Callable[[], Place], *, most: int, timeout: float, stall: float, is_seeded: bool = False
    ) -> None:
        self.most = most
        self.timeout = timeout
        self.stall = stall
        self.is_seeded = is_seeded
        self._open = open_
        self._opening = threading.Lock()
        self._place: Place | None = None
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI]
        self._clients = weakref.WeakKeyDictionary()
        self._final: Fault | None = None

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
        place = await self.opened()
        server, client = self._server(place), self.client(place)
        try:
            async with server.gate.watched(self.stall):
                return await self._asked(_Question(request, name, server.gate), place, server, client)
        except TimeoutError:
            raise _error(self._stalled(server.gate, place)) from None

    async def opened(self) -> Place:
        """Say where the server is, which may mean starting it.

        Returns
        -------
        Place
            Its address, what it calls the model, and the key.
        """
        return self._place if self._place is not None else await asyncio.to_thread(self._opened)

    def habits(self, place: Place) -> Habits:
        """Say what is known of the manner in which the server takes requests.

        Parameters
        ----------
        place : Place
            Where it is.

        Returns
        -------
        Habits
            Shared by all who ask this server.
        """
        return self._server(place).habits

    def client(self, place: Place) -> AsyncOpenAI:
        """Return the running loop's client; connections cannot move between loops.

        Parameters
        ----------
        place : Place
            Where the server is.

        Returns
        -------
        openai.AsyncOpenAI
            Without retries of its own.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = _client(place, self.timeout)
            weakref.finalize(self, _hang_up, self._clients[loop], loop)
        return self._clients[loop]

    async def _asked(self, question: _Question, place: Place, server: Server, client: AsyncOpenAI) -> dict[str, Any]:
        """Send a question until it is answered, or there is no point in sending it again."""
        while True:
            async with server.gate.slot(question.ticket) as slot:  # free again before anybody sleeps
                reply = await self._in_some_form(question, place, server, client, slot)
            if not isinstance(reply, _Failure):
                return reply
            told = question.refusal if question.refusal and reply.fault.is_unclear else reply
            await self._wait(told, question, place, server.gate)

    async def _in_some_form(
        self, question: _Question, place: Place, server: Server, client: AsyncOpenAI, slot: Slot
    ) -> dict[str, Any] | _Failure:
        """Send a question in the form that the server takes, which may have to be found."""
        manner = server.habits.manner(question.form)
        while True:
            sent = wire(question.request, question.name, place.model, manner, is_seeded=self.is_seeded)
            reply = await self._send(client, sent, slot, place, server.gate.has_answered)
            if not isinstance(reply, _Failure):
                server.habits.learn(manner, question.form, heeds(reply, question.request["schema"]))
                return reply
            other = _otherwise(manner, sent, reply, question, server.habits)
            if other is None:
                if reply.fault.category == "provider_error":
                    server.habits.retreat(question.form)
                return reply
            manner = other

    async def _send(
        self, client: AsyncOpenAI, sent: dict[str, Any], slot: Slot, place: Place, has_answered: bool
    ) -> dict[str, Any] | _Failure:
        """Send once, and tell the slot what became of it."""
        import openai

        if self._final is not None:
            raise _error(self._final)
        try:
            reply = answer(await kept(lambda: self._post(client, sent)), place)
        except (openai.OpenAIError, TimeoutError, ValueError, RecursionError) as error:
            fault = classify(error, model=place.model, host=place.host, has_answered=has_answered)
            if fault.is_final:
                self._final = _told(fault, error, place)
            slot.failed(fault)
            return _Failure(fault, error)
        slot.answered()
        return reply

    async def _post(self, client: AsyncOpenAI, sent: dict[str, Any]) -> object:
        async with asyncio.timeout(self.timeout):
            # `chat.completions.create` walks through all messages and their types, which takes longer than the
            # rest of the client
            return await client.post("/chat/completions", body=sent, cast_to=object)

    async def _wait(self, failure: _Failure, question: _Question, place: Place, gate: Gate) -> None:
        """Sleep until a question may be sent again, or raise that it is not worth it."""
        question.sent += 1
        others_answered = gate.answers > question.answers
        seconds = pause(failure.fault, question.sent, question.spread, others_answered=others_answered)
        if seconds is None:
            raise _error(_told(failure.fault, failure.error, place)) from safe(failure.error, place)
        await asyncio.sleep(seconds)

    def _opened(self) -> Place:
        """Open the place, and load the client, which takes seconds that nobody should mistake for the server's."""
        import openai  # noqa: F401

        with self._opening:
            self._place = self._place or self._open()
            return self._place

    def _server(self, place: Place) -> Server:
        """Return what is known of the server, which others may have learnt."""
        key = (os.getpid(), place)
        if key not in _servers:
            _servers.setdefault(key, Server(Gate(self.most), Habits()))
        _servers[key].gate.allow(self.most)
        return _servers[key]

    def _stalled(self, gate: Gate, place: Place) -> Fault:
        """Say why everything is given up."""
        hint = "try again later, or allow more seconds with PERSONALAB_STALL"
        silence = Fault("provider_timeout", f"{place.host} did not answer in time", hint)
        fault = gate.commonest() or silence
        return replace(fault, message=f"{fault.message}, and no answer came for {self.stall:g} s")


@dataclass(frozen=True)
class _Failure:
    """Why sending failed, and with which exception, which may repeat what was sent."""

    fault: Fault
    error: Exception = field(repr=False)


def form(name: str, request: Mapping[str, Any]) -> Hashable:
    """Tell the schema of a request from others."""
    return (name, *request["schema"]["required"])


class _Question:
    """A request on its way: its place in the queue, and what has become of it so far."""

    def __init__(self, request: Mapping[str, Any], name: str, gate: Gate) -> None:
        self.request = request
        self.name = name
        self.form = form(name, request)
        self.ticket = gate.ticket()
        self.spread = self.ticket * _GOLDEN % 1
        self.answers = gate.answers  # before it was first sent
        self.sent = 0
        self.refusal: _Failure | None = None  # the first of those without a reason


def _otherwise(
    manner: Manner, sent: Mapping[str, Any], failure: _Failure, question: _Question, habits: Habits
) -> Manner | None:
    """Say how else to ask; None when how it was asked is not what the server refused."""
    parameter = refused_parameter(failure.error, sent)
    if parameter is not None:
        return without(manner, parameter)
    if not failure.fault.is_unclear:
        return None
    question.refusal = question.refusal or failure
    other = habits.lower(manner, question.form)
    if other is None and question.refusal is not failure:
        habits.fail()
    return other


def _told(fault: Fault, error: Exception, place: Place) -> Fault:
    """Add the server's own words."""
    words = said(error, *place.secrets)
    return replace(fault, message=f"{fault.message}: {words}") if words else fault


def _client(place: Place, timeout: float) -> AsyncOpenAI:
    import openai

    mask_logs(*place.secrets)
    seconds = openai.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout))
    is_here = urlsplit(place.base_url).hostname in _LOOPBACK  # a proxy cannot reach this machine's own servers
    # a redirect would take the prompts to a server that nobody has named
    http = openai.DefaultAsyncHttpxClient(trust_env=not is_here, timeout=seconds, follow_redirects=False)
    return openai.AsyncOpenAI(
        base_url=place.base_url, api_key=place.api_key, max_retries=0, timeout=seconds, http_client=http
    )


def _hang_up(client: AsyncOpenAI, loop: asyncio.AbstractEventLoop) -> None:
    """Close a client whose endpoint is gone, where it lived."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(client.close(), loop)


def _error(fault: Fault) -> ProviderError:
    return ProviderError(fault.message, category=fault.category, hint=fault.hint)


def answer(body: Any, place: Place) -> dict[str, Any]:
    """Read a chat completion, without the key: some servers repeat what they were sent."""
    return {name: masked(said, *place.secrets) if isinstance(said, str) else said for name, said in read(body).items()}


def safe(error: Exception, place: Place) -> Exception | None:
    """Keep the cause, unless the server repeated the key in it."""
    told = "".join(traceback.format_exception(error))
    return error if masked(told, *place.secrets) == told else None
