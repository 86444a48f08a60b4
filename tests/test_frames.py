"""What `personalab.frames` promises: ids of one width, groups by what rows have in common, frames there and back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab import Blueprint, sample
from personalab.blueprint.grouping import combined, numbered, smallest
from personalab.errors import RequestError
from personalab.frames import from_frame, persona_ids, to_frame

# Ids


@pytest.mark.parametrize("n", [1, 9, 10, 99, 100, 999, 1000, 1001, 9_999, 10_000, 10_001, 99_999, 100_000, 1_000_000])
def test_ids_count_from_one_in_the_width_of_the_last(n: int) -> None:
    """At least two digits, padded with zeros, each of them different."""
    ids = persona_ids(n)
    width = max(2, len(str(n)))
    assert len(ids) == n
    assert ids.name == "persona_id"
    assert ids.dtype == pd.Index([""], dtype="str").dtype
    places = [1, n, *(place for place in (2, 10, 999, 1000, 1001, n - 1) if 1 <= place <= n)]
    assert [ids[place - 1] for place in places] == [f"p_{place:0{width}d}" for place in places]
    assert n > 20_000 or ids.tolist() == [f"p_{place:0{width}d}" for place in range(1, n + 1)]
    assert ids.is_unique


@given(st.integers(1, 30_000), st.integers(0, 3000), st.integers(0, 10**6))
def test_ids_of_a_part_are_a_slice_of_all(first: int, n: int, more: int) -> None:
    """Wherever it begins, also when it is empty, and as wide as the last of all."""
    last = first + n - 1
    ids, width = persona_ids(n, first=first, of=last + more), max(2, len(str(max(last + more, 1))))
    assert ids.tolist() == [f"p_{place:0{width}d}" for place in range(first, last + 1)]


# Groups


@given(st.lists(st.integers(1, 9), max_size=4), st.integers(0, 60), st.integers(0, 99))
def test_rows_share_a_number_if_and_only_if_they_share_all_codes(sizes: list[int], n: int, seed: int) -> None:
    """Numbers rise with the codes, leave no gap, and each names one of its rows."""
    rng = np.random.default_rng(seed)
    axes = [(rng.integers(size, size=n).astype(np.int8), size) for size in sizes]
    group, member = numbered(axes, n)
    rows = [tuple(int(codes[row]) for codes, _ in axes) for row in range(n)]
    number = {codes: place for place, codes in enumerate(sorted(set(rows)))}
    assert group.tolist() == [number[codes] for codes in rows]
    assert group[member].tolist() == list(range(len(number)))


@pytest.mark.parametrize("size", [120, 40_000, 2**31, 2**40])
def test_groups_are_found_among_any_number_of_keys(size: int) -> None:
    """Keys may span far more than rows, even more than a whole number holds."""
    rng = np.random.default_rng(0)
    n, few = 50_000, rng.integers(size, size=40)
    axes = [(few[rng.integers(40, size=n)], size) for _ in range(3)]
    group, member = numbered(axes, n)
    table = pd.DataFrame({place: codes for place, (codes, _) in enumerate(axes)})
    assert (group == table.groupby([0, 1, 2], sort=True).ngroup()).all()
    assert (group[member] == np.arange(group.max() + 1)).all()


def test_a_member_is_found_that_stands_behind_all_others() -> None:
    """A group whose only row is the last of 40,000."""
    codes = np.zeros(40_000, dtype=np.int8)
    codes[-1] = 1
    assert numbered([(codes, 3)], len(codes))[1].tolist()[1] == 39_999


def test_a_code_for_several_is_a_place_in_their_table() -> None:
    """As numpy counts them, in a kind of number that holds all places."""
    sizes = (127, 1, 3, 300)
    rng = np.random.default_rng(1)
    axes = [(rng.integers(size, size=1000).astype(smallest(size)), size) for size in sizes]
    codes = combined(axes)
    assert (codes == np.ravel_multi_index([codes for codes, _ in axes], sizes)).all()
    assert codes.dtype == np.int32


@pytest.mark.parametrize(
    ("values", "kind"), [(1, np.int8), (127, np.int8), (128, np.int16), (32_768, np.int32), (2**31, np.int64)]
)
def test_codes_take_as_few_bytes_as_they_can(values: int, kind: type[Any]) -> None:
    """And hold the number of values itself, so that -1 and one beyond the last fit."""
    assert smallest(values) is kind
    assert np.iinfo(kind).max >= values


# Frames


@pytest.fixture
def people() -> Blueprint:
    """A field of each kind, one of them with more values than a byte holds."""
    towns = {f"t{i}": 1 / 256 for i in range(256)}
    numbers = {"min": -3, "max": 9, "mean": 2, "sd": 2}
    fields: list[dict[str, Any]] = [
        {"name": "town", "kind": "categorical", "categorical": {"weights": towns}},
        {
            "name": "size",
            "kind": "categorical",
            "ordered_values": ["S", "M", "L"],
            "categorical": {"weights": {"L": 0.5, "S": 0.5}},
        },
        {"name": "count", "kind": "numeric", "numeric": numbers | {"integer": True}},
        {"name": "share", "kind": "numeric", "numeric": numbers},
    ]
    return Blueprint.from_dict({"domain": "d", "order": [field["name"] for field in fields], "fields": fields})


def test_a_frame_gives_back_the_columns_it_was_made_of(people: Blueprint) -> None:
    """With the blueprint's categories, in its order, whole numbers whole."""
    rng, n = np.random.default_rng(0), 500
    columns = {
        "share": rng.random(n),
        "count": rng.integers(-3, 9, n),
        "size": rng.integers(3, size=n).astype(np.int8),
        "town": rng.integers(256, size=n).astype(np.int16),
    }
    frame = to_frame(people, columns, persona_ids(n))
    assert list(frame) == ["town", "size", "count", "share"]
    assert [str(dtype) for dtype in frame.dtypes] == ["category", "category", "Int64", "float64"]
    assert frame["size"].cat.ordered
    assert frame["town"].tolist() == [f"t{code}" for code in columns["town"]]
    back = from_frame(people, frame)
    assert all((back[name] == column).all() for name, column in columns.items())
    pd.testing.assert_frame_equal(to_frame(people, back, frame.index), frame)


