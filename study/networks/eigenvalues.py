"""The eigenvalues of the recurrent weights."""

from __future__ import annotations

import numpy as np
import torch


def eigenvalues(recurrent: torch.Tensor) -> np.ndarray:
    """The eigenvalues of R `[H, H]`, the largest modulus first and of a pair that with the positive imaginary part; `[H, 2]`,
    real and imaginary."""
    values = np.linalg.eigvals(recurrent.detach().double().cpu().numpy())
    ordered = values[np.lexsort((-values.imag, -np.abs(values).round(12)))]
    return np.stack([ordered.real, ordered.imag], axis=1)
