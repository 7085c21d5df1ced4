"""Modes taken out of networks: what is left is known, and random subspaces carry as much."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import turning_planes

from study.measurements import measure
from study.measurements.dimensionality import continuous
from study.measurements.interventions import BLANK_ROWS, IMAGES, TRANSIENT, _share, _stretch
from study.measurements.interventions import _planes as random_planes
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork, accuracy
from study.networks.quasilinear import neutral_modes, periods, projectors


@pytest.fixture(scope="module")
def recurrent():
    """Two planes and a line outside the unit circle, in oblique directions."""
    rng = np.random.default_rng(1)
    apart = np.eye(40) + 0.02 * rng.standard_normal((40, 40))
    return apart @ turning_planes((1.6, 9.0), (1.5, 17.0)) @ np.linalg.inv(apart)


def test_a_mode_taken_out_leaves_the_others(recurrent):
    modes = neutral_modes(np.tanh, recurrent)
    assert len(modes.eigenvalues) == 2
    linear = modes.gain[:, None] * recurrent
    for place, mode in enumerate(projectors(modes, recurrent, 1.25)):
        assert mode.spectral @ mode.spectral == pytest.approx(mode.spectral, abs=1e-9)
        left = np.linalg.eigvals(linear @ (np.eye(40) - mode.spectral))
        other = modes.eigenvalues[1 - place]
        assert np.abs(left - other).min() < 1e-8, "the other mode is as it was"
        assert np.abs(left - modes.eigenvalues[place]).min() > 0.1
        turned = np.linalg.eigvals(linear @ (np.eye(40) - mode.spectral + mode.turned))
        away = np.angle(modes.eigenvalues[place]) / 1.25
        assert np.abs(turned - np.abs(modes.eigenvalues[place]) * np.exp(1j * away)).min() < 1e-8, "slower, of the same modulus"
        assert periods(np.exp([1j * away]))[0] == pytest.approx(1.25 * modes.periods[place])
        assert np.abs(turned - other).min() < 1e-8


def test_random_subspaces_have_the_energy_asked_for_and_lie_elsewhere():
    rng = np.random.default_rng(2)
    states = rng.standard_normal((500, 30)) * np.geomspace(6, 0.05, 30)
    for share in (0.2, 0.3, 0.4):
        planes = random_planes(states.T @ states, 2, share, rng)
        for plane in planes:
            assert plane.T @ plane == pytest.approx(np.eye(2), abs=1e-9)
            assert _share(states.T @ states, plane) == pytest.approx(share, abs=0.01)
        assert np.linalg.norm(planes[0].T @ planes[1]) < 1.3, "no two are the same"


@pytest.fixture(scope="module")
def measured(network, test_images, train_images):
    recording = Recording(network, test_images, train_images, 100, 0)
    return recording, measure(recording, ["modes", "interventions", "compression", "experiments", "dimensionality"])


def test_the_network_as_it_is_has_the_outcomes_of_the_experiments(measured):
    recording, record = measured
    few = Recording(recording.network, recording.test.first(IMAGES), recording.train, BLANK_ROWS, 0)
    curve = measure(few, ["experiments"]).accuracy_appended.values
    expected = [curve[0], curve[0] - curve[1], curve[TRANSIENT:].std()]
    assert record.intact_outcome.values == pytest.approx(expected, abs=2e-3)


def test_what_is_taken_out_of_r_is_gone_and_a_readout_that_sees_nothing_is_at_chance(measured):
    recording, record = measured
    counted = int(record.without_mode_outcome[:, 0].notnull().sum())
    assert counted == min(4, int(record.mode_energy.notnull().sum())) >= 1
    assert record.mode_share[:counted].notnull().all()
    assert record.plane_share.values[:counted] == pytest.approx(np.repeat(record.mode_share.values[:counted, None], 4, 1), abs=0.03)
    assert record.without_mode_outcome[counted:].isnull().all()
    # by hand: the first mode
    found = neutral_modes(np.tanh, recording.network.recurrent.double().numpy())
    mode = next(projectors(found, recording.network.recurrent.double().numpy(), 1.25))
    network = recording.network
    changed = (
        network.recurrent.double() @ (torch.eye(network.hidden_size, dtype=torch.float64) - torch.from_numpy(mode.spectral))
    ).float()
    without = RecurrentNetwork(network.cell, {**network.parameters, "recurrent": changed}, network.readout, network.bias)
    assert record.without_mode_outcome.values[0, 0] == pytest.approx(
        float(accuracy(without, recording.test.first(IMAGES))), abs=2e-3
    )
    blind = network.readout @ (torch.eye(network.hidden_size) - torch.from_numpy(mode.basis @ mode.basis.T).float())
    unread = RecurrentNetwork(network.cell, network.parameters, blind, network.bias)
    assert record.unread_mode_outcome.values[0, 0] == pytest.approx(float(accuracy(unread, recording.test.first(IMAGES))), abs=2e-3)
    effect = record.without_mode_outcome.values[0] - record.without_plane_outcome.values[0].mean(0)
    assert float(record.mode_effect_tuning) == pytest.approx(effect[1])


def test_stretched_components_have_the_dimension_asked_for():
    variances = np.array([5.0, 3.0, 1.0, 0.8, 0.6, 0.5])
    factor = _stretch(variances, 2, 4.5)
    stretched = np.sort(np.r_[variances[:2], variances[2:] * factor**2])[::-1]
    assert continuous(stretched) == pytest.approx(4.5, abs=1e-6)
    assert np.isnan(_stretch(np.array([5.0, 3.0, 1.0, 0.01]), 2, 3.9)), "one component cannot be four"


def test_a_readout_blind_to_minor_components_does_not_mind_their_growth(measured):
    recording, record = measured
    last = recording.hidden[-1].double()
    centred = last - last.mean(0)
    directions = torch.linalg.eigh(centred.mT @ centred)[1].flip(1)
    kept = int(np.ceil(float(record.dimension90.sel(source="trained")[-1])))
    network = recording.network
    seeing = (network.readout.double() @ directions[:, :kept] @ directions[:, :kept].mT).float()
    blind = RecurrentNetwork(network.cell, network.parameters, seeing, network.bias)
    told = measure(Recording(blind, recording.test, recording.train, 100, 0), ["compression"])
    assert float(told.accuracy_expanded) == pytest.approx(0, abs=1e-3)
    assert float(told.accuracy_expanded_at_random) < float(told.accuracy_expanded) - 0.001
    assert -1 < float(record.accuracy_compressed_early) < 0.02
