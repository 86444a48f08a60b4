"""Reports: what is known of a population's fidelity, as frozen values that can put themselves into words.

A distance here is the total variation distance (TVD), half the sum of the absolute differences of all shares, in
[0, 1]: the share of people who would have to change. It always stands between two yardsticks that depend on the
requested shares and the number of people only: the least that any population of this size can have, and what
independent draws give. `personalab.reports.fidelity` measures; here the results are held, tabulated and told.

Nothing is rounded to nothing: a distance prints with the digits that count, two shares that differ print
differently, and people who break a constraint are counted exactly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from personalab.blueprint.conditionals import Origin
from personalab.blueprint.display import GREY, ORANGE, as_lines, render
from personalab.blueprint.display import percent as percent
from personalab.blueprint.display import positional as positional
from personalab.blueprint.model import FrozenDict
from personalab.blueprint.validation import Finding
from personalab.errors import some
from personalab.writing.diversity import Diversity

Status = Literal["held", "violated", "not applicable"]
Rows = list[tuple[str, ...]]

COVERAGE = 0.95  # of independent draws, inside a cell's band
DUST = 1e-12  # a distance below this is the arithmetic's own, not a miss
MOST_ROWS = 12  # of one table in the text form

# What a way of drawing means for whoever computes something from the people.
METHODS = {
    "balanced": "Counts are apportioned and combinations spread evenly, so that shares, means and associations vary "
    "less than in a random sample: no test or standard error for independent draws applies.",
    "quota": "Counts are apportioned, so that no standard error for independent draws applies, and a test of a field "
    "against its own weights never rejects. Who combines which values is left to chance: tests of independence between "
    "unrelated fields keep their size.",
    "iid": "Independent draws: the TVD expected is the one by chance, p is how often they lie at least as far off, and "
    "tests and standard errors apply.",
}
UNBIASED = (
    "Counts of roots are right on average, each within one person of n·p: a TVD above the best possible is meant."
)


@dataclass(frozen=True)
class Cell:
    """One value of a field: its share as requested and as achieved.

    Attributes
    ----------
    key : str
        The value.
    requested, achieved : float
        Shares in [0, 1].
    low, high : float
        The band: where 95 % of independent draws of as many people fall, and never narrower than the two counts
        next to the requested one, which rounding alone can force.
    """

    key: str
    requested: float
    achieved: float
    low: float
    high: float

    @property
    def is_outside(self) -> bool:
        """Whether the achieved share lies outside the band."""
        return not self.low - DUST <= self.achieved <= self.high + DUST


@dataclass(frozen=True)
class Marginal:
    """A root field's shares, requested against achieved.

    Attributes
    ----------
    attribute : str
        The field.
    n : int
        How many people.
    cells : tuple of Cell
        In the blueprint's order of values.
    total_variation_distance : float
        Half the sum of absolute differences, in [0, 1], not rounded.
    limit : float
        The least TVD that any population of `n` can have.
    expected_iid : float
        The TVD expected of `n` independent draws.
    p_value : float or None
        How often independent draws are at least as far from the blueprint, where the people were drawn ``iid`` and no
        constraint restricts the field. None otherwise: quotas leave nothing to test.
    """

    attribute: str
    n: int
    cells: tuple[Cell, ...]
    total_variation_distance: float
    limit: float
    expected_iid: float
    p_value: float | None = None

    @property
    def outside(self) -> int:
        """How many cells lie outside their band."""
        return sum(cell.is_outside for cell in self.cells)

    @property
    def is_at_limit(self) -> bool:
        """Whether no population of this size could be closer."""
        return self.total_variation_distance <= self.limit + DUST

    @property
    def verdict(self) -> str:
        """What the TVD means, in words."""
        if self.total_variation_distance == 0:
            return "exact"
        if self.is_at_limit:
            return f"as close as {self.n:,} can be"
        if self.outside:
            return f"{self.outside} of {len(self.cells)} outside the band"
        return "closer than chance" if self.total_variation_distance < self.expected_iid else "as chance gives"


@dataclass(frozen=True)
class Miss:
    """A cell of a conditional distribution that is far from what was requested."""

    branch: str
    n: int
    key: str
    requested: float
    achieved: float


@dataclass(frozen=True)
class Edge:
    """A child field's shares within the branches of its distribution.

    Attributes
    ----------
    attribute : str
        The child.
    parents : tuple of str
        What it depends on.
    n : int
        How many people.
    branches : int
        How many distinct distributions occur among them.
    total_variation_distance, limit, expected_iid : float
        As for `Marginal`, each the mean over branches, weighted by the people in them.
    worst : tuple of Miss
        Up to five cells, those with the most people too many or too few.
    constraints : tuple of str
        Names of the constraints that speak of the field: where they bind, a distance is their doing.
    """

    attribute: str
    parents: tuple[str, ...]
    n: int
    branches: int
    total_variation_distance: float
    limit: float
    expected_iid: float
    worst: tuple[Miss, ...]
    constraints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Moments:
    """A numeric field within one branch: promises against what was drawn.

    Attributes
    ----------
    attribute : str
        The field.
    branch : str
        Which people: the branch's conditions.
    origin : {"conditional", "interpolated", "base"}
        How its distribution came to hold.
    n : int
        How many people.
    requested : mapping
        Stated ``min``, ``max``, ``mean``, ``sd``.
    achieved : mapping
        The same four of the people; the sd divides by `n`, for they are the population.
    ks : float
        Greatest distance between the people's cumulative shares and the solved law's, in [0, 1].
    ks_expected : float
        About what independent draws give, 0.87/√n at most; less where the law has few distinct values.
    outside : int
        How many people lie outside the stated range.
    constraints : tuple of str
        As for `Edge`; where they bind, the achieved mean differs by right.
    """

    attribute: str
    branch: str
    origin: Origin
    n: int
    requested: Mapping[str, float]
    achieved: Mapping[str, float]
    ks: float
    ks_expected: float
    outside: int
    constraints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What became of one constraint.

    Attributes
    ----------
    name, expression : str
        As in the blueprint.
    status : {"held", "violated", "not applicable"}
        The last where it cannot be judged; `reason` says why.
    violations : int
        How many people break it.
    rows : tuple of str
        Index labels of the first five of them.
    reason : str
        Why it is not applicable, else empty.
    """

    name: str
    expression: str
    status: Status
    violations: int = 0
    rows: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Association:
    """How strongly two roots go together that the blueprint calls independent.

    Attributes
    ----------
    fields : tuple of str
        The two of them.
    cramers_v : float
        Cramér's V in [0, 1], not corrected: it is above 0 for independent draws too.
    by_chance : float
        √E[V²] of independent draws with the same shares: √(max(r - 1, c - 1)/(n - 1)), r and c the values that occur.
    """

    fields: tuple[str, str]
    cramers_v: float
    by_chance: float


