"""Sampling: a population drawn from a blueprint, by arithmetic alone.

Fields are drawn one after the other in the blueprint's order, each for all rows at once, and always the same way:
decide *how many* people get each value, then *who*.

How many is a matter of quotas. A root takes the counts that lie closest to its weights; a child takes counts that
are right in every group of equal parents and over all groups together; a number takes evenly spaced quantiles
of its law within each group. Who is decided by rank: every row is a point of a scrambled Sobol sequence, a
dimension a field, and within a group the rows are dealt their values in the order of that coordinate. Margins are
therefore exact, and unrelated fields meet more evenly than chance would have it.

Constraints are kept while drawing. A field is restricted, row by row, to what lets every rule hold that speaks of
it, given what is drawn and what can still be drawn; parents stay as they are. Where rules that are harmless one by
one leave a row without a value together, what that value hangs together with is drawn again for this row, its
categorical roots held, else exchanged with another row's. Only what nothing can meet is refused, by the constraint's
name and the rows' situation.

The draw is evener than chance, which is what a small panel is for, and what makes standard errors and χ² tests
computed from it too small.
"""

from __future__ import annotations

import operator
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab import lint, numerics, rules
from personalab.blueprint import Blueprint, Categorical, CategoricalField, Numeric, NumericField, SampledField
from personalab.branches import Branch, branches, situations
from personalab.errors import BlueprintError, NotApplicableError, RequestError
from personalab.quotas import controlled, fitted, largest_remainder
from personalab.sobol import coordinates, stream

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REDRAWS = 100  # of rows whose number misses a rule that is no interval, before candidates are listed one by one
CANDIDATES = 2001  # quantiles looked at where a rule is no interval and redrawing has not met it
ATTEMPTS = 4096  # rows tried at once in place of those that rules leave no value, doubled in each round
ROUNDS = 4  # of attempts, before roots are exchanged or a blueprint is refused
MOST = 50_000_000  # people at once; 12 fields of as many take some 5 GB
PARTNERS = 64  # rows with which a row without a value may exchange a root


@dataclass(frozen=True)
class Rule:
    """A constraint ready to be kept: its name and text for messages, its tree, and the fields it speaks of."""

    name: str
    text: str
    tree: rules.Apply
    fields: frozenset[str]


def sample(bp: Blueprint, n: int, *, seed: int | None = None) -> pd.DataFrame:
    """Draw a population.

    Parameters
    ----------
    bp : Blueprint
        What to draw from.
    n : int
        How many people, at least 1.
    seed : int, optional
        A number of 0 or more that fixes the draw; without it one is made up and recorded.

    Returns
    -------
    pandas.DataFrame
        One row a person, index ``persona_id`` (``p_01`` …), one column a sampled field in the blueprint's order:
        categorical (ordered where the field is), ``Int64`` or ``float64``. ``attrs`` holds method, rounding and seed.

    Raises
    ------
    RequestError
        If `n` or `seed` is not a number of the kind asked for.
    BlueprintError
        If the blueprint has errors, or its constraints leave some row without any value.

    Notes
    -----
    Counts are exact, not chance: standard errors, power analyses and χ² tests that assume independent draws do not
    apply to the frame.

    Examples
    --------
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
    >>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> sample(coins, 10, seed=1)["side"].value_counts().to_dict()
    {'head': 7, 'tail': 3}
    """
    n = _whole("n", n, at_least=1)
    seed = secrets.randbits(32) if seed is None else _whole("seed", seed, at_least=0)
    if n > MOST:
        raise RequestError(f"n is {n:,}, more than one machine holds", hint=f"draw {MOST:,} or fewer at a time")
    lint.demand_valid(bp)
    names = [name for name in bp.order if not _is_text(bp, name)]
    points = coordinates(names, n, seed)
    frame = pd.DataFrame(index=persona_ids(n))
    kept = _rules(bp)
    for name in names:
        draw = Draw(bp, _sampled(bp, name), frame, points[name], _concerned(bp, name, frame, kept), seed)
        column = draw.column()
        if column.isna().any():
            draw = replace(draw, frame=repaired(draw, column.isna().to_numpy(), kept))
            column, frame = draw.column(), draw.frame
            draw.demand(column.notna().to_numpy())
        frame[name] = column
    frame = frame[[field.name for field in bp.sampled]].copy()
    frame.attrs.update(method="balanced", rounding="nearest", seed=seed)
    return frame


