"""Random generators for one network and one purpose each, never global."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, hidden_size: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator that depends only on its arguments.

    Initial weights and each epoch's permutation are drawn from separate generators. A network is therefore independent of what else
    is trained, and training can continue at any epoch without replaying the earlier ones.

    Parameters: `seed` and `hidden_size` of the network, `purpose` such as ``"weights"`` or ``"permutation"``, and an
    `index` such as the epoch.
    """
    digest = hashlib.sha256(f"hidden-orbits/{seed}/{hidden_size}/{purpose}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def blanks(epoch: int, batches: int, least: int, most: int) -> list[int]:
    """How many blank rows follow the images of each batch of an `epoch`: whole numbers from `least` to `most`, drawn evenly.

    They are the same in all networks, which a GPU can thus train in lockstep.
    """
    drawn = torch.randint(least, most + 1, (batches,), generator=generator(0, 0, "blanks", epoch))
    return drawn.tolist()


def permutation(seed: int, hidden_size: int, epoch: int, length: int) -> torch.Tensor:
    """The order in which a network sees its `length` training images in `epoch`; int64 `[length]`."""
    return torch.randperm(length, generator=generator(seed, hidden_size, "permutation", epoch))
