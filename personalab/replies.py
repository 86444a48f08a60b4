"""Every reply a model gave, kept under the hash of what it was asked.

A study should be paid for once and re-run by anyone. So each request, in canonical JSON, is hashed, and the
reply is kept under that hash: asking the same thing again finds the reply instead of a server. What is
hashed is what decides the answer (model, messages, schema, sampling parameters, and a number ``sample``
that tells apart two draws of the same request); who asked, where and with which key is neither hashed nor
kept.

The store is a folder of JSON-lines files, one per writing process, only ever appended to: nothing is lost
when a process is killed but the line it was writing, several processes write side by side, also on network
drives, and the files read well in a diff. A single ``.jsonl`` file can be committed beside a notebook,
which then runs with no key. Three modes: ``auto`` reads what is there and asks for the rest, ``live`` asks
for everything anew, and ``replay`` asks for nothing, so that what is missing is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from personalab.errors import ProviderError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Mode = Literal["auto", "live", "replay"]
MODES: tuple[Mode, ...] = get_args(Mode)
DEFAULT_PATH = "./.personalab/calls"

# pydantic's messages, which a re-ask repeats to the model, end in a link that names pydantic's version
_PYDANTIC_LINK = re.compile(r"https://errors\.pydantic\.dev/\S*")

_current: Replies | None = None


def canonical(request: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a request to what decides its answer.

    Parameters
    ----------
    request : mapping
        Anything that JSON can hold.

    Returns
    -------
    dict
        The request without the entries that are None, and its texts without pydantic's versioned links.

    Examples
    --------
    >>> canonical({"model": "m", "temperature": None, "sample": 0})
    {'model': 'm', 'sample': 0}
    """
    return {name: _unlinked(value) for name, value in request.items() if value is not None}


