from __future__ import annotations

import numpy as np
import pytest

from analysis.statistics.bands import TooFewNetworks
from analysis.statistics.expansion import expansion_then_compression
from benchmarks.error_rates import SHAPES, STEPS, called_peaked


@pytest.mark.parametrize("shape", [*SHAPES.values(), np.maximum(10.0 - STEPS, 0)], ids=[*SHAPES, "falling"])
def test_curves_without_a_peak_are_seldom_called_one(shape):
    false = sum(called_peaked(shape, 10, seed) for seed in range(300)) / 300
    assert false <= 0.06 + 2 * 0.0137


def test_a_peak_is_found_where_it_is():
    rng = np.random.default_rng(4)
    bump = 8 * np.exp(-(((STEPS - 12) / 5) ** 2))
    result = expansion_then_compression(bump + rng.standard_normal((10, 28)))
    assert result.p < 0.001
    assert abs(result.peak - 12) <= 2
    assert result.rise.lower > 5
    assert result.fall.lower > 5
    assert result.share == 1


def test_networks_that_all_agree_leave_no_doubt():
    curves = np.tile([1.0, 5.0, 2.0], (6, 1))
    assert expansion_then_compression(curves).p < 0.001
    assert expansion_then_compression(np.ones((6, 5))).p == 1.0
    with pytest.raises(TooFewNetworks):
        expansion_then_compression(curves[:5])
