"""Fidelity: how closely a population matches the blueprint it was drawn from, and how closely it could.

Ten people cannot be 25 % anything, so a distance between requested and achieved shares says little alone. Each one
here stands between two yardsticks that depend on the requested shares and on the number of people only:

- the *limit*, the least distance that any population of this size can have;
- the distance *expected of independent draws*, what honest chance gives.

The distance is the total variation distance (TVD), half the sum of the absolute differences of all shares, in
[0, 1]: the share of people who would have to change. Every cell also has a *band*, where 95 % of independent draws
fall. Roots are compared as a whole; a child is compared within each branch of its distribution, weighted by size;
a number by its moments and its Kolmogorov-Smirnov distance (KS) from the law that was solved for it.

What cannot be judged, because its column is absent or its constraint compares what has no common scale, is listed
as *not applicable* with the reason, and counts neither for nor against the population.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from personalab.blueprint import moments
from personalab.blueprint.conditionals import Branch, branches
from personalab.blueprint.constraints import names
from personalab.blueprint.intervals import Categories, Interval, evaluate, holds, support
from personalab.blueprint.model import (
    Blueprint,
    Categorical,
    CategoricalField,
    Constraint,
    FrozenDict,
    Numeric,
    NumericField,
    SampledField,
    nearest,
)
from personalab.blueprint.resolution import resolve
from personalab.blueprint.validation import demand_valid
from personalab.errors import BlueprintError, NotApplicableError, RequestError
from personalab.frames import from_frame
from personalab.reports.report import (
    COVERAGE,
    DUST,
    Association,
    Cell,
    Edge,
    Marginal,
    Miss,
    Moments,
    Report,
    Verdict,
    some,
)
from personalab.sampling.apportionment import largest_remainder
from personalab.sampling.draw import shares
from personalab.writing.diversity import Diversity, diversity, joined

Floats = NDArray[np.float64]

KS_EXPECTED = math.sqrt(math.pi / 2) * math.log(2)  # of √n · KS, the mean of Kolmogorov's distribution
WORST = 5  # cells and row names that are listed
TRIALS = 1999  # simulated populations a p-value rests on: its standard error is 0.005 at 5 %, its least value 0.0005

# Words that pandas takes for a missing value when it reads a file: North America's "NA" comes back as nan.
_READ_AS_MISSING = ("", "NA", "N/A", "n/a", "None", "null", "NULL", "nan", "NaN", "<NA>")


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
    people, absent = _read(frame, bp)
    drawn, gaps = _branches(bp, people)
    tied = {each.name: names(resolve(each, bp)) for each in bp.constraints if _can_bind(each, bp)}
    verdicts = tuple(_verdict(constraint, bp, people) for constraint in bp.constraints)
    unjudged = {f"constraints.{each.name}": each.reason for each in verdicts if each.status == "not applicable"}
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
            for row in _moments(field, people[field.name].to_numpy(), drawn[field.name], tied)
        ),
        constraints=verdicts,
        associations=tuple(_associations(bp, people, tied.values())),
        interpolated=FrozenDict({name: rows for name in drawn if (rows := _interpolated(drawn[name]))}),
        not_applicable=FrozenDict(absent | gaps | unjudged | silence),
        findings=findings,
        diversity=varied,
        contradictions=tuple(frame.attrs.get("contradictions", ())),
        doubles=tuple(frame.attrs.get("doubles", ())),
        method=frame.attrs.get("method"),
        rounding=frame.attrs.get("rounding"),
        seed=frame.attrs.get("seed"),
    )


def distance(requested: ArrayLike, achieved: ArrayLike) -> float:
    """Total variation distance: half the sum of absolute differences of two sets of shares, in [0, 1].

    Parameters
    ----------
    requested, achieved : array of float
        Shares of the same values, each summing to 1.

    Returns
    -------
    float
        Not rounded, but 0 where nothing but the arithmetic's own error is left.
    """
    found = math.fsum(np.abs(np.asarray(requested) - np.asarray(achieved)).tolist()) / 2
    return found if found > DUST else 0.0


def limit(requested: ArrayLike, n: int) -> float:
    """The least total variation distance that any `n` people can have.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.

    Returns
    -------
    float
        What the largest-remainder apportionment leaves, which is the least for every Lp distance.

    Examples
    --------
    >>> round(limit([0.2, 0.3, 0.25, 0.15, 0.07, 0.03], 10), 12)
    0.08
    """
    p = np.asarray(requested, dtype=float)
    return distance(p, largest_remainder(p, n) / n)


def expected_iid(requested: ArrayLike, n: int) -> float:
    """The total variation distance expected of `n` independent draws.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.

    Returns
    -------
    float
        Exact: half the sum of the binomials' mean absolute deviations, 2 k (1 - p) P(X = k) with k = ⌊np⌋ + 1
        (De Moivre 1730; Diaconis and Zabell 1991).

    Examples
    --------
    >>> round(expected_iid([0.5, 0.5], 1), 9)
    0.5
    """
    from scipy.special import gammaln, xlog1py, xlogy

    p = np.asarray(requested, dtype=float)
    p = p[(p > 0) & (p < 1)]
    k = np.minimum(np.floor(n * p) + 1, n)
    log_mass = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    return float(np.sum(k * (1 - p) * np.exp(log_mass)) / n)


def p_value(requested: ArrayLike, n: int, found: float) -> float:
    """How often `n` independent draws are at least as far from the requested shares as was found.

    Parameters
    ----------
    requested : array of float
        Shares summing to 1.
    n : int
        How many people, at least 1.
    found : float
        A total variation distance.

    Returns
    -------
    float
        A Monte Carlo p-value in (0, 1] from 1,999 simulated populations, the observed one counted among them (Barnard
        1963; Dwass 1957): valid for any `n`, where χ² wants five expected people a cell. The same arguments always
        give the same value.

    Examples
    --------
    >>> p_value([0.5, 0.5], 10, 0.0), p_value([0.5, 0.5], 10, 0.5) < 0.01
    (1.0, True)
    """
    p = np.asarray(requested, dtype=float)
    counts = np.random.default_rng(0).multinomial(n, p / p.sum(), size=TRIALS)
    distances = np.abs(counts / n - p).sum(axis=1) / 2
    return (1 + int(np.count_nonzero(distances >= found - DUST))) / (1 + TRIALS)


def band(requested: ArrayLike, n: int) -> tuple[Floats, Floats]:
    """Where 95 % of independent draws of `n` people fall, share by share.

    Parameters
    ----------
    requested : array of float
        Shares in [0, 1].
    n : int
        How many people, at least 1.

    Returns
    -------
    tuple of two arrays of float
        Lower and upper end as shares: binomial quantiles at 2.5 % and 97.5 %, widened where needed to hold the two
        counts next to the requested one.
    """
    p = np.asarray(requested, dtype=float)
    tail = (1 - COVERAGE) / 2
    low = np.minimum(_quantile(tail, n, p), np.floor(n * p + DUST))
    high = np.maximum(_quantile(1 - tail, n, p), np.ceil(n * p - DUST))
    return low / n, high / n


def _quantile(q: float, n: int, p: Floats) -> Floats:
    """The least count that a binomial of `n` and `p` stays at or below with probability `q`."""
    from scipy.special import bdtr, bdtrik

    inside = (p > 0) & (p < 1)
    safe = np.where(inside, p, 0.5)
    real = bdtrik(q, n, safe)  # nan where nearly all mass is on none or all
    above = np.ceil(np.where(np.isnan(real), np.rint(n * safe), real))  # the count itself or one too many
    below = np.maximum(above - 1, 0)
    return np.where(inside, np.where(bdtr(below, n, safe) >= q, below, above), n * p)


def kolmogorov_smirnov(values: Floats, law: moments.Law) -> float:
    """Greatest distance between the cumulative shares of values and those of a law, in [0, 1]."""
    at, counts = np.unique(values, return_counts=True)
    upto = np.cumsum(counts) / len(values)
    below = upto - counts / len(values)
    # Both step functions are constant between values and jumps, so the extremes lie at a value or just before one.
    before = law.cdf(np.nextafter(at, -np.inf))
    return float(max(np.abs(upto - law.cdf(at)).max(), np.abs(below - before).max()))


Drawn = tuple[list[Branch], NDArray[np.intp]]  # the branches that occur, and each row's number among them


def _read(frame: pd.DataFrame, bp: Blueprint) -> tuple[pd.DataFrame, dict[str, str]]:
    """The sampled fields of a frame, categories in the blueprint's order, numbers as floats; and what is absent."""
    if not isinstance(frame, pd.DataFrame):
        raise RequestError(
            f"a {type(frame).__name__} is no pandas frame", hint="give one; Dask's becomes one by .compute()"
        )
    if not len(frame):
        raise RequestError("the frame has no rows, and nobody is like no blueprint", hint="sample at least one")
    if not frame.columns.is_unique:
        twice = dict.fromkeys(repr(name) for name in frame.columns[frame.columns.duplicated()])
        raise RequestError(f"the frame has two columns of one name: {some(list(twice))}", hint="keep one of them")
    present = [field for field in bp.sampled if field.name in frame.columns]
    if not present:
        raise RequestError(
            f"the frame has none of the fields of {bp.domain!r}, but {[str(name) for name in frame.columns]}",
            hint=f"its columns should be among {[field.name for field in bp.sampled]}",
        )
    read = {field.name: _column(frame[field.name], field) for field in present}
    absent = {field.name: "the frame has no such column" for field in bp.sampled if field.name not in read}
    return pd.DataFrame(read, index=frame.index), absent


