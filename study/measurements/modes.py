"""The modes of a network under blank rows: predicted from R alone, read off its orbit, and fitted to its states.

A mode is a pair of directions in which the state turns at one frequency. See `study.networks.quasilinear` for the theory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from study.measurements import attractors
from study.measurements.recording import Recording
from study.networks.cells import Cell
from study.networks.quasilinear import (
    MOST_MODES,
    Modes,
    has_theory,
    modes_of,
    nonlinearity,
    of_network,
    own_orbit,
    periods,
    recurrent_matrix,
    weighed,
)
from study.schema import labelled

NEAR = 0.15  # of 1: the moduli of the modes of an orbit, which is no sinusoid and has harmonics
DMD_ROWS = 60  # blank rows after the image
DMD_VARIANCE = 0.99  # of the states, which the directions of the fitted map carry
NOT_OF_THIS_FORM = "the cell's blank map is not h -> f(R h) with an odd f"
NOT_CONVERGED = "the iteration of the gains did not converge"
NONE_LEFT = "no mode is left at modulus 1, and the state decays"
NO_TURN = "the mode does not turn"
FEWER = "there are fewer modes"


def reasons(cell: Cell, *words: str) -> str:
    """Why a mode may be missing: for one of several reasons, or because the theory is not about this cell."""
    return "; or ".join(words) if has_theory(cell) else NOT_OF_THIS_FORM


def found(recording: Recording) -> Modes | None:
    """The modes of a network, as `quasilinear.of_network` has them; ask for them with `Recording.cached`."""
    return of_network(recording.recurrent_network)


def from_weights(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields what R alone predicts.

    Over `neutral_mode`, by the Gaussian quasi-linear theory: `mode_period`, `mode_energy` (share of the modes' energy) and
    `mode_modulus`; and of each mode alone: `mode_own_period`, that of its own orbit, and `mode_growth`, the largest factor by
    which a disturbance of another frequency grows beside it in one row (below 1: the mode can win).

    `period_quasilinear`, that of the mode with most energy; `mode_tie`, the second largest energy over the largest;
    `period_selected`, that of the mode with most energy among those whose own orbit is stable, and `period_quasilinear` where none
    is; `modes_stable`, how many are; `quasilinear_residual` and `quasilinear_iterations`; and over `saturated_mode` all eigenvalues
    of D R, `saturated_real` and `saturated_imaginary`.
    """
    network, modes = recording.recurrent_network, recording.cached(found)
    f, recurrent = nonlinearity(network), recurrent_matrix(network)
    eigenvalues, energy = (modes.eigenvalues, modes.energy) if modes else (np.empty(0, complex), np.empty(0))
    own = [own_orbit(f, recurrent, *one) for one in zip(eigenvalues, modes.vectors.T, energy, strict=True)] if modes else []
    alone = periods(np.array([orbit.eigenvalue if orbit.exists else 1 for orbit in own], dtype=complex))
    stable = [place for place, orbit in enumerate(own) if orbit.stable]
    quasilinear = periods(eigenvalues[:1])[0] if len(eigenvalues) else np.nan
    at = {"neutral_mode": np.arange(1, MOST_MODES + 1)}
    cell = network.cell
    none, fewer = reasons(cell, NOT_CONVERGED, NONE_LEFT), reasons(cell, FEWER, NOT_CONVERGED, NONE_LEFT)
    yield labelled(
        "mode_period",
        _filled(periods(eigenvalues)),
        at,
        "periods of the modes that saturation leaves at modulus 1, from R alone",
        units="rows",
        missing=reasons(cell, NO_TURN, fewer),
    )
    yield labelled("mode_energy", _filled(energy / energy.sum()), at, "share of the modes' energy", missing=fewer, share=True)
    yield labelled("mode_modulus", _filled(np.abs(eigenvalues)), at, "moduli of these modes", missing=fewer)
    yield labelled(
        "mode_own_period",
        _filled(alone),
        at,
        "period of each mode's own orbit",
        units="rows",
        missing=reasons(cell, NO_TURN, fewer),
    )
    yield labelled(
        "mode_growth",
        _filled(np.array([orbit.growth if orbit.exists else np.nan for orbit in own])),
        at,
        "largest growth of another mode beside each mode's own orbit, per row",
        missing=reasons(cell, "the mode has no orbit of its own", fewer),
    )
    yield labelled(
        "period_quasilinear",
        quasilinear,
        {},
        "period of the mode with most energy, from R alone",
        units="rows",
        role="number",
        missing=reasons(cell, NO_TURN, none),
    )
    yield labelled(
        "period_selected",
        alone[stable[0]] if stable else quasilinear,
        {},
        "period of the mode whose own orbit is stable, or else of the one with most energy, from R alone",
        units="rows",
        role="number",
        missing=reasons(cell, NO_TURN, none),
    )
    yield labelled(
        "mode_tie",
        modes.tie if modes else np.nan,
        {},
        "energy of the second mode over that of the first",
        role="number",
        missing=none,
        share=True,
    )
    spectrum = modes.spectrum if modes is not None else np.full(network.hidden_size, np.nan, complex)
    spectrum = spectrum[np.argsort(-np.abs(spectrum), kind="stable")]
    each = {"saturated_mode": np.arange(1, len(spectrum) + 1)}
    for name, part in (("real", np.real(spectrum)), ("imaginary", np.imag(spectrum))):
        yield labelled(f"saturated_{name}", part, each, f"eigenvalues of D R, {name} part", missing=none)
    yield labelled("modes_stable", float(len(stable)), {}, "modes whose own orbit is stable", role="number")
    yield labelled(
        "quasilinear_residual",
        modes.residual if modes and np.isfinite(modes.residual) else np.nan,
        {},
        "change of the gains in the last iteration",
        missing=reasons(cell, "the iteration overflowed"),
    )
    yield labelled(
        "quasilinear_iterations",
        modes.iterations if modes else np.nan,
        {},
        "iterations of the gains",
        missing=None if modes else NOT_OF_THIS_FORM,
    )


