"""How many tokens were used, at which stage, and which of them were paid for.

Counted below instructor, from every answer a model gave: a re-ask and an answer of no use cost as much as a
good one. What was found among the replies is counted apart, since it cost something once but not now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Count:
    """How many answers were had, and of how many tokens.

    Attributes
    ----------
    calls, prompt_tokens, completion_tokens : int
        Counts; tokens are 0 where a server does not tell.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True)
class Budget:
    """How much a run may use, and what it costs; the prices are the user's, never a table's.

    Attributes
    ----------
    max_tokens : int or None
        The most tokens, of prompts and answers together; None for no limit.
    max_cost : float or None
        The most money, in the currency of the prices; None for no limit.
    prices : tuple of float or None
        What a million prompt tokens and a million completion tokens cost.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    prices: tuple[float, float] | None = None


@dataclass(frozen=True)
class Usage:
    """What a connection has used, by stage.

    Attributes
    ----------
    paid : dict
        Stage → `Count` of the answers that a model gave, those that were of no use included.
    replayed : dict
        Stage → `Count` of the answers that were found among the replies.
    """

    paid: Mapping[str, Count] = field(default_factory=dict)
    replayed: Mapping[str, Count] = field(default_factory=dict)

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
