"""The eigenvalues of the blank map's Jacobian at rest."""

from __future__ import annotations

import numpy as np
import torch

from study.networks.network import Network

SPECTRUM = "eigenvalues of the blank map's Jacobian at rest"  # of R, for the paper's cell
NO_REST = "the blank map has no rest state that is found from the initial state"
NOT_SMOOTH = "the blank map has no derivative at its rest state"


def rest_eigenvalues(network: Network) -> np.ndarray:
    """The eigenvalues of the blank map's Jacobian at its rest state (R, for the paper's cell), in the order of `eigenvalues`;
    `[D, 2]`, NaN where there is no rest state, or no derivative there."""
    jacobian = network.rest_jacobian
    if jacobian is None:
        return np.full((network.state_size, 2), np.nan)
    return eigenvalues(jacobian)


def eigenvalues(matrix: torch.Tensor) -> np.ndarray:
    """The eigenvalues of a matrix `[D, D]`, largest modulus first; of a conjugate pair, the one with positive imaginary part first.
    `[D, 2]`, real and imaginary parts."""
    values = np.linalg.eigvals(matrix.detach().double().cpu().numpy())
    ordered = values[np.lexsort((-values.imag, -np.abs(values).round(12)))]
    return np.stack([ordered.real, ordered.imag], axis=1)


def no_rest(network: Network) -> str | None:
    """What a missing eigenvalue means for this network; None where eigenvalues always exist."""
    if not network.cell.smooth_at_rest:
        return NOT_SMOOTH
    return None if network.cell.rests_at_zero else NO_REST
