"""Apportionment: whole people for fractional shares.

A population of 10 cannot hold 1.5 people of a kind. Independent draws miss the shares by chance; quotas decide the
counts first and leave to chance only who gets which value. Four problems occur:

- one table of shares: `largest_remainder` (Hamilton's method) gives the counts whose total variation distance from
  the shares is the smallest that any whole counts can have;
- a table per group: `round_table` rounds every cell up or down at random so that each cell is right on average,
  each group keeps its size exactly, and each column total stays within one of its own (Cox 1987);
- the same for a table too large for that, or for shares that are to be met on average only: `round_rows` rounds
  every group for itself, at even steps from a random start;
- groups in which some values are ruled out: `fit_margins` keeps both margins, through proportional fitting and then a
  maximum flow, and gives up as little of the columns as the rules demand.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

WHOLE = 1e-9  # a cell this close to a whole number is one
TIE = 13  # decimals of a share in which equal ones agree, whatever the rounding error


def largest_remainder(shares: Floats, n: int, rng: np.random.Generator | None = None) -> Counts:
    """Whole counts that sum to `n` and lie as close to the shares as whole counts can.

    Parameters
    ----------
    shares : array of float
        Non-negative weights, of any positive sum.
    n : int
        How many to apportion.
    rng : numpy.random.Generator, optional
        Decides between equal remainders; without it the first one wins.

    Returns
    -------
    array of int
        Counts that minimise the total variation distance from the shares.

    Examples
    --------
    >>> import numpy as np
    >>> largest_remainder(np.array([0.2, 0.3, 0.25, 0.15, 0.07, 0.03]), 10).tolist()
    [2, 3, 3, 1, 1, 0]
    """
    expected = n * shares / shares.sum()
    counts: Counts = np.floor(expected + WHOLE).astype(np.int64)
    remainder = np.round((expected - counts) / max(n, 1), TIE)  # equal remainders must compare equal
    tiebreak = rng.random(len(shares)) if rng is not None else np.arange(len(shares))
    counts[np.lexsort((tiebreak, -remainder))[: n - counts.sum()]] += 1
    return counts


def round_table(expected: Floats, rng: np.random.Generator) -> Counts:
    """Round a table at random: every cell up or down, unbiased, with both margins held.

    Parameters
    ----------
    expected : array of float, shape (groups, values)
        Expected counts; each row sums to a whole number.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    array of int, same shape
        Whole counts with the same row sums, and column sums within one of the expected ones. Each cell is the floor
        or the ceiling of its expectation, and equals it on average.

    Notes
    -----
    Cells that are not whole form a graph between rows and columns in which every node has two edges or none (a
    slack row makes the column sums whole too), so that a walk always closes a cycle. Adding to every other cell of
    the cycle what is taken from its neighbours holds the margins, and a fair choice of the two directions holds the
    averages; each cycle makes at least one cell whole.

    Examples
    --------
    >>> import numpy as np
    >>> round_table(np.array([[0.5, 0.5], [1.5, 0.5]]), np.random.default_rng(0)).sum(axis=1).tolist()
    [1, 2]
    """
    totals = expected.sum(axis=0)
    slack = np.ceil(totals - WHOLE) - totals
    table = np.vstack([expected, slack])
    base = np.floor(table + WHOLE)
    part = table - base
    part[part < WHOLE] = 0.0
    _walk(part, rng)
    rounded: Counts = (base + np.rint(part))[:-1].astype(np.int64)
    return rounded


def round_rows(expected: Floats, rng: np.random.Generator, totals: Counts | None = None) -> Counts:
    """Round every row of a table for itself, at random: each cell up or down, unbiased, with the row's sum held.

    Parameters
    ----------
    expected : array of float, shape (groups, values)
        Expected counts; each row sums to a whole number.
    rng : numpy.random.Generator
        The source of chance.
    totals : array of int, shape (values,), optional
        Column sums to be met as well, as far as exchanging roundings within groups can.

    Returns
    -------
    array of int, same shape
        Whole counts with the same row sums. Each cell is the floor or the ceiling of its expectation, and equals it
        on average.

    Notes
    -----
    Systematic sampling (Madow 1949): the values' stretches are laid end to end, in random order, and counted by the
    whole steps from a random start that fall into each.

    Examples
    --------
    >>> import numpy as np
    >>> round_rows(np.array([[0.5, 0.5], [1.5, 0.5]]), np.random.default_rng(0)).sum(axis=1).tolist()
    [1, 2]
    """
    whole = np.floor(expected + WHOLE)
    order = rng.permutation(expected.shape[1])
    upto = np.cumsum((expected - whole)[:, order].clip(0.0), axis=1)
    upto[:, -1] = np.rint(upto[:, -1])
    steps = np.floor(upto + rng.random((len(expected), 1)) + WHOLE)
    steps[:, -1] = upto[:, -1]
    rounded: Counts = whole.astype(np.int64)
    rounded[:, order] += np.diff(np.minimum(steps, upto[:, -1:]), axis=1, prepend=0).astype(np.int64)
    if totals is not None:
        _exchange(rounded, expected, rounded.sum(axis=0) - totals, rng)
    return rounded


def fit_margins(sizes: Counts, quotas: Counts, allowed: NDArray[np.bool_], weights: Floats) -> Counts:
    """Share out quotas among rows of which some exclude some values.

    Parameters
    ----------
    sizes : array of int, shape (rows,)
        How many people each row holds.
    quotas : array of int, shape (values,)
        How many people each value should get; sums to the people.
    allowed : array of bool, shape (rows, values)
        Which values a row may hold; at least one with weight in each row.
    weights : array of float, shape (values,)
        The values' shares, for whom the quotas leave no room.

    Returns
    -------
    array of int, shape (rows, values)
        Counts with exact row sums, nothing where it is not allowed, and column sums equal to the quotas as far as
        any table can have them.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_flow

    if not (quotas[~allowed.all(axis=0)]).any() and len(sizes) == 1:
        return quotas[None, :].copy()  # nothing that is excluded was to be dealt
    start: Counts = np.floor(_proportional(sizes, quotas, allowed) + WHOLE).astype(np.int64)
    counts = start
    for counts in (start, np.zeros_like(start)):
        rows, columns = sizes - counts.sum(axis=1), quotas - counts.sum(axis=0)
        network = csr_array(_capacities(rows, columns, allowed))
        flow = maximum_flow(network, 0, len(rows) + len(columns) + 1).flow.toarray()
        counts = counts + flow[1 : len(rows) + 1, len(rows) + 1 : -1].astype(np.int64)
        if counts.sum() == sizes.sum():
            return counts
    for row in np.flatnonzero(counts.sum(axis=1) < sizes):
        counts[row] = counts[row] + largest_remainder(weights * allowed[row], int(sizes[row] - counts[row].sum()))
    return counts


