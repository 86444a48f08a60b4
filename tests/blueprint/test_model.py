"""A blueprint is a frozen value that goes to the wire and to files and comes back unchanged."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalab import Blueprint
from personalab.blueprint.model import Categorical, CategoricalField, Constraint, Numeric
from personalab.errors import BlueprintError, RequestError, UnknownFieldError, nearest
from tests.conftest import LEAGUE
from tests.strategies import ODD_VALUES, blueprints

# What personalab.blueprint.model promises to refuse, by where in the contract's example it is put.
PLACES = [
    ("", []),
    ("fields[0]", ["fields", 0]),
    ("fields[0].categorical", ["fields", 0, "categorical"]),
    ("fields[3]", ["fields", 3]),
    ("fields[3].conditionals[1]", ["fields", 3, "conditionals", 1]),
    ("fields[3].conditionals[1].numeric", ["fields", 3, "conditionals", 1, "numeric"]),
    ("fields[4]", ["fields", 4]),
    ("constraints[0]", ["constraints", 0]),
]


def at(data: Any, steps: list[Any]) -> Any:
    """The part of nested data that some steps lead to."""
    for step in steps:
        data = data[step]
    return data


def coins(weights: dict[str, Any]) -> dict[str, Any]:
    """The smallest blueprint, with the weights given."""
    side = {"name": "side", "kind": "categorical", "categorical": {"weights": weights}}
    return {"domain": "coins", "order": ["side"], "fields": [side]}


def test_example_comes_back_to_the_letter(league_data: dict[str, Any]) -> None:
    """The contract's example, read and written, is the same JSON text: same keys, same order, int still int."""
    assert json.dumps(Blueprint.from_dict(league_data).to_dict()) == json.dumps(league_data)


def test_int_stays_int(league: Blueprint) -> None:
    """A whole number is not turned into a float on the way through."""
    bronze = league.to_dict()["fields"][3]["conditionals"][0]["numeric"]
    assert [type(bronze[key]) for key in ("min", "max", "mean", "sd", "integer")] == [int, int, int, int, bool]


@pytest.mark.parametrize("name", ["bp.json", "bp.yaml", "bp.YML", "new/folder/bp.yaml"])
def test_files_hold_the_whole(league: Blueprint, tmp_path: Path, name: str) -> None:
    """Saved and loaded, in either format and into a new folder, the example is the same JSON text."""
    path = league.save(tmp_path / name)
    assert path == tmp_path / name
    assert json.dumps(Blueprint.load(path).to_dict()) == json.dumps(league.to_dict())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_saved_json_is_the_committed_file(league: Blueprint, tmp_path: Path) -> None:
    """Saving the example writes the very bytes that the repository holds."""
    assert league.save(tmp_path / "bp.json").read_bytes() == LEAGUE.read_bytes()


@given(blueprints(), st.sampled_from([".json", ".yaml"]))
def test_every_blueprint_round_trips(tmp_path_factory: pytest.TempPathFactory, bp: Blueprint, ending: str) -> None:
    """Any valid blueprint comes back from dict, text and file with the same JSON text and the same hash."""
    path = bp.save(tmp_path_factory.getbasetemp() / f"any{ending}")
    for back in (Blueprint.from_dict(bp.to_dict()), Blueprint.load(path)):
        assert json.dumps(back.to_dict()) == json.dumps(bp.to_dict())
        assert back == bp
        assert hash(back) == hash(bp)


@pytest.mark.parametrize("ending", [".json", ".yaml"])
def test_odd_words_stay_words(tmp_path: Path, ending: str) -> None:
    """NO, null, 1.5 and a date are names of values like any other, in JSON and in YAML."""
    words = [*ODD_VALUES, "yes", "on", "~", "1e5", "0x1f", "12:30", "!tag", "&a", "*a", "<<", "%", "@", "`"]
    bp = Blueprint.from_dict(coins({word: 1 / len(words) for word in words}))
    assert list(Blueprint.load(bp.save(tmp_path / f"bp{ending}")).roots[0].values) == words


