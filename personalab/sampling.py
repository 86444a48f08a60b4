"""Sampling: a population drawn from a blueprint, by arithmetic alone.

Fields are drawn one after the other in the blueprint's order, each for all rows at once, and always the same way:
decide *how many* people get each value, then *who*.

How many is a matter of quotas. A root takes the counts that lie closest to its weights; a child takes counts that
are right in every group of equal parents and over all groups together; a number takes evenly spaced quantiles
of its law within each group. Who is decided by rank: every row is a point of a scrambled Sobol sequence, a
dimension a field, and within a group the rows are dealt their values in the order of that coordinate. Margins are
therefore exact, and unrelated fields meet more evenly than chance would have it.

Constraints are kept while drawing. A field is restricted, row by row, to what lets every rule hold that speaks of
it, given what is drawn and what can still be drawn; parents stay as they are. Only what nothing can meet is refused,
by the constraint's name and the rows' situation.

The draw is evener than chance, which is what a small panel is for, and what makes standard errors and χ² tests
computed from it too small.
"""

from __future__ import annotations

import hashlib
import operator
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab import lint, numerics, rules
from personalab.blueprint import Blueprint, Categorical, CategoricalField, Numeric, NumericField, SampledField
from personalab.branches import Branch, branches, situations
from personalab.errors import BlueprintError, RequestError
from personalab.quotas import controlled, fitted, largest_remainder

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REDRAWS = 100  # of rows whose number misses a rule that is no interval, before candidates are listed one by one
CANDIDATES = 2001  # quantiles looked at where a rule is no interval and redrawing has not met it


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
    Counts are exact, not chance: use independent draws for standard errors, power analyses and χ² tests.

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
    lint.demand_valid(bp)
    frame = pd.DataFrame(index=persona_ids(n))
    kept = _rules(bp)
    names = [name for name in bp.order if not _is_text(bp, name)]
    points = coordinates(names, n, seed)
    for name in names:
        field: Any = bp[name]
        draw = Draw(bp, field, frame, points[name], _concerned(bp, name, frame, kept), seed)
        frame[name] = draw.categories() if isinstance(field, CategoricalField) else draw.numbers()
    frame = frame[[field.name for field in bp.sampled]].copy()
    frame.attrs.update(method="balanced", rounding="nearest", seed=seed)
    return frame


def persona_ids(n: int) -> pd.Index[str]:
    """Return the ids of `n` people: ``p_01``, ``p_02`` …, as wide as the last one needs, at least two digits."""
    width = max(2, len(str(n)))
    return pd.Index([f"p_{i:0{width}d}" for i in range(1, n + 1)], name="persona_id")


