"""What a network needs: its modes taken out, or turned at another frequency, and its dimensionality kept from falling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np
import torch
import xarray as xr
from scipy.optimize import brentq

from study.measurements import modes
from study.measurements.dimensionality import continuous, principal_variances
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork, scaled
from study.networks.quasilinear import MOST_MODES, projectors, recurrent_matrix
from study.networks.seeding import generator
from study.schema import DIMENSIONS, labelled

IMAGES = 1000  # of the test set, in every roll-out
BLANK_ROWS, TRANSIENT = 100, 20  # shown after the image, and left out of the oscillation
STRONGEST = 4  # modes that are taken out, those of most energy
PLANES = 4  # random subspaces beside each
DRAWN = 1024  # of which those of the most similar energy are taken
SLOWER = 1.25  # factor on the period of a mode that is turned more slowly
OUTCOMES = DIMENSIONS["outcome"].words
ROLES = {1: "test accuracy", 2: "accuracy lost by one blank row", 3: "oscillation of the accuracy"}
NUMBERS = {1: "accuracy", 2: "tuning", 3: "oscillation"}


def interventions(recording: Recording) -> Iterator[xr.DataArray]:
    """Takes each of the strongest modes (`study.networks.quasilinear`) out of a network, and random subspaces beside it.

    A mode, of right eigenvector v and left one l of D R, is taken out of R by its spectral projector P = 2 Re v l*: R (I - P), so
    that D R keeps all other modes; out of the readout V by the orthogonal projector Q on its plane: V (I - Q); and turned more
    slowly, by `SLOWER`. The subspaces beside it have the same number of dimensions and, as nearly as `DRAWN` draws allow, the same
    energy at the last row: they are taken out by their orthogonal projectors.

    Yields over `outcome` (see `OUTCOMES`), on `IMAGES` images: `intact_outcome`; over (`neutral_mode`, `outcome`)
    `without_mode_outcome`, `unread_mode_outcome`, `slower_mode_outcome`; over (`neutral_mode`, `plane`, `outcome`)
    `without_plane_outcome` and `unread_plane_outcome`; the energy at the last row, `mode_share` and `plane_share`; and for the
    strongest mode by how much more its removal changes each outcome than that of the subspaces: `mode_effect_accuracy`,
    `mode_effect_tuning`, `mode_effect_oscillation`.
    """
    network, images = recording.recurrent_network, scaled(recording.test.images[:IMAGES])
    labels, last = recording.test.labels[:IMAGES], recording.hidden[-1, :IMAGES].double().cpu().numpy()
    found = recording.cached(modes.found)
    unread, without, slower = (np.full((MOST_MODES, 3), np.nan) for _ in range(3))
    shares = np.full(MOST_MODES, np.nan)
    without_plane, unread_plane = (np.full((MOST_MODES, PLANES, 3), np.nan) for _ in range(2))
    plane_shares = np.full((MOST_MODES, PLANES), np.nan)
    draw = np.random.default_rng(generator(recording.seed, network.hidden_size, "planes").initial_seed())
    square = last.T @ last / len(last)

    def outcomes(changed: RecurrentNetwork, readouts: Sequence[np.ndarray] = ()) -> np.ndarray:
        return _outcomes(changed, images, labels, readouts)

    def with_recurrent(recurrent: np.ndarray) -> RecurrentNetwork:
        like = network.parameters["recurrent"]
        parameters = {**network.parameters, "recurrent": torch.from_numpy(recurrent).to(like)}
        return RecurrentNetwork(network.cell, parameters, network.readout, network.bias)

    readout, identity = network.readout.double().cpu().numpy(), np.eye(network.hidden_size)
    hidden: list[np.ndarray] = []  # projectors before the readout
    if found is not None:
        recurrent = recurrent_matrix(network)
        for place, mode in enumerate(islice(projectors(found, recurrent, SLOWER), STRONGEST)):
            spectral, turned, basis = mode.spectral, mode.turned, mode.basis
            hidden.append(identity - basis @ basis.T)
            shares[place] = _share(square, basis)
            planes = _planes(square, basis.shape[1], shares[place], draw)
            plane_shares[place] = [_share(square, plane) for plane in planes]
            without[place] = outcomes(with_recurrent(recurrent @ (identity - spectral)))[0]
            if turned is not None:
                slower[place] = outcomes(with_recurrent(recurrent @ (identity - spectral + turned)))[0]
            for count, plane in enumerate(planes):
                without_plane[place, count] = outcomes(with_recurrent(recurrent @ (identity - plane @ plane.T)))[0]
                hidden.append(identity - plane @ plane.T)
    every = outcomes(network, [readout @ projector for projector in hidden])
    intact = every[0]
    for place, part in enumerate(every[1:].reshape(-1, PLANES + 1, 3)):
        unread[place], unread_plane[place] = part[0], part[1:]
    at = {"neutral_mode": np.arange(1, MOST_MODES + 1)}
    outcome, planes = {"outcome": np.arange(1, 4)}, {"plane": np.arange(1, PLANES + 1)}
    weak = f"it is not among the {STRONGEST} strongest"
    fewer = modes.reasons(network.cell, modes.FEWER, weak, modes.NOT_CONVERGED, modes.NONE_LEFT)
    told = f"outcomes with {{}} ({OUTCOMES})"
    yield labelled("intact_outcome", intact, outcome, told.format("the network as it is"))
    for name, values, words in (
        ("without_mode_outcome", without, "a mode taken out of R"),
        ("unread_mode_outcome", unread, "a mode's plane hidden from the readout"),
    ):
        yield labelled(name, values, at | outcome, told.format(words), missing=fewer)
    yield labelled(
        "slower_mode_outcome",
        slower,
        at | outcome,
        told.format(f"a mode's period {SLOWER:g} times as long"),
        missing=modes.reasons(network.cell, modes.NO_TURN, fewer),
    )
    for name, values, words in (
        ("without_plane_outcome", without_plane, "a random subspace of the mode's energy taken out of R"),
        ("unread_plane_outcome", unread_plane, "a random subspace of the mode's energy hidden from the readout"),
    ):
        yield labelled(name, values, at | planes | outcome, told.format(words), missing=fewer)
    energy = "share of the mean square of the last row's states in the {}"
    yield labelled("mode_share", shares, at, energy.format("mode's plane"), missing=fewer, share=True)
    yield labelled("plane_share", plane_shares, at | planes, energy.format("random subspace"), missing=fewer, share=True)
    effect = without[0] - without_plane[0].mean(axis=0)
    for number, name in NUMBERS.items():
        yield labelled(
            f"mode_effect_{name}",
            effect[number - 1],
            {},
            f"change of the {ROLES[number]} by taking the strongest mode out of R, beyond that by random subspaces",
            role="number",
            missing=fewer,
        )


def _outcomes(
    network: RecurrentNetwork, images: torch.Tensor, labels: torch.Tensor, readouts: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """The three outcomes `[1 + readouts, 3]` with the network's own readout and with others in its place."""
    others = [torch.from_numpy(readout).to(network.readout) for readout in readouts]
    stacked = torch.stack([network.readout, *others])
    right = torch.zeros(BLANK_ROWS + 1, len(stacked), dtype=torch.float64)
    for part, truth in zip(images.split(500), labels.split(500), strict=True):
        *_, state = network.rows(part)
        for count, now in enumerate(chain([state], network.blank_rows(state.clone(), BLANK_ROWS))):
            logits = network.cell.observed(now) @ stacked.mT + network.bias
            right[count] += (logits.argmax(dim=-1) == truth).sum(dim=-1).cpu()
    accuracy = right.numpy().T / len(images)
    return np.stack([accuracy[:, 0], accuracy[:, 0] - accuracy[:, 1], accuracy[:, TRANSIENT:].std(axis=1)], axis=1)


