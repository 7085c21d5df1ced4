"""Distances between networks: planted copies, exhaustive search, and intervals that respect that pairs share networks."""

from __future__ import annotations

import importlib.util
from itertools import permutations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from biased_cell import BIASED
from made import turning_planes

from analysis.states import degeneracy as code
from analysis.states.degeneracy import (
    CONDITIONS,
    DIMENSIONS,
    degeneracy,
    dsa_distances,
    mode_distance,
    pseudovalues,
    weight_distance,
)
from analysis.statistics.intervals import mean_interval
from reports.figures.degeneracy import degeneracy as figure
from study.networks.network import RecurrentNetwork, tanh_network


def _network(seed: int, hidden: int = 30) -> RecurrentNetwork:
    return RecurrentNetwork.initial(seed, hidden, 28, 10)


def _reordered(network: RecurrentNetwork, signs: bool) -> RecurrentNetwork:
    """The same network with its units in another order and, where asked for, with other signs: its answers are the same."""
    rng = np.random.default_rng(1)
    order = torch.from_numpy(rng.permutation(network.hidden_size))
    sign = torch.from_numpy(rng.choice([-1.0, 1.0], network.hidden_size)).float() if signs else torch.ones(network.hidden_size)
    return tanh_network(
        sign[:, None] * network.parameters["input"][order],
        sign[:, None] * network.recurrent[order][:, order] * sign,
        network.readout[:, order] * sign,
        network.bias,
    )


def test_a_network_in_another_order_and_with_other_signs_is_the_same(test_images):
    network = _network(0)
    other = _reordered(network, signs=True)
    assert weight_distance(network, other) == pytest.approx(0, abs=1e-6)
    pair = degeneracy({0: network, 1: other}, test_images.first(300))
    assert pair.disagreement.sel(source="trained").max() == 0
    assert weight_distance(network, _network(1)) > 0.7


def test_signs_count_where_the_cell_is_not_odd(monkeypatch):
    monkeypatch.setattr(type(_network(0).cell), "odd", False)
    assert weight_distance(_network(0), _reordered(_network(0), signs=False)) == pytest.approx(0, abs=1e-6)
    assert weight_distance(_network(0), _reordered(_network(0), signs=True)) > 0.3


def test_small_networks_are_matched_as_an_exhaustive_search_matches_them(monkeypatch):
    for seed in range(6):
        one, other = _network(2 * seed, 4), _network(2 * seed + 1, 4)
        parts = [[part.double().numpy() for part in (n.parameters["input"], n.recurrent, n.readout)] for n in (one, other)]
        (w, r, v), (w2, r2, v2) = parts
        least = min(
            sum(
                np.sum((a - b) ** 2)
                for a, b in ((w, s[:, None] * w2[list(p)]), (r, s[:, None] * r2[np.ix_(p, p)] * s), (v, v2[:, list(p)] * s))
            )
            for p in permutations(range(4))
            for s in map(np.array, product([-1.0, 1.0], repeat=4))
        )
        squares = sum(np.sum(part**2) for side in parts for part in side)
        distance = weight_distance(one, other)
        assert distance >= np.sqrt(least / squares) - 1e-9, "an upper bound"
        assert distance <= 1.1 * np.sqrt(least / squares)
        monkeypatch.setattr(code, "RESTARTS", 60)
        assert weight_distance(one, other) == pytest.approx(np.sqrt(least / squares), rel=1e-9)
        monkeypatch.undo()


def test_cells_with_other_weights_have_no_distance():
    networks = [RecurrentNetwork.initial(seed, 12, 28, 10, BIASED) for seed in (0, 1)]
    assert np.isnan(weight_distance(*networks))


def test_modes_are_compared_by_log_period_and_energy():
    one = np.log2([8.0, 16.0]), np.array([0.5, 0.5])
    assert mode_distance(one, one) == 0
    assert mode_distance(one, (np.log2([16.0, 32.0]), np.array([1.0, 1.0]))) == pytest.approx(1)
    assert mode_distance(one, (np.log2([8.0]), np.array([1.0]))) == pytest.approx(0.5)
    assert np.isnan(mode_distance(one, (np.empty(0), np.empty(0))))


