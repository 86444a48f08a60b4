"""Whether drawn fields go together in threes: the interaction of every triple of unrelated roots, beside `quota`'s.

``python benchmarks/interactions.py [SEEDS]`` prints for `balanced` and `quota` the share of triples with p < .001, the
least p, and the mean χ² over its degrees of freedom of triples and of pairs, over as many populations (3 unless told).
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from personalab import Blueprint, sample

SHAPES = ((6, 30), (12, 100), (12, 300), (12, 1000), (20, 2000), (12, 20_000))  # fields, people


def interaction(codes: tuple[NDArray[np.intp], ...], sizes: tuple[int, ...]) -> tuple[float, int]:
    """χ² of what all of the fields share and no fewer of them (Lancaster 1951), and its degrees of freedom."""
    n, table = len(codes[0]), np.zeros(sizes)
    np.add.at(table, codes, 1.0)
    for axis, (code, size) in enumerate(zip(codes, sizes, strict=True)):
        root = np.sqrt(np.bincount(code, minlength=size) / n)[:, None]
        contrasts = np.linalg.qr(np.hstack([root, np.eye(size)[:, 1:]]))[0][:, 1:] / root
        table = np.moveaxis(np.tensordot(contrasts, table, (0, axis)), 0, axis)
    return float((table**2).sum() / n), table.size


def main(seeds: int) -> None:
    """Print the table."""
    sys.stdout.write("fields      n  method    p < .001     least p  triples    pairs\n")
    for fields, n in SHAPES:
        sizes = [2 + i % 5 for i in range(fields)]
        bp = Blueprint.from_dict({"domain": "d", "order": [f"f{i}" for i in range(fields)], "fields": [
            {"name": f"f{i}", "kind": "categorical", "categorical": {"weights": {f"v{j}": 1 / k for j in range(k)}}}
            for i, k in enumerate(sizes)]})  # fmt: skip
        for method in ("quota", "balanced"):
            ratios: dict[int, list[float]] = {2: [], 3: []}
            p_values: list[float] = []
            for seed in range(seeds):
                frame = sample(bp, n, seed=seed, method=method)  # type: ignore[arg-type]  # mypy forgets the literals
                columns = [column.cat.codes.to_numpy(dtype=np.intp) for _, column in frame.items()]
                for which in (each for size in (2, 3) for each in itertools.combinations(range(fields), size)):
                    chi2, df = interaction(tuple(columns[i] for i in which), tuple(sizes[i] for i in which))
                    ratios[len(which)].append(chi2 / df)
                    p_values += [float(stats.chi2.sf(chi2, df))] if len(which) == 3 else []
            told = f"{np.mean(np.array(p_values) < 1e-3):9.2%}  {min(p_values):10.1e}"
            means = f"{np.mean(ratios[3]):7.3f}  {np.mean(ratios[2]):7.3f}"
            sys.stdout.write(f"{fields:6}{n:7}  {method:8} {told}  {means}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
