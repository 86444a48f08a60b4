"""Values: what is known of how closely a population follows its blueprint, as frozen values that show themselves.

A distance here is the total variation distance (TVD), half the sum of the absolute differences of all shares, in
[0, 1]: the share of people who would have to change. It always stands between two yardsticks that depend on the
requested shares and the number of people only: the least that any population of this size can have, and what
independent draws give (`personalab.reports.fidelity`). Their words are in `personalab.reports.text`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd

from personalab.blueprint.conditionals import Origin
from personalab.blueprint.display import GREY, ORANGE, percent, render
from personalab.blueprint.shape import FrozenDict
from personalab.blueprint.validation import Finding
from personalab.errors import RequestError
from personalab.reports import text
from personalab.reports.diversity import Diversity
from personalab.reports.fidelity import COVERAGE
from personalab.writing.similarity import ROUNDING_ERROR

BEYOND = 4  # standard deviations above the mean, where chance no longer comes
KS_BEYOND = 2.23  # of √n · KS: independent draws come so far once in 10,000 times (Kolmogorov 1933)
Part = Literal["marginals", "conditionals", "numerics", "constraints", "associations", "findings"]
Status = Literal["held", "violated", "not applicable"]

STRANGE = 1e-3  # below which a p-value among all triples is no accident of an honest draw


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
        return not self.low - ROUNDING_ERROR <= self.achieved <= self.high + ROUNDING_ERROR


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
    spread_iid : float
        The standard deviation of the TVD of independent draws.
    """

    attribute: str
    n: int
    cells: tuple[Cell, ...]
    total_variation_distance: float
    limit: float
    expected_iid: float
    p_value: float | None = None
    spread_iid: float = 0.0

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the distance is more than chance explains."""
        return self.total_variation_distance > self.expected_iid + BEYOND * self.spread_iid

    @property
    def outside(self) -> int:
        """How many cells lie outside their band."""
        return sum(cell.is_outside for cell in self.cells)

    @property
    def is_at_limit(self) -> bool:
        """Whether no population of this size could be closer."""
        return self.total_variation_distance <= self.limit + ROUNDING_ERROR

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
    spread_iid : float
        The standard deviation of that distance among independent draws.
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
    spread_iid: float = 0.0

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the distance is more than chance explains."""
        return self.total_variation_distance > self.expected_iid + BEYOND * self.spread_iid


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
        Greatest distance between the people's cumulative shares and the solved distribution's, in [0, 1].
    ks_expected : float
        About what independent draws give, 0.87/√n at most; less where few values are distinct.
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

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the KS distance is more than chance explains."""
        return self.ks > KS_BEYOND / math.sqrt(self.n)


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
    """How strongly two fields go together that the blueprint calls independent.

    Attributes
    ----------
    fields : tuple of str
        The two of them.
    cramers_v : float
        Cramér's V in [0, 1], not corrected: it is above 0 for independent draws too.
    by_chance : float
        √E[V²] of independent draws with the same shares.
    given : tuple of str
        The parents of the second, within whose values the two are compared.
    distance, distance_by_chance : float
        The share of people who would have to change for the two to be independent, and what chance gives of it.
    is_beyond_chance : bool
        Whether the distance is more than chance explains.
    """

    fields: tuple[str, str]
    cramers_v: float
    by_chance: float
    given: tuple[str, ...] = ()
    distance: float = 0.0
    distance_by_chance: float = 0.0
    is_beyond_chance: bool = False


@dataclass(frozen=True)
class Interaction:
    """How strongly three unrelated roots go together beyond what any two of them show: the worst of all triples.

    Attributes
    ----------
    fields : tuple of str
        The three of them.
    chi2_per_df : float
        χ² of the interaction over its degrees of freedom, about 1 by chance; (q + 1)/(q - 1) for ``balanced``, with q
        the prime whose square lies nearest to the number of people.
    p_value : float
        How often chance gives one as strong or stronger among as many triples (Bonferroni), in [0, 1].
    tested : int
        How many triples were looked at.
    """

    fields: tuple[str, str, str]
    chi2_per_df: float
    p_value: float
    tested: int

    @property
    def is_strange(self) -> bool:
        """Whether chance would give it less than once in a thousand populations."""
        return self.p_value < STRANGE


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
        Pairs of fields that the blueprint calls independent, given their parents; the one furthest beyond chance first.
    interaction : Interaction or None
        The worst of the triples of unrelated roots, numbers among them, where there are any and people enough.
    interpolated : mapping of str to int
        How many people were drawn from an interpolated branch, per field where there are any.
    not_applicable : mapping of str to str
        What could not be judged, and why.
    findings : tuple of Finding
        Validation's warnings and notes on the blueprint.
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
    interaction: Interaction | None = None
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

    def frame(self, part: Part) -> pd.DataFrame:
        """Put a part of the report as a frame.

        Parameters
        ----------
        part : {"marginals", "conditionals", "numerics", "constraints", "associations", "findings"}
            Which.

        Returns
        -------
        pandas.DataFrame
            A row a cell of a marginal, an edge, a branch of a number, a constraint, a pair, or a finding.

        Raises
        ------
        RequestError
            If there is no such part.
        """
        if part not in get_args(Part):
            raise RequestError(f"a report has no part {part!r}", hint=f"one of {', '.join(get_args(Part))}")
        return text.frame(part, getattr(self, part))

    @property
    def summary(self) -> str:
        """The report in one sentence."""
        return "; ".join(text.clauses(self)) + "."

    @property
    def tables(self) -> tuple[text.Table, ...]:
        """The report as tables of text, without those that would be empty."""
        return text.tables(self)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know besides: interpolation, gaps, method, findings."""
        return tuple(text.remarks(self))

    def __repr__(self) -> str:
        return f"Report({self.domain!r}, n={self.n}: {self.summary})"

    def __str__(self) -> str:
        parts = [
            f"{self.domain}: {self.summary}",
            *(text.as_text(table) for table in self.tables),
            "\n".join(self.remarks),
        ]
        return "\n\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        return render(
            "report.html.j2",
            rep=self,
            roots=[text.still(root) for root in self.marginals],
            coverage=percent(COVERAGE),
            colours={"grey": GREY, "orange": ORANGE},
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