@pytest.mark.parametrize("number", [5e-324, 1e-05, 1e22, 1.7976931348623157e308, -0.0, 0.1 + 0.2, 3, -7, 10**20])
@pytest.mark.parametrize("ending", [".json", ".yaml"])
def test_numbers_keep_value_and_type(tmp_path: Path, number: float, ending: str) -> None:
    """Any finite number is read back from a file as the same number of the same type."""
    back = Blueprint.load(Blueprint.from_dict(coins({"a": number})).save(tmp_path / f"bp{ending}"))
    weight = back.to_dict()["fields"][0]["categorical"]["weights"]["a"]
    assert (repr(weight), type(weight)) == (repr(number), type(number))


@pytest.mark.parametrize(("path", "steps"), PLACES, ids=[path or "top" for path, _ in PLACES])
def test_unknown_key_is_refused_with_its_path(league_data: dict[str, Any], path: str, steps: list[Any]) -> None:
    """A key that the contract does not have is an error that says where it stands, at every level."""
    at(league_data, steps)["colour"] = "red"
    with pytest.raises(BlueprintError, match="unknown key") as caught:
        Blueprint.from_dict(league_data)
    assert f"  {path}.colour: unknown key".replace(" .", " ") in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        (["order"], "order"),
        (["fields", 1, "name"], "fields[1].name"),
        (["fields", 3, "conditionals", 0, "numeric", "sd"], "fields[3].conditionals[0].numeric.sd"),
        (["fields", 3, "conditionals", 0, "when"], "fields[3].conditionals[0].when"),
        (["constraints", 0, "rhs"], "constraints[0].rhs"),
    ],
)
def test_missing_key_is_named(league_data: dict[str, Any], steps: list[Any], path: str) -> None:
    """A key that has to be there is an error that says where it is missing."""
    del at(league_data, steps[:-1])[steps[-1]]
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict(league_data)
    assert f"  {path}: missing" in str(caught.value)


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), True, False, "0.5", None, 10**400, [1], 1j]
)
def test_only_finite_numbers_are_numbers(number: Any) -> None:
    """NaN, infinity, a bool, a quoted number and an integer beyond any float are refused, in one line with the path."""
    with pytest.raises(BlueprintError) as caught:
        Blueprint.from_dict(coins({"head": number, "tail": 0.5}))
    [line] = str(caught.value).splitlines()[1:]
    assert line.startswith("  fields[0].categorical.weights.head: ")
    assert len(line) < 200


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bp.json", '{"domain": "a", "domain": "b"}'),
        ("bp.yaml", "domain: a\ndomain: b\n"),
        ("bp.json", '{"fields": [{"name": "x", "name": "y"}]}'),
        ("bp.yaml", "fields:\n- name: x\n  name: y\n"),
        ("bp.json", "{"),
        ("bp.yaml", "{"),
        ("bp.json", ""),
        ("bp.yaml", ""),
        ("bp.json", "[" * 100_000),
        ("bp.yaml", "[" * 3_000),
        ("bp.yaml", "!!python/object/apply:os.getcwd []"),
        ("bp.yaml", "a: &a [*a]"),
        ("bp.json", "[1, 2]"),
        ("bp.json", '"\\ud800"'),
    ],
)
def test_bad_files_are_blueprint_errors(tmp_path: Path, name: str, text: str) -> None:
    """A file with a key named twice, broken syntax, bottomless nesting or something else in it is refused as such."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(BlueprintError):
        Blueprint.load(tmp_path / name)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is an unreadable blueprint, not a crash."""
    (tmp_path / "bp.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BlueprintError, match=r"bp\.json is not a readable file"):
        Blueprint.load(tmp_path / "bp.json")


def test_small_file_cannot_make_a_huge_message(tmp_path: Path) -> None:
    """Nested YAML aliases that stand for 10^9 words are refused in a message of ordinary length."""
    lines = ["a0: &a0 x"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (tmp_path / "bp.yaml").write_text("\n".join([*lines, "domain: *a9"]), encoding="utf-8")
    with pytest.raises(BlueprintError) as caught:
        Blueprint.load(tmp_path / "bp.yaml")
    assert len(str(caught.value)) < 5_000


@pytest.mark.parametrize("name", ["bp.toml", "bp", "missing.json"])
def test_wrong_paths_are_request_errors(tmp_path: Path, league: Blueprint, name: str) -> None:
    """Another ending, or a file that is not there, is the call's fault; an ending is refused for saving too."""
    with pytest.raises(RequestError, match=name):
        Blueprint.load(tmp_path / name)
    if not name.endswith(".json"):
        with pytest.raises(RequestError, match=name):
            league.save(tmp_path / name)


@pytest.mark.parametrize("change", ["numeric", "categorical", "when", "kind"])
def test_kinds_do_not_mix(league_data: dict[str, Any], change: str) -> None:
    """A field holds distributions of its own kind only, a condition is never empty, and a kind is one of three."""
    hours = league_data["fields"][3]
    if change == "kind":
        hours["kind"] = "ordinal"
    elif change == "when":
        hours["conditionals"][0]["when"] = {}
    elif change == "numeric":
        league_data["fields"][0]["numeric"] = hours["conditionals"][0]["numeric"]
    else:
        hours["categorical"] = {"weights": {"a": 1}}
    with pytest.raises(BlueprintError):
        Blueprint.from_dict(league_data)


def test_replace_returns_a_new_value(league: Blueprint) -> None:
    """Replacing changes the copy and nothing else."""
    before = json.dumps(league.to_dict())
    weights = {"NA": 0.5, "EUW": 0.5}
    changed = league.replace("region", weights=weights).replace(domain="players")
    assert changed["region"].categorical == Categorical(weights=weights)  # type: ignore[union-attr]
    assert changed.domain == "players"
    assert json.dumps(league.to_dict()) == before


def test_replace_reaches_into_the_base() -> None:
    """One moment of a numeric field's base can be changed by its name."""
    age = {"name": "age", "kind": "numeric", "numeric": {"min": 18, "max": 90, "mean": 40, "sd": 15}}
    bp = Blueprint.from_dict({"domain": "d", "order": ["age"], "fields": [age]})
    assert bp.replace("age", mean=50)["age"].base == Numeric(min=18, max=90, mean=50, sd=15)  # type: ignore[union-attr]
    assert (
        bp.replace("age", numeric=Numeric(min=0, max=1, mean=0.5, sd=0.1)).to_dict()["fields"][0]["numeric"]["max"] == 1
    )


def test_replace_checks_shape(league: Blueprint) -> None:
    """A change that does not fit is a blueprint error; a field that does not exist, a request error."""
    with pytest.raises(BlueprintError, match=r"weights\.NA"):
        league.replace("region", weights={"NA": "half"})
    with pytest.raises(BlueprintError, match="unknown key"):
        league.replace("region", mean=3)
    with pytest.raises(RequestError, match="regoin"):
        league.replace("regoin", weights={})


def test_diff_names_what_changed(league: Blueprint) -> None:
    """A difference says where it is and what stood there before and after."""
    changed = league.replace("region", weights={"NA": 0.3, "EUW": 0.25, "KR": 0.15, "BR": 0.15, "CN": 0.15})
    found = changed.diff(league)
    assert [(c.path, c.before, c.after) for c in found] == [
        ("fields.region.categorical.weights.NA", 0.2, 0.3),
        ("fields.region.categorical.weights.CN", 0.25, 0.15),
    ]
    assert str(found[0]) == "fields.region.categorical.weights.NA: 0.2 → 0.3"


@given(blueprints(), blueprints())
def test_diff_is_empty_for_equals_only(one: Blueprint, other: Blueprint) -> None:
    """Nothing differs from itself; two blueprints differ one way where they differ the other way."""
    assert one.diff(one) == ()
    there, back = one.diff(other), other.diff(one)
    assert {c.path for c in there} == {c.path for c in back}
    assert bool(there) == (one != other) or one.order == other.order


def test_moved_field_differs_in_order_only(league: Blueprint) -> None:
    """A field that only moved is reported by the order, not as removed and added."""
    order = ("rank", "region", "main_role", "hours_per_week")
    data = league.replace(order=order).to_dict()
    data["fields"][0], data["fields"][1] = data["fields"][1], data["fields"][0]
    assert [change.path for change in Blueprint.from_dict(data).diff(league)] == ["order"]


def test_nothing_in_a_blueprint_changes(league: Blueprint) -> None:
    """No attribute, list or table of a blueprint can be set, also deep inside."""
    rank: Any = league["rank"]
    hours: Any = league["hours_per_week"]
    for value, name in [(league, "domain"), (rank, "name"), (hours.conditionals[0].numeric, "mean")]:
        with pytest.raises(ValueError, match="frozen"):
            setattr(value, name, "x")
    assert isinstance(league.fields, tuple)
    assert isinstance(rank.ordered_values, tuple)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.__setitem__("NA", 1),
        lambda table: table.__delitem__("NA"),
        lambda table: table.update(NA=1),
        lambda table: table.setdefault("XX", 1),
        lambda table: table.pop("NA"),
        lambda table: table.popitem(),
        lambda table: table.clear(),
        lambda table: table.__ior__({"NA": 1}),
    ],
)
def test_tables_are_frozen(league: Blueprint, change: Any) -> None:
    """Every way in which a dict changes is refused for weights and for conditions."""
    region: Any = league["region"]
    hours: Any = league["hours_per_week"]
    for table in (region.categorical.weights, hours.conditionals[0].when):
        with pytest.raises(TypeError, match="does not change"):
            change(table)
    assert league == Blueprint.load(LEAGUE)


