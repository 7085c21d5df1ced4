"""Why a saturating network oscillates, and at which period: the quasi-linear theory of h -> f(R h).

Training pushes eigenvalues of R out of the unit circle, where a linear network would explode. Saturation answers by lowering the
gain of every unit, from 1 to g_i, until what remains, the matrix D R with D = diag(g), neither grows nor decays: its leading
eigenvalues stand at modulus 1. They are the neutral modes, and their angles are the frequencies that the network can hold. The
eigenvalues of R alone do not tell which these are.

The gains are those of describing functions (Gelb & Vander Velde 1968): a unit that receives u answers with its best linear
approximation g u, where g = E[u f(u)] / E[u^2]. Two inputs are used here: a Gaussian one, for all modes together (`neutral_modes`),
and a sinusoid, for the orbit of one mode alone (`own_orbit`), whose stability tells whether that mode can win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.linalg import lu_factor, lu_solve

from study.networks.cells import Cell
from study.networks.network import RecurrentNetwork

Nonlinearity = Callable[[np.ndarray], np.ndarray]

# The trapezoidal rule in standard deviations of a Gaussian, and the midpoint rule in the phase of a sinusoid: both converge
# exponentially for analytic f, where Gauss-Hermite nodes are too sparse for a steep one.
DEVIATIONS = np.linspace(-8, 8, 161)
DENSITY = np.exp(-(DEVIATIONS**2) / 2)
DENSITY /= DENSITY.sum()
COSINES = np.cos((np.arange(64) + 0.5) * np.pi / 64)
SMALL = 1e-4  # of the drive, for a derivative

START = 1e-4  # variance of each unit at the start of the iteration
SPARK = 1e-9  # variance added at each iteration, so that a mode that died can come back
PLAIN = 800  # iterations without damping
MOST_ITERATIONS = 1600
STILL = 1e-8  # the change of the gains in one iteration, at which it ends
CONVERGED = 1e-4  # a larger one at the end leaves the modes unknown
NEUTRAL = 0.01  # of 1: how near the modulus of a neutral mode is
ALIVE = 1e-3  # of the energy of the strongest mode: weaker ones are not counted
MOST_MODES = 8
TURNS = 1e-6  # radians per row: a slower mode does not turn
MOST_STEPS = 200  # of the search for the orbit of one mode
INVERSE_STEPS = 4
FOUND = 1e-6  # the relative change of its amplitudes in one step


@dataclass(frozen=True)
class Modes:
    """The modes that a network's gains leave at modulus 1, the one with most energy first.

    Attributes: `eigenvalues` `[K]`, of a conjugate pair the one above the real axis; `energy` `[K]`, the mean square of the
    state that each carries, summed over units (a conjugate carries as much again); `vectors` `[H, K]`, unit right eigenvectors;
    `spectrum` `[H]`, all eigenvalues of D R; `gain` `[H]`, the diagonal of D; the `residual`, the change of the gains in the last
    of `iterations`.
    """

    eigenvalues: np.ndarray
    energy: np.ndarray
    vectors: np.ndarray
    spectrum: np.ndarray
    gain: np.ndarray
    residual: float
    iterations: int

    @property
    def periods(self) -> np.ndarray:
        """2 pi / |arg| of each, in rows `[K]`; NaN for one that does not turn."""
        return periods(self.eigenvalues)

    @property
    def tie(self) -> float:
        """The second largest energy over the largest; 0 with one mode, NaN with none."""
        return float(self.energy[1] / self.energy[0]) if len(self.energy) > 1 else 0.0 if len(self.energy) else float("nan")


def periods(eigenvalues: np.ndarray) -> np.ndarray:
    """2 pi / |arg| of each eigenvalue, in rows; NaN for a positive number, which does not turn."""
    angles = np.abs(np.angle(eigenvalues))
    return np.where(angles > TURNS, 2 * np.pi / np.maximum(angles, TURNS), np.nan)


def gaussian_gain(f: Nonlinearity, variance: np.ndarray) -> np.ndarray:
    """E[u f(u)] / E[u^2] for Gaussian u of mean 0 and each `variance` `[H]` (Gelb & Vander Velde 1968, section 2.2)."""
    deviation = np.sqrt(np.maximum(variance, 1e-30))
    return f(deviation[:, None] * DEVIATIONS) @ (DEVIATIONS * DENSITY) / deviation


def sinusoidal_gain(f: Nonlinearity, amplitude: np.ndarray) -> np.ndarray:
    """The same for a sinusoid of each `amplitude` `[H]`: the describing function of its first harmonic (their section 2.3)."""
    amplitude = np.maximum(amplitude, 1e-12)
    return 2 * f(amplitude[:, None] * COSINES) @ COSINES / len(COSINES) / amplitude


def tangent_gain(f: Nonlinearity, amplitude: np.ndarray) -> np.ndarray:
    """E[f'(A cos)]: the gain for a small second input of another frequency, beside a sinusoid of each `amplitude` `[H]` (their
    section 5.1)."""
    return _slope(f, amplitude[:, None] * COSINES).mean(axis=1)


def _slope(f: Nonlinearity, drive: np.ndarray) -> np.ndarray:
    return (f(drive + SMALL) - f(drive - SMALL)) / (2 * SMALL)


def _gain(f: Nonlinearity, recurrent: np.ndarray, state: np.ndarray, turns: bool) -> np.ndarray:
    """The gain of each unit for the orbit of one mode, or for a constant state."""
    amplitude = np.maximum(np.abs(recurrent @ state), 1e-12)
    return sinusoidal_gain(f, amplitude) if turns else f(amplitude) / amplitude


def neutral_modes(f: Nonlinearity, recurrent: np.ndarray) -> Modes:
    """The modes of h -> f(R h) in the Gaussian quasi-linear theory, from R `[H, H]` alone.

    u = R h is treated as Gaussian of covariance R C R', so that unit i has the gain g_i of variance (R C R')_ii. The covariance of
    the state is iterated, C <- D R C R' D + `SPARK`, to its fixed point; where the plain iteration circles about it, half a step is
    taken at a time, which has the same fixed points. Mode i, with right eigenvector v_i and left one L_i of D R, has the energy
    (L C L*)_ii |v_i|^2. There are no modes where the state decays to 0; the residual tells whether the iteration converged,
    and is infinite where the modes cannot be known.
    """
    units = len(recurrent)
    covariance, gain = START * np.eye(units), np.ones(units)
    residual, iteration = np.inf, 0
    for iteration in range(1, MOST_ITERATIONS + 1):
        driven = recurrent @ covariance @ recurrent.T
        previous, gain = gain, gaussian_gain(f, driven.diagonal())
        following = gain[:, None] * driven * gain
        covariance = (following if iteration <= PLAIN else (covariance + following) / 2) + SPARK * np.eye(units)
        residual = float(np.abs(gain - previous).max())
        if not np.isfinite(residual) or residual < STILL:
            break
    if np.isfinite(covariance).all():
        with suppress(np.linalg.LinAlgError):  # where D R has no basis of eigenvectors
            return Modes(*modes_of(gain, recurrent, covariance), gain, residual, iteration)
    unknown = np.full(units, np.nan, complex)
    return Modes(unknown[:0], np.empty(0), np.empty((units, 0), complex), unknown, gain, np.inf, iteration)


def of_network(network: RecurrentNetwork) -> Modes | None:
    """The modes of a network, none where the iteration did not converge; None where its blank map is not h -> f(R h), f odd."""
    if not has_theory(network.cell):
        return None
    modes = neutral_modes(nonlinearity(network), recurrent_matrix(network))
    if modes.residual > CONVERGED:
        return replace(modes, eigenvalues=modes.eigenvalues[:0], energy=modes.energy[:0], vectors=modes.vectors[:, :0])
    return modes


def has_theory(cell: Cell) -> bool:
    """Whether the theory is about a cell: its blank map is h -> f(R h), and odd, so that a Gaussian state keeps its mean of 0."""
    return cell.odd and cell.nonlinearity(torch.zeros(1)) is not None


def nonlinearity(network: RecurrentNetwork) -> Nonlinearity:
    """f of the blank map h -> f(R h), on NumPy arrays; only of a cell that has one."""

    def f(drive: np.ndarray) -> np.ndarray:
        answer = network.cell.nonlinearity(torch.from_numpy(drive))
        assert answer is not None
        return answer.numpy()

    return f


def recurrent_matrix(network: RecurrentNetwork) -> np.ndarray:
    """R `[H, H]` in double precision."""
    return network.recurrent.double().cpu().numpy()


@dataclass(frozen=True)
class Projectors:
    """What a mode, of right eigenvector v and left one l of D R, is in the space of states: its `spectral` projector `[H, H]`,
    2 Re v l* (v l* where it does not turn); the same times e^(i delta), `turned`, None where it does not turn; and an orthonormal
    `basis` of its plane or line `[H, k]`.
    """

    spectral: np.ndarray
    turned: np.ndarray | None
    basis: np.ndarray


def projectors(modes: Modes, recurrent: np.ndarray, slower: float) -> Iterator[Projectors]:
    """The projectors of each mode; with R (I - spectral + turned) in place of R its period is `slower` times as long."""
    eigenvalues, right = np.linalg.eig(modes.gain[:, None] * recurrent)
    left = np.linalg.inv(right)
    for eigenvalue in modes.eigenvalues:
        place = int(np.argmin(np.abs(eigenvalues - eigenvalue)))
        vector, both = right[:, place], np.outer(right[:, place], left[place])
        if abs(eigenvalue.imag) <= TURNS:
            yield Projectors(np.real(both), None, np.linalg.qr(np.real(vector)[:, None])[0])
            continue
        turn = np.exp(1j * np.angle(eigenvalue) * (1 / slower - 1))
        plane = np.stack([np.real(vector), np.imag(vector)], axis=1)
        yield Projectors(2 * np.real(both), 2 * np.real(turn * both), np.linalg.qr(plane)[0])


def modes_of(
    gain: np.ndarray, recurrent: np.ndarray, covariance: np.ndarray, neutral: float = NEUTRAL
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The eigenvalues of diag(`gain`) R of modulus within `neutral` of 1, with their energies under a covariance of the state, and
    unit eigenvectors; and all its eigenvalues."""
    eigenvalues, right, energy = weighed(gain[:, None] * recurrent, covariance)
    kept = np.flatnonzero((np.imag(eigenvalues) >= -TURNS) & (np.abs(np.abs(eigenvalues) - 1) < neutral))
    kept = kept[np.argsort(-energy[kept], kind="stable")][:MOST_MODES]
    kept = kept[energy[kept] > ALIVE * energy[kept].max(initial=0)]
    return eigenvalues[kept], energy[kept], right[:, kept] / np.linalg.norm(right[:, kept], axis=0), eigenvalues


