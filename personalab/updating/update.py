"""Updating: a population carried over to an edited blueprint, with the fewest changes.

Sampling the edited blueprint anew would give everybody other values, and texts already written would be lost. Here
people keep what they have as far as the edited blueprint lets them, field by field in its order. Each value was drawn
from a distribution that the old blueprint gave for the person's old parents, and shall be drawn from one that the new
blueprint gives for the new parents. Coupling the two (`coupling`) keeps a value as often as can be, and what comes of
it is drawn from the new distribution whatever the old one was: so no dependence outlives the edit that dropped it, in
whichever order the fields come. Where methods keep counts the coupling keeps them too (`reassignment`).

So an edited field changes as many people as its distribution moved, and a field below it only those whose parents
changed. Values go by name: their order, and values of no weight, make no difference.

No function of blueprint and seed alone could do this: it would change up to twice as many (Bavarian et al. 2020).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint import validation
from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.errors import RequestError
from personalab.frames import from_frame, to_frame
from personalab.sampling.apportionment import Counts
from personalab.sampling.assignment import Floats, random_keys, stream
from personalab.sampling.draw import Method, Rounding, apportion, draw, rounded
from personalab.sampling.resampling import resolve
from personalab.sampling.restrictions import Mask, read_restrictions, sampled, select
from personalab.sampling.sample import one_of, whole
from personalab.sampling.strata import Choices, Strata
from personalab.updating.coupling import couple, couple_numbers
from personalab.updating.match import Match, Renamed, places, values_of
from personalab.updating.reassignment import BELOW, Image, is_same, reassign, reassign_in_turn

BANDS = 8  # of a number, when leavers are made an image of those they leave


def update(
    frame: pd.DataFrame,
    before: Blueprint,
    after: Blueprint,
    *,
    renamed: Renamed | None = None,
    method: Method | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Carry a population over to an edited blueprint with the fewest changes.

    Parameters
    ----------
    frame : pandas.DataFrame
        A population drawn from `before`, perhaps already written.
    before, after : Blueprint
        What it was drawn from, and what it shall follow.
    renamed : mapping, optional
        What has another name only: ``{"rank": "tier"}`` for a field, ``{("rank", "Gold"): "Or"}`` for a value, each
        with the old names first. Whatever else has no field, or value, of its name is gone or new.
    method : {"balanced", "quota", "iid"}, optional
        How the frame was drawn; by default what its ``attrs`` say, and ``"quota"`` for one that has lost them.
    seed : int, optional
        Decides who changes, where others might as well; by default the seed in the frame's ``attrs``, else one is made
        up and recorded.

    Returns
    -------
    pandas.DataFrame
        The same people, who follow `after` as a sample would, in every field and every pair of fields: quotas, limits
        and constraints. In an edited field as many have changed as its distribution given its parents moved, n times
        the total variation distance, up to rounding (numbers, and ``"iid"``: on average); in a field below only people
        whose parents have changed. Texts of people of whom nothing changed are kept, those of the others are missing,
        for `write` to write anew. A new field is drawn.

    Raises
    ------
    RequestError
        If the frame has no rows, lacks a field of `before`, has a column twice, holds a value that the field does not
        have, or has a column of its own that a new field is called like; its ``attrs`` are not what `sample` writes; or
        `renamed` speaks of what one of the blueprints does not have.
    BlueprintError
        If `after` has errors, or leaves some row without any value.

    Notes
    -----
    With a seed the result depends on the arguments alone: an afternoon of edits is reproduced from the first frame,
    the first blueprint and the last. Two last blueprints that differ little give results that differ little. Unrelated
    fields of a ``"balanced"`` frame meet somewhat less evenly afterwards than in a fresh sample.

    Examples
    --------
    >>> from personalab import Blueprint, sample
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
    >>> fair = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> bent = fair.replace("side", weights={"head": 0.9, "tail": 0.1})
    >>> frame = sample(fair, 10, seed=1)
    >>> updated = update(frame, fair, bent)
    >>> updated["side"].value_counts().to_dict(), int((updated["side"] != frame["side"]).sum())
    ({'head': 9, 'tail': 1}, 2)
    """
    for bp in (before, after):
        validation.demand_valid(bp)
    old = from_frame(before, frame, strict=True)
    if seed is not None or frame.attrs.get("seed") is None:
        seed = secrets.randbits(32) if seed is None else whole("seed", seed, at_least=0)
    else:
        seed = whole("attrs['seed']", frame.attrs["seed"], at_least=0)
    if method is None:
        method = one_of("attrs['method']", frame.attrs.get("method", "quota"), get_args(Method))
    method = one_of("method", method, get_args(Method))
    rounding = one_of("attrs['rounding']", frame.attrs.get("rounding", "nearest"), get_args(Rounding))
    match = Match(before, after, renamed or {})
    match.demand()
    change = Change(match, old, len(frame), seed, method, rounding)
    return _framed(frame, change, change.columns())