def _share(square: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The share of the mean `square` `[H, H]` of states in the span of each orthonormal `basis` `[.., H, k]`."""
    return ((square @ basis) * basis).sum(axis=(-2, -1)) / np.trace(square)


def _planes(square: np.ndarray, dimensions: int, share: float, draw: np.random.Generator) -> list[np.ndarray]:
    """Orthonormal bases `[H, k]` of random subspaces among the directions in which states of this mean `square` `[H, H]` lie, those
    of the most similar share of it."""
    variance, directions = np.linalg.eigh(square)
    root = directions * np.sqrt(np.maximum(variance, 0))
    bases = np.linalg.qr(root @ draw.standard_normal((DRAWN, len(square), dimensions)))[0]
    return list(bases[np.argsort(np.abs(_share(square, bases) - share), kind="stable")[:PLANES]])


def compression(recording: Recording) -> Iterator[xr.DataArray]:
    """Is the fall of dimensionality needed? The dimension is `dimension90`; p is the row at which it peaks, T the last.

    Yields, on all test images, `accuracy_expanded`: with the last row's states stretched along their minor principal components,
    those beyond the 90%, until their dimension is that of row p again; `accuracy_expanded_at_random`: with the same vectors added
    after a random rotation; and `accuracy_compressed_early`: with the states of row p projected on as many of their principal
    components as the last row needs, before the rest of the image is read; each less the test accuracy.
    """
    network = recording.recurrent_network
    dimension = np.array([continuous(one) for one in recording.cached(principal_variances)[0]])
    peak = int(np.argmax(dimension))
    expanded = rotated = early = np.nan
    labels = recording.test.labels
    if dimension[peak] > dimension[-1] > 0:
        last = recording.hidden[-1].double()
        mean, variances, directions = _principal(last)
        kept = int(np.ceil(dimension[-1]))
        minor = (last - mean) @ directions[:, kept:] @ directions[:, kept:].mT
        factor = _stretch(variances.cpu().numpy(), kept, dimension[peak])
        draw = generator(recording.seed, network.hidden_size, "rotation")
        rotation = torch.linalg.qr(torch.randn(last.shape[1], last.shape[1], dtype=torch.float64, generator=draw))[0].to(last)
        accuracy = _accuracy(network, last, labels)
        if np.isfinite(factor):
            expanded, rotated = (
                _accuracy(network, last + (factor - 1) * added, labels) - accuracy for added in (minor, minor @ rotation)
            )
        if network.state_size == network.hidden_size:
            states = recording.hidden[peak].double()
            mean, _, directions = _principal(states)
            projected = mean + (states - mean) @ directions[:, :kept] @ directions[:, :kept].mT
            state = projected.to(recording.states)
            for row in scaled(recording.test.images[:, peak + 1 :]).unbind(dim=1):
                state = network.cell.step(network.parameters, state, row)
            early = _accuracy(network, network.cell.observed(state).double(), labels) - accuracy
    no_fall = "dimensionality does not fall, or no factor undoes it"
    for name, value, words in (
        ("accuracy_expanded", expanded, "by stretching minor components of the last row to the peak's dimension"),
        ("accuracy_expanded_at_random", rotated, "by the same vectors, rotated at random"),
        ("accuracy_compressed_early", early, "by projecting the peak's states on as many components as the last row needs"),
    ):
        missing = f"{no_fall}; or the cell's state is more than h" if name == "accuracy_compressed_early" else no_fall
        yield labelled(name, value, {}, f"change of the test accuracy {words}", role="number", missing=missing)


def _principal(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean of states `[N, H]`, and their principal variances and directions, the largest first."""
    mean = states.mean(dim=0)
    variances, directions = torch.linalg.eigh((states - mean).mT @ (states - mean) / len(states))
    return mean, variances.flip(0).clamp(min=0), directions.flip(1)


def _stretch(variances: np.ndarray, kept: int, dimension: float) -> float:
    """The smallest factor on all but the `kept` largest components at which the dimension is as given; NaN where none is.

    The dimension rises with the factor only until the minor components carry most of the variance: it is searched from below.
    """

    def stretched(factor: float) -> float:
        return continuous(np.sort(np.r_[variances[:kept], variances[kept:] * factor**2])[::-1])

    factors = np.geomspace(1, 100, 200)
    reached = next((place for place, factor in enumerate(factors) if stretched(factor) >= dimension), None)
    if not reached:
        return float("nan")
    return float(brentq(lambda factor: stretched(factor) - dimension, factors[reached - 1], factors[reached]))


def _accuracy(network: RecurrentNetwork, hidden: torch.Tensor, labels: torch.Tensor) -> float:
    logits = hidden @ network.readout.double().mT + network.bias.double()
    return float((logits.argmax(dim=-1) == labels).double().mean())
