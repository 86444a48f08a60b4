"""Past one machine's memory: a population as a Dask dataframe, drawn where and when its rows are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personalab.sampling import Plan


def lazily(plan: Plan) -> Any:
    """Return a plan's rows as a ``dask.dataframe`` of one partition a chunk."""
    raise NotImplementedError(plan)
