"""Constraints: the comparisons that every member obeys, read as data and never run as code.

A constraint is text, often a model's. It is cut into words and read by a grammar of its own, a rule a line; what the
grammar does not have is refused. Length, size and depth are capped, there is no power, and no evaluator of Python or
pandas ever sees the text (Python's own parser would fold letters and reserve words such as ``class``)::

    statement  = comparison {"and" comparison}
    comparison = sum {("<" | "<=" | ">" | ">=" | "==" | "!=") sum}          a chain is all of its comparisons
    sum        = product {("+" | "-") product}
    product    = factor {("*" | "/") factor}
    factor     = "-" factor | number | name | 'value' | "(" statement ")" | ("min" | "max" | "abs") "(" … ")"

A name that is no plain word, such as one with a blank or a dash, stands in backticks, as in pandas' queries; quotes
are for values of categories. A comparison inside of another is worth 1 where it holds, else 0, so that
``(rank == 'Gold') <= (age < 30)`` means *if Gold, then under 30*. `show` writes a tree as text that `parse` reads back.
What a tree means over a blueprint's fields, and over the columns of a frame, is told by `intervals`.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from personalab.errors import BlueprintError

MAX_LENGTH = 400  # characters of a constraint; the longest in our example blueprints has 52
MAX_WORDS = 160  # of a constraint, brackets and commas among them
MAX_DEPTH = 20  # brackets, and signs, inside of each other
SHOWN = 60  # characters of a text in a message

ORDER = ("<", "<=", ">", ">=")
COMPARISONS = (*ORDER, "==", "!=")
FUNCTIONS = ("min", "max", "abs")

_WORD = re.compile(
    r"""(?P<number>(?:(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>(?:[A-Za-z_]|[^\x00-\x7f\s])(?:\w|[^\x00-\x7f\s])*)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<quoted>`(?:[^`\\]|\\.)*`)
    |(?P<sign>[<>=!]=|[-+*/<>(),])""",
    re.VERBOSE | re.DOTALL,
)
_EXAMPLE = "write it like age >= 18, with numbers, names, 'values', + - * /, comparisons, and, min(), max() and abs()"
_QUOTE = "put a name that is no plain word in backticks, `like this`, and a value in quotes, 'like this'"
_HINTS = {"=": "write == for equal, <= for at most, >= for at least", "≤": "write <=", "≥": "write >=", "≠": "write !="}


@dataclass(frozen=True)
class Number:
    """A literal number."""

    value: float


@dataclass(frozen=True)
class Name:
    """A field, by name."""

    field: str


@dataclass(frozen=True)
class Text:
    """A quoted category value."""

    value: str


@dataclass(frozen=True)
class Level:
    """The position of a category in its field's order, which `intervals.resolve` puts for the field's name."""

    field: str
    order: tuple[str, ...]


@dataclass(frozen=True)
class Apply:
    """An operator, comparison or function applied to its arguments."""

    op: str
    args: tuple[Node, ...]


Node = Number | Name | Text | Level | Apply


@lru_cache(maxsize=1024)
def parse(text: str) -> Node:
    """Read an expression, or a whole constraint.

    Parameters
    ----------
    text : str
        What the module's grammar allows.

    Returns
    -------
    Node
        Its tree.

    Raises
    ------
    BlueprintError
        If it is too long, too deep, or not of the grammar.

    Examples
    --------
    >>> parse("age - 16")
    Apply(op='-', args=(Name(field='age'), Number(value=16.0)))
    >>> show(parse("18<=`age at entry`<50"))
    '18 <= `age at entry` < 50'
    """
    if len(text) > MAX_LENGTH:
        raise BlueprintError(f"a constraint of {len(text)} characters is too long: at most {MAX_LENGTH} are read")
    return _Reader(text).whole()


def show(node: Node) -> str:
    """Write a tree as text: the one way in which constraints are printed.

    Examples
    --------
    >>> show(parse("(rank=='Gold')<=((age)<3*(x+1))"))
    "(rank == 'Gold') <= (age < 3 * (x + 1))"
    """
    return _shown(node, 0)


@lru_cache(maxsize=1024)
def comparison(lhs: str, op: str, rhs: str) -> Apply:
    """The tree of a constraint from its two sides and what stands between them.

    Two comparisons are compared by what they are worth, and so is one with 0 or 1 where it need not be a range. Else
    one without brackets begins or ends a chain: ``18 <= age``, ``<=`` and ``50`` are ``18 <= age <= 50``. What is
    neither, or cannot be read, raises BlueprintError.

    Examples
    --------
    >>> show(comparison("18 <= age", "<=", "50")), show(comparison("job == 'nurse'", "==", "1"))
    ('18 <= age <= 50', "(job == 'nurse') == 1")
    """
    chain, sides = parts(parse(f"{lhs} {op} {rhs}")), (parse(lhs), parse(rhs))
    is_range = all(each.op in ORDER for each in chain) and any(isinstance(side, Number) for side in sides)
    if len(chain) == 1 or (all(map(_is_worth, sides)) and not is_range):
        return Apply(op, sides)
    if not _is_chain(chain):
        raise _several(_conjoined(chain))
    return _conjoined(chain)


def printed(lhs: str, op: str, rhs: str) -> str:
    """A constraint as people read it; one that cannot be read stays as it was written."""
    try:
        return show(comparison(lhs, op, rhs))
    except BlueprintError:
        return f"{lhs} {op} {rhs}"


def sides(tree: Node) -> tuple[str, str, str]:
    """The two sides of a constraint and the comparison between them, as `comparison` reads them.

    Raises
    ------
    BlueprintError
        If the tree compares nothing, or states more than one constraint can hold.

    Examples
    --------
    >>> sides(parse("18 <= age <= 50"))
    ('18 <= age', '<=', '50')
    """
    if not isinstance(tree, Apply) or not is_statement(tree):
        raise BlueprintError(f"{_brief(show(tree))} compares nothing", hint=_EXAMPLE)
    *first, last = parts(tree)
    lhs = show(_conjoined(first)) if first else _shown(last.args[0], 2)
    found = lhs, last.op, _shown(last.args[1], 2)
    if comparison(*found) != tree:
        raise _several(tree)
    return found


def is_statement(node: Node) -> bool:
    """Whether a tree holds or does not, and so is worth 1 or 0."""
    return isinstance(node, Apply) and (node.op in COMPARISONS or node.op == "and")


def parts(node: Node) -> tuple[Apply, ...]:
    """The comparisons that ``and``, or a chain, joins."""
    if not isinstance(node, Apply):
        return ()
    return tuple(part for arg in node.args for part in parts(arg)) if node.op == "and" else (node,)


def names(node: Node) -> frozenset[str]:
    """The fields a tree speaks of."""
    if isinstance(node, Name | Level):
        return frozenset([node.field])
    if isinstance(node, Apply):
        return frozenset().union(*(names(arg) for arg in node.args))
    return frozenset()


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The tree with each node changed, from the leaves up."""
    if isinstance(node, Apply):
        node = Apply(node.op, tuple(rebuilt(arg, change) for arg in node.args))
    return change(node)


def quoted(name: str) -> str:
    """A field's name as a constraint writes it: in backticks where it is no plain word."""
    return name if is_plain(name) else _quoted(name, "`")