def _exchange(counts: Counts, expected: Floats, gap: Counts, rng: np.random.Generator) -> None:
    """Round down instead of up in columns that have too many, and up instead of down in others, in place."""
    floor = np.floor(expected + WHOLE)
    is_up, can_rise = counts > floor, (counts <= floor) & (expected - floor > WHOLE)
    for over in np.flatnonzero(gap > 0):
        for under in np.flatnonzero(gap < 0):
            many = min(gap[over], -gap[under])
            groups = rng.permutation(np.flatnonzero(is_up[:, over] & can_rise[:, under]))[: max(many, 0)]
            for column, step in ((over, -1), (under, 1)):
                counts[groups, column] += step
                gap[column] += step * len(groups)
                is_up[groups, column], can_rise[groups, column] = step > 0, step < 0


def _walk(part: Floats, rng: np.random.Generator) -> None:
    """Make every cell of a table of fractions 0 or 1, cycle by cycle, in place."""
    rows = len(part)
    cells = part.tolist()  # lists of floats are read and written one by one several times faster than an array
    # The nodes are the rows, then the columns; an edge is a cell that is not whole.
    edges: list[dict[int, None]] = [dict.fromkeys((rows + np.flatnonzero(row)).tolist()) for row in part > 0]
    edges += [dict.fromkeys(np.flatnonzero(column).tolist()) for column in (part > 0).T]
    for start in range(rows):
        while edges[start]:
            ends = _square(start, edges, rows)
            if not ends:
                cycle = _cycle(start, edges)
                ends = [(min(pair), max(pair) - rows) for pair in itertools.pairwise(cycle)]
            _turn(cells, ends, rng)
            for row, column in ends:
                if cells[row][column] in (0.0, 1.0):
                    del edges[row][rows + column], edges[rows + column][row]
    part[:] = cells


