"""Random generators that belong to one network and one purpose, never to the process."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, hidden_size: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator that is a function of its arguments alone.

    Drawing initial weights and each epoch's permutation from generators of their own makes a network independent of
    what is trained beside it, and lets training continue at any epoch without replaying the ones before.

    Parameters: `seed` and `hidden_size` of the network, `purpose` such as ``"weights"`` or ``"permutation"``, and an
    `index` such as the epoch.
    """
    digest = hashlib.sha256(f"hidden-orbits/{seed}/{hidden_size}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def permutation(seed: int, hidden_size: int, epoch: int, length: int) -> torch.Tensor:
    """The order in which a network sees its `length` training images in `epoch`; int64 `[length]`."""
    return torch.randperm(length, generator=generator(seed, hidden_size, "permutation", epoch))
