"""Updating: a population carried over to an edited blueprint, with the fewest changes.

Sampling the edited blueprint anew would give everybody other values, and texts already written would be lost. Here
people keep what they have as far as the edited blueprint lets them, field by field in its order:

- who still has the same distribution, and a value that it allows, keeps the value;
- of the others, the new quotas say how many may stay and how many too many there are; these leave, and are dealt
  what is missing.

So an edited field changes as many people as its distribution moved, and a field below it only those whose parents
changed. Who leaves is chosen by `reassignment`. A number is counted by slices of equal probability, as sampling
spreads it. Independent draws have no quotas: there each value is kept or replaced by itself, `coupling`.

No function of blueprint and seed alone could do this: it would change up to twice as many (Bavarian et al. 2020).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from personalab.blueprint import validation
from personalab.blueprint.grouping import Array, numbered
from personalab.blueprint.model import Blueprint, CategoricalField, SampledField
from personalab.blueprint.moments import Distribution
from personalab.errors import RequestError
from personalab.frames import from_frame, to_frame
from personalab.sampling.apportionment import Counts
from personalab.sampling.arrays import keys
from personalab.sampling.assignment import Floats, Keys, members, random_keys, stratify, stream
from personalab.sampling.draw import Method, Rounding, apportion, draw
from personalab.sampling.resampling import resolve
from personalab.sampling.restrictions import Mask, read_restrictions, sampled, select
from personalab.sampling.sample import one_of, whole
from personalab.sampling.strata import Choices, Strata
from personalab.updating.coupling import coupled, coupled_numbers, pairs_of
from personalab.updating.reassignment import Cells, Moves

SLICES = 256  # of a number's distribution that are counted, at most
CROWD = 4  # people a slice, at least
FEW = 16  # people who have a slice each
BANDS = 8  # of a number below, when leavers are made an image of those they leave


def update(frame: pd.DataFrame, before: Blueprint, after: Blueprint, *, seed: int | None = None) -> pd.DataFrame:
    """Carry a population over to an edited blueprint with the fewest changes.

    Parameters
    ----------
    frame : pandas.DataFrame
        A population drawn from `before`, perhaps already written. Its ``attrs`` say by which method and rounding; a
        frame without them, as from a file, is taken for ``"quota"`` and ``"nearest"``: where it was drawn otherwise,
        set them first.
    before, after : Blueprint
        What it was drawn from, and what it shall follow.
    seed : int, optional
        Decides who changes, where others might as well; by default the seed in the frame's ``attrs``, else one is made
        up and recorded.

    Returns
    -------
    pandas.DataFrame
        The same people, who follow `after` as closely as a sample would: quotas, limits and constraints. In an edited
        field as many have changed as its distribution moved, n times the total variation distance, up to rounding
        (for ``"iid"`` on average; a number is counted by at most 256 slices); in a field below only people whose
        parents have changed. Texts of people of whom nothing changed are kept, those of the others are missing, for
        `write` to write anew. A field that was only renamed keeps its values; a new one is drawn.

    Raises
    ------
    RequestError
        If the frame has no rows, lacks a field of `before`, has a column twice, holds a value that the field does not
        have, or has a column of its own that a new field is called like; or its ``attrs`` are not what `sample` writes.
    BlueprintError
        If `after` has errors, or leaves some row without any value.

    Notes
    -----
    With a seed the result depends on the arguments alone: an afternoon of edits is reproduced from the first frame,
    the first blueprint and the last. Unrelated fields of a ``"balanced"`` frame meet somewhat less evenly afterwards
    than in a fresh sample.

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
    method = one_of("attrs['method']", frame.attrs.get("method", "quota"), get_args(Method))
    rounding = one_of("attrs['rounding']", frame.attrs.get("rounding", "nearest"), get_args(Rounding))
    change = Change(before, after, old, len(frame), seed, method, rounding)
    return _framed(frame, change, change.columns())