def _square(start: int, edges: list[dict[int, None]], rows: int) -> list[tuple[int, int]]:
    """The shortest cycle there can be, over one other row and two columns: most tables are full of them."""
    columns = iter(edges[start])
    first, second = next(columns), next(columns, -1)
    for other in edges[first]:
        if second >= 0 and other != start and second in edges[other]:
            left, right = first - rows, second - rows
            return [(start, left), (other, left), (other, right), (start, right)]
    return []


def _cycle(start: int, edges: list[dict[int, None]]) -> list[int]:
    """Walk from node to node until one comes up again; the closed part of the way, or the last edge of a dead end."""
    way, seen = [start], {start: 0}
    while True:
        before = way[-2] if len(way) > 1 else None
        node = next((node for node in edges[way[-1]] if node != before), None)
        if node is None:  # rounding error left one cell alone in its line
            return way[-2:]
        way.append(node)
        if node in seen:
            return way[seen[node] :]
        seen[node] = len(way) - 1


def _turn(cells: list[list[float]], cycle: list[tuple[int, int]], rng: np.random.Generator) -> None:
    """Move the cells of a cycle up and down in turn, as far as one of the two directions goes."""
    rise, fall, is_up = 1.0, 1.0, True
    for row, column in cycle:
        up, down = 1 - cells[row][column], cells[row][column]
        if not is_up:
            up, down = down, up
        rise, fall, is_up = up if up < rise else rise, down if down < fall else fall, not is_up
    step = rise if rng.random() < fall / (rise + fall) else -fall
    for row, column in cycle:
        value = cells[row][column] + step
        cells[row][column] = 0.0 if value < WHOLE else 1.0 if value > 1 - WHOLE else value
        step = -step


def _proportional(sizes: Counts, quotas: Counts, allowed: NDArray[np.bool_]) -> Floats:
    """Iterative proportional fitting from an even start; close to both margins where a table can be."""
    table = allowed * np.maximum(quotas, WHOLE)
    for _ in range(100):
        table = table * (sizes / np.maximum(table.sum(axis=1), WHOLE))[:, None]
        table = table * (quotas / np.maximum(table.sum(axis=0), WHOLE))
        if np.abs(table.sum(axis=1) - sizes).max() <= WHOLE:
            break
    over = np.minimum(1.0, sizes / np.maximum(table.sum(axis=1), WHOLE))
    return np.asarray(table * over[:, None], dtype=np.float64)


def _capacities(rows: Counts, columns: Counts, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The flow from a source through rows, allowed cells and columns to a sink, as a matrix of capacities."""
    r, c = len(rows), len(columns)
    capacity = np.zeros((r + c + 2, r + c + 2), dtype=np.int32)
    capacity[0, 1 : r + 1] = rows
    capacity[r + 1 : r + c + 1, -1] = columns
    capacity[1 : r + 1, r + 1 : r + c + 1] = np.where(allowed, np.minimum.outer(rows, columns), 0)
    return capacity