def test_a_frame_is_read_whatever_columns_and_categories_it_has(people: Blueprint) -> None:
    """Columns may be missing or more, categories may stand in another order or be left out."""
    frame = sample(people, 400, seed=1)
    whole = from_frame(people, frame)
    some = frame.drop(columns=["count"]).assign(other=1)
    some["size"] = some["size"].cat.reorder_categories(["L", "M", "S"], ordered=False).cat.remove_categories(["M"])
    some["town"] = some["town"].cat.remove_unused_categories().cat.add_categories(["elsewhere"])
    found = from_frame(people, some)
    assert set(found) == {"town", "size", "share"}
    assert all((found[name] == whole[name]).all() for name in found)


def test_a_frame_of_nobody_has_columns_of_no_length(people: Blueprint) -> None:
    """Of the same kinds as any other."""
    columns = {name: column[:0] for name, column in from_frame(people, sample(people, 5, seed=1)).items()}
    frame = to_frame(people, columns, persona_ids(0))
    assert len(frame) == 0
    assert [str(dtype) for dtype in frame.dtypes] == ["category", "category", "Int64", "float64"]
    assert all(len(column) == 0 for column in from_frame(people, frame, least=0).values())
    with pytest.raises(RequestError, match="no rows"):
        from_frame(people, frame)


# Frames from elsewhere


def test_a_file_read_in_any_way_gives_the_columns_it_was_made_of(people: Blueprint) -> None:
    """Strings, floats for whole numbers, objects and categories of other kinds are what they stand for."""
    frame = sample(people, 60, seed=1)
    whole = from_frame(people, frame)
    text = frame.to_csv()
    texts = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    read = pd.read_csv(io.StringIO(text)).astype({"count": float})
    objects = frame.astype(object)
    grouped = frame.astype({"count": "category", "share": "category"})
    for each in (texts, read, objects, grouped):
        found = from_frame(people, each, strict=True)
        assert all((found[name] == column).all() for name, column in whole.items())
        assert found["count"].dtype == np.int64


STRANGE: dict[str, tuple[str, Any]] = {
    "a value of no field": ("size", "XXL"),
    "a value in other letters": ("size", "l"),
    "nothing": ("size", None),
    "a list": ("size", ["S"]),
    "a number": ("size", 3),
    "a megabyte": ("size", "x" * 10**6),
    "nothing for a number": ("share", None),
    "the letters nan": ("share", "nan"),
    "an endless number": ("share", np.inf),
    "a word for a number": ("share", "few"),
    "a list for a number": ("share", [1]),
    "a date": ("share", pd.Timestamp("2020-01-01")),
    "two numbers in one": ("share", 1 + 2j),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("name", "value"), STRANGE.values(), ids=STRANGE)
def test_a_value_that_the_blueprint_does_not_know_is_refused(
    people: Blueprint, name: str, value: Any, strict: bool
) -> None:
    """In one row or in all of them, by a short sentence that names the column, and a hint that names legal values."""
    frame = sample(people, 3, seed=1)
    one = frame[name].astype(object).tolist()
    one[1] = value
    columns = {"3 of 3": pd.Series([value] * 3), "1 of 3": pd.Series(one, dtype=object)}
    for rows, column in columns.items():
        with pytest.raises(RequestError, match=f"column {name!r} .* in {rows} rows") as caught:
            from_frame(people, frame.assign(**{name: column.array}), strict=strict)
        assert "its values are" in caught.value.__notes__[0]
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("name", "value"), [("share", -5), ("count", 2.5), ("count", 10), ("share", 10**400)])
def test_a_number_out_of_range_is_refused_or_left_to_be_judged(people: Blueprint, name: str, value: Any) -> None:
    """Where people are written or carried over it is no value; a report counts it."""
    frame = sample(people, 3, seed=1)
    frame = frame.assign(**{name: [value, *frame[name].iloc[1:]]})
    with pytest.raises(RequestError, match=f"column {name!r} holds .* in 1 of 3 rows"):
        from_frame(people, frame, strict=True)
    if abs(value) < 100:
        assert from_frame(people, frame)[name][0] == value


def test_what_no_column_can_be_found_in_is_refused(people: Blueprint) -> None:
    """No frame, two columns of one name, columns of two levels, and a field that is not there."""
    frame = sample(people, 3, seed=1)
    deep = pd.concat({"all": frame}, axis=1)
    for wrong, sentence in (
        (frame.to_dict(), "a dict is no pandas frame"),
        (frame[["size", "size"]], "two columns of one name: 'size'"),
        (deep, "no column 'town', 'size'"),
        (frame.drop(columns="size"), "no column 'size'"),
    ):
        with pytest.raises(RequestError, match=sentence):
            from_frame(people, wrong, strict=True)
