"""Pictures of hidden states in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.states import embedding
from analysis.states.embedding import embed
from study.terminal.errors import InputError


@pytest.fixture(scope="module")
def embedded(network, test_images):
    return embed(network, test_images.first(1500), (1, 14, 15))


def test_a_picture_keeps_neighbours_and_shows_labels(embedded):
    assert embedded.points.sizes == {"time_step": 3, "image": 1500, "axis": 2}
    assert np.isfinite(embedded.points).all()
    later = embedded.sel(time_step=[14, 15])
    assert (later.agreement_plane > 0.35).all()  # chance: 0.1
    assert (abs(later.agreement_plane - later.agreement_states) < 0.1).all()
    assert (later.neighbours_kept > 0.2).all()  # chance: 0.007


def test_states_that_do_not_differ_are_one_point(embedded):
    assert float(abs(embedded.points.sel(time_step=1)).max()) == 0


def test_a_step_is_started_from_the_one_before(embedded, network, test_images):
    afresh = embed(network, test_images.first(1500), (15,)).points.values[0]
    before, after = embedded.points.sel(time_step=[14, 15]).values

    def moved(a, b):
        return np.mean(np.linalg.norm(a - b, axis=1)) / np.std(a)

    assert moved(before, after) < 0.5 * moved(before, afresh)


def test_umap_that_is_not_installed_is_named(network, test_images, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install '\.\[umap\]'"):
        embed(network, test_images.first(50), (14,), "umap")
    assert set(embedding.METHODS) == {"tsne", "umap"}
