"""The history of one network's training, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from study.data.sources import Images
from study.networks.eigenvalues import SPECTRUM, no_rest, rest_eigenvalues
from study.networks.network import RecurrentNetwork, scaled
from study.networks.quasilinear import CONVERGED, MOST_MODES, of_network, periods
from study.networks.variance import Spread
from study.schema import labelled

IMAGES = 500  # of the test set, whose states are looked at while a network learns
HISTORY = ("losses", "accuracies", "spectra", "sampled", "counts", "modes", "dimensions")


@dataclass
class History:
    """One network's mean training `losses` and test `accuracies`, one per epoch; `spectra`, the eigenvalues of the blank map's
    Jacobian at rest `[D, 2]`, the first before training; and at the epochs `sampled`: `counts`, how many modes stand at modulus
    1 (`study.networks.quasilinear`), NaN where it is not known, `modes`, the period and the share of the energy of each
    `[MOST_MODES, 2]`, and `dimensions`, the participation ratio of the hidden states at the row where it is largest, and at the
    last row `[2]`.
    """

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    spectra: list[np.ndarray] = field(default_factory=list)
    sampled: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    modes: list[np.ndarray] = field(default_factory=list)
    dimensions: list[np.ndarray] = field(default_factory=list)

    def begin(self, network: RecurrentNetwork, test: Images) -> None:
        """Records the network before the first epoch, unless that was done already."""
        if not self.spectra:
            self._record(network, test, sampled=True)

    def add(self, loss: float, accuracy: float, network: RecurrentNetwork, test: Images, last: bool) -> None:
        """Records an epoch, the `last` or another, and the network after it."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)
        epoch = len(self.losses)
        self._record(network, test, sampled=last or epoch & (epoch - 1) == 0)

    def _record(self, network: RecurrentNetwork, test: Images, sampled: bool) -> None:
        self.spectra.append(rest_eigenvalues(network))
        if sampled:
            self.sampled.append(len(self.losses))
            count, modes = _modes(network)
            self.counts.append(count)
            self.modes.append(modes)
            self.dimensions.append(_dimensions(network, test))

    def arrays(self) -> dict[str, np.ndarray]:
        """The history as float64 arrays, by the names in `HISTORY`."""
        return {name: np.array(getattr(self, name), dtype=np.float64) for name in HISTORY}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> History:
        """The inverse of `arrays`."""
        return cls(
            arrays["losses"].tolist(),
            arrays["accuracies"].tolist(),
            list(arrays["spectra"]),
            arrays["sampled"].tolist(),
            arrays["counts"].tolist(),
            list(arrays["modes"]),
            list(arrays["dimensions"]),
        )

    def labelled(self, network: RecurrentNetwork) -> xr.Dataset:
        """The labelled history of a `network`: `train_loss` and `test_accuracy_by_epoch` over `epoch`; `eigenvalue_real_by_epoch`
        and `eigenvalue_imaginary_by_epoch` over (`epoch_from_0`, `mode`); `spectral_radius_by_epoch`; over `epoch_sampled`
        `modes_by_epoch`, how many modes stand at modulus 1, `participation_peak_by_epoch` and `participation_last_by_epoch`; and
        over (`epoch_sampled`, `neutral_mode`) `mode_period_by_epoch` and `mode_energy_by_epoch`."""
        missing = no_rest(network)
        trained = {"epoch": np.arange(1, len(self.losses) + 1)}
        begun = {"epoch_from_0": np.arange(len(self.spectra))}
        spectra, modes = np.array(self.spectra), np.array(self.modes)
        spectrum = begun | {"mode": np.arange(1, spectra.shape[1] + 1)}
        real, imaginary = spectra.astype(np.float32).transpose(2, 0, 1)
        sampled = {"epoch_sampled": np.array(self.sampled, dtype=np.int64)}
        of_modes = sampled | {"neutral_mode": np.arange(1, MOST_MODES + 1)}
        unknown = "the cell's blank map is not h -> f(R h); or the iteration of the gains did not converge"
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
            labelled("eigenvalue_real_by_epoch", real, spectrum, f"{SPECTRUM}, real part", missing=missing),
            labelled("eigenvalue_imaginary_by_epoch", imaginary, spectrum, f"{SPECTRUM}, imaginary part", missing=missing),
            labelled(
                "spectral_radius_by_epoch",
                np.hypot(*spectra[:, 0].T),
                begun,
                f"largest modulus of the {SPECTRUM}",
                role="curve",
                metric="train/spectral_radius",
                missing=missing,
            ),
            labelled(
                "modes_by_epoch",
                np.array(self.counts),
                sampled,
                "modes that saturation leaves at modulus 1, from R alone",
                role="curve",
                metric="train/modes",
                missing=unknown,
            ),
            labelled(
                "mode_period_by_epoch",
                modes[..., 0],
                of_modes,
                "their periods",
                units="rows",
                missing=f"the mode does not turn; or there are fewer modes; or {unknown}",
            ),
            labelled(
                "mode_energy_by_epoch",
                modes[..., 1],
                of_modes,
                "their shares of the energy",
                missing=f"there are fewer modes; or {unknown}",
                share=True,
            ),
            *(
                labelled(
                    f"participation_{name}_by_epoch",
                    values,
                    sampled,
                    f"participation ratio of the hidden states at {words}, {IMAGES} images",
                    units="dimensions",
                    role="curve",
                    metric=f"train/participation_{name}",
                    missing="the states of all images are equal",
                )
                for name, words, values in zip(
                    ("peak", "last"), ("the row where it is largest", "the last row"), np.array(self.dimensions).T, strict=True
                )
            ),
        ]
        return xr.Dataset({array.name: array for array in arrays})


def _modes(network: RecurrentNetwork) -> tuple[float, np.ndarray]:
    """How many modes there are, NaN where it is not known; and period and share of the energy of each `[MOST_MODES, 2]`, NaN where
    there are fewer."""
    every, found = np.full((MOST_MODES, 2), np.nan), of_network(network)
    if found is None or found.residual > CONVERGED:
        return np.nan, every
    if len(found.energy):
        every[: len(found.energy)] = np.stack([periods(found.eigenvalues), found.energy / found.energy.sum()], axis=1)
    return float(len(found.energy)), every


def _dimensions(network: RecurrentNetwork, test: Images) -> np.ndarray:
    """The participation ratio of the hidden states, trace(C)^2 / trace(C^2), over the first test images: the largest over rows, and
    that of the last row; NaN where all states are equal."""
    states = map(network.cell.observed, network.rows(scaled(test.images[:IMAGES])))
    ratios = [Spread.of(hidden).participation_ratio().naive for hidden in states]
    return np.array([max(ratios) or np.nan, ratios[-1] or np.nan])
