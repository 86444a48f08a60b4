"""Portable math: the elementary functions and sums whose last bit no machine decides.

A seed is worth something if it yields the same frame everywhere. IEEE 754 fixes the result of a single addition,
multiplication, division or square root to the last bit, and of nothing else: exponentials and logarithms come from
the C library or from numpy's loops for the processor at hand, sums are taken in the order that suits its registers,
and BLAS fuses both. What a distribution is solved with is therefore built here from the fixed operations alone, each
for a whole array at a time and in an order of its own.

It stays by measurement. numpy's own exp and log end in other bits on processors with AVX-512 than without (numpy
issues 23523 and 22904, both open), and the last bit matters: with ``np.exp``, ``np.log`` and ``np.log1p`` in their
stead, which differ from these in one of ten numbers and by one bit, 93 of 111 frames of ``benchmarks/determinism.py``
came out different somewhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG2E = 1.4426950408889634
# ln 2 in two parts (Cody & Waite 1980): whole multiples of the first, which ends in 20 zero bits, are exact.
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
# Taylor coefficients of exp up to r^13 and of atanh(z)/z up to z^32: beyond, less than half a bit on |r| <= ln(2)/2
# and on |z| <= 1/3.
EXP = [1 / 6227020800, 1 / 479001600, 1 / 39916800, 1 / 3628800, 1 / 362880, 1 / 40320, 1 / 5040]
EXP += [1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0]
ATANH = [1 / (2 * k + 1) for k in reversed(range(17))]


def exp(x: Floats) -> Floats:
    """Power `x` of e, elementwise, to 2 units in the last place; 0 below -745 and infinite above 709.78."""
    k = np.rint(np.clip(x, -800.0, 800.0) * LOG2E)
    r = np.clip(x, -800.0, 800.0) - k * LN2_HIGH - k * LN2_LOW
    result: Floats = np.ldexp(_polynomial(EXP, r), k.astype(np.int64))
    return result


def log(x: Floats) -> Floats:
    """Natural logarithm of positive numbers, elementwise, to 1e-15 of the greater of it and 1."""
    mantissa, exponent = np.frexp(x)
    z = (mantissa - 1) / (mantissa + 1)
    result: Floats = exponent * LN2_HIGH + (exponent * LN2_LOW + 2 * z * _polynomial(ATANH, z * z))
    return result


def log1p(x: Floats) -> Floats:
    """Natural logarithm of 1 + `x`, elementwise, for x from -1/2 to 1."""
    z = x / (2 + x)
    return 2 * z * _polynomial(ATANH, z * z)


def total(x: Floats) -> Floats:
    """Sum along the last axis, one number after the other, which is the only order a cumulative sum can have."""
    sums: Floats = np.cumsum(x, axis=-1)[..., -1]
    return sums


def interpolated(x: Floats, at: Floats, values: Floats) -> Floats:
    """Where straight lines through points, ascending in both directions, have got to at `x`, from ``at[0]`` upwards."""
    left = np.searchsorted(at, x, side="right") - 1
    right = np.minimum(left + 1, len(at) - 1)
    start, low, high = at[left], values[left], values[right]
    with np.errstate(all="ignore"):  # beyond the last point nothing is divided by nothing
        within = low + (x - start) / (at[right] - start) * (high - low)
    return np.where(left == right, high, np.minimum(within, high))


def _polynomial(coefficients: list[float], x: Floats) -> Floats:
    """Horner's rule, the highest power first."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result *= x
        result += coefficient
    return result
