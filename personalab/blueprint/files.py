"""Files: text that is read and written whole, and plain data as JSON or YAML.

A file may come from anybody. What is no ordinary file, a pipe or a folder, is refused before anything waits for it; so
is more text than a person writes, and YAML in which an alias lets a few words stand for billions. YAML is read by the
core schema of YAML 1.2, in which ``NO`` and ``12:30`` are words, and written so that readers of YAML 1.1 see the same.
"""

from __future__ import annotations

import json
import os
import re
import stat
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from personalab.errors import BlueprintError, RequestError

MOST_BYTES = {"json": 5_000_000, "yaml": 500_000}  # of a file; libyaml reads a twentieth of what JSON's reader does
DEEPEST = 32  # levels of lists and mappings; a blueprint has seven

# What a word without quotes is, in the core schema (https://yaml.org/spec/1.2.2/#1032-tag-resolution).
CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
TAG = "tag:yaml.org,2002:"


def read_text(path: str | os.PathLike[str], *, most: int | None = None) -> str:
    """Read an ordinary file as text, with or without a byte order mark.

    Parameters
    ----------
    path : path-like
        The file, or a link to it.
    most : int, optional
        How many bytes it may have.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    RequestError
        If there is no such file, it is none (a folder, a pipe, a device), or it is larger.
    ValueError
        If its bytes are not UTF-8.
    """
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would be waited for.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise RequestError(f"{str(path)!r} is a pipe or a device", hint="name an ordinary file")
            if most is not None and about.st_size > most:
                size = f"{about.st_size / 1e6:.1f} MB, and {most / 1e6:g} MB is the most that is read"
                raise RequestError(
                    f"{str(path)!r} has {size}", hint="name a smaller file; JSON may be larger than YAML"
                )
            return file.read().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, RequestError | UnicodeDecodeError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{str(path)!r} cannot be read: {reason}", hint="check the path") from error


def write_whole(path: Path, text: str) -> Path:
    """Write `text` to `path` so that a reader sees the old file or the new one, never half of it.

    A link stays a link to the file that is replaced, and a file keeps its mode.
    """
    try:
        place = Path(os.path.realpath(path)) if path.is_symlink() else path
        if place.is_symlink():
            raise OSError(0, "it is a link that leads to itself")
        place.parent.mkdir(parents=True, exist_ok=True)
        mode = place.stat().st_mode if place.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            raise OSError(0, "it is no ordinary file")
        partial = place.with_name(f".{uuid.uuid4().hex}.partial")
        try:
            with partial.open("x", encoding="utf-8") as file:
                if mode is not None:
                    partial.chmod(stat.S_IMODE(mode))  # before there is anything to read
                file.write(text)
            partial.replace(place)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # a ValueError of characters that no path, or no UTF-8, has
        reason = getattr(error, "strerror", None) or str(error)
        message = f"{str(path)!r} cannot be written: {reason}"
        raise RequestError(message, hint="name a place that can be made and written to") from error
    return path


def format_of(path: Path) -> str:
    """The format that a file's ending names, ``json`` or ``yaml``; RequestError for any other."""
    known = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
    if path.suffix.lower() not in known:
        raise RequestError(f"{path.name!r} is neither JSON nor YAML by its ending", hint="name it .json, .yaml or .yml")
    return known[path.suffix.lower()]


def load_data(path: str | os.PathLike[str]) -> Any:
    """Read plain data from a ``.json``, ``.yaml`` or ``.yml`` file; BlueprintError where it holds none."""
    path = Path(path)
    kind = format_of(path)
    try:
        text = read_text(path, most=MOST_BYTES[kind])
        return _parse_json(text) if kind == "json" else _parse_yaml(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise BlueprintError(f"{path.name} is not a readable file of its kind: {error}") from error


def save_data(path: str | os.PathLike[str], data: Any) -> Path:
    """Write plain data as the file's ending says; RequestError where it is more than can be read again."""
    path = Path(path)
    kind = format_of(path)
    text = to_yaml(data) if kind == "yaml" else json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    if len(text.encode(errors="replace")) > MOST_BYTES[kind]:
        message = f"{path.name!r} would have more than the {MOST_BYTES[kind] / 1e6:g} MB that are read"
        raise RequestError(message, hint="JSON may be larger than YAML" if kind == "yaml" else None)
    return write_whole(path, text)


def to_yaml(data: Any) -> str:
    """Put plain data as YAML that readers of 1.1 and of 1.2 take for the same."""
    import yaml

    text: str = yaml.dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100)
    return text


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _parse_yaml(text: str) -> Any:
    import yaml

    loader, depth = _loader(), 0
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it has an alias, *{event.anchor}; write out what it stands for")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, AttributeError, IndexError, KeyError, TypeError) as error:  # the last four of odd tags
        raise ValueError(str(error) or "a value does not fit its tag") from error


@cache
def _loader() -> Any:
    """PyYAML's safe loader, with the words of YAML 1.2 and each key once."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml's, where it is there
        yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {}

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        return _unique([tuple(loader.construct_object(each, deep=True) for each in pair) for pair in node.value])

    for name, words in CORE.items():
        Loader.add_implicit_resolver(f"{TAG}{name}", re.compile(rf"^(?:{words})$"), None)
    Loader.add_constructor(f"{TAG}map", mapping)
    Loader.add_constructor(f"{TAG}int", lambda loader, node: _whole(loader.construct_scalar(node)))
    Loader.add_constructor(f"{TAG}float", lambda loader, node: _real(loader.construct_scalar(node)))
    return Loader


def _whole(word: str) -> int:
    base = {"0o": 8, "0x": 16}.get(word[:2])
    return int(word[2:], base) if base else int(word)


def _real(word: str) -> float:
    return float(word.replace(".", "") if word[-1].isalpha() else word)  # .inf and .nan


@cache
def _dumper() -> Any:
    """PyYAML's safe dumper, which quotes what YAML 1.1 would misread, made to quote what 1.2 would as well."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        def ignore_aliases(self, _: Any) -> bool:
            return True

    words = re.compile("|".join([*CORE.values(), "[yYnN]"]))

    def string(dumper: Any, text: str) -> Any:
        return dumper.represent_scalar(f"{TAG}str", text, style="'" if words.fullmatch(text) else None)

    Dumper.add_representer(str, string)
    return Dumper
