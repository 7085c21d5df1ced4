"""What is recorded while a network learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from biased_cell import BIASED
from made import turning_planes

from study.config import StudyConfig
from study.networks.network import RecurrentNetwork, scaled
from study.networks.quasilinear import of_network
from study.networks.variance import Spread
from study.training.engine import TrainingStack
from study.training.history import IMAGES, History


def history_of(networks: list[RecurrentNetwork], test) -> History:
    one = History()
    one.begin(networks[0], test)
    for epoch, network in enumerate(networks[1:], 1):
        one.add(1.0, 0.5, network, test, last=epoch == len(networks) - 1)
    return one


def test_modes_and_dimensions_are_those_of_the_network_at_that_epoch(train_images, test_images):
    [config] = StudyConfig(seeds="0", hidden_sizes="24", epochs=6, learning_rate=3e-3, batch_size=50, device="cpu").networks()
    stack = TrainingStack([config], train_images.first(3000))
    networks = [stack.networks()[0], *(stack.networks()[0] for _ in stack.train())]
    record = history_of(networks, test_images).labelled(networks[-1])
    assert record.epoch_sampled.values.tolist() == [0, 1, 2, 4, 6]
    assert record.modes_by_epoch.values[0] == 0 < record.modes_by_epoch.values[-1], "modes are born in training"
    for epoch in record.epoch_sampled.values:
        network, at = networks[epoch], record.sel(epoch_sampled=epoch)
        found = of_network(network)
        assert at.modes_by_epoch == len(found.energy)
        np.testing.assert_array_equal(at.mode_period_by_epoch[: len(found.energy)], found.periods)
        ratios = [float(Spread.of(h).participation_ratio().naive) for h in network.rows(scaled(test_images.images[:IMAGES]))]
        assert float(at.participation_last_by_epoch) == pytest.approx(ratios[-1], rel=1e-3)
        assert float(at.participation_peak_by_epoch) == pytest.approx(max(ratios), rel=1e-3)


def test_a_cell_without_the_theory_has_no_modes_and_says_so(test_images):
    network = RecurrentNetwork.initial(0, 12, 28, 10, BIASED)
    record = history_of([network, network], test_images).labelled(network)
    assert np.isnan(record.modes_by_epoch).all()
    assert "not h -> f(R h)" in record.modes_by_epoch.attrs["missing"]
    assert np.isfinite(record.participation_last_by_epoch).all()


def test_a_mode_that_stands_at_modulus_1_is_counted(network, test_images):
    parameters = {**network.parameters, "recurrent": torch.from_numpy(turning_planes((1.4, 9.0), units=24)).float()}
    one = RecurrentNetwork(network.cell, parameters, network.readout, network.bias)
    record = history_of([one], test_images).labelled(one)
    assert record.modes_by_epoch.values.tolist() == [1]
    assert record.mode_period_by_epoch.values[0, 0] == pytest.approx(9, rel=0.05)
    assert record.mode_energy_by_epoch.values[0, 0] == 1


def test_where_the_gains_do_not_settle_the_number_of_modes_is_unknown(network, test_images, monkeypatch):
    monkeypatch.setattr("study.training.history.CONVERGED", 0.0)
    record = history_of([network], test_images).labelled(network)
    assert np.isnan(record.modes_by_epoch).all()
    assert "did not converge" in record.modes_by_epoch.attrs["missing"]