def test_equal_by_content(league: Blueprint, league_data: dict[str, Any]) -> None:
    """Two blueprints of the same content are equal and hash alike; one weight makes a difference."""
    twin = Blueprint.from_dict(league_data)
    assert twin == league
    assert hash(twin) == hash(league)
    assert len({twin, league}) == 1
    assert twin.replace("main_role", weights={"top": 1}) != league


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda bp: pickle.loads(pickle.dumps(bp))], ids=["copy", "deepcopy", "pickle"]
)
def test_copies_are_equal_and_frozen(league: Blueprint, copied: Any) -> None:
    """A copy, deep copy or unpickled blueprint is equal to the first, hashes alike and is frozen too."""
    twin = copied(league)
    assert twin == league
    assert hash(twin) == hash(league)
    with pytest.raises(TypeError, match="does not change"):
        twin["region"].categorical.weights["NA"] = 1


def test_source_data_is_not_shared(league_data: dict[str, Any]) -> None:
    """Changing the data that was read, or the data written, leaves the blueprint as it was."""
    bp = Blueprint.from_dict(league_data)
    league_data["fields"][0]["categorical"]["weights"]["NA"] = 9
    bp.to_dict()["fields"][0]["categorical"]["weights"]["NA"] = 9
    assert bp == Blueprint.load(LEAGUE)


