"""CKA and SVCCA: what must not matter does not, and what must does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.states.similarity import CHUNK, cka, similarity, step_products, svcca
from study.networks.kernels import using
from study.networks.network import RecurrentNetwork, scaled, tanh_network


def _products(*states: np.ndarray) -> np.ndarray:
    centred = [x - x.mean(axis=0) for x in states]
    return np.array([[a.T @ b for b in centred] for a in centred])


@pytest.fixture
def states():
    return np.random.default_rng(0).standard_normal((500, 6)) @ np.diag([3, 2, 1, 1, 1, 0.8])


def test_cka_ignores_rotation_scale_and_place_and_nothing_else(states):
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))
    stretched = states @ np.diag([1, 5, 1, 0.2, 1, 1])
    found = cka(_products(states, 3 * states @ rotation + 1, stretched))
    assert found[0, 1] == pytest.approx(1, abs=1e-9)
    assert found[0, 2] < 0.9
    np.testing.assert_allclose(found, found.T)


def test_cka_is_kornblith_s_from_the_gram_matrices(states):
    other = np.random.default_rng(2).standard_normal((500, 6)) + states
    centring = np.eye(500) - 1 / 500
    k, l = (centring @ x @ x.T @ centring for x in (states, other))  # noqa: E741
    expected = np.sum(k * l) / np.sqrt(np.sum(k * k) * np.sum(l * l))
    assert cka(_products(states, other))[0, 1] == pytest.approx(expected, rel=1e-9)


def test_svcca_ignores_any_invertible_map_of_the_kept_directions(states):
    stretched = states @ np.random.default_rng(1).standard_normal((6, 6))
    strangers = np.random.default_rng(3).standard_normal((500, 6))
    found = svcca(_products(states, states * 2, stretched, strangers))
    assert found[0, 1] == pytest.approx(1, abs=1e-9)
    assert found[0, 2] > 0.97  # the last percent of the variance is left out
    assert found[0, 3] < 0.2


def test_states_that_do_not_differ_have_no_similarity(states):
    products = _products(states, np.ones((500, 6)))
    assert np.isnan(cka(products)[0, 1])
    assert np.isnan(svcca(products)[0, 1])


def test_networks_that_differ_by_the_names_of_their_units_are_the_same(network, test_images):
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    renamed = tanh_network(network.input[order], network.recurrent[order][:, order], network.readout[:, order], network.bias)
    found = similarity({0: network, 1: renamed, 2: RecurrentNetwork.initial(5, 24, 28, 10)}, test_images.first(2000))
    assert found.cka.dims == ("source", "time_step", "seed", "other_seed")
    similar = found.sel(source="trained")
    assert np.isnan(similar.cka[0]).all()  # row 1 is blank
    np.testing.assert_allclose(similar.cka[1:, 0, 1], 1, atol=1e-5)
    np.testing.assert_allclose(similar.svcca[1:, 0, 1], 1, atol=1e-3)
    assert float(similar.cka[20, 0, 2]) < 0.9
    assert float(found.sel(source="untrained").cka[20, 0, 2]) < 1 - 1e-3
    np.testing.assert_allclose(np.diagonal(similar.cka[5]), 1)


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_products_are_those_of_centred_states_of_all_images(test_images, kernels):
    """Of three networks, in double precision and one by one; of more images than are multiplied at once."""
    networks = [RecurrentNetwork.initial(seed, 9, 28, 10) for seed in range(3)]
    test = test_images.first(CHUNK + 500)
    with using(kernels):
        found = [products.copy() for products in step_products(networks, test)]
    states = np.array([[state.double().numpy() for state in network.rows(scaled(test.images))] for network in networks])
    assert len(found) == 28
    for step in (0, 9, 27):
        expected = _products(*states[:, step])
        for i in range(3):
            for j in range(3):
                if i <= j:
                    np.testing.assert_allclose(found[step][i, j], expected[i, j], rtol=1e-4, atol=1e-4 * abs(expected).max())
                else:
                    assert not found[step][i, j].any()
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(cka(found[step]), cka(expected), rtol=1e-4)
            np.testing.assert_allclose(svcca(found[step]), svcca(expected), rtol=1e-3)
