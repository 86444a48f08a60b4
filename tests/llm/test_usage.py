"""Tests of `personalab.llm.usage`: what was used, and how much may be."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from personalab.errors import RequestError
from personalab.llm import Budget, Count, Usage

PRICES = (0.5, 2.0)
WRONG = [
    ({"tokens": "many"}, "a budget of tokens='many' is no number"),
    ({"tokens": True}, "a budget of tokens=True is no number"),
    ({"tokens": math.nan}, "a budget of tokens=nan is no number"),
    ({"tokens": math.inf}, "a budget of tokens=inf is no number"),
    ({"tokens": 10**5_000}, "a budget of tokens=.* is no number"),
    ({"tokens": 0}, "a budget of tokens=0 lets nothing be asked"),
    ({"tokens": -5}, "a budget of tokens=-5 lets nothing be asked"),
    ({"tokens": 10.5}, r"a budget of tokens=10\.5 is no whole number"),
    ({"cost": "2 €", "prices": PRICES}, "a budget of cost='2 €' is no number"),
    ({"cost": 0, "prices": PRICES}, "a budget of cost=0 lets nothing be asked"),
    ({"cost": 2}, "a budget of cost=2 needs prices"),
    ({"prices": 3}, "prices is 3, not two numbers of 0 or more"),
    ({"prices": (1,)}, r"prices is \(1,\), not two numbers"),
    ({"prices": (1, 2, 3)}, r"prices is \(1, 2, 3\), not two numbers"),
    ({"prices": (1, -2)}, r"prices is \(1, -2\), not two numbers"),
    ({"prices": (1, math.nan)}, r"prices is \(1, nan\), not two numbers"),
    ({"prices": "12"}, "prices is '12', not two numbers"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_a_budget_that_is_none_is_refused(options, message):
    """The error says what was given and why it will not do, and its hint what would."""
    with pytest.raises(RequestError, match=message) as caught:
        Budget(**options)
    assert caught.value.__notes__[0].startswith("→ give")


def test_numbers_of_any_kind_are_taken():
    """A whole number may be written as 1e6, and numbers may be numpy's."""
    assert Budget(tokens=1e6) == Budget(tokens=np.int64(1_000_000))
    assert Budget(cost=np.float64(2), prices=[0, 2]) == Budget(cost=2, prices=(0.0, 2.0))


def test_what_a_server_or_a_file_tells_wrongly_counts_as_not_told():
    """Only whole numbers above 0 are counts; a call without any is counted as a call, and as uncounted."""
    odd = {"prompt_tokens": 10**5_000, "completion_tokens": -4, "cached_tokens": True}
    assert Count.of({"usage": odd}) == Count.of({"usage": None}) == Count.of({}) == Count(1, uncounted=1)
    told = {"prompt_tokens": 9, "completion_tokens": 4, "cached_tokens": 20}
    assert Count.of({"usage": told}) == Count(1, 9, 4, cached_tokens=9)


def test_usage_is_a_value():
    """Equal by content, with a hash, and the same after a pickle."""
    first, second = (Usage({"a": Count(1, 2, 3)}, {"b": Count(4, 5, 6)}, PRICES) for _ in range(2))
    assert first == second == pickle.loads(pickle.dumps(first))
    assert hash(first) == hash(second)
    assert first != Usage({"a": Count(1, 2, 4)}, {"b": Count(4, 5, 6)}, PRICES)


def test_what_it_cost_follows_from_the_users_prices():
    """What was replayed costs nothing; without prices there is no cost."""
    paid, replayed = {"a": Count(2, 1_000_000, 500_000)}, {"a": Count(9, 9_000_000, 9_000_000)}
    assert Usage(paid, replayed, PRICES).cost == 0.5 + 1.0
    assert Usage(paid, replayed).cost is None


def test_usage_shows_itself_as_a_table():
    """Stages, their sum, what was replayed apart, and what the sums do not hold; the same as text and as HTML."""
    paid = {"blueprint": Count(1, 1_900, 2_800), "<b>": Count(10, 9_300, 2_050, cached_tokens=8_192, uncounted=3)}
    usage = Usage(paid, {"personas": Count(7, 1, 2)}, PRICES)
    shown = usage._repr_mimebundle_()
    lines = shown["text/plain"].splitlines()
    assert lines[0].split() == ["stage", "calls", "prompt", "tokens", "completion", "tokens", "cost"]
    assert lines[1].split() == ["blueprint", "1", "1,900", "2,800", "0.0066"]
    assert lines[3].split() == ["all", "11", "11,200", "4,850", "0.0153"]
    assert lines[4].split() == ["personas,", "replayed", "7", "1", "2", "0.0000"]
    assert ["8,192" in lines[5], "3 calls" in lines[6], len(lines)] == [True, True, 7]
    assert "&lt;b&gt;" in shown["text/html"]
    assert "11,200" in shown["text/html"]
    assert repr(usage) == (
        "Usage(11 calls, 11,200 prompt and 4,850 completion tokens, 3 calls uncounted, cost 0.0153; 7 replayed)"
    )