def weighed(linear: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The eigenvalues and right eigenvectors v of a linear map, and the energy (L C L*)_ii |v_i|^2 that each carries of states of
    this covariance, with L the inverse of the eigenvectors."""
    eigenvalues, right = np.linalg.eig(linear)
    left = np.linalg.inv(right)
    energy = np.einsum("ij,jk,ik->i", left, covariance, left.conj()).real * np.sum(np.abs(right) ** 2, axis=0)
    return eigenvalues, right, energy


@dataclass(frozen=True)
class OwnOrbit:
    """The orbit of one mode alone: all units turn at one frequency, and their gains are those of this sinusoid.

    Attributes: its `eigenvalue`, of modulus 1 once the amplitude fits; `energy`, the mean square of its state, summed over
    units; `growth`, the largest modulus of an eigenvalue of diag(tangent gains) R, by which a small disturbance of another
    frequency grows in each row: below 1 the orbit is stable; `residual`, the relative change of the amplitudes in the last
    iteration.
    """

    eigenvalue: complex
    energy: float
    growth: float
    residual: float

    @property
    def exists(self) -> bool:
        """Whether the iteration has found it."""
        return self.residual < FOUND and abs(abs(self.eigenvalue) - 1) < NEUTRAL

    @property
    def stable(self) -> bool:
        """Whether it exists and no other mode grows in its presence."""
        return self.exists and self.growth < 1


def own_orbit(f: Nonlinearity, recurrent: np.ndarray, eigenvalue: complex, vector: np.ndarray, energy: float) -> OwnOrbit:
    """The orbit of a mode alone, followed from its `eigenvalue`, `vector` `[H]` and `energy` among the others.

    The amplitudes a `[H]` solve D R a = mu a with |mu| = 1, where D holds the describing function of each unit at the amplitude
    of its drive, |(R a)_i|. By turns the gains are computed, the eigenvector nearest a is found by inverse iteration, and the
    amplitude is multiplied by |mu|, which shrinks it where the gains are too small to hold it. A mode that does not turn has a
    constant state, and the gain f(u)/u.
    """
    turns = abs(eigenvalue.imag) > TURNS
    state = vector * np.sqrt(2 * energy) if turns else np.real(vector) * np.sqrt(energy)
    identity, residual = np.eye(len(recurrent)), np.inf
    eigenvalue = complex(eigenvalue)
    for _ in range(MOST_STEPS):
        gain = _gain(f, recurrent, state, turns)
        size = np.linalg.norm(state)
        direction = state / size
        linear = gain[:, None] * recurrent
        shift = np.vdot(direction, linear @ direction) * (1 + 1e-9)  # the gains have changed, and the eigenvalue with them
        factors = lu_factor(linear - shift * identity, check_finite=False)
        nearest = direction
        for _ in range(INVERSE_STEPS):
            nearest = lu_solve(factors, nearest, check_finite=False)
            nearest = nearest / np.linalg.norm(nearest)
        overlap = np.vdot(nearest, direction)
        if not np.isfinite(overlap) or overlap == 0:
            break
        eigenvalue = np.vdot(nearest, linear @ nearest)
        following = nearest * (size * abs(eigenvalue) * overlap / abs(overlap))
        residual = float(np.linalg.norm(following - state) / size)
        state = (state + following) / 2
        if residual < FOUND:
            break
    amplitude = np.abs(recurrent @ state)
    beside = tangent_gain(f, amplitude) if turns else _slope(f, amplitude)
    growth = float(np.abs(np.linalg.eigvals(beside[:, None] * recurrent)).max())
    energy = float(np.linalg.norm(state) ** 2 / (2 if turns else 1))
    return OwnOrbit(complex(eigenvalue), energy, growth, residual)