@dataclass(frozen=True)
class Table:
    """A part of a report as text, for whoever shows it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, repr=False)
class Report:
    """How closely a population matches its blueprint.

    Attributes
    ----------
    domain : str
        The blueprint's name for the population.
    n : int
        How many people.
    marginals : tuple of Marginal
        One per categorical root.
    conditionals : tuple of Edge
        One per categorical field with parents.
    numerics : tuple of Moments
        One per numeric field and branch that occurs.
    constraints : tuple of Verdict
        One per constraint.
    associations : tuple of Association
        One per pair of roots that no constraint ties together.
    interpolated : mapping of str to int
        How many people were drawn from an interpolated branch, per field where there are any.
    not_applicable : mapping of str to str
        What could not be judged, and why.
    findings : tuple of Finding
        The linter's warnings and notes on the blueprint.
    diversity : Diversity or None
        Of the written texts, where at least two people have any.
    contradictions, doubles : tuple of str
        The personas whose text speaks against one of their fields, and those who have the name, or nearly the
        text, of somebody before them, after all redraws.
    method, rounding, seed : str, str, int or None
        How the frame was drawn, where it says so.
    """

    domain: str
    n: int
    marginals: tuple[Marginal, ...] = ()
    conditionals: tuple[Edge, ...] = ()
    numerics: tuple[Moments, ...] = ()
    constraints: tuple[Verdict, ...] = ()
    associations: tuple[Association, ...] = ()
    interpolated: Mapping[str, int] = dataclasses.field(default_factory=FrozenDict)
    not_applicable: Mapping[str, str] = dataclasses.field(default_factory=FrozenDict)
    findings: tuple[Finding, ...] = ()
    diversity: Diversity | None = None
    contradictions: tuple[str, ...] = ()
    doubles: tuple[str, ...] = ()
    method: str | None = None
    rounding: str | None = None
    seed: int | None = None

    def contract(self) -> dict[str, Any]:
        """The report's part of the contract's ``result``.

        Returns
        -------
        dict
            ``diversity`` (where texts were written) and ``marginals``, as plain data; empty for one persona.
        """
        if self.n < 2:
            return {}
        marginals = [
            {
                "attribute": marginal.attribute,
                "cells": [
                    {"key": cell.key, "requested": cell.requested, "achieved": cell.achieved} for cell in marginal.cells
                ],
                "total_variation_distance": marginal.total_variation_distance,
            }
            for marginal in self.marginals
        ]
        return ({"diversity": self.diversity.to_dict()} if self.diversity else {}) | {"marginals": marginals}

    def to_dict(self) -> dict[str, Any]:
        """Put everything in the report as plain data.

        Returns
        -------
        dict
            What JSON can hold, a key an attribute.
        """
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @property
    def summary(self) -> str:
        """The report in one sentence."""
        return "; ".join(_clauses(self)) + "."

    @property
    def tables(self) -> tuple[Table, ...]:
        """The report as tables of text, without those that would be empty."""
        made = (_root_table(self), _edge_table(self), _moment_table(self), _constraint_table(self), _pair_table(self))
        return tuple(table for table in made if table.rows)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know besides: interpolation, gaps, method, findings."""
        return tuple(_remarks(self))

    def __repr__(self) -> str:
        return f"Report({self.domain!r}, n={self.n}: {self.summary})"

    def __str__(self) -> str:
        parts = [f"{self.domain}: {self.summary}", *(_as_text(table) for table in self.tables), "\n".join(self.remarks)]
        return "\n\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        return render(
            "report.html.j2",
            rep=self,
            roots=[_still(root) for root in self.marginals],
            coverage=percent(COVERAGE),
            colours={"grey": GREY, "orange": ORANGE},
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def brief(value: float) -> str:
    """A distance for people: two digits that count, and never 0 unless it is."""
    return f"{value:.2g}" if value else "0"


