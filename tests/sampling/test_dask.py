"""What `personalab.sampling.dask` promises: the rows of one frame, drawn anywhere and in any order."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import dask
import numpy as np
import pandas as pd
import pytest

from personalab import Blueprint, sample
from personalab.blueprint.model import CategoricalField
from personalab.errors import BlueprintError, RequestError
from personalab.sampling import plan as module
from personalab.sampling.dask import MOST_SPLIT, lazily
from personalab.sampling.draw import Method
from personalab.sampling.plan import Plan
from personalab.sampling.sample import MOST_ROWS
from tests.builders import blueprint, choice, excess, hard, number, violations

METHODS = get_args(Method)
ROWS = 2_345  # no multiple of a chunk
LEFT_NOTHING = r"no value that keeps rule_0 \(x \+ y >= 16\)"


@pytest.fixture(autouse=True)
def synchronous() -> Iterator[None]:
    """Draw in this thread, where a test says nothing else."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 1,000 rows."""
    monkeypatch.setattr(module, "CHUNK", 1_000)


@pytest.fixture(scope="module")
def panel() -> Blueprint:
    """Every kind of column, children, and a rule."""
    return hard("years <= age - 16").replace("plan", ordered_values=[f"plan_{i}" for i in range(8)])


# The same rows


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("method", METHODS)
def test_rows_are_those_of_the_frame_in_memory(panel: Blueprint, method: Method, scheduler: str) -> None:
    """Values, index, dtypes, categories and attrs are the same, by every method."""
    frame = sample(panel, ROWS, seed=7, method=method)
    drawn = sample(panel, ROWS, seed=7, method=method, engine="dask").compute(scheduler=scheduler)
    pd.testing.assert_frame_equal(frame, drawn)
    assert drawn.attrs == frame.attrs == {"method": method, "rounding": "nearest", "seed": 7}


@pytest.mark.parametrize("method", METHODS)
def test_beyond_one_whole_chunk_the_rows_are_still_the_same(league: Blueprint, method: Method) -> None:
    """With chunks as large as they are, and a last one that is not full."""
    n = module.CHUNK + 12_345
    people = sample(league, n, seed=7, method=method, engine="dask")
    assert people.npartitions == 2
    frame, drawn = sample(league, n, seed=7, method=method), people.compute()
    assert drawn.equals(frame)
    seam = slice(module.CHUNK - 50, module.CHUNK + 50)  # pandas' own comparison takes half a minute for all rows
    pd.testing.assert_frame_equal(drawn.iloc[seam], frame.iloc[seam])


@pytest.mark.parametrize("n", [1, 10, 1_000, 1_001, 2_000])
@pytest.mark.usefixtures("small_chunks")
def test_any_number_of_people_can_be_drawn(league: Blueprint, n: int) -> None:
    """One person, a full chunk, and one person more."""
    people = sample(league, n, seed=7, engine="dask")
    pd.testing.assert_frame_equal(sample(league, n, seed=7), people.compute())


@pytest.mark.usefixtures("small_chunks")
def test_without_a_seed_one_is_made_up_and_kept(league: Blueprint) -> None:
    """Computing twice gives the same rows, and attrs tell how to draw them again."""
    people = sample(league, ROWS, engine="dask")
    drawn = people.compute()
    pd.testing.assert_frame_equal(people.compute(), drawn)
    pd.testing.assert_frame_equal(sample(league, ROWS, seed=drawn.attrs["seed"]), drawn)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("method", METHODS)
def test_a_chunk_alone_is_the_same(panel: Blueprint, method: Method) -> None:
    """Whatever else is drawn, or is not."""
    frame = sample(panel, ROWS, seed=7, method=method)
    people = sample(panel, ROWS, seed=7, method=method, engine="dask")
    for chunk in (2, 0, 1):
        rows = slice(chunk * 1_000, (chunk + 1) * 1_000)
        pd.testing.assert_frame_equal(people.partitions[chunk].compute(), frame.iloc[rows])


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("method", ["balanced", "quota"])
@pytest.mark.parametrize("rounding", ["nearest", "unbiased"])
def test_roots_are_exact_over_the_whole(panel: Blueprint, method: Method, rounding: sample.Rounding) -> None:
    """However the counts are split over the chunks."""
    drawn = sample(panel, ROWS, seed=7, method=method, rounding=rounding, engine="dask").compute()
    assert violations(drawn, panel) == 0
    if rounding == "nearest":
        assert excess(drawn, panel) <= 1e-12
    for root in panel.roots:
        shares = np.array([root.base.weights[value] for value in root.values])
        assert (drawn[root.name].value_counts()[list(root.values)] - ROWS * shares).abs().max() < 1


# What Dask is told


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("converts", [True, False])
def test_what_is_said_before_is_what_is_drawn(panel: Blueprint, converts: bool) -> None:
    """Dtypes, categories and the index are known, whatever Dask is set to do with text."""
    with dask.config.set({"dataframe.convert-string": converts}):
        people = sample(panel, ROWS, seed=7, engine="dask")
        said, drawn = people._meta, people.compute()
    pd.testing.assert_frame_equal(said, drawn.iloc[:0])
    pd.testing.assert_index_equal(drawn.index, sample(panel, ROWS, seed=7).index)
    assert all(people[field.name].cat.known for field in panel.fields if isinstance(field, CategoricalField))


