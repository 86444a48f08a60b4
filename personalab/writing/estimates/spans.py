"""Numbers that are not known exactly, and what a stage needs in such numbers."""

from __future__ import annotations

from dataclasses import dataclass

from personalab.llm import Count


@dataclass(frozen=True)
class Span:
    """A number that is not known exactly: the least and the most it may be, and the likeliest.

    Attributes
    ----------
    low, likely, high : float
        In this order, none below 0.
    """

    low: float
    likely: float
    high: float

    @staticmethod
    def about(value: float, share: float) -> Span:
        """A number that may be off by a share of it."""
        return Span(value * max(0.0, 1 - share), value, value * (1 + share))

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, other: Span) -> Span:
        return Span(self.low * other.low, self.likely * other.likely, self.high * other.high)


def exactly(value: float) -> Span:
    """A number that is known."""
    return Span(value, value, value)


NONE = exactly(0)
ONE = exactly(1)


@dataclass(frozen=True)
class Need:
    """What a stage would use: calls, and tokens of prompts and answers."""

    calls: Span = NONE
    prompt: Span = NONE
    completion: Span = NONE

    def __add__(self, other: Need) -> Need:
        return Need(self.calls + other.calls, self.prompt + other.prompt, self.completion + other.completion)

    def about(self, share: float) -> Need:
        """The same with tokens that may be off by a share of them."""
        off = Span.about(1, share)
        return Need(self.calls, self.prompt * off, self.completion * off)

    def count(self, which: str) -> Count:
        """The least, the likeliest or the most of it, in whole numbers."""
        return Count(*(round(getattr(span, which)) for span in (self.calls, self.prompt, self.completion)))
