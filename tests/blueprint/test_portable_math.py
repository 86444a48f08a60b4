"""Elementary functions that are right, and made of nothing but what IEEE 754 fixes to the last bit."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab.blueprint import moments, portable_math
from personalab.blueprint.portable_math import exp, interpolated, log, log1p, total

# What libraries and processors round in ways of their own.
LOOSE = {"exp", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "sin", "cos", "tan", "sum", "average"}
LOOSE |= {"dot", "inner", "outer", "matmul", "einsum", "linalg", "special", "interp", "geomspace", "logspace"}


@given(st.floats(-740, 709))
def test_exp_is_exp(x: float) -> None:
    """The exponential is within 4 units in the last place of numpy's."""
    assert float(exp(np.array(x))) == pytest.approx(float(np.exp(x)), rel=1e-15, abs=1e-322)


def test_exp_at_its_ends() -> None:
    """Far below nothing is left, at 0 it is 1."""
    assert exp(np.array([-np.inf, -1e300, -746.0, 0.0])).tolist() == [0, 0, 0, 1]


@given(st.floats(1e-300, 1e300))
def test_log_is_log(x: float) -> None:
    """The logarithm is within 1e-15 of numpy's, relative to the greater of it and 1."""
    assert float(log(np.array(x))) == pytest.approx(float(np.log(x)), rel=1e-15, abs=1e-15)


@given(st.floats(-0.5, 1))
def test_log1p_is_log1p(x: float) -> None:
    """Near 0 too the logarithm of 1 + x keeps its digits."""
    assert float(log1p(np.array(x))) == pytest.approx(float(np.log1p(x)), rel=2e-15)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_total_goes_from_left_to_right(x: list[float]) -> None:
    """A sum is what adding one number after the other by hand gives, to the bit."""
    by_hand = x[0]
    for each in x[1:]:
        by_hand += each
    assert float(total(np.array(x))) == by_hand
    assert total(np.array([x, x])).tolist() == [by_hand, by_hand]


def test_interpolated_is_interp() -> None:
    """Lines, steps and both ends are where numpy has them."""
    at, values = np.array([0.0, 0.0, 0.25, 1.0, 1.0]), np.array([-2.0, 1.0, 1.0, 3.0, 7.0])
    x = np.array([0.0, 0.1, 0.25, 0.5, 0.999, 1.0])
    assert interpolated(x, at, values) == pytest.approx(np.interp(x, at, values))


@pytest.mark.parametrize("module", [portable_math, moments], ids=lambda module: module.__name__)
def test_nothing_loose_is_used(module: ModuleType) -> None:
    """No power, no matrix product and no function whose last bits depend on the machine is in the source."""
    tree = ast.parse(inspect.getsource(module))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    operations = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]
    assert attributes & LOOSE == set()
    assert {ast.unparse(node) for node in operations if isinstance(node.op, ast.Pow | ast.MatMult)} <= {"2.0 ** 53"}
