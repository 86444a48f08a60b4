"""Rescue: rows that constraints, harmless one by one, leave without a value together.

What such a row's field hangs together with is drawn again for this row, its categorical roots held, so that their
counts stay exact. Where that does not serve, one of these roots is exchanged with another row's; where that does not
either, they give way. Only what nothing can meet is refused. No row spoils the population.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.grouping import Array
from personalab.blueprint.model import Blueprint
from personalab.sampling.assignment import random_keys
from personalab.sampling.configurations import Mask, Restriction, concerned, held_by, sampled
from personalab.sampling.draw import Draw

ATTEMPTS = 4096  # rows tried at least in place of those that are left no value
MOST_ATTEMPTS = 1 << 20  # rows tried at once at most, or one for each row that is left no value
SERVED = 1 / 64  # of those rows: a round that serves fewer was in vain, and the next one tries twice as many
ROUNDS = 5  # in vain, before roots are exchanged or a blueprint is refused
PARTNERS = 64  # rows at least with which those without a value may exchange a root at once
TRIES = 16  # of a row whose root has been exchanged

Held = dict[str, Array]  # the columns drawn so far


def settled(draw: Draw, kept: Sequence[Restriction], column: Callable[[Draw], tuple[Array, Mask]]) -> Held:
    """The columns with the field's own, each row having a value; those before it are changed where a row had none.

    `column` draws the field and tells the rows without a value; it may be asked twice.
    """
    made, stuck = column(draw)
    if stuck.any():
        draw = replace(draw, columns=rescued(draw, stuck, kept))
        made, stuck = column(draw)
        draw.demand(stuck)
    return {**draw.columns, draw.field.name: made}


def rescued(draw: Draw, stuck: Mask, kept: Sequence[Restriction]) -> Held:
    """Draw again what leaves rows without a value.

    Parameters
    ----------
    draw : Draw
        Of the field that some rows have no value for.
    stuck : array of bool
        Those rows.
    kept : sequence of Restriction
        All constraints of the blueprint.

    Returns
    -------
    dict of str to array
        The draw's columns, in which each of these rows has a value for the field. Where draws are independent, so are
        these; else categorical roots keep their counts as long as anything else serves.

    Raises
    ------
    BlueprintError
        If a row has no value whatever is drawn again.
    """
    columns, left = dict(draw.columns), np.flatnonzero(stuck)
    roots = frozenset(field.name for field in draw.bp.roots if field.name in columns)
    if draw.method == "iid" or not roots & _loose(draw.bp, draw.field.name, frozenset(), kept):
        columns, failed = _attempted(draw, columns, left, frozenset(), kept)
        if len(failed):
            draw.demand(stuck)
        return columns
    columns, left = _attempted(draw, columns, left, roots, kept)
    for root in sorted(roots & _loose(draw.bp, draw.field.name, frozenset(), kept)):
        vain = 0
        while len(left) and vain < ROUNDS:
            columns, rest = _exchanged(draw, columns, left, root, kept)
            vain = 0 if len(rest) < len(left) else vain + 1
            left = rest
    columns, failed = _attempted(draw, columns, left, frozenset(), kept)
    if len(failed):
        draw.demand(stuck)
    return columns


def _attempted(
    draw: Draw, columns: Held, left: NDArray[np.intp], held: frozenset[str], kept: Sequence[Restriction]
) -> tuple[Held, NDArray[np.intp]]:
    """Draw rows again, many times each, and keep the first attempt that leaves the field a value; and who has none."""
    loose, vain = _loose(draw.bp, draw.field.name, held, kept), 0
    while len(left) and vain < ROUNDS and loose - {draw.field.name}:
        many = min(max(ATTEMPTS, len(left)) << vain, MOST_ATTEMPTS)
        copies = np.repeat(left, max(1, many // len(left)))
        start = {name: column[copies] for name, column in columns.items() if name not in loose}
        found, alive = _survivors(draw, start, len(copies), kept)
        served, first = np.unique(copies[alive], return_index=True)
        columns = _with(columns, served, {name: column[first] for name, column in found.items()})
        vain += len(served) < SERVED * len(left)
        left = np.setdiff1d(left, served)
    return columns, left


def _exchanged(
    draw: Draw, columns: Held, left: NDArray[np.intp], root: str, kept: Sequence[Restriction]
) -> tuple[Held, NDArray[np.intp]]:
    """Exchange a categorical root between rows left and others, wherever both of a pair then have a value.

    Rows without a value are tried before others, since they need a partner as well. Returned are the columns and the
    rows still left.
    """
    roots = frozenset(field.name for field in draw.bp.roots if field.name in columns)
    loose = _loose(draw.bp, draw.field.name, roots - {root}, kept) | _loose(draw.bp, root, roots, kept)
    many = max(PARTNERS, min(len(left), MOST_ATTEMPTS // TRIES // 4))
    one = np.tile(np.resize(draw.rng.permutation(left), many), 2)
    other = np.concatenate([draw.rng.choice(left, many), draw.rng.integers(draw.n, size=many)])
    is_pair = columns[root][one] != columns[root][other]
    pairs = np.column_stack([one, other])[is_pair]
    side = np.repeat(np.arange(pairs.size), TRIES)  # the one of each pair, then the other
    places, givers = pairs.ravel()[side], pairs[:, ::-1].ravel()[side]
    start = {name: column[places] for name, column in columns.items() if name not in loose}
    found, alive = _survivors(draw, start | {root: columns[root][givers]}, len(places), kept)
    served, first = np.unique(side[alive], return_index=True)
    used, chosen = set[int](), list[int]()
    for at in np.flatnonzero(served[:-1] + 1 == served[1:]).tolist():
        mine = set(pairs[served[at] // 2].tolist())
        if served[at] % 2 == 0 and not mine & used:
            used |= mine
            chosen += [at, at + 1]
    rows = pairs.ravel()[served[chosen]]
    columns = _with(columns, rows, {name: column[first[chosen]] for name, column in found.items()})
    return columns, np.setdiff1d(left, rows)


def _survivors(draw: Draw, columns: Held, n: int, kept: Sequence[Restriction]) -> tuple[Held, NDArray[np.intp]]:
    """Draw the columns that rows lack, up to the field's own, each row for itself; and which came to something."""
    bp, alive = draw.bp, np.arange(n)
    for name in bp.order[: bp.order.index(draw.field.name) + 1]:
        if name in columns or bp[name].kind == "text" or not len(alive):
            continue
        keep, key = concerned(bp, name, columns, kept), random_keys(len(alive), draw.rng)
        field = sampled(bp, name)
        one = Draw(bp, field, columns, len(alive), keep, "iid", draw.rounding, key, draw.rng, is_hasty=True)
        column, stuck = one.column()
        columns = {name: each[~stuck] for name, each in (columns | {name: column}).items()}
        alive = alive[~stuck]
    # A root that was exchanged has not been held against the columns that stayed.
    fine = held_by(bp, columns, len(alive), kept)
    return {name: each[fine] for name, each in columns.items()}, alive[fine]


def _with(columns: Held, rows: NDArray[np.intp], new: Mapping[str, Array]) -> Held:
    """The columns there are, with some rows replaced."""
    if not len(rows):
        return columns
    changed = {name: column.copy() for name, column in columns.items()}
    for name, column in changed.items():
        column[rows] = new[name]
    return changed


def _loose(bp: Blueprint, name: str, held: frozenset[str], kept: Sequence[Restriction]) -> frozenset[str]:
    """The fields that hang together with a field by constraint and descent, on ways that pass no field held."""
    links = [each.fields for each in kept] + [{field.name, *field.parents} for field in bp.sampled]
    loose, before = {name}, 0
    while len(loose) > before:
        before = len(loose)
        loose |= {each for link in links if link & loose for each in link if each not in held}
    return frozenset(loose)
