"""Freezing: the replies of one run in one file, to be committed beside a notebook.

The folder of replies holds whatever was ever asked there, each request in full: right for resuming, too much for a
repository. A frozen file holds what one run used and nothing else. The request is left out, because its key stands
for it: whoever asks the same finds the reply. What stays besides is what a reader wants to see, which model it was
and the end of what it was asked, in the order of the people. Nothing in it depends on when or where it was written,
so a run that is repeated leaves the file as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personalab.blueprint.files import write_whole
from personalab.errors import RequestError
from personalab.llm.replies import current
from personalab.llm.segments import SUFFIX

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from personalab.llm.replies import Replies, Used


def freeze(path: str | os.PathLike[str]) -> Path:
    """Write the replies that this process has used into one file, to be committed beside a notebook.

    What was found and what was newly given, since the process began or since `use`; not what was forgotten as
    being of no use. The same run writes the same bytes. What is in the file replays with
    ``personalab.replies.use(path, mode="replay")``, with no key and no network.

    Parameters
    ----------
    path : path-like
        A file whose name ends in ``.jsonl``; one that is there is replaced.

    Returns
    -------
    pathlib.Path
        The file. Its first line says of which models and how many replies it holds; each other line holds a
        reply with its key, its model, and the beginning of what was asked last.

    Raises
    ------
    RequestError
        When the path has another ending, when no reply has been used, when it lies in the folder that replies
        are kept in or would lose replies that are kept in it, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import personalab as lab
    >>> from personalab.llm.replies import use
    >>> folder = Path(tempfile.mkdtemp())
    >>> with use(folder / "calls") as store:
    ...     store.put({"model": "m", "messages": [], "sample": 0}, {"content": "{}"}, by="openai/m")
    ...     path = lab.freeze(folder / "study.jsonl")
    >>> with use(path, mode="replay") as store:
    ...     print(store.note)
    1 reply of openai/m, used by one run
    """
    path, store = Path(path).expanduser().absolute(), current()
    used = store.used
    _check_place(path, store, used)
    ordered = sorted(used.items(), key=lambda item: (item[1].model, item[1].sample, item[0]))
    head = {"note": _note(used, store.origin), "origin": store.origin}
    lines = [head, *(_frozen(name, one) for name, one in ordered)]
    return write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _check_place(path: Path, store: Replies, used: Mapping[str, Used]) -> None:
    """Refuse to freeze nothing, and to freeze into a place where it would do harm."""
    if path.suffix != SUFFIX:
        raise RequestError(f"{str(path)!r} is no name for a file of replies", hint=f"let it end in {SUFFIX}")
    if not used:
        raise RequestError(
            f"no reply in {store!r} has been used by this process, so there is nothing to freeze",
            hint="run what is to be repeated first: what is among the replies already is not paid for again"
            " (of an object as the model, replies are kept only if it has a `name`)",
        )
    if path.parent.resolve() == store.path.resolve():
        raise RequestError(f"{str(path)!r} lies among the replies themselves", hint="name a file in another folder")
    rest = store.keys() - set(used)
    if path.resolve() == store.path.resolve() and rest:
        raise RequestError(
            f"{str(path)!r} is where the replies are kept, and {len(rest)} of them, which this process has not used,"
            " would be lost",
            hint="freeze into another file",
        )


def _note(used: Mapping[str, Used], origin: str | None) -> str:
    models = ", ".join(sorted({one.kept.by or one.model for one in used.values()}))
    told = f"{len(used)} {'reply' if len(used) == 1 else 'replies'} of {models}, used by one run"
    return told if origin is None else f"{told}. Where they come from: {origin}"


def _frozen(name: str, one: Used) -> dict[str, Any]:
    """A line without the request in full: the key stands for it, and the question tells a reader what it was."""
    told = {"key": name, "by": one.kept.by, "model": one.model, "sample": one.sample, "asked": one.asked}
    return {**told, "reply": json.loads(one.kept.text)}
