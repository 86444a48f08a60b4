"""How many tokens were used, at which stage, which of them were paid for, and how many may be.

Counted below instructor, from every answer a model gave: a re-ask and an answer of no use cost as much as a
good one. What was found among the replies is counted apart, since it cost something once but not now. A
server that does not tell its tokens leaves a hole in the sums, which is counted too (``uncounted``). Money
is tokens times the user's own prices and nothing else: no table of prices is kept here, because it would be
out of date.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from personalab.blueprint.display import as_lines, render
from personalab.errors import RequestError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_TOLD = 10**9  # tokens of one answer; a hundred times what the longest-winded models take and give
LARGEST = 10**15  # of a limit or a price, so that sums of them are exact
MILLION = 1_000_000  # prices are quoted for so many tokens
PRICES = "give two numbers, such as prices=(0.25, 2.0): what a million prompt and a million completion tokens cost"
HEAD = ("stage", "calls", "prompt tokens", "completion tokens")


@dataclass(frozen=True)
class Count:
    """How many answers were had, and of how many tokens.

    Attributes
    ----------
    calls, prompt_tokens, completion_tokens : int
        Counts; tokens are 0 where a server does not tell.
    cached_tokens : int
        Prompt tokens, among those counted, that the server says it had read before; many charge less for them.
    uncounted : int
        Calls, among those counted, whose tokens the server did not tell.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    uncounted: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.uncounted + other.uncounted,
        )

    @property
    def tokens(self) -> int:
        """Tokens of prompts and answers together.

        Returns
        -------
        int
            The sum.
        """
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, reply: Mapping[str, Any]) -> Count:
        """Count one answer.

        Parameters
        ----------
        reply : mapping
            With ``usage``, as servers tell it or as a file holds it; what is no count in it counts as not told.

        Returns
        -------
        Count
            Of one call.

        Examples
        --------
        >>> Count.of({"usage": {"prompt_tokens": 9, "completion_tokens": 4}})
        Count(calls=1, prompt_tokens=9, completion_tokens=4, cached_tokens=0, uncounted=0)
        >>> Count.of({"usage": {}}).uncounted
        1
        """
        usage = reply.get("usage")
        told = usage if isinstance(usage, dict) else {}
        prompt, completion, cached = (
            _told(told.get(name)) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
        )
        return cls(1, prompt, completion, min(cached, prompt), int(prompt + completion == 0))


def cost(count: Count, prices: tuple[float, float]) -> float:
    """Price tokens.

    Parameters
    ----------
    count : Count
        The tokens.
    prices : tuple of float
        What a million prompt tokens and a million completion tokens cost.

    Returns
    -------
    float
        In the currency of the prices; cached tokens at the full price.

    Examples
    --------
    >>> cost(Count(3, 10_000, 2_000), (0.25, 2.0))
    0.0065
    """
    return (count.prompt_tokens * prices[0] + count.completion_tokens * prices[1]) / MILLION


