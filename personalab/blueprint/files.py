"""Files: plain data as JSON or YAML on disk, read within bounds and written whole.

A file may come from somebody else. It is read only if it is a plain file of a bounded size; its YAML may not refer back
to itself, since thirteen kilobytes of references can stand for gigabytes. What is written is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personalab.errors import BlueprintError, RequestError

if TYPE_CHECKING:
    from ruamel.yaml import YAML

MOST = {"json": 5_000_000, "yaml": 100_000}  # bytes: about what a laptop reads in a second
DEEPEST = 20  # levels in a YAML file; a blueprint has 7
# Words that are no strings to readers of YAML 1.1, or to those of 1.2: https://yaml.org/type/
AMBIGUOUS = re.compile(r"(?is)[-+.\d~<=].*|y|n|yes|no|on|off|true|false|null|")


def read_data(path: str | os.PathLike[str]) -> Any:
    """Read the data that a ``.json``, ``.yaml`` or ``.yml`` file holds.

    Raises
    ------
    BlueprintError
        If the file is not of its kind, or names a key twice.
    RequestError
        If the ending is another, or it is no plain file that can be read, or is larger than `MOST`.
    """
    path = Path(path)
    kind = format_of(path)
    text = read_text(path, most=MOST[kind])
    try:
        return _parse_json(text) if kind == "json" else _parse_yaml(text)
    except (ValueError, RecursionError) as error:
        raise BlueprintError(f"{path.name} is not a readable file of its kind: {error}") from error


def read_text(path: Path, *, most: int) -> str:
    """Read a plain file of UTF-8 text of at most so many bytes, with or without a byte order mark."""
    try:
        _demand_plain(path)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:  # a ValueError of a path with characters that no path has
        message = f"{str(path)!r} cannot be read: {getattr(error, 'strerror', error)}"
        raise RequestError(message, hint="check the path") from error
    if len(data) > most:
        raise RequestError(f"{str(path)!r} is larger than the {most:,} bytes that are read of such a file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BlueprintError(f"{path.name} is not a readable file of its kind: {error}") from error


def write_data(path: str | os.PathLike[str], data: Any) -> Path:
    """Write data as the path's ending says, so that `read_data` reads it back; RequestError where it cannot."""
    path = Path(path)
    kind = format_of(path)
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n" if kind == "json" else as_yaml(data)
    if len(text.encode(errors="replace")) > MOST[kind]:
        hint = "name it .json" if kind == "yaml" else "make it smaller"
        raise RequestError(f"{path.name!r} would be larger than the {MOST[kind]:,} bytes that can be read", hint=hint)
    return write_whole(path, text)


def write_whole(path: Path, text: str) -> Path:
    """Write `text` to `path` so that a reader sees the old file or the new one, never half of it.

    A link is followed, and a file that is replaced keeps its permissions.
    """
    try:
        _demand_plain(path)
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise RequestError(f"{str(path)!r} is a link that leads to itself", hint="name another place")
        partial = target.with_name(f".{secrets.token_hex(8)}.partial")  # its own for each call, also of threads
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("x", encoding="utf-8") as file:
                if target.exists():
                    partial.chmod(target.stat().st_mode & 0o7777)
                file.write(text)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        message = f"{str(path)!r} cannot be written: {getattr(error, 'strerror', error)}"
        raise RequestError(message, hint="name a place that can be made and written to") from error
    return path


def format_of(path: Path) -> str:
    """The format that a file's ending names, ``json`` or ``yaml``; RequestError for any other."""
    known = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}
    if path.suffix.lower() not in known:
        raise RequestError(f"{path.name!r} is neither JSON nor YAML by its ending", hint="name it .json, .yaml or .yml")
    return known[path.suffix.lower()]


def as_yaml(data: Any) -> str:
    """Data as YAML that readers of versions 1.1 and 1.2 read alike.

    Examples
    --------
    >>> print(as_yaml({"weights": {"Yes": 0.5, "12:30": 1e-05, "Gold": 1}}), end="")
    weights:
      'Yes': 0.5
      '12:30': 1.0e-05
      Gold: 1
    """
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # the stubs call it None
    yaml.allow_unicode = True
    yaml.width = 100
    yaml.representer.add_representer(str, _represent_text)
    yaml.representer.add_representer(float, _represent_float)
    out = StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def _demand_plain(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise RequestError(f"{str(path)!r} is a {'folder' if path.is_dir() else 'pipe or a device'}, not a file")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)


def _parse_yaml(text: str) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(text)
    except YAMLError as error:
        raise ValueError(str(error)) from error


def _yaml() -> YAML:
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.events import AliasEvent
    from ruamel.yaml.representer import SafeRepresenter

    class Plain(Composer):
        """Reads a tree of bounded depth, in which nothing refers to anything else."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.parser.check_event(AliasEvent):
                raise ValueError(f"it refers back to *{self.parser.peek_event().anchor}, which is not followed")
            self.nested = getattr(self, "nested", 0) + 1
            if self.nested > DEEPEST:
                raise ValueError(f"it is nested more than {DEEPEST} levels deep")
            node = super().compose_node(parent, index)
            self.nested -= 1
            return node

    class Quoting(SafeRepresenter):
        """A class of its own, because what is registered with one holds for all its users."""

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Representer = Plain, Quoting
    return yaml


def _represent_text(representer: Any, text: str) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:str", text, style="'" if AMBIGUOUS.fullmatch(text) else None)


def _represent_float(representer: Any, number: float) -> Any:
    told = repr(number)  # 1e-05 is a text to readers of YAML 1.1
    told = told if "." in told else told.replace("e", ".0e")
    return representer.represent_scalar("tag:yaml.org,2002:float", told)
