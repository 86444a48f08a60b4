"""Reports: a population compared with the blueprint it was drawn from.

Roots are compared as a whole; a child is compared within each branch of its distribution, weighted by size; a number
by its moments and its Kolmogorov-Smirnov distance (KS) from the distribution that was solved for it. The yardsticks
are those of `personalab.reports.fidelity`.

What cannot be judged, because its column is absent or its constraint compares what has no common scale, is listed
as *not applicable* with the reason, and counts neither for nor against the population.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint import moments
from personalab.blueprint.conditionals import ConditionalDistribution, find_distributions
from personalab.blueprint.constraints import names
from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.intervals import Categories, Interval, NotApplicableError, evaluate, holds, support
from personalab.blueprint.model import (
    AnyField,
    Blueprint,
    CategoricalField,
    Constraint,
    Numeric,
    NumericField,
    SampledField,
)
from personalab.blueprint.resolution import resolve
from personalab.blueprint.shape import FrozenDict
from personalab.blueprint.validation import demand_valid
from personalab.errors import BlueprintError, some
from personalab.frames import from_frame
from personalab.reports.associations import associations
from personalab.reports.diversity import Diversity, diversity, joined
from personalab.reports.fidelity import Floats, band, chance, distance, kolmogorov_smirnov, limit, p_value
from personalab.reports.interactions import worst_triple
from personalab.reports.values import (
    Cell,
    Edge,
    Marginal,
    Miss,
    Moments,
    Report,
    Verdict,
)
from personalab.writing.similarity import ROUNDING_ERROR

KS_EXPECTED = math.sqrt(math.pi / 2) * math.log(2)  # of √n · KS, the mean of Kolmogorov's distribution
WORST = 5  # cells and row names that are listed


def report(frame: pd.DataFrame, bp: Blueprint) -> Report:
    """Compare a population with its blueprint.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row a persona, one column a field. Columns may be missing, and may hold strings as read from a file;
        columns that the blueprint does not know are ignored.
    bp : Blueprint
        What was requested.

    Returns
    -------
    Report
        Marginals, conditionals, numerics, constraints and what could not be judged. Marginals of frames drawn ``iid``
        have a p-value; those of others have none, for they are closer to the blueprint by design than chance would be.

    Raises
    ------
    RequestError
        If the frame is empty, has none of the fields, or holds a value that its field does not have.
    BlueprintError
        If the blueprint itself cannot be sampled.

    Examples
    --------
    >>> import pandas as pd
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.5, "tail": 0.5}}}
    >>> bp = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> rep = report(pd.DataFrame({"side": ["head", "tail", "head"]}), bp)
    >>> round(rep.marginals[0].limit, 9), round(rep.marginals[0].expected_iid, 9)
    (0.166666667, 0.25)
    >>> print(rep.summary)
    1 root field is as close to the blueprint as 3 personas can be (TVD at most 0.17).
    """
    findings = demand_valid(bp)
    people = from_frame(bp, frame)
    absent = {field.name: "the frame has no such column" for field in bp.sampled if field.name not in people}
    drawn, gaps = _branches(bp, people)
    tied = {each.name: names(resolve(each, bp)) for each in bp.constraints if _can_bind(each, bp)}
    verdicts = tuple(_verdict(constraint, bp, people, frame.index) for constraint in bp.constraints)
    unjudged = {f"constraints.{each.name}": each.reason for each in verdicts if each.status == "not applicable"}
    pairs, unseen = associations(bp, people, {name: index for name, (_, index) in drawn.items()}, tied)
    varied, silence = _diversity(frame, bp)
    fields = [field for field in bp.sampled if field.name in drawn]
    is_random = frame.attrs.get("method") == "iid"
    bound = frozenset[str]().union(*tied.values())
    return Report(
        domain=bp.domain,
        n=len(frame),
        marginals=tuple(
            _marginal(root, people[root.name], is_random=is_random and root.name not in bound)
            for root in bp.roots
            if root.name in people
        ),
        conditionals=tuple(
            _edge(field, people, drawn[field.name], tied)
            for field in fields
            if isinstance(field, CategoricalField) and field.parents
        ),
        numerics=tuple(
            row
            for field in fields
            if isinstance(field, NumericField)
            for row in _moments(field, people[field.name], drawn[field.name], tied)
        ),
        constraints=verdicts,
        associations=tuple(pairs),
        interaction=worst_triple(bp, people, tied.values()),
        interpolated=FrozenDict({name: rows for name in drawn if (rows := _interpolated(drawn[name]))}),
        not_applicable=FrozenDict(absent | gaps | unjudged | silence | ({"associations": unseen} if unseen else {})),
        findings=findings,
        diversity=varied,
        contradictions=tuple(frame.attrs.get("contradictions", ())),
        doubles=tuple(frame.attrs.get("doubles", ())),
        method=frame.attrs.get("method"),
        rounding=frame.attrs.get("rounding"),
        seed=frame.attrs.get("seed"),
    )


Drawn = tuple[
    list[ConditionalDistribution], NDArray[np.intp]
]  # the distributions that occur, and each row's number among them


def _branches(bp: Blueprint, people: Columns) -> tuple[dict[str, Drawn], dict[str, str]]:
    """Which branch each row of each field was drawn from, and the fields whose parents are absent."""
    drawn, gaps = {}, {}
    for name in people:
        field: SampledField = bp[name]  # type: ignore[assignment]  # texts are not among people
        missing = [parent for parent in field.parents if parent not in people]
        if missing:
            gaps[name] = f"it depends on {missing[0]!r}, and the frame has no such column"
            continue
        found, index = find_distributions(bp, field, people)
        if None in found:
            raise BlueprintError(f"no distribution of {name!r} is stated for some of these people")
        drawn[name] = _in_order(found, index, [people[parent] for parent in field.parents])  # type: ignore[arg-type]  # None is ruled out
    return drawn, gaps


def _in_order(found: list[ConditionalDistribution], index: NDArray[np.intp], parents: list[Array]) -> Drawn:
    """Number the branches anew, in the order of their parents' values rather than of the rows."""
    _, first = np.unique(index, return_index=True)
    order = np.lexsort([column[first] for column in reversed(parents)]) if parents else np.arange(len(found))
    return [found[number] for number in order], np.argsort(order)[index]


