"""What `personalab.reports.fidelity` and `personalab.reports.report` promise."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from personalab.blueprint import moments
from personalab.blueprint.model import Blueprint, Numeric
from personalab.errors import BlueprintError, RequestError
from personalab.reports import associations as module
from personalab.reports.fidelity import band, distance, expected_iid, kolmogorov_smirnov, limit, p_value
from personalab.reports.report import report
from personalab.reports.text import brief, change
from personalab.reports.values import Report
from personalab.sampling.sample import sample
from tests.builders import blueprint, choice, hard, number

SHARES = st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any).map(lambda w: [x / sum(w) for x in w])
RANKS = {"Bronze": 0.2, "Silver": 0.3, "Gold": 0.25, "Platinum": 0.15, "Diamond": 0.07, "Challenger": 0.03}


def categorical(name: str, weights: dict[str, float], **more: Any) -> dict[str, Any]:
    """A categorical field in wire form."""
    return {"name": name, "kind": "categorical", "categorical": {"weights": weights}} | more


def hours(low: float, mean: float) -> dict[str, Any]:
    """Whole hours up to 80 in wire form."""
    return {"min": low, "max": 80, "mean": mean, "sd": 5, "integer": True}


def players(*constraints: dict[str, str]) -> Blueprint:
    """Ranks as in the contract, a role that depends on the region, and hours known for the ends of the ranks only."""
    fields = [
        categorical("region", {"NA": 0.5, "EUW": 0.5}),
        categorical("rank", RANKS, ordered_values=list(RANKS)),
        categorical(
            "role",
            {"top": 0.5, "mid": 0.5},
            parents=["region"],
            conditionals=[{"when": {"region": "NA"}, "categorical": {"weights": {"top": 1.0, "mid": 0.0}}}],
        ),
        {
            "name": "hours",
            "kind": "numeric",
            "parents": ["rank"],
            "conditionals": [
                {"when": {"rank": "Bronze"}, "numeric": hours(0, 8)},
                {"when": {"rank": "Challenger"}, "numeric": hours(30, 50)},
            ],
        },
        {"name": "story", "kind": "text"},
    ]
    order = ["region", "rank", "role", "hours"]
    return Blueprint.from_dict({"domain": "players", "order": order, "fields": fields, "constraints": constraints})


def ten() -> pd.DataFrame:
    """Ten people: ranks as in the contract's example, everyone top."""
    ranks = ["Bronze"] * 2 + ["Silver"] * 3 + ["Gold"] * 2 + ["Platinum"] * 2 + ["Diamond"]
    frame = pd.DataFrame({"region": ["NA", "EUW"] * 5, "rank": ranks, "role": "top", "hours": range(5, 55, 5)})
    frame.index = pd.Index([f"p_{i:02d}" for i in range(1, 11)], name="persona_id")
    return frame


def rule(lhs: str, op: str, rhs: str) -> dict[str, str]:
    """A constraint in wire form."""
    return {"name": "rule", "lhs": lhs, "op": op, "rhs": rhs}


def compositions(n: int, parts: int) -> list[tuple[int, ...]]:
    """Every way to divide n people over so many values."""
    cuts = itertools.combinations(range(n + parts - 1), parts - 1)
    return [tuple(b - a - 1 for a, b in itertools.pairwise((-1, *cut, n + parts - 1))) for cut in cuts]


@given(SHARES, st.integers(1, 7))
def test_no_population_is_closer_than_the_limit_and_one_is_as_close(p: list[float], n: int) -> None:
    """The limit is the least TVD over every way to divide n people, by brute force."""
    least = min(distance(p, np.array(counts) / n) for counts in compositions(n, len(p)))
    assert limit(p, n) == pytest.approx(least, abs=1e-12)


@given(SHARES, st.integers(1, 6))
def test_the_distance_expected_by_chance_is_exact(p: list[float], n: int) -> None:
    """The closed form equals the mean TVD over every composition, weighted by its multinomial probability."""
    law = stats.multinomial(n, p)
    mean = sum(law.pmf(counts) * distance(p, np.array(counts) / n) for counts in compositions(n, len(p)))
    assert expected_iid(p, n) == pytest.approx(mean, abs=1e-9)