def is_plain(name: str) -> bool:
    """Whether a name is one word in a constraint, without backticks."""
    return name.isidentifier() and name != "and"


def normal(name: str) -> str:
    """A name by which spellings that look alike are equal (NFKC)."""
    return unicodedata.normalize("NFKC", name)


def unquoted(text: str) -> str:
    """What of a text stands outside of quotes and backticks, for looking for names that lack them."""
    return _WORD.sub(lambda word: " ' " if word.lastgroup in ("text", "quoted") else word.group(), text)


class _Reader:
    """Reads a text from left to right; each method is a rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = [*_words(text)]
        self._depth = 0

    def whole(self) -> Node:
        node = self._statement()
        if self._words:
            raise self._refused()
        return node

    def _statement(self) -> Node:
        with self._deeper():
            found = [self._comparison()]
            while self._take("and"):
                found.append(self._comparison())
        if len(found) == 1:
            return found[0]
        if not all(map(is_statement, found)):
            raise BlueprintError(f"{_brief(self._text)} joins by 'and' what does not compare", hint=_EXAMPLE)
        return _conjoined([part for each in found for part in parts(each)])

    def _comparison(self) -> Node:
        found, left = list[Apply](), self._sum()
        while op := self._take(*COMPARISONS):
            right = self._sum()
            found.append(Apply(op, (left, right)))
            left = right
        return _conjoined(found) if found else left

    def _sum(self) -> Node:
        node = self._product()
        while op := self._take("+", "-"):
            node = Apply(op, (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._factor()
        while op := self._take("*", "/"):
            node = Apply(op, (node, self._factor()))
        return node

    def _factor(self) -> Node:
        if not self._take("-"):
            return self._atom()
        with self._deeper():
            node = self._factor()
        return Number(-node.value) if isinstance(node, Number) else Apply("-", (Number(0.0), node))

    def _atom(self) -> Node:
        kind, word = self._words[0] if self._words else ("", "")
        if self._take("("):
            node = self._statement()
            self._demand(")")
            return node
        if kind not in ("number", "name", "text", "quoted") or word == "and":
            raise self._refused()
        del self._words[0]
        if kind == "number" and math.isfinite(float(word)):
            return Number(float(word))
        if kind in ("text", "quoted"):
            plain = re.sub(r"\\([\\'\"`])", r"\1", word[1:-1])
            return Text(plain) if kind == "text" else Name(plain)
        if kind == "name" and self._take("("):
            return self._function(word)
        if kind == "name" and is_plain(word):
            return Name(word)
        raise _refusal(self._text, word)

    def _function(self, name: str) -> Node:
        args = [self._statement()]
        while self._take(","):
            args.append(self._statement())
        self._demand(")")
        if name not in FUNCTIONS or (name == "abs") != (len(args) == 1):
            reason = f"{_brief(self._text)} calls {_brief(name)} with {len(args)} in brackets"
            raise BlueprintError(reason, hint="use min(a, b), max(a, b) or abs(a)")
        return Apply(name, tuple(args))

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BlueprintError(f"{_brief(self._text)} is nested more than {MAX_DEPTH} deep")
        yield
        self._depth -= 1

    def _take(self, *wanted: str) -> str | None:
        """The next word, where it is one of those wanted."""
        if self._words and self._words[0][0] in ("sign", "name") and self._words[0][1] in wanted:
            return self._words.pop(0)[1]
        return None

    def _demand(self, sign: str) -> None:
        if not self._take(sign):
            raise self._refused()

    def _refused(self) -> BlueprintError:
        if not self._words:
            return BlueprintError(f"{_brief(self._text)} ends too early", hint=_EXAMPLE)
        return _refusal(self._text, self._words[0][1])


def _words(text: str) -> Iterator[tuple[str, str]]:
    """A text's words and what they are."""
    at = 0
    for count, word in enumerate(_WORD.finditer(text)):
        if between := text[at : word.start()].strip():
            raise _refusal(text, between[0])
        if count == MAX_WORDS:
            raise BlueprintError(f"{_brief(text)} has more than {MAX_WORDS} words")
        yield str(word.lastgroup), word.group()
        at = word.end()
    if rest := text[at:].strip():
        raise _refusal(text, rest[0])


