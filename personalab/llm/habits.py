"""Habits: in which manner a server takes requests, as far as it has been found out.

No server says which rung of the ladder of forms (`personalab.llm.forms`) it stands on, so it is learnt from what it
refuses and from what it answers. A manner is *proven* when an answer in it had the right form. What is found out about
one schema holds for all that have not been tried, until one is proven: what a server says later about another schema
is about that one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from personalab.llm.forms import RUNGS, Manner, lower, plainer

if TYPE_CHECKING:
    from collections.abc import Hashable

UNHEEDED = 2  # answers in a row without the right form before a server is asked otherwise
VAIN = 2  # requests that were refused in every manner before others are spared the way


class Habits:
    """In which manner one server takes requests."""

    def __init__(self) -> None:
        self._general = Manner()
        self._own: dict[Hashable, Manner] = {}
        self._proven: set[Hashable] = set()
        self._unheeded = 0
        self._vain = 0

    def manner(self, schema: Hashable) -> Manner:
        """Say how to ask.

        Parameters
        ----------
        schema : hashable
            Tells a schema from others.

        Returns
        -------
        Manner
            The surest that may work.
        """
        return self._own.get(schema, self._general)

    def lower(self, manner: Manner, schema: Hashable) -> Manner | None:
        """Say how to ask after a refusal that gives no reason.

        Parameters
        ----------
        manner : Manner
            What was refused.
        schema : hashable
            As above.

        Returns
        -------
        Manner or None
            None when asking otherwise would not help: it has worked before, or going through all of them never did.
        """
        is_hopeless = schema in self._proven or self._vain >= VAIN
        return None if is_hopeless else lower(manner)

    def fail(self) -> None:
        """Take note that a request was refused in every manner."""
        self._vain += 1

    def retreat(self, schema: Hashable) -> None:
        """Take note that the server broke down over a request; how it was asked may be why, unless it has worked.

        Parameters
        ----------
        schema : hashable
            As above.
        """
        if not self._proven:
            self._own.pop(schema, None)
            self._general = Manner(left_out=self._general.left_out)

    def learn(self, manner: Manner, schema: Hashable, is_heeded: bool | None) -> None:
        """Take note of an answer.

        Parameters
        ----------
        manner : Manner
            How the server was asked.
        schema : hashable
            As above.
        is_heeded : bool or None
            Whether the answer had the right form; None when one cannot tell.
        """
        current = self.manner(schema)
        if RUNGS.index(manner.rung) < RUNGS.index(current.rung):
            return  # an answer from before the server was asked otherwise
        if lower(manner) is None and lower(current) is not None and not current.left_out >= manner.left_out:
            manner = replace(manner, rung=current.rung)  # it was an option, and not the form
        if is_heeded:
            self._proven.add(schema)
        elif is_heeded is False and not self._proven:
            self._unheeded += 1
            if self._unheeded >= UNHEEDED:
                self._unheeded, manner = 0, plainer(manner)
        self._own[schema] = manner
        if self._proven <= {schema}:
            self._general = manner
