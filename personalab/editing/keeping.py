"""Keeping: the blueprint in a file, written soon after each edit and once for a burst of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from personalab.blueprint import Blueprint
from personalab.editing.work import Home

SAVING = 0.3  # seconds after an edit at which it is written


class Keeper:
    """A file, and what stands in it.

    Parameters
    ----------
    file : Path or None
        Where the blueprint is kept by itself; None where that was not asked for.
    kept : Blueprint or None
        What stands there already, or need not stand there because the form opens with it.
    """

    def __init__(self, file: Path | None, kept: Blueprint | None) -> None:
        self.file = file
        self._kept = kept
        self._by_hand: tuple[str, Blueprint | None] = ("", None)
        self._is_waiting = False

    def where(self, bp: Blueprint | None) -> str:
        """The file in which a blueprint is safe, or an empty text."""
        if self.file is not None:
            return str(self.file)
        place, saved = self._by_hand
        return place if saved is bp else ""

    def save(self, bp: Blueprint, path: Path) -> None:
        """Write to a place named by hand."""
        self._by_hand = (str(bp.save(path)), bp)

    def soon(self, bp: Blueprint | None, then: Callable[[], object]) -> None:
        """See to it that `then`, which shall call `now`, is called once what has changed has rested a little."""
        if self.file is not None and not self._is_waiting and bp is not self._kept:
            self._is_waiting = True
            Home().later(SAVING, then)

    def now(self, bp: Blueprint | None) -> None:
        """Write to the file, if that does not hold the blueprint already."""
        self._is_waiting = False
        if self.file is not None and bp is not None and bp is not self._kept:
            bp.save(self.file)
            self._kept = bp