def _marginal(field: CategoricalField, column: Array, *, is_random: bool) -> Marginal:
    n = len(column)
    requested = field.shares()
    achieved = np.bincount(column, minlength=len(requested)) / n
    found, (expected, spread) = distance(requested, achieved), chance(requested, n)
    rows = zip(
        field.values, requested.tolist(), achieved.tolist(), *map(np.ndarray.tolist, band(requested, n)), strict=True
    )
    return Marginal(
        attribute=field.name,
        n=n,
        cells=tuple(Cell(*row) for row in rows),
        total_variation_distance=found,
        limit=limit(requested, n),
        expected_iid=expected,
        p_value=p_value(requested, n, found) if is_random else None,
        spread_iid=spread,
    )


def _edge(field: CategoricalField, people: Columns, drawn: Drawn, tied: Mapping[str, frozenset[str]]) -> Edge:
    found, index = drawn
    codes, size, n = people[field.name], len(field.values), len(index)
    counts = np.bincount(index * size + codes, minlength=len(found) * size).reshape(len(found), size)
    groups = counts.sum(axis=1)
    requested = np.array([field.shares(branch.distribution) for branch in found])  # type: ignore[arg-type]
    achieved = counts / groups[:, None]

    def mean(values: Iterable[float]) -> float:
        return math.fsum(value * int(size) for value, size in zip(values, groups, strict=True)) / n

    astray = np.abs(counts - requested * groups[:, None])
    worst = [(b, v) for b, v in zip(*_largest(astray), strict=True) if astray[b, v] > ROUNDING_ERROR * n]
    pairs = list(zip(requested, groups.tolist(), strict=True))
    expected, spread = zip(*(chance(p, size) for p, size in pairs), strict=True)
    return Edge(
        attribute=field.name,
        parents=field.parents,
        n=n,
        branches=len(found),
        total_variation_distance=mean(map(distance, requested, achieved)),
        limit=mean(limit(p, size) for p, size in pairs),
        expected_iid=mean(expected),
        worst=tuple(
            Miss(found[b].label, int(groups[b]), field.values[v], float(requested[b, v]), float(achieved[b, v]))
            for b, v in worst
        ),
        constraints=tuple(name for name, fields in tied.items() if field.name in fields),
        spread_iid=math.hypot(*(each * size for each, size in zip(spread, groups, strict=True))) / n,
    )