def of_orbit(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields the modes that the gains on the network's own orbit leave, those of the attractor that most images reach:
    `orbit_mode_period`, `orbit_mode_energy` and `orbit_mode_modulus` over `neutral_mode`, and `period_secant`, that of the mode
    with most energy.

    The gain of a unit is <h u>/<u^2> over the orbit, where u = R h of the row before.
    """
    network, main = recording.recurrent_network, recording.cached(attractors.followed).main
    eigenvalues, energy = np.empty(0, complex), np.empty(0)
    if has_theory(network.cell) and float(np.abs(np.diff(main, axis=0)).max()) > attractors.NO_DISTANCE:
        recurrent = recurrent_matrix(network)
        drive, answer = main[:-1] @ recurrent.T, main[1:]
        square = np.mean(drive**2, axis=0)
        gain = np.divide(np.mean(answer * drive, axis=0), square, out=np.zeros_like(square), where=square > 0)
        eigenvalues, energy, *_ = modes_of(gain, recurrent, answer.T @ answer / len(answer), NEAR)
    at = {"neutral_mode": np.arange(1, MOST_MODES + 1)}
    why = ("the state stands still", "no mode is near modulus 1")
    cell = network.cell
    fewer = reasons(cell, FEWER, *why)
    yield labelled(
        "orbit_mode_period",
        _filled(periods(eigenvalues)),
        at,
        "periods of the modes that the gains on the orbit leave",
        units="rows",
        missing=reasons(cell, NO_TURN, fewer),
    )
    yield labelled(
        "orbit_mode_energy", _filled(energy / energy.sum()), at, "share of these modes' energy", missing=fewer, share=True
    )
    yield labelled("orbit_mode_modulus", _filled(np.abs(eigenvalues)), at, "moduli of these modes", missing=fewer)
    yield labelled(
        "period_secant",
        periods(eigenvalues[:1])[0] if len(eigenvalues) else np.nan,
        {},
        "period of the mode with most energy, from the gains on the orbit",
        units="rows",
        role="number",
        missing=reasons(cell, NO_TURN, *why),
    )


def dynamic_modes(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields a dynamic mode decomposition (Schmid 2010) of the first test images under `DMD_ROWS` blank rows: `dmd_period`,
    `dmd_energy` and `dmd_modulus` over `dmd_mode`, and `period_dmd`, that of the turning mode with most energy.

    All orbits together are projected on the directions that carry `DMD_VARIANCE` of their variance; the linear map between
    successive projections is fitted by least squares, and its modes are weighed by `quasilinear.weighed`.
    """
    network = recording.network
    images = min(attractors.IMAGES, len(recording.test))
    state = recording.states[-1, :images].double().cpu().numpy()
    step = network.cell.blank_map(network.parameters)
    orbit = [state]
    for _ in range(DMD_ROWS):
        orbit.append(step(orbit[-1]))
    finite = np.isfinite(orbit).all()
    eigenvalues, energy = fitted_modes(np.array(orbit)) if finite else (np.empty(0, complex), np.empty(0))
    at = {"dmd_mode": np.arange(1, MOST_MODES + 1)}
    none = "the state stands at 0" + ("" if network.cell.bounded else "; or it grows beyond what numbers hold")
    fewer = f"{FEWER}; or {none}"
    yield labelled(
        "dmd_period",
        _filled(periods(eigenvalues)),
        at,
        f"periods of the modes of a linear map fitted to {DMD_ROWS} blank rows",
        units="rows",
        missing=f"{NO_TURN}; or {fewer}",
    )
    yield labelled("dmd_energy", _filled(energy / energy.sum()), at, "share of these modes' energy", missing=fewer, share=True)
    yield labelled("dmd_modulus", _filled(np.abs(eigenvalues)), at, "moduli of these modes", missing=fewer)
    turning = np.flatnonzero(np.isfinite(periods(eigenvalues)))
    yield labelled(
        "period_dmd",
        periods(eigenvalues)[turning[0]] if len(turning) else np.nan,
        {},
        "period of the turning mode with most energy, of a linear map fitted to the states",
        units="rows",
        role="number",
        missing=f"no mode turns; or {none}",
    )


def fitted_modes(orbits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues `[K]` and energies of the linear map that fits orbits `[rows, n, D]` best, the most energy first.

    Of a conjugate pair the eigenvalue above the real axis is given, with the energy of both.
    """
    before, after = (part.reshape(-1, orbits.shape[-1]) for part in (orbits[:-1], orbits[1:]))
    square = before.T @ before / len(before)
    variance, directions = np.linalg.eigh(square)
    variance, directions = variance[::-1], directions[:, ::-1]
    if not variance[0] > attractors.AT_ZERO**2:
        return np.empty(0, complex), np.empty(0)
    rank = int(np.searchsorted(np.cumsum(variance) / variance.sum(), DMD_VARIANCE)) + 1
    basis = directions[:, :rank]
    fitted = np.linalg.lstsq(before @ basis, after @ basis, rcond=None)[0].T
    eigenvalues, _, energy = weighed(fitted, basis.T @ square @ basis)
    kept = np.flatnonzero(np.imag(eigenvalues) >= 0)
    energy = np.where(np.imag(eigenvalues) > 0, 2, 1) * energy
    kept = kept[np.argsort(-energy[kept], kind="stable")][:MOST_MODES]
    return eigenvalues[kept], energy[kept]


def _filled(values: np.ndarray) -> np.ndarray:
    """One value a mode, NaN where there are fewer."""
    every = np.full(MOST_MODES, np.nan)
    every[: len(values)] = values
    return every
