"""The history of one network's training, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from study.networks.eigenvalues import SPECTRUM, no_rest, rest_eigenvalues
from study.networks.network import RecurrentNetwork
from study.schema import labelled

HISTORY = ("losses", "accuracies", "spectra")


@dataclass
class History:
    """One network's mean training `losses` and test `accuracies`, one per epoch, and `spectra`, the eigenvalues of the blank map's
    Jacobian at rest `[D, 2]`, the first before training."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    spectra: list[np.ndarray] = field(default_factory=list)

    def begin(self, network: RecurrentNetwork) -> None:
        """Records the network before the first epoch, unless that was done already."""
        if not self.spectra:
            self.spectra.append(rest_eigenvalues(network))

    def add(self, loss: float, accuracy: float, network: RecurrentNetwork) -> None:
        """Records an epoch and the network after it."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)
        self.spectra.append(rest_eigenvalues(network))

    def arrays(self) -> dict[str, np.ndarray]:
        """The history as float64 arrays, by the names in `HISTORY`."""
        return {name: np.array(getattr(self, name), dtype=np.float64) for name in HISTORY}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> History:
        """The inverse of `arrays`."""
        return cls(arrays["losses"].tolist(), arrays["accuracies"].tolist(), list(arrays["spectra"]))

    def labelled(self, network: RecurrentNetwork) -> xr.Dataset:
        """The labelled history of a `network`: `train_loss` and `test_accuracy_by_epoch` over `epoch`; `eigenvalue_real_by_epoch`
        and `eigenvalue_imaginary_by_epoch` over (`epoch_from_0`, `mode`); and `spectral_radius_by_epoch`."""
        missing = no_rest(network)
        trained = {"epoch": np.arange(1, len(self.losses) + 1)}
        begun = {"epoch_from_0": np.arange(len(self.spectra))}
        spectra = np.array(self.spectra)
        modes = begun | {"mode": np.arange(1, spectra.shape[1] + 1)}
        real, imaginary = spectra.astype(np.float32).transpose(2, 0, 1)
        arrays = [
            labelled(
                "train_loss",
                np.array(self.losses),
                trained,
                "mean cross-entropy over the epoch",
                units="nat",
                role="curve",
                metric="train/loss",
            ),
            labelled(
                "test_accuracy_by_epoch",
                np.array(self.accuracies),
                trained,
                "test accuracy after the epoch",
                role="curve",
                metric="test/accuracy",
                share=True,
            ),
            labelled("eigenvalue_real_by_epoch", real, modes, f"{SPECTRUM}, real part", missing=missing),
            labelled("eigenvalue_imaginary_by_epoch", imaginary, modes, f"{SPECTRUM}, imaginary part", missing=missing),
            labelled(
                "spectral_radius_by_epoch",
                np.hypot(*spectra[:, 0].T),
                begun,
                f"largest modulus of the {SPECTRUM}",
                role="curve",
                metric="train/spectral_radius",
                missing=missing,
            ),
        ]
        return xr.Dataset({array.name: array for array in arrays})
