"""Constraints over columns: where they hold, where they still can, and what they leave of one field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from personalab.blueprint.constraints import Apply, Level, Number, parse
from personalab.blueprint.intervals import Categories, NotApplicableError, bounds, evaluate, holds, pieces


def constraint(text: str) -> Apply:
    """A comparison written in one piece, such as ``x <= y + 1``."""
    tree = parse(text)
    assert isinstance(tree, Apply)
    return tree


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


def test_levels_compare_by_their_order() -> None:
    """A category with an order counts from its least value, whatever its codes; a missing value holds nowhere."""
    order = ("low", "mid", "high")
    rule = Apply(">=", (Level("rank", order), Number(1.0)))
    codes = np.array([0, 1, 2, -1])
    assert holds(rule, {"rank": Categories(("high", "low", "mid"), codes)}, 4).tolist() == [True, False, True, False]
    assert evaluate(rule, {"rank": Categories(("low", "mid"))}) == (0, 1)
    assert evaluate(rule, {"rank": Categories(("high",))}) == (1, 1)


def test_a_conjunction_holds_where_all_of_it_does() -> None:
    """A chain, and what ``and`` joins; each comparison of it comes to stand alone."""
    rule = constraint("1 < x <= 3 and y == 0")
    x, y = np.array([1.0, 2, 3, 4, 2]), np.array([0.0, 0, 0, 0, 1])
    assert holds(rule, {"x": (x, x), "y": (y, y)}, 5).tolist() == [False, True, True, False, False]
    assert pieces(rule) == [constraint("1 < x"), constraint("x <= 3"), constraint("y == 0")]