@dataclass(frozen=True)
class Budget:
    """How much a run may use, and what it costs: the call that would pass a limit is not sent.

    Attributes
    ----------
    tokens : int or None
        The most tokens, of prompts and answers together; None for no limit.
    cost : float or None
        The most money, in the currency of the prices; None for no limit.
    prices : tuple of float or None
        What a million prompt tokens and a million completion tokens cost; the user's to say, never a table's.

    Raises
    ------
    RequestError
        When a limit is no number above 0, or there is a limit on money without prices, or the prices are not two
        numbers of 0 or more.

    Examples
    --------
    >>> Budget(cost=2, prices=(0.25, 2.0))
    Budget(tokens=None, cost=2.0, prices=(0.25, 2.0))
    """

    tokens: int | None = None
    cost: float | None = None
    prices: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None:
            object.__setattr__(self, "tokens", _whole(self.tokens))
        if self.prices is not None:
            object.__setattr__(self, "prices", _prices(self.prices))
        if self.cost is not None:
            hint = "give a number above 0, in the currency of the prices"
            object.__setattr__(self, "cost", _above_zero("cost", self.cost, hint))
            if self.prices is None:
                raise RequestError(f"a budget of cost={self.cost:g} needs prices, and there are none", hint=PRICES)

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all.

        Returns
        -------
        bool
            False when anything may be used.
        """
        return self.tokens is not None or self.cost is not None

    def holds(self, count: Count) -> bool:
        """Say whether so much is within the limits.

        Parameters
        ----------
        count : Count
            Tokens.

        Returns
        -------
        bool
            False when a limit is passed.
        """
        if self.tokens is not None and count.tokens > self.tokens:
            return False
        return self.cost is None or self.prices is None or cost(count, self.prices) <= self.cost


@dataclass(frozen=True, repr=False)
class Usage:
    """What a connection has used, by stage; a small table in a notebook and when printed.

    Attributes
    ----------
    paid : dict
        Stage → `Count` of the answers that a model gave, those that were of no use included.
    replayed : dict
        Stage → `Count` of the answers that were found among the replies.
    prices : tuple of float or None
        What a million prompt tokens and a million completion tokens cost, where the user said so.

    Examples
    --------
    >>> used = Usage({"blueprint": Count(1, 1_900, 2_800), "personas": Count(10, 9_300, 2_050)}, prices=(0.25, 2.0))
    >>> used
    Usage(11 calls, 11,200 prompt and 4,850 completion tokens, cost 0.0125)
    >>> print(used)
    stage      calls  prompt tokens  completion tokens    cost
    blueprint      1          1,900              2,800  0.0061
    personas      10          9,300              2,050  0.0064
    all           11         11,200              4,850  0.0125
    """

    paid: Mapping[str, Count] = field(default_factory=dict)
    replayed: Mapping[str, Count] = field(default_factory=dict)
    prices: tuple[float, float] | None = None

    @property
    def total(self) -> Count:
        """All that a model was paid for.

        Returns
        -------
        Count
            The sum over the stages.
        """
        return sum(self.paid.values(), Count())

    @property
    def total_replayed(self) -> Count:
        """All that was found among the replies.

        Returns
        -------
        Count
            The sum over the stages.
        """
        return sum(self.replayed.values(), Count())

    @property
    def cost(self) -> float | None:
        """What was paid.

        Returns
        -------
        float or None
            In the currency of the prices, without what was replayed, and without calls whose tokens no server
            told; None without prices.
        """
        return None if self.prices is None else cost(self.total, self.prices)

    def __hash__(self) -> int:
        return hash((frozenset(self.paid.items()), frozenset(self.replayed.items()), self.prices))

    def __repr__(self) -> str:
        total, old = self.total, self.total_replayed
        told = f"{_calls(total.calls)}, {total.prompt_tokens:,} prompt"
        told += f" and {total.completion_tokens:,} completion tokens"
        told += f", {_calls(total.uncounted)} uncounted" if total.uncounted else ""
        told += f", cost {money(self.cost)}" if self.cost is not None else ""
        return f"Usage({told}{f'; {old.calls:,} replayed' if old.calls else ''})"

    def __str__(self) -> str:
        return "\n".join([*aligned(self._head, self._rows), *self._remarks])

    def _repr_html_(self) -> str:
        return render("usage.html.j2", head=self._head, rows=self._rows, remarks=self._remarks)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    @property
    def _head(self) -> tuple[str, ...]:
        return HEAD if self.prices is None else (*HEAD, "cost")

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        """The stages that were paid for, their sum, and the replayed ones apart."""
        paid = [(stage or "other", *figures(count, self.prices)) for stage, count in self.paid.items()]
        total = [("all", *figures(self.total, self.prices))] if len(paid) != 1 else []
        free = None if self.prices is None else (0.0, 0.0)
        return [*paid, *total, *((f"{s or 'other'}, replayed", *figures(c, free)) for s, c in self.replayed.items())]

    @property
    def _remarks(self) -> list[str]:
        """What the table does not show."""
        total, remarks = self.total, []
        if total.cached_tokens:
            remarks.append(f"{total.cached_tokens:,} of the prompt tokens were cached by the server.")
        if total.uncounted:
            remarks.append(f"The server told no tokens for {_calls(total.uncounted)}: they are missing in the sums.")
        return remarks


def figures(count: Count, prices: tuple[float, float] | None) -> tuple[str, ...]:
    """Calls and tokens for a table, and what they cost if there are prices."""
    told = tuple(f"{number:,}" for number in (count.calls, count.prompt_tokens, count.completion_tokens))
    return told if prices is None else (*told, money(cost(count, prices)))


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines of text, names to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    made = [[row[0], *map(str.rjust, row[1:], widths[1:])] for row in (head, *rows)]
    return as_lines(made[0], made[1:])


def _told(value: Any) -> int:
    """A count as a server or a file tells it; 0 for what is none, and for what no model gives in one answer."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_TOLD else 0


def _calls(number: int) -> str:
    return f"{number:,} call{'' if number == 1 else 's'}"


def money(amount: float) -> str:
    """Four digits after the point: a persona costs about a thousandth."""
    return f"{amount:,.4f}"


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and bool(-LARGEST <= value <= LARGEST)


def _above_zero(name: str, value: Any, hint: str) -> float:
    if not _is_number(value):
        raise RequestError(f"a budget of {name}={quoted(value)} is no number", hint=hint)
    if value <= 0:
        raise RequestError(f"a budget of {name}={quoted(value)} lets nothing be asked", hint=hint)
    return float(value)


def _whole(value: Any) -> int:
    hint = "give a whole number above 0"
    _above_zero("tokens", value, hint)
    if value != int(value):
        raise RequestError(f"a budget of tokens={quoted(value)} is no whole number", hint=hint)
    return int(value)


def _prices(value: Any) -> tuple[float, float]:
    pair: Sequence[Any] = value if isinstance(value, tuple | list) else ()
    if len(pair) != 2 or not all(_is_number(price) and price >= 0 for price in pair):
        raise RequestError(f"prices is {quoted(value)}, not two numbers of 0 or more", hint=PRICES)
    return float(pair[0]), float(pair[1])