def persona_ids(n: int) -> pd.Index[str]:
    """Return the ids of `n` people: ``p_01``, ``p_02`` …, as wide as the last one needs, at least two digits."""
    width = max(2, len(str(n)))
    return pd.Index([f"p_{i:0{width}d}" for i in range(1, n + 1)], name="persona_id")


@dataclass(frozen=True)
class Draw:
    """One field about to be drawn for all rows: what it depends on, its coordinate, and the rules it must keep.

    A `hasty` draw is one of many attempts: a number that misses a rule which is no interval stays missing.
    """

    bp: Blueprint
    field: SampledField
    frame: pd.DataFrame
    coordinate: Floats
    keep: Sequence[Rule]
    seed: int
    hasty: bool = False

    def column(self) -> pd.Series[Any]:
        """The field's values, missing where the rules leave a row none."""
        if isinstance(self.field, CategoricalField):
            values, is_ordered = pd.Index(self.field.values), self.field.ordered_values is not None
            codes = self._codes(self.field)
            return pd.Series(pd.Categorical.from_codes(codes, values, ordered=is_ordered), index=self.frame.index)
        drawn = pd.Series(self._numbers(), index=self.frame.index)
        return drawn.astype("Int64") if self.field.is_integer else drawn

    def demand(self, fine: Mask) -> None:
        """Raise for rows that no value can serve, naming the rules and the rows' situation."""
        if fine.all():
            return
        involved = sorted(
            {name for rule in self.keep for name in rule.fields if name in self.frame} | set(self.field.parents)
        )
        row = int(np.flatnonzero(~fine)[0])
        at = ", ".join(f"{name}={self.frame[name].iloc[row]}" for name in involved)
        texts = "; ".join(f"{rule.name} ({rule.text})" for rule in self.keep)
        raise BlueprintError(
            f"{int((~fine).sum())} of {len(fine)} rows leave {self.field.name!r} no value that keeps {texts}"
            + (f", for example where {at}" if at else ""),
            hint="widen the field's range there, or ease the constraint",
        )

    def _codes(self, field: CategoricalField) -> NDArray[np.int64]:
        """Deal the values of a categorical field to quotas; -1 is no value."""
        rng, values = stream(self.seed, field.name), field.values
        group, found = self._groups
        shares = np.array([_normalised(branch, values) for branch in found])
        if field.parents:
            counts = controlled(np.bincount(group)[:, None] * shares, rng)
        else:
            counts = largest_remainder(shares[0], len(group), rng)[None, :]
        allowed = self._allowed(field)
        stuck = ~(allowed & (shares[group] > 0)).any(axis=1)
        if not allowed.all():
            allowed[stuck] = True
            group, counts = _restricted(group, shares, counts, allowed)
        codes = np.empty(len(group), dtype=np.int64)
        dealt = np.repeat(np.tile(np.arange(len(values)), len(counts)), counts.ravel())
        codes[np.lexsort((self.coordinate, group))] = dealt
        return np.where(stuck, -1, codes)

    def _numbers(self) -> Floats:
        """Deal evenly spaced quantiles of each group's law; nan is no value."""
        rng = stream(self.seed, self.field.name)
        low, high = self._bounds()
        x = self._quantiles(_stratified(self._groups[0], self.coordinate, rng), low, high)
        missed = np.flatnonzero(~np.isnan(x) & ~self._can_hold(x))
        if len(missed):
            x[missed] = np.nan if self.hasty else self._of(missed)._redrawn(low[missed], high[missed], rng)
        return x

    @cached_property
    def _groups(self) -> tuple[NDArray[np.intp], list[Branch]]:
        """For each row its group of equal parents, and each group's branch."""
        group, first = situations(self.bp, self.field, self.frame)
        found, which = branches(self.bp, self.field, self.frame[list(self.field.parents)].iloc[first])
        return group, [self._covered(found[i], int(row)) for i, row in zip(which, first, strict=True)]

    def _covered(self, branch: Branch | None, row: int) -> Branch:
        if branch is None:
            at = self.frame.iloc[row][list(self.field.parents)].to_dict()
            raise BlueprintError(
                f"no distribution of {self.field.name!r} is stated for {at}", hint="add a base distribution"
            )
        return branch

    def _of(self, rows: NDArray[np.intp]) -> Draw:
        """The same draw for some of the rows, or for some of them many times."""
        return replace(self, frame=self.frame.iloc[rows], coordinate=self.coordinate[rows])

    def _quantiles(self, u: Floats, low: Floats, high: Floats) -> Floats:
        """Values below which a share `u` of each row's law between its bounds lies; nan where nothing is between."""
        group, found = self._groups
        order = np.argsort(group, kind="stable")
        x = np.empty(len(u))
        for branch, rows in zip(found, np.split(order, np.cumsum(np.bincount(group))[:-1]), strict=True):
            x[rows] = _law(branch).between(u[rows], low[rows], high[rows])
        return x

    def _redrawn(self, low: Floats, high: Floats, rng: np.random.Generator) -> Floats:
        """Values where rules are no intervals: fresh draws until one fits, then the best of a list, then nan."""
        x = np.full(len(low), np.nan)
        for _ in range(REDRAWS):
            fresh = self._quantiles(rng.random(len(x)), low, high)
            x = np.where(np.isnan(x) & self._can_hold(fresh), fresh, x)
            if not np.isnan(x).any():
                return x
        for row in np.flatnonzero(np.isnan(x)):
            x[row] = self._candidate(int(row), low[row], high[row], rng)
        return x

    def _candidate(self, row: int, low: float, high: float, rng: np.random.Generator) -> float:
        """One of a row's values that fit, listed from end to end."""
        group, found = self._groups
        law, u = _law(found[group[row]]), (np.arange(CANDIDATES) + 0.5) / CANDIDATES
        grid = law.points if law.is_discrete else law.between(u, np.full_like(u, low), np.full_like(u, high))
        fits = self._of(np.full(len(grid), row))._can_hold(grid) & (grid >= low) & (grid <= high)
        mass = np.diff(law.cumulative, prepend=0.0) * fits if law.is_discrete else fits.astype(float)
        if mass.sum() > 0:
            return float(rng.choice(grid, p=mass / mass.sum()))
        return float(grid[np.argmax(fits)]) if fits.any() else float("nan")

    def _allowed(self, field: CategoricalField) -> Mask:
        """Which values leave every rule that speaks of the field able to hold, row by row."""
        allowed = np.ones((len(self.frame), len(field.values)), dtype=bool)
        for code in range(len(field.values)) if self.keep else ():
            allowed[:, code] = self._can_hold(np.full(len(self.frame), code))
        return allowed

    def _bounds(self) -> tuple[Floats, Floats]:
        """The interval that every linear rule leaves the field, row by row."""
        low, high = np.full(len(self.frame), -np.inf), np.full(len(self.frame), np.inf)
        for rule in self.keep:
            if self.field.name in rule.fields:
                window = rules.bounds(rule.tree, self.field.name, self._others)
                if window is not None:
                    low, high = np.maximum(low, window[0]), np.minimum(high, window[1])
        return low, high

    def _can_hold(self, values: NDArray[Any]) -> Mask:
        """Whether every rule holds, or still can, where the field has these values, or codes of values."""
        if not self.keep:
            return np.ones(len(values), dtype=bool)
        if isinstance(self.field, CategoricalField):
            tried: Any = pd.Categorical.from_codes(values, categories=pd.Index(self.field.values))
            columns = self._others | {self.field.name: rules.Drawn(self.field.values, values)}
        else:
            tried, columns = values, self._others | {self.field.name: (values, values)}
        for name in self._heirs:
            columns[name] = _known(self.bp, name, self.frame.assign(**{self.field.name: tried}))
        possible = np.ones(len(values), dtype=bool)
        for rule in self.keep:
            possible &= rules.holds(rule.tree, columns, len(values))
        return possible

    @cached_property
    def _others(self) -> dict[str, rules.Interval | rules.Drawn]:
        """What is known of the other fields that the rules speak of, whatever this field becomes."""
        names = {name for rule in self.keep for name in rule.fields}
        return {name: _known(self.bp, name, self.frame) for name in names - {self.field.name}}

    @cached_property
    def _heirs(self) -> list[str]:
        """The fields that the rules speak of and whose range this field decides."""
        return [name for name in self._others if self.field.name in self.bp[name].parents and name not in self.frame]


