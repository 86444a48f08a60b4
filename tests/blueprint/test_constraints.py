"""Constraints are read as data: what is not on the short list is refused, and the rest is plain arithmetic."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from personalab import Blueprint, Constraint
from personalab.blueprint.constraints import (
    Apply,
    Name,
    Node,
    Number,
    Text,
    comparison,
    names,
    parse,
)
from personalab.blueprint.intervals import Categories, bounds, check, evaluate, holds
from personalab.errors import BlueprintError, NotApplicableError
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
    "1 < x < 3",
    "x in y",
    "x is y",
    "True",
    "None",
    "...",
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
    "x" + "+x" * 90,
    "min(" * 40 + "1" + ",1)" * 40,
    "x" * 201,
    "1" * 100_000,
    "[" * 100_000,
]


def constraint(text: str) -> Apply:
    """A comparison written in one piece, such as ``x <= y + 1``."""
    lhs, op, rhs = text.split(" ", 2)
    return comparison(Constraint(name="c", lhs=lhs, op=op, rhs=rhs))  # type: ignore[arg-type]  # checked when read


def players() -> Blueprint:
    """A blueprint with two numbers, two categories and a text."""
    numeric = {"min": 0, "max": 10, "mean": 5, "sd": 2}
    table = {"weights": {"Gold": 0.5, "Silver": 0.5}}
    return Blueprint.from_dict(
        {
            "domain": "d",
            "order": ["x", "y", "rank", "goal"],
            "fields": [
                {"name": "x", "kind": "numeric", "numeric": numeric},
                {"name": "y", "kind": "numeric", "numeric": numeric},
                {"name": "rank", "kind": "categorical", "categorical": table},
                {"name": "goal", "kind": "categorical", "categorical": table},
                {"name": "bio", "kind": "text"},
            ],
        }
    )


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
    ],
)
def test_what_may_be_written(text: str, tree: Node) -> None:
    """Numbers, names, quoted values, four operations, comparisons and three functions become a tree."""
    assert parse(text) == tree


def test_names_are_those_spoken_of() -> None:
    """The names of a tree are its fields, without functions and quoted values."""
    assert names(parse("min(a, b) + abs(c) * (rank == 'Gold')")) == {"a", "b", "c", "rank"}


@pytest.mark.parametrize("text", ["x <= y + 1", "rank == 'Gold'", "'Gold' != rank", "rank == goal", "1 < 2"])
def test_check_accepts_what_has_a_meaning(text: str) -> None:
    """Numbers compare with numbers, categories with categories and with their own values."""
    assert check(constraint(text), players()) == "number"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rnak == 'Gold'", "did you mean 'rank'"),
        ("zzzzzz == 1", "'zzzzzz' is no field"),
        ("rank == 'gold'", "did you mean 'Gold'"),
        ("'Zinc' == rank", "which has"),
    ],
)
def test_check_refuses_unknown_words(text: str, words: str) -> None:
    """A field or value that does not exist is an error that names the nearest one."""
    with pytest.raises(BlueprintError, match=words) as caught:
        check(constraint(text), players())
    assert not isinstance(caught.value, NotApplicableError)


@pytest.mark.parametrize(
    "text", ["rank < 'Gold'", "rank == 1", "x == 'Gold'", "rank+1 > 0", "bio == 'a'", "'a' == 'b'", "abs(rank) > 1"]
)
def test_check_names_what_does_not_apply(text: str) -> None:
    """What has no common scale is not applicable, which is another thing than wrong."""
    with pytest.raises(NotApplicableError):
        check(constraint(text), players())


LEAVES = st.one_of(st.sampled_from(["x", "y", "z"]), st.integers(0, 9).map(str))
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        inner.map(lambda t: f"abs({t})"),
        inner.map(lambda t: f"(-{t})"),
    ),
    max_leaves=8,
)
WHOLE = st.integers(-6, 6)
ENDS = st.tuples(WHOLE, WHOLE).map(lambda pair: (float(min(pair)), float(max(pair))))


def in_python(text: str, at: dict[str, float]) -> float | None:
    """What Python makes of one of our own expressions; None where it divides by zero."""
    try:
        return float(eval(text, {"__builtins__": {"min": min, "max": max, "abs": abs}}, at))
    except ZeroDivisionError:
        return None


@given(TEXTS, st.fixed_dictionaries(dict.fromkeys("xyz", WHOLE.map(float))))
def test_points_are_plain_arithmetic(text: str, at: dict[str, float]) -> None:
    """Where every field is drawn, least and greatest are one number: the one that Python computes."""
    assume(len(text) <= 200)
    expected = in_python(text, at)
    assume(expected is not None)
    low, high = evaluate(parse(text), {name: (value, value) for name, value in at.items()})
    assert float(low) == float(high) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(TEXTS, st.fixed_dictionaries(dict.fromkeys("xyz", ENDS)), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_points_lie_in_their_intervals(text: str, ranges: dict[str, tuple[float, float]], shares: list[float]) -> None:
    """Whatever numbers are drawn from the ranges, the value lies between the least and the greatest."""
    assume(len(text) <= 200)
    low, high = evaluate(parse(text), ranges)
    corner = {name: float(round(a + s * (b - a))) for s, (name, (a, b)) in zip(shares, ranges.items(), strict=True)}
    value = in_python(text, corner)
    assume(value is not None)
    assert low - 1e-9 <= value <= high + 1e-9


@given(
    st.tuples(WHOLE, WHOLE, WHOLE, WHOLE, st.integers(1, 5)),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    WHOLE.map(float),
    st.floats(-50, 50),
)
def test_bounds_are_the_constraint(parts: tuple[int, int, int, int, int], op: str, y: float, x: float) -> None:
    """For a rule linear in x, x lies inside the bounds where the rule holds and outside where it does not."""
    a, b, c, d, e = parts
    tree = constraint(f"x*{a}+y*{b} {op} ({c}-x*{d})/{e}".replace("*-", "*(0-1)*").replace("--", "+"))
    slope, rest = a + d / e, y * b - c / e  # by hand: slope · x + rest  op  0
    assume(op != "==" or slope == 0)
    gap = slope * x + rest
    assume(abs(gap) > 1e-6 or slope == 0)
    assume(abs(rest) > 1e-9 or slope != 0)
    low, high = bounds(tree, "x", {"y": (y, y)}) or (None, None)
    expected = {"<": gap < 0, "<=": gap <= 0, ">": gap > 0, ">=": gap >= 0, "==": gap == 0}[op]
    assert bool(low <= x <= high) == expected
    assert bool(holds(tree, {"x": (x, x), "y": (y, y)}, 1)[0]) == expected


@given(TEXTS, st.sampled_from(["<", "<=", ">", ">=", "=="]), WHOLE.map(float), WHOLE.map(float), WHOLE.map(float))
def test_bounds_never_exclude_what_holds(text: str, op: str, x: float, y: float, z: float) -> None:
    """Whatever the rule, a number for which it holds lies inside the bounds, if there are any."""
    assume(len(text) <= 190)
    tree = Apply(op, (parse(text), parse("y + 1")))
    others = {"y": (y, y), "z": (z, z)}
    window = bounds(tree, "x", others)
    if window is not None and holds(tree, others | {"x": (x, x)}, 1)[0]:
        assert window[0] - 1e-9 <= x <= window[1] + 1e-9


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("x <= y-16", -np.inf, 24),
        ("x >= 2*y", 80, np.inf),
        ("x > 2*y", np.nextafter(80, 81), np.inf),
        ("100-x >= y", -np.inf, 60),
        ("x == y/4", 10, 10),
        ("2*x+y <= x", -np.inf, -40),
        ("x-x <= y", -np.inf, np.inf),
        ("x-x >= y", np.inf, -np.inf),
        ("x/(y-40) <= 1", np.inf, -np.inf),  # a division by zero holds nowhere
        ("x <= 1/(y-40)", np.inf, -np.inf),
        ("x*(y-50) <= 100", -10, np.inf),
    ],
)
def test_bounds_by_hand(text: str, low: float, high: float) -> None:
    """With y = 40, the interval left for x is the one found with pencil and paper."""
    found = bounds(constraint(text), "x", {"y": (np.array([40.0]), np.array([40.0]))})
    assert found is not None
    assert [float(np.ravel(end)[0]) for end in found] == [low, high]


@pytest.mark.parametrize("text", ["x != 3", "x*x <= 4", "y/x <= 4", "abs(x) <= 4", "min(x,3) <= 4", "(x<3)+y > 1"])
def test_bounds_of_what_is_not_linear(text: str) -> None:
    """Where the rule is no interval of x, there are no bounds rather than wrong ones."""
    assert bounds(constraint(text), "x", {"y": (1.0, 1.0)}) is None


def test_bounds_wait_for_what_is_not_drawn() -> None:
    """With y still anywhere in 20..30, x has to stay below the most that y can become."""
    assert bounds(constraint("x <= y"), "x", {"y": (20.0, 30.0)}) == (-np.inf, 30.0)
    assert bounds(constraint("x == y"), "x", {"y": (20.0, 30.0)}) == (20.0, 30.0)


def test_division_by_a_range_with_zero_may_be_anything() -> None:
    """A divisor that reaches zero leaves a rule open, neither certain nor impossible; at zero it holds nowhere."""
    rule = constraint("x/y > 1")
    certain, possible = evaluate(rule, {"x": (0, 10), "y": (0, 5)})
    assert (certain, possible) == (0, 1)
    for op in ("<", "<=", ">", ">=", "==", "!="):
        assert not holds(constraint(f"x/y {op} 1"), {"x": (3, 3), "y": (0, 0)}, 1)[0]


def test_whole_numbers_do_not_wrap_around() -> None:
    """Integer columns are computed with as numbers: 10^10 · 10^10 is 10^20, and 0 - 1 is -1 for unsigned ones too."""
    column = np.array([10**10])
    assert evaluate(parse("x * x"), {"x": (column, column)})[0].tolist() == [1e20]
    small = np.array([1], dtype=np.uint8)
    assert evaluate(parse("-x"), {"x": (small, small)})[0].tolist() == [-1]


def test_categories_compare_by_name() -> None:
    """Two categorical columns are equal where they show the same word, whatever their codes."""
    one = Categories(("Gold", "Silver"), np.array([0, 1, 0, -1]))
    other = Categories(("Silver", "Gold"), np.array([1, 1, 0, 0]))
    columns = {"rank": one, "goal": other}
    assert holds(constraint("rank == goal"), columns, 4).tolist() == [True, False, False, False]
    assert holds(constraint("rank != goal"), columns, 4).tolist() == [False, True, True, False]
    assert holds(constraint("rank == 'Gold'"), columns, 4).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("rank == 'Gold'", (0, 1)), ("rank == 'Zinc'", (0, 0)), ("rank != 'Zinc'", (1, 1)), ("rank != 'Gold'", (0, 1))],
)
def test_category_not_drawn_stays_open(text: str, verdict: tuple[float, float]) -> None:
    """Before a category is drawn, a rule on it is open, unless the value named can never come up."""
    assert evaluate(constraint(text), {"rank": Categories(("Gold", "Silver"))}) == verdict


@pytest.mark.parametrize("text", ["rank+1 > 0", "rank == x", "'a'+1 > 0"])
def test_evaluate_refuses_mixed_kinds(text: str) -> None:
    """A category is never taken for a number."""
    with pytest.raises(NotApplicableError):
        evaluate(constraint(text), {"rank": Categories(("a",)), "x": (1, 1)})


def test_holds_answers_for_every_row() -> None:
    """A rule that speaks of no column still has an answer for each row."""
    assert holds(constraint("1 < 2"), {}, 3).tolist() == [True, True, True]


@given(st.text(max_size=220))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, it becomes a tree or a blueprint error."""
    try:
        tree = parse(text)
    except BlueprintError:
        return
    assert isinstance(tree, Number | Name | Text | Apply)
