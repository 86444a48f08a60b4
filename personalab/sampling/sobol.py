"""Points: where each person stands, evenly spread in every field at once.

Independent random numbers cluster: of ten, three fall into one fifth. A Sobol sequence fills the unit cube evenly in
each dimension and in each pair of them, and Owen's scrambling makes it random without making it uneven. Every field
gets a dimension, scrambled by the seed and the field's own name, so that no field's values disturb another's.

Which dimension is decided by the field's place in the blueprint's order, so that appending a field moves no other,
while inserting and reordering do. Up to 512 points, where some pairs of dimensions go in step, it is the best of many
candidates, again by its place. A choice by name would move none, but dimensions far down the sequence fit badly
together: of 512 points the worst of 66 pairs then has a χ² of 57 times its degrees of freedom, worse than independent
draws (4), while the first dimensions stay at 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEW = 512  # points, above which Sobol's dimensions fill every square evenly
SPARE = 64  # dimensions to choose from where points are few, and as many again for every so many chosen


def stream(seed: int, name: str, chunk: int = 0) -> np.random.Generator:
    """Return a field's own random numbers: a function of seed, name and chunk, so that no field disturbs another."""
    return np.random.default_rng([seed, _digest(name, 8), *([chunk] if chunk else [])])


def coordinates(names: Sequence[str], n: int, seed: int) -> dict[str, Floats]:
    """Return a scrambled Sobol point a row, in [0, 1): a dimension a name, each scrambled by the seed and that name."""
    return {name: whole / 2.0**32 for name, whole in keys(names, n, seed).items()}


def keys(names: Sequence[str], n: int, seed: int, *, start: int = 0) -> dict[str, NDArray[np.uint32]]:
    """Return the points' coordinates as whole numbers of 32 bits.

    Parameters
    ----------
    names : sequence of str
        A dimension each, in this order: appending a name leaves the others where they are.
    n : int
        How many points.
    seed : int
        With a name, what scrambles its dimension.
    start : int
        The place of the first point in the sequence, so that a long one can be had in parts.

    Returns
    -------
    dict of str to array of uint32
        An array of `n` a name.
    """
    whole = _few(len(names), n) if n <= FEW and not start else _many(len(names), n, start)
    return {name: _scrambled(row, _digest(f"{seed}/{name}", 4)) for name, row in zip(names, whole, strict=False)}


def _many(dimensions: int, n: int, start: int) -> NDArray[np.uint32]:
    """Points as Sobol has them, of which every two dimensions fill their square; a row a dimension."""
    from scipy.stats import qmc

    sobol = qmc.Sobol(dimensions, scramble=False)
    points = sobol.fast_forward(start).random(n) if start else sobol.random_base2((n - 1).bit_length())[:n]
    return np.ascontiguousarray((points.T * 2**32).astype(np.uint32))


@lru_cache(maxsize=8)
def _few(dimensions: int, n: int) -> NDArray[np.uint32]:
    """Points of which every two dimensions fill their square as evenly as can be found; a row a dimension.

    Among few points some pairs of Sobol's dimensions leave half of the square empty (of 32 points even two dimensions
    of the first 24 may go in step), and no scrambling mends that. There each dimension is chosen among many, and
    among shuffled copies of them.
    """
    from scipy.stats import qmc

    blocks, rng = max(1, -(-dimensions // SPARE)), np.random.default_rng(0)
    sobol = qmc.Sobol(blocks * SPARE, scramble=False).random_base2(max(0, (n - 1).bit_length()))[:n]
    many = np.hstack([each for block in np.split(sobol, blocks, 1) for each in (block, rng.permuted(block, axis=0))])
    unevenness = _unevenness(many) ** 2  # squared, so that one bad pair weighs more than several fair ones
    chosen, burden = [0], unevenness[0].copy()
    while len(chosen) < dimensions:
        burden[chosen[-1]] = np.inf
        spare = 2 * SPARE * (len(chosen) // SPARE + 1)  # however many are still to come
        chosen.append(int(np.argmin(burden[:spare])))
        burden += unevenness[chosen[-1]]
    return np.ascontiguousarray((many[:, chosen[:dimensions]].T * 2**32).astype(np.uint32))


def _unevenness(points: Floats) -> Floats:
    """The χ² of each two dimensions' counts in 4 x 4 cells, by its degrees of freedom: 1 is what chance gives."""
    n, d = points.shape
    is_in = np.zeros((d, 4, n), dtype=np.float32)
    is_in[np.arange(d)[:, None], (points.T * 4).astype(int), np.arange(n)] = 1
    total = is_in.sum(axis=2).reshape(-1)
    counts = is_in.reshape(4 * d, n) @ is_in.reshape(4 * d, n).T
    expected = np.maximum(np.outer(total, total) / n, 1 / n)
    return np.asarray(((counts - expected) ** 2 / expected).reshape(d, 4, d, 4).sum(axis=(1, 3)) / 9, dtype=float)


def _digest(text: str, size: int) -> int:
    """A number of so many bytes that a text decides, everywhere alike."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")


def _scrambled(x: NDArray[np.uint32], key: int) -> NDArray[np.uint32]:
    """Owen's nested scrambling by a hash (Laine & Karras 2011, with the constants of Burley 2020)."""
    x = _reversed_bits(x) + np.uint32(key)
    for factor in (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6):
        x = x ^ (x * np.uint32(factor))
    return _reversed_bits(x)


def _reversed_bits(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for mask, shift in ((0x55555555, 1), (0x33333333, 2), (0x0F0F0F0F, 4), (0x00FF00FF, 8)):
        x = ((x >> np.uint32(shift)) & np.uint32(mask)) | ((x & np.uint32(mask)) << np.uint32(shift))
    return (x >> np.uint32(16)) | (x << np.uint32(16))