def test_the_distance_expected_by_chance_agrees_with_simulation() -> None:
    """4,000 simulated populations of 1,000 have that mean TVD, within four standard errors."""
    p = np.array(list(RANKS.values()))
    counts = np.random.default_rng(3).multinomial(1000, p, size=4000)
    found = np.abs(counts / 1000 - p).sum(axis=1) / 2
    assert abs(found.mean() - expected_iid(p, 1000)) < 4 * found.std() / math.sqrt(4000)


@given(st.floats(0, 1), st.integers(1, 2000))
@settings(max_examples=200)
def test_the_band_is_the_binomials_central_95_percent(p: float, n: int) -> None:
    """Its ends are the quantiles at 2.5 % and 97.5 %, unless the counts next to the requested one lie beyond."""
    low, high = band([p], n)
    quantiles = stats.binom.ppf([0.025, 0.975], n, p)
    assert round(low[0] * n) == pytest.approx(min(quantiles[0], math.floor(n * p + 1e-12)))
    assert round(high[0] * n) == pytest.approx(max(quantiles[1], math.ceil(n * p - 1e-12)))


@pytest.mark.parametrize("n", [1, 10, 1000])
def test_a_share_of_none_or_all_has_no_width(n: int) -> None:
    """What must never occur has the band [0, 0], what must always has [1, 1]."""
    low, high = band([0.0, 1.0], n)
    assert (low.tolist(), high.tolist()) == ([0, 1], [0, 1])
    assert limit([0.0, 1.0], n) == expected_iid([0.0, 1.0], n) == 0


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_ks_of_a_continuous_law_equals_scipys(values: list[float]) -> None:
    """The distance to a solved law is the one-sample statistic."""
    law = moments.solve(Numeric(min=0, max=10, mean=4, sd=2))
    found = kolmogorov_smirnov(np.array(values), law)
    assert found == pytest.approx(stats.kstest(values, law.cdf).statistic, abs=1e-9)


def test_ks_of_a_law_on_integers_sees_both_sides_of_a_step() -> None:
    """A population that has exactly the law's shares has KS 0; one piled on the top value misses all the rest."""
    law = moments.solve(Numeric(min=0, max=1, mean=0.5, sd=0.5, integer=True))
    assert kolmogorov_smirnov(np.array([0.0, 1.0]), law) == pytest.approx(0, abs=1e-9)
    assert kolmogorov_smirnov(np.array([1.0, 1.0]), law) == pytest.approx(0.5)


def test_the_contracts_own_example_has_a_distance_of_0_08() -> None:
    """Its cells say 0.08, which is also the limit: ten people cannot come closer."""
    found = report(ten(), players()).marginals[1]
    assert found.total_variation_distance == pytest.approx(0.08)
    assert found.limit == pytest.approx(0.08)
    assert found.is_at_limit
    assert found.expected_iid == pytest.approx(0.2636, abs=1e-4)


def test_contract_has_the_keys_and_nothing_else() -> None:
    """The wire form holds attribute, cells and distance, cells in the blueprint's order of values."""
    frame = ten().assign(story=[f"word{i} here" for i in range(10)])
    wire = report(frame, players()).contract()
    assert list(wire) == ["diversity", "marginals"]
    assert [each["attribute"] for each in wire["marginals"]] == ["region", "rank"]
    assert list(wire["marginals"][1]) == ["attribute", "cells", "total_variation_distance"]
    assert [cell["key"] for cell in wire["marginals"][1]["cells"]] == list(RANKS)
    assert wire["marginals"][1]["cells"][2] == {"key": "Gold", "requested": 0.25, "achieved": 0.2}
    assert set(wire["diversity"]) == {"max_pairwise_similarity", "mean_pairwise_similarity", "duplicate_pairs"}


def test_one_persona_has_neither_marginals_nor_diversity_on_the_wire() -> None:
    """The contract omits both for a single persona, while the report itself still has a marginal."""
    found = report(ten().head(1).assign(story="alone"), players())
    assert found.contract() == {}
    assert found.marginals
    assert "nobody" in found.not_applicable["diversity"]


def test_weights_that_nearly_sum_to_one_are_normalised() -> None:
    """Requested shares sum to 1 even where the blueprint's were rounded."""
    bp = players().replace("region", weights={"NA": 0.5, "EUW": 0.4995})
    cells = report(ten(), bp).marginals[0].cells
    assert sum(cell.requested for cell in cells) == pytest.approx(1, abs=1e-15)
    assert cells[0].requested == pytest.approx(0.5 / 0.9995)