def _column(column: pd.Series[Any], field: SampledField) -> pd.Series[Any]:
    if isinstance(field, CategoricalField):
        return _categories(column, field)
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = ~np.isfinite(numbers.to_numpy())
    if wrong.any():
        named = list(dict.fromkeys(repr(value) for value in column[wrong]))
        raise RequestError(
            f"column {field.name!r} holds what is no number: {some(named)} ({int(wrong.sum()):,} rows)",
            hint="correct these rows, or drop the column to leave it unjudged",
        )
    return numbers


def _categories(column: pd.Series[Any], field: CategoricalField) -> pd.Series[Any]:
    codes, uniques = pd.factorize(column)
    place = {value: code for code, value in enumerate(field.values)}
    words = [_word(value) for value in uniques]
    strange = [word for word in words if word not in place]
    if (codes < 0).any():
        lost = [value for value in field.values if value in _READ_AS_MISSING]
        raise RequestError(
            f"column {field.name!r} has no value in {int((codes < 0).sum()):,} rows",
            hint=f"pandas reads {lost[0]!r} as missing: pass keep_default_na=False to read_csv" if lost else
            "drop these rows, or the column to leave it unjudged",
        )  # fmt: skip
    if strange:
        close = {word: nearest(word, place) for word in strange}
        named = [f"{word!r}" + (f" (did you mean {close[word]!r}?)" if close[word] else "") for word in strange]
        raise RequestError(
            f"column {field.name!r} holds what is no value of it: {some(named)}",
            hint=f"its values are {some([repr(value) for value in place], 12)}",
        )
    lookup = np.array([place[word] for word in words], dtype=np.intp)
    made = pd.Categorical.from_codes(lookup[codes], dtype=pd.CategoricalDtype(list(field.values)))
    return pd.Series(made, index=column.index)


