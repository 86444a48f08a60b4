"""The words of a report: its clauses, tables of text and remarks.

Nothing is rounded to nothing: a distance prints with the digits that count, two shares that differ print
differently, and people who break a constraint are counted exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from personalab.blueprint.display import as_lines, percent, positional
from personalab.errors import some
from personalab.reports.fidelity import COVERAGE
from personalab.writing.similarity import ROUNDING_ERROR

if TYPE_CHECKING:
    from personalab.reports.values import Marginal, Report

Rows = list[tuple[str, ...]]

TOLD = 3  # of what is beyond chance, in the first sentence
ENOUGH = -math.log(1e-4)  # people whom a value should have, of whom chance leaves none once in 10,000 times
MOST_ROWS = 12  # of one table in the text form
PAIRS = 8  # that a table tells of; `Report.frame` has all that are kept

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
class Table:
    """A part of a report as text, for whoever shows it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def brief(value: float) -> str:
    """A distance for people: two digits that count, and never 0 unless it is."""
    return f"{value:.2g}" if value else "0"


def change(requested: float, achieved: float, *, is_share: bool = False) -> str:
    """Two numbers with an arrow between, with as many digits as it takes to tell them apart."""
    show = percent if is_share else positional
    for digits in range(3 if is_share else 4, 16):
        before, after = show(requested, digits), show(achieved, digits)
        if before != after or abs(requested - achieved) <= ROUNDING_ERROR * max(abs(requested), abs(achieved), 1):
            break
    return f"{before} → {after}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def clauses(rep: Report) -> Iterator[str]:
    """The summary, clause by clause: what is worst of everything first, and praise only where nothing is amiss.

    Yields
    ------
    str
        A clause.
    """
    by_status = {status: [each for each in rep.constraints if each.status == status] for status in ("held", "violated")}
    found = [f"{each.name} ({each.expression}) is violated by {_plural(each.violations, 'persona')}"
             for each in by_status["violated"]]  # fmt: skip
    missing = list(_missing(rep))
    found += [f"nobody has what the blueprint asks for: {some(missing)}"] if missing else []
    found += [told for _, told in sorted(_misses(rep), key=lambda miss: -miss[0])]
    if found:
        yield f"{_plural(rep.n, 'persona')}: {found[0]}"
        yield from found[1:TOLD]
        if len(found) > TOLD:
            yield f"{len(found) - TOLD:,} more are beyond chance"
    yield _root_clause(rep, is_plain=bool(found))
    if by_status["held"]:
        rest = " other" if by_status["violated"] else ""
        yield f"{_plural(len(by_status['held']), f'{rest} constraint'.strip())} held"
    astray = sum(each.outside for each in rep.numerics)
    if astray:
        yield f"{_plural(astray, 'number')} outside the stated range"
    if rep.interaction and rep.interaction.is_strange:
        yield f"{', '.join(rep.interaction.fields)} go together as a triple, which the blueprint does not say"
    unjudged = [what for what in rep.not_applicable if what != "diversity"]
    if unjudged:
        yield f"{len(unjudged)} not applicable: {some(unjudged)}"


def _missing(rep: Report) -> Iterator[str]:
    """The values that somebody should have and nobody has: quotas give one to each person due, and chance may not."""
    least = 1 if rep.method in ("balanced", "quota") else ENOUGH
    for root in rep.marginals:
        for cell in root.cells:
            if not cell.achieved and cell.requested * root.n >= least:
                yield f"{root.attribute}={cell.key}, {percent(cell.requested)}"
    for edge in rep.conditionals:
        for miss in edge.worst:
            if not miss.achieved and miss.requested * miss.n >= ENOUGH:
                yield f"{edge.attribute}={miss.key}, {percent(miss.requested)} where {miss.branch}"


def _misses(rep: Report) -> Iterator[tuple[float, str]]:
    """What is further from the blueprint than chance explains: by what share of the people, and in words."""
    for root in rep.marginals:
        if root.is_beyond_chance:
            off, usual = root.total_variation_distance, root.expected_iid
            yield off - usual, f"{root.attribute} {_off('TVD', off, usual)}"
    for edge in rep.conditionals:
        if edge.is_beyond_chance:
            off, usual, given = edge.total_variation_distance, edge.expected_iid, ", ".join(edge.parents)
            yield off - usual, f"{edge.attribute} given {given} {_off('TVD', off, usual)}{_bound(edge.constraints)}"
    for each in rep.numerics:
        if each.is_beyond_chance:
            where = each.attribute if each.branch == "all" else f"{each.attribute} where {each.branch}"
            told = f"{where} {_off('KS', each.ks, each.ks_expected)}{_bound(each.constraints)}"
            yield (each.ks - each.ks_expected) * each.n / rep.n, told
    for pair in rep.associations:
        if pair.is_beyond_chance:
            given = f" given {', '.join(pair.given)}" if pair.given else ""
            told = f"{' and '.join(pair.fields)} go together (Cramér's V {brief(pair.cramers_v)}, "
            told += f"{brief(pair.by_chance)} by chance), and should be independent{given}"
            yield pair.distance - pair.distance_by_chance, told


