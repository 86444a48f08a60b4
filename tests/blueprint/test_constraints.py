"""Constraints are read as data: what the grammar does not have is refused, and trees print as what was read."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from personalab import Constraint
from personalab.blueprint.constraints import (
    COMPARISONS,
    MAX_LENGTH,
    Apply,
    Name,
    Node,
    Number,
    Text,
    comparison,
    names,
    parse,
    printed,
    show,
    sides,
)
from personalab.blueprint.shape import UNSEEN
from personalab.errors import BlueprintError
from tests.conftest import ROOT

HOSTILE = [
    "__import__('os').system('touch owned')",
    "open('owned', 'w')",
    "exec('1')",
    "print(1)",
    "rank.to_csv('owned')",
    "().__class__.__bases__[0].__subclasses__()",
    "__class__.x",
    "@pd.io.common.os.getpid()",
    "lambda: 0",
    "(lambda: 0)()",
    "[x for x in (1, 2)]",
    "{x: 1 for x in (1, 2)}",
    "(x for x in y)",
    "(x := 1)",
    "x := 1",
    "x = 1",
    "f'{x}'",
    "f'{__import__(\"os\").getpid()}'",
    "9**9**9**9",
    "2 ** 2",
    "1 << 99",
    "'a' * 10 ** 10",
    "7 // 2",
    "7 % 2",
    "x @ y",
    "~x",
    "not x",
    "x and y",
    "x if y else z",
    "x[0]",
    "x[1:2]",
    "[1, 2]",
    "(1, 2)",
    "{1, 2}",
    "{'a': 1}",
    "*x",
    "min(*x)",
    "min(1, 2, key=3)",
    "min(**x)",
    "min(1, default=2)",
    "min()",
    "min(1)",
    "abs()",
    "abs(1, 2)",
    "abs(x=1)",
    "sum(1, 2)",
    "min(1, 2)(3)",
    "min.x(1, 2)",
    "x in y",
    "x is y",
    "...",
    "x and (y < 1)",
    "and",
    "x < and",
    "x === y",
    "x => 1",
    "`x",
    "``x",
    "x`y`",
    "m²",
    "x \u2264 1",
    "min(1 and 2, 3)",
    "1j",
    "1e999",
    "-1e999",
    "b'a'",
    "await x",
    "yield x",
    "import os",
    "x; y",
    "x\ny",
    "x\x00",
    "",
    " ",
    "#",
    ")",
    "x +",
    "x y",
    "5 years",
    "'open",
    "1__0",
    "0777",
    "\u202ex",
    "x\u200b",
    "½",
    "²",
    "x ≤ y",
    "x \u2212 1",
    "(" * 199,
    "-" * 150 + "1",
    "-" * 150 + "x",
    "x" + "+x" * 90,
    "min(" * 40 + "1" + ",1)" * 40,
    "x" * 401,
    "1" * 100_000,
    "[" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:40]))
def test_hostile_text_is_refused(text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, attributes, calls, powers, odd letters and bottomless nesting are refused; nothing runs, nothing warns."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BlueprintError) as caught:
        parse(text)
    assert len(str(caught.value)) < 1_000
    assert not list(tmp_path.iterdir())


def test_odd_spellings_do_not_warn() -> None:
    """Python's own warnings about a text are not shown: the text is the model's, not the user's."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert parse(r"rank == 'a\d'") == Apply("==", (Name("rank"), Text(r"a\d")))
        with pytest.raises(BlueprintError):
            parse("1if 2 else 3")
    assert shown == []


def test_parsing_everything_hostile_is_cheap() -> None:
    """All hostile texts together are refused within a small limit of memory and processor time."""
    code = (
        "import resource\n"
        "from tests.blueprint.test_constraints import HOSTILE, parse, BlueprintError\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60))\n"
        "for text in HOSTILE:\n"
        "    try: parse(text)\n"
        "    except BlueprintError: continue\n"
        "    raise SystemExit(text)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("age - 16", Apply("-", (Name("age"), Number(16.0)))),
        ("  0.5 ", Number(0.5)),
        ("1e3", Number(1000.0)),
        ("-x", Apply("-", (Number(0.0), Name("x")))),
        ("a + b * c", Apply("+", (Name("a"), Apply("*", (Name("b"), Name("c")))))),
        ("min(a, b, 3)", Apply("min", (Name("a"), Name("b"), Number(3.0)))),
        ("abs(a)", Apply("abs", (Name("a"),))),
        ("'it\\'s'", Text("it's")),
        ('rank == "日本"', Apply("==", (Name("rank"), Text("日本")))),
        ("größe", Name("größe")),
        ("class + None", Apply("+", (Name("class"), Name("None")))),
        ("`net-income`", Name("net-income")),
        ("net-income", Apply("-", (Name("net"), Name("income")))),
        ("`m²` / `a \\` b`", Apply("/", (Name("m²"), Name("a ` b")))),
        ("\ufb01n", Name("\ufb01n")),
        ("min + min(min, 1)", Apply("+", (Name("min"), Apply("min", (Name("min"), Number(1.0)))))),
        ("1 < x <= 3", Apply("and", (Apply("<", (Number(1.0), Name("x"))), Apply("<=", (Name("x"), Number(3.0)))))),
        (
            "x < 1 and (y > 2)",
            Apply("and", (Apply("<", (Name("x"), Number(1.0))), Apply(">", (Name("y"), Number(2.0))))),
        ),
        ("-3 * x", Apply("*", (Number(-3.0), Name("x")))),
    ],
)
def test_what_may_be_written(text: str, tree: Node) -> None:
    """Numbers, names, quoted values, four operations, comparisons and three functions become a tree."""
    assert parse(text) == tree