def test_a_child_is_compared_within_its_parents_values() -> None:
    """All are top: exact where NA asks for it, off by half in EUW, so 0.25 over both, with the worst cells named."""
    [edge] = report(ten(), players()).conditionals
    assert (edge.attribute, edge.parents, edge.branches) == ("role", ("region",), 2)
    assert edge.total_variation_distance == pytest.approx(0.25)
    assert edge.limit == pytest.approx(0.05)
    assert edge.expected_iid == pytest.approx(expected_iid([0.5, 0.5], 5) / 2)
    assert {(miss.key, miss.achieved) for miss in edge.worst} == {("top", 1.0), ("mid", 0.0)}


def test_numbers_are_compared_by_branch_in_the_parents_order() -> None:
    """Moments, range and origin come per rank, and people outside the stated range are counted."""
    found = report(ten(), players()).numerics
    assert [each.branch for each in found] == [f"rank={name}" for name in list(RANKS)[:5]]
    bronze, silver = found[:2]
    assert (bronze.origin, silver.origin) == ("conditional", "interpolated")
    assert (bronze.requested["mean"], bronze.achieved["mean"], bronze.achieved["sd"]) == (8, 7.5, 2.5)
    low = report(ten().assign(hours=1), players())
    assert sum(each.outside for each in low.numerics) == 8
    assert "8 numbers outside the stated range" in low.summary


def test_rows_from_interpolated_branches_are_counted() -> None:
    """Eight of ten have ranks for which the blueprint states no hours."""
    assert report(ten(), players()).interpolated == {"hours": 8}


def test_a_violated_constraint_names_the_rows() -> None:
    """The count is exact and the first five rows are listed by index label."""
    found = report(ten(), players(rule("hours", "<=", "12"))).constraints[0]
    assert (found.status, found.violations) == ("violated", 8)
    assert found.rows == ("p_03", "p_04", "p_05", "p_06", "p_07")


def test_a_constraint_between_categories_is_judged() -> None:
    """Equality of quoted values holds or not, row by row."""
    found = report(ten(), players(rule("rank", "!=", "'Diamond'"))).constraints[0]
    assert (found.status, found.rows) == ("violated", ("p_10",))


def test_a_constraint_on_an_absent_column_is_not_applicable() -> None:
    """It is named with the reason and never counted as held."""
    found = report(ten()[["rank"]], players(rule("hours", "<=", "60")))
    assert found.constraints[0].status == "not applicable"
    assert "'hours'" in found.not_applicable["constraints.rule"]
    assert "held" not in found.summary


def test_a_constraint_on_a_text_is_not_applicable() -> None:
    """What has no common scale cannot be judged, and the linter's warning travels along."""
    found = report(ten(), players(rule("story", "==", "'x'")))
    assert found.constraints[0].status == "not applicable"
    assert any(finding.level == "warning" for finding in found.findings)


def test_only_constraints_that_can_bind_are_named_beside_a_field() -> None:
    """A rule that always holds explains no deviation; one that can exclude values does."""
    assert report(ten(), players(rule("hours", ">=", "0"))).numerics[0].constraints == ()
    assert report(ten(), players(rule("hours", ">=", "20"))).numerics[0].constraints == ("rule",)


def test_an_absent_column_is_not_applicable_and_the_rest_is_judged() -> None:
    """A child whose parent is absent cannot be judged either, and both are named."""
    found = report(ten()[["role", "rank"]], players())
    assert [each.attribute for each in found.marginals] == ["rank"]
    assert found.conditionals == ()
    assert set(found.not_applicable) == {"region", "hours", "role", "diversity"}


def test_a_frame_from_a_file_gives_the_same_report(tmp_path: Any) -> None:
    """Strings and integers read from CSV are understood as the blueprint's values."""
    ten().to_csv(tmp_path / "ten.csv")
    read = pd.read_csv(tmp_path / "ten.csv", index_col="persona_id", keep_default_na=False, dtype=str)
    assert report(read, players()) == report(ten(), players())