def _largest(values: Floats) -> tuple[list[int], list[int]]:
    """Row and column of the largest entries, largest first."""
    first = np.argsort(-values, axis=None, kind="stable")[:WORST]
    rows, columns = np.unravel_index(first, values.shape)
    return rows.tolist(), columns.tolist()


def _moments(
    field: NumericField, values: Floats, drawn: Drawn, tied: Mapping[str, frozenset[str]]
) -> Iterator[Moments]:
    found, index = drawn
    ends = np.cumsum(np.bincount(index, minlength=len(found)))
    groups = np.split(values[np.argsort(index, kind="stable")], ends[:-1])
    for branch, group in zip(found, groups, strict=True):
        stated: Numeric = branch.distribution  # type: ignore[assignment]  # a numeric field states moments
        achieved = {"min": group.min(), "max": group.max(), "mean": group.mean(), "sd": group.std()}
        yield Moments(
            attribute=field.name,
            branch=branch.label if field.parents else "all",
            origin=branch.origin,
            n=len(group),
            requested=FrozenDict({key: float(getattr(stated, key)) for key in achieved}),
            achieved=FrozenDict({key: float(value) for key, value in achieved.items()}),
            ks=kolmogorov_smirnov(group, moments.solve(stated)),
            ks_expected=KS_EXPECTED / math.sqrt(len(group)),
            outside=int(np.count_nonzero((group < stated.min) | (group > stated.max))),
            constraints=tuple(name for name, fields in tied.items() if field.name in fields),
        )


def _can_bind(constraint: Constraint, bp: Blueprint) -> bool:
    """Whether a constraint can be judged, and excludes anything that the fields' ranges allow."""
    try:
        tree = resolve(constraint, bp)
    except BlueprintError:
        return False
    certain, _ = evaluate(tree, {name: support(bp[name]) for name in names(tree)})
    return not certain > 0


def _verdict(constraint: Constraint, bp: Blueprint, people: Columns, index: pd.Index[Any]) -> Verdict:
    try:
        tree = resolve(constraint, bp)
    except NotApplicableError as error:
        return Verdict(constraint.name, str(constraint), "not applicable", reason=str(error))
    missing = sorted(name for name in names(tree) if name not in people)
    if missing:
        reason = f"the frame has no column {some([repr(name) for name in missing])}"
        return Verdict(constraint.name, str(constraint), "not applicable", reason=reason)
    breaking = ~holds(tree, {name: _known(bp[name], people[name]) for name in names(tree)}, len(index))
    count = int(np.count_nonzero(breaking))
    first = tuple(str(label) for label in index[np.flatnonzero(breaking)[:WORST]])
    return Verdict(constraint.name, str(constraint), "violated" if count else "held", count, first)


def _known(field: AnyField, column: Array) -> Interval | Categories:
    return Categories(field.values, column) if isinstance(field, CategoricalField) else (column, column)


def _interpolated(drawn: Drawn) -> int:
    found, index = drawn
    lines = [number for number, branch in enumerate(found) if branch.origin == "interpolated"]
    return int(np.isin(index, lines).sum())


def _diversity(frame: pd.DataFrame, bp: Blueprint) -> tuple[Diversity | None, dict[str, str]]:
    """Of the text fields joined, or of the portraits where the blueprint has none; people without any are left out."""
    written = joined(frame, bp).tolist()
    if len(written) >= 2:
        return diversity(written), {}
    if len(frame) < 2:
        return None, {"diversity": "one persona has nobody to be compared with"}
    return None, {"diversity": "fewer than two personas have texts"}
