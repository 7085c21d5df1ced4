"""Eigenvalues of the blank map's Jacobian at rest: of the recurrent weights R, for the paper's cell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from study.measurements.recording import Recording
from study.networks.eigenvalues import SPECTRUM, no_rest, rest_eigenvalues
from study.schema import labelled


def predicted_period(spectrum: np.ndarray) -> float:
    """2 pi / |arg mu_1| of the leading eigenvalue of `[H, 2]`, in rows; NaN where it is real and positive: no rotation."""
    angle = abs(np.arctan2(spectrum[0, 1], spectrum[0, 0]))
    return float(2 * np.pi / angle) if angle > 0 else float("nan")


def recurrent_spectrum(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `eigenvalue_real` and `eigenvalue_imaginary` over `mode`, `spectral_radius` and `period_predicted`."""
    network = recording.network
    values, missing = rest_eigenvalues(network), no_rest(network)
    mode = {"mode": np.arange(1, len(values) + 1)}
    yield labelled("eigenvalue_real", values[:, 0], mode, f"{SPECTRUM}, real part", missing=missing)
    yield labelled("eigenvalue_imaginary", values[:, 1], mode, f"{SPECTRUM}, imaginary part", missing=missing)
    yield labelled(
        "spectral_radius", np.hypot(*values[0]), {}, f"largest modulus of the {SPECTRUM}", role="number", missing=missing
    )
    yield labelled(
        "period_predicted",
        predicted_period(values),
        {},
        f"period of the leading one of the {SPECTRUM}, 2 pi / |arg|",
        units="rows",
        role="number",
        missing="; or ".join(filter(None, ("the leading eigenvalue is a positive number", missing))),
        odd=int(network.cell.odd),  # the period may then be measured as its half
    )