def test_north_america_read_as_missing_is_explained(tmp_path: Any) -> None:
    """Pandas reads "NA" as missing; the error says how to read it as a value."""
    ten().to_csv(tmp_path / "ten.csv")
    with pytest.raises(RequestError, match="no value in 5 of 10 rows") as caught:
        report(pd.read_csv(tmp_path / "ten.csv"), players())
    assert "keep_default_na=False" in caught.value.__notes__[0]


def test_an_unknown_category_is_an_error_with_the_nearest_legal_one() -> None:
    """A misspelt value is named, not dropped."""
    with pytest.raises(RequestError, match=r"'rank' holds .*'Glod' \(did you mean 'Gold'\?\)"):
        report(ten().replace({"rank": {"Gold": "Glod"}}), players())


def test_what_is_no_number_is_an_error_that_names_it() -> None:
    """Neither words nor missing values pass for numbers."""
    for wrong in ("many", None, math.inf):
        with pytest.raises(RequestError, match=r"'hours' (holds '.*', which .*|has no value) in 1 of 10 rows"):
            report(ten().assign(hours=[wrong, *range(9)]), players())


def test_whole_numbers_read_as_floats_are_categories_all_the_same() -> None:
    """A file's 3.0 is the value "3"."""
    bp = Blueprint.from_dict({"domain": "d", "order": ["k"], "fields": [categorical("k", {"3": 0.5, "4": 0.5})]})
    assert report(pd.DataFrame({"k": [3.0, 4.0]}), bp).marginals[0].total_variation_distance == 0


def test_an_empty_or_foreign_frame_is_refused() -> None:
    """There is nothing to report on no rows or on none of the fields."""
    with pytest.raises(RequestError, match="no rows"):
        report(ten().head(0), players())
    with pytest.raises(RequestError, match="no column 'region', 'rank'"):
        report(pd.DataFrame({"colour": ["red"]}), players())
    with pytest.raises(RequestError, match="two columns of one name: 'rank'"):
        report(ten()[["rank", "rank"]], players())


def test_a_blueprint_with_errors_is_refused() -> None:
    """Nobody can say what was requested of a blueprint that cannot be sampled."""
    with pytest.raises(BlueprintError, match="cannot be sampled"):
        report(ten(), players().replace("region", weights={"NA": 0.9, "EUW": 0.5}))


def test_independent_roots_have_their_association_beside_what_chance_gives() -> None:
    """Equal halves that always go together have V = 1."""
    frame = pd.DataFrame({"region": ["NA", "EUW"] * 50, "rank": ["Gold", "Silver"] * 50})
    [pair] = report(frame, players()).associations
    assert (pair.fields, pair.cramers_v) == (("region", "rank"), pytest.approx(1))
    assert pair.by_chance == pytest.approx(math.sqrt(1 / 99))


def test_roots_that_a_constraint_ties_are_not_called_independent() -> None:
    """A pair that a binding constraint speaks of has no association to report."""
    pair = [categorical("a", {"x": 0.5, "y": 0.5}), categorical("b", {"x": 0.5, "y": 0.5})]
    data = {"domain": "d", "order": ["a", "b"], "fields": pair, "constraints": [rule("a", "==", "b")]}
    assert report(pd.DataFrame({"a": ["x", "y"], "b": ["x", "y"]}), Blueprint.from_dict(data)).associations == ()


def test_association_by_chance_agrees_with_simulation() -> None:
    """The mean squared V of 300 independent frames lies within four standard errors of the stated one."""
    rng, squares, bp = np.random.default_rng(5), [], players()
    for _ in range(300):
        frame = pd.DataFrame({"region": rng.choice(["NA", "EUW"], 60), "rank": rng.choice(["Gold", "Silver"], 60)})
        squares.append(report(frame, bp).associations[0].cramers_v ** 2)
    assert abs(np.mean(squares) - 1 / 59) < 4 * np.std(squares) / math.sqrt(300)


def test_diversity_is_of_the_written_texts() -> None:
    """Rows without a text are left out, and equal stories are duplicates."""
    found = report(ten().assign(story=["he hums", "he hums", None, "reads"] + [None] * 6), players())
    assert found.diversity is not None
    assert (found.diversity.duplicate_pairs, found.diversity.closest) == (1, (0, 1))
    assert report(ten(), players()).diversity is None


