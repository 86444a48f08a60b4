"""Past one machine's memory: a population as a Dask dataframe, drawn where and when its rows are needed.

Each partition is a chunk of the population. The roots' counts over the whole population are split over the chunks
beforehand. A task is sent what the population is drawn from, its chunk's number and that chunk's share of the counts,
and draws its rows from nothing else. So they are the rows that one process would draw, however many workers there are
and in whatever order they take the chunks, and a chunk that was lost is drawn again as it was. No task waits for
another, and no process holds more than the chunks it is drawing.

``to_parquet`` writes a population that no memory would hold, a file a chunk; ``.loc["p_00000017"]`` draws one chunk,
since it is known at which ids they begin. What is computed has the ``attrs`` of every drawn frame; a Dask dataframe
itself has none.

>>> from personalab import Blueprint, sample
>>> side = {"name": "side", "kind": "categorical", "categorical": {"weights": {"head": 0.7, "tail": 0.3}}}
>>> coins = Blueprint.from_dict({"domain": "coins", "order": ["side"], "fields": [side]})
>>> people = sample(coins, 5_000_000, seed=1, engine="dask")
>>> people.npartitions
5
>>> people.loc["p_0000017"].compute(scheduler="synchronous")
            side
persona_id
p_0000017   head
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from personalab.errors import RequestError
from personalab.frames import persona_ids
from personalab.sampling.apportionment import Counts
from personalab.sampling.plan import Plan

if TYPE_CHECKING:
    import dask.dataframe as dd

MOST_SPLIT = 999_999_999  # rows of a population; numpy's hypergeometric draws, which split the counts, go no further


def lazily(plan: Plan) -> dd.DataFrame:
    """Return a plan's rows as a ``dask.dataframe`` of one partition a chunk.

    Parameters
    ----------
    plan : Plan
        What to draw.

    Returns
    -------
    dask.dataframe.DataFrame
        The same rows, columns, index and dtypes as the frame in memory, nothing of it drawn yet.

    Raises
    ------
    RequestError
        If Dask is not installed, or the population is larger than its counts can be split for.
    """
    if plan.n > MOST_SPLIT:
        raise RequestError(
            f"n is {plan.n:,}, and a population has at most {MOST_SPLIT:,} people",
            hint="draw several, each with a seed of its own",
        )
    try:
        import dask
        import dask.dataframe as dd
    except ImportError as error:
        raise RequestError(
            'engine="dask" needs dask, which is not installed',
            hint="in a clone of the project: pip install -e '.[dask]'",
        ) from error
    numbers = range(len(plan.quotas))
    firsts = [plan.rows(number).start + 1 for number in numbers]
    nothing = plan.frame({field.name: np.empty(0, dtype=np.int8) for field in plan.bp.sampled}, range(0))
    # Dask would give the ids another dtype than pandas has for text.
    with dask.config.set({"dataframe.convert-string": False}):
        frame: dd.DataFrame = dd.from_map(
            _drawn,
            numbers,
            plan.quotas,
            plan=plan.alone(),
            meta=nothing,
            divisions=[persona_ids(1, first=first, of=plan.n)[0] for first in (*firsts, plan.n)],
            enforce_metadata=False,
        )
    return frame


def _drawn(number: int, quotas: Mapping[str, Counts], plan: Plan) -> pd.DataFrame:
    """The rows of one chunk."""
    return plan.frame(plan.chunk(number, quotas), plan.rows(number))
