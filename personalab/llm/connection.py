"""A connection: a model, ready to be asked, and all that lies between a question and a server.

From the outside in: instructor, which validates an answer and shows the model its own mistake
(`personalab.llm.answers`); the replies (`personalab.llm.replies`), which answer what was answered before; the flights
(`personalab.llm.flights`), which make two equal questions one; the ledger (`personalab.llm.ledger`), which counts
tokens and ends a run before it passes its budget; and the server (`personalab.llm.endpoint`). Because all of this
lies *below* instructor, a re-ask is recorded, replayed and counted like a first ask. Nothing is opened before the
first question that the replies cannot answer, so a recorded notebook runs with no key, no server and no socket.

A small model (``is_small``) is not shown its mistake: it repeats it. It is drawn again, by the caller, with
another ``sample``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from personalab.errors import ProviderError
from personalab.llm import batches, replies
from personalab.llm.answers import validated
from personalab.llm.flights import fly
from personalab.llm.ledger import Ledger
from personalab.llm.schemas import strict_schema
from personalab.llm.usage import Budget, Count, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from personalab.llm.endpoint import Endpoint

T = TypeVar("T", bound=BaseModel)

REASKS = 2
UNUSABLE = ("invalid_output", "output_truncated", "content_refused")
# what a reply lacks when a person or an object of the user's own gave it
_PLAIN_REPLY: dict[str, Any] = {"content": "", "finish_reason": "stop", "refusal": None, "usage": {}}


class Connection:
    """A model, ready to be asked.

    Made by `connect`.

    Parameters
    ----------
    name : str
        What the model is called here, such as ``"openai/gpt-5-mini"``.
    model : str or None
        What its replies are kept under; None when they are not kept.
    description : str
        A sentence for people.
    complete : callable
        Asks the model: ``await complete(request, schema_name)`` gives a reply.
    is_small : bool
        Whether callers should work in small steps.
    budget : Budget
        How much may be used.
    endpoint : Endpoint, optional
        The server that ``complete`` asks, for `prefill`.
    at_once : int
        The most requests under way at once, for callers who have many.

    Attributes
    ----------
    replies : Replies
        The store that was in use when the connection was made.
    """

    def __init__(
        self,
        name: str,
        model: str | None,
        description: str,
        complete: Callable[[Mapping[str, Any], str], Awaitable[dict[str, Any]]],
        *,
        is_small: bool = False,
        budget: Budget = Budget(),  # noqa: B008  # a frozen value
        endpoint: Endpoint | None = None,
        at_once: int = 1,
    ) -> None:
        self.at_once = at_once
        self.name = name
        self.description = description
        self.is_small = is_small
        self.budget = budget
        self.replies = replies.current()
        self._model = model
        self._complete = complete
        self._ledger = Ledger(budget)
        self._endpoint = endpoint
        self._prefilled: dict[str, dict[str, Any]] = {}
        self._useless: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"Connection({self.name!r})"

    @property
    def usage(self) -> Usage:
        """What has been used so far.

        Returns
        -------
        Usage
            Tokens by stage, paid apart from replayed.
        """
        return self._ledger.usage

    async def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        type_: type[T],
        *,
        stage: str = "",
        sample: int = 0,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> T:
        """Ask for an instance of a type.

        Parameters
        ----------
        messages : sequence of mapping
            The conversation, each with ``role`` and ``content``.
        type_ : type
            A pydantic model that `strict_schema` can express.
        stage : str
            What the tokens are counted under.
        sample : int
            Tells apart two draws of the same request.
        max_tokens : int, optional
            The most tokens that the answer may have; doubled once when it does not suffice.
        temperature : float, optional
            The sampling temperature; the server's own by default.

        Returns
        -------
        BaseModel
            An instance of ``type_``.

        Raises
        ------
        ProviderError
            When no valid answer was had; ``category`` says why, ``answer`` holds what the model said. Before anything
            is sent when the budget does not hold it (``budget_exceeded``).
        """
        first = self.request(messages, type_, sample=sample, max_tokens=max_tokens, temperature=temperature)

        asked: list[dict[str, Any]] = []

        async def _create(messages: list[dict[str, str]]) -> str:
            request = {**first, "messages": messages}
            asked.append(request)
            return str((await self._finished(request, type_.__name__, stage))["content"])

        reasks = 0 if self.is_small else REASKS
        try:
            return await validated(_create, messages, type_, reasks=reasks, name=self.name)
        except ProviderError as error:
            if error.category in UNUSABLE:
                self._useless += asked
            raise

    def request(
        self,
        messages: Sequence[Mapping[str, str]],
        type_: type[BaseModel],
        *,
        sample: int = 0,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> dict[str, Any]:
        """Write down what `ask` asks first, as the replies know it; nothing is sent.

        Parameters
        ----------
        messages : sequence of mapping
            The conversation, each with ``role`` and ``content``.
        type_ : type
            A pydantic model that `strict_schema` can express.
        sample, max_tokens : int, optional
            As for `ask`.
        temperature : float, optional
            As for `ask`.

        Returns
        -------
        dict
            The request, of which `personalab.llm.replies.key` is the key.
        """
        schema = strict_schema(type_, bounded=self.is_small)
        options = {"max_tokens": max_tokens, "temperature": temperature, "sample": sample}
        return {"model": self._model or self.name, "messages": messages, "schema": schema, **options}

    def peek(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Look whether there is a reply, without asking for it, using it or counting it.

        Parameters
        ----------
        request : mapping
            As `request` writes it.

        Returns
        -------
        dict or None
            The reply that `ask` would find; None when it would have to ask.
        """
        return _PLAIN_REPLY | found if self._model and (found := self.replies.peek(request)) else None

    def given(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Read what this model was ever asked and said, see `personalab.llm.replies.Replies.given`.

        Yields
        ------
        tuple of dict
            A request and its reply; none for a model whose replies are not kept.
        """
        if self._model:
            yield from self.replies.given(self._model)

    async def prefill(self, requests: Iterable[Mapping[str, Any]], type_: type[BaseModel], *, stage: str = "") -> None:
        """Have requests answered in batches, so that `ask` finds the answers; see `personalab.llm.batches`.

        Parameters
        ----------
        requests : iterable of mapping
            As `request` writes them, all for the same type; those that the replies hold are left out.
        type_ : type
            What the answers have to be.
        stage : str
            What the tokens are counted under.

        Raises
        ------
        ProviderError
            When the model has no batch API (category ``config_error``), or the budget does not hold the requests
            (``budget_exceeded``); nothing is sent then.
        """
        if self.replies.mode == "replay":
            return
        if self._endpoint is None:
            hint = "leave backend out, and people are asked for one by one"
            raise ProviderError(f"{self.name} has no batch API", category="config_error", hint=hint)
        missing = {replies.key(asked): asked for asked in requests if not self.replies.get(asked)}
        if not missing:
            return

        def _admit(fresh: Mapping[str, Mapping[str, Any]]) -> None:
            self.replies.prepare()
            requests = list(fresh.values())
            self._ledger.admit(requests, stage, self.name, self._shown(requests[0]["schema"]))

        def _keep(key: str, reply: dict[str, Any]) -> None:
            self._ledger.paid(missing[key], stage, reply)
            self.replies.put(missing[key], reply, by=self.name)
            self._prefilled[key] = _PLAIN_REPLY | reply

        folder = self.replies.beside("batches")
        await batches.answer(missing, type_.__name__, self._endpoint, folder, admit=_admit, keep=_keep)

    def offline(self) -> Connection:
        """The same model, asked through its kept replies alone; nothing is sent, and nothing is kept.

        Returns
        -------
        Connection
            One for which a reply that is not kept is an error (category ``replay_miss``).
        """
        reading = Connection(self.name, self._model, self.description, self._complete, is_small=self.is_small)
        reading.replies = self.replies.reading()
        return reading

    def forget_useless(self, failure: ProviderError) -> None:
        """Have answers that were of no use asked for again, if a call has failed for them and nothing else."""
        if failure.category not in UNUSABLE:
            return
        for request in self._useless:
            self.replies.forget(request)
            if request["max_tokens"]:  # the second try at an answer that ran out of room
                self.replies.forget({**request, "max_tokens": 2 * request["max_tokens"]})
        self._useless.clear()

    def _shown(self, schema: dict[str, Any]) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        """What the model was asked and said before in the same form."""
        return ((asked, reply) for asked, reply in self.given() if asked.get("schema") == schema)

    async def _finished(self, request: dict[str, Any], name: str, stage: str) -> dict[str, Any]:
        """Ask, and once more with twice the room when the answer did not fit."""
        reply = await self._reply(request, name, stage)
        if reply["finish_reason"] == "length":
            room = request["max_tokens"] or Count.of(reply).completion_tokens
            reply = await self._reply({**request, "max_tokens": 2 * room}, name, stage) if room else reply
        _check(reply, self.name)
        return reply

    async def _reply(self, request: dict[str, Any], name: str, stage: str) -> dict[str, Any]:
        """Find the reply, or ask for it and keep it; whoever asks the same at the same time waits along."""
        if self._model is None and self.replies.mode != "replay":
            return await self._asked(request, name, stage)
        if self._prefilled and (ready := self._prefilled.pop(replies.key(request), None)):
            return ready  # counted when its batch brought it
        found = self.replies.get(request)
        if found is None:
            self.replies.prepare()
            key = self.replies.path, replies.key(request)
            landed = await fly(key, self, lambda: self._asked(request, name, stage))
            if landed.is_own:
                return dict(landed.result)
            found = landed.result
        reply = _PLAIN_REPLY | found
        self._ledger.replayed(request, stage, reply)
        return reply

    async def _asked(self, request: dict[str, Any], name: str, stage: str) -> dict[str, Any]:
        """Ask as far as the budget allows, count, and keep the reply."""
        async with self._ledger.call(request, stage, self.name) as paid:
            reply = _PLAIN_REPLY | await self._complete(replies.canonical(request), name)
            paid(reply)
        if self._model is not None:
            self.replies.put(request, reply, by=self.name)
        return reply


def _check(reply: Mapping[str, Any], name: str) -> None:
    """Stop at an answer that is none; asking the same thing once more would not help."""
    if reply["refusal"] or reply["finish_reason"] == "content_filter":
        raise ProviderError(
            f"{name} declined to answer",
            category="content_refused",
            answer=reply["refusal"] or reply["content"],
            hint="word the prompt otherwise, or name another model",
        )
    if reply["finish_reason"] == "length":
        raise ProviderError(
            f"{name} had not finished its answer when its room was used up, twice",
            category="output_truncated",
            answer=reply["content"],
            hint="ask for less at a time, or name a model with a longer output",
        )