def test_pseudovalues_are_the_jackknife_of_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    distances = np.abs(rng.standard_normal((7, 7)))
    distances += distances.T
    np.fill_diagonal(distances, 0)
    apart = ~np.eye(7, dtype=bool)
    values = pseudovalues(distances)
    assert values.mean() == pytest.approx(distances[apart].mean())
    gone = distances.copy()
    gone[2] = gone[:, 2] = np.nan  # a network without modes
    kept = np.delete(np.delete(distances, 2, 0), 2, 1)
    assert pseudovalues(gone) == pytest.approx(pseudovalues(kept))
    assert np.isnan(pseudovalues(np.full((5, 5), np.nan))).all()


@pytest.mark.parametrize("networks", [8, 20])
def test_intervals_over_pairs_hold_the_truth(networks):
    """Distances between points in the plane; intervals that took pairs for independent would hold it in 60% of cases at most."""
    rng, held, naive = np.random.default_rng(networks), 0, 0
    truth = np.sqrt(np.pi)  # the mean distance of two points of variance 1 along both axes
    for _ in range(400):
        points = rng.standard_normal((networks, 2))
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        interval = mean_interval(pseudovalues(distances))
        held += interval.lower <= truth <= interval.upper
        one = mean_interval(distances[np.triu_indices(networks, 1)])
        naive += one.lower <= truth <= one.upper
    assert 0.90 <= held / 400 <= 0.98
    assert naive / 400 < 0.85


def test_the_dataset_is_as_it_is_declared_and_the_figure_shows_it(test_images):
    networks = {seed: _network(seed) for seed in range(4)}
    pairs = degeneracy(networks, test_images.first(200))
    assert {str(name): variable.dims for name, variable in pairs.variables.items()} == DIMENSIONS
    for name in ("weight_distance", "disagreement"):
        assert (pairs[name] == pairs[name].transpose(..., "other_seed", "seed").values).all()
        assert np.isfinite(pairs[name]).all()
    assert pairs.condition.values.tolist() == list(CONDITIONS)
    assert np.isnan(pairs.mode_distance.sel(source="untrained").where(pairs.seed != pairs.other_seed)).all(), "they have no modes"
    shown = figure(SimpleNamespace(degeneracies={30: pairs, 60: pairs.assign_coords(seed=pairs.seed)}))
    assert set(shown.numbers.distance) >= {"weight_distance", "disagreement"}
    assert set(shown.numbers.hidden_size) == {30, 60}
    assert "Change per doubling of the hidden size, trained networks: weights +0 [" in shown.caption, "the same pairs twice"
    assert figure(SimpleNamespace(degeneracies={})) is None


def _turning(period: float, seed: int) -> RecurrentNetwork:
    """A network whose blank map turns in one plane, in directions of its own."""
    network = _network(seed, 40)
    turned = np.linalg.qr(np.random.default_rng(seed).standard_normal((40, 40)))[0]
    recurrent = torch.from_numpy(turned @ turning_planes((1.4, period)) @ turned.T).float()
    return tanh_network(network.parameters["input"], recurrent, network.readout, network.bias)


@pytest.mark.skipif(importlib.util.find_spec("DSA") is None, reason="the extra dsa is not installed")
def test_dynamical_similarity_analysis_tells_periods_apart_and_not_directions(test_images):
    distances = dsa_distances([_turning(9, 0), _turning(9, 1), _turning(17, 2), _turning(17, 3)], test_images)
    assert max(distances[0, 1], distances[2, 3]) < 0.05 * distances[:2, 2:].min()


def test_without_its_package_there_is_no_dynamical_similarity_analysis(test_images, monkeypatch):
    monkeypatch.setattr(code.importlib.util, "find_spec", lambda name: None)
    assert np.isnan(dsa_distances([_network(0), _network(1)], test_images)).all()
    assert isinstance(degeneracy({0: _network(0), 1: _network(1)}, test_images.first(50)), xr.Dataset)