def change(requested: float, achieved: float, *, is_share: bool = False) -> str:
    """Two numbers with an arrow between, with as many digits as it takes to tell them apart."""
    show = percent if is_share else positional
    for digits in range(3 if is_share else 4, 16):
        before, after = show(requested, digits), show(achieved, digits)
        if before != after or abs(requested - achieved) <= DUST * max(abs(requested), abs(achieved), 1):
            break
    return f"{before} → {after}"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _clauses(rep: Report) -> Iterator[str]:
    yield _root_clause(rep)
    by_status = {status: [each for each in rep.constraints if each.status == status] for status in ("held", "violated")}
    for each in by_status["violated"]:
        yield f"{each.name} ({each.expression}) is violated by {_plural(each.violations, 'persona')}"
    if by_status["held"]:
        rest = " other" if by_status["violated"] else ""
        yield f"{_plural(len(by_status['held']), f'{rest} constraint'.strip())} held"
    astray = sum(each.outside for each in rep.numerics)
    if astray:
        yield f"{_plural(astray, 'number')} outside the stated range"
    unjudged = [what for what in rep.not_applicable if what != "diversity"]
    if unjudged:
        yield f"{len(unjudged)} not applicable: {some(unjudged)}"


def _root_clause(rep: Report) -> str:
    people, roots = _plural(rep.n, "persona"), _plural(len(rep.marginals), "root field")
    verb = "is" if len(rep.marginals) == 1 else "are"
    if not rep.marginals:
        return f"{people}, and no root field to compare"
    worst = max(rep.marginals, key=lambda each: each.total_variation_distance - each.limit)
    most = max(each.total_variation_distance for each in rep.marginals)
    if most == 0:
        return f"{roots} {verb} exactly as the blueprint asks, over {people}"
    if worst.is_at_limit:
        return f"{roots} {verb} as close to the blueprint as {people} can be (TVD at most {brief(most)})"
    yardsticks = f"at best {brief(worst.limit)}, {brief(worst.expected_iid)} expected by chance"
    outside, cells = sum(each.outside for each in rep.marginals), sum(len(each.cells) for each in rep.marginals)
    return (
        f"{people}: {worst.attribute} is furthest from the blueprint, by a TVD of "
        f"{brief(worst.total_variation_distance)} ({yardsticks}); {outside} of {cells} shares of {roots} "
        f"outside the {percent(COVERAGE)} band"
    )


def _root_table(rep: Report) -> Table:
    rows: Rows = []
    for each in rep.marginals:
        worst = max(each.cells, key=lambda cell: abs(cell.achieved - cell.requested))
        miss = f"{worst.key} {change(worst.requested, worst.achieved, is_share=True)}"
        rows.append((
            each.attribute,
            miss if each.total_variation_distance else "none",
            brief(each.total_variation_distance),
            brief(each.limit),
            brief(each.expected_iid),
            "" if each.p_value is None else brief(each.p_value),
            each.verdict,
        ))  # fmt: skip
    return _without_empty("Roots", ("field", "largest miss", "TVD", "at best", "by chance", "p", "verdict"), rows)


def _edge_table(rep: Report) -> Table:
    rows: Rows = []
    for each in rep.conditionals:
        miss = "none"
        if each.worst:
            worst = each.worst[0]
            shift = change(worst.requested, worst.achieved, is_share=True)
            miss = f"{worst.key} {shift} ({worst.branch}, n={worst.n:,})"
        rows.append((
            each.attribute,
            ", ".join(each.parents),
            miss,
            brief(each.total_variation_distance),
            brief(each.limit),
            brief(each.expected_iid),
            ", ".join(each.constraints),
        ))  # fmt: skip
    header = ("field", "given", "largest miss", "TVD", "at best", "by chance", "constrained by")
    return _without_empty("Children, within their parents' values", header, rows)


