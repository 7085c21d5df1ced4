"""What depends on the images alone, and is therefore the same for all networks of a study: computed once, and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch

from study.data.images import Images
from study.data.places import CACHE
from study.files import durable, untrusted
from study.files.untrusted import Refused
from study.terminal.errors import StudyError

FOLDER = CACHE / "of-data"
LARGEST = 1 << 20  # bytes: a few curves over the rows of an image
KEPT: dict[str, np.ndarray] = {}  # by this process


def shares_of_data(name: str, images: Sequence[Images], shape: tuple[int, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The result of a computation on some images, float64 of this shape, numbers between 0 and 1.

    `name` says what is computed, and changes whenever the computation does. A stored result is used where it was made from the same
    images with the same PyTorch on the same kind of device; one that cannot be is computed anew, and a cache that cannot be written
    to is done without.
    """
    digest = hashlib.sha256(f"{name} {torch.__version__}".encode())
    for tensor in (tensor for some in images for tensor in (some.images, some.labels)):
        digest.update(str((tuple(tensor.shape), tensor.dtype, tensor.device.type)).encode())
        digest.update(tensor.cpu().numpy().tobytes())
    key = digest.hexdigest()
    if key not in KEPT:
        KEPT[key] = _stored(key, shape, compute)
    return KEPT[key]


def _stored(key: str, shape: tuple[int, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
    file = FOLDER / f"{key}.float64"
    with suppress(OSError, ValueError, Refused):  # there is none, or it is damaged
        values = np.frombuffer(untrusted.content(file, LARGEST)).reshape(shape)
        if ((values >= 0) & (values <= 1)).all():
            return values
    values = compute()
    with suppress(StudyError):  # it is only slower next time
        durable.write(file, np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return values