def _word(value: Any) -> str:
    """A category as the blueprint spells it: a file's 3.0 is the value "3"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _branches(bp: Blueprint, people: pd.DataFrame) -> tuple[dict[str, Drawn], dict[str, str]]:
    """Which branch each row of each field was drawn from, and the fields whose parents are absent."""
    drawn, gaps, columns = {}, {}, from_frame(bp, people)
    for name in people.columns:
        field: SampledField = bp[name]  # type: ignore[assignment]  # texts are not among people
        missing = [parent for parent in field.parents if parent not in people]
        if missing:
            gaps[name] = f"it depends on {missing[0]!r}, and the frame has no such column"
            continue
        found, index = branches(bp, field, columns)
        if None in found:
            raise BlueprintError(f"no distribution of {name!r} is stated for some of these people")
        drawn[name] = _in_order(found, index, people[list(field.parents)])  # type: ignore[arg-type]  # None is ruled out
    return drawn, gaps


def _in_order(found: list[Branch], index: NDArray[np.intp], parents: pd.DataFrame) -> Drawn:
    """Number the branches anew, in the order of their parents' values rather than of the rows."""
    _, first = np.unique(index, return_index=True)
    keys = [_number(parents[name].iloc[first]) for name in reversed(parents.columns)]
    order = np.lexsort(keys) if keys else np.arange(len(found))
    return [found[number] for number in order], np.argsort(order)[index]


def _number(column: pd.Series[Any]) -> Floats:
    values = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
    return np.asarray(values, dtype=float)


def _counts(column: pd.Series[Any], size: int) -> NDArray[np.intp]:
    return np.bincount(column.cat.codes.to_numpy(), minlength=size)