def _refusal(text: str, word: str) -> BlueprintError:
    hint = next((hint for sign, hint in _HINTS.items() if sign in word and word not in COMPARISONS), None)
    is_word = word[:1].isalnum() or not word.isascii()
    return BlueprintError(
        f"{_brief(text)} cannot be read from {_brief(word)} on", hint=hint or (_QUOTE if is_word else _EXAMPLE)
    )


def _is_chain(found: Sequence[Apply]) -> bool:
    """Whether comparisons are links of one chain, such as ``1 < a <= b``, and none asks what a comparison is worth."""
    terms = [found[0].args[0], *(each.args[1] for each in found)]
    is_linked = all(last.args[1] == each.args[0] for last, each in itertools.pairwise(found))
    is_plain = not any(_is_worth(term) and not isinstance(term, Number) for term in terms)
    return is_linked and is_plain and all(each.op in ORDER for each in found)


def _is_worth(node: Node) -> bool:
    """Whether a tree is a comparison, 0 or 1, or computed from such alone."""
    if isinstance(node, Apply) and not is_statement(node):
        return all(map(_is_worth, node.args)) and not all(isinstance(arg, Number) for arg in node.args)
    return is_statement(node) or node in (Number(0.0), Number(1.0))


def _several(tree: Node) -> BlueprintError:
    return BlueprintError(f"{_brief(show(tree))} compares more than once", hint="write a constraint for each")


def _conjoined(comparisons: Sequence[Apply]) -> Apply:
    return comparisons[0] if len(comparisons) == 1 else Apply("and", tuple(comparisons))


def _shown(node: Node, level: int) -> str:
    """A tree as text, in brackets where it binds less than `level`: 0 and, 1 comparison, 2 sum, 3 product, 4 sign."""
    text, own = _text(node)
    return f"({text})" if own < level else text


def _text(node: Node) -> tuple[str, int]:
    """A tree as text, and how much it binds."""
    match node:
        case Number(value):
            whole = value.is_integer() and abs(value) < 1e15  # where whole numbers print without an exponent
            return (str(int(value)) if whole else repr(value)), 4
        case Name(field) | Level(field):
            return quoted(field), 5
        case Text(value):
            return _quoted(value, "'"), 5
        case Apply("and"):
            return _chained(parts(node)), 0
        case Apply("-", (Number(0.0), inner)) if not isinstance(inner, Number):
            return f"-{_shown(inner, 4)}", 4
        case Apply(op, (left, right)) if op in COMPARISONS:
            return f"{_shown(left, 2)} {op} {_shown(right, 2)}", 1
        case Apply("+" | "-", (left, right)):
            return f"{_shown(left, 2)} {node.op} {_shown(right, 3)}", 2
        case Apply("*" | "/", (left, right)):
            return f"{_shown(left, 3)} {node.op} {_shown(right, 4)}", 3
    return f"{node.op}({', '.join(map(show, node.args))})", 5


def _chained(comparisons: Sequence[Apply]) -> str:
    """Comparisons joined by ``and``, and where one goes on with what the last ended with, as a chain."""
    text = show(comparisons[0])
    for last, each in itertools.pairwise(comparisons):
        goes_on = last.args[1] == each.args[0]
        text += f" {each.op} {_shown(each.args[1], 2)}" if goes_on else f" and {show(each)}"
    return text


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, f"\\{mark}") + mark


def _brief(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