def test_parts_are_found_by_name_and_sort(league: Blueprint) -> None:
    """Fields are reached by name, and as sampled fields, texts and roots."""
    assert [f.name for f in league.sampled] == ["region", "rank", "main_role", "hours_per_week"]
    assert [f.name for f in league.texts] == ["name", "backstory"]
    assert [f.name for f in league.roots] == ["region", "rank", "main_role"]
    with pytest.raises(KeyError, match="'age' is no field"):
        league["age"]


def test_values_are_ordered_then_as_first_named() -> None:
    """A field's values are those of its order, then those of its base, then those only conditionals name."""
    size: Any = {"name": "size", "kind": "categorical", "parents": ["side"], "ordered_values": ["S", "M"]}
    size["categorical"] = {"weights": {"M": 0.5, "L": 0.5}}
    size["conditionals"] = [{"when": {"side": "head"}, "categorical": {"weights": {"XL": 1, "S": 0}}}]
    bp = Blueprint.from_dict(coins({"head": 1}) | {"fields": [*coins({"head": 1})["fields"], size]})
    assert bp["size"].values == ("S", "M", "L", "XL")  # type: ignore[union-attr]


def test_repr_is_brief(league: Blueprint) -> None:
    """A blueprint prints as one line: its domain, its fields, how many rules."""
    assert repr(league) == (
        "Blueprint('lol_player', fields=['region', 'rank', 'main_role', 'hours_per_week', 'name', 'backstory'], "
        "constraints=1)"
    )


