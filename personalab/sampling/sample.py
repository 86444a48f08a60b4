"""Sampling: a population drawn from a blueprint, by arithmetic alone.

This is ancestral sampling within strata: fields are drawn one after the other in the blueprint's order, each for all
rows at once, and always the same way:

1. rows of one parent configuration share one conditional distribution (`configurations`, `strata`);
2. the distribution becomes *quotas*, how many of these rows get each value (`apportionment`);
3. every row has a *key*, and is given a value by the rank of its key among these rows (`assignment`).

`draw` does the three for one field. That is ``quota``, with random keys, and ``balanced``, with keys from randomised
orthogonal arrays (`arrays`), a column a field, so that every two unrelated fields meet more evenly than chance would
have it, and three or more nearly as chance has it. Roots are exact in both; a child is within about one person in every
group, and over the groups too unless its table is very large. ``iid`` leaves out the second step: each key is looked up
in the distribution for itself, and counts vary as those of people drawn at random do.

Whole numbers of many people are drawn like categories; real ones, and whole ones of few people, by quantiles: keys
become shares of a distribution, evenly spaced or for ``iid`` independent, and shares become values.

Constraints are kept while drawing. A field is restricted, row by row, to what lets every constraint hold that speaks
of it, given what is drawn and what can still be drawn; parents stay as they are. A row left without any value is
drawn again with what hangs together with it (`resampling`); if nothing helps, the error names the constraint.

More than 2²⁰ people are drawn in chunks of as many, each a function of blueprint, seed and its own number, so that
they may be drawn anywhere and in any order. The roots' quotas are split over the chunks beforehand.
"""

from __future__ import annotations

import operator
import secrets
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import pandas as pd

from personalab.blueprint.model import Blueprint
from personalab.blueprint.validation import demand_valid
from personalab.errors import RequestError
from personalab.sampling.draw import Method, Rounding
from personalab.sampling.plan import Plan

if TYPE_CHECKING:
    import dask.dataframe as dd

Engine = Literal["pandas", "dask"]

FEW = 10  # people below whom the closest counts would be the same few values for every seed
SMALL = 20_000  # rows up to which `balanced` is the default
MOST_ROWS = 50_000_000  # rows of one frame in memory; 12 fields of as many take some 3 GB


