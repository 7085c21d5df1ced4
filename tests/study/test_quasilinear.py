"""The quasi-linear theory, against integrals, against maps that turn as they were made to, and against code of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made import turning_planes
from scipy.integrate import quad
from scipy.stats import norm

from study.data.sources import Images
from study.measurements import measure
from study.measurements.attractors import strongest_period
from study.measurements.modes import fitted_modes
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork, tanh_network
from study.networks.quasilinear import gaussian_gain, neutral_modes, own_orbit, periods, sinusoidal_gain, tangent_gain

MODES = ["modes", "orbit_modes", "dynamic_modes"]


def _settled(recurrent: np.ndarray, seed: int) -> np.ndarray:
    """The orbit `[600, H]` of a random state, after 2,000 rows."""
    state = np.tanh(np.random.default_rng(seed).standard_normal(len(recurrent)))
    orbit = []
    for _ in range(2600):
        state = np.tanh(recurrent @ state)
        orbit.append(state)
    return np.array(orbit[2000:])


@pytest.mark.parametrize("size", [0.05, 1.0, 6.0])
def test_gains_are_the_integrals_they_stand_for(size):
    gauss = quad(lambda z: z * np.tanh(size * z) / size * norm.pdf(z), -12, 12)[0]
    assert gaussian_gain(np.tanh, np.array([size**2]))[0] == pytest.approx(gauss, rel=1e-7)
    first = quad(lambda angle: np.tanh(size * np.cos(angle)) * np.cos(angle), 0, np.pi)[0] * 2 / np.pi / size
    assert sinusoidal_gain(np.tanh, np.array([size]))[0] == pytest.approx(first, rel=1e-6)
    slope = quad(lambda angle: 1 / np.cosh(size * np.cos(angle)) ** 2, 0, np.pi)[0] / np.pi
    assert tangent_gain(np.tanh, np.array([size]))[0] == pytest.approx(slope, rel=1e-4)


def test_one_plane_turns_at_its_own_period_and_is_stable():
    recurrent = turning_planes((1.5, 9.3))
    modes = neutral_modes(np.tanh, recurrent)
    assert modes.residual < 1e-7
    assert np.abs(modes.eigenvalues) == pytest.approx([1], abs=1e-6)
    assert modes.periods == pytest.approx([9.3], rel=0.02)
    own = own_orbit(np.tanh, recurrent, modes.eigenvalues[0], modes.vectors[:, 0], modes.energy[0])
    assert own.stable
    assert periods(np.array([own.eigenvalue]))[0] == pytest.approx(strongest_period(_settled(recurrent, 0)), rel=0.005)


def test_the_energy_of_an_orbit_is_that_of_the_state():
    recurrent = turning_planes((1.5, 9.3))
    modes = neutral_modes(np.tanh, recurrent)
    own = own_orbit(np.tanh, recurrent, modes.eigenvalues[0], modes.vectors[:, 0], modes.energy[0])
    measured = np.mean(np.sum(_settled(recurrent, 0) ** 2, axis=1))
    assert own.energy == pytest.approx(measured, rel=0.05)
    # A Gaussian of the same mean square saturates more, so that a Gaussian state is held at a lower one.
    assert modes.energy[0] < own.energy < 2 * 2 * modes.energy[0]


def test_of_two_modes_the_one_whose_own_orbit_is_stable_wins():
    recurrent = turning_planes((1.6, 9.3), (1.25, 23.0))
    modes = neutral_modes(np.tanh, recurrent)
    own = [
        own_orbit(np.tanh, recurrent, modes.eigenvalues[place], modes.vectors[:, place], modes.energy[place])
        for place in range(len(modes.energy))
    ]
    stable = [periods(np.array([orbit.eigenvalue]))[0] for orbit in own if orbit.stable]
    assert len(stable) == 1
    for seed in range(5):
        assert strongest_period(_settled(recurrent, seed)) == pytest.approx(stable[0], rel=0.01)


def test_the_growth_beside_an_orbit_is_that_of_a_small_disturbance():
    recurrent = turning_planes((1.6, 9.3), (1.25, 23.0))
    angle = 2 * np.pi / 23.0
    turning = np.linalg.eigvals(recurrent)
    near = turning[np.argmin(np.abs(turning - 1.25 * np.exp(1j * angle)))]
    vector = np.linalg.eig(recurrent)[1][:, np.argmin(np.abs(np.linalg.eigvals(recurrent) - near))]
    weak = own_orbit(np.tanh, recurrent, near, vector, 1.0)
    assert weak.exists and not weak.stable
    # On its own orbit, a disturbance in the other plane grows by as much a row.
    state = np.tanh(recurrent @ (vector.real * 2))
    projection = np.real(np.outer(vector, vector.conj())) * 2  # onto the weak plane
    for _ in range(500):
        state = projection @ np.tanh(recurrent @ state)
    other = np.random.default_rng(0).standard_normal(40)
    other -= projection @ other
    length, total, rows = np.linalg.norm(other), 0.0, 2000
    other /= length
    for _ in range(rows):
        drive = recurrent @ state
        other = (1 - np.tanh(drive) ** 2) * (recurrent @ other)
        state = projection @ np.tanh(drive)
        total += np.log(np.linalg.norm(other))
        other /= np.linalg.norm(other)
    assert np.exp(total / rows) == pytest.approx(weak.growth, rel=0.03)


def test_a_state_that_decays_has_no_modes():
    modes = neutral_modes(np.tanh, turning_planes((0.8, 9.3)))
    assert len(modes.eigenvalues) == 0 and np.isnan(modes.tie)


def test_a_nonlinearity_without_saturation_has_none_that_converge():
    modes = neutral_modes(lambda drive: np.maximum(drive, 0), turning_planes((3.0, 9.3)))
    assert len(modes.eigenvalues) == 0 or not modes.residual < 1e-6


def _by_the_formulas(recurrent: np.ndarray) -> list[float]:
    """The modes' periods, the most energy first, written anew from the formulas, with Gauss-Hermite nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights /= weights.sum()
    c = 1e-4 * np.eye(len(recurrent))
    for _ in range(700):
        s = np.sqrt(np.diag(recurrent @ c @ recurrent.T))
        g = np.array([np.sum(weights * nodes * np.tanh(one * nodes)) / one for one in s])
        c = np.diag(g) @ recurrent @ c @ recurrent.T @ np.diag(g) + 1e-9 * np.eye(len(recurrent))
    values, vectors = np.linalg.eig(np.diag(g) @ recurrent)
    inverse = np.linalg.inv(vectors)
    energy = np.diag(inverse @ c @ inverse.conj().T).real * np.sum(np.abs(vectors) ** 2, axis=0)
    modes = np.flatnonzero((values.imag >= 0) & (np.abs(np.abs(values) - 1) < 1e-3))
    angles = np.angle(values[modes[np.argsort(-energy[modes])]])
    return [2 * np.pi / angle if angle else np.nan for angle in angles]


