"""Moments: numeric distributions that keep all four of their promises.

A blueprint promises a minimum, a maximum, a mean and a standard deviation. Taking mean and sd for the parameters of
a normal and clipping it piles mass on the bounds; rejecting what falls outside moves both moments. So the distribution
is *solved* for the moments it will have:

- for integers, the one on the whole numbers from min to max whose weights are exp(a·k + b·k²): the normal's own
  family, and the distribution of greatest entropy with these moments; where it would have no peak (b > 0), the
  beta-binomial, the distribution of counts that vary widely, such as visits or children;
- for real numbers, the truncated normal (the same family with b < 0); where none has these moments, the Beta
  scaled to [min, max], which does whenever sd² < (mean - min)(max - mean).

A solved distribution is a table of its quantiles, so drawing from it, or from a part of it, is a look-up. It is
solved with `portable_math` alone, whose every bit is fixed, so that the table, and with it the frame, is the same
whatever numpy, SciPy, C library or processor is at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from personalab.blueprint.model import Numeric
from personalab.blueprint.portable_math import exp, interpolated, log, log1p, total
from personalab.errors import BlueprintError

Floats = NDArray[np.float64]
Tilt = tuple[float, float]  # of the standardised value and of its square, in the exponent

GRID = 4001  # points of a continuous distribution's table: moments off by less than 1e-4 sd
COARSE = 401  # points that show where the mass is
NORMAL = (0.0, -0.5)  # the normal's tilt
REACH = 40.0  # sds from the mean beyond which a normal has no mass a double could hold
MOST_INTEGERS = 20_001  # beyond, rounding a continuous distribution is exact to 1e-6 of the variance
TYPED = 5e-4  # of a number, by which four digits may miss it
TYPED_TWO = 0.005  # by which two digits after the point may miss the sd of two whole numbers
MOST_EXACT = 2.0**53  # beyond, a double no longer holds every whole number
NEGLIGIBLE = 1e-18  # of a density's peak: less than the rounding error of its integral
WIDEST = 1e150  # above, its square overflows
NEAR = 25.0  # in log-odds: e^-25 of the way from the mean to a bound is as good as the bound
TOLERANCE = 1e-7  # on the standardised moments
MISS = 0.002  # of the sd, by which a solved distribution's own moments may miss the stated ones


@dataclass(frozen=True, eq=False)
class Distribution:
    """A solved distribution, as a table.

    Attributes
    ----------
    points : array of float
        Ascending values: the support of a discrete distribution, or the nodes of a continuous one.
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
        return np.where(x < self.points[0], 0.0, interpolated(x, self.points, self.cumulative))

    def ppf(self, u: Floats) -> Floats:
        """Value below which a share `u` in [0, 1] lies, elementwise."""
        if self.is_discrete:
            index = np.searchsorted(self.cumulative, u, side="right")
            return self.points[np.minimum(index, len(self.points) - 1)]
        return self._whole(interpolated(u, self.cumulative, self.points))

    def between(self, u: Floats, low: Floats, high: Floats) -> Floats:
        """Value below which a share `u` of what lies inside [`low`, `high`] is; nan where nothing does."""
        low, high = self.reach(low, high)
        below, upto, nearest_end = self.window(low, high)
        inside = np.clip(self.ppf(below + u * (upto - below)), low, high)
        return np.where(upto > below, inside, nearest_end)

    def window(self, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
        """What lies inside [`low`, `high`]: the shares below and up to it, and its end nearest to the mean.

        Where the window holds no mass that a double can see, the shares are equal, and that end is all there is; where
        it lies outside the distribution it is nan.
        """
        low, high = self.reach(low, high)
        has_atoms = self.is_integer or self.is_discrete
        if np.isfinite(low).any():
            below = self.cdf(np.nextafter(low, -np.inf)) if has_atoms else self.cdf(low)
        else:
            below = np.zeros(np.shape(low))
        possible = (low <= high) & (high >= self.points[0]) & (low <= self.points[-1])
        nearest_end = np.clip(self._whole(np.clip(self.mean, self.points[0], self.points[-1])), low, high)
        return below, np.where(possible, self.cdf(high), below), np.where(possible, nearest_end, np.nan)

    def reach(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The outermost values inside [`low`, `high`] that can occur: whole ones where it is of integers."""
        return (np.ceil(low), np.floor(high)) if self.is_integer else (low, high)

    def _whole(self, x: Floats) -> Floats:
        return np.clip(np.rint(x), self.points[0], self.points[-1]) if self.is_integer else x


def solve(numeric: Numeric) -> Distribution:
    """Find the distribution that keeps four promises.

    Parameters
    ----------
    numeric : Numeric
        min, max, mean, sd and whether integers only.

    Returns
    -------
    Distribution
        Whose mean and sd are the stated ones.

    Raises
    ------
    BlueprintError
        If no distribution can have these moments; the message says which sd is the widest or narrowest possible.

    Examples
    --------
    >>> from personalab.blueprint.model import Numeric
    >>> bronze = solve(Numeric(min=1, max=20, mean=6, sd=4, integer=True))
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
    narrowest, widest = _limits(low, high, mean, integer=numeric.integer)
    # Printed with four digits, or where two values leave no choice with two, a limit is accepted when typed back.
    slack = TYPED_TWO if numeric.integer and high - low == 1 else TYPED * widest
    if sd > widest + slack:
        return f"sd {sd:g} is wider than anything in {low:g}..{high:g} with mean {mean:g}: at most {widest:.4g}"
    if sd < narrowest - slack:
        return f"sd {sd:g} is narrower than integers with mean {mean:g} can be: at least {narrowest:.4g}"
    return None


def _limits(low: float, high: float, mean: float, *, integer: bool) -> tuple[float, float]:
    """The least and the greatest sd of a distribution on a range that has a mean."""
    fraction = mean - math.floor(mean)
    least = math.sqrt(fraction * (1 - fraction)) if integer else 0.0
    return least, math.sqrt(mean - low) * math.sqrt(high - mean)


@lru_cache(maxsize=4096)
def _solved(low: float, high: float, mean: float, sd: float, integer: bool) -> Distribution:
    wrong = complaint(Numeric(min=low, max=high, mean=mean, sd=sd, integer=integer))
    if wrong:
        raise BlueprintError(wrong, hint="change the moment named, or the range")
    if integer:
        low, high = float(math.ceil(low)), float(math.floor(high))
    least, greatest = _limits(low, high, mean, integer=integer)
    sd = min(max(sd, least), greatest)
    window = (max(low, mean - REACH * sd - 1), min(high, mean + REACH * sd + 1))
    if integer and (mean - math.ceil(window[0])) * (math.floor(window[1]) - mean) < sd * sd:
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


def _keeps(found: Distribution, mean: float, sd: float) -> bool:
    """Whether the table has the moments it was solved for, up to what a double can tell."""
    if sd == 0:
        return True
    x = (found.points - mean) / sd
    if found.is_discrete:
        shares = np.diff(found.cumulative, prepend=0.0)
        x = np.where(shares > 0, x, 0.0)
        first, second = float(total(shares * x)), float(total(shares * x * x))
    else:  # quantiles run straight between nodes; a stretch without mass, however long, counts for nothing
        shares = np.diff(found.cumulative)
        left, right = (np.where(shares > 0, end, 0.0) for end in (x[:-1], x[1:]))
        first = float(total(shares * (left + right))) / 2
        second = float(total(shares * (left * left + left * right + right * right))) / 3
    slack = MISS + 1e-12 * max(abs(mean), float(found.is_integer)) / sd
    return abs(first) <= slack and abs(math.sqrt(max(second - first * first, 0.0)) - 1) <= slack


def _integers(low: float, high: float, window: tuple[float, float], mean: float, sd: float) -> Distribution:
    support = np.arange(math.ceil(window[0]), math.floor(window[1]) + 1, dtype=float)
    family, weights = "discrete normal", _normal_integers(support, mean, sd)
    if weights is None:
        family, weights = "beta-binomial", _beta_binomial(support, mean, sd)
    if weights is None:
        family, weights = "mixture", _extreme(support, mean, sd)
    # The stated ends belong to the support, also where their mass is too small for a double.
    ends = np.array([end for end in (low, high) if not support[0] <= end <= support[-1]])
    places = np.searchsorted(support, ends)
    return _table(np.insert(support, places, ends), np.insert(weights, places, 0.0), family, is_integer=True)


def _normal_integers(support: Floats, mean: float, sd: float) -> Floats | None:
    if sd == 0:
        return np.where(support == mean, 1.0, 0.0) if mean in support else None
    t, tilt = (support - mean) / sd, NORMAL
    if len(t) > GRID:  # many are costly to begin with, and so dense that a few tell nearly as much
        found = _tilted(_steps(t[0], t[-1], COARSE), np.ones(COARSE))
        tilt = found[0] if found else NORMAL
    found = _tilted(t, np.ones_like(t), tilt)
    return found[1] if found and found[0][1] <= 0 else None


def _beta_binomial(support: Floats, mean: float, sd: float) -> Floats | None:
    """Weights of the beta-binomial distribution, for counts that vary more than a peak around their mean could.

    Its variance is N p (1 - p) (1 + (N - 1) r), with N the steps from end to end and r = 1 / (alpha + beta + 1).
    """
    n = float(support[-1] - support[0])
    p = (mean - float(support[0])) / n if n > 1 else 0.0
    if not 0 < p < 1:
        return None
    rho = (sd * sd / (n * p * (1 - p)) - 1) / (n - 1)
    if not 1e-9 < rho < 1 - 1e-9:
        return None
    alpha, beta = p * (1 / rho - 1), (1 - p) * (1 / rho - 1)
    k = np.arange(n)
    steps = log((n - k) / (k + 1)) + log((alpha + k) / (beta + n - k - 1))
    height = np.concatenate([[0.0], np.cumsum(steps)])
    weights: Floats = exp(height - height.max())
    return weights


def _reals(low: float, high: float, mean: float, sd: float, integer: bool) -> Distribution:
    if sd == 0 or low == high:
        return _table(np.array([mean]), np.ones(1), "point", is_integer=integer)
    found = _truncated_normal((low - mean) / sd, (high - mean) / sd)
    if found is None:
        return _beta(low, high, mean, sd, integer)
    nodes, density = found
    mass = np.cumsum(density[1:] + density[:-1])
    # The stated ends belong to the distribution, also where their mass is too small for a double.
    points = np.concatenate([[low], np.clip(mean + sd * nodes, low, high), [high]])
    cumulative = np.concatenate([[0.0, 0.0], mass / mass[-1], [1.0]])
    return Distribution(points, cumulative, False, integer, mean, sd, "truncated normal")


def _truncated_normal(low: float, high: float) -> tuple[Floats, Floats] | None:
    """Even nodes and density of the truncated normal on [low, high] with mean 0 and sd 1, or None where none is."""
    low, high, tilt = max(low, -REACH), min(high, REACH), NORMAL
    # The first pass finds where the mass is, the second puts the nodes there.
    for size in (COARSE, GRID):
        nodes, ends = _steps(low, high, size), np.ones(size)
        ends[[0, -1]] = 0.5
        found = _tilted(nodes, ends, tilt)
        if found is None or found[0][1] > 0:
            return None
        tilt, density = found[0], found[1] / ends
        seen = np.flatnonzero(density > NEGLIGIBLE * density.max())
        low, high = float(nodes[max(seen[0] - 1, 0)]), float(nodes[min(seen[-1] + 1, size - 1)])
    return nodes, density


def _steps(low: float, high: float, size: int) -> Floats:
    """Evenly spaced numbers, both ends included."""
    share = np.arange(size) / (size - 1)
    return low * (1 - share) + high * share


def _beta(low: float, high: float, mean: float, sd: float, integer: bool) -> Distribution:
    """The Beta scaled to [low, high], on nodes even in log-odds.

    There its density is smooth whatever its shape: next to a bound, where a shape below 1 piles up most members, they
    get ever finer nodes, and what lies nearer than any of these has the share density / shape.
    """
    width = high / 2 - low / 2  # halved, because the whole may be more than a double can hold
    centre, spread = (mean / 2 - low / 2) / width, sd / 2 / width
    size = centre / spread * (1 - centre) / spread - 1  # the sum of the two shape parameters
    if size <= 1e-6:  # all that is left is the two end points
        return _table(np.array([low, high]), np.array([1 - centre, centre]), "two points", is_integer=integer)
    a, b = size * centre, size * (1 - centre)
    middle = float(log(np.array(a / b)))
    peak = math.sqrt(84 / a + 84 / b)  # e^-42 of the highest density is negligible
    odds = _steps(middle - min(NEAR, peak + 42 / a), middle + min(NEAR, peak + 42 / b), GRID)
    nearer = exp(-np.abs(odds))
    upper, lower = -log1p(nearer) + np.minimum(odds, 0), -log1p(nearer) - np.maximum(odds, 0)
    exponent = a * upper + b * lower  # the logarithms of the share and of its complement
    density = exp(exponent - exponent.max())
    step = odds[1] - odds[0]
    mass = np.concatenate([[density[0] / a], (density[1:] + density[:-1]) / 2 * step, [density[-1] / b]])
    cumulative = np.cumsum(mass)
    share = np.where(odds < 0, nearer, 1.0) / (1 + nearer)
    complement = np.where(odds < 0, 1.0, nearer) / (1 + nearer)
    points = np.concatenate([[low], np.clip(low * complement + high * share, low, high), [high]])
    cumulative = np.concatenate([[0.0], cumulative / cumulative[-1]])
    return Distribution(np.maximum.accumulate(points), cumulative, False, integer, mean, sd, "scaled Beta")


def _rare(low: float, high: float, mean: float, sd: float, integer: bool) -> Distribution:
    """Two points, one of them the bound next to the mean: for moments made by a few in a million, far away."""
    near, far = (low, high) if mean - low <= high - mean else (high, low)
    gap = abs(mean - near)
    step = min(gap + sd * (sd / gap), abs(far - near)) if gap > 0 else 0.0
    other = near + math.copysign(round(step) if integer else step, far - near)
    share = gap / step if step > 0 else 0.0
    order = slice(None, None, 1 if near <= other else -1)
    return _table(np.array([near, other])[order], np.array([1 - share, share])[order], "two points", is_integer=integer)


def _table(support: Floats, weights: Floats, family: str, *, is_integer: bool) -> Distribution:
    shares = weights / total(weights)
    mean = float(total(shares * support))
    gap = support - mean
    sd = math.sqrt(float(total(shares * gap * gap)))
    cumulative = np.cumsum(shares)
    cumulative /= cumulative[-1]
    return Distribution(support, cumulative, True, is_integer, mean, sd, family)


def _tilted(t: Floats, measure: Floats, start: Tilt = NORMAL) -> tuple[Tilt, Floats] | None:
    """Weights measure·exp(a·t + b·t²) with mean 0 and sd 1, and (a, b), by Newton's method; None where there are none.

    The pair minimises a convex function, the logarithm of the sum of weights less b, whose gradient is the gap
    between achieved and stated moments and whose Hessian is the covariance of (t, t²).
    """
    square = t * t
    powers = np.stack([np.ones_like(t), t, square, square * t, square * square])
    (a, b), top, sums, weights = start, *_partition(powers, measure, start)
    for _ in range(100):
        first, second, third, fourth = (sums[1:] / sums[0]).tolist()
        gap = (first, second - 1.0)
        if not math.isfinite(first + fourth):
            return None
        if max(abs(gap[0]), abs(gap[1])) < TOLERANCE:
            return (a, b), weights / sums[0]
        spread, skew, tails = second - first * first, third - first * second, fourth - second * second
        determinant = spread * tails - skew * skew
        if not determinant > 0:
            return None
        step = ((gap[0] * tails - gap[1] * skew) / determinant, (gap[1] * spread - gap[0] * skew) / determinant)
        scale, slope = 1.0, gap[0] * step[0] + gap[1] * step[1]
        while scale > 1e-10:
            tried = (a - scale * step[0], b - scale * step[1])
            new_top, new_sums, weights = _partition(powers, measure, tried)
            # The function has fallen far enough, said without the logarithm.
            fall = float(exp(np.array(top - new_top - scale * step[1] - 1e-4 * scale * slope)))
            if new_sums[0] <= sums[0] * fall:
                break
            scale /= 2
        (a, b), top, sums = tried, new_top, new_sums
    return None


def _partition(powers: Floats, measure: Floats, tilt: Tilt) -> tuple[float, Floats, Floats]:
    """The greatest exponent, the sums of weights·t^0 … t^4, and the weights, all by e to that exponent."""
    exponent = tilt[0] * powers[1] + tilt[1] * powers[2]
    top = float(exponent.max())
    weights: Floats = measure * exp(exponent - top)
    return top, total(powers * weights), weights


def _extreme(support: Floats, mean: float, sd: float) -> Floats:
    """Weights for moments near the edge of the possible, which the tilted family reaches only in the limit.

    Two distributions that share the mean, mixed, have it too, and a variance between theirs: here the two integers
    next to the mean, and the closest pair around them whose variance is large enough.
    """
    steps = np.arange(len(support))
    lows = np.maximum(math.floor(mean) - steps, support[0])
    highs = np.minimum(math.ceil(mean) + steps, support[-1])
    variances = (mean - lows) * (highs - mean)
    wide = int(np.argmax(variances >= sd * sd)) if variances[-1] >= sd * sd else len(steps) - 1
    gain = variances[wide] - variances[0]
    share = min(1.0, max(0.0, (sd * sd - variances[0]) / gain)) if gain > 0 else 0.0
    inner, outer = (_pair(support, lows[k], highs[k], mean) for k in (0, wide))
    weights: Floats = (1 - share) * inner + share * outer
    return weights


def _pair(support: Floats, low: float, high: float, mean: float) -> Floats:
    weights = np.zeros_like(support)
    above = (mean - low) / (high - low) if high > low else 0.0
    weights[int(low - support[0])] = 1 - above
    weights[int(high - support[0])] += above
    return weights
