from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis.statistics.oscillation import oscillation
from analysis.statistics.phase import PHASES, cycle, phase_aligned


def networks_with(halves: np.ndarray) -> xr.Dataset:
    by_half = xr.DataArray(halves, dims=("seed", "blank_rows", "half"), coords={"seed": range(len(halves))})
    return xr.Dataset({"accuracy_appended_by_half": by_half}).assign_coords(hidden_size=50)


def test_networks_out_of_phase_share_a_cycle_that_their_mean_curve_hides():
    rng, rows = np.random.default_rng(3), np.arange(501)
    turns, heights = rng.uniform(0, 1, 8), rng.uniform(0.15, 0.25, 8)
    waves = 0.4 + heights[:, None] * np.cos(2 * np.pi * (rows / 9.7 + turns[:, None]))
    waves[-1] = 0.3  # one that stands still
    halves = waves[..., None] + 0.02 * rng.standard_normal((8, 501, 2)) * (np.arange(8) < 7)[:, None, None]
    found = cycle(networks_with(halves), oscillation(halves.mean(axis=2)))
    assert found.seeds.tolist() == list(range(7))
    assert found.curves.mean(axis=1) == pytest.approx(0, abs=1e-12)
    true = heights[:7].mean() * np.cos(2 * np.pi * np.arange(PHASES) / PHASES)
    assert ((found.band.lower < true) & (true < found.band.upper)).mean() > 0.9
    assert np.ptp(halves.mean(axis=(0, 2))) < np.ptp(found.band.mean)


def test_no_network_that_oscillates_no_cycle_and_few_no_band():
    rng, rows = np.random.default_rng(3), np.arange(501)
    still = np.full((3, 501, 2), 0.4)
    assert cycle(networks_with(still), oscillation(still.mean(axis=2))) is None
    waves = np.repeat(0.4 + 0.2 * np.cos(rows)[None, :, None], 3, axis=0) + 0.01 * rng.standard_normal((3, 501, 2))
    assert cycle(networks_with(waves), oscillation(waves.mean(axis=2))).band is None


def test_a_phase_taken_from_other_images_raises_no_peak_out_of_noise():
    rng = np.random.default_rng(0)
    raised = np.mean([phase_aligned(rng.standard_normal((450, 2)), 10.0) for _ in range(200)], axis=0)
    assert np.abs(raised).max() < 4 * np.sqrt(1 / (450 / PHASES) / 2 / 200)  # four standard errors
    naive = []
    for _ in range(200):
        noise = rng.standard_normal(450)
        naive.append(phase_aligned(np.stack([noise, noise], axis=1), 10.0))
    assert np.mean(naive, axis=0)[0] > 0.05  # what the same images would tell


def test_a_wave_is_aligned_to_its_peak():
    rows = np.arange(450)
    wave = 0.3 + 0.2 * np.cos(2 * np.pi * rows / 9.7 + 2)
    found = phase_aligned(np.stack([wave, wave], axis=1), 9.7)
    assert int(found.argmax()) == 0
    assert found.max() == pytest.approx(0.5, abs=0.015)
    assert found[PHASES // 2] == pytest.approx(0.1, abs=0.015)