def _marginal(field: CategoricalField, column: pd.Series[Any], *, is_random: bool) -> Marginal:
    n = len(column)
    requested = shares(field, field.categorical or Categorical(weights={}))
    achieved = _counts(column, len(requested)) / n
    found = distance(requested, achieved)
    rows = zip(
        field.values, requested.tolist(), achieved.tolist(), *map(np.ndarray.tolist, band(requested, n)), strict=True
    )
    return Marginal(
        attribute=field.name,
        n=n,
        cells=tuple(Cell(*row) for row in rows),
        total_variation_distance=found,
        limit=limit(requested, n),
        expected_iid=expected_iid(requested, n),
        p_value=p_value(requested, n, found) if is_random else None,
    )


def _edge(field: CategoricalField, people: pd.DataFrame, drawn: Drawn, tied: Mapping[str, frozenset[str]]) -> Edge:
    found, index = drawn
    codes, size, n = people[field.name].cat.codes.to_numpy(), len(field.values), len(people)
    counts = np.bincount(index * size + codes, minlength=len(found) * size).reshape(len(found), size)
    groups = counts.sum(axis=1)
    requested = np.array([shares(field, branch.distribution) for branch in found])  # type: ignore[arg-type]
    achieved = counts / groups[:, None]

    def mean(values: Iterable[float]) -> float:
        return math.fsum(value * int(size) for value, size in zip(values, groups, strict=True)) / n

    astray = np.abs(counts - requested * groups[:, None])
    worst = [(b, v) for b, v in zip(*_largest(astray), strict=True) if astray[b, v] > DUST * n]
    pairs = list(zip(requested, groups.tolist(), strict=True))
    return Edge(
        attribute=field.name,
        parents=field.parents,
        n=n,
        branches=len(found),
        total_variation_distance=mean(map(distance, requested, achieved)),
        limit=mean(limit(p, size) for p, size in pairs),
        expected_iid=mean(expected_iid(p, size) for p, size in pairs),
        worst=tuple(
            Miss(found[b].label, int(groups[b]), field.values[v], float(requested[b, v]), float(achieved[b, v]))
            for b, v in worst
        ),
        constraints=tuple(name for name, fields in tied.items() if field.name in fields),
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
            ks=kolmogorov_smirnov(group, moments.law(stated)),
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


def _verdict(constraint: Constraint, bp: Blueprint, people: pd.DataFrame) -> Verdict:
    try:
        tree = resolve(constraint, bp)
    except NotApplicableError as error:
        return Verdict(constraint.name, str(constraint), "not applicable", reason=str(error))
    missing = sorted(name for name in names(tree) if name not in people)
    if missing:
        reason = f"the frame has no column {some([repr(name) for name in missing])}"
        return Verdict(constraint.name, str(constraint), "not applicable", reason=reason)
    breaking = ~holds(tree, {name: _known(people[name]) for name in names(tree)}, len(people))
    count = int(np.count_nonzero(breaking))
    first = tuple(str(label) for label in people.index[np.flatnonzero(breaking)[:WORST]])
    return Verdict(constraint.name, str(constraint), "violated" if count else "held", count, first)


def _known(column: pd.Series[Any]) -> Interval | Categories:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return Categories(tuple(column.cat.categories), column.cat.codes.to_numpy())
    values = column.to_numpy()
    return values, values


def _associations(bp: Blueprint, people: pd.DataFrame, tied: Iterable[frozenset[str]]) -> Iterator[Association]:
    ties = list(tied)
    roots = [root for root in bp.roots if root.name in people]
    for a, b in itertools.combinations(roots, 2):
        if any({a.name, b.name} <= fields for fields in ties):
            continue
        sizes = len(a.values), len(b.values)
        cells = people[a.name].cat.codes.to_numpy().astype(np.intp) * sizes[1] + people[b.name].cat.codes.to_numpy()
        table = np.bincount(cells, minlength=sizes[0] * sizes[1]).reshape(sizes)
        table = table[table.any(axis=1)][:, table.any(axis=0)]
        rows, columns = table.shape
        if min(rows, columns) < 2:
            continue  # where all have the same value, nothing can go together with it
        n = int(table.sum())
        even = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
        v = math.sqrt(float(((table - even) ** 2 / even).sum()) / n / (min(rows, columns) - 1))
        yield Association((a.name, b.name), min(v, 1.0), math.sqrt(max(rows - 1, columns - 1) / (n - 1)))


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
