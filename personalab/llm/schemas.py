"""From a pydantic model to the JSON schema that a model server can hold its answer to.

A server that decodes under a grammar gives the right shape at the first try, but each server takes another
part of JSON Schema. What all of them take is small: closed objects whose properties are all required,
lists, enumerations and plain values, with nothing optional, no union, no dictionary, no default and no
reference. Types are written for that part (an empty list instead of null, ``[{value, weight}]`` instead of
a dictionary), and a type that needs more is refused here, at once, rather than by one server in five.
Bounds are kept only for the embedded model, whose grammar enforces them and which rambles without;
elsewhere pydantic checks them afterwards. Properties keep their order, because a model writes them in that
order. The result does not depend on pydantic's version, so neither do the keys of recorded replies.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

NAME_LENGTH = 64  # OpenAI's limit
_KINDS = {"object", "array", "string", "integer", "number", "boolean"}
_BOUNDS = ("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum")


def strict_schema(type_: type[BaseModel], *, bounded: bool = False) -> dict[str, Any]:
    """Rewrite a type's JSON schema into the part that every server takes.

    Parameters
    ----------
    type_ : type
        A pydantic model.
    bounded : bool
        Keep the bounds of lists, texts and numbers.

    Returns
    -------
    dict
        The schema: references inlined, objects closed, every property required. It is shared between
        calls: do not change it.

    Raises
    ------
    TypeError
        When the type is no object, or needs a union, a dictionary, or a structure that contains itself.

    Examples
    --------
    >>> from pydantic import BaseModel, Field
    >>> class Person(BaseModel):
    ...     age: int = Field(default=30, ge=0)
    >>> strict_schema(Person)["properties"]
    {'age': {'type': 'integer'}}
    >>> strict_schema(Person, bounded=True)["properties"]
    {'age': {'type': 'integer', 'minimum': 0}}
    """
    return _strict(type_, bounded)


def response_format(name: str, schema: dict[str, Any], *, is_strict: bool = True) -> dict[str, Any]:
    """Wrap a strict schema as the ``response_format`` of a chat completion.

    Parameters
    ----------
    name : str
        What the schema is called.
    schema : dict
        A schema of `strict_schema`.
    is_strict : bool
        Ask for the promise that the answer keeps to it, which some servers do not know.

    Returns
    -------
    dict
        The parameter.
    """
    strict = {"strict": True} if is_strict else {}
    return {"type": "json_schema", "json_schema": {"name": plain_name(name), **strict, "schema": schema}}


def plain_name(name: str) -> str:
    """Turn what a schema is called into a name that servers take.

    Parameters
    ----------
    name : str
        Any name.

    Returns
    -------
    str
        At most `NAME_LENGTH` letters, digits, ``_`` and ``-``.

    Examples
    --------
    >>> plain_name("Größe [cm]")
    'Gr__e__cm_'
    """
    return re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:NAME_LENGTH]


@lru_cache(maxsize=256)
def _strict(type_: type[BaseModel], bounded: bool) -> dict[str, Any]:
    schema = type_.model_json_schema()
    rewritten = _Rewriting(schema.get("$defs", {}), bounded).node(schema, type_.__name__, ())
    if rewritten["type"] != "object":
        raise TypeError(f"{type_.__name__}: an answer has to be an object with named properties")
    return rewritten


class _Rewriting:
    """One schema's rewriting; ``where`` names a node in an error, ``inside`` the types around it."""

    def __init__(self, defs: dict[str, Any], bounded: bool) -> None:
        self.defs = defs
        self.bounds = _BOUNDS if bounded else ()

    def node(self, node: dict[str, Any], where: str, inside: tuple[str, ...]) -> dict[str, Any]:
        if "$ref" in node:
            return self._reference(node, where, inside)
        kind = _kind(node, where)
        told = {name: node[name] for name in (*self.bounds, "description") if name in node}
        if kind == "object":
            return {"type": kind, **self._object(node["properties"], where, inside), **told}
        if kind == "array":
            return {"type": kind, "items": self.node(node.get("items", {}), where + "[]", inside), **told}
        return {"type": kind, **_choices(node), **told}

    def _reference(self, node: dict[str, Any], where: str, inside: tuple[str, ...]) -> dict[str, Any]:
        name = node["$ref"].rsplit("/", 1)[-1]
        if name in inside:
            raise TypeError(f"{where}: {name} contains itself, which a strict schema cannot say")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return self.node({**self.defs[name], **beside}, where, (*inside, name))

    def _object(self, fields: dict[str, Any], where: str, inside: tuple[str, ...]) -> dict[str, Any]:
        properties = {name: self.node(part, f"{where}.{name}", inside) for name, part in fields.items()}
        return {"properties": properties, "required": list(fields), "additionalProperties": False}


def _kind(node: dict[str, Any], where: str) -> str:
    """Return the node's one type, or say what it is that a strict schema cannot say."""
    for unsaid in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if unsaid in node:
            raise TypeError(f"{where}: a strict schema has no {unsaid} (no union, no optional, no tuple)")
    kind = node.get("type")
    if kind == "object" and "properties" not in node:
        raise TypeError(f"{where}: a strict schema has no dictionary; use a list of pairs")
    if kind not in _KINDS:
        raise TypeError(f"{where}: a strict schema needs one plain type here, not {kind!r}")
    return str(kind)


def _choices(node: dict[str, Any]) -> dict[str, Any]:
    """Return the closed list of values, of which a constant is the shortest."""
    values = node.get("enum", [node["const"]] if "const" in node else None)
    return {} if values is None else {"enum": list(values)}
