"""Two studies compared, on made networks whose difference is known."""

from __future__ import annotations

import numpy as np
import pytest
from made import made_study

from analysis.claims import comparison
from analysis.claims.comparison import compare_claims, compare_numbers, difference_in_words, in_words
from analysis.claims.finding import Finding
from analysis.claims.findings import Findings, evaluate
from analysis.statistics.intervals import mean_interval, share_interval


def _findings(*ledger: Finding) -> Findings:
    return Findings(list(ledger), [], {})


def _of(values: np.ndarray) -> Findings:
    return _findings(Finding("C2b", 50, mean_interval(values), "supported", 0.01))


def test_a_difference_is_the_one_that_was_made():
    one, other = made_study(10), made_study(12, rng_seed=2)
    other["accuracy_truncated"] = other.accuracy_truncated - 0.05
    [gap] = [contrast for contrast in compare_claims(evaluate(one), evaluate(other)) if contrast.name == "C2b"]
    assert gap.difference.value == pytest.approx(0.05, abs=0.004)
    assert gap.difference.lower < 0.05 < gap.difference.upper
    assert gap.difference.n == 22
    assert gap.p <= gap.p_adjusted < 0.001
    assert f"difference {100 * gap.difference.value:+.1f} [" in in_words(gap)


def test_numbers_are_compared_as_well():
    one, other = made_study(10), made_study(10, rng_seed=1)
    other["test_accuracy"] = (other.test_accuracy - 0.02).assign_attrs(one.test_accuracy.attrs)
    found = {contrast.name: contrast for contrast in compare_numbers(one, other)}
    assert found["test_accuracy"].difference.value == pytest.approx(-0.02, abs=0.003)
    assert found["test_accuracy"].p_adjusted < 0.01
    assert found["period_state"].p > 0.01


def test_means_are_compared_as_scipy_does():
    from scipy import stats

    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 1, 8), rng.normal(1, 3, 13)
    [found] = compare_claims(_of(one), _of(other))
    oracle = stats.ttest_ind(other, one, equal_var=False)
    assert found.p == pytest.approx(oracle.pvalue)
    low, high = oracle.confidence_interval()
    assert (found.difference.lower, found.difference.upper) == pytest.approx((low, high))


def test_equal_studies_seldom_differ_and_the_interval_covers():
    rng, inside, different = np.random.default_rng(3), 0, 0
    for _ in range(1000):
        [found] = compare_claims(_of(rng.normal(0, 1, 6)), _of(rng.normal(0, 2, 10)))
        inside += found.difference.lower <= 0 <= found.difference.upper
        different += found.p < 0.05
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)
    assert different / 1000 == pytest.approx(0.05, abs=0.02)


def test_shares_have_newcombe_s_interval_and_fisher_s_test():
    """Newcombe (1998), table II, example (a): 56/70 less 48/80 is 0.2, with limits 0.0524 and 0.3339 by method 10."""
    studies = [_findings(Finding("C4", 50, share_interval(count, n), "supported")) for count, n in ((48, 80), (56, 70))]
    [found] = compare_claims(*studies)
    assert found.difference.value == pytest.approx(0.2)
    assert (found.difference.lower, found.difference.upper) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert 0.001 < found.p < 0.02


def test_what_cannot_be_compared_is_said():
    few = [_findings(Finding("C2b", 50, mean_interval(np.array(values)), "undecided")) for values in ([0.1], [0.2, 0.3])]
    [found] = compare_claims(*few)
    assert np.isnan(found.p)
    assert difference_in_words(found) == "difference +15.0"
    alike = [_of(np.full(6, 0.5)), _of(np.full(6, 0.5))]
    assert compare_claims(*alike)[0].p == 1
    assert compare_claims(_of(np.zeros(6)), _findings(Finding("C2b", 100, mean_interval(np.zeros(6)), "undecided"))) == []
    assert compare_numbers(made_study(6), made_study(6).assign_coords(hidden_size=[50])) == []
    assert comparison.table([]).empty
