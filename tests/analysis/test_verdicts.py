"""The rules of single claims, each on made networks for which one part of what the paper says is not true."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from made import made_study

from analysis.claims import CLAIMS
from analysis.claims.finding import Finding, by_tests
from analysis.claims.findings import evaluate
from analysis.claims.sample import Sample, present
from analysis.claims.summary import adjusted, summaries
from analysis.statistics.intervals import Estimate, OneSided, mean_interval, mean_test, share_test
from reports.text.claims import note, sentence
from study.config import PAPER_BATCH_SIZE, PAPER_LEARNING_RATE, TUNED_ON
from study.measurements.attractors import KINDS


def _judged(claim: str, dataset: xr.Dataset) -> Finding:
    finding = CLAIMS[claim].finding(Sample(present(dataset, int(dataset.hidden_size.values[0]))))
    assert finding is not None
    return finding


def _with(dataset: xr.Dataset, **values: xr.DataArray) -> xr.Dataset:
    return dataset.assign({name: value.assign_attrs(dataset[name].attrs) for name, value in values.items()})


# C1


def test_accuracy_is_judged_at_the_paper_s_size_only():
    finding = _judged("C1", made_study(10).assign_coords(hidden_size=[100]))
    assert finding.verdict == "not applicable"
    assert np.isnan(finding.p)
    assert "described only, since the paper speaks of 200 units" in sentence(finding)


@pytest.mark.parametrize(
    ("mean", "verdict"), [(0.935, "supported"), (0.97, "contradicted"), (0.9, "contradicted"), (0.9495, "undecided")]
)
def test_accuracy_must_be_equivalent_to_the_paper_s(mean, verdict):
    dataset = made_study(10)
    noise = 0.002 * np.linspace(-1, 1, 10)
    assert _judged("C1", _with(dataset, test_accuracy=0 * dataset.test_accuracy + mean + noise)).verdict == verdict


def test_networks_that_tuned_the_learning_rate_do_not_count():
    regime = {"learning_rate": PAPER_LEARNING_RATE, "batch_size": PAPER_BATCH_SIZE}
    dataset = made_study(24).assign_attrs(config=json.dumps(regime))
    finding = _judged("C1", dataset)
    assert finding.estimate.n == 24 - len(TUNED_ON)
    assert "seeds 0-15 left out" in note(finding)
    assert _judged("C1", made_study(16).assign_attrs(config=json.dumps(regime))).verdict == "undecided"
    other = made_study(24).assign_attrs(config=json.dumps(regime | {"learning_rate": 1e-3}))
    assert _judged("C1", other).estimate.n == 24


# C2


def _gaps(gap: np.ndarray, networks: int = 10, spread: float = 0.004) -> xr.Dataset:
    """Networks whose gap between blank rows and stopping has this mean curve `[27]`."""
    dataset, rng = made_study(networks), np.random.default_rng(8)
    noise = xr.zeros_like(dataset.accuracy_truncated) + spread * rng.standard_normal(dataset.accuracy_truncated.shape)
    return _with(dataset, accuracy_blanked=dataset.accuracy_truncated + noise + xr.DataArray(gap, dims="rows_shown"))


def test_every_row_is_tested_at_its_own_level():
    """A gap of three standard errors at each row: each passes alone, although a simultaneous band would not."""
    finding = _judged("C2", _gaps(np.full(27, 0.005)))
    assert finding.numbers["rows_above"] < finding.numbers["rows_compared"]  # by chance
    strong = _judged("C2", _gaps(np.full(27, 0.008)))
    assert strong.verdict == "supported"
    assert strong.p < 0.05


@pytest.mark.parametrize(("gap", "verdict"), [(0.0, "undecided"), (-0.02, "contradicted")])
def test_one_row_without_a_gap_is_enough_to_fail(gap, verdict):
    gaps = np.full(27, 0.2)
    gaps[11] = gap
    finding = _judged("C2", _gaps(gaps))
    assert finding.verdict == verdict
    assert "smallest after row 12" in note(finding)


def test_false_contradictions_of_27_rows_are_rare():
    wrong = [_judged("C2", _of_noise(seed)).verdict == "contradicted" for seed in range(60)]
    assert sum(wrong) <= 6


def _of_noise(seed: int) -> xr.Dataset:
    dataset, rng = made_study(10), np.random.default_rng(seed)
    noise = 0.01 * rng.standard_normal(dataset.accuracy_truncated.shape)
    return _with(dataset, accuracy_blanked=dataset.accuracy_truncated + noise)


@pytest.mark.parametrize(("gap", "verdict"), [(0.15, "supported"), (0.05, "contradicted")])
def test_greatly_superior_is_more_than_ten_points(gap, verdict):
    assert _judged("C2b", _gaps(np.full(27, gap))).verdict == verdict


# C3


@pytest.mark.parametrize("part", ["one more", "two more", "one less", "best"])
def test_a_fixed_length_needs_every_loss(part):
    dataset = made_study(10)
    appended, truncated = dataset.accuracy_appended.copy(), dataset.accuracy_truncated.copy()
    jitter = xr.DataArray(0.001 * np.linspace(-1, 1, 10), dims="seed")
    whole = appended.sel(blank_rows=0)
    if part == "one more":
        appended.loc[{"blank_rows": 1}] = whole - 0.02 + jitter
    elif part == "two more":
        appended.loc[{"blank_rows": 2}] = whole - 0.02 + jitter
    elif part == "one less":
        truncated.loc[{"rows_shown": 27}] = whole - 0.02 + jitter
    else:
        appended.loc[{"blank_rows": 400}] = whole + 0.01
    assert _judged("C3", dataset).verdict == "supported"
    finding = _judged("C3", _with(dataset, accuracy_appended=appended, accuracy_truncated=truncated))
    assert finding.verdict == "contradicted"
    if part == "best":
        assert "of 528 steps the last row is the best in 0 of 10 networks" in note(finding)


# C4


@pytest.mark.parametrize("part", ["significant", "large", "persistent", "recurrent", "regular"])
def test_an_oscillation_must_pass_all_five(part):
    dataset = made_study(10)
    curve, rows = dataset.accuracy_appended, dataset.blank_rows
    mean = curve.mean("blank_rows")
    rng = np.random.default_rng(1)
    noise = xr.zeros_like(curve) + 0.01 * rng.standard_normal(curve.shape)
    changed = {
        "significant": {"accuracy_appended": mean + noise},
        "large": {"accuracy_appended": mean + (curve - mean) * 0.01},
        "persistent": {"accuracy_appended": mean + (curve - mean) * np.exp(-rows / 60) + 0.1 * noise},
        "recurrent": {"attractor_recurrence": 0 * dataset.attractor_recurrence + 0.9},
        "regular": {"attractor_kind": 0 * dataset.attractor_kind + KINDS.index("chaos")},
    }[part]
    finding = _judged("C4", _with(dataset, **changed))
    assert finding.numbers[part] <= 1
    assert finding.verdict == "contradicted"
    depend = {"significant": {"large", "persistent"}, "persistent": {"significant", "large"}}.get(part, set())
    others = {"significant", "large", "persistent", "recurrent", "regular"} - {part} - depend
    assert all(finding.numbers[name] == 10 for name in others)


def test_networks_whose_attractor_is_not_known_are_left_out():
    dataset = made_study(10)
    some = xr.where(dataset.seed < 7, dataset.attractor_kind, np.nan)
    finding = _judged("C4", _with(dataset, attractor_kind=some.transpose(*dataset.attractor_kind.dims)))
    assert (finding.verdict, finding.estimate.n, finding.estimate.value) == ("supported", 7, 1.0)
    sample = Sample(present(_with(dataset, attractor_kind=some * np.nan), 200))
    assert CLAIMS["C4"].judge(sample) is None


def test_a_torus_counts_as_an_oscillation():
    dataset = made_study(10)
    finding = _judged("C4", _with(dataset, attractor_kind=0 * dataset.attractor_kind + KINDS.index("torus")))
    assert finding.verdict == "supported"
    assert "tori 10" in note(finding)


# C5


def test_expansion_that_untrained_networks_share_does_not_count():
    dataset = made_study(10)
    both = dataset.dimension90.copy()
    rng = np.random.default_rng(2)
    own = both.sel(source="trained")
    both.loc[{"source": "untrained"}] = own + 0.1 * rng.standard_normal(own.shape)
    finding = _judged("C5", _with(dataset, dimension90=both))
    assert finding.verdict == "contradicted"
    assert abs(finding.numbers["rise_beyond"]) < 0.3
    assert finding.numbers["rise"] > 5


def test_a_peak_beyond_untrained_networks_may_lie_elsewhere():
    """Where the untrained networks peak before the trained ones, the claim holds at a later step, and is not contradicted."""
    dataset, steps = made_study(10), made_study(10).time_step
    noise = 0.2 * np.random.default_rng(5).standard_normal(dataset.dimension90.shape)
    both = (dataset.dimension90 * 0 + noise).copy()
    trained = 2 + 8 * np.exp(-(((steps - 11) / 5) ** 2))
    untrained = 2 + 6 * np.exp(-(((steps - 7) / 3) ** 2))
    for source, curve in (("trained", trained), ("untrained", untrained)):
        both.loc[{"source": source}] = both.sel(source=source) + curve
    assert _judged("C5", _with(dataset, dimension90=xr.where(steps == 1, 0, both))).verdict == "supported"


def test_the_rise_is_from_the_first_step_that_can_have_dimensions():
    dataset = made_study(10)
    noise = 0.1 * np.random.default_rng(0).standard_normal(dataset.dimension90.shape)
    falling = xr.where(dataset.time_step == 1, 0, 0 * dataset.dimension90 + noise + 20 - 0.5 * dataset.time_step)
    finding = _judged("C5", _with(dataset, dimension90=falling))
    assert finding.numbers["first"] == 2
    assert finding.verdict == "contradicted"


# C6 and C7


@pytest.mark.parametrize(("like", "verdict"), [("untrained", "contradicted"), ("pixels", "contradicted")])
def test_sixes_must_separate_beyond_both_nulls(like, verdict):
    dataset = made_study(10)
    agreement = dataset.early_cluster_agreement.copy()
    noise = 0.001 * np.random.default_rng(0).standard_normal(agreement.sel(source=like).shape)
    agreement.loc[{"source": like}] = agreement.sel(source="trained") + noise
    assert _judged("C6", _with(dataset, early_cluster_agreement=agreement)).verdict == verdict


def test_labels_must_be_read_as_soon_as_the_pixels_tell_them():
    dataset = made_study(10)
    assert "+1.0 steps" in note(_judged("C7", dataset))
    early = dataset.probe_accuracy.copy()
    early.loc[{"source": "pixels"}] = early.sel(source="pixels").shift(time_step=-4, fill_value=0.95)
    finding = _judged("C7", _with(dataset, probe_accuracy=early))
    assert finding.verdict == "contradicted"
    assert "+5.0 steps" in note(finding)


def test_early_stopping_that_costs_accuracy_is_not_supported():
    dataset = made_study(10)
    lossy = xr.where(dataset.confidence == 99, dataset.early_accuracy - 0.03, dataset.early_accuracy)
    finding = _judged("C7b", _with(dataset, early_accuracy=lossy.transpose(*dataset.early_accuracy.dims)))
    assert finding.estimate.value == 0  # only reading all rows loses nothing
    assert finding.verdict == "contradicted"


# All verdicts together


def test_several_tests_must_all_support_a_claim():
    good, bad, against = OneSided(0.001, 0.999), OneSided(0.2, 0.8), OneSided(0.9999, 0.0001)
    assert by_tests([good, good], 10) == ("supported", 0.002)
    assert by_tests([good, bad], 10) == ("undecided", 0.4)
    assert by_tests([good, against], 10) == ("contradicted", pytest.approx(0.0004))
    assert by_tests([good], 5)[0] == "undecided"
    assert by_tests([good, OneSided(np.nan, np.nan)], 10)[0] == "undecided"


@pytest.mark.parametrize("claim", ["mean", "share"])
def test_a_verdict_agrees_with_its_interval(claim):
    rng = np.random.default_rng(0)
    for _ in range(200):
        if claim == "mean":
            values = rng.normal(0.5, 1, 8)
            estimate, test = mean_interval(values), mean_test(values)
            assert (by_tests([test], 8)[0] == "supported") == (estimate.lower > 0)
        else:
            count = int(rng.integers(0, 11))
            test = share_test(count, 10)
            assert (by_tests([test], 10)[0] == "supported") == (count >= 9)


def _finding(claim: str, size: int, p: float, verdict: str = "supported", estimate: Estimate | None = None) -> Finding:
    return Finding(claim, size, estimate or Estimate(0.5, 0.3, 0.7, 10), verdict, p)


def test_what_a_claim_lacks_is_named_with_its_source():
    dataset = made_study(10)
    bare = _with(dataset, dimension90=dataset.dimension90.where(dataset.source != "untrained"))
    assert "C5" not in {finding.claim for finding in evaluate(bare).ledger}
    [line] = [line for line in evaluate(bare).unjudged if line.startswith("C5,")]
    assert "it needs dimension90 of untrained networks, which" in line


def test_p_values_are_adjusted_over_all_verdicts_of_a_study():
    ledger = adjusted(
        [_finding("C3", 50, 0.001), _finding("C3", 100, 0.03), _finding("C4", 50, 0.04), _finding("C4", 100, np.nan, "not trained")]
    )
    assert [one.p_adjusted for one in ledger[:3]] == pytest.approx([0.003, 0.06, 0.06])
    assert np.isnan(ledger[3].p_adjusted)
    assert [one.verdict for one in ledger] == ["supported", "undecided", "undecided", "not trained"]
    assert "p is not below 5% once adjusted over all verdicts of the study" in note(ledger[1])
    assert [one.p_adjusted for one in adjusted(ledger)[:3]] == pytest.approx([0.003, 0.06, 0.06]), "read back, it stays"


def test_one_answer_over_all_sizes():
    parts = [Estimate(0.2, 0.1, 0.3, 10), Estimate(0.4, 0.35, 0.45, 20)]
    ledger = [_finding("C2b", size, 0.001, estimate=part) for size, part in zip((50, 100), parts, strict=True)]
    summary = summaries(ledger)["C2b"]
    assert (summary.verdict, summary.sizes, summary.estimate.n) == ("supported", 2, 30)
    assert summary.estimate.value == pytest.approx(0.3)
    errors = np.array([0.1 / 2.262, 0.05 / 2.093])
    half = summary.estimate.upper - 0.3
    assert 1.96 < half / (np.sqrt(np.sum(errors**2)) / 2) < 2.3
    mixed = [_finding("C2b", 50, 0.3, "undecided", parts[0]), _finding("C2b", 100, 0.001, "supported", parts[1])]
    assert summaries(mixed)["C2b"].verdict == "undecided"  # not shown at each size
    opposed = [_finding("C2b", 50, 0.001, "contradicted", parts[0]), _finding("C2b", 100, 0.001, "supported", parts[1])]
    assert summaries(opposed)["C2b"].verdict == "undecided"
    left_out = [_finding("C1", 50, np.nan, "not applicable"), _finding("C1", 200, 0.001)]
    assert summaries(left_out)["C1"].verdict == "supported"


def test_the_average_over_sizes_has_its_coverage():
    rng, inside = np.random.default_rng(4), 0
    for _ in range(1000):
        groups = [rng.normal(mean, spread, n) for mean, spread, n in ((0, 1, 6), (1, 3, 10), (2, 0.5, 8))]
        ledger = [_finding("C2b", size, 0.01, estimate=mean_interval(values)) for size, values in enumerate(groups)]
        estimate = summaries(ledger)["C2b"].estimate
        inside += estimate.lower <= 1 <= estimate.upper
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)


def test_the_default_seeds_did_not_tune_the_default_regime():
    from study.config import StudyConfig

    assert not set(StudyConfig.model_fields["seeds"].default) & set(TUNED_ON)


def test_a_study_s_findings_hold_every_claim_s_numbers():
    for finding in evaluate(made_study(10)).ledger:
        assert np.isfinite(finding.p)
        assert finding.p_adjusted >= finding.p
        assert "{" not in sentence(finding)


# C8 and C9


def test_a_theory_that_is_right_no_more_often_than_the_leading_eigenvalue_explains_nothing():
    dataset = made_study(12)
    assert _judged("C8", dataset).verdict == "supported"
    both = _with(dataset, period_predicted=dataset.period_selected)
    assert _judged("C8", both).verdict == "undecided"
    worse = _with(dataset, period_predicted=dataset.period_state, period_selected=3 * dataset.period_state)
    assert _judged("C8", worse).verdict == "contradicted"


def test_a_prediction_that_is_right_of_any_network_is_none_of_its_own():
    dataset = made_study(12)
    alike = {name: 0 * dataset[name] + 20.0 for name in ("period_state", "period_selected")}
    finding = _judged("C8", _with(dataset, **alike))
    assert finding.estimate.value == 1 and finding.verdict == "undecided"


def test_states_and_theories_without_a_period_agree_and_every_network_counts():
    dataset = made_study(12)
    still = xr.DataArray(np.arange(12) < 2, dims="seed")
    finding = _judged("C8", _with(dataset, period_state=dataset.period_state.where(~still)))
    assert finding.estimate.n == 12 and finding.estimate.value == pytest.approx(10 / 12)
    neither = {name: dataset[name].where(~still) for name in ("period_state", "period_selected")}
    assert _judged("C8", _with(dataset, **neither)).estimate.value == 1


@pytest.mark.parametrize("claim", ["C8", "C9"])
def test_networks_on_which_the_theory_was_found_do_not_count(claim):
    regime = {"learning_rate": PAPER_LEARNING_RATE, "batch_size": PAPER_BATCH_SIZE}
    dataset = made_study(20).assign_attrs(config=json.dumps(regime))
    finding = _judged(claim, dataset)
    assert finding.estimate.n == 10 and "seeds 0-9 left out, on which the theory was found" in note(finding)
    explored = _judged(claim, made_study(8).assign_attrs(config=json.dumps(regime)))
    assert explored.verdict == "not applicable" and "described only, since the theory was found on" in sentence(explored)
    assert _judged(claim, made_study(20)).estimate.n == 20


def test_periods_that_are_no_modes_of_their_own_network_do_not_support_it():
    dataset = made_study(12)
    assert _judged("C9", dataset).verdict == "supported"
    other = _with(dataset, mode_period=dataset.mode_period.roll(seed=1, roll_coords=False))
    assert _judged("C9", other).verdict != "supported"
    every = _with(dataset, mode_period=xr.zeros_like(dataset.mode_period) + dataset.mode_period[0, :8, 1].values)
    assert _judged("C9", every).verdict == "undecided"  # all networks have all modes
