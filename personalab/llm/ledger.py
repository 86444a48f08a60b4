"""The ledger: what a connection has used, and whether the next call may still be made.

What a call will use is known only once it has been answered, so a budget has to look ahead. Every call is
entered before it is sent, with what its prompt and its answer are likely to take: the prompt by its length, at
the most tokens per byte that this stage has shown; the answer by the longest one of the stage so far and a
margin. A call that fits beside all others under way is made. One that fits alone, but not beside them, waits
until they have told what they really used, which is mostly less. One that does not fit alone ends the run,
when nothing is under way any more, so that all that was paid for is kept.

What is likely is a guess from what was seen, so no more calls of a stage are under way than it has shown
answers, and one: of n answers alike, the next is the longest yet with a chance of one in n + 1, so that about
one in such a round surprises. The first call of a stage goes alone. None of this holds calls back as long as
the budget would hold even if every answer used all its room.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from personalab.errors import ProviderError
from personalab.llm.usage import Budget, Count, Usage, cost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

BYTES_PER_TOKEN = 3  # cautious: English has four to five in current models, Chinese three
MARGIN = 1.25  # over the longest answer of a stage, for the next one
SHORT_ANSWER = 100  # tokens; taken for a stage that has shown none
LONGEST_ANSWER = 128_000  # tokens; what the longest-winded models give where a request sets no bound


@dataclass(frozen=True)
class Call:
    """A call as it is known before it is made.

    Attributes
    ----------
    stage : str
        What it is counted under.
    size : int
        Bytes of its messages and schema.
    room : int
        The most tokens that its answer may have.
    """

    stage: str
    size: int
    room: int

    @classmethod
    def of(cls, request: Mapping[str, Any], stage: str) -> Call:
        """Measure a request.

        Parameters
        ----------
        request : mapping
            With ``messages`` and ``schema``, perhaps ``max_tokens``.
        stage : str
            What it is counted under.

        Returns
        -------
        Call
            Its measures.
        """
        texts = [str(message.get("content", "")) for message in request["messages"]]
        size = sum(len(text.encode(errors="replace")) for text in [*texts, json.dumps(request["schema"])])
        return cls(stage, size, request.get("max_tokens") or LONGEST_ANSWER)


@dataclass
class _Stage:
    """What the answers of a stage have shown, and what is under way in it."""

    answers: int = 0
    longest: int = 0  # tokens
    rate: float = 0.0  # prompt tokens per byte, the most so far
    calls: int = 0
    size: int = 0
    room: int = 0

    def learn(self, size: int, count: Count) -> None:
        self.answers += 1
        self.longest = max(self.longest, count.completion_tokens)
        self.rate = max(self.rate, count.prompt_tokens / size)

    def enter(self, call: Call, sign: int = 1) -> None:
        self.calls += sign
        self.size += sign * call.size
        self.room += sign * call.room


class Ledger:
    """What was used and what may be; for calls from any thread and any event loop.

    Parameters
    ----------
    budget : Budget
        How much may be used.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._counts: dict[tuple[bool, str], Count] = {}
        self._spent = Count()  # what the budget goes by: tokens that no server told are estimated
        self._stages: dict[str, _Stage] = {}
        self._queue: deque[tuple[Call, Future[bool]]] = deque()
        self._lock = threading.RLock()

    @property
    def usage(self) -> Usage:
        """What has been used so far.

        Returns
        -------
        Usage
            Tokens by stage, paid apart from replayed.
        """
        with self._lock:
            paid, replayed = (
                {stage: count for (old, stage), count in self._counts.items() if old is is_old}
                for is_old in (False, True)
            )
        return Usage(paid, replayed, self.budget.prices)

    def replayed(self, request: Mapping[str, Any], stage: str, reply: Mapping[str, Any]) -> None:
        """Enter an answer that was found; it costs nothing, and tells how long answers are.

        Parameters
        ----------
        request, reply : mapping
            What was asked and what was found.
        stage : str
            What it is counted under.
        """
        with self._lock:
            self._count(True, stage, Count.of(reply))
            if self.budget.is_limited:
                call = Call.of(request, stage)
                self._stage(stage).learn(call.size, _estimated(call, reply))

    def paid(self, request: Mapping[str, Any], stage: str, reply: Mapping[str, Any]) -> None:
        """Enter an answer that was paid for without being called for here: one that a batch brought.

        Parameters
        ----------
        request, reply : mapping
            What was asked and what came back.
        stage : str
            What it is counted under.
        """
        call = Call.of(request, stage)
        self._paid(stage, Count.of(reply), call, _estimated(call, reply))

    def admit(
        self,
        requests: Sequence[Mapping[str, Any]],
        stage: str,
        name: str,
        shown: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]],
    ) -> None:
        """Make sure that the budget holds many calls that are made at once and cannot be stopped half-way.

        Parameters
        ----------
        requests : sequence of mapping
            What is to be asked.
        stage : str
            What it is counted under.
        name : str
            Who is asked, for the error.
        shown : iterable of tuple of mapping
            What was asked and answered before, as a sample of these.

        Raises
        ------
        ProviderError
            When the budget does not hold them, or nobody knows how much they need (category ``budget_exceeded``).
        """
        if not self.budget.is_limited:
            return
        calls = [Call.of(request, stage) for request in requests]
        size = sum(call.size for call in calls)
        likely = _likely(len(calls), size, [(Call.of(asked, stage), reply) for asked, reply in shown])
        most = Count(0, size // BYTES_PER_TOKEN, sum(call.room for call in calls))
        if not self.budget.holds(self._spent + (likely or most)):
            raise self._too_many(len(calls), likely, name)

    @asynccontextmanager
    async def call(
        self, request: Mapping[str, Any], stage: str, name: str
    ) -> AsyncIterator[Callable[[Mapping[str, Any]], None]]:
        """Have room for one call for the time of a ``with`` statement, once there is room.

        Parameters
        ----------
        request : mapping
            What is to be asked.
        stage : str
            What it is counted under.
        name : str
            Who is asked, for the error.

        Yields
        ------
        callable
            To be called with the answer, if there is one.

        Raises
        ------
        ProviderError
            When the budget does not hold the call (category ``budget_exceeded``).
        """
        if not self.budget.is_limited:
            yield lambda reply: self._paid(stage, Count.of(reply))
            return
        call = Call.of(request, stage)
        if not await self._admitted(call):
            raise self._refusal(call, name)
        try:
            yield lambda reply: self._paid(stage, Count.of(reply), call, _estimated(call, reply))
        finally:
            with self._lock:
                self._stage(stage).enter(call, -1)
                self._admit()

    def _paid(self, stage: str, told: Count, call: Call | None = None, spent: Count | None = None) -> None:
        with self._lock:
            self._count(False, stage, told)
            if call is not None and spent is not None:
                self._spent += spent
                self._stage(stage).learn(call.size, spent)

    def _count(self, is_old: bool, stage: str, count: Count) -> None:
        self._counts[is_old, stage] = self._counts.get((is_old, stage), Count()) + count

    def _stage(self, name: str) -> _Stage:
        return self._stages.setdefault(name, _Stage())

    async def _admitted(self, call: Call) -> bool:
        """Wait for this call's turn; False when the budget does not hold it."""
        ticket: Future[bool] = Future()
        with self._lock:
            self._queue.append((call, ticket))
            self._admit()
        try:
            return await asyncio.wrap_future(ticket)
        except asyncio.CancelledError:
            if not ticket.cancel() and ticket.result():  # it had been let in at the same moment
                with self._lock:
                    self._stage(call.stage).enter(call, -1)
                    self._admit()
            raise

    def _admit(self) -> None:
        """Let in whom there is room for, in the order of their coming; refuse the next when nothing is under way."""
        while self._queue:
            call, ticket = self._queue[0]
            has_room = self._has_room(call)
            if not has_room and any(stage.calls for stage in self._stages.values()):
                return
            self._queue.popleft()
            if ticket.set_running_or_notify_cancel():  # False where its caller was cancelled meanwhile
                if has_room:
                    self._stage(call.stage).enter(call)
                ticket.set_result(has_room)

    def _has_room(self, call: Call) -> bool:
        stage = self._stage(call.stage)
        if self.budget.holds(self._most(call)):
            return True
        return stage.calls <= stage.answers and self.budget.holds(self._likely(call))

    def _most(self, call: Call) -> Count:
        """All that was used, and all that is under way and this call if every answer takes all its room."""
        total = self._spent + self._prompt(call.stage, call.size, call.room)
        return sum((self._prompt(name, under.size, under.room) for name, under in self._stages.items()), total)

    def _likely(self, call: Call) -> Count:
        """All that was used, and what is under way and this call will likely take."""
        total = self._spent + self._alone(call)
        return sum(
            (self._prompt(name, under.size, under.calls * self._answer(name)) for name, under in self._stages.items()),
            total,
        )

    def _alone(self, call: Call) -> Count:
        return self._prompt(call.stage, call.size, self._answer(call.stage))

    def _prompt(self, stage: str, size: int, completion: int) -> Count:
        """Tokens of so many bytes of prompts, and of their answers."""
        rate = self._stage(stage).rate or max((other.rate for other in self._stages.values()), default=0.0)
        return Count(0, int(size * (rate or 1 / BYTES_PER_TOKEN)), completion)

    def _answer(self, stage: str) -> int:
        found = self._stage(stage)
        return int(MARGIN * found.longest) if found.answers else SHORT_ANSWER

    def _too_many(self, n: int, likely: Count | None, name: str) -> ProviderError:
        budget = self.budget
        limits = [f"{budget.tokens:,} tokens"] if budget.tokens is not None else []
        limits += [f"{budget.cost:,g}"] if budget.cost is not None else []
        if likely is None:
            told = "nobody knows how long its answers are"
            hint = 'write a few people without backend="batch" first, so that it is known'
        else:
            told = f"they would take about {likely.tokens:,} tokens, and {self._spent.tokens:,} are used"
            hint = "raise the limit, or ask for fewer people"
        return ProviderError(
            f"{name} was not sent {n:,} requests in a batch, because a budget of {' and '.join(limits)} may not hold"
            f" them: {told}",
            category="budget_exceeded",
            hint=hint,
        )

    def _refusal(self, call: Call, name: str) -> ProviderError:
        with self._lock:
            used, next_ = self._spent, self._alone(call)
        budget = self.budget
        if budget.tokens is not None and (used + next_).tokens > budget.tokens:
            told = f"{used.tokens:,} of the budget's {budget.tokens:,} tokens are used, and the next call needs about"
            told += f" {next_.tokens:,}"
        else:
            prices = budget.prices or (0.0, 0.0)
            told = f"{cost(used, prices):,.4f} of the budget's {budget.cost:g} is used, and the next call costs about"
            told += f" {cost(next_, prices):,.4f}"
        return ProviderError(
            f"{name} was not asked further: {told}",
            category="budget_exceeded",
            hint="what was answered is kept among the replies: run the same again with a larger budget, and only the"
            " rest is asked for and counted",
        )


def _likely(n: int, size: int, shown: Sequence[tuple[Call, Mapping[str, Any]]]) -> Count | None:
    """What so many calls of a size in all will take, by what others took; None where there were no others."""
    if not shown:
        return None
    took = sum((_estimated(call, reply) for call, reply in shown), Count())
    prompt = size * took.prompt_tokens / sum(call.size for call, _ in shown)
    return Count(0, int(prompt), int(MARGIN * n * took.completion_tokens / len(shown)))


def _estimated(call: Call, reply: Mapping[str, Any]) -> Count:
    """The tokens of an answer; by its length where no server told them."""
    told = Count.of(reply)
    if not told.uncounted:
        return told
    written = str(reply.get("content") or "").encode(errors="replace")
    return Count(1, call.size // BYTES_PER_TOKEN, len(written) // BYTES_PER_TOKEN)
