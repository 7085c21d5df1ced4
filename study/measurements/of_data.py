"""What depends on the images alone, and is therefore the same for all networks of a study: computed once, and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
import torch

from study.data.sources import CACHE, Images
from study.files import durable, untrusted
from study.files.untrusted import Refused
from study.terminal.errors import StudyError

FOLDER = CACHE / "of-data"
LARGEST = 1 << 16  # bytes: a curve over the rows of an image
KEPT: dict[str, np.ndarray] = {}  # by this process


def shares_of_data(name: str, train: Images, test: Images, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The result of a computation on these images, float64 `[T]` between 0 and 1, one number for each row of an image.

    `name` says what is computed, and changes whenever the computation does. A stored result is used where it was made from the same
    images with the same PyTorch on the same kind of device; one that cannot be is computed anew, and a cache that cannot be written
    to is done without.
    """
    digest = hashlib.sha256(f"{name} {torch.__version__}".encode())
    for images in (train, test):
        for tensor in (images.images, images.labels):
            digest.update(str((tuple(tensor.shape), tensor.dtype, tensor.device.type)).encode())
            digest.update(tensor.cpu().numpy().tobytes())
    key = digest.hexdigest()
    if key not in KEPT:
        KEPT[key] = _stored(key, test.images.shape[1], compute)
    return KEPT[key]


def _stored(key: str, rows: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    file = FOLDER / f"{key}.npy"
    try:
        values = np.load(BytesIO(untrusted.content(file, LARGEST)), allow_pickle=False)
        if values.shape == (rows,) and values.dtype == np.float64 and ((values >= 0) & (values <= 1)).all():
            return values
    except (OSError, ValueError, EOFError, Refused):
        pass  # there is none, or it is damaged
    values, content = compute(), BytesIO()
    np.save(content, values)
    with suppress(StudyError):  # it is only slower next time
        durable.write(file, content.getvalue())
    return values
