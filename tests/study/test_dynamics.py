"""Exponents, periods, attractors and fixed points of maps whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from study.data.sources import Images
from study.measurements import lyapunov, measure
from study.measurements.attractors import KINDS, attractor_kind, explained, recurrence, strongest_period
from study.measurements.eigenvalues import predicted_period
from study.measurements.fixed_points import search
from study.measurements.recording import Recording
from study.networks.cells import TANH
from study.networks.eigenvalues import eigenvalues
from study.networks.network import tanh_network


def _rotation(angle: float) -> torch.Tensor:
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _dynamics(recurrent: torch.Tensor) -> dict[str, object]:
    """What `attractors` and `spectrum` measure on random states that a random input drives."""
    hidden = len(recurrent)
    draw = torch.Generator().manual_seed(0)
    images = Images(torch.randint(256, (40, 4, 28), generator=draw, dtype=torch.uint8), torch.arange(40) % 10)
    drive = torch.randn(hidden, 28, generator=draw) / 5
    drive -= drive.mean(dim=1, keepdim=True)  # so that images drive the state to either side
    network = tanh_network(drive, recurrent.float(), torch.zeros(10, hidden), torch.zeros(10))
    measured = measure(Recording(network, images, images, blank_rows=1), ["attractors", "spectrum"])
    return {str(name): array.values for name, array in measured.data_vars.items()} | {"kind": KINDS[int(measured.attractor_kind)]}


def test_exponents_of_a_linear_map_are_the_logarithms_of_its_eigenvalues():
    basis = np.random.default_rng(0).standard_normal((5, 5))
    values = np.array([1.3, 0.9, 0.5, 0.2, 0.1])
    matrix = basis @ np.diag(values) @ np.linalg.inv(basis)
    found = lyapunov.exponents(lambda h, frame: (np.zeros(5), matrix @ frame), np.zeros(5), 5, 2000)
    assert found.exponents == pytest.approx(np.log(values), abs=1e-3)
    assert lyapunov.leading_by_separation(lambda pair: pair @ matrix.T, np.zeros(5), 2000) == pytest.approx(np.log(1.3), abs=1e-6)


def test_exponents_of_a_scaled_orthogonal_matrix_are_all_the_same():
    orthogonal, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))
    found = lyapunov.exponents(lambda h, frame: (h, 0.8 * orthogonal @ frame), np.zeros(6), 6, 500)
    assert found.exponents == pytest.approx(np.full(6, math.log(0.8)), abs=1e-9)


def test_the_logistic_map_s_exponent_is_ln_2():
    def tangent(h, frame):
        return 4 * h * (1 - h), (4 - 8 * h) * frame

    found = lyapunov.exponents(tangent, np.array([0.3]), 1, 20_000)
    assert found.exponents[0] == pytest.approx(math.log(2), abs=4 * max(found.error[0], 1e-3))
    direct = lyapunov.leading_by_separation(lambda h: 4 * h * (1 - h), np.array([0.3]), 20_000)
    assert direct == pytest.approx(math.log(2), abs=0.02)


def test_a_contraction_falls_to_a_fixed_point():
    found = _dynamics(0.7 * torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))[0])
    assert found["kind"] == "fixed_point"
    assert found["attractors"] == 1
    assert found["lyapunov"] == pytest.approx(np.full(12, math.log(0.7)), abs=1e-6)
    assert found["lyapunov_by_separation"] == pytest.approx(math.log(0.7), abs=1e-3)
    assert np.isnan(found["period_state"])
    assert np.isnan(found["phase_tells_label"])


def test_a_rotation_that_still_decays_is_on_its_way_to_a_fixed_point():
    found = _dynamics(0.97 * _rotation(0.3))  # after 2,000 rows at 1e-27, not yet 0
    assert found["kind"] == "fixed_point"
    assert np.isnan(found["period_state"])
    assert np.isnan(found["period_recurrence"])
    assert found["period_predicted"] == pytest.approx(2 * math.pi / 0.3, rel=1e-5)


@pytest.mark.parametrize("angle", [0.3, 0.71])
def test_a_scaled_rotation_turns_with_its_angle(angle):
    found = _dynamics(1.05 * _rotation(angle))
    expected = 2 * math.pi / angle
    assert found["period_predicted"] == pytest.approx(expected, rel=1e-5)
    assert found["period_state"] == pytest.approx(expected, rel=2e-2)  # tanh slows the rotation a little
    assert found["kind"] == "closed_curve"
    assert found["lyapunov"][0] == pytest.approx(0, abs=1e-3)
    assert found["lyapunov_by_separation"] == pytest.approx(found["lyapunov"][0], abs=1e-3)
    assert found["attractors"] == 1


def test_a_reflection_cycles_with_period_two():
    found = _dynamics(-1.5 * torch.eye(3))
    assert found["kind"] == "cycle"
    assert found["period_recurrence"] == 2
    assert found["period_state"] == pytest.approx(2, rel=1e-3)
    assert found["period_predicted"] == pytest.approx(2)


def test_two_wells_are_two_attractors():
    found = _dynamics(torch.tensor([[1.5]]))
    assert found["kind"] == "fixed_point"
    assert found["attractors"] == 2
    assert 0.5 <= found["attractor_share"] < 1


def test_strong_random_weights_are_chaotic():
    weights = torch.randn(100, 100, generator=torch.Generator().manual_seed(3)) * 3 / 10
    found = _dynamics(weights)
    assert found["kind"] == "chaos"
    assert found["lyapunov"][0] > 0.05
    assert found["lyapunov_by_separation"] == pytest.approx(found["lyapunov"][0], rel=0.15)


def test_kinds_by_their_evidence():
    still = np.array([-0.2, -0.3]), np.array([0.0, 0.0])
    assert attractor_kind(0.0, 0.0, *still) == "fixed_point"
    assert attractor_kind(0.5, 1e-9, *still) == "cycle"
    assert attractor_kind(0.5, 0.01, np.array([0.0, -0.1]), np.array([1e-5, 1e-5])) == "closed_curve"
    assert attractor_kind(0.5, 0.1, np.array([0.0, 0.0]), np.array([1e-5, 1e-5])) == "unresolved"  # a torus
    assert attractor_kind(0.5, 0.1, np.array([0.05, 0.0]), np.array([1e-3, 1e-3])) == "chaos"
    assert attractor_kind(0.5, 0.1, np.array([0.05, -0.1]), np.array([0.1, 0.1])) == "unresolved"


def test_periods_of_a_sampled_circle():
    turn = 2 * np.pi * np.arange(1000)[:, None] / 17.3
    circle = np.hstack([np.cos(turn), np.sin(turn)]) + 5
    assert strongest_period(circle) == pytest.approx(17.3, rel=1e-3)
    assert np.isnan(strongest_period(np.cos(2 * np.pi * np.arange(1000)[:, None] / 700)))  # not three times in the window
    assert np.isnan(strongest_period(np.exp(-np.arange(1000)[:, None] / 100)))
    lag, distance = recurrence(np.hstack([np.cos(2 * np.pi * np.arange(900)[:, None] / 12)] * 2))
    assert lag == 12
    assert distance < 1e-9


def test_a_phase_that_follows_the_label_is_explained_and_a_random_one_is_not():
    draw = np.random.default_rng(0)
    labels = np.arange(300) % 10
    follows = 2 * np.pi * labels / 10 + 0.1 * draw.standard_normal(300)
    assert explained(np.stack([np.cos(follows), np.sin(follows)], 1), labels) > 0.95
    random = draw.uniform(0, 2 * np.pi, 300)
    assert abs(explained(np.stack([np.cos(random), np.sin(random)], 1), labels)) < 0.05


def test_eigenvalues_are_sorted_and_a_positive_leading_one_predicts_no_period():
    values = eigenvalues(torch.block_diag(0.5 * torch.eye(1), 1.2 * _rotation(0.4), torch.tensor([[-0.9]])))
    assert np.hypot(*values.T) == pytest.approx([1.2, 1.2, 0.9, 0.5])
    assert predicted_period(values) == pytest.approx(2 * math.pi / 0.4)
    assert np.isnan(predicted_period(eigenvalues(torch.eye(2))))


def test_all_fixed_points_of_two_independent_units_are_found():
    draw = torch.Generator().manual_seed(0)
    starts = 1.8 * torch.rand(200, 2, generator=draw, dtype=torch.float64) - 0.9
    points, failed = search(TANH, {"recurrent": 1.5 * torch.eye(2, dtype=torch.float64)}, starts)
    assert len(points) == 9  # each unit at 0, +a or -a
    assert failed < 0.2
    assert ((1.5 * points).tanh() - points).abs().max() < 1e-9
    assert points[0].norm() == 0
    well = points[-1, 0].abs()
    assert points.abs().max(dim=1).values[1:] == pytest.approx(torch.full((8,), float(well), dtype=torch.float64))
