"""Segments: the files of a store of replies, read again as they grow.

A store is a folder of JSON-lines files, one per writing process, or one such file. Processes only ever append
whole lines, so reading is a matter of remembering how far each file was read: what somebody else has written
since is found by looking at sizes and reading the new ends. Nothing is locked, because locks are what fails on
network drives. A line that cannot be read (its process was killed, a disk was full) is counted and passed over;
the unfinished end of a file is looked at again once it has grown.

A store may come from somebody else, so that only plain files of it are opened: a link may lead to any file of the
reader's, and a pipe is waited for without end.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from personalab.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".jsonl"
LONGEST = 2**24  # bytes of a line, or of a file that is read at once; a request with pages to look into takes a tenth
PLAIN = "put the file itself there, or move away what is there"
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def oddity(path: Path, *, follow: bool = False) -> str | None:
    """Say what something is that is no plain file; nothing is opened for it.

    Parameters
    ----------
    path : pathlib.Path
        What may be there.
    follow : bool
        Whether a link counts as what it leads to.

    Returns
    -------
    str or None
        Such as ``"a pipe"``; None for a plain file, and where there is nothing.

    Raises
    ------
    OSError
        When nobody can look there.
    """
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
    except FileNotFoundError:
        return None
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def check_plain(path: Path) -> None:
    """Refuse what stands in a file's place and is none.

    Parameters
    ----------
    path : pathlib.Path
        A file of a store, which need not be there.

    Raises
    ------
    RequestError
        When it is a link, a folder, a pipe or a device.
    """
    with suppress(OSError):  # where nobody can look, nobody can read or write either, and is told then
        if what := oddity(path):
            raise RequestError(f"{str(path)!r} is {what}, where a file belongs", hint=PLAIN)


def read_plain(path: Path, most: int = LONGEST) -> bytes:
    """Read a small file of a store, without a byte order mark.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    most : int
        How many bytes it may have.

    Returns
    -------
    bytes
        What it holds.

    Raises
    ------
    RequestError
        When it is no plain file, or larger than any that personalab writes.
    OSError
        When it cannot be read.
    """
    check_plain(path)
    with path.open("rb") as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise RequestError(f"{str(path)!r} is larger than the {most:,} bytes that are read", hint=PLAIN)
    return text.removeprefix(b"\xef\xbb\xbf")


def read_lines(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Read lines of JSON.

    Parameters
    ----------
    stream : file
        Where to read on.

    Yields
    ------
    tuple of bytes and int
        A line, and how many bytes it takes. One that is longer than any of ours comes as a question mark and its end,
        which is no JSON.
    """
    while line := stream.readline(LONGEST):
        size, end = len(line), line
        while len(end) == LONGEST and not end.endswith(b"\n"):
            end = stream.readline(LONGEST)
            size += len(end)
        yield (line if size == len(line) else b"?" + end[-1:]), size


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
                raise _unreadable(file, error.strerror) from error

    def _follow(self, file: Path) -> None:
        found = os.lstat(file)
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
            for line, size in read_lines(stream):
                if line.strip() and not self._take(line):
                    if not line.endswith(b"\n"):
                        self._unfinished.add(file)
                        break
                    self._damaged += 1
                offset += size
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
            for line in (line for line, _ in read_lines(stream) if named in line):
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
    RequestError
        When something else stands in its place, such as a link.
    OSError
        When it cannot be written, or not in full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    check_plain(file)
    with file.open("ab+", buffering=0) as stream:
        whole = (b"\n" if _is_torn(stream) else b"") + data
        if stream.write(whole) != len(whole):
            raise OSError(0, "no room is left for a whole line")


def _files(path: Path) -> list[Path]:
    """The files of a store, oldest first: their names begin with when they were begun."""
    try:
        files = [path] if path.suffix == SUFFIX else sorted(path / name for name in os.listdir(path) if _is_ours(name))
        odd = next(((file, what) for file in files if (what := oddity(file))), None)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_file() or path.suffix == SUFFIX:
            raise _unreadable(path, error.strerror) from error
        return []  # nothing has been kept yet
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    if odd:
        raise _unreadable(odd[0], f"it is {odd[1]}, where a file belongs")
    return files


def _is_ours(name: str) -> bool:
    return name.endswith(SUFFIX) and name[0] != "."


def _unreadable(path: Path, why: str | None) -> RequestError:
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
    """A reply as text, once its entries are what a server's are."""
    texts = [reply.get(name) for name in ("content", "finish_reason", "refusal")]
    if not (isinstance(reply, dict) and all(text is None or isinstance(text, str) for text in texts)):
        raise TypeError("no reply")
    return json.dumps(reply, ensure_ascii=False)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
