"""What a report says of three fields at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from personalab import report, sample
from personalab.sampling.draw import Method
from tests.builders import blueprint, choice, number

FOUR = dict.fromkeys("abcd", 0.25)


def test_a_field_that_follows_from_two_others_is_named() -> None:
    """No pair shows it; the summary, the remarks and the plain data do."""
    names = ["one", "two", "three", "four"]
    rng, n = np.random.default_rng(0), 400
    one, two, four = (rng.permutation(np.arange(n) % 4) for _ in range(3))
    codes = [one, two, (one + two) % 4, four]
    frame = pd.DataFrame({name: np.array(list("abcd"))[code] for name, code in zip(names, codes, strict=True)})
    told = report(frame, blueprint(*(choice(name, FOUR) for name in names)))
    assert max(each.cramers_v for each in told.associations) < 0.2
    assert "one, two, three go together as a triple" in told.summary
    assert told.to_dict()["interaction"]["fields"] == ["one", "two", "three"]
    assert told.interaction is not None
    assert told.interaction.is_strange
    assert any(remark.startswith("Triples: of 4 triples") for remark in told.remarks)


@pytest.mark.parametrize("method", ["balanced", "quota", "iid"])
def test_no_method_draws_a_triple_that_goes_together(method: Method) -> None:
    """Of 8 roots with unequal weights and 2 numbers, up to 120 triples, whose p-values are as chance has them."""
    weights = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
    roots = [choice(f"f{i}", weights) for i in range(8)]
    bp = blueprint(*roots, number("x", 0, 10, 5, 2), number("k", 0, 90, 40, 9, integer=True))
    worst = [report(sample(bp, n, seed=seed, method=method), bp).interaction for n in (100, 1000) for seed in range(6)]
    assert all(each is not None and 0 < each.tested <= 120 and not each.is_strange for each in worst)
    # Bonferroni's values lie above uniform ones, so that the least of twelve is no stranger than that of twelve.
    assert min(each.p_value for each in worst if each) > 1 - (1 - 1e-3) ** (1 / 12)


def test_p_values_of_independent_draws_are_chances() -> None:
    """Of a single triple over 150 seeds they are uniform, ties of numbers included."""
    bp = blueprint(choice("a", {"x": 0.7, "y": 0.3}), choice("b", FOUR), number("k", 0, 4, 2, 1, integer=True))
    found = [report(sample(bp, 300, seed=seed, method="iid"), bp).interaction for seed in range(150)]
    assert stats.kstest([each.p_value for each in found if each], "uniform").pvalue > 1e-3


def test_what_constraints_tie_is_no_triple() -> None:
    """Neither roots of one rule nor roots whose children one rule ties are called independent."""
    roots = [choice(name, FOUR) for name in "pqr"]
    numbers = (number("x", 0, 10, 5, 2, "p"), number("y", 0, 10, 5, 2, "q"))
    for rules in ((), ("x <= y + 3",)):
        bp = blueprint(*roots, *numbers, rules=rules)
        assert (report(sample(bp, 200, seed=1), bp).interaction is None) == bool(rules)


def test_few_people_tell_nothing_of_triples() -> None:
    """Below 40 not every cell can hold five, and no triple is judged."""
    bp = blueprint(*(choice(name, FOUR) for name in "pqrs"))
    assert report(sample(bp, 39, seed=1), bp).interaction is None
    assert report(sample(bp, 40, seed=1), bp).interaction is not None


def test_of_very_many_triples_some_are_drawn() -> None:
    """Sixty roots have 34,220."""
    bp = blueprint(*(choice(f"f{i}", FOUR) for i in range(60)))
    told = report(sample(bp, 100, seed=1), bp).interaction
    assert told is not None
    assert 900 < told.tested <= 1000