@overload
def sample(  # numpydoc ignore=GL08
    bp: Blueprint,
    n: int,
    *,
    seed: int | None = ...,
    method: Method | None = ...,
    rounding: Rounding | None = ...,
    engine: Literal["pandas"] = ...,
) -> pd.DataFrame: ...
@overload
def sample(  # numpydoc ignore=GL08
    bp: Blueprint,
    n: int,
    *,
    seed: int | None = ...,
    method: Method | None = ...,
    rounding: Rounding | None = ...,
    engine: Literal["dask"],
) -> dd.DataFrame: ...
def sample(
    bp: Blueprint,
    n: int,
    *,
    seed: int | None = None,
    method: Method | None = None,
    rounding: Rounding | None = None,
    engine: Engine = "pandas",
) -> pd.DataFrame | dd.DataFrame:
    """Draw a population.

    Parameters
    ----------
    bp : Blueprint
        What to draw from.
    n : int
        How many people, at least 1.
    seed : int, optional
        A number of 0 or more that fixes the draw; without it one is made up and recorded.
    method : {"balanced", "quota", "iid"}, optional
        How people are drawn. ``"balanced"``, the default up to 20,000 people: roots' counts are as exact as whole
        people can have them, children's within about one in every group, and unrelated fields meet more evenly than
        by chance, for panels that should look like their blueprint. ``"quota"``, the default beyond: the same counts,
        arranged by chance. ``"iid"``: independent draws, for whatever rests on sampling error, such as standard
        errors, power analyses and χ² tests.
    rounding : {"nearest", "unbiased"}, optional
        How the shares of fields without parents become counts. ``"nearest"``, the default from 10 people on: the
        closest there are, so that of 10 people none has a value of 3 %. ``"unbiased"``, the default below: up or down
        at random so that each is right on average, for small panels that differ from seed to seed or will be pooled;
        one person alone is then an independent draw. Without meaning for ``"iid"``.
    engine : {"pandas", "dask"}
        Whether the rows come as one frame in memory, or as a ``dask.dataframe`` of the same rows, drawn where and
        when they are needed (needs the extra ``dask``).

    Returns
    -------
    pandas.DataFrame or dask.dataframe.DataFrame
        One row a person, index ``persona_id`` (``p_01`` …), one column a sampled field in the blueprint's order:
        categorical (ordered where the field is), ``Int64`` or ``float64``. A frame's ``attrs`` hold method, rounding
        and seed.

    Raises
    ------
    RequestError
        If an argument is not of the kind asked for, or `n` is more than 50 million in one frame, or a billion or
        more in Dask, or Dask is asked for and not installed.
    BlueprintError
        If the blueprint has errors, or its constraints leave some row without any value.

    Notes
    -----
    Except by ``"iid"``, counts are not left to chance, so that statistics vary from seed to seed less than those of
    random samples do. Standard errors computed in the usual way are far too large: those of means, and of differences
    between groups that the blueprint knows, 15 to 27 times for 100 people and 70 to 135 times for 1,000, where numbers
    depend on one root at most. Tests have no power at effects smaller than these, and full power at larger ones. Of a
    frame drawn ``"iid"``, rows chosen by what is not the outcome keep their p-values; chosen by the outcome, none does.

    A field is drawn from the seed and its own name. Editing, appending, inserting, removing, renaming or reordering
    fields changes no column that is not tied to them by descent or constraint, with one exception: for ``"balanced"``
    fields share the columns of an array, about √n of them. Inserting, removing, renaming or reordering then also
    changes the few fields whose columns are thereby taken or set free; editing and appending none. Where constraints
    leave a row no value, all that hangs together with them is drawn again for that row, parents included. To carry a
    population over to an edited blueprint with the fewest changes, use `update`.

    Examples
    --------
    >>> from personalab import Blueprint
    >>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
    >>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
    >>> sample(coins, 10, seed=1)["side"].value_counts().to_dict()
    {'head': 7, 'tail': 3}
    >>> [sample(coins, 10, seed=i, method="iid")["side"].eq("head").sum().item() for i in range(5)]
    [9, 7, 7, 6, 5]
    """
    n = whole("n", n, at_least=1)
    seed = secrets.randbits(32) if seed is None else whole("seed", seed, at_least=0)
    method = one_of("method", method or ("balanced" if n <= SMALL else "quota"), get_args(Method))
    rounding = one_of("rounding", rounding or ("unbiased" if n < FEW else "nearest"), get_args(Rounding))
    demand_valid(bp)  # here and nowhere below: a plan is made of a blueprint that has been checked
    plan = Plan(bp, n, seed, method, rounding)
    if one_of("engine", engine, get_args(Engine)) == "dask":
        from personalab.sampling.dask import lazily

        rows: dd.DataFrame = lazily(plan)
        return rows
    if n > MOST_ROWS:
        raise RequestError(f"n is {n:,}, more than one frame holds", hint='use engine="dask", or draw fewer at a time')
    return plan.frame(plan.columns(), range(n))


def whole(what: str, value: Any, *, at_least: int) -> int:
    """Return a whole number that was asked for, or raise RequestError."""
    try:
        number = operator.index(value)
    except TypeError:
        raise RequestError(f"{what} is {value!r}, which is no whole number", hint=f"give {at_least} or more") from None
    if isinstance(value, bool) or number < at_least:
        raise RequestError(f"{what} is {value!r}", hint=f"give {at_least} or more")
    return number


def one_of(what: str, value: Any, choices: tuple[str, ...]) -> Any:
    """Return a choice that was asked for, or raise RequestError."""
    if value not in choices:
        raise RequestError(f"{what} is {value!r}", hint=f"give one of {', '.join(map(repr, choices))}")
    return value