@dataclass(frozen=True)
class Change:
    """From what to what a population of `n` is carried over; `old` are its columns under `before`."""

    before: Blueprint
    after: Blueprint
    old: Mapping[str, Array]
    n: int
    seed: int
    method: Method
    rounding: Rounding

    def columns(self) -> dict[str, Array]:
        """The columns under the edited blueprint."""
        names = [name for name in self.after.order if self.after[name].kind != "text"]
        spread = keys(names, self.n, self.seed) if self.method == "balanced" else {}
        restrictions, origin = read_restrictions(self.after), self._origin
        columns: dict[str, Array] = {}
        for name in names:
            rng = stream(self.seed, f"{name}/update")
            key: Keys = spread[name] if spread else random_keys(self.n, rng)
            own = select(self.after, name, columns, restrictions)
            strata = Strata(self.after, sampled(self.after, name), columns, self.n, own)
            earlier = self._past.get(origin.get(name, ""))
            if earlier is not None and self._is_untouched(strata, earlier, origin):
                columns[name] = self.old[earlier.field.name]
                continue
            column = partial(self._column, earlier, key, rng)
            columns = resolve(strata, restrictions, column, rng, is_independent=self.method == "iid")
        return columns

    @cached_property
    def _origin(self) -> dict[str, str]:
        return origins(self.before, self.after)

    @cached_property
    def _past(self) -> dict[str, Strata]:
        """For each field what its old column was drawn from."""
        was, past = read_restrictions(self.before), dict[str, Strata]()
        columns: dict[str, Array] = {}
        for name in (name for name in self.before.order if name in self.old):
            own = select(self.before, name, columns, was)
            past[name] = Strata(self.before, sampled(self.before, name), dict(columns), self.n, own)
            columns[name] = self.old[name]
        return past

    def _is_untouched(self, strata: Strata, earlier: Strata, origin: Mapping[str, str]) -> bool:
        """Whether neither the field nor anything that decides its values has changed."""
        if not _is_same(strata.field, earlier.field, origin) or strata.restrictions != earlier.restrictions:
            return False
        named = {name for each in strata.restrictions for name in each.fields}
        decides, later = {*strata.field.parents, *named & set(strata.columns)}, named - set(strata.columns)
        return all(
            name in origin and np.array_equal(strata.columns[name], self.old[origin[name]]) for name in decides
        ) and all(
            name in origin and _is_same(sampled(strata.bp, name), sampled(self.before, origin[name]), origin)
            for name in later
        )

    def _column(
        self, earlier: Strata | None, key: Keys, rng: np.random.Generator, strata: Strata
    ) -> tuple[Array, Mask]:
        if earlier is None:
            return draw(strata, self.method, self.rounding, key, rng)
        old = self.old[earlier.field.name]
        if isinstance(strata.field, CategoricalField):
            return self._categories(strata, earlier, old, key, rng)
        return self._numbers(strata, earlier, old, key, rng)

    def _categories(
        self, strata: Strata, earlier: Strata, old: Array, key: Keys, rng: np.random.Generator
    ) -> tuple[Array, Mask]:
        """The codes of a categorical field: as many of each as quotas say, the fewest of them new."""
        now, was, values = cast(Choices, strata.choices), cast(Choices, earlier.choices), _values(strata)
        new = _places(_values(earlier), values)
        code = new[old]
        previous = np.zeros((len(was.shares), len(values) + 1))
        previous[:, new] = was.shares
        pair, law = pairs_of(now.stratum, now.shares, was.stratum, previous[:, :-1])
        can_stay = (code >= 0) & (now.shares[now.stratum, code] > 0)
        stuck = now.is_stuck[now.stratum]
        if self.method == "iid":
            return coupled(pair, law, code, can_stay, rng), stuck
        is_held = can_stay & np.array([np.allclose(p, q, atol=1e-9) for p, q in law])[pair]
        at = strata.configuration[can_stay].astype(np.int64) * len(values) + code[can_stay]
        many = strata.configurations
        toward = np.bincount(at, minlength=many * len(values)).reshape(many, len(values))
        part, counts = apportion(strata, rng, rounding=self.rounding, toward=toward)
        may, (whose, first) = np.zeros(counts.shape, dtype=bool), np.unique(part, return_index=True)
        may[whose] = now.shares[now.stratum[first]] > 0
        moved = Moves(part, code, can_stay, is_held, counts, may, key, rng, self._below(strata, earlier))
        return moved.codes(), stuck

    def _numbers(
        self, strata: Strata, earlier: Strata, old: Array, key: Keys, rng: np.random.Generator
    ) -> tuple[Array, Mask]:
        """The values of a numeric field: slices of equal probability hold equally many, the fewest of them new."""
        if self.method == "iid":
            return coupled_numbers(strata, earlier, old, rng)
        low, high, can_stay, is_same = _standing(strata, earlier, old)
        part = strata.conditional.astype(np.intp)
        sizes = np.bincount(part, minlength=int(part.max()) + 1)
        crowd = np.where(sizes <= FEW, 1, np.maximum(CROWD, -(-sizes // SLICES)))
        slices = (sizes // crowd).clip(1)  # equally large but for a few, so that where the rest goes hardly matters
        # People of one value share out the stretch of probability that the value has.
        alike, _ = numbered([(part, len(sizes)), (np.unique(old, return_inverse=True)[1], len(old))], self.n)
        among = stratify(alike, np.bincount(alike), key, rng)
        slice_ = np.where(can_stay, (low + among * (high - low)) * slices[part], -1).astype(np.int64)
        slice_ = np.minimum(slice_, slices[part] - 1)
        most = int(slices.max())
        there = np.bincount(part[can_stay] * most + slice_[can_stay], minlength=len(sizes) * most)
        counts = _even(sizes, slices, there.reshape(len(sizes), most), rng)
        may = np.arange(most) < slices[:, None]
        moved = Moves(
            part, slice_, can_stay, can_stay & is_same, counts, may, key, rng, self._below(strata, earlier)
        ).codes()
        again = np.flatnonzero((moved != slice_) | ~can_stay)
        column = np.where(can_stay, old, 0).astype(np.int64) if strata.field.is_integer else old.astype(np.float64)
        stuck = np.zeros(self.n, dtype=bool)
        if len(again):
            u = (moved[again] + rng.random(len(again))) / slices[part[again]]
            column[again], stuck[again] = strata.of(again).invert_cdf(u, rng)
        return column, stuck

    def _below(self, strata: Strata, earlier: Strata) -> list[Cells]:
        """Where each row stands in the distribution of each field below.

        Rows of which another parent has changed already will be dealt anew there, and stand apart.
        """
        now, found = {old: name for name, old in self._origin.items() if name in strata.columns}, []
        for child in self.before.sampled:
            if earlier.field.name in child.parents:
                others = [_banded(self._past[name].field, self.old[name]) for name in child.parents]
                is_new = np.zeros(self.n, dtype=bool)
                for name in (name for name in child.parents if name in now):
                    is_new |= self.has_changed(now[name], strata.columns[now[name]])
                group, member = numbered([*others, (is_new.astype(np.int8), 2)], self.n)
                own, many = _banded(child, self.old[child.name])
                cell, first = numbered([(group, len(member)), (own, many)], self.n)
                there, sizes = np.bincount(cell), np.bincount(group)[group[first]]
                asked, choices = there / sizes, self._past[child.name].choices
                if isinstance(child, CategoricalField) and choices is not None:
                    asked = np.where(is_new[first], asked, choices.shares[choices.stratum[first], own[first]])
                found.append(Cells(cell, group[first], there / sizes, asked))
        return found

    def has_changed(self, name: str, column: Array) -> Mask:
        """In which rows a field of the edited blueprint has another value than before; all, where it is new."""
        if name not in self._origin:
            return np.ones(self.n, dtype=bool)
        field, was = self.after[name], self.before[self._origin[name]]
        old = self.old[was.name]
        if isinstance(field, CategoricalField) and isinstance(was, CategoricalField):
            old = _places(was.values, field.values)[old]
        return np.asarray(column != old)


def origins(before: Blueprint, after: Blueprint) -> dict[str, str]:
    """Which field of the old blueprint each sampled field of the new one is, under the same name or a new one.

    A field under a new name is one that is gone and had the same distribution, else one of its kind that stood where it
    stands and, of values, has half in common with it: renamed, and edited too.
    """
    kinds = {field.name: field.kind for field in before.sampled}
    found = {field.name: field.name for field in after.sampled if kinds.get(field.name) == field.kind}
    gone = [field for field in before.sampled if field.name not in found]
    for is_one in (_is_renamed, _is_in_place):
        for name in after.order:
            if name not in found and after[name].kind != "text":
                same = next((old for old in gone if is_one(before, after, old, sampled(after, name), found)), None)
                if same is not None:
                    found[name] = same.name
                    gone.remove(same)
    return found


def _is_renamed(_: Blueprint, __: Blueprint, old: SampledField, field: SampledField, origin: Mapping[str, str]) -> bool:
    return _is_same(field, old, {**origin, field.name: old.name})


def _is_in_place(
    before: Blueprint, after: Blueprint, old: SampledField, field: SampledField, origin: Mapping[str, str]
) -> bool:
    """Whether two fields of one kind stand at the same place, and have at least half of their values in common."""
    if isinstance(old, CategoricalField) and isinstance(field, CategoricalField):
        common = len({*old.values} & {*field.values})
        if 2 * common < max(len(old.values), len(field.values)):
            return False
    elif old.kind != field.kind:
        return False
    was, now = [each.name for each in before.fields], [each.name for each in after.fields]
    there, here = was.index(old.name), now.index(field.name)
    beside = [now[here - 1] if here else None, now[here + 1] if here + 1 < len(now) else None]
    neighbours = [was[there - 1] if there else None, was[there + 1] if there + 1 < len(was) else None]
    is_between = [origin.get(name, name) if name else None for name in beside] == neighbours
    return is_between or (there == here and len(was) == len(now))


def _is_same(field: SampledField, old: SampledField, origin: Mapping[str, str]) -> bool:
    """Whether two fields have the same distribution, but for the names of fields."""

    def named(one: SampledField, names: Mapping[str, str]) -> dict[str, Any]:
        data = one.model_dump(exclude={"name", "description"})
        data["parents"] = [names.get(parent, parent) for parent in one.parents]
        for rule in data["conditionals"]:
            rule["when"] = {names.get(name, name): value for name, value in rule["when"].items()}
        return data

    return field.kind == old.kind and named(field, origin) == named(old, {})


def _framed(frame: pd.DataFrame, change: Change, columns: Mapping[str, Array]) -> pd.DataFrame:
    """The new columns beside the user's own, and beside the texts of those of whom nothing has changed."""
    made, before, after = to_frame(change.after, columns, frame.index), change.before, change.after
    is_touched = np.logical_or.reduce([change.has_changed(name, column) for name, column in columns.items()])
    fields = {field.name for field in before.fields}
    texts = {field.name for field in after.texts} - {field.name for field in before.sampled}
    own = [name for name in frame if name not in fields]
    taken = [name for name in own if name in made]
    if taken:
        raise RequestError(
            f"the frame has a column {taken[0]!r} of its own, as the new field is called", hint="rename one of them"
        )
    renamed = _renamed_text(before, after)
    for name in frame:
        if name in texts or name in renamed or name in validation.WRITTEN:
            made[renamed.get(name, name)] = frame[name].mask(is_touched)
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


def _renamed_text(before: Blueprint, after: Blueprint) -> dict[Any, str]:
    """The new name of the one text field that has another name and is otherwise the same; empty where none is."""
    gone = [field for field in before.texts if field.name not in {each.name for each in after.fields}]
    new = [field for field in after.texts if field.name not in {each.name for each in before.fields}]
    if len(gone) == len(new) == 1 and gone[0].model_copy(update={"name": new[0].name}) == new[0]:
        return {gone[0].name: new[0].name}
    return {}


def _ids(key: str, value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise RequestError(f"attrs[{key!r}] is {value!r}", hint="it lists people's ids; drop it")


def _values(strata: Strata) -> tuple[str, ...]:
    return strata.field.values if isinstance(strata.field, CategoricalField) else ()


def _places(values: tuple[str, ...], among: tuple[str, ...]) -> NDArray[np.intp]:
    """Where each value stands in another list; -1 where it does not."""
    place = {value: code for code, value in enumerate(among)}
    return np.array([place.get(value, -1) for value in values], dtype=np.intp)


def _standing(strata: Strata, earlier: Strata, old: Array) -> tuple[Floats, Floats, Mask, Mask]:
    """The stretch of probability that each old number has now, whether it may stay, and whether its law is the same."""
    if strata.choices is not None:
        return _standing_listed(strata, strata.choices, earlier, old)
    x, upto, part = old.astype(float), np.empty(strata.n), strata.conditional
    for law, rows in zip(strata.distributions, members(part, len(strata.distributions)), strict=True):
        upto[rows] = law.cdf(x[rows])
    if strata.windows is not None:
        at = strata.windows.stratum
        upto = ((upto - strata.windows.below[at]) / np.maximum(strata.windows.width[at], 1e-300)).clip(0, 1)
    (bottom, top), (was_bottom, was_top) = _ends(strata), _ends(earlier)
    can_stay = strata.can_hold(old) & (bottom <= x) & (x <= top) & ((x == np.rint(x)) | (not strata.field.is_integer))
    pair, member = numbered(
        [(part, len(strata.distributions)), (earlier.conditional, len(earlier.distributions))], strata.n
    )
    is_one = [
        _is_one(strata.distributions[part[row]], earlier.distributions[earlier.conditional[row]]) for row in member
    ]
    return upto, upto, can_stay, np.array(is_one)[pair] & (bottom == was_bottom) & (top == was_top)


def _standing_listed(strata: Strata, now: Choices, earlier: Strata, old: Array) -> tuple[Floats, Floats, Mask, Mask]:
    """The same where whole numbers are told apart one by one."""
    place = np.rint(old.astype(float)).astype(np.int64) - strata.least
    inside = (old == np.rint(old)) & (place >= 0) & (place < now.shares.shape[1])
    place = np.where(inside, place, 0)
    share, upto = now.shares[now.stratum, place], np.cumsum(now.shares, axis=1)[now.stratum, place]
    is_same, was = np.zeros(strata.n, dtype=bool), earlier.choices
    if was is not None:
        tables = _overlap(now.shares, strata.least, was.shares, earlier.least)
        pair, pairs = pairs_of(now.stratum, tables[0], was.stratum, tables[1])
        is_same = np.array([np.allclose(p, q, atol=1e-9) for p, q in pairs])[pair]
    return upto - share, upto, strata.can_hold(old) & inside & (share > 0), is_same


def _overlap(shares: Floats, least: int, others: Floats, others_least: int) -> tuple[Floats, Floats]:
    """Two tables of whole numbers' shares, where both have any; before and after it what each has there in all.

    What lies between ranges that are far apart is not laid out: it may be billions of numbers.
    """
    low = max(least, others_least)
    high = max(low, min(least + shares.shape[1], others_least + others.shape[1]))
    made = []
    for table, begin in ((shares, least), (others, others_least)):
        first, last = np.clip([low - begin, high - begin], 0, table.shape[1])
        parts = [table[:, :first].sum(axis=1), table[:, first:last], table[:, last:].sum(axis=1)]
        made.append(np.column_stack(parts))
    return made[0], made[1]


def _is_one(law: Distribution, other: Distribution) -> bool:
    """Whether two laws are one and the same."""
    return np.array_equal(law.points, other.points) and np.array_equal(law.cumulative, other.cumulative)


def _ends(strata: Strata) -> tuple[Floats, Floats]:
    """Between what numbers each row's law, and what constraints leave of it, lies."""
    ends = np.array([law.points[[0, -1]] for law in strata.distributions])[strata.conditional]
    if strata.windows is None:
        return ends[:, 0], ends[:, 1]
    at = strata.windows.stratum
    return np.maximum(ends[:, 0], strata.windows.low[at]), np.minimum(ends[:, 1], strata.windows.high[at])


def _even(sizes: Counts, slices: Counts, there: Counts, rng: np.random.Generator) -> Counts:
    """Equally many rows in each of a part's slices, one more where there are more already."""
    counts = np.zeros_like(there)
    for own, size, many, now in zip(counts, sizes, slices, there, strict=True):
        own[:many] = size // many
        crowded = np.lexsort((rng.random(many), -now[:many]))
        own[crowded[: size - own.sum()]] += 1
    return counts


def _banded(field: SampledField, column: Array) -> tuple[Array, int]:
    """A category's codes, or a number's band."""
    if isinstance(field, CategoricalField):
        return column, len(field.values)
    ends = np.unique(np.quantile(column, np.arange(1, BANDS) / BANDS))
    return np.searchsorted(ends, column), BANDS