def key(request: Mapping[str, Any]) -> str:
    """Hash a request.

    Parameters
    ----------
    request : mapping
        Anything that JSON can hold; the order of its entries does not matter.

    Returns
    -------
    str
        The SHA-256 of its canonical JSON, in hexadecimal.

    Examples
    --------
    >>> key({"model": "m", "sample": 0}) == key({"sample": 0, "model": "m"})
    True
    """
    text = json.dumps(canonical(request), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Replies:
    """A store of replies, in a folder or in one file.

    Parameters
    ----------
    path : str or Path
        A folder, made when the first reply is kept, or one file whose name ends in ``.jsonl``.
    mode : {"auto", "live", "replay"}
        ``auto`` reads and writes, ``live`` only writes, ``replay`` only reads.

    Attributes
    ----------
    path : Path
        Where the replies are.
    mode : str
        The mode.
    """

    def __init__(self, path: str | Path = DEFAULT_PATH, mode: Mode = "auto") -> None:
        if mode not in MODES:
            raise RequestError(f"there is no mode {mode!r} of replies", hint=f"use one of {', '.join(MODES)}")
        self.path = Path(path).expanduser().absolute()
        self.mode: Mode = mode
        self._before: Replies | None = None

    @property
    def note(self) -> str | None:
        """What the first line of the file says about it.

        Returns
        -------
        str or None
            Such as "written by hand".
        """
        return self._content.note

    @property
    def by(self) -> str | None:
        """Who gave the newest reply.

        Returns
        -------
        str or None
            A model's name, such as ``"openai/gpt-5-mini"``.
        """
        return self._content.by

    def get(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Find the reply to a request.

        Parameters
        ----------
        request : mapping
            What is to be asked.

        Returns
        -------
        dict or None
            The reply; None when it has to be asked for.

        Raises
        ------
        ProviderError
            In ``replay``, when there is no such reply (category ``replay_miss``).
        """
        found = self.peek(request)
        if found is None and self.mode == "replay":
            raise self._miss(request)
        return found

    def peek(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Look whether there is a reply to a request; as `get`, but a miss is never an error.

        Parameters
        ----------
        request : mapping
            What is to be asked.

        Returns
        -------
        dict or None
            The reply; None where there is none, and in ``live``.
        """
        text = None if self.mode == "live" else self._content.replies.get(key(request))
        return None if text is None else dict(json.loads(text))

    def reading(self) -> Replies:
        """The same replies, only read.

        Returns
        -------
        Replies
            A store in the mode ``replay`` that shares what this one holds.
        """
        store = Replies(self.path, "replay")
        store._content = self._content
        return store

    def given(self, model: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Read all that a model was ever asked and said, forgotten answers included.

        Parameters
        ----------
        model : str
            What its replies are kept under.

        Yields
        ------
        tuple of dict
            A request and its reply, as written in the files, oldest first.
        """
        named = json.dumps(model, ensure_ascii=False).encode()
        for line in filter(lambda line: named in line, _lines(self.path)):
            try:
                entry = json.loads(line)
                if entry.get("model") == model and "reply" in entry:
                    yield dict(entry["request"]), dict(entry["reply"])
            except (ValueError, KeyError, TypeError, AttributeError):  # torn, or not written by us
                continue

    def put(self, request: Mapping[str, Any], reply: Mapping[str, Any], *, by: str | None = None) -> None:
        """Keep the reply to a request.

        Parameters
        ----------
        request : mapping
            What was asked. It is written out, so it must hold no secret.
        reply : mapping
            What came back.
        by : str, optional
            The name the model goes by, such as ``"openai/gpt-5-mini"``.

        Raises
        ------
        RequestError
            When the store is a replay, or its place cannot be written.
        """
        if self.mode == "replay":
            raise RequestError(f"{self!r} is only read", hint='open it in mode "auto" to add to it')
        name, text = key(request), json.dumps(reply, ensure_ascii=False)
        line = {"key": name, "by": by, "model": request.get("model"), "created": _now(timespec="seconds")}
        self._append({**line, "request": canonical(request), "reply": reply})
        self._content.replies[name] = text
        self._content.by = by or self._content.by

    def forget(self, request: Mapping[str, Any]) -> None:
        """Take the reply to a request for not given, so that it is asked for again; what is written stays written.

        Parameters
        ----------
        request : mapping
            What was asked.
        """
        name = key(request)
        if self.mode != "replay" and self._content.replies.pop(name, None) is not None:
            self._append({"key": name, "forgotten": True})

    def prepare(self) -> None:
        """Make sure that a reply can be kept, before one is paid for.

        Raises
        ------
        RequestError
            When the place cannot be written.
        """
        if self.mode != "replay" and os.getpid() not in self._prepared:
            self._write(b"")
            self._prepared.add(os.getpid())

    def __len__(self) -> int:
        return len(self._content.replies)

    def __bool__(self) -> bool:
        return True  # an empty store is a store

    def __repr__(self) -> str:
        return f"Replies({str(self.path)!r}, mode={self.mode!r})"

    def __enter__(self) -> Replies:
        return self

    def __exit__(self, *exception: object) -> None:
        global _current
        _current = self._before

    @cached_property
    def _content(self) -> _Content:
        return _Content(self.path)

    @cached_property
    def _prepared(self) -> set[int]:
        return set()

    @cached_property
    def _segments(self) -> dict[int, Path]:
        return {}

    def _segment(self) -> Path:
        """Name this process's own file; a forked child is another process."""
        if self.path.suffix == ".jsonl":
            return self.path
        fresh = f"{_now('%Y%m%dT%H%M%S%f')}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        return self._segments.setdefault(os.getpid(), self.path / fresh)

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write one line with one system call, after closing a line that a killed process left open."""
        self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        segment = self._segment()
        try:
            segment.parent.mkdir(parents=True, exist_ok=True)
            with segment.open("ab+", buffering=0) as file:
                file.write((b"\n" if _is_torn(file) else b"") + data)
        except OSError as error:
            message = f"replies cannot be kept in {str(segment)!r}: {error.strerror}"
            hint = "choose another place with PERSONALAB_REPLIES=path or personalab.replies.use(path)"
            raise RequestError(message, hint=hint) from error

    def _miss(self, request: Mapping[str, Any]) -> ProviderError:
        torn = f"; {self._content.unread} of its lines could not be read" if self._content.unread else ""
        return ProviderError(
            f"no reply of {request.get('model')!r} to this request is kept in {str(self.path)!r}, which holds"
            f" {len(self)} replies{torn}, and replay asks no model",
            category="replay_miss",
            hint='record it in mode "auto" with a model, or ask exactly what was recorded',
        )


class _Content:
    """What the files of a store hold: the newest reply of each key, as JSON text."""

    def __init__(self, path: Path) -> None:
        self.replies: dict[str, str] = {}
        self.note: str | None = None
        self.by: str | None = None
        self.unread = 0
        for line in _lines(path):
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            if "note" in entry:
                self.note = str(entry["note"])
                return
            if entry.get("forgotten"):
                self.replies.pop(entry["key"], None)
                return
            self.replies[entry["key"]] = json.dumps(entry["reply"], ensure_ascii=False)
            self.by = entry.get("by") or self.by
        except (ValueError, KeyError, TypeError):  # the line a killed process was writing
            self.unread += 1


def use(path: str | Path = DEFAULT_PATH, mode: Mode = "auto") -> Replies:
    """Choose where the process keeps and finds replies.

    Parameters
    ----------
    path : str or Path
        A folder, or one ``.jsonl`` file.
    mode : {"auto", "live", "replay"}
        Read and write, only write, or only read.

    Returns
    -------
    Replies
        The store. In a ``with`` statement, the store before it comes back at the end.

    Examples
    --------
    >>> with use("study.jsonl", mode="replay") as store:
    ...     current() is store
    True
    """
    global _current
    store = Replies(path, mode)
    store._before, _current = _current, store
    return store


def current() -> Replies:
    """Return the store in use.

    Returns
    -------
    Replies
        What `use` chose; before that, ``PERSONALAB_REPLIES`` (a path) in the mode ``PERSONALAB_MODE``.
    """
    if _current is not None:
        return _current
    path = os.environ.get("PERSONALAB_REPLIES") or DEFAULT_PATH
    return _initial(Path(path).expanduser().absolute(), os.environ.get("PERSONALAB_MODE") or "auto")


@lru_cache(maxsize=1)
def _initial(path: Path, mode: str) -> Replies:
    return Replies(path, mode)  # type: ignore[arg-type]  # the environment's word is checked there


def _lines(path: Path) -> Iterator[bytes]:
    files = [path] if path.suffix == ".jsonl" else sorted(path.glob("*.jsonl"))
    for file in files:
        if file.exists():
            with file.open("rb") as stream:
                yield from filter(bytes.strip, stream)


def _is_torn(file: Any) -> bool:
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return False
    file.seek(size - 1)
    return bool(file.read(1) != b"\n")


def _unlinked(value: Any) -> Any:
    if isinstance(value, str):
        return _PYDANTIC_LINK.sub("", value)
    if isinstance(value, dict):
        return {name: _unlinked(part) for name, part in value.items()}
    return [_unlinked(part) for part in value] if isinstance(value, list | tuple) else value


def _now(form: str | None = None, **options: Any) -> str:
    now = datetime.now(UTC)
    return now.strftime(form) if form else now.isoformat(**options)