def _off(measure: str, off: float, usual: float) -> str:
    return f"is off by a {measure} of {brief(off)} ({brief(usual)} expected by chance)"


def _bound(constraints: tuple[str, ...]) -> str:
    return f", as {', '.join(constraints)} may demand" if constraints else ""


def _root_clause(rep: Report, *, is_plain: bool) -> str:
    people, roots = _plural(rep.n, "persona"), _plural(len(rep.marginals), "root field")
    verb = "is" if len(rep.marginals) == 1 else "are"
    if not rep.marginals:
        return "no root field to compare" if is_plain else f"{people}, and no root field to compare"
    worst = max(rep.marginals, key=lambda each: each.total_variation_distance - each.limit)
    most = max(each.total_variation_distance for each in rep.marginals)
    if is_plain:
        return f"{roots} within a TVD of {brief(most)} (at best {brief(max(each.limit for each in rep.marginals))})"
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


def tables(rep: Report) -> tuple[Table, ...]:
    """The report as tables of text, without those that would be empty."""
    made = (_root_table(rep), _edge_table(rep), _moment_table(rep), _constraint_table(rep), _pair_table(rep))
    return tuple(table for table in made if table.rows)


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
    rows: Rows = [
        (
            " and ".join(each.fields),
            ", ".join(each.given),
            brief(each.cramers_v),
            brief(each.by_chance),
            "beyond chance" if each.is_beyond_chance else "",
        )
        for each in rep.associations[:PAIRS]
    ]
    header = ("pair", "given", "Cramér's V", "by chance", "verdict")
    return _without_empty("Association of fields that should be independent", header, rows)


def frame(part: str, items: Sequence[Any]) -> pd.DataFrame:
    """A part of a report as a frame; what is nested gets columns of its own, or a cell of words."""
    if part == "marginals":
        return pd.DataFrame([{"attribute": root.attribute, **vars(cell)} for root in items for cell in root.cells])
    rows = []
    for item in items:
        row: dict[str, Any] = {}
        for key, value in vars(item).items():
            if isinstance(value, Mapping):
                row |= {f"{name}_{key}": each for name, each in value.items()}
            elif key != "worst":  # cells of an edge, which are rows of another kind
                row[key] = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        rows.append(row)
    return pd.DataFrame(rows)


def _without_empty(title: str, header: tuple[str, ...], rows: Rows) -> Table:
    """A table without the columns that say nothing."""
    kept = [i for i, _ in enumerate(header) if any(row[i] for row in rows)]
    return Table(title, tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def remarks(rep: Report) -> Iterator[str]:
    """What a reader should know besides the tables."""
    if rep.diversity:
        alike = rep.diversity
        yield (
            f"Texts: mean similarity {brief(alike.mean_pairwise_similarity)}, at most "
            f"{brief(alike.max_pairwise_similarity)}, {_plural(alike.duplicate_pairs, 'duplicate pair')}."
        )
    if rep.interaction:
        worst = rep.interaction
        yield (
            f"Triples: of {_plural(worst.tested, 'triple')} of unrelated roots, {', '.join(worst.fields)} go together "
            f"most: χ²/df {brief(worst.chi2_per_df)}, p {brief(worst.p_value)} among as many."
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


def as_text(table: Table) -> str:
    """A table in columns, its first rows only."""
    lines = as_lines(table.header, table.rows[:MOST_ROWS])
    if len(table.rows) > MOST_ROWS:
        lines.append(f"… and {len(table.rows) - MOST_ROWS:,} more rows")
    return "\n".join([table.title, *(f"  {line}" for line in lines)])


def still(root: Marginal) -> dict[str, Any]:
    """A root's band, line and dot, cell by cell, in per cent of a strip that ends where the greatest share does."""
    upto = max(max(cell.high, cell.achieved) for cell in root.cells) or 1.0

    def at(share: float) -> float:
        """Where a share ends on the strip."""
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