def test_how_a_frame_was_drawn_travels_with_it() -> None:
    """Method, rounding and seed come from the frame's attrs; a frame that does not say is not spoken of."""
    found = report(sample(players(), 10, seed=7, method="balanced"), players())
    assert (found.method, found.rounding, found.seed) == ("balanced", "nearest", 7)
    assert "Method: drawn balanced, rounding nearest, seed 7." in str(found)
    assert "Method" not in str(report(ten(), players()))


@pytest.mark.parametrize(
    ("method", "said", "unsaid"),
    [("balanced", "no test or standard error for independent draws applies", "keep their size"),
     ("quota", "tests of independence between unrelated fields keep their size", "tests and standard errors apply"),
     ("iid", "tests and standard errors apply", "rounding")],
)  # fmt: skip
def test_a_report_says_what_its_method_allows(method: Any, said: str, unsaid: str) -> None:
    """What may be computed from the people is said for each method, in the text and in the HTML."""
    found = report(sample(players(), 10, seed=7, method=method), players())
    for shown in (str(found), found._repr_html_()):
        assert said in shown
        assert unsaid not in shown


def test_a_miss_by_unbiased_rounding_is_called_meant() -> None:
    """Counts that are right on average may lie above the limit, and the report says why; nearest and iid do not."""
    said = "each within one person of n·p"
    assert said in str(report(sample(players(), 10, seed=1, rounding="unbiased"), players()))
    assert said not in str(report(sample(players(), 10, seed=1), players()))
    assert said not in str(report(sample(players(), 10, seed=1, rounding="unbiased", method="iid"), players()))


def test_only_independent_draws_have_p_values() -> None:
    """Quotas leave nothing to test, nor does a field that a constraint restricts."""
    tied = players(rule("(rank == 'Gold')", "<=", "hours <= 60"))
    assert [each.p_value for each in report(ten(), players()).marginals] == [None, None]
    assert [each.p_value for each in report(sample(players(), 50, seed=1), players()).marginals] == [None, None]
    found = report(sample(tied, 50, seed=1, method="iid"), tied)
    assert [each.p_value is None for each in found.marginals] == [False, True]
    assert " p " in str(found)


def test_p_values_agree_with_counting_every_population() -> None:
    """Over all populations of eight, the exact probability lies within four standard errors of the simulated one."""
    shares, n = [0.5, 0.3, 0.2], 8
    every = compositions(n, 3)
    mass = np.array([stats.multinomial.pmf(counts, n, shares) for counts in every])
    far = np.array([distance(shares, np.array(counts) / n) for counts in every])
    for found in np.unique(far.round(12)):
        exact = min(1.0, mass[far >= found - 1e-9].sum())
        assert abs(p_value(shares, n, found) - exact) <= 4 * math.sqrt(exact * (1 - exact) / 1999) + 1 / 2000


def test_p_values_of_independent_draws_are_small_as_often_as_they_say() -> None:
    """Of 400 frames drawn iid, about 5 % have a p-value of at most 5 %: not more than four standard errors above."""
    bp = players()
    found = [report(sample(bp, 200, seed=seed, method="iid")[["rank"]], bp).marginals[0] for seed in range(400)]
    small = np.mean([each.p_value is not None and each.p_value <= 0.05 for each in found])
    assert abs(small - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 400)


def test_to_dict_holds_everything_and_is_json() -> None:
    """Every part of a report goes through JSON unchanged."""
    frame = ten().assign(story=[f"tale {i}" for i in range(10)])
    wire = report(frame, players(rule("hours", "<=", "12"))).to_dict()
    assert json.loads(json.dumps(wire)) == wire
    assert wire["marginals"][1]["limit"] == pytest.approx(0.08)
    assert wire["constraints"][0]["violations"] == 8


def test_the_summary_says_when_nothing_could_be_closer() -> None:
    """At the limit, the sentence says so instead of calling the distance a miss."""
    assert report(ten(), players()).summary.startswith("2 root fields are as close to the blueprint as 10 personas can")


