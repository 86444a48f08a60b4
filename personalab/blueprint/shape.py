"""Shape: what the parts of a blueprint are made of, and how data that does not fit is refused.

Everything is frozen, closed, and silent about keys that were not given. Names and values are one line that can be
printed: a sign that nobody sees may end a kernel, turn a line round or carry an instruction. A longer text may come
from anywhere; it is freed of such signs and keeps its line breaks.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_serializer,
)

from personalab.errors import BlueprintError, nearest

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as Metaclass
else:
    Metaclass = type(BaseModel)  # only pydantic can name it

# Controls, surrogates, what turns a line's direction or is not shown, and code points that are no characters; but for
# U+200C and U+200D, with which Persian, Hindi and emoji are spelt.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufdd0-\ufdef"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
    + "".join(chr((plane << 16) + end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
BREAKS = "\n\r\v\f\x85\u2028\u2029"
MOST_ITEMS = 100_000  # keys and entries in all of a blueprint: what is read in a second
MOST_FAULTS = 1_000  # that are looked at one by one
MOST_TOLD = 20  # places in one message


class FrozenDict(dict[Any, Any]):
    """A dict that refuses to change, so that a value holding it is a value throughout."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a blueprint does not change → use Blueprint.replace, which returns a new one")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # frozen, so hashable
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (dict(self),))


def _finite(value: int | float) -> int | float:
    # Compared exactly, also where a whole number is too large to become a float.
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError("a number here must be finite, and no larger than a float can be")
    return value


def _one_line(text: str) -> str:
    unseen = UNSEEN.search(text)
    if unseen:
        what = "a line break" if unseen[0] in BREAKS else "a character that cannot be shown"
        raise ValueError(f"a name or value has {what}, U+{ord(unseen[0]):04X}")
    return text


def _seen(text: str) -> str:
    """The text without what cannot be seen; what Word and Unicode use as line breaks becomes one."""
    lines = re.sub(f"\r\n|[{BREAKS}]", "\n", text).replace("\t", " ").split("\n")
    return "\n".join(UNSEEN.sub("", line) for line in lines)


def _on_one_line(text: str) -> str:
    return " ".join(_seen(text).split("\n")).strip()


# Strict, and int kept apart from float, so that what was read is written back to the letter.
Number = Annotated[StrictInt | StrictFloat, AfterValidator(_finite)]
Name = Annotated[str, AfterValidator(_one_line)]
Line = Annotated[str, AfterValidator(_on_one_line)]
Prose = Annotated[str, AfterValidator(_seen)]
Frozen = (AfterValidator(FrozenDict), PlainSerializer(dict))
Weights = Annotated[dict[Name, Number], *Frozen]
When = Annotated[dict[Name, Name], Field(min_length=1), *Frozen]


class _Refusing(Metaclass):
    """Lets what is built by a call be refused in the package's own words."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            raise refusal(error, f"this is no {self.__name__}") from error


class Value(BaseModel, metaclass=_Refusing):
    """Base of everything in a blueprint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _present_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise BlueprintError(f"a {type(self).__name__} is frozen", hint="Blueprint.replace returns a new one")


def demand_bounded(data: Any) -> None:
    """Refuse data of more parts than a blueprint may have, before each of them is looked at."""
    n, inside = 0, [data]
    while inside:
        each = inside.pop()
        if isinstance(each, Mapping | list | tuple):
            n += len(each)
            if n > MOST_ITEMS:
                raise BlueprintError(f"this is no blueprint: it has more than {MOST_ITEMS:,} keys and entries")
            inside.extend(each.values() if isinstance(each, Mapping) else each)


def refusal(error: ValidationError, title: str) -> BlueprintError:
    """What was wrong, a line a place: its path, and what is wrong there."""
    if error.error_count() > MOST_FAULTS:
        return BlueprintError(f"{title}: it is wrong in {error.error_count():,} places")
    lines = list(dict(_lines(error)).values())
    more = [f"and {len(lines) - MOST_TOLD} more"] if len(lines) > MOST_TOLD else []
    return BlueprintError("\n  ".join([f"{title}:", *lines[:MOST_TOLD], *more]), hint="correct the places named")


def _lines(error: ValidationError) -> Iterator[tuple[str, str]]:
    problems = error.errors(include_url=False)
    for problem in problems:
        path, depth = _path(problem["loc"]), len(problem["loc"])
        if problem["type"] == "too_short" and any(
            other["loc"][:depth] == problem["loc"] for other in problems if other is not problem
        ):
            continue  # pydantic counts only the items that were good
        if problem["type"] == "extra_forbidden":
            close = nearest(str(problem["loc"][-1]), _keys(Value))
            yield path, f"{path}: unknown key" + (f", did you mean {close!r}?" if close else "")
        elif problem["type"] == "missing":
            yield path, f"{path}: missing"
        else:  # a number is refused once as an integer and once as a float; the last word is the wider one
            reason = problem["msg"].removeprefix("Value error, ")
            yield path, f"{path}: {reason[:1].lower()}{reason[1:]}, got {reprlib.repr(problem['input']):.60}"


def _keys(kind: type[BaseModel]) -> set[str]:
    """Every key that a part of a blueprint has."""
    return set(kind.model_fields).union(*map(_keys, kind.__subclasses__()))


def _path(loc: tuple[int | str, ...]) -> str:
    # Inside a field, pydantic puts the chosen kind behind the index, and the type of a number behind its key.
    if len(loc) > 2 and loc[0] == "fields" and loc[2] in ("categorical", "numeric", "text"):
        loc = loc[:2] + loc[3:]
    steps = [step for step in loc if step not in ("int", "float", "[key]")]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step:.60}" for step in steps).lstrip(".")
    return UNSEEN.sub(lambda sign: ascii(sign[0])[1:-1], path) or "top level"
