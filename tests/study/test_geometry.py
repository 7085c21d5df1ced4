"""Dimensionality and neighbours on clouds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from study.data.sources import Images
from study.measurements.geometry import _members
from study.measurements.neighbours import _distinct, _two_least_squares, neighbour_agreement, two_nearest_neighbours
from study.networks.variance import Spread


def _cloud(count: int, scales: list[float], seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, len(scales), generator=draw, dtype=torch.float64) * torch.tensor(scales)


def test_the_participation_ratio_of_isotropic_data_is_its_dimension():
    ratio = Spread.of(_cloud(20_000, [1.0] * 12)).participation_ratio()
    assert ratio.naive == pytest.approx(12, rel=0.01)
    assert ratio.corrected == pytest.approx(12, rel=0.01)


def test_the_participation_ratio_is_numpy_s_to_a_millionth():
    states = _cloud(500, [3.0, 1.0, 0.5, 2.0]).float()
    covariance = np.cov(states.double().numpy().T)
    assert Spread.of(states).participation_ratio().naive == pytest.approx(
        np.trace(covariance) ** 2 / np.sum(covariance**2), rel=1e-6
    )


def test_the_correction_takes_away_the_bias_of_few_images():
    scales = [1.0] * 30
    drawn = [Spread.of(_cloud(25, scales, seed)).participation_ratio() for seed in range(400)]
    assert np.mean([ratio.naive for ratio in drawn]) < 15  # of 30 dimensions
    assert np.median([ratio.corrected for ratio in drawn]) == pytest.approx(30, rel=0.1)


def test_rotations_change_nothing():
    states = _cloud(800, [4.0, 2.0, 1.0, 1.0, 0.3])
    rotation, _ = torch.linalg.qr(_cloud(5, [1.0] * 5, seed=1))
    turned, labels = states @ rotation, torch.arange(800) % 4
    before, after = Spread.of(states, labels, 4), Spread.of(turned, labels, 4)
    assert after.participation_ratio().corrected == pytest.approx(before.participation_ratio().corrected, rel=1e-9)
    assert two_nearest_neighbours(turned).value == pytest.approx(two_nearest_neighbours(states).value, rel=1e-6)
    assert after.between_class_share() == pytest.approx(before.between_class_share(), rel=1e-9)
    np.testing.assert_allclose(neighbour_agreement(turned, labels, 4), neighbour_agreement(states, labels, 4), atol=0.01)


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_twonn_finds_the_dimension_of_a_ball(dimension):
    direction = torch.nn.functional.normalize(_cloud(4000, [1.0] * dimension), dim=1)
    radius = torch.rand(4000, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** (1 / dimension)
    embedded = torch.zeros(4000, 20, dtype=torch.float64)
    embedded[:, :dimension] = direction * radius
    found = two_nearest_neighbours(embedded)
    assert found.value == pytest.approx(dimension, rel=0.08)
    assert found.dropped == 0


def test_twonn_counts_coincident_points_and_leaves_them_out():
    states = _cloud(1000, [1.0] * 3)
    doubled = torch.cat([states, states[:250]])
    assert two_nearest_neighbours(doubled).dropped == 250
    assert two_nearest_neighbours(doubled).value == two_nearest_neighbours(states).value


def test_twonn_is_exact_where_points_lie_close_together():
    tight = torch.cat([1e-7 * _cloud(500, [1.0, 1.0]), 100 + 1e-7 * _cloud(500, [1.0, 1.0], seed=1)])
    distances, _ = NearestNeighbors(n_neighbors=3, algorithm="kd_tree").fit(tight.numpy()).kneighbors(tight.numpy())
    ratios = np.sort(distances[:, 2] / distances[:, 1])[:900]
    expected = np.log(ratios) @ -np.log1p(-np.arange(1, 901) / 1000) / (np.log(ratios) @ np.log(ratios))
    assert two_nearest_neighbours(tight).value == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5])
def test_the_two_nearest_are_scikit_learn_s_where_some_points_are_close_and_others_are_not(spread):
    points = torch.cat([_cloud(300, [1.0] * 6), 2 + spread * _cloud(200, [1.0] * 6, seed=1)])
    distances, _ = NearestNeighbors(n_neighbors=3, algorithm="kd_tree").fit(points.numpy()).kneighbors(points.numpy())
    np.testing.assert_allclose(_two_least_squares(points).sqrt(), distances[:, 1:], rtol=1e-9)


def test_distinct_points_are_found_where_the_first_coordinate_tells_them_apart_and_where_not():
    points = _cloud(200, [1.0] * 4)
    tied = torch.cat([points.round(), points.round()[:50]])  # many have the same first coordinate, some all four
    assert len(tied[:, 0].unique()) < len(torch.unique(tied, dim=0)) < len(tied)
    for given in (points, tied, torch.cat([points, points[:50]])):
        torch.testing.assert_close(_distinct(given), torch.unique(given, dim=0), rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-150, 1e-80, 1e60])
def test_the_scale_of_states_does_not_matter(scale):
    states, labels = _cloud(400, [3.0, 1.0, 0.5]), torch.arange(400) % 4
    before, after = Spread.of(states, labels, 4), Spread.of(scale * states, labels, 4)
    assert after.participation_ratio().corrected == pytest.approx(before.participation_ratio().corrected)
    assert two_nearest_neighbours(scale * states).value == pytest.approx(two_nearest_neighbours(states).value)
    assert after.between_class_share() == pytest.approx(before.between_class_share())


def test_principal_variances_are_scikit_learn_s():
    states = _cloud(400, [3.0, 2.0, 1.0, 0.5]) + 7
    ours, theirs = Spread.of(states).principal_variances().numpy(), PCA().fit(states.double().numpy()).explained_variance_
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), rtol=1e-9)


def test_differences_of_rounding_are_none():
    """A product may round the same image's state otherwise in another place of a batch."""
    draw = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        states = torch.rand(9, generator=draw, dtype=dtype).repeat(40, 1)
        states[::3] += torch.finfo(dtype).eps / 2
        assert (states != states[0]).any()
        assert Spread.of(states).principal_variances().tolist() == [0.0] * 9
        states[0, 0] += 1e-4
        assert Spread.of(states).principal_variances()[0] > 0


