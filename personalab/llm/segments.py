"""Segments: the files of a store of replies, read again as they grow.

A store is a folder of JSON-lines files, one per writing process, or one such file. Processes only ever append
whole lines, so reading is a matter of remembering how far each file was read: what somebody else has written
since is found by looking at sizes and reading the new ends. Nothing is locked, because locks are what fails on
network drives. A line that cannot be read (its process was killed, a disk was full) is counted and passed over;
the unfinished end of a file is looked at again once it has grown.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from personalab.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".jsonl"


class Kept(NamedTuple):
    """A reply as JSON text, and the name of the model that gave it."""

    text: str
    by: str | None


class Content:
    """What the files of a store hold: the newest reply of each key.

    Parameters
    ----------
    path : pathlib.Path
        The folder or file.

    Attributes
    ----------
    replies : dict
        Key → `Kept`.
    note, origin : str or None
        What a file's first line says about it; and, of a frozen file, what the file before it said.
    by : str or None
        Who gave the newest reply.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies: dict[str, Kept] = {}
        self.note: str | None = None
        self.origin: str | None = None
        self.by: str | None = None
        self._read: dict[Path, tuple[int, int, int]] = {}  # which file it was (inode), its size, how far it was read
        self._damaged = 0
        self._unfinished: set[Path] = set()
        self.refresh()

    @property
    def unread(self) -> int:
        """How many lines could not be read.

        Returns
        -------
        int
            Unfinished ends included.
        """
        return self._damaged + len(self._unfinished)

    def refresh(self) -> None:
        """Read what has been added to the files since they were last read.

        Raises
        ------
        RequestError
            When a file is there but cannot be read.
        """
        for file in _files(self.path):
            try:
                self._follow(file)
            except FileNotFoundError:  # removed meanwhile
                continue
            except OSError as error:
                raise _unreadable(file, error) from error

    def _follow(self, file: Path) -> None:
        found = os.stat(file)
        inode, size, offset = self._read.get(file, (found.st_ino, 0, 0))
        if inode != found.st_ino or found.st_size < offset:  # another file has taken its place
            size, offset = 0, 0
        if found.st_size != size:
            self._read[file] = (found.st_ino, found.st_size, self._read_on(file, offset))

    def _read_on(self, file: Path, offset: int) -> int:
        """Take the lines from an offset on; return where the next one will begin."""
        self._unfinished.discard(file)
        with file.open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                if line.strip() and not self._take(line):
                    if not line.endswith(b"\n"):
                        self._unfinished.add(file)
                        break
                    self._damaged += 1
                offset += len(line)
        return offset

    def _take(self, line: bytes) -> bool:
        try:
            entry = json.loads(line)
            if "note" in entry:
                self.note = str(entry["note"])
                self.origin = _text(entry.get("origin", self.note))
            elif entry.get("forgotten"):
                self.replies.pop(entry["key"], None)
            else:
                by = _text(entry.get("by"))
                self.replies[entry["key"]] = Kept(_object(entry["reply"]), by)
                self.by = by or self.by
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False  # the line a killed process was writing, or no line of ours
        return True


def entries(path: Path, model: str) -> Iterator[dict[str, Any]]:
    """Read the lines of a model once more, with all that they tell.

    Parameters
    ----------
    path : pathlib.Path
        The folder or file.
    model : str
        What its replies are kept under.

    Yields
    ------
    dict
        A line's entry, oldest first; what cannot be read is left out.
    """
    named = json.dumps(model, ensure_ascii=False).encode()  # most lines need not be parsed to be passed over
    for file in filter(Path.exists, _files(path)):
        with file.open("rb") as stream:
            for line in filter(lambda line: named in line, stream):
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict) and entry.get("model") == model:
                    yield entry


def append(file: Path, data: bytes) -> None:
    """Add bytes to a file with one system call, after closing a line that a killed process left open.

    Parameters
    ----------
    file : pathlib.Path
        Made, with its folder, if it is not there.
    data : bytes
        Whole lines; none to find out whether the place can be written.

    Raises
    ------
    OSError
        When it cannot be written, or not in full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab+", buffering=0) as stream:
        whole = (b"\n" if _is_torn(stream) else b"") + data
        if stream.write(whole) != len(whole):
            raise OSError(0, "no room is left for a whole line")


def _files(path: Path) -> list[Path]:
    """The files of a store, oldest first: their names begin with when they were begun."""
    if path.suffix == SUFFIX:
        return [path]
    try:
        return [path / name for name in sorted(os.listdir(path)) if name.endswith(SUFFIX) and name[0] != "."]
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_file():
            raise _unreadable(path, error) from error
        return []  # nothing has been kept yet
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RequestError:
    why = "it is a folder, and its name is that of a file" if isinstance(error, IsADirectoryError) else error.strerror
    return RequestError(
        f"replies cannot be read from {str(path)!r}: {why}",
        hint=f"choose a folder, or a file whose name ends in {SUFFIX}, with PERSONALAB_REPLIES=path or"
        " personalab.replies.use(path); or move what is in the way",
    )


def _is_torn(stream: Any) -> bool:
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        return False
    stream.seek(size - 1)
    return bool(stream.read(1) != b"\n")


def _object(reply: Any) -> str:
    if not isinstance(reply, dict):
        raise TypeError("a reply is an object")
    return json.dumps(reply, ensure_ascii=False)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