def _two(first: str, second: str, n: int = 400) -> pd.DataFrame:
    """Two coins that always fall alike, and a third that follows both."""
    side = np.random.default_rng(1).permutation(np.repeat(["h", "t"], n // 2))
    return pd.DataFrame({first: side, second: side})


def test_a_dependence_that_the_blueprint_has_dropped_comes_first() -> None:
    """Margins that are exact hide nothing: roots that go together are named, and nothing is called exact."""
    half = {"h": 0.5, "t": 0.5}
    found = report(_two("a", "b"), blueprint(choice("a", half), choice("b", half)))
    assert found.summary.startswith("400 personas: a and b go together (Cramér's V 1, 0.05 by chance)")
    assert "exactly" not in found.summary
    assert found.associations[0].is_beyond_chance


def test_a_parent_that_was_dropped_shows_within_the_parent_that_is_left() -> None:
    """With two parents reduced to one the child still follows the other, which its shares alone do not show."""
    rng, half = np.random.default_rng(2), {"h": 0.5, "t": 0.5}
    a, b = rng.permutation(np.repeat([0, 1], 500)), rng.permutation(np.repeat([0, 1], 500))
    frame = pd.DataFrame({name: np.where(column == 1, "h", "t") for name, column in (("a", a), ("b", b), ("c", a ^ b))})
    rules = [{"when": {"a": value}, "categorical": {"weights": half}} for value in half]
    bp = blueprint(choice("a", half), choice("b", half), choice("c", half, "a", conditionals=rules))
    found = report(frame, bp)
    [pair] = [each for each in found.associations if each.is_beyond_chance]
    assert (pair.fields, pair.given, pair.cramers_v) == (("b", "c"), ("a",), pytest.approx(1, abs=0.01))
    assert "b and c go together" in found.summary.split(";")[0]
    assert found.conditionals[0].total_variation_distance < found.conditionals[0].expected_iid


def test_a_number_that_follows_a_field_it_should_not_is_named() -> None:
    """Numbers are compared by their quarters."""
    rng = np.random.default_rng(3)
    age = rng.permutation(np.arange(400) % 60 + 20)
    frame = pd.DataFrame({"a": np.where(age > 49, "h", "t"), "age": age})
    bp = blueprint(choice("a", {"h": 0.5, "t": 0.5}), number("age", 20, 79, 49.5, 17.3, integer=True))
    assert "a and age go together" in report(frame, bp).summary


@pytest.mark.parametrize("method", ["quota", "iid"])
def test_chance_is_not_called_a_miss(method: Any) -> None:
    """In 12 fields, 60 pairs, of 30 to 2,000 people nothing is beyond chance."""
    bp = hard()
    for n, seed in ((30, 1), (300, 2), (2_000, 3)):
        found = report(sample(bp, n, seed=seed, method=method), bp)
        parts = (*found.marginals, *found.conditionals, *found.numerics, *found.associations)
        assert not any(each.is_beyond_chance for each in parts)
        assert len(found.associations) == 20


def test_shuffled_children_come_first() -> None:
    """Roots are exact, and a child that has lost its parent is what the first sentence speaks of."""
    bp = hard()
    frame = sample(bp, 1_000, seed=1)
    frame["churn"] = frame["churn"].sample(frac=1, random_state=1).to_numpy()
    found = report(frame, bp)
    assert found.summary.startswith("1,000 personas: churn given plan, device is off by a TVD of 0.")
    assert "expected by chance" in found.summary.split(";")[0]


def test_a_group_that_a_rule_wiped_out_is_named() -> None:
    """A value that a tenth should have and nobody has."""
    bp = blueprint(choice("a", {"x": 0.5, "y": 0.4, "z": 0.1}))
    found = report(pd.DataFrame({"a": ["x"] * 550 + ["y"] * 450}), bp)
    assert found.summary.startswith("1,000 personas: nobody has what the blueprint asks for: a=z, 10 %")
    rare = blueprint(choice("a", {"x": 0.5, "y": 0.499, "z": 0.001}))
    assert "nobody" not in report(pd.DataFrame({"a": ["x", "y"] * 500}), rare).summary


def test_pairs_of_many_fields_are_bounded_and_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more pairs than are looked at, some are taken by chance, and a remark says how many."""
    monkeypatch.setattr(module, "PAIRS", 5)
    bp = blueprint(*(choice(f"f{i}", {"x": 0.5, "y": 0.5}) for i in range(6)))
    found = report(sample(bp, 50, seed=1), bp)
    assert len(found.associations) == 5
    assert "15 pairs of fields should be independent, and 5 of them" in found.not_applicable["associations"]


def test_values_too_many_for_a_table_are_compared_by_the_commonest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of a pair stays small however many values there are."""
    monkeypatch.setattr(module, "CELLS", 50)
    values = {f"v{i}": 0.01 for i in range(100)}
    bp = blueprint(choice("a", values), choice("b", values))
    frame = sample(bp, 1_000, seed=1)
    assert not report(frame, bp).associations[0].is_beyond_chance
    [pair] = report(frame.assign(b=frame["a"]), bp).associations
    assert pair.is_beyond_chance


def test_parts_of_a_report_are_frames() -> None:
    """A row a cell, an edge, a branch, a rule, a pair; figures stay figures."""
    bp = players(rule("hours", "<=", "12"))
    found = report(ten(), bp)
    cells = found.frame("marginals")
    assert list(cells) == ["attribute", "key", "requested", "achieved", "low", "high"]
    assert len(cells) == sum(len(each.cells) for each in found.marginals)
    assert found.frame("numerics")["mean_requested"].dtype == float
    assert found.frame("constraints")["violations"].tolist() == [8]
    assert found.frame("conditionals")["parents"].tolist() == ["region"]
    assert found.frame("associations")["fields"].tolist()
    assert len(found.frame("findings")) == len(found.findings)
    with pytest.raises(RequestError, match="no part 'cells'"):
        found.frame("cells")  # type: ignore[arg-type]


def test_the_text_form_stands_alone() -> None:
    """Field, miss, distance, limit, violated rule and gaps are all in the text and in the HTML."""
    found = report(ten().drop(columns="role"), players(rule("hours", "<=", "12")))
    for shown in (str(found), found._repr_html_()):
        for part in ("rank", "→ 20 %", "0.08", "violated", "p_03", "Not applicable: role"):
            assert part in shown


def test_html_of_a_report_escapes_what_a_model_wrote() -> None:
    """A value that is a tag shows as text."""
    name = "<script>alert(1)</script>"
    bp = Blueprint.from_dict({"domain": name, "order": ["k"], "fields": [categorical("k", {name: 0.5, "b": 0.5})]})
    shown = report(pd.DataFrame({"k": [name, name, "b"]}), bp)._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


@given(st.floats(1e-10, 1))
def test_a_miss_is_never_rounded_away(value: float) -> None:
    """A distance above 0 never prints as 0, and shares that differ print differently."""
    assert float(brief(value)) > 0
    before, after = change(0.5, 0.5 + value / 2, is_share=True).split(" → ")
    assert before != after


def test_a_report_is_a_frozen_value() -> None:
    """Equal inputs give equal reports, which do not change."""
    found = report(ten(), players())
    assert found == report(ten(), players())
    with pytest.raises(AttributeError):
        found.n = 11  # type: ignore[misc]
    assert repr(found).startswith("Report('players', n=10: ")
    assert isinstance(found, Report)


def test_texts_that_speak_against_their_row_are_told() -> None:
    """What the writer could not mend stands in the report, by persona."""
    frame = ten()
    frame.attrs |= {"contradictions": ["p_02"], "doubles": ["p_03", "p_04"]}
    told = report(frame, players()).remarks
    assert "Contradicted: the texts of 1 persona speak against a field: p_02." in told
    assert "Doubled: 2 personas read like somebody before them: p_03, p_04." in told


def test_a_group_that_a_constraint_empties_is_in_the_summary() -> None:
    """Weights that ask for people whom a constraint leaves no place are not passed over, with how many they ask for."""
    rank = {"name": "rank", "kind": "categorical", "categorical": {"weights": {"Gold": 0.1, "Iron": 0.9}}}
    hours: dict[str, Any] = {"name": "hours", "kind": "numeric", "parents": ["rank"]}
    hours["conditionals"] = [
        {"when": {"rank": name}, "numeric": {"min": 0, "max": most, "mean": most / 2, "sd": 2}}
        for name, most in (("Gold", 20), ("Iron", 50))
    ]
    rule = {"name": "c", "lhs": "rank == 'Gold'", "op": "<=", "rhs": "hours >= 30"}
    data = {"domain": "d", "order": ["rank", "hours"], "fields": [rank, hours], "constraints": [rule]}
    bp = Blueprint.from_dict(data)
    rep = report(sample(bp, 200, seed=1), bp)
    assert "nobody has what the blueprint asks for: rank=Gold, 10 %" in rep.summary
    assert "leaves nobody with rank=Gold (10 % of the weights)" in str(rep)
