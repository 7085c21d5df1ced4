"""Data as a person gives them in Python: the name of a data set, images, or arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from study.data.images import LEAST_ROWS
from study.data.sources import DATA_DIR, Images, load_images, prepare_data
from study.terminal.errors import InputError, quoted

ACCEPTED = (
    "expected the name of a data set, such as mnist, two Images (train, test), or four arrays (train_x [N, T, features], "
    "train_y [N], test_x, test_y)"
)


def images_of(data: object) -> tuple[Images, Images]:
    """The training and the test images of data.

    Numbers are uint8, of which networks see a 255th part, or floating-point ones, which they see as they are (as float32). Raises
    `InputError` where they are something else, do not fit together, or are not finite.
    """
    if isinstance(data, str):
        source = prepare_data(data, DATA_DIR)
        return load_images(source, train=True), load_images(source, train=False)
    if not isinstance(data, tuple | list) or len(data) not in (2, 4):
        raise InputError(f"data={quoted(type(data).__name__)}: {ACCEPTED}")
    if len(data) == 2:
        if not all(isinstance(part, Images) for part in data):
            raise InputError(f"data holds {', '.join(type(part).__name__ for part in data)}: {ACCEPTED}")
        parts = [(part.images, part.labels) for part in data]
    else:
        parts = [data[:2], data[2:]]
    train, test = (_checked(part[0], part[1], name) for part, name in zip(parts, ("train", "test"), strict=True))
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = " and ".join(f"{one.shape.rows} rows of {one.shape.features}" for one in (train, test))
        raise InputError(f"data: train and test hold {shapes}: expected images of one shape")
    if train.images.dtype != test.images.dtype:
        raise InputError(f"data: train and test are {train.images.dtype} and {test.images.dtype}: expected one type")
    if isinstance(data[0], Images):
        if (data[0].classes, data[0].names) != (data[1].classes, data[1].names):
            raise InputError(
                f"data: train and test have {data[0].classes} and {data[1].classes} classes: expected the same classes"
            )
        classes, names = data[0].classes, data[0].names
    else:
        classes, names = max(train.classes, test.classes), ()
    for part, name in ((train, "train"), (test, "test")):
        if part.classes > classes:
            raise InputError(f"data: {name} has the label {part.classes - 1}: expected labels from 0 to {classes - 1}")
    train, test = (replace(part, classes=classes, names=names) for part in (train, test))
    return train, test


def _checked(images: Any, labels: Any, name: str) -> Images:
    """Images and labels as tensors, with as many classes as the labels need."""
    images, labels = _tensor(images, f"{name}_x"), _tensor(labels, f"{name}_y")
    if images.ndim != 3 or not images.numel() or images.shape[1] < LEAST_ROWS:
        raise InputError(
            f"data: {name}_x has the shape {list(images.shape)}: expected [N, T, features], T rows of features each, at least "
            f"{LEAST_ROWS} rows"
        )
    if labels.ndim != 1 or len(labels) != len(images):
        raise InputError(f"data: {name}_y has the shape {list(labels.shape)} beside {len(images)} images: expected one label each")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or int(labels.min()) < 0:
        raise InputError(f"data: {name}_y is {labels.dtype}, or holds negative labels: expected integers, the classes from 0 on")
    if images.is_floating_point():
        images = images.float()
        if not images.isfinite().all():
            raise InputError(f"data: {name}_x holds values that are not finite 32-bit numbers: expected only finite ones")
    elif images.dtype != torch.uint8:
        raise InputError(
            f"data: {name}_x is {images.dtype}: expected floating-point numbers, which are seen as they are, or uint8, of which a "
            "255th part is seen"
        )
    return Images(images.contiguous(), labels.long())


def _tensor(values: Any, name: str) -> torch.Tensor:
    """A tensor on the CPU of whatever torch can make one of."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    try:
        return torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise InputError(f"data: {name} is no array of numbers ({type(values).__name__}): {ACCEPTED}") from None