@dataclass(frozen=True)
class Change:
    """From what to what a population of `n` is carried over; `old` are its columns before."""

    match: Match
    old: Mapping[str, Array]
    n: int
    seed: int
    method: Method
    rounding: Rounding
    when: dict[str, Floats] = field(default_factory=dict)  # how early who changes does so, field by field
    edited: set[str] = field(default_factory=set)  # fields of which others than those with new parents change

    def columns(self) -> dict[str, Array]:
        """The columns under the edited blueprint."""
        restrictions = read_restrictions(self.match.after)
        columns: dict[str, Array] = {}
        for name in (name for name in self.match.after.order if self.match.after[name].kind != "text"):
            field, earlier = sampled(self.match.after, name), self._past.get(self.match.origin.get(name, ""))
            rng = stream(self.seed, f"{earlier.field.name if earlier else name}/update")
            key = random_keys(self.n, rng)
            kept = select(self.match.after, name, columns, restrictions)
            strata = Strata(self.match.after, field, columns, self.n, kept)
            make: Callable[[Strata], tuple[Array, Mask]]
            if earlier is None:
                make = partial(draw, method=self.method, rounding=self.rounding, key=key, rng=rng)
            elif self._is_untouched(strata, earlier):
                columns[name] = self.old[earlier.field.name]
                continue
            else:
                make = partial(self._column, earlier=earlier, rng=rng)
            columns = resolve(strata, restrictions, make, rng, is_independent=self.method == "iid")
        return columns

    @cached_property
    def _past(self) -> dict[str, Strata]:
        """For each field the distributions that its old column came from."""
        before, restrictions = self.match.before, read_restrictions(self.match.before)
        past: dict[str, Strata] = {}
        columns: dict[str, Array] = {}
        for name in (name for name in before.order if name in self.old):
            kept = select(before, name, columns, restrictions)
            past[name] = Strata(before, sampled(before, name), dict(columns), self.n, kept)
            columns[name] = self.old[name]
        return past

    @cached_property
    def _above(self) -> Mapping[str, set[str]]:
        """For each old field those that it descends from."""
        above: dict[str, set[str]] = {"": set()}
        for name in self._past:
            parents = self.match.before[name].parents
            above[name] = set(parents).union(*(above[parent] for parent in parents))
        return above

    def _is_untouched(self, strata: Strata, earlier: Strata) -> bool:
        """Whether neither the field nor anything that decides its values has changed, not even a name or an order."""
        spoken = {name for each in strata.restrictions for name in each.fields} | set(strata.field.parents)
        return (
            _is_alike(strata.field, earlier.field)
            and strata.restrictions == earlier.restrictions
            and all((name in strata.columns) == (name in earlier.columns) for name in spoken)
            and all(
                name in self.match.before.order and _is_alike(self.match.after[name], self.match.before[name])
                for name in spoken
            )
            and all(np.array_equal(strata.columns[name], self.old[name]) for name in spoken if name in strata.columns)
        )

    def _column(self, strata: Strata, earlier: Strata, rng: np.random.Generator) -> tuple[Array, Mask]:
        old = self.old[earlier.field.name]
        if isinstance(strata.field, CategoricalField):
            return self._categories(strata, earlier, old, rng)
        is_independent = self.method == "iid"
        column, stuck, self.when[strata.field.name] = couple_numbers(
            strata, earlier, old, rng, is_independent=is_independent
        )
        return column, stuck

    def _categories(self, strata: Strata, earlier: Strata, old: Array, rng: np.random.Generator) -> tuple[Array, Mask]:
        """The codes of a categorical field, by way of places in the list of all values then and now by name."""
        now, was = cast(Choices, strata.choices), cast(Choices, earlier.choices)
        new, former = values_of(strata.field), self.match.values(earlier.field.name)
        every = sorted({*new, *former})
        to, since = places(new, every), places(former, every)
        pair, member = numbered([(now.stratum, len(now.shares)), (was.stratum, len(was.shares))], self.n)
        shares = np.zeros((2, len(member), len(every)))
        shares[0][:, since], shares[1][:, to] = was.shares[was.stratum[member]], now.shares[now.stratum[member]]
        place = np.where(shares[1][pair, since[old]] > 0, since[old], -1)
        if self.method == "iid":
            place = couple(pair, place, shares[0], shares[1], rng)
        elif not is_same(*shares).all() or (place < 0).any():
            place = self._reassigned(strata, earlier, pair, place, shares, to, rng)
        return places(tuple(every), list(new))[place], now.is_stuck[now.stratum]

    def _reassigned(
        self,
        strata: Strata,
        earlier: Strata,
        pair: Array,
        place: Array,
        shares: Floats,
        to: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> Array:
        """Who has which value, where methods keep counts: first those whose parents are the same, then the others."""
        was, now = shares
        u, is_moved = rng.random(self.n), self._have_moved(strata, earlier)
        codes, when = place.copy(), np.zeros(self.n)
        rows = np.flatnonzero(~is_moved)
        is_held = is_same(was, now)[pair] & (place >= 0)
        if not is_held[rows].all():
            self.edited.add(strata.field.name)
            some = strata if len(rows) == self.n else strata.of(rows)
            group, quotas = self._quotas(some, to, rng)
            counts = np.zeros((len(quotas), now.shape[1]), dtype=np.int64)
            counts[:, to] = quotas
            images = [image.of(rows) for image in self._images(strata, earlier)]
            bonus = np.zeros(self.n)
            if strata.columns:
                bonus = 0.5 * self.match.differing(self.old, strata.columns)[rows].astype(np.float64)
            codes[rows], when[rows] = reassign(group, pair[rows], place[rows], counts, was, now, images, bonus, rng)
        turn = np.flatnonzero(is_moved & ~is_held)
        if len(turn):
            when[turn] = np.max([self.when.get(name, when)[turn] for name in strata.columns], axis=0)
            rest, group = np.setdiff1d(np.arange(self.n), turn), strata.configuration.astype(np.intp)
            alike, first = numbered([(group[rest], strata.configurations), (pair[rest], len(now))], len(rest))
            gap = np.zeros((strata.configurations, now.shape[1]))
            np.add.at(gap, group[rest][first], np.bincount(alike)[:, None] * now[pair[rest][first]])
            np.add.at(gap, (group[rest], codes[rest]), -1.0)
            turn = turn[np.lexsort((u[turn], when[turn]))]
            below = [image.of(turn) for image in self._images(strata, earlier) if image.is_below]
            codes[turn] = reassign_in_turn(
                pair[turn], group[turn], place[turn], was, now, gap, below, u[turn], is_revised=len(self.edited) > 1
            )
        self.when[strata.field.name] = when
        return codes

    def _quotas(self, strata: Strata, to: NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, Counts]:
        """Each row's group, and how many of each group get each value; a root's ties are decided by names."""
        quota = None
        if not strata.field.parents:
            shares = strata.stated[strata.found.number[0]]
            order = np.array([at for at in np.argsort(to) if shares[at] > 0])
            quota = np.zeros((1, len(shares)), dtype=np.int64)
            ties = stream(self.seed, f"{strata.field.name}/quotas")
            quota[0, order] = rounded(shares[order], strata.n, self.rounding, ties)[0]
        return apportion(strata, rng, quota=quota)

    def _have_moved(self, strata: Strata, earlier: Strata) -> Mask:
        """Which rows have another value than before in a parent that the field has or had."""
        parents = {*strata.field.parents, *(self.match.now.get(name, "") for name in earlier.field.parents)}
        moved = np.zeros(self.n, dtype=bool)
        if any(earlier.field.name in self._above[self.match.origin.get(name, "")] for name in strata.columns):
            return moved  # what came before was decided by this very field, and tells rows apart by it
        for name in parents & set(strata.columns) & set(self.match.origin):
            moved |= self.match.has_changed(name, self.old, strata.columns[name])
        return moved

    def _images(self, strata: Strata, earlier: Strata) -> list[Image]:
        """What else people are: every other field as far as it is known, and where they stand in those below."""
        found = []
        for name, column in strata.columns.items():
            cell, cells = _banded(sampled(self.match.after, name), column)
            found.append(Image(cell, np.zeros(cells, dtype=np.int8), np.bincount(cell, minlength=cells) / self.n))
        left = [name for name in self.old if self.match.now.get(name) not in strata.columns]
        return found + [self._image(name, strata, earlier.field.name) for name in left if name != earlier.field.name]

    def _image(self, name: str, strata: Strata, above: str) -> Image:
        """Where people stand in an old field's distribution; those whose parents have changed stand apart."""
        field, choices = sampled(self.match.before, name), self._past[name].choices
        is_below = above in field.parents
        own, *axes = [_banded(sampled(self.match.before, each), self.old[each]) for each in (name, *field.parents)]
        is_new = np.zeros(self.n, dtype=np.int8)
        for now in (self.match.now.get(parent) for parent in field.parents):
            if now is not None and now in strata.columns:
                is_new |= self.match.has_changed(now, self.old, strata.columns[now])
        group, groups = numbered([*axes, (is_new, 2)], self.n)
        cell, first = numbered([(group, len(groups)), own], self.n)
        asked = np.bincount(cell) / np.bincount(group)[group[first]]
        if is_below and isinstance(field, CategoricalField) and choices is not None:
            asked = np.where(is_new[first], asked, choices.shares[choices.stratum[first], own[0][first]])
        return Image(cell, group[first], asked, BELOW if is_below else 1.0, is_below)


def _is_alike(one: Any, other: Any) -> bool:
    """Whether two fields have the same name, distributions, and values in the same order."""
    return one == other and getattr(one, "values", ()) == getattr(other, "values", ())


def _framed(frame: pd.DataFrame, change: Change, columns: Mapping[str, Array]) -> pd.DataFrame:
    """The new columns beside the user's own, and beside the texts of those of whom nothing has changed."""
    before, after = change.match.before, change.match.after
    made, is_touched = to_frame(after, columns, frame.index), change.match.differing(change.old, columns)
    fields = {field.name for field in before.fields}
    own = [name for name in frame if name not in fields]
    taken = [name for name in own if name in made]
    if taken:
        raise RequestError(
            f"the frame has a column {taken[0]!r} of its own, as the new field is called", hint="rename one of them"
        )
    texts = {field.name for field in after.texts}
    told = {field.name: now for field in before.texts if (now := change.match.now.get(field.name)) in texts}
    for name in frame:
        if name in told or name in validation.WRITTEN or (name in own and name in texts):
            made[told.get(name, name)] = frame[name].mask(is_touched)
        elif name in own:
            made[name] = frame[name]
    if [field.name for field in before.fields] == [field.name for field in after.fields] and set(made) <= set(frame):
        made = made[[name for name in frame if name in made]]
    else:
        first = [field.name for field in after.fields if field.name in made]
        made = made[[*first, *(name for name in made if name not in first)]]
    made.attrs.update(frame.attrs)
    made.attrs.update(method=change.method, rounding=change.rounding, seed=change.seed)
    ids = set(map(str, frame.index[is_touched]))
    for key in validation.FAULTS:
        if key in frame.attrs:
            made.attrs[key] = [each for each in _ids(key, frame.attrs[key]) if str(each) not in ids]
    return made


def _ids(key: str, value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise RequestError(f"attrs[{key!r}] is {value!r}", hint="it lists people's ids; drop it")


def _banded(field: SampledField, column: Array) -> tuple[Array, int]:
    """A category's codes, or a number's band."""
    if isinstance(field, CategoricalField):
        return column, len(field.values)
    ends = np.unique(np.quantile(column, np.arange(1, BANDS) / BANDS))
    return np.searchsorted(ends, column), BANDS