def _moment_table(rep: Report) -> Table:
    rows: Rows = [
        (
            each.attribute,
            each.branch + (" (interpolated)" if each.origin == "interpolated" else ""),
            f"{each.n:,}",
            change(each.requested["mean"], each.achieved["mean"]),
            change(each.requested["sd"], each.achieved["sd"]),
            brief(each.ks),
            brief(each.ks_expected),
            f"{each.outside:,}" if each.outside else "",
            ", ".join(each.constraints),
        )
        for each in rep.numerics
    ]
    header = ("field", "where", "n", "mean", "sd", "KS", "by chance", "out of range", "constrained by")
    return _without_empty("Numbers", header, rows)


def _constraint_table(rep: Report) -> Table:
    rows: Rows = []
    for each in rep.constraints:
        more = ", …" if each.violations > len(each.rows) else ""
        broken = f"{each.violations:,}: {', '.join(each.rows)}{more}" if each.violations else ""
        rows.append((each.name, each.expression, each.status, broken + each.reason))
    return _without_empty("Constraints", ("name", "rule", "status", "rows"), rows)


def _pair_table(rep: Report) -> Table:
    rows = [(" and ".join(each.fields), brief(each.cramers_v), brief(each.by_chance)) for each in rep.associations]
    return Table("Association of independent roots", ("pair", "Cramér's V", "by chance"), tuple(rows))


def _without_empty(title: str, header: tuple[str, ...], rows: Rows) -> Table:
    """A table without the columns that say nothing."""
    kept = [i for i, _ in enumerate(header) if any(row[i] for row in rows)]
    return Table(title, tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def _remarks(rep: Report) -> Iterator[str]:
    if rep.diversity:
        alike = rep.diversity
        yield (
            f"Texts: mean similarity {brief(alike.mean_pairwise_similarity)}, at most "
            f"{brief(alike.max_pairwise_similarity)}, {_plural(alike.duplicate_pairs, 'duplicate pair')}."
        )
    if rep.contradictions:
        told = _plural(len(rep.contradictions), "persona")
        yield f"Contradicted: the texts of {told} speak against a field: {some(list(rep.contradictions))}."
    if rep.doubles:
        told = _plural(len(rep.doubles), "persona")
        yield f"Doubled: {told} read like somebody before them: {some(list(rep.doubles))}."
    for name, rows in rep.interpolated.items():
        yield f"Interpolated: {name} in {rows:,} of {_plural(rep.n, 'row')}, where the blueprint states nothing."
    if any(edge.constraints for edge in rep.conditionals) or any(each.constraints for each in rep.numerics):
        yield "Constrained: where a constraint binds it comes first; shares, means and sds may differ from the stated."
    for what, reason in rep.not_applicable.items():
        yield f"Not applicable: {what}, because {reason}."
    if rep.method:
        yield _method(rep)
    for finding in rep.findings:
        yield f"Blueprint: {finding}"


def _method(rep: Report) -> str:
    """How the people were drawn, and what follows for whoever computes something from them."""
    rounding = rep.rounding if rep.method != "iid" else None  # nothing is rounded where each is drawn alone
    how = [f"drawn {rep.method}", f"rounding {rounding}" if rounding else ""]
    how += [f"seed {rep.seed}" if rep.seed is not None else ""]
    told = [f"Method: {', '.join(filter(None, how))}.", METHODS.get(rep.method or "", "")]
    return " ".join(filter(None, [*told, UNBIASED if rounding == "unbiased" else ""]))


def _as_text(table: Table) -> str:
    lines = as_lines(table.header, table.rows[:MOST_ROWS])
    if len(table.rows) > MOST_ROWS:
        lines.append(f"… and {len(table.rows) - MOST_ROWS:,} more rows")
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def _still(root: Marginal) -> dict[str, Any]:
    """A root's band, line and dot, cell by cell, in per cent of a strip that ends where the greatest share does."""
    upto = max(max(cell.high, cell.achieved) for cell in root.cells) or 1.0

    def at(share: float) -> float:
        return round(100 * share / upto, 1)

    rows = [
        {
            "value": cell.key,
            "requested": percent(cell.requested),
            "achieved": percent(cell.achieved),
            "low": at(cell.low),
            "width": round(at(cell.high) - at(cell.low), 1),
            "requested_at": at(cell.requested),
            "achieved_at": at(cell.achieved),
            "outside": cell.is_outside,
        }
        for cell in root.cells
    ]
    told = f"TVD {brief(root.total_variation_distance)}, {root.verdict}"
    return {"name": root.attribute, "told": told, "upto": percent(upto), "rows": rows}