def repaired(draw: Draw, stuck: Mask, kept: Sequence[Rule]) -> pd.DataFrame:
    """Draw again what leaves rows without a value, so that no row spoils the population.

    Parameters
    ----------
    draw : Draw
        Of the field that some rows have no value for.
    stuck : array of bool
        Those rows.
    kept : sequence of Rule
        All rules of the blueprint.

    Returns
    -------
    pandas.DataFrame
        The draw's frame in which each of these rows has a value for the field. Categorical roots keep their counts:
        they stay as they are, or one of them is exchanged with another row's; only where no exchange serves do
        they give way.

    Raises
    ------
    BlueprintError
        If a row has no value whatever is drawn again.
    """
    roots = frozenset(field.name for field in draw.bp.roots if field.name in draw.frame)
    frame, left = _attempted(draw, draw.frame, np.flatnonzero(stuck), roots, kept)
    while len(left):
        frame, rest = _exchanged(draw, frame, left, roots, kept)
        if len(rest) == len(left):
            frame, failed = _attempted(draw, frame, left[:1], frozenset(), kept)
            rest = left[1:]
            if len(failed):
                draw.demand(~stuck)
        left = rest
    return frame


def _attempted(
    draw: Draw, frame: pd.DataFrame, left: NDArray[np.intp], held: frozenset[str], kept: Sequence[Rule]
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Draw rows again, many times each, and keep the first attempt that leaves the field a value; and who has none."""
    loose = _loose(draw, held, kept)
    for attempt in range(ROUNDS if loose - {draw.field.name} else 0):
        copies = np.repeat(left, max(1, (ATTEMPTS << attempt) // len(left)))
        found = _survivors(draw, frame.iloc[copies].drop(columns=loose, errors="ignore"), kept, attempt)
        served, first = np.unique(copies[found.index], return_index=True)
        frame = _with(frame, served, found.iloc[first])
        left = np.setdiff1d(left, served)
        if not len(left):
            break
    return frame, left


def _exchanged(
    draw: Draw, frame: pd.DataFrame, left: NDArray[np.intp], roots: frozenset[str], kept: Sequence[Rule]
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """Exchange one categorical root of the first row left with another row's so that both have a value.

    Rows without a value are tried before the others, since they need a partner as well. Returned are the frame and
    the rows still left: all of them where no partner serves.
    """
    row, others = int(left[0]), np.setdiff1d(np.arange(len(frame)), left)
    others = np.concatenate([left[1:], stream(draw.seed, f"{draw.field.name}/partners/{left[0]}").permutation(others)])
    pairs = np.column_stack([np.full(len(others[:PARTNERS]), row), others[:PARTNERS]])
    places = np.repeat(pairs.ravel(), ATTEMPTS // PARTNERS // 4)
    givers = np.repeat(pairs[:, ::-1].ravel(), ATTEMPTS // PARTNERS // 4)
    for root in sorted(roots & _loose(draw, frozenset(), kept)) if len(others) else ():
        tried = frame.iloc[places].assign(**{root: frame[root].iloc[givers].array})
        loose = _loose(draw, roots - {root}, kept) | _loose(replace(draw, field=_sampled(draw.bp, root)), roots, kept)
        found = _survivors(draw, tried.drop(columns=loose - {root}, errors="ignore"), kept, 0)
        partner = np.where(places == row, givers, places)[found.index]
        is_row = places[found.index] == row
        both = np.intersect1d(partner[is_row], partner[~is_row])
        if len(both):
            mine, theirs = (int(np.flatnonzero((partner == both[0]) & side)[0]) for side in (is_row, ~is_row))
            frame = _with(frame, np.array([row, both[0]]), found.iloc[[mine, theirs]])
            return frame, np.setdiff1d(left, [row, both[0]])
    return frame, left


def _survivors(draw: Draw, frame: pd.DataFrame, kept: Sequence[Rule], attempt: int) -> pd.DataFrame:
    """Draw the columns that a frame lacks, up to the field's own; rows that come to nothing are left out."""
    bp = draw.bp
    names = [name for name in bp.order[: bp.order.index(draw.field.name) + 1] if not _is_text(bp, name)]
    seed = int(stream(draw.seed, f"{draw.field.name}/attempt/{attempt}").integers(2**62))
    points = pd.DataFrame(coordinates(names, len(frame), seed))
    frame = frame.reset_index(drop=True)
    for name in names:
        if name in frame or not len(frame):
            continue
        coordinate = points[name].to_numpy()[frame.index]
        keep = _concerned(bp, name, frame, kept)
        column = Draw(bp, _sampled(bp, name), frame, coordinate, keep, seed, hasty=True).column()
        frame = frame.assign(**{name: column})[column.notna().to_numpy()]
    return frame


def _with(frame: pd.DataFrame, rows: NDArray[np.intp], new: pd.DataFrame) -> pd.DataFrame:
    """A frame with some rows replaced, in the columns it has."""
    frame = frame.copy()
    for name in frame:
        column = frame[name].copy()
        column.iloc[rows] = new[name].array
        frame[name] = column
    return frame


def _loose(draw: Draw, held: frozenset[str], kept: Sequence[Rule]) -> frozenset[str]:
    """The fields that hang together with the draw's own by rules and descent, on ways that pass no field held."""
    links = [rule.fields for rule in kept] + [{field.name, *field.parents} for field in draw.bp.sampled]
    loose, before = {draw.field.name}, 0
    while len(loose) > before:
        before = len(loose)
        loose |= {name for link in links if link & loose for name in link if name not in held}
    return frozenset(loose)


def _known(bp: Blueprint, name: str, frame: pd.DataFrame) -> rules.Interval | rules.Drawn:
    """What is known of a field: its column where drawn, else all that its parents, or nothing, leave open."""
    field: Any = bp[name]
    if name in frame:
        column = frame[name]
        if isinstance(field, CategoricalField):
            return rules.Drawn(field.values, column.cat.codes.to_numpy())
        values = column.to_numpy(dtype=float)
        return values, values
    if isinstance(field, NumericField) and set(field.parents) <= set(frame):
        found, which = branches(bp, field, frame)
        reach = np.array([_law(branch).points[[0, -1]] if branch else (-np.inf, np.inf) for branch in found])
        return reach[which, 0], reach[which, 1]
    return lint.known(bp, field)


def _restricted(
    group: NDArray[np.intp], shares: Floats, counts: NDArray[np.int64], allowed: Mask
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Split groups by what their rows may hold, and share each group's quotas out among the parts."""
    pattern = np.unique(allowed, axis=0, return_inverse=True)[1].reshape(-1)
    keys, first, part = np.unique(np.column_stack([group, pattern]), axis=0, return_index=True, return_inverse=True)
    sizes = np.bincount(part.reshape(-1))
    dealt = np.empty((len(keys), allowed.shape[1]), dtype=np.int64)
    for g in np.unique(keys[:, 0]):
        mine = keys[:, 0] == g
        dealt[mine] = fitted(sizes[mine], counts[g], allowed[first[mine]] & (shares[g] > 0), shares[g])
    return part.reshape(-1), dealt


def _whole(what: str, value: Any, *, at_least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise RequestError(f"{what} is {value!r}, which is no whole number", hint=f"give {at_least} or more") from None
    if isinstance(value, bool) or number < at_least:
        raise RequestError(f"{what} is {value!r}", hint=f"give {at_least} or more")
    return number


def _sampled(bp: Blueprint, name: str) -> SampledField:
    return cast(SampledField, bp[name])


def _is_text(bp: Blueprint, name: str) -> bool:
    return bp[name].kind == "text"


def _rules(bp: Blueprint) -> list[Rule]:
    """The constraints that can be judged; the others are the linter's to report."""
    kept = []
    for constraint in bp.constraints:
        tree = rules.comparison(constraint)
        try:
            rules.check(tree, bp)
        except NotApplicableError:
            continue
        kept.append(Rule(constraint.name, str(constraint), tree, rules.names(tree)))
    return kept


def _concerned(bp: Blueprint, name: str, frame: pd.DataFrame, kept: Sequence[Rule]) -> list[Rule]:
    """The rules that a field can break: those that speak of it, or of a field still to be drawn that depends on it."""
    children = {field.name for field in bp.sampled if name in field.parents and field.name not in frame}
    return [rule for rule in kept if name in rule.fields or rule.fields & children]


def _law(branch: Branch) -> numerics.Law:
    return numerics.law(cast(Numeric, branch.distribution))


def _normalised(branch: Branch, values: tuple[str, ...]) -> Floats:
    table = cast(Categorical, branch.distribution).weights
    weights: Floats = np.array([table.get(value, 0.0) for value in values], dtype=float)
    return np.asarray(weights / weights.sum())


def _stratified(group: NDArray[np.intp], coordinate: Floats, rng: np.random.Generator) -> Floats:
    """For each row a number in [0, 1]: within each group one in every equal slice, in the order of the coordinate."""
    order = np.lexsort((coordinate, group))
    sizes = np.bincount(group)
    rank = np.empty(len(group))
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return (rank + rng.random(len(group))) / sizes[group]
