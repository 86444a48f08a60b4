"""What `Blueprint.of`, `rename` and `conditionals` promise: few words in, every reference followed, tables out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given

from personalab import Blueprint, CategoricalField, Constraint, Numeric, NumericField, sample, validate
from personalab.errors import BlueprintError, RequestError
from tests.strategies import blueprints


def test_a_blueprint_in_a_few_words() -> None:
    """Weights, four numbers, a distribution, a field with parents and a text make a blueprint that can be sampled."""
    car = {
        "name": "car",
        "parents": ["town"],
        "conditionals": [{"when": {"town": "big"}, "categorical": {"weights": {"no": 1}}}],
    }
    bp = Blueprint.of(
        "drivers",
        car=CategoricalField(**car, categorical={"weights": {"yes": 0.75, "no": 0.25}}),
        town={"big": 0.5, "small": 0.5},
        age=(41, 12, 18, 90),
        height=(1.7, 0.1, 1.4, 2.1),
        trips=Numeric(min=0, max=9, mean=3, sd=2, integer=True),
        story="what happened on the road",
        constraints=[Constraint(name="grown", lhs="age", op=">=", rhs="21")],
    )
    assert (bp.order.index("town") < bp.order.index("car"), [field.kind for field in bp.fields][-1]) == (True, "text")
    assert [bp[name].is_integer for name in ("age", "height", "trips")] == [True, False, True]
    assert validate(bp) == ()
    frame = sample(bp, 40, seed=1)
    assert frame["car"].value_counts().to_dict() == {"no": 25, "yes": 15}
    assert list(frame) == ["car", "town", "age", "height", "trips"]


@pytest.mark.parametrize("given_", [3, None, (1, 2, 3), [], "", True])
def test_what_is_no_field_is_refused(given_: Any) -> None:
    """A field given as something else is refused with the ways there are; an empty description is a text."""
    if given_ == "":
        assert Blueprint.of("d", a=given_, b={"x": 1.0})["a"].kind == "text"
        return
    with pytest.raises(RequestError, match="the field 'a' is given as") as caught:
        Blueprint.of("d", a=given_)
    assert "(mean, sd, min, max)" in caught.value.__notes__[0]


def test_a_circle_is_refused_by_its_fields() -> None:
    """Fields that depend on each other are named."""
    side = {"weights": {"x": 1.0}}
    with pytest.raises(BlueprintError, match=r"in a circle: .* → "):
        Blueprint.of(
            "d",
            a=CategoricalField(name="a", parents=("b",), categorical=side),
            b=CategoricalField(name="b", parents=("a",), categorical=side),
        )


@given(blueprints())
def test_renaming_there_and_back_changes_nothing(bp: Blueprint) -> None:
    """A field called something else is found under that name alone, and back again the blueprint is the same."""
    for field in bp.fields:
        renamed = bp.rename(field.name, "a new name")
        assert [each.name for each in renamed.fields].count("a new name") == 1
        assert f"{field.name!r}" not in str([renamed.order, [each.parents for each in renamed.fields]])
        assert renamed.rename("a new name", field.name).to_dict() == bp.to_dict() or bp.constraints


def test_renaming_follows_a_name_into_constraints(league: Blueprint) -> None:
    """Constraints speak of the field by its new name, quoted where it has to be; a name that is taken is refused."""
    bp = league.rename("hours_per_week", "hours a week")
    assert "`hours a week`" in str(bp.constraints[0])
    assert not [finding for finding in validate(bp) if finding.level == "error"]
    with pytest.raises(RequestError, match="already"):
        league.rename("rank", "region")
    with pytest.raises(KeyError):
        league.rename("rnk", "tier")


def test_conditionals_are_a_table() -> None:
    """A conditional is a row of parents and weights or moments, the base the last; a text has none."""
    low, high = ({"min": 0, "max": 9, "mean": mean, "sd": 1.5} for mean in (3, 6))
    field = NumericField(name="n", parents=("a",), numeric=low, conditionals=[{"when": {"a": "x"}, "numeric": high}])
    bp = Blueprint.of("d", a={"x": 0.5, "y": 0.5}, n=field, t="text")
    table = bp.conditionals("n")
    assert list(table) == ["a", "min", "max", "mean", "sd", "integer"]
    assert table["mean"].tolist() == [6, 3]
    assert pd.isna(table["a"].iloc[1])
    assert bp.conditionals("a").to_dict("records") == [{"x": 0.5, "y": 0.5}]
    with pytest.raises(RequestError, match="is a text"):
        bp.conditionals("t")
