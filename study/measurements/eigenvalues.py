"""The spectrum of the recurrent weights R, the Jacobian of h -> tanh(R h) at 0."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from study.measurements.recording import Recording
from study.networks.eigenvalues import eigenvalues
from study.schema import labelled


def predicted_period(spectrum: np.ndarray) -> float:
    """2 pi / |arg mu_1| of the leading eigenvalue of `[H, 2]`, in rows; NaN where it is a positive number: no rotation."""
    angle = abs(np.arctan2(spectrum[0, 1], spectrum[0, 0]))
    return float(2 * np.pi / angle) if angle > 0 else float("nan")


def recurrent_spectrum(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields `eigenvalue_real` and `eigenvalue_imaginary` over `mode`, `spectral_radius` and `period_predicted`."""
    values = eigenvalues(recording.network.recurrent)
    mode = {"mode": np.arange(1, len(values) + 1)}
    yield labelled("eigenvalue_real", values[:, 0], mode, "eigenvalues of R, real part")
    yield labelled("eigenvalue_imaginary", values[:, 1], mode, "eigenvalues of R, imaginary part")
    yield labelled("spectral_radius", np.hypot(*values[0]), {}, "largest modulus of the eigenvalues of R", metric="spectral_radius")
    yield labelled(
        "period_predicted",
        predicted_period(values),
        {},
        "period of the leading eigenvalue of R, 2 pi / |arg|",
        units="rows",
        metric="period_predicted",
        missing="the leading eigenvalue is a positive number",
    )
