"""Numeric laws: distributions that keep all four of their promises.

A blueprint promises a minimum, a maximum, a mean and a standard deviation. Taking mean and sd for the parameters of
a normal and clipping it piles mass on the bounds; rejecting what falls outside moves both moments. So the law is
*solved* for the moments it will have:

- for integers, the discrete law on the whole numbers from min to max whose weights are exp(a·k + b·k²): the normal's
  own family, and the law of greatest entropy with these moments, so that one exists whenever any law does;
- for real numbers, the truncated normal (the same family with b < 0); where none has these moments, the Beta
  scaled to [min, max], which does whenever sd² < (mean - min)(max - mean).

A solved law is a table of its quantiles, so drawing from it, or from the part of it between two bounds, is a look-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint import Numeric
from personalab.errors import BlueprintError

Floats = NDArray[np.float64]

GRID = 4001  # points of a continuous law's table: moments off by less than 1e-4 sd
REACH = 40.0  # sds from the mean beyond which a normal has no mass a double could hold
MOST_INTEGERS = 20_001  # beyond, rounding a continuous law is exact to 1e-6 of the variance
MOST_EXACT = 2.0**53  # beyond, a double no longer holds every whole number
NEGLIGIBLE = 1e-18  # of a density's peak: less than the rounding error of its integral
WIDEST = 1e150  # above, its square overflows
TOLERANCE = 1e-7  # on the standardised moments
MISS = 0.002  # of the sd, by which a solved law's own moments may miss the stated ones


@dataclass(frozen=True, eq=False)
class Law:
    """A solved distribution, as a table.

    Attributes
    ----------
    points : array of float
        Ascending values: the support of a discrete law, or the nodes of a continuous one.
    cumulative : array of float
        Probability at or below each point, ending at 1.
    is_discrete : bool
        Whether only the points themselves occur.
    is_integer : bool
        Whether drawn values are whole numbers.
    mean, sd : float
        The moments that draws have.
    family : str
        Which family met the promises.
    """

    points: Floats
    cumulative: Floats
    is_discrete: bool
    is_integer: bool
    mean: float
    sd: float
    family: str

    def cdf(self, x: Floats) -> Floats:
        """Probability at or below `x`, elementwise."""
        if self.is_discrete:
            index = np.searchsorted(self.points, x, side="right")
            return np.where(index > 0, self.cumulative[np.maximum(index - 1, 0)], 0.0)
        x = np.floor(x) + 0.5 if self.is_integer else x
        return np.interp(x, self.points, self.cumulative, left=0.0, right=1.0)

    def ppf(self, u: Floats) -> Floats:
        """Value below which a share `u` in [0, 1] lies, elementwise."""
        if self.is_discrete:
            index = np.searchsorted(self.cumulative, u, side="right")
            return self.points[np.minimum(index, len(self.points) - 1)]
        return self._whole(np.interp(u, self.cumulative, self.points))

    def between(self, u: Floats, low: Floats, high: Floats) -> Floats:
        """Value below which a share `u` lies of the law's part inside [`low`, `high`]; nan where there is none."""
        low, high = self.reach(low, high)
        below, upto, nearest_end = self.window(low, high)
        inside = np.clip(self.ppf(below + u * (upto - below)), low, high)
        return np.where(upto > below, inside, nearest_end)

    def window(self, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """The part of the law inside [`low`, `high`]: the shares below and up to it, and its end nearest to the mean.

        Where the window holds no mass that a double can see, the shares are equal, and that end is all there is; where
        it lies outside the law it is nan.
        """
        low, high = self.reach(low, high)
        has_atoms = self.is_integer or self.is_discrete
        below = self.cdf(np.nextafter(low, -np.inf)) if has_atoms else self.cdf(low)
        possible = (low <= high) & (high >= self.points[0]) & (low <= self.points[-1])
        nearest_end = np.clip(self._whole(np.clip(self.mean, self.points[0], self.points[-1])), low, high)
        return below, np.where(possible, self.cdf(high), below), np.where(possible, nearest_end, np.nan)

    def reach(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The outermost values inside [`low`, `high`] that the law can have: whole ones where it is of integers."""
        return (np.ceil(low), np.floor(high)) if self.is_integer else (low, high)

    def _whole(self, x: Floats) -> Floats:
        return np.clip(np.rint(x), self.points[0], self.points[-1]) if self.is_integer else x


def law(numeric: Numeric) -> Law:
    """Solve for the law that keeps a distribution's four promises.

    Parameters
    ----------
    numeric : Numeric
        min, max, mean, sd and whether integers only.

    Returns
    -------
    Law
        Whose mean and sd are the stated ones.

    Raises
    ------
    BlueprintError
        If no distribution can have these moments; the message says which sd is the widest or narrowest possible.

    Examples
    --------
    >>> from personalab.blueprint import Numeric
    >>> bronze = law(Numeric(min=1, max=20, mean=6, sd=4, integer=True))
    >>> bronze.family, round(bronze.mean, 6), round(bronze.sd, 6)
    ('discrete normal', 6.0, 4.0)
    """
    moments = [float(moment) for moment in (numeric.min, numeric.max, numeric.mean, numeric.sd)]
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            return _solved(*moments, numeric.integer)
    except BlueprintError:
        raise
    except (ArithmeticError, ValueError) as error:
        told = f"min {moments[0]:g}, max {moments[1]:g}, mean {moments[2]:g} and sd {moments[3]:g}"
        hint = "use numbers of the size that people have"
        raise BlueprintError(f"{told} are beyond what can be computed", hint=hint) from error


def complaint(numeric: Numeric) -> str | None:
    """Say why no distribution can keep these promises, or None where one can.

    The greatest sd of anything inside [min, max] with a given mean is √((mean - min)(max - mean)) (Bhatia & Davis
    2000), had by two points; of integers the least is √(f(1 - f)), f the mean's fractional part.
    """
    low, high, mean, sd = float(numeric.min), float(numeric.max), float(numeric.mean), float(numeric.sd)
    if numeric.integer:
        low, high = math.ceil(low), math.floor(high)
    if low > high:
        return f"min {numeric.min:g} is above max {numeric.max:g}" + (" for integers" if numeric.integer else "")
    if not low <= mean <= high:
        return f"mean {mean:g} lies outside {low:g}..{high:g}"
    if sd < 0:
        return f"sd {sd:g} is negative"
    if sd > WIDEST:
        return f"sd {sd:g} is more than can be computed with"
    if numeric.integer and max(-low, high) > MOST_EXACT:
        return f"{low:g}..{high:g} reaches beyond 2^53, where whole numbers can no longer be told apart"
    widest = math.sqrt(mean - low) * math.sqrt(high - mean)
    if sd > widest * (1 + 1e-9):
        return f"sd {sd:g} is wider than anything in {low:g}..{high:g} with mean {mean:g}: at most {widest:.4g}"
    fraction = mean - math.floor(mean)
    narrowest = math.sqrt(fraction * (1 - fraction)) if numeric.integer else 0.0
    if sd < narrowest * (1 - 1e-9):
        return f"sd {sd:g} is narrower than integers with mean {mean:g} can be: at least {narrowest:.4g}"
    return None


@lru_cache(maxsize=4096)
def _solved(low: float, high: float, mean: float, sd: float, integer: bool) -> Law:
    wrong = complaint(Numeric(min=low, max=high, mean=mean, sd=sd, integer=integer))
    if wrong:
        raise BlueprintError(wrong, hint="change the moment named, or the range")
    if integer:
        low, high = float(math.ceil(low)), float(math.floor(high))
    window = (max(low, mean - REACH * sd - 1), min(high, mean + REACH * sd + 1))
    if integer and (mean - math.ceil(window[0])) * (math.floor(window[1]) - mean) < sd**2:
        window = (low, high)  # rare and far: the sd comes from the few beyond reach
    with np.errstate(all="ignore"):  # of numbers near a double's limits; what is not finite is not taken
        if integer and window[1] - window[0] < MOST_INTEGERS:
            found = _integers(low, high, window, mean, sd)
        else:
            found = _reals(low, high, mean, sd, integer)
        if not _keeps(found, mean, sd):
            found = _rare(low, high, mean, sd, integer)
        if not _keeps(found, mean, sd):
            raise BlueprintError(
                f"mean {mean:g} and sd {sd:g} in {low:g}..{high:g} are too uneven to compute", hint="narrow the range"
            )
    return found


def _keeps(found: Law, mean: float, sd: float) -> bool:
    """Whether the table has the moments it was solved for, up to what a double can tell."""
    if sd == 0:
        return True
    x = (found.points - mean) / sd
    if found.is_discrete:
        shares = np.diff(found.cumulative, prepend=0.0)
        x = np.where(shares > 0, x, 0.0)
        first, second = float(shares @ x), float(shares @ x**2)
    else:  # quantiles run straight between nodes; a stretch without mass, however long, counts for nothing
        shares = np.diff(found.cumulative)
        left, right = (np.where(shares > 0, end, 0.0) for end in (x[:-1], x[1:]))
        first = float(shares @ (left + right)) / 2
        second = float(shares @ (left**2 + left * right + right**2)) / 3
    slack = MISS + 1e-12 * max(abs(mean), float(found.is_integer)) / sd
    return abs(first) <= slack and abs(math.sqrt(max(second - first**2, 0.0)) - 1) <= slack


def _integers(low: float, high: float, window: tuple[float, float], mean: float, sd: float) -> Law:
    support = np.arange(math.ceil(window[0]), math.floor(window[1]) + 1, dtype=float)
    weights = _tilted(support, np.ones_like(support), mean, sd)
    if weights is None:
        weights = _extreme(support, mean, sd)
    # The stated ends belong to the support, also where their mass is too small for a double.
    ends = np.array([end for end in (low, high) if not support[0] <= end <= support[-1]])
    places = np.searchsorted(support, ends)
    return _table(np.insert(support, places, ends), np.insert(weights, places, 0.0), "discrete normal", is_integer=True)


def _reals(low: float, high: float, mean: float, sd: float, integer: bool) -> Law:
    if sd == 0 or low == high:
        return _table(np.array([mean]), np.ones(1), "point", is_integer=integer)
    found = _truncated_normal((low - mean) / sd, (high - mean) / sd)
    if found is None:
        return _beta(low, high, mean, sd, integer)
    nodes, density = found
    mass = np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(nodes))
    # The stated ends belong to the law, also where their mass is too small for a double.
    points = np.concatenate([[low], np.clip(mean + sd * nodes, low, high), [high]])
    cumulative = np.concatenate([[0.0, 0.0], mass / mass[-1], [1.0]])
    return Law(points, cumulative, False, integer, mean, sd, "truncated normal")


def _truncated_normal(low: float, high: float) -> tuple[Floats, Floats] | None:
    """Nodes and density of the truncated normal on [low, high] with mean 0 and sd 1, or None where there is none."""
    low, high = max(low, -REACH), min(high, REACH)
    # The first pass finds where the mass is, the second puts the nodes there.
    for _ in range(2):
        nodes = np.linspace(low, high, GRID)
        widths = np.gradient(nodes)
        widths[[0, -1]] /= 2
        weights = _tilted(nodes, widths, 0.0, 1.0, needs_peak=True)
        if weights is None:
            return None
        density = weights / widths
        seen = np.flatnonzero(density > NEGLIGIBLE * density.max())
        low, high = nodes[max(seen[0] - 1, 0)], nodes[min(seen[-1] + 1, GRID - 1)]
    return nodes, density


def _beta(low: float, high: float, mean: float, sd: float, integer: bool) -> Law:
    from scipy.special import betainc, betaincinv

    width = high / 2 - low / 2  # halved, because the whole may be more than a double can hold
    centre, spread = (mean / 2 - low / 2) / width, sd / 2 / width
    size = centre / spread * (1 - centre) / spread - 1  # the sum of the two shape parameters
    if size <= 1e-6:  # all that is left is the two end points
        return _table(np.array([low, high]), np.array([1 - centre, centre]), "two points", is_integer=integer)
    # Half the nodes are even in probability and half in value, both denser at the ends: a shape below 1 piles most
    # members next to a bound, while the few elsewhere make the sd.
    a, b = size * centre, size * (1 - centre)
    even = (1 - np.cos(np.linspace(0, np.pi, GRID // 2))) / 2
    near = np.geomspace(1e-9, 0.5, GRID // 4)
    share = np.concatenate([betaincinv(a, b, even), near, 1 - near])
    cumulative = np.concatenate([even, betainc(a, b, near), betainc(a, b, 1 - near)])
    share, cumulative = np.sort(share), np.sort(cumulative)  # one rises with the other
    points = np.clip(low * (1 - share) + high * share, low, high)
    return Law(points, cumulative, False, integer, mean, sd, "scaled Beta")


def _rare(low: float, high: float, mean: float, sd: float, integer: bool) -> Law:
    """Two points, one of them the bound next to the mean: for moments made by a few in a million, far away."""
    near, far = (low, high) if mean - low <= high - mean else (high, low)
    gap = abs(mean - near)
    step = min(gap + sd * (sd / gap), abs(far - near)) if gap > 0 else 0.0
    other = near + math.copysign(round(step) if integer else step, far - near)
    share = gap / step if step > 0 else 0.0
    order = slice(None, None, 1 if near <= other else -1)
    return _table(np.array([near, other])[order], np.array([1 - share, share])[order], "two points", is_integer=integer)


def _table(support: Floats, weights: Floats, family: str, *, is_integer: bool) -> Law:
    shares = weights / weights.sum()
    mean = float(shares @ support)
    sd = math.sqrt(float(shares @ (support - mean) ** 2))
    cumulative = np.cumsum(shares)
    cumulative /= cumulative[-1]
    return Law(support, cumulative, True, is_integer, mean, sd, family)


def _tilted(points: Floats, measure: Floats, mean: float, sd: float, *, needs_peak: bool = False) -> Floats | None:
    """Weights measure·exp(a·t + b·t²) with the mean and sd asked for, by Newton's method, or None where there are none.

    The pair (a, b) minimises a convex function whose gradient is the gap between achieved and stated moments and
    whose Hessian is the covariance of (t, t²); t is the standardised value, so the normal is the start (0, -½).
    """
    if sd == 0:
        return np.where(points == mean, 1.0, 0.0) if mean in points else None
    t = (points - mean) / sd
    powers = np.stack([t, t**2])
    target = np.array([0.0, 1.0])
    at = np.array([0.0, -0.5])
    height, weights = _partition(powers, measure, at)
    for _ in range(100):
        achieved = powers @ weights
        gap = achieved - target
        if not np.isfinite(gap).all():
            return None
        if np.abs(gap).max() < TOLERANCE:
            return None if needs_peak and at[1] > 0 else weights
        covariance = (powers * weights) @ powers.T - np.outer(achieved, achieved)
        try:
            step = np.linalg.solve(covariance, gap)
        except np.linalg.LinAlgError:
            return None
        value, scale = height - at @ target, 1.0
        while scale > 1e-10:
            height, weights = _partition(powers, measure, at - scale * step)
            if height - (at - scale * step) @ target <= value - 1e-4 * scale * (gap @ step):
                break
            scale /= 2
        at = at - scale * step
    return None


def _partition(powers: Floats, measure: Floats, at: Floats) -> tuple[float, Floats]:
    exponent = at @ powers
    top = float(exponent.max())
    weights: Floats = measure * np.exp(exponent - top)
    total = float(weights.sum())
    return top + math.log(total), weights / total


def _extreme(support: Floats, mean: float, sd: float) -> Floats:
    """Weights for moments near the edge of the possible, which the tilted family reaches only in the limit.

    Two laws that share the mean, mixed, have it too, and a variance between theirs: here the two integers next to
    the mean, and the closest pair around them whose variance is large enough.
    """
    steps = np.arange(len(support))
    lows = np.maximum(math.floor(mean) - steps, support[0])
    highs = np.minimum(math.ceil(mean) + steps, support[-1])
    variances = (mean - lows) * (highs - mean)
    wide = int(np.argmax(variances >= sd**2)) if variances[-1] >= sd**2 else len(steps) - 1
    gain = variances[wide] - variances[0]
    share = min(1.0, max(0.0, (sd**2 - variances[0]) / gain)) if gain > 0 else 0.0
    inner, outer = (_pair(support, lows[k], highs[k], mean) for k in (0, wide))
    weights: Floats = (1 - share) * inner + share * outer
    return weights


def _pair(support: Floats, low: float, high: float, mean: float) -> Floats:
    weights = np.zeros_like(support)
    above = (mean - low) / (high - low) if high > low else 0.0
    weights[int(low - support[0])] = 1 - above
    weights[int(high - support[0])] += above
    return weights
