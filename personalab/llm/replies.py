"""Every reply a model gave, kept under the hash of what it was asked.

A study should be paid for once and re-run by anyone. So each request, in canonical JSON, is hashed, and the
reply is kept under that hash: asking the same thing again finds the reply instead of a server. What is
hashed is what decides the answer (model, messages, schema, sampling parameters, and a number ``sample``
that tells apart two draws of the same request); who asked, where and with which key is neither hashed nor
kept.

The store is a folder of JSON-lines files, one per writing process, only ever appended to: nothing is lost
when a process is killed but the line it was writing, several processes write side by side, also on network
drives, and the files read well in a diff (`personalab.llm.segments` reads them). Three modes: ``auto`` reads what
is there and asks for the rest, ``live`` asks for everything anew, and ``replay`` asks for nothing, so that
what is missing is an error.

A folder holds whatever was ever asked; what one run used of it can be frozen into one ``.jsonl`` file and
committed beside a notebook (`personalab.freeze`), which then runs with no key.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from personalab.errors import ProviderError, RequestError
from personalab.llm.segments import SUFFIX, Content, Kept, append, entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Mode = Literal["auto", "live", "replay"]
MODES: tuple[Mode, ...] = get_args(Mode)
DEFAULT_PATH = "./.personalab/calls"
LONGEST_ASKED = 400  # characters of a question that are remembered: the facts of one person fit

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


class Used(NamedTuple):
    """A reply that was used, and what it answered: which model, which draw, the end of the conversation."""

    kept: Kept
    model: str
    sample: int
    asked: str


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
        self._lock = threading.RLock()
        self._used: dict[str, Used] = {}

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

    @property
    def origin(self) -> str | None:
        """What was said about the replies before they were frozen.

        Returns
        -------
        str or None
            The note of the first file they were in.
        """
        return self._content.origin

    @property
    def used(self) -> dict[str, Used]:
        """The replies that were found or given since the store was opened, without those forgotten.

        Returns
        -------
        dict
            Key → `Used`.
        """
        with self._lock:
            return dict(self._used)

    def keys(self) -> set[str]:
        """All that there is a reply to.

        Returns
        -------
        set of str
            Keys.
        """
        with self._lock:
            return set(self._content.replies)

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
        if self.mode == "live":
            return None
        name = key(request)
        with self._lock:
            if name not in self._content.replies:
                self._content.refresh()  # another process may have been answered meanwhile
            kept = self._content.replies.get(name)
            if kept is None and self.mode == "replay":
                raise self._miss(request)
            if kept is None:
                return None
            self._used[name] = _used(kept, request)
        return dict(json.loads(kept.text))

    def peek(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """Look whether there is a reply to a request, without using it; a miss is no error in any mode.

        Parameters
        ----------
        request : mapping
            What is to be asked.

        Returns
        -------
        dict or None
            The reply; None where there is none, and in ``live``.
        """
        kept = None if self.mode == "live" else self._content.replies.get(key(request))
        return None if kept is None else dict(json.loads(kept.text))

    def beside(self, name: str) -> Path:
        """Where to keep what belongs to these replies but is none.

        Parameters
        ----------
        name : str
            A folder's name.

        Returns
        -------
        pathlib.Path
            A folder beside theirs; where they are one file, which somebody may commit, in ``./.personalab``.
        """
        return (Path(DEFAULT_PATH).absolute() if self.path.suffix == SUFFIX else self.path).parent / name

    def reading(self) -> Replies:
        """The same replies, only read.

        Returns
        -------
        Replies
            A store in the mode ``replay`` that shares what this one holds.
        """
        store = Replies(self.path, "replay")
        store._content, store._lock = self._content, self._lock
        return store

    def given(self, model: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Read all that a model was ever asked and said, forgotten answers included, where a file tells both.

        Parameters
        ----------
        model : str
            What its replies are kept under.

        Yields
        ------
        tuple of dict
            A request and its reply, as written in the files, oldest first.
        """
        for entry in entries(self.path, model):
            if isinstance(entry.get("request"), dict) and isinstance(entry.get("reply"), dict):
                yield entry["request"], entry["reply"]

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
        with self._lock:
            self._append({**line, "request": canonical(request), "reply": reply})
            self._content.replies[name] = Kept(text, by)
            self._content.by = by or self._content.by
            self._used[name] = _used(Kept(text, by), request)

    def forget(self, request: Mapping[str, Any]) -> None:
        """Take the reply to a request for not given, so that it is asked for again; what is written stays written.

        Parameters
        ----------
        request : mapping
            What was asked.
        """
        name = key(request)
        with self._lock:
            self._used.pop(name, None)
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
    def _content(self) -> Content:
        return Content(self.path)

    @cached_property
    def _prepared(self) -> set[int]:
        return set()

    @cached_property
    def _segments(self) -> dict[int, Path]:
        return {}

    def _segment(self) -> Path:
        """Name this process's own file; a forked child is another process."""
        if self.path.suffix == SUFFIX:
            return self.path
        fresh = f"{_now('%Y%m%dT%H%M%S%f')}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        return self._segments.setdefault(os.getpid(), self.path / fresh)

    def _append(self, line: Mapping[str, Any]) -> None:
        self._write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        segment = self._segment()
        try:
            append(segment, data)
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


def _used(kept: Kept, request: Mapping[str, Any]) -> Used:
    messages = request.get("messages") or [{}]
    asked = str(messages[-1].get("content", ""))[:LONGEST_ASKED]
    return Used(kept, str(request.get("model")), int(request.get("sample") or 0), asked)


def _unlinked(value: Any) -> Any:
    if isinstance(value, str):
        return _PYDANTIC_LINK.sub("", value)
    if isinstance(value, dict):
        return {name: _unlinked(part) for name, part in value.items()}
    return [_unlinked(part) for part in value] if isinstance(value, list | tuple) else value


def _now(form: str | None = None, **options: Any) -> str:
    now = datetime.now(UTC)
    return now.strftime(form) if form else now.isoformat(**options)
