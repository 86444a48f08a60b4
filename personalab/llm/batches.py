"""Batches: many requests in one file, answered within a day for half the price.

Some servers take a file of requests, work it off when they have time, and give back a file of answers: OpenAI, and
those that copy its batch API. Here a batch does nothing but fill the replies beforehand. What is then asked in the
ordinary way finds its answers there, and asks live only for what is left: requests that the server did not answer,
answers that are of no use, and what nobody could know beforehand. So the result is what the ordinary way would give.

A batch outlives the process that sent it. Which requests it holds is written down beside the replies, without the
requests themselves, and whoever makes the same call again waits for the batch that is under way instead of paying for
another one. Each line of a batch bears the key of its reply, so that an answer can only ever be kept under the
request it answers.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import json
import logging
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from personalab.blueprint.files import write_whole
from personalab.errors import ProviderError
from personalab.llm import replies
from personalab.llm.endpoint import answer as answer_in
from personalab.llm.endpoint import form, safe
from personalab.llm.faults import classify, refused_parameter, said, seconds_set
from personalab.llm.forms import Manner, heeds, wire, without
from personalab.llm.segments import check_plain, read_plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from openai import AsyncOpenAI
    from openai.types import Batch

    from personalab.llm.endpoint import Endpoint, Place

Requests = Mapping[str, Mapping[str, Any]]  # by the key of their replies

MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000  # of a file; OpenAI takes 50,000 and 200 MB
ENDPOINT, WINDOW = "/v1/chat/completions", "24h"  # the only window there is
NAME = "personalab"  # of the entry in a batch's metadata that says which requests it holds
OK = 200
ENDED = ("completed", "failed", "expired", "cancelled")
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 1.0, 1.5, 60.0  # seconds between two looks, times PERSONALAB_BACKOFF
TRIES = 6  # at one step, while the server is away or busy
LOOKS = 60  # at a batch under way in which the server may be away, an hour in all
LISTED = 100  # batches of the account that are looked through, the newest; as many as a server lists at once
MANNERS = 4  # in which requests are sent, while the server says which parameter it does not know
UNKNOWN = (400, 404, 405, 501)  # statuses of what a server does not have
UNCERTAIN = ("provider_timeout", "provider_unreachable", "provider_error")  # a batch may have been made nevertheless
GO_ON = "make the same call again: it waits for what is under way, and pays for nothing twice"

_NO_PATH = re.compile(r"[\w-]{0,200}")  # an id becomes part of an address, which is asked with the user's key

_log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A line of a file of answers: for which request, with which HTTP status, and the answer itself."""

    key: str
    status: int
    body: Any


@dataclass(frozen=True)
class Sent:
    """A batch under way, as it is remembered.

    Attributes
    ----------
    host, model : str
        Where it is, and which model answers.
    created : str
        When it was sent.
    keys : tuple of str
        The keys of the replies to its requests.
    id : str
        What the server calls it; empty from before it is made until the server has said so.
    """

    host: str
    model: str
    created: str
    keys: tuple[str, ...]
    id: str = ""

    @property
    def n(self) -> int:
        """How many requests it holds."""
        return len(self.keys)

    @property
    def digest(self) -> str:
        """The name it is remembered under, here and at the server."""
        return hashlib.sha256("".join(sorted(self.keys)).encode()).hexdigest()