def test_names_are_those_spoken_of() -> None:
    """The names of a tree are its fields, without functions and quoted values."""
    assert names(parse("min(a, b) + abs(c) * (rank == 'Gold')")) == {"a", "b", "c", "rank"}


@given(st.text(max_size=220))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, it becomes a tree or a blueprint error."""
    try:
        tree = parse(text)
    except BlueprintError:
        return
    assert isinstance(tree, Number | Name | Text | Apply)


SEEN = st.text().map(lambda text: UNSEEN.sub("", text))  # other characters stand in no blueprint
NAMES = st.one_of(st.sampled_from(["x", "net-income", "m²", "class", "and", "a b", "`", "\\", "min", "'x'", "5"]), SEEN)
LEAVES: st.SearchStrategy[Node] = st.one_of(
    NAMES.map(Name),
    SEEN.map(Text),
    st.floats(allow_nan=False, allow_infinity=False).map(Number),
)


def applied(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Trees with an operation, comparison, function or conjunction on top."""
    compared = st.builds(Apply, st.sampled_from(COMPARISONS), st.tuples(inner, inner))
    several = st.lists(compared, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Apply, st.sampled_from("+-*/"), st.tuples(inner, inner)),
        compared,
        st.builds(Apply, st.just("and"), several),
        st.builds(Apply, st.just("abs"), st.tuples(inner)),
        st.builds(Apply, st.sampled_from(["min", "max"]), st.tuples(inner, inner)),
    )


TREES = st.recursive(LEAVES, applied, max_leaves=7)


@settings(max_examples=300)
@given(TREES)
def test_a_tree_prints_as_what_it_is_read_from(tree: Node) -> None:
    """Whatever the names and values in it, and however deep."""
    text = show(tree)
    assume(len(text) <= MAX_LENGTH)
    assert parse(text) == tree


@settings(max_examples=300)
@given(TREES, st.sampled_from(COMPARISONS), TREES)
def test_a_constraint_prints_as_what_it_is_read_from(left: Node, op: str, right: Node) -> None:
    """Sides that were written apart print as one text that is read as the same, and that falls into sides again."""
    assume(len(show(left)) + len(show(right)) <= MAX_LENGTH - 10)
    sides_of = (show(left), op, show(right))
    try:
        tree = comparison(*sides_of)
    except BlueprintError as error:
        assume(not any(word in str(error) for word in ("words", "deep", "more than once")))
        raise
    rule = Constraint(name="c", lhs=show(left), op=op, rhs=show(right))  # type: ignore[arg-type]  # of the list
    assert parse(str(rule)) == tree
    assert comparison(*sides(tree)) == tree
    assert printed(*sides(tree)) == str(rule)


@pytest.mark.parametrize(
    ("lhs", "op", "rhs", "text"),
    [
        ("18 <= age", "<=", "50", "18 <= age <= 50"),
        ("18", "<=", "age <= 50", "18 <= age <= 50"),
        ("0 <= x", "<=", "1", "0 <= x <= 1"),
        ("(18 <= age)", "<=", "50", "(18 <= age) <= 50"),
        ("rank == 'Gold'", "<=", "hours < 3", "(rank == 'Gold') <= (hours < 3)"),
        ("1 - (rank == 'Gold')", "<=", "hours < 3", "1 - (rank == 'Gold') <= (hours < 3)"),
        ("max(a == 1, b == 2)", "==", "1", "max(a == 1, b == 2) == 1"),
        ("rank == 'Gold'", "==", "1", "(rank == 'Gold') == 1"),
        ("x", "<=", "(2*y) + z", "x <= 2 * y + z"),
        ("x - (y - z)", "<", "x / (y / z)", "x - (y - z) < x / (y / z)"),
        ("x +", "<=", "3", "x + <= 3"),
    ],
)
def test_a_constraint_prints_so_that_its_meaning_shows(lhs: str, op: str, rhs: str, text: str) -> None:
    """A chain as a chain, an implication with its brackets; what cannot be read stays as it was written."""
    assert str(Constraint(name="c", lhs=lhs, op=op, rhs=rhs)) == text  # type: ignore[arg-type]  # of the list


@pytest.mark.parametrize("text", ["a < 1 and b < 2", "x == y == 1", "x + 1", "'a'", "a < b < c and d < e"])
def test_what_is_no_single_constraint_has_no_sides(text: str) -> None:
    """Several statements, and none, are refused rather than cut in two somewhere."""
    with pytest.raises(BlueprintError, match=r"compares (nothing|more than once)"):
        sides(parse(text))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("age = 18", "write =="),
        ("age ≥ 18", "write >="),
        ("age≤18", "write <="),
        ("rank == Very High", "in quotes"),
        ("gross income > 3", "in backticks"),
        ("m² > 3", "in backticks"),
        ("f(x)", "min(a, b)"),
        ("(age", "age >= 18"),
    ],
)
def test_a_slip_is_answered_by_how_to_write_it(text: str, hint: str) -> None:
    """The hint shows the sign that is meant, the marks that are missing, or an example."""
    with pytest.raises(BlueprintError) as caught:
        parse(text)
    assert hint in caught.value.__notes__[0]