@pytest.mark.parametrize(("word", "close"), [("Chalenger", "Challenger"), ("gold", "Gold"), ("xyz", None), ("", None)])
def test_nearest_finds_misspellings(league: Blueprint, word: str, close: str | None) -> None:
    """A slip of a letter or of case finds its value; something else finds nothing."""
    assert nearest(word, league["rank"].values) == close  # type: ignore[union-attr]


def test_a_copied_field_has_its_own_values() -> None:
    """Values that were asked for before the copy do not outlive the weights that named them."""
    field = CategoricalField(name="side", categorical=Categorical(weights={"head": 0.5, "tail": 0.5}))
    assert field.values == ("head", "tail")
    copied = field.model_copy(update={"categorical": Categorical(weights={"edge": 1.0})})
    assert copied.values == ("edge",)


def test_a_conditional_is_compared_with_the_one_of_its_condition(league: Blueprint) -> None:
    """An edited conditional is one change at its condition, a new one another, wherever they stand in the list."""
    data = league.to_dict()
    rules = next(field for field in data["fields"] if field["name"] == "hours_per_week")["conditionals"]
    rules[0]["numeric"]["mean"] += 1
    rules.insert(0, {"when": {"rank": "Iron"}, "numeric": rules[0]["numeric"]})
    found = {change.path: change for change in Blueprint.from_dict(data).diff(league)}
    where = "fields.hours_per_week.conditionals."
    edited = f"{where}rank={rules[1]['when']['rank']}.numeric.mean"
    assert sorted(found) == sorted([edited, f"{where}rank=Iron"])
    assert found[f"{where}rank=Iron"].before is None


def test_the_order_of_values_is_part_of_a_blueprint() -> None:
    """Tables that list the same weights in another order differ, and the difference says which order was which."""
    one, other = (Blueprint.from_dict(coins(dict.fromkeys(names, 0.5))) for names in (("a", "b"), ("b", "a")))
    assert one != other
    assert one == Blueprint.from_dict(one.to_dict())
    [change] = other.diff(one)
    assert (change.path, change.before, change.after) == ("fields.side.categorical.weights", ["a", "b"], ["b", "a"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: CategoricalField(name="a", categorical={"weights": {"x": "y"}}), r"categorical\.weights\.x"),
        (lambda: Constraint(name="a", lhs="a", op="=<", rhs="b"), "op: input should be '<'"),
        (lambda: Blueprint(domain="d", order=[], fields=[]), "fields: "),
    ],
)
def test_values_made_by_a_call_are_refused_in_sentences(make: Callable[[], Any], says: str) -> None:
    """What does not fit is a BlueprintError, and a ValueError as Python has it, that names the place."""
    with pytest.raises(BlueprintError, match=says) as caught:
        make()
    assert isinstance(caught.value, ValueError)
    assert "pydantic" not in str(caught.value)


def test_an_unknown_field_is_named_with_the_nearest(league: Blueprint) -> None:
    """A misspelt field is a KeyError that suggests the name that was meant, in brackets and in `replace`."""
    for ask in (lambda: league["rnk"], lambda: league.replace("rnk", description="")):
        with pytest.raises(UnknownFieldError, match=r"^'rnk' is no field") as caught:
            ask()
        assert isinstance(caught.value, KeyError)
        assert caught.value.__notes__ == ["→ did you mean 'rank'?"]