class Folder:
    """Where the batches under way are remembered, a file each.

    Parameters
    ----------
    path : pathlib.Path
        Made when the first batch is sent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, sent: Sent) -> None:
        """Remember a batch."""
        check_plain(self._file(sent))
        write_whole(self._file(sent), json.dumps({**asdict(sent), "n": sent.n}) + "\n")

    def remove(self, sent: Sent) -> None:
        """Forget a batch."""
        self._file(sent).unlink(missing_ok=True)

    def under_way(self, place: Place) -> list[Sent]:
        """The batches that were sent to a place; a file that is none of ours is passed over."""
        found = (_remembered(file) for file in sorted(self.path.glob("*.json")))
        return [sent for sent in found if sent and (sent.host, sent.model) == (place.host, place.model)]

    def _file(self, sent: Sent) -> Path:
        return self.path / f"{sent.digest}.json"


async def answer(
    requests: Requests,
    name: str,
    endpoint: Endpoint,
    folder: Path,
    *,
    admit: Callable[[Requests], None],
    keep: Callable[[str, dict[str, Any]], None],
) -> None:
    """Have requests answered in batches, as far as the server answers them.

    Parameters
    ----------
    requests : mapping
        Key of the reply → request.
    name : str
        What the schema is called.
    endpoint : Endpoint
        The server.
    folder : pathlib.Path
        Where batches under way are remembered.
    admit : callable
        Called with the requests that are not under way yet, before they are handed in; raises if they may not be.
    keep : callable
        Called with a key and a reply, once for each request that is answered.

    Raises
    ------
    ProviderError
        When the server has no batch API (category ``config_error``), cannot be asked, or refuses a batch as a
        whole. What is under way is not lost: the same call finds it.
    """
    desk = Desk(endpoint, await endpoint.opened(), Folder(folder), admit, keep)
    left = dict(requests)
    manner = endpoint.habits(desk.place).manner(form(name, next(iter(left.values()))))
    for _ in range(MANNERS):
        manner, refused = await desk.served(left, Asked(name, manner))
        left = {key: left[key] for key in refused}
        if not left:
            return


class Asked(NamedTuple):
    """How requests are asked: what their schema is called, and the manner that the server is known to take."""

    name: str
    manner: Manner


@dataclass(frozen=True)
class Desk:
    """Where batches are handed in and fetched: a server, as far as it has a batch API.

    Attributes
    ----------
    endpoint, place : Endpoint, Place
        The server.
    folder : Folder
        Where batches under way are remembered.
    admit, keep : callable
        As for `answer`.
    """

    endpoint: Endpoint
    place: Place
    folder: Folder
    admit: Callable[[Requests], None]
    keep: Callable[[str, dict[str, Any]], None]

    async def served(self, requests: Requests, asked: Asked) -> tuple[Manner, set[str]]:
        """Hand in what is not under way and fetch everything; say in which manner to ask, and whom once more."""
        under_way = await self._under_way(requests)
        there = {key for sent in under_way for key in sent.keys}
        fresh = {key: request for key, request in requests.items() if key not in there}
        if fresh:
            self.admit(fresh)
        for lines in _files((key, self._body(request, asked)) for key, request in fresh.items()):
            under_way += [await self._hand_in(lines)]
        try:
            return await self._fetch(under_way, requests, asked)
        except asyncio.CancelledError:
            _log.warning("the batches under way at %s go on; to fetch their answers, %s", self.place.host, GO_ON)
            raise

    async def _under_way(self, requests: Requests) -> list[Sent]:
        """The batches that hold some of these requests already."""
        known = [sent for sent in self.folder.under_way(self.place) if not requests.keys().isdisjoint(sent.keys)]
        return [found for sent in known if (found := sent if sent.id else await self._identified(sent))]

    async def _identified(self, sent: Sent) -> Sent | None:
        """Look for a batch that was about to be made when its process ended: if it was, it bears its digest."""
        listed = await self._step(lambda client: client.batches.list(limit=LISTED), "list its batches", is_needed=False)
        for batch in listed.data if listed else ():
            if (batch.metadata or {}).get(NAME) == sent.digest:
                sent = replace(sent, id=batch.id)
                self.folder.add(sent)
                return sent
        self.folder.remove(sent)
        return None

    async def _hand_in(self, lines: Mapping[str, bytes]) -> Sent:
        """Send a file, and have a batch made of it, which is remembered before it can cost anything."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sent = Sent(self.place.host, self.place.model, now, tuple(lines))
        file_id = await self._uploaded(lines)
        self.folder.add(sent)
        options: dict[str, Any] = {"endpoint": ENDPOINT, "completion_window": WINDOW, "metadata": {NAME: sent.digest}}
        try:
            made = await self._step(
                lambda client: client.batches.create(input_file_id=file_id, **options), "make a batch", tries=1
            )
        except ProviderError as error:
            if error.category not in UNCERTAIN:
                self.folder.remove(sent)
            raise
        sent = replace(sent, id=made.id)
        self.folder.add(sent)
        _log.info("batch %s with %d requests is under way at %s", sent.id, sent.n, sent.host)
        return sent

    async def _uploaded(self, lines: Mapping[str, bytes]) -> str:
        with tempfile.TemporaryFile() as file:
            file.writelines(lines.values())

            async def upload(client: AsyncOpenAI) -> Any:
                file.seek(0)
                return await client.files.create(file=("requests.jsonl", file), purpose="batch")

            return str((await self._step(upload, "take a file of requests")).id)

    async def _fetch(self, under_way: list[Sent], requests: Requests, asked: Asked) -> tuple[Manner, set[str]]:
        """Wait for batches and keep their answers; say in which manner to ask, and who was refused in this one."""
        other, refused, open_ = asked.manner, set[str](), set(requests)
        for sent in under_way:
            async for line in self._lines(sent):
                if line.key not in open_:
                    continue
                if line.status == OK:
                    open_.remove(line.key)  # what a file tells twice was answered once
                    self._keep(line, requests[line.key], asked)
                    continue
                unknown = refused_parameter(_as_error(line), self._body(requests[line.key], asked))
                if unknown is not None:
                    other = without(asked.manner, unknown)
                    refused.add(line.key)
            self.folder.remove(sent)
        return other, refused

    async def _lines(self, sent: Sent) -> AsyncIterator[Line]:
        """What a batch has brought when it has ended, for whatever reason."""
        batch = await self._ended(sent)
        if batch is None:
            return
        if batch.status == "failed":
            self.folder.remove(sent)
            raise _failed(batch, self.place)
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            for text in await self._downloaded(file_id):
                yield _line(text)

    async def _downloaded(self, file_id: str) -> list[bytes]:
        step = functools.partial(_content, file_id)
        found: bytes | None = await self._step(step, "give a file of answers", is_needed=False)
        return (found or b"").splitlines()

    async def _ended(self, sent: Sent) -> Batch | None:
        """Look after a batch until it has ended; None when the server knows nothing of it any more."""
        for looks in itertools.count(1):
            batch: Batch | None = await self._step(
                lambda client: client.batches.retrieve(sent.id), "tell of a batch", tries=LOOKS, is_needed=False
            )
            if batch is None or batch.status in ENDED:
                break
            done = batch.request_counts.completed if batch.request_counts else 0
            _log.info("batch %s at %s: %s, %d of %d", sent.id, sent.host, batch.status, done, sent.n)
            await asyncio.sleep(_pause(looks))
        if batch is None or batch.status != "completed":
            _log.warning("batch %s at %s: %s", sent.id, sent.host, batch.status if batch else "not known there")
        return batch

    def _body(self, request: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
        return wire(replies.canonical(request), asked.name, self.place.model, asked.manner)

    def _keep(self, line: Line, request: Mapping[str, Any], asked: Asked) -> None:
        try:
            reply = answer_in(line.body, self.place)
        except ValueError:  # no chat completion; it will be asked for live
            return
        is_heeded = heeds(reply, request["schema"])
        self.endpoint.habits(self.place).learn(asked.manner, form(asked.name, request), is_heeded)
        self.keep(line.key, reply)

    async def _step(
        self,
        step: Callable[[AsyncOpenAI], Awaitable[Any]],
        what: str,
        *,
        tries: int = TRIES,
        is_needed: bool = True,
    ) -> Any:
        """Go one step, again while the server is away or busy.

        A server that does not know a needed step has no batch API; what is not needed is None if it is not there.
        """
        import openai

        for sent in itertools.count(1):
            try:
                return _object(await step(self.endpoint.client(self.place)))
            except (openai.OpenAIError, TimeoutError, ValueError, RecursionError) as error:
                failure = self._failure(error, what, is_needed=is_needed, is_last=sent >= tries)
                if failure is not None:
                    raise failure from safe(error, self.place)
                if getattr(error, "status_code", None) in UNKNOWN:
                    return None
            await asyncio.sleep(_pause(sent))
        return None

    def _failure(self, error: Exception, what: str, *, is_needed: bool, is_last: bool) -> ProviderError | None:
        """What to raise of a failed step; None when it may be gone once more, or what is not there is not needed."""
        status = getattr(error, "status_code", None)
        fault = classify(error, model=self.place.model, host=self.place.host)
        words = said(error, *self.place.secrets)
        is_unknown = status in UNKNOWN or isinstance(error, ValueError)
        if is_needed and is_unknown and fault.category in ("config_error", "provider_error"):
            return _no_batches(self.place, words)
        if (status in UNKNOWN and not is_needed) or (fault.sends != 1 and not is_last):
            return None
        message = f"{self.place.host} did not {what}: {words or fault.message}"
        return ProviderError(message, category=fault.category, hint=(is_needed and fault.hint) or GO_ON)


async def _content(file_id: str, client: AsyncOpenAI) -> bytes:
    return (await client.files.content(file_id)).content


def _object(answer: Any) -> Any:
    """An answer, unless it is a page of text where there should be an object."""
    if isinstance(answer, str):
        raise ValueError("the answer is no object")
    return answer


def _files(bodies: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[dict[str, bytes]]:
    """The lines of one file after the other, by their keys, each file as large as may be."""
    lines: dict[str, bytes] = {}
    size = 0
    for key, body in bodies:
        line = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
        text = json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n"
        if lines and (len(lines) == MOST_REQUESTS or size + len(text) > MOST_BYTES):
            yield lines
            lines, size = {}, 0
        lines[key] = text
        size += len(text)
    if lines:
        yield lines


def _remembered(file: Path) -> Sent | None:
    try:
        text = read_plain(file)
    except OSError:
        return None
    try:
        told = json.loads(text)
        keys = tuple(map(str, told["keys"]))
        sent = Sent(str(told["host"]), str(told["model"]), str(told["created"]), keys, str(told["id"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_safe = _NO_PATH.fullmatch(sent.id) is not None
    return sent if is_safe and file.stem == sent.digest else None


def _line(text: bytes) -> Line:
    """A line of a file of answers: its key, its status, and the body of the answer; status 0 for what is no answer."""
    try:
        line = json.loads(text)
        answer = line.get("response") or {}
        return Line(str(line["custom_id"]), int(answer.get("status_code") or 0), answer.get("body"))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Line("", 0, None)


def _as_error(line: Line) -> Any:
    """The error of a line, as far as one that the client raises of a request."""
    told = line.body.get("error") if isinstance(line.body, dict) else None
    told = told if isinstance(told, dict) else {"message": str(told or "")}
    return SimpleNamespace(status_code=line.status, param=told.get("param"), body=told)


def _no_batches(place: Place, words: str) -> ProviderError:
    return ProviderError(
        f"{place.host} has no batch API, or none for this model{f': {words}' if words else ''}",
        category="config_error",
        hint='leave backend="batch" out, and people are asked for one by one',
    )


def _failed(batch: Batch, place: Place) -> ProviderError:
    """A batch that the server refused as a whole, and did not begin."""
    errors = batch.errors.data if batch.errors and batch.errors.data else []
    words = said(SimpleNamespace(body={"message": errors[0].message}), *place.secrets) if errors else ""  # type: ignore[arg-type]
    return ProviderError(
        f"{place.host} refused a batch{f': {words}' if words else ''}",
        hint="nothing of it was answered; try again later or with fewer people, or leave backend out",
    )


def _pause(times: int) -> float:
    """Seconds before the next look or try."""
    return seconds_set("PERSONALAB_BACKOFF", 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** (times - 1))
