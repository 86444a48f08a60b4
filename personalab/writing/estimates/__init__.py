"""Estimates: what a call would use, told before a token is spent.

How many requests a population needs, and what they say, is known beforehand: they are written down here as
`personalab.write` would send them, and looked up among the replies; what is found there costs nothing. Two things are
not known: how many tokens a server makes of a character, and how long answers are. Both are taken from what the model
was asked and said before, as far as the replies tell: from answers in the same form if there are any, else from its
other answers, else from general lengths. So an estimate is rough at first, and close after a handful of people.

Some people are asked for more than once. An answer that is unusable or contradicts the row is drawn again, as often as
the replies show; and who has the name of somebody before them is written again. The latter grows with the population,
as shared birthdays do: if a model names people as if by drawing from `m` equally likely names, then of `n` people
``n - m (1 - (1 - 1/m)^n)`` have a name that is taken. What `m` is, is inferred from the names among the replies.

An estimate asks no model, opens no connection and needs no key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalab import llm
from personalab.blueprint.display import render
from personalab.blueprint.model import Blueprint
from personalab.inference import check_request
from personalab.inference.draft import EXAMPLE, wire
from personalab.inference.repair import repaired
from personalab.llm import Budget, Count, replies
from personalab.llm.places import DEFAULT_OPENAI_MODEL
from personalab.llm.usage import HEAD, aligned, cost, figures, money
from personalab.sampling.sample import sample
from personalab.writing.estimates.needs import form_of, kept_blueprint, of_blueprint, of_people
from personalab.writing.estimates.past import CHARACTERS, Past
from personalab.writing.estimates.spans import Need
from personalab.writing.roster import Roster
from personalab.writing.write import Author

if TYPE_CHECKING:
    from personalab.llm import Model

ROUGH = 0.3  # share by which people of another blueprint than the typical one may need more or less
THERE = "Every answer is among the replies: nothing would be asked."
UNKNOWN = (
    f"Reckoned from general lengths, since no answer of {{name}} is kept: {CHARACTERS:g} characters a token, texts as "
    "long as people's usually are. A model that reasons before it answers uses several times the completion tokens. "
    "Write a handful of people first, and the estimate comes close."
)
TYPICAL = "The blueprint is not there yet; a typical one stands in for it, so that the people's part is rough."


@dataclass(frozen=True)
class Estimate:
    """What a call would use, before it is made.

    Attributes
    ----------
    model : str
        The model it is for.
    people : int
        How many people lack a text.
    paid : dict
        Stage → `Count` of the answers that a model would have to give.
    replayed : dict
        Stage → `Count` of the answers that are found among the replies, and cost nothing.
    low, high : Count
        The least and the most that `paid` may come to.
    basis : str
        What the estimate rests on, as a sentence.
    prices : tuple of float or None
        What a million prompt tokens and a million completion tokens cost.
    """

    model: str
    people: int
    paid: Mapping[str, Count]
    replayed: Mapping[str, Count]
    low: Count
    high: Count
    basis: str
    prices: tuple[float, float] | None = field(default=None, repr=False)

    @property
    def total(self) -> Count:
        """All that a model would be paid for.

        Returns
        -------
        Count
            The sum over the stages.
        """
        return sum(self.paid.values(), Count())

    @property
    def calls(self) -> int:
        """How many requests would be sent."""
        return self.total.calls

    @property
    def prompt_tokens(self) -> int:
        """How many tokens these requests have."""
        return self.total.prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """How many tokens their answers have."""
        return self.total.completion_tokens

    @property
    def cost(self) -> float | None:
        """What it would cost, in the currency of the prices; None without prices."""
        return None if self.prices is None else cost(self.total, self.prices)

    def __hash__(self) -> int:
        return hash((self.model, self.people, frozenset(self.paid.items()), self.basis, self.prices))

    def __repr__(self) -> str:
        priced = "" if self.cost is None else f", cost {money(self.cost)}"
        tokens = f"{self.prompt_tokens:,} + {self.completion_tokens:,} tokens"
        return f"Estimate({self.model!r}, {self.people:,} people: {self.calls:,} calls, {tokens}{priced})"

    def __str__(self) -> str:
        return "\n".join([*aligned(self._head, self._rows), self.basis])

    def _repr_html_(self) -> str:
        return render("usage.html.j2", head=self._head, rows=self._rows, remarks=[self.basis])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    @property
    def _head(self) -> tuple[str, ...]:
        people = f"{self.people:,} {'person' if self.people == 1 else 'people'}, {self.model}"
        return (people, *HEAD[1:], *(("cost",) if self.prices else ()))

    @property
    def _rows(self) -> list[tuple[str, ...]]:
        """The stages, their sum and its range, and what is among the replies."""
        rows = [(stage, *figures(count, self.prices)) for stage, count in self.paid.items()]
        rows += [("all", *figures(self.total, self.prices))] if len(self.paid) > 1 else []
        rows += [("at least", *figures(self.low, self.prices)), ("at most", *figures(self.high, self.prices))]
        free = (0.0, 0.0) if self.prices else None
        kept = [(stage, count) for stage, count in self.replayed.items() if count.calls]
        return [*rows, *((f"{stage}, among the replies", *figures(count, free)) for stage, count in kept)]


def estimate(
    bp: Blueprint | str,
    n: int | pd.DataFrame,
    *,
    seed: int | None = None,
    model: str | Model | None = None,
    prices: tuple[float, float] | None = None,
) -> Estimate:
    """Tell what writing people would use, before anything is sent.

    Parameters
    ----------
    bp : Blueprint or str
        What people are sampled from; or the sentence that it has yet to be inferred from, and then the part of the
        people is rough, because a typical blueprint stands in for the one that is not there.
    n : int or pandas.DataFrame
        How many people would be sampled and written; or a frame of people, of whom those count who lack a text.
    seed : int, optional
        The seed they would be sampled with: people who are among the replies already are found with the same one only.
    model : str or Model, optional
        Which model would write, see `personalab.generate`. Where none is named and no key says which, the model of
        the newest reply.
    prices : tuple of float, optional
        What a million prompt tokens and a million completion tokens cost, in any currency.

    Returns
    -------
    Estimate
        Calls and tokens by stage, with a range, and their cost if there are prices.

    Raises
    ------
    RequestError
        If an argument is not of the kind asked for, or the frame lacks a sampled field.
    BlueprintError
        If the blueprint has errors, or its constraints leave some row without any value.

    Examples
    --------
    >>> bp = Blueprint.load("data/blueprints/league-of-legends.json")
    >>> with replies.use("nothing-is-kept-here"):
    ...     estimate(bp, 100, seed=7, model="openai/gpt-5-mini", prices=(0.25, 2.0)).calls
    104
    """
    budget = Budget(prices=prices)
    connection = llm.connect(_assumed(model), budget)
    past = Past(connection)
    needs, there = {}, {}
    is_typical = False
    if isinstance(bp, str):
        check_request(bp, "off")
        kept = kept_blueprint(bp, connection) if past.answers else None
        needs["blueprint"] = Need() if kept else of_blueprint(bp, connection, past)
        bp, there["blueprint"] = kept or (repaired(wire(EXAMPLE)), Count())
        is_typical = kept is None
    frame = n if isinstance(n, pd.DataFrame) else sample(bp, n, seed=seed)
    roster, author = Roster(frame, bp), Author(bp, connection)
    need, there["personas"] = of_people(roster, author, past)
    needs["personas"] = need.about(ROUGH) if is_typical else need
    whole = sum(needs.values(), Need())
    paid = {stage: need.count("likely") for stage, need in needs.items()}
    basis = _basis(author, past, is_typical=is_typical) if whole.calls.likely else THERE
    return Estimate(
        connection.name,
        len(roster.bare),
        paid,
        there,
        whole.count("low"),
        whole.count("high"),
        basis,
        budget.prices,
    )


def _assumed(model: str | Model | None) -> str | Model:
    """The model that an estimate is for, found without asking this machine for one."""
    if model is not None:
        return model
    named = os.environ.get("PERSONALAB_MODEL")
    if named:
        return named
    newest = None if os.environ.get("OPENAI_API_KEY") else replies.current().by
    return newest or f"openai/{DEFAULT_OPENAI_MODEL}"


def _basis(author: Author, past: Past, *, is_typical: bool) -> str:
    """Say what an estimate rests on."""
    name, known = author.connection.name, len(past.forms.get(form_of(author), ()))
    if known:
        told = f"Reckoned from {_answers(known)} of {name} in this form."
    elif past.answers:
        told = f"Reckoned from {_answers(len(past.answers))} of {name} in other forms, so the range is wide."
    else:
        told = UNKNOWN.format(name=name)
    return f"{told} {TYPICAL}" if is_typical else told


def _answers(number: int) -> str:
    return f"{number:,} kept answer{'' if number == 1 else 's'}"