@pytest.mark.usefixtures("small_chunks")
def test_divisions_are_the_ids_at_which_chunks_begin(league: Blueprint) -> None:
    """They are as wide as the whole population's last, so that one person can be had by drawing one chunk."""
    people = sample(league, 10_001, seed=7, engine="dask")
    assert people.divisions[:2] == ("p_00001", "p_01001")
    assert people.divisions[-2:] == ("p_10001", "p_10001")
    frame = sample(league, 10_001, seed=7)
    for each in ("p_00001", "p_01000", "p_01001", "p_10000", "p_10001"):
        one = people.loc[each]
        assert one.npartitions == 1
        pd.testing.assert_frame_equal(one.compute(), frame.loc[[each]])
    pd.testing.assert_frame_equal(people.loc["p_00999":"p_02002"].compute(), frame.loc["p_00999":"p_02002"])


@pytest.mark.usefixtures("small_chunks")
def test_a_task_holds_its_own_counts_only(panel: Blueprint) -> None:
    """Its size is that of the blueprint, and the same for ten times the chunks."""
    few, many = (dict(lazily(Plan(panel, n, 7, "quota", "nearest")).optimize().dask) for n in (10_000, 100_000))
    most = {len(tasks): max(len(pickle.dumps(task)) for task in tasks.values()) for tasks in (few, many)}
    assert most[100] < most[10] + 100 < len(pickle.dumps(panel)) + 10_000


@pytest.mark.usefixtures("small_chunks")
def test_threads_leave_the_warnings_as_they_were(panel: Blueprint) -> None:
    """Drawing touches no setting that threads share."""
    people, before = sample(panel, 20_000, seed=7, method="balanced", engine="dask"), list(warnings.filters)
    people.map_partitions(len).compute(scheduler="threads", num_workers=8)
    assert warnings.filters == before


def test_more_than_one_frame_holds_is_planned_at_once(panel: Blueprint) -> None:
    """Sixty million people are chunks, of which any can be drawn, and their counts add up to what was asked."""
    n = MOST_ROWS + 10_000_000
    quotas = Plan(panel, n, 7, "quota", "nearest").quotas
    for root in panel.roots:
        total = sum(each[root.name][0] for each in quotas)
        assert total.sum() == n
        assert np.abs(total - n * np.array([root.base.weights[value] for value in root.values])).max() < 1
    assert sample(panel, n, seed=7, engine="dask").npartitions == len(quotas) == 58


def test_what_cannot_be_split_is_refused(league: Blueprint) -> None:
    """A billion people are too many, and one fewer are not."""
    assert sample(league, MOST_SPLIT, seed=7, engine="dask").divisions[-1] == "p_999999999"
    with pytest.raises(RequestError, match=r"n is 1,000,000,000, and a population has at most 999,999,999 people"):
        sample(league, MOST_SPLIT + 1, seed=7, engine="dask")


def test_without_dask_the_error_says_what_to_install(league: Blueprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is an extra."""
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(RequestError, match='engine="dask" needs dask, which is not installed') as caught:
        sample(league, 10, engine="dask")
    assert caught.value.__notes__ == ["→ in a clone of the project: pip install -e '.[dask]'"]


# Workers


def contradiction() -> Blueprint:
    """A blueprint whose linter sees nothing wrong, and of which no row can be drawn."""
    tall = {"numeric": number("", 8, 10, 9, 0.5)["numeric"]}
    fields = [choice("kind", {"a": 0.5, "b": 0.5})]
    for name, value in (("x", "a"), ("y", "b")):
        fields.append(number(name, 0, 4, 2, 1, "kind", conditionals=[{"when": {"kind": value}} | tall]))
    return blueprint(*fields, rules=("x + y >= 16",))


@pytest.mark.usefixtures("small_chunks")
def test_workers_write_the_same_rows_and_raise_the_same_errors(panel: Blueprint, tmp_path: Path) -> None:
    """Two processes write a population of chunks to Parquet; a rule that leaves nothing is an error of the library."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        sample(panel, ROWS, seed=7, engine="dask").to_parquet(tmp_path)
        with pytest.raises(BlueprintError, match=LEFT_NOTHING) as caught:
            client.compute(sample(contradiction(), ROWS, seed=7, engine="dask").partitions[0]).result()
    frame = sample(panel, ROWS, seed=7)
    written = pd.concat([pd.read_parquet(tmp_path / f"part.{chunk}.parquet") for chunk in range(3)])
    pd.testing.assert_frame_equal(written, frame)
    with pytest.raises(BlueprintError, match=LEFT_NOTHING) as own:
        sample(contradiction(), ROWS, seed=7)
    assert (str(caught.value), caught.value.__notes__) == (str(own.value), own.value.__notes__)
