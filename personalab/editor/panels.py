"""Panels: requested against achieved, a field at a time, in as few numbers as it takes to draw them.

A root's shares are those of the report. Of a child everybody has a distribution of their own, by their parents'
values; what is requested of all of them is the mean of these, and the band comes from the normal approximation of the
sum of their draws, never narrower than the counts next to it, which rounding alone can force.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint import moments
from personalab.blueprint.conditionals import ConditionalDistribution, find_distributions
from personalab.blueprint.grouping import Array, Columns
from personalab.blueprint.model import Blueprint, Categorical, CategoricalField, Numeric, NumericField
from personalab.charts.marginals import outside_told
from personalab.reports.values import Edge, Marginal, Moments, Report
from personalab.writing.similarity import ROUNDING_ERROR

Floats = NDArray[np.float64]
Panel = dict[str, Any]
Held = TypeVar("Held", Categorical, Numeric)

BINS = 20  # of a number's range
DIGITS = 6  # of what is only drawn
WIDTH = 1.959963984540054  # standard deviations to either side that hold 95 % of a normal distribution


def panels(bp: Blueprint, columns: Columns, report: Report) -> dict[str, Panel]:
    """Put a report as numbers to draw.

    Parameters
    ----------
    bp : Blueprint
        What was requested.
    columns : mapping of str to array
        The people: codes of values, and numbers.
    report : Report
        How closely they follow it.

    Returns
    -------
    dict of str to dict
        A panel a sampled field, in the blueprint's order: shares with their bands, or moments and a histogram; and
        the rules that speak of a child or a number, which where they bind come before what is requested.
    """
    roots = {each.attribute: each for each in report.marginals}
    edges = {each.attribute: each for each in report.conditionals}
    figures: dict[str, list[Moments]] = {}
    for each in report.numerics:
        figures.setdefault(each.attribute, []).append(each)
    made = {}
    for field in bp.sampled:
        if isinstance(field, NumericField):
            made[field.name] = _numbers(bp, field, columns, figures[field.name])
        elif field.name in roots:
            made[field.name] = _root(roots[field.name])
        else:
            made[field.name] = _child(bp, field, columns, edges[field.name])
    return made


def caption(made: Mapping[str, Panel]) -> str:
    """What to say below the panels of shares; nothing where there are none."""
    cells = [cell for panel in made.values() if panel["kind"] == "shares" for cell in panel["cells"]]
    if not cells:
        return ""
    outside = sum(not low - ROUNDING_ERROR <= achieved <= high + ROUNDING_ERROR for _, _, achieved, low, high in cells)
    return outside_told(outside, len(cells))


def _root(found: Marginal) -> Panel:
    cells = [(cell.key, cell.requested, cell.achieved, cell.low, cell.high) for cell in found.cells]
    return _shares(found.attribute, found.attribute, found, cells) | {"rules": []}


def _child(bp: Blueprint, field: CategoricalField, columns: Columns, edge: Edge) -> Panel:
    found, index = find_distributions(bp, field, columns)
    tables = np.array([field.shares(_held(each, Categorical)) for each in found])
    sizes, n = np.bincount(index, minlength=len(found)), len(index)
    requested = sizes @ tables / n
    spread = WIDTH * np.sqrt(sizes @ (tables * (1 - tables))) / n
    low = np.minimum(requested - spread, np.floor(requested * n + ROUNDING_ERROR) / n).clip(0, 1)
    high = np.maximum(requested + spread, np.ceil(requested * n - ROUNDING_ERROR) / n).clip(0, 1)
    achieved = np.bincount(columns[field.name], minlength=len(field.values)) / n
    rows = zip(field.values, *(each.tolist() for each in (requested, achieved, low, high)), strict=True)
    shown = _shares(field.name, f"{field.name} by {', '.join(field.parents)}", edge, list(rows))
    return shown | {"rules": list(edge.constraints)}


def _shares(
    name: str, title: str, found: Marginal | Edge, cells: list[tuple[str, float, float, float, float]]
) -> Panel:
    return {
        "field": name,
        "kind": "shares",
        "title": title,
        "tvd": round(found.total_variation_distance, DIGITS),
        "limit": round(found.limit, DIGITS),
        "expected": round(found.expected_iid, DIGITS),
        "cells": [[key, *(round(number, DIGITS) for number in numbers)] for key, *numbers in cells],
    }


def _numbers(bp: Blueprint, field: NumericField, columns: Columns, figures: list[Moments]) -> Panel:
    found, index = find_distributions(bp, field, columns)
    distributions = [moments.solve(_held(each, Numeric)) for each in found]
    column = np.asarray(columns[field.name], dtype=float)
    part = np.bincount(index, minlength=len(found)) / len(index)
    low = min([float(column.min()), *(each.requested["min"] for each in figures)])
    high = max([float(column.max()), *(each.requested["max"] for each in figures)])
    edges = _edges(low, high, is_whole=field.is_integer)
    requested = part @ np.array([np.diff(_upto(distribution, edges)) for distribution in distributions])
    achieved = np.histogram(column, edges)[0] / len(column)
    bins = zip(edges[:-1].tolist(), edges[1:].tolist(), requested.tolist(), achieved.tolist(), strict=True)
    mean = float(part @ [distribution.mean for distribution in distributions])
    square = float(part @ [distribution.sd**2 + distribution.mean**2 for distribution in distributions]) - mean**2
    asked = {"mean": mean, "sd": max(square, 0.0) ** 0.5}
    reached = {"mean": column.mean(), "sd": column.std(), "min": column.min(), "max": column.max()}
    return {
        "field": field.name,
        "kind": "numbers",
        "min": _brief(low),
        "max": _brief(high),
        "requested": {key: _brief(value) for key, value in asked.items()},
        "achieved": {key: _brief(float(value)) for key, value in reached.items()},
        "bins": [[_brief(number) for number in row] for row in bins],
        "rules": sorted({name for each in figures for name in each.constraints}),
    }


def _edges(low: float, high: float, *, is_whole: bool) -> Floats:
    """Where bins begin and end: of whole numbers each holds equally many, with its ends halfway between two."""
    if is_whole:
        wide = max(1.0, np.ceil((high - low + 1) / BINS))
        return np.arange(low - 0.5, high + 0.5 + wide, wide)[: int(np.ceil((high - low + 1) / wide)) + 1]
    return _evenly(low, high if high > low else low + 1.0, BINS)


def _evenly(low: float, high: float, parts: int) -> Floats:
    """Where equal parts begin and end; from both ends, whose difference may be more than a double can hold."""
    share = np.arange(parts + 1) / parts
    return low * (1 - share) + high * share


def _upto(distribution: moments.Distribution, edges: Floats) -> Floats:
    """The share below each edge; the last one counts as inside."""
    upto = distribution.cdf(np.nextafter(edges, -np.inf) if distribution.is_discrete else edges)
    upto[0], upto[-1] = 0.0, 1.0
    return upto


def curve(numeric: Numeric, heights: int = 64) -> list[float]:
    """The outline of a distribution between its least and greatest value, with 1 for its peak."""
    low, high = float(numeric.min), float(numeric.max)
    if not high > low:
        return [1.0] * heights
    distribution = moments.solve(numeric)
    if not numeric.integer:
        tall: Array = np.diff(_upto(distribution, _evenly(low, high, heights)))
    elif high - low < heights:
        at = np.rint(_evenly(low, high, heights - 1))
        tall = distribution.cdf(at) - distribution.cdf(at - 1)
    else:  # by how many whole numbers a place holds, which may be one more than the next, else the outline has teeth
        upto = low - 1 + np.floor((high - low + 1) * np.arange(heights + 1) / heights)
        tall = np.diff(distribution.cdf(upto)) / np.diff(upto)
    peak = float(tall.max())
    return [round(float(each) / peak, 2) for each in tall]


def _brief(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _held(found: ConditionalDistribution | None, kind: type[Held]) -> Held:
    """What holds for the people of a branch."""
    if found is None or not isinstance(found.distribution, kind):
        raise TypeError("whoever was drawn has a distribution of the field's kind")
    return found.distribution
