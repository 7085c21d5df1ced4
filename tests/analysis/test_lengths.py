"""Studies of several lengths: C10 on made periods whose scaling is known, and what cannot stand beside a study."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from made import made_study
from scipy import stats

from analysis.claims.findings import estimate_text, evaluate
from analysis.claims.stored import as_json, restored
from analysis.dataset.lengths import with_lengths
from analysis.statistics.contrast import slope
from analysis.study_analysis import of_dataset
from reports.figures.theory import _lengths
from reports.text.claims import note
from study.terminal.errors import InputError


def of_length(rows: int, exponent: float, networks: int = 10, **changed):
    """Made networks whose periods are those of 28 rows times (rows / 28) to the exponent."""
    study, factor = made_study(networks, rng_seed=rows), (rows / 28) ** exponent
    for name in ("period_state", "mode_period"):
        study[name] = (factor * study[name]).assign_attrs(study[name].attrs)
    settings = {"rows": "all" if rows == 28 else rows, "epochs": 30} | changed
    kept = study.isel(time_step=slice(0, rows)) if rows < 28 else study.pad(time_step=(0, rows - 28))
    return kept.assign_coords(time_step=np.arange(1, rows + 1)).assign_attrs(config=json.dumps(settings), study=f"{rows:032x}")


def judged(exponent: float, lengths=(14, 56)):
    dataset = with_lengths(of_length(28, exponent), [of_length(rows, exponent) for rows in lengths])
    return dataset, evaluate(dataset)


def c10(findings):
    return next(one for one in findings.ledger if one.claim == "C10")


@pytest.mark.parametrize(("exponent", "verdict"), [(1, "supported"), (0, "contradicted"), (0.5, "undecided")])
def test_the_slope_over_lengths_decides(exponent, verdict):
    _, findings = judged(exponent)
    assert c10(findings).verdict == verdict
    assert c10(findings).estimate.value == pytest.approx(exponent, abs=0.02)
    assert c10(findings).estimate.n == 30
    assert c10(findings).numbers["modes"] == pytest.approx(exponent, abs=0.02)
    assert re.fullmatch(r"-?\d\.\d \[-?\d\.\d, \d\.\d\], n = 30", estimate_text(c10(findings)))
    assert "at lengths 14, 28, 56" in note(c10(findings))


def test_a_study_without_others_does_not_judge_it_and_says_what_it_needs():
    findings = evaluate(made_study(8))
    assert "C10" not in {one.claim for one in findings.ledger}
    [line] = [line for line in findings.unjudged if line.startswith("C10")]
    assert line.endswith("not judged, because it needs studies of other lengths beside this one (--beside).")


def test_networks_that_have_not_learned_do_not_count():
    other = of_length(56, 1)
    other["test_accuracy"] = (0 * other.test_accuracy + 0.3).assign_attrs(other.test_accuracy.attrs)
    findings = evaluate(with_lengths(of_length(28, 1), [of_length(14, 1), other]))
    assert c10(findings).estimate.n == 20
    assert "not trained at 56 rows, left out" in note(c10(findings))
    assert c10(evaluate(with_lengths(of_length(28, 1), [other]))).verdict == "undecided"


def test_a_length_at_which_all_networks_rest_is_left_out_and_said():
    other = of_length(56, 1)
    other["period_state"] = other.period_state.where(False).assign_attrs(other.period_state.attrs)
    finding = c10(evaluate(with_lengths(of_length(28, 1), [of_length(14, 1), other])))
    assert finding.estimate.n == 20
    assert "no network has a period at 56 rows, left out" in note(finding)
    assert "at lengths 14, 28;" in note(finding)


def test_few_networks_are_not_judged():
    findings = evaluate(with_lengths(of_length(28, 1), [of_length(14, 1, networks=5)]))
    assert c10(findings).verdict == "undecided"


def test_findings_with_other_lengths_are_stored_and_read_again():
    dataset, findings = judged(1)
    again = restored(dataset, as_json(dataset, findings))
    assert c10(again) == c10(findings)


def test_what_cannot_stand_beside_a_study_is_refused():
    study = of_length(28, 1)
    with pytest.raises(InputError, match="the studies also differ in epochs"):
        with_lengths(study, [of_length(14, 1, epochs=3)])
    with pytest.raises(InputError, match="beside: the study itself, or a study twice; expected studies of other lengths"):
        with_lengths(study, [study])
    with pytest.raises(InputError, match="have images of 28, 28 rows; expected a different number"):
        with_lengths(study, [of_length(28, 1).assign_attrs(study="f" * 32, config=json.dumps({"rows": 28, "epochs": 30}))])
    with pytest.raises(InputError, match="lacks mode_period; expected one with networks, run with measurements=standard"):
        with_lengths(study, [of_length(14, 1).drop_vars("mode_period")])


def test_a_slope_over_two_groups_is_welch_s_test_of_their_difference():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=10), rng.normal(1, 2, size=7)
    estimate, test = slope(np.array([0.0, 1.0]), [one, other])
    expected = stats.ttest_ind(other, one, equal_var=False)
    assert 2 * min(test.greater, test.less) == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (estimate.lower, estimate.upper) == pytest.approx((interval.low, interval.high))
    assert np.isnan(slope(np.array([1.0]), [one])[0].value)
    assert np.isnan(slope(np.array([1.0, 2.0]), [one, one[:1]])[0].lower)


def test_the_slope_s_interval_holds_the_truth():
    rng, held = np.random.default_rng(1), 0
    for _ in range(2000):
        groups = [rng.normal(2 * x, 1 + x, size=n) for x, n in ((0, 20), (1, 10), (2, 10))]
        estimate, _ = slope(np.arange(3.0), groups)
        held += estimate.lower <= 2 <= estimate.upper
    assert 0.94 <= held / 2000 <= 0.965


def test_the_figure_shows_the_modes_of_every_length():
    from reports.figures.style import panels, styled

    dataset, _ = judged(1)
    with styled():
        _, [[axes]] = panels(1, 1, height=2.5)
        _lengths(axes, of_dataset(dataset))
    assert axes.get_xlim()[0] < 14 and axes.get_xlim()[1] > 56
    drawn = {round(float(x)) for one in axes.collections for x in np.ma.compressed(one.get_offsets()[:, 0])}
    assert {14, 28, 56} <= drawn