def test_modes_of_a_random_network_agree_with_the_formulas():
    recurrent = np.random.default_rng(3).standard_normal((50, 50)) / np.sqrt(50) * 1.4
    modes = neutral_modes(np.tanh, recurrent)
    expected = _by_the_formulas(recurrent)
    assert modes.periods == pytest.approx(expected[: len(modes.periods)], rel=0.01, nan_ok=True)


def test_modes_of_a_linear_map_are_found_in_its_orbits():
    linear = turning_planes((1.0, 9.3), (1.0, 23.0), units=10)
    orbits = [np.random.default_rng(0).standard_normal((20, 10))]
    for _ in range(60):
        orbits.append(orbits[-1] @ linear.T)
    eigenvalues, _ = fitted_modes(np.array(orbits[1:]))
    assert sorted(periods(eigenvalues)) == pytest.approx([9.3, 23.0])
    assert np.abs(eigenvalues) == pytest.approx([1, 1])


def _recording(network: RecurrentNetwork) -> Recording:
    draw = torch.Generator().manual_seed(0)
    images = Images(torch.randint(256, (40, 4, 28), generator=draw, dtype=torch.uint8), torch.arange(40) % 10)
    return Recording(network, images, images, blank_rows=1)


def _measured(recurrent: np.ndarray) -> dict:
    hidden = len(recurrent)
    drive = torch.randn(hidden, 28, generator=torch.Generator().manual_seed(0)) / 5
    drive -= drive.mean(dim=1, keepdim=True)
    network = tanh_network(drive, torch.from_numpy(recurrent).float(), torch.zeros(10, hidden), torch.zeros(10))
    return {name: array.values for name, array in measure(_recording(network), [*MODES, "attractors"]).data_vars.items()}


def test_theory_orbit_and_states_name_one_period():
    measured = _measured(turning_planes((1.6, 9.3), (1.25, 23.0)))
    for name in ("period_selected", "period_secant", "period_dmd"):
        assert float(measured[name]) == pytest.approx(float(measured["period_state"]), rel=0.02), name
    assert float(measured["period_quasilinear"]) == pytest.approx(9.3, rel=0.05)
    assert measured["modes_stable"] == 1
    assert measured["mode_energy"][np.isfinite(measured["mode_energy"])].sum() == pytest.approx(1)


def test_a_network_that_falls_to_rest_has_no_period_of_any_kind():
    measured = _measured(turning_planes((0.8, 9.3)))
    assert all(np.isnan(measured[name]) for name in ("period_quasilinear", "period_selected", "period_secant", "mode_tie"))
    assert np.isnan(measured["mode_period"]).all() and np.isnan(measured["orbit_mode_energy"]).all()


def test_another_cell_has_none_and_says_why():
    from biased_cell import BIASED

    network = RecurrentNetwork.initial(0, 12, 28, 10, BIASED)
    measured = measure(_recording(network), MODES)
    assert np.isnan(measured.period_quasilinear) and "not h -> f(R h)" in measured.period_quasilinear.attrs["missing"]
    assert np.isnan(measured.mode_period).all() and np.isfinite(measured.dmd_modulus[0])


def test_an_orbit_with_harmonics_has_its_mode_although_its_modulus_is_not_1():
    measured = _measured(turning_planes((3.0, 9.3), units=4))
    assert 0.9 < measured["orbit_mode_modulus"][0] < 0.98
    assert float(measured["period_secant"]) == pytest.approx(float(measured["period_state"]), rel=0.1)


def test_a_matrix_without_a_basis_of_eigenvectors_has_unknown_modes():
    modes = neutral_modes(np.tanh, 2 * np.eye(6, k=1))
    assert not len(modes.energy) and modes.residual == np.inf