@dataclass(frozen=True)
class Draw:
    """One field about to be drawn for all rows: what it depends on, its coordinate, and the rules it must keep."""

    bp: Blueprint
    field: SampledField
    frame: pd.DataFrame
    coordinate: Floats
    keep: Sequence[Rule]
    seed: int

    def categories(self) -> pd.Categorical[Any]:
        """Deal the values of a categorical field to quotas."""
        field = cast(CategoricalField, self.field)
        values, rng = field.values, stream(self.seed, field.name)
        group, shares = self._shares(values)
        sizes = np.bincount(group, minlength=len(shares))
        if self.field.parents:
            counts = controlled(sizes[:, None] * shares, rng)
        else:
            counts = largest_remainder(shares[0], len(self.frame), rng)[None, :]
        allowed = self._allowed(values)
        if not allowed.all():
            group, counts = self._restricted(group, shares, counts, allowed)
        codes = np.empty(len(self.frame), dtype=np.int64)
        dealt = np.repeat(np.tile(np.arange(len(values)), len(counts)), counts.ravel())
        codes[np.lexsort((self.coordinate, group))] = dealt
        return pd.Categorical.from_codes(codes, categories=pd.Index(values), ordered=field.ordered_values is not None)

    def numbers(self) -> pd.Series[Any]:
        """Deal evenly spaced quantiles of each group's law."""
        rng = stream(self.seed, self.field.name)
        group, found = self._groups()
        u = _stratified(group, self.coordinate, rng)
        low, high = self._bounds()
        x = np.empty(len(u))
        for g, branch in enumerate(found):
            mine, law = group == g, _law(branch)
            x[mine] = law.between(u[mine], low[mine], high[mine])
            bad = np.flatnonzero(mine)[~self._kept(x, mine)[mine]]
            if len(bad):
                x[bad] = self._redrawn(law, bad, low, high, rng)
        self._refuse(np.isnan(x))
        drawn = pd.Series(x, index=self.frame.index)
        return drawn.astype("Int64") if cast(NumericField, self.field).is_integer else drawn

    def _groups(self) -> tuple[NDArray[np.intp], list[Branch]]:
        """For each row its group of equal parents, and each group's branch."""
        group, first = situations(self.bp, self.field, self.frame)
        found, which = branches(self.bp, self.field, self.frame.iloc[first])
        return group, [self._covered(found[i], int(row)) for i, row in zip(which, first, strict=True)]

    def _covered(self, branch: Branch | None, row: int) -> Branch:
        if branch is None:
            at = self.frame.iloc[row][list(self.field.parents)].to_dict()
            raise BlueprintError(
                f"no distribution of {self.field.name!r} is stated for {at}", hint="add a base distribution"
            )
        return branch

    def _shares(self, values: tuple[str, ...]) -> tuple[NDArray[np.intp], Floats]:
        group, found = self._groups()
        return group, np.array([_normalised(branch, values) for branch in found])

    def _allowed(self, values: tuple[str, ...]) -> Mask:
        """Which values leave every rule that speaks of the field able to hold, row by row."""
        allowed = np.ones((len(self.frame), len(values)), dtype=bool)
        for code in range(len(values)) if self.keep else ():
            column = pd.Categorical.from_codes(np.full(len(self.frame), code), categories=pd.Index(values))
            allowed[:, code] = self._can_hold(self.frame.assign(**{self.field.name: column}))
        return allowed

    def _restricted(
        self, group: NDArray[np.intp], shares: Floats, counts: NDArray[np.int64], allowed: Mask
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Split groups by what their rows may hold, and share each group's quotas out among the parts."""
        self._refuse(np.logical_not((allowed & (shares[group] > 0)).any(axis=1)))
        pattern = np.unique(allowed, axis=0, return_inverse=True)[1].reshape(-1)
        keys, first, part = np.unique(np.column_stack([group, pattern]), axis=0, return_index=True, return_inverse=True)
        sizes = np.bincount(part.reshape(-1))
        dealt = np.empty((len(keys), allowed.shape[1]), dtype=np.int64)
        for g in np.unique(keys[:, 0]):
            mine = keys[:, 0] == g
            dealt[mine] = fitted(sizes[mine], counts[g], allowed[first[mine]] & (shares[g] > 0), shares[g])
        return part.reshape(-1), dealt

    def _bounds(self) -> tuple[Floats, Floats]:
        """The interval that every linear rule leaves the field, row by row."""
        low, high = np.full(len(self.frame), -np.inf), np.full(len(self.frame), np.inf)
        for rule in self.keep:
            others = {name: self._known(name, self.frame) for name in rule.fields if name != self.field.name}
            window = rules.bounds(rule.tree, self.field.name, others) if self.field.name in rule.fields else None
            if window is not None:
                low, high = np.maximum(low, window[0]), np.minimum(high, window[1])
        return low, high

    def _kept(self, x: Floats, rows: Mask) -> Mask:
        """Whether the rules can hold with these values; other rows, and rows without a value, count as kept."""
        if not self.keep:
            return np.ones(len(x), dtype=bool)
        return self._can_hold(self.frame.assign(**{self.field.name: x})) | np.isnan(x) | ~rows

    def _can_hold(self, frame: pd.DataFrame) -> Mask:
        """Whether every rule holds, or still can, in a frame in which the field is tried out."""
        possible = np.ones(len(frame), dtype=bool)
        for rule in self.keep:
            columns = {name: self._known(name, frame) for name in rule.fields}
            possible &= rules.holds(rule.tree, columns, len(frame))
        return possible

    def _redrawn(
        self, law: numerics.Law, bad: NDArray[np.intp], low: Floats, high: Floats, rng: np.random.Generator
    ) -> Floats:
        """Values for rows whose rules are not intervals: fresh draws, then the best of a list, then nan."""
        x = np.full(len(self.frame), np.nan)
        rows = np.zeros(len(x), dtype=bool)
        open_rows = bad
        for _ in range(REDRAWS):
            x[open_rows] = law.between(rng.random(len(open_rows)), low[open_rows], high[open_rows])
            rows[:] = False
            rows[open_rows] = True
            open_rows = open_rows[~self._kept(x, rows)[open_rows]]
            if not len(open_rows):
                return x[bad]
        for row in open_rows:
            x[row] = self._candidate(law, int(row), low[row], high[row], rng)
        return x[bad]

    def _candidate(self, law: numerics.Law, row: int, low: float, high: float, rng: np.random.Generator) -> float:
        u = (np.arange(CANDIDATES) + 0.5) / CANDIDATES
        grid = law.points if law.is_discrete else law.between(u, np.full_like(u, low), np.full_like(u, high))
        one = Draw(self.bp, self.field, self.frame.iloc[[row] * len(grid)], self.coordinate, self.keep, self.seed)
        fit = np.flatnonzero(one._kept(grid, np.ones(len(grid), dtype=bool)) & (grid >= low) & (grid <= high))
        if not len(fit):
            return float("nan")
        mass = np.diff(law.cumulative, prepend=0.0)[fit] if law.is_discrete else np.ones(len(fit))
        return float(grid[rng.choice(fit, p=mass / mass.sum())]) if mass.sum() > 0 else float(grid[fit[0]])

    def _known(self, name: str, frame: pd.DataFrame) -> rules.Interval | rules.Drawn:
        """What is known of a field: its column where drawn, else all that its parents, or nothing, leave open."""
        field: Any = self.bp[name]
        if name in frame:
            column = frame[name]
            if isinstance(field, CategoricalField):
                return rules.Drawn(field.values, column.cat.codes.to_numpy())
            values = column.to_numpy(dtype=float)
            return values, values
        if isinstance(field, NumericField) and set(field.parents) <= set(frame):
            found, which = branches(self.bp, field, frame)
            reach = np.array([_law(branch).points[[0, -1]] if branch else (-np.inf, np.inf) for branch in found])
            return reach[which, 0], reach[which, 1]
        return lint.known(self.bp, field)

    def _refuse(self, impossible: Mask) -> None:
        """Raise for rows that no value can serve, naming the rules and the rows' situation."""
        if not impossible.any():
            return
        involved = sorted(
            {name for rule in self.keep for name in rule.fields if name in self.frame} | set(self.field.parents)
        )
        row = int(np.flatnonzero(impossible)[0])
        at = ", ".join(f"{name}={self.frame[name].iloc[row]}" for name in involved)
        texts = "; ".join(f"{rule.name} ({rule.text})" for rule in self.keep)
        raise BlueprintError(
            f"{int(impossible.sum())} of {len(impossible)} rows leave {self.field.name!r} no value that keeps {texts}, "
            f"for example where {at}",
            hint="widen the field's range there, or ease the constraint",
        )


def stream(seed: int, name: str) -> np.random.Generator:
    """Return a field's own random numbers: a function of the seed and its name, so that no field disturbs another."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "big")])


def _whole(what: str, value: Any, *, at_least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise RequestError(f"{what} is {value!r}, which is no whole number", hint=f"give {at_least} or more") from None
    if isinstance(value, bool) or number < at_least:
        raise RequestError(f"{what} is {value!r}", hint=f"give {at_least} or more")
    return number


def _is_text(bp: Blueprint, name: str) -> bool:
    return bp[name].kind == "text"


def _rules(bp: Blueprint) -> list[Rule]:
    """The constraints that can be judged; the others are the linter's to report."""
    kept = []
    for constraint in bp.constraints:
        tree = rules.comparison(constraint)
        try:
            rules.check(tree, bp)
        except rules.NotApplicableError:
            continue
        kept.append(Rule(constraint.name, str(constraint), tree, rules.names(tree)))
    return kept


def _concerned(bp: Blueprint, name: str, frame: pd.DataFrame, kept: list[Rule]) -> list[Rule]:
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


def coordinates(names: Sequence[str], n: int, seed: int) -> dict[str, Floats]:
    """Return a scrambled Sobol point a row: a dimension a name, each scrambled by the seed and that name."""
    from scipy.stats import qmc

    points = qmc.Sobol(max(1, len(names)), scramble=False).random_base2(max(0, (n - 1).bit_length()))[:n]
    whole = (points * 2**32).astype(np.uint32)
    keys = [int(stream(seed, f"{name}/scramble").integers(2**32)) for name in names]
    return {name: _scrambled(whole[:, i], key) / 2.0**32 for i, (name, key) in enumerate(zip(names, keys, strict=True))}


def _scrambled(x: NDArray[np.uint32], key: int) -> NDArray[np.uint32]:
    """Owen's nested scrambling by a hash (Laine & Karras 2011, with the constants of Burley 2020)."""
    x = _reversed_bits(x) + np.uint32(key)
    for factor in (0x6C50B47C, 0xB82F1E52, 0xC7AFE638, 0x8D22F6E6):
        x = x ^ (x * np.uint32(factor))
    return _reversed_bits(x)


def _reversed_bits(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for mask, shift in ((0x55555555, 1), (0x33333333, 2), (0x0F0F0F0F, 4), (0x00FF00FF, 8)):
        x = ((x >> np.uint32(shift)) & np.uint32(mask)) | ((x & np.uint32(mask)) << np.uint32(shift))
    return (x >> np.uint32(16)) | (x << np.uint32(16))
