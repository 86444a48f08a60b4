"""Autosave: the blueprint in a file, written soon after each edit and once for a burst of them.

The file is the form's as long as nobody else writes to it. What another form or an editor of text has put there since
is not overwritten unasked: it may be somebody's afternoon.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from personalab.blueprint.model import Blueprint
from personalab.editor.background import Home
from personalab.errors import RequestError

SAVING = 0.3  # seconds after an edit at which it is written


class Autosave:
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
        self._text = _text(file)
        self._is_behind = False
        self._by_hand: tuple[str, Blueprint | None] = ("", None)
        self._is_waiting = False

    def where(self, bp: Blueprint | None) -> str:
        """The file in which a blueprint is safe, or an empty text."""
        if self.file is not None and not self._is_behind:
            return str(self.file)
        place, saved = self._by_hand
        return place if saved is bp else ""

    def save(self, bp: Blueprint, path: Path) -> None:
        """Write to a place named by hand, whatever stands there."""
        self._by_hand = (str(bp.save(path)), bp)
        self.saw(bp, path)

    def saw(self, bp: Blueprint, path: Path) -> None:
        """Note that a blueprint is what stands in a file."""
        if self.file is not None and path.resolve() == self.file.resolve():
            self._kept, self._text, self._is_behind = bp, _text(path), False

    def soon(self, bp: Blueprint | None, then: Callable[[], object]) -> None:
        """See to it that `then`, which shall call `now`, is called once what has changed has rested a little."""
        if self.file is not None and not self._is_waiting and bp is not self._kept:
            self._is_waiting = True
            Home().later(SAVING, then)

    def now(self, bp: Blueprint | None) -> None:
        """Write to the file, if that does not hold the blueprint already; RequestError where it cannot be written."""
        self._is_waiting = False
        if self.file is None or bp is None or bp is self._kept:
            return
        self._is_behind = True
        if _text(self.file) not in (None, self._text):
            message = f"{str(self.file)!r} was written to by somebody else and is left as it is"
            raise RequestError(message, hint="open it to go on from there, or save to replace it")
        self.saw(bp, bp.save(self.file))


def _text(file: Path | None) -> bytes | None:
    """What stands in a file; None where there is none to be read."""
    try:
        return file.read_bytes() if file is not None else None
    except OSError:
        return None