def test_coincident_states_do_not_share_their_neighbours():
    labels = torch.randint(10, (1500,), generator=torch.Generator().manual_seed(0))
    for states in (torch.zeros(1500, 3), torch.ones(1500, 3, dtype=torch.float64)):
        assert neighbour_agreement(states, labels, 10) == pytest.approx(np.full(10, 0.1), abs=0.04)


def test_pseudo_classes_scatter_by_chance_and_true_ones_do_not():
    states = _cloud(3000, [1.0] * 6)
    labels = torch.arange(3000) % 10
    assert Spread.of(states, labels, 10).between_class_share() == pytest.approx(9 / 2999, rel=0.5)
    assert Spread.of(states + 100.0 * labels[:, None], labels, 10).between_class_share() > 0.999


def test_neighbours_agree_in_separate_clusters_and_by_chance_in_one():
    states, labels = _cloud(1000, [1.0, 1.0]), torch.arange(1000) % 5
    assert neighbour_agreement(states, labels, 5) == pytest.approx(np.full(5, 0.2), abs=0.05)
    assert neighbour_agreement(states + 50.0 * labels[:, None], labels, 5).tolist() == [1.0] * 5


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_states_that_do_not_differ_have_defined_values(count):
    states, labels = torch.full((count, 4), 0.1), torch.zeros(count, dtype=torch.int64)
    if count:
        ratio = Spread.of(states).participation_ratio()
        assert ratio.naive == ratio.corrected == 0
        assert Spread.of(states, labels, 3).between_class_share() == 0
        assert two_nearest_neighbours(states) == two_nearest_neighbours(states[:1]).__class__(0.0, count - 1)
    assert Spread.of(states).principal_variances().tolist() == [0.0] * 4


@pytest.mark.parametrize("moved", [1, 2, 3, 6])
def test_a_few_images_that_hold_all_the_variance_give_a_possible_dimension(moved):
    """As of step 2: most images are blank so far, and their states equal."""
    for seed in range(50):
        states = torch.zeros(500, 24)
        states[:moved] = _cloud(moved, [1.0] * 24, seed)
        ratio = Spread.of(states).participation_ratio()
        assert 1 - 1e-9 <= ratio.naive <= moved + 1e-9
        assert 1 - 1e-9 <= ratio.corrected <= 24
        assert np.isnan(two_nearest_neighbours(states).value)  # too few points are distinct


def test_classes_and_groups_have_as_many_images(test_images):
    labels, groups = _members(test_images)
    assert {len(images) for images in labels + groups} == {500}
    few = Images(test_images.images[:200], test_images.labels[:200])
    assert {len(images) for part in _members(few) for images in part} == {int(torch.bincount(few.labels).min())}
    for label, images in enumerate(labels):
        assert (test_images.labels[images] == label).all()
    together = torch.cat(groups)
    assert len(together.unique()) == len(together)
    assert len(test_images.labels[groups[0]].unique()) == 10
