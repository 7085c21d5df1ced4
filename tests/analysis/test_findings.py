"""The ledger on made curves whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from made import made_study

from analysis.claims import CLAIMS
from analysis.claims.findings import estimate_text, evaluate, markdown, representatives
from analysis.claims.power import for_claim, why_no_number
from reports.text.claims import note


@pytest.fixture(scope="module")
def findings():
    return evaluate(made_study(10))


def test_true_claims_are_supported(findings):
    assert {f.claim: f.verdict for f in findings.ledger} == dict.fromkeys(set(CLAIMS) - {"C10"}, "supported")
    assert {one.verdict for one in findings.overall().values()} == {"supported"}
    estimates = {f.claim: f.estimate.value for f in findings.ledger}
    assert estimates["C2"] == pytest.approx(0.2, abs=0.02)
    assert estimates["C4"] == 1.0
    assert "row 1 left out" in next(note(f) for f in findings.ledger if f.claim == "C2")
    assert "median period 12.7 rows (8.0 to 28.7)" in next(note(f) for f in findings.ledger if f.claim == "C4")
    assert estimates["C6"] == pytest.approx(0.1, abs=0.01)
    assert estimates["C6b"] == pytest.approx(0.25, abs=0.01)
    assert estimates["C6c"] == pytest.approx(0.95, abs=0.01)
    assert estimates["C7"] == pytest.approx(26 - 11, abs=0.5)
    assert estimates["C7b"] == pytest.approx(8)
    assert estimates["C8"] == estimates["C9"] == 1
    told = next(note(f) for f in findings.ledger if f.claim == "C8")
    assert "10 of 10 networks; 10 by the mode of most energy alone, 0 by the leading eigenvalue" in told


def test_numbers_are_followed_over_hidden_sizes():
    small, large = (made_study(8, rng_seed=seed).assign_coords(hidden_size=[size]) for seed, size in ((0, 100), (1, 200)))
    large["test_accuracy"] = large.test_accuracy + 0.03
    both = xr.concat([small, large], "hidden_size", data_vars="all", combine_attrs="override")
    changes = {change.variable: change for change in evaluate(both).trends}
    assert changes["test_accuracy"].trend.slope == pytest.approx(0.03, abs=0.005)
    assert changes["test_accuracy"].trend.p < 0.01
    assert changes["test_accuracy"].pairs[0].p_adjusted < 0.01
    assert changes["early_class_agreement"].trend.p > 0.01


def test_what_was_not_measured_is_no_finding():
    dataset = made_study(8).drop_vars(["early_cluster_agreement", "probe_accuracy", "period_state"])
    assert {f.claim for f in evaluate(dataset).ledger} == set(CLAIMS) - {"C6", "C6b", "C7", "C8", "C10"}


def test_a_measurement_that_some_networks_lack_is_said_wherever_findings_are():
    dataset = made_study(8).assign_attrs(not_measured=json.dumps({"probes": ["H=50 seed=1", "H=50 seed=2"]}))
    assert "2 of 8 networks lack the measurement probes" in " ".join(evaluate(dataset).cautions)
    assert not evaluate(made_study(8)).cautions


def test_every_logged_curve_has_a_band(findings):
    assert {b.variable for b in findings.bands} == {
        "accuracy_blanked",
        "accuracy_truncated",
        "accuracy_appended",
        "pca90",
        "pca90_by_label",
        "dimension90",
        "dimension90_by_label",
        "early_cluster_agreement",
        "early_cluster_kept",
        "probe_accuracy",
    }
    assert {b.source for b in findings.bands if b.variable.startswith("dimension")} == {"trained", "untrained"}
    band = findings.band("accuracy_blanked", 200)
    assert band.band.method == "sup-t, Beta-weighted"
    assert band.band.mean == pytest.approx(made_study(10).accuracy_blanked.mean(["hidden_size", "seed"]))
    assert ((band.band.lower < 0.6) & (band.band.upper > 0.6))[1:].mean() > 0.9


def test_false_claims_are_contradicted():
    dataset = made_study(8)
    swapped = dataset.assign(
        accuracy_blanked=dataset.accuracy_truncated,
        accuracy_truncated=dataset.accuracy_blanked,
        test_accuracy=0 * dataset.test_accuracy + 0.5 + 0.01 * dataset.seed,
        dimension90=0 * dataset.dimension90 + 3,
    )
    verdicts = {f.claim: f.verdict for f in evaluate(swapped).ledger}
    assert verdicts["C1"] == verdicts["C2"] == verdicts["C5"] == "contradicted"


def test_a_band_of_shares_keeps_to_what_is_possible():
    dataset = made_study(8)
    dataset["accuracy_blanked"] = (dataset.accuracy_blanked * 0 + 0.999 + 0.001 * (dataset.seed > 0)).assign_attrs(
        dataset.accuracy_blanked.attrs
    )
    band = evaluate(dataset).band("accuracy_blanked", 200).band
    assert band.upper.max() == 1.0


@pytest.mark.parametrize(("rows", "verdict"), [(120, "undecided"), (300, "contradicted")])
def test_too_few_blank_rows_do_not_contradict_an_oscillation(rows, verdict):
    dataset = made_study(10).isel(blank_rows=slice(0, rows + 1))
    dataset["accuracy_appended"] = dataset.accuracy_appended * 0 + 0.3
    finding = next(f for f in evaluate(dataset).ledger if f.claim == "C4")
    assert finding.verdict == verdict
    assert ("too few blank rows" in note(finding)) == (verdict == "undecided")
    assert (for_claim(finding) is None) == (verdict == "undecided")


def test_steps_at_which_no_network_has_a_value_have_no_band():
    dataset = made_study(8)
    dataset["twonn"] = (dataset.pca90 + 1).where(dataset.time_step > 2).assign_attrs(dataset.pca90.attrs)
    band = evaluate(dataset).band("twonn", 200)
    assert band.steps.tolist() == list(range(3, 29))


def test_missing_networks_are_left_out_and_few_ones_get_no_verdict():
    few = evaluate(made_study(9, missing=4))
    assert few.withheld == {200: 5}
    assert not few.bands
    assert {f.verdict for f in few.ledger} == {"undecided"}
    assert all(f.estimate.n == 5 for f in few.ledger)
    none = evaluate(made_study(3, missing=3))
    assert none.ledger == []
    assert none.withheld == {200: 0}


def test_a_readout_that_never_reads_is_said_to():
    dataset = made_study(8)
    dataset["readout_accuracy"] = xr.full_like(dataset.readout_accuracy, 0.1)
    finding = next(f for f in evaluate(dataset).ledger if f.claim == "C7")
    assert finding.verdict == "undecided"
    assert "probe at step 11.0, readout at no step; 90% of" in note(finding)
    assert "8 networks left out, whose probe or readout never passes 50%" in note(finding)


def test_findings_are_the_same_each_time():
    table = evaluate(made_study(7)).table()
    assert table.equals(evaluate(made_study(7)).table())
    assert set(table.verdict) <= {"supported", "contradicted", "undecided", "not trained"}


def test_words_carry_the_unit_the_interval_and_n(findings):
    by_claim = {f.claim: estimate_text(f) for f in findings.ledger}
    assert by_claim["C1"].startswith("93.5% [")
    assert "points [" in by_claim["C2"]
    assert by_claim["C5"].endswith("n = 10")
    table = findings.table().set_index("claim")
    assert table.value["C1"] == pytest.approx(93.5, abs=0.5)  # %
    assert table.value["C2"] == pytest.approx(20, abs=2)  # points
    assert table.p_adjusted["C1"] >= table.p["C1"]
    assert "| C1: test accuracy at 200 units is near the paper's 93%: between 92% and 95% | 200 |" in markdown(
        made_study(10), findings
    )


def _learned(dataset: xr.Dataset, accuracies) -> xr.Dataset:
    """The same networks with other test accuracies, one each or one for all, and a little noise."""
    noise = xr.DataArray(np.random.default_rng(3).uniform(-0.01, 0.01, dataset.seed.size), dims="seed")
    values = noise + xr.DataArray(np.broadcast_to(accuracies, dataset.seed.size), dims="seed")
    return dataset.assign(test_accuracy=(0 * dataset.test_accuracy + values).assign_attrs(dataset.test_accuracy.attrs))


@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.48])
def test_claims_about_trained_networks_are_not_judged_on_others(findings, accuracy):
    dataset = _learned(made_study(10), accuracy)
    untrained = evaluate(dataset)
    judged = set(CLAIMS) - {"C10"}
    assert {f.claim: f.verdict for f in untrained.ledger} == dict.fromkeys(judged, "not trained") | {"C1": "contradicted"}
    assert untrained.overall()["C3"].verdict == "not trained"
    before = {f.claim: f for f in findings.ledger}
    for finding in untrained.ledger[1:]:
        assert finding.estimate == before[finding.claim].estimate, "numbers stay"
        assert "not judged, because the mean test accuracy is" in note(finding)
        assert "not trained if the mean test accuracy is below 50%" in CLAIMS[finding.claim].decision_rule
        assert for_claim(finding) is None
        assert "not trained" in why_no_number(finding)
    [caution] = untrained.cautions
    assert "H = 200: not trained" in caution
    assert "0 of 10 networks reach 50%" in caution
    assert "not trained" in markdown(dataset, untrained)


@pytest.mark.parametrize("accuracy", [0.52, 0.8])
def test_networks_that_learned_less_than_the_paper_s_are_judged(accuracy):
    found = evaluate(_learned(made_study(10), accuracy))
    assert {f.verdict for f in found.ledger if f.claim != "C1"} == {"supported"}
    assert found.ledger[0].verdict == "contradicted"
    assert found.cautions == []


def test_networks_that_did_not_learn_count_and_are_counted():
    found = evaluate(_learned(made_study(10), [0.1] * 4 + [0.94] * 6))
    assert {f.verdict for f in found.ledger if f.claim not in ("C1", "C7")} == {"supported"}
    assert all(f.estimate.n == 10 for f in found.ledger if f.claim in ("C1", "C3", "C4"))
    [caution] = found.cautions
    assert "H = 200: 4 of 10 networks did not learn" in caution
    most = evaluate(_learned(made_study(10), [0.1] * 6 + [0.94] * 4))
    assert {f.verdict for f in most.ledger if f.claim != "C1"} == {"not trained"}
    assert "4 of 10 networks reach 50%" in most.cautions[0]


def test_a_size_that_is_not_trained_leaves_a_claim_undecided_overall():
    sizes = [_learned(made_study(10), accuracy).assign_coords(hidden_size=[size]) for size, accuracy in ((50, 0.2), (100, 0.94))]
    found = evaluate(xr.concat(sizes, "hidden_size", data_vars="all", combine_attrs="override"))
    assert [f.verdict for f in found.ledger if f.claim == "C3"] == ["not trained", "supported"]
    assert found.overall()["C3"].verdict == "undecided"


@pytest.mark.parametrize("networks", [1, 2, 7])
def test_networks_of_unknown_accuracy_are_not_judged(networks):
    dataset = _learned(made_study(networks), np.nan)
    found = evaluate(dataset)
    assert {f.verdict for f in found.ledger if f.claim != "C1"} == {"not trained"}
    assert "mean test accuracy is unknown" in found.cautions[0]
    assert representatives(dataset) == {200: 0}
    some = _learned(made_study(8), [np.nan] * 2 + [0.94] * 6)
    assert {f.verdict for f in evaluate(some).ledger if f.claim == "C3"} == {"supported"}
    assert "2 of 8 networks did not learn (test accuracy below 50%, or unknown)" in evaluate(some).cautions[0]
    assert representatives(some)[200] >= 2


def test_few_networks_that_did_not_learn_are_not_trained():
    assert {f.verdict for f in evaluate(_learned(made_study(1), 0.1)).ledger if f.claim != "C1"} == {"not trained"}
    assert {f.verdict for f in evaluate(made_study(1)).ledger} == {"undecided"}
