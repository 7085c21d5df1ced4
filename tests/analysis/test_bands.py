"""Bands: what must hold whatever the curves, and the coverage they promise."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.bands import TooFewNetworks, simultaneous_band


def smooth_noise(rng, networks, points=28, scale=4.0):
    """Gaussian curves with unit variance, correlated over `scale` points."""
    lags = np.arange(points)[:, None] - np.arange(points)
    root = np.linalg.cholesky(np.exp(-0.5 * (lags / scale) ** 2) + 1e-9 * np.eye(points))
    return rng.standard_normal((networks, points)) @ root.T


def test_whole_curves_are_covered_as_often_as_promised():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        band = simultaneous_band(smooth_noise(rng, 10), rng=rng)
        covered += bool(((band.lower <= 0) & (band.upper >= 0)).all())
    # 300 repeats: 0.95 +- 2.6 standard errors of 0.0126.
    assert 0.917 <= covered / 300 <= 0.983


def test_a_band_moves_and_scales_with_its_curves():
    curves = smooth_noise(np.random.default_rng(1), 12)
    band, moved = simultaneous_band(curves, rng=3), simultaneous_band(5 + 2 * curves, rng=3)
    np.testing.assert_allclose(moved.lower, 5 + 2 * band.lower)
    np.testing.assert_allclose(moved.upper, 5 + 2 * band.upper)
    assert moved.critical == pytest.approx(band.critical)


def test_a_band_is_wider_than_a_pointwise_one_and_the_same_for_the_same_seed():
    curves = smooth_noise(np.random.default_rng(2), 20)
    band = simultaneous_band(curves, rng=7)
    assert band.critical > 2.09  # Student's t at 97.5%, 19 degrees of freedom
    np.testing.assert_array_equal(band.lower, simultaneous_band(curves, rng=7).lower)


def test_logit_bands_stay_inside_0_and_1():
    rng = np.random.default_rng(4)
    curves = 1 / (1 + np.exp(-(4 + smooth_noise(rng, 8))))
    curves[0, :3] = 1.0
    band = simultaneous_band(curves, method="logit")
    assert (band.lower > 0).all()
    assert (band.upper < 1).all()
    assert ((band.lower <= band.mean) & (band.mean <= band.upper)).all()


def test_points_where_all_agree_have_no_width_and_nan_rows_are_left_out():
    curves = smooth_noise(np.random.default_rng(5), 9)
    curves[:, 0] = 3.0
    broken = np.vstack([curves, np.full(28, np.nan)])
    band = simultaneous_band(broken)
    assert band.n == 9
    assert band.lower[0] == band.upper[0] == 3.0
    assert np.isfinite(band.critical)
    flat = simultaneous_band(np.ones((7, 4)))
    np.testing.assert_array_equal(flat.lower, flat.upper)


def test_too_few_networks_are_refused():
    with pytest.raises(TooFewNetworks, match="5 networks"):
        simultaneous_band(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="method=wavy"):
        simultaneous_band(np.zeros((6, 3)), method="wavy")
