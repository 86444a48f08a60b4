"""A constraint means something in a blueprint, is wrong there, or does not apply; nothing is guessed."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalab import Blueprint, Constraint, report, sample
from personalab.blueprint.constraints import Apply, Level, Name, Number, comparison, names, parse, quoted, sides
from personalab.blueprint.intervals import NotApplicableError
from personalab.blueprint.resolution import demand_quoted, resolve
from personalab.blueprint.shape import UNSEEN
from personalab.errors import BlueprintError, PersonalabError


def resolved(text: str, bp: Blueprint) -> Apply:
    """A constraint written in one piece, as it is read in a blueprint."""
    lhs, op, rhs = sides(parse(text))
    demand_quoted(text, bp)
    return resolve(Constraint(name="c", lhs=lhs, op=op, rhs=rhs), bp)  # type: ignore[arg-type]  # of the list


def numbers(*names: str) -> Blueprint:
    """A blueprint with a number from 0 to 10 of each name."""
    numeric = {"min": 0, "max": 10, "mean": 5, "sd": 2}
    fields = [{"name": name, "kind": "numeric", "numeric": numeric} for name in names]
    return Blueprint.from_dict({"domain": "d", "order": list(names), "fields": fields})


def players() -> Blueprint:
    """A blueprint with two numbers, categories with and without an order, and a text."""
    numeric = {"min": 0, "max": 10, "mean": 5, "sd": 2}
    table = {"weights": {"Gold": 0.5, "Silver": 0.5}}
    return Blueprint.from_dict(
        {
            "domain": "d",
            "order": ["x", "y", "rank", "goal", "tier", "aim", "old"],
            "fields": [
                {"name": "x", "kind": "numeric", "numeric": numeric},
                {"name": "y", "kind": "numeric", "numeric": numeric},
                {"name": "rank", "kind": "categorical", "categorical": table},
                {"name": "goal", "kind": "categorical", "categorical": table},
                {"name": "tier", "kind": "categorical", "categorical": table, "ordered_values": ["Silver", "Gold"]},
                {"name": "aim", "kind": "categorical", "categorical": table, "ordered_values": ["Silver", "Gold"]},
                {"name": "old", "kind": "categorical", "categorical": table, "ordered_values": ["Gold", "Silver"]},
                {"name": "bio", "kind": "text"},
            ],
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "x <= y + 1",
        "rank == 'Gold'",
        "'Gold' != rank",
        "rank == goal",
        "1 < 2",
        "0 <= x <= 1",
        "(x < 1) <= (y < 1)",
        "(x < 1) == 1",
        "1 - (x < 1) <= (y < 1 and x > 2)",
        "(x < 1) + (y < 1) <= 1",
    ],
)
def test_resolve_accepts_what_has_a_meaning(text: str) -> None:
    """Numbers compare with numbers, categories with categories and with their own values."""
    assert isinstance(resolved(text, players()), Apply)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rnak == 'Gold'", "did you mean 'rank'"),
        ("zzzzzz == 1", "'zzzzzz' is no field"),
        ("rank == 'gold'", "did you mean 'Gold'"),
        ("'Zinc' == rank", "which has"),
        ("tier >= 'gold'", "did you mean 'Gold'"),
        ("rank == Gold", "'Gold' is a value of 'rank': quote it"),
        ("silver != rank", "'Silver' is a value of 'rank': quote it"),
        ("tier >= Gold", "'Gold' is a value of 'tier': quote it"),
        ("(0 <= x) <= 50", "is worth 1 or 0, and is compared with 50"),
        ("(x < 1) <= y", "is worth 1 or 0, and is compared with y"),
    ],
)
def test_resolve_refuses_unknown_words(text: str, words: str) -> None:
    """A field or value that does not exist is an error that names the nearest one."""
    with pytest.raises(BlueprintError, match=words) as caught:
        resolved(text, players())
    assert not isinstance(caught.value, NotApplicableError)


@pytest.mark.parametrize(
    "text",
    [
        "rank < 'Gold'",
        "rank == 1",
        "x == 'Gold'",
        "rank+1 > 0",
        "bio == 'a'",
        "'a' == 'b'",
        "abs(rank) > 1",
        "rank < goal",
        "tier < old",
        "tier < 2",
        "tier + 1 > tier",
        "(x < 1) == rank",
        "'a' < 1",
    ],
)
def test_resolve_names_what_does_not_apply(text: str) -> None:
    """What has no common scale is not applicable, which is another thing than wrong."""
    with pytest.raises(NotApplicableError):
        resolved(text, players())


def test_an_ordered_category_is_compared_by_its_levels() -> None:
    """With a quoted value, on either side, and with another category of the same order."""
    order = ("Silver", "Gold")
    assert resolved("tier >= 'Gold'", players()) == Apply(">=", (Level("tier", order), Number(1.0)))
    assert resolved("'Silver' < aim", players()) == Apply("<", (Number(0.0), Level("aim", order)))
    assert resolved("tier <= aim", players()) == Apply("<=", (Level("tier", order), Level("aim", order)))


@pytest.mark.parametrize("rule", ["tier >= 'Gold'", "tier < aim", "(tier >= 'Gold') <= (x > 5)", "2 <= x <= 4"])
@pytest.mark.parametrize("method", ["balanced", "quota", "iid"])
def test_what_is_drawn_obeys_an_order_and_a_chain(rule: str, method: Any) -> None:
    """Everybody does, and the report counts nobody who does not."""
    lhs, op, rhs = sides(parse(rule))
    bp = players().replace(constraints=[{"name": "c", "lhs": lhs, "op": op, "rhs": rhs}])
    frame = sample(bp, 200, seed=1, method=method)
    tier, aim, x = frame["tier"].cat.codes, frame["aim"].cat.codes, frame["x"]
    expected = {"tier >=": tier >= 1, "tier <": tier < aim, "(tier": (tier < 1) | (x > 5), "2 <=": (x >= 2) & (x <= 4)}
    assert next(held for start, held in expected.items() if rule.startswith(start)).all()
    assert report(frame, bp).constraints[0].status == "held"


def test_a_chain_on_two_sides_binds() -> None:
    """``18 <= age`` and ``<= 50`` are what they look like, and not a comparison of 1 or 0 with 50."""
    bp = players().replace(constraints=[{"name": "c", "lhs": "2 <= x", "op": "<=", "rhs": "4"}])
    assert sample(bp, 300, seed=1)["x"].between(2, 4).all()


@pytest.mark.parametrize("name", ["net-income", "gross income", "m²", "Alter (Jahre)", "a+b", "x>1", "x and y", "50 %"])
def test_a_name_that_lacks_its_backticks_is_asked_for_them(name: str) -> None:
    """Also where its words are fields themselves, so that the text could be read as something else."""
    bp = numbers(name, "net", "income", "a", "b", "x", "y")
    with pytest.raises(BlueprintError, match="without backticks") as caught:
        resolve(Constraint(name="c", lhs=name, op="<=", rhs="5"), bp)
    assert quoted(name) in caught.value.__notes__[0]
    assert names(resolve(Constraint(name="c", lhs=quoted(name), op="<=", rhs="5"), bp)) == {name}


def test_a_difference_with_spaces_is_one() -> None:
    """Beside a field that is called like it."""
    bp = numbers("net-income", "net", "income", "5")
    assert names(resolve(Constraint(name="c", lhs="net - income", op="<=", rhs="5"), bp)) == {"net", "income"}


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_names_that_look_alike_are_one(form: Any) -> None:
    """However their letters are coded; the one spelt the same comes first."""
    text = unicodedata.normalize(form, "größe_\ufb01")
    assert names(resolve(Constraint(name="c", lhs=text, op="<=", rhs="5"), numbers("größe_\ufb01"))) == {"größe_\ufb01"}
    bp = numbers("\ufb01", "fi")
    for name in ("\ufb01", "fi"):
        assert resolve(Constraint(name="c", lhs=name, op="<=", rhs="5"), bp).args[0] == Name(name)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(min_size=1, max_size=8).filter(lambda text: not UNSEEN.search(text)),
        min_size=2,
        max_size=3,
        unique=True,
    )
)
def test_any_name_can_be_written(fields: list[str]) -> None:
    """Quoted as `quoted` does, it is that field and no other."""
    bp = numbers(*fields)
    tree = resolve(Constraint(name="c", lhs=quoted(fields[0]), op="<=", rhs=quoted(fields[1])), bp)
    assert tree.args == (Name(fields[0]), Name(fields[1]))


PIECES = ["x", "rank", "tier", "'Gold'", "Gold", "3", "1", "(", ")", " ", "-", "+", "*", "/", "<=", "==", "and", "min("]
PIECES += ["`x`", "`", "'", ",", "y", "nobody", "bio", "__import__('os')", ".", "x.y", "[0]", "lambda: 0", "\n", "\x00"]


@settings(max_examples=500, deadline=None)
@given(*(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=9).map("".join) for _ in range(2)))
def test_any_text_is_resolved_or_refused(lhs: str, rhs: str) -> None:
    """Whatever stands on the two sides: a tree of the blueprint's own fields, or a sentence."""
    try:
        tree = resolve(Constraint(name="c", lhs=lhs, op="<=", rhs=rhs), players())
    except PersonalabError:
        return
    assert names(tree) <= {field.name for field in players().sampled}
    assert isinstance(comparison(lhs, "<=", rhs), Apply)
