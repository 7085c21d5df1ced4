"""The class that separates early is named by the pixels of the first rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from study.data.sources import Images
from study.measurements import measure
from study.measurements.early_class import LEAST, early_step, how_far_apart
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork
from study.schema import class_names


def test_in_mnist_the_sixes_separate_early_by_far(train_images):
    apart = how_far_apart(train_images)
    assert apart.argmax() == 6
    assert apart[6] > 3 * np.delete(apart, 6).max()
    assert apart[[0, 1, 3, 4, 5, 7, 8, 9]].max() < 0.01


@pytest.mark.parametrize(("rows", "step"), [(1, 1), (4, 1), (8, 1), (12, 2), (14, 2), (28, 4), (40, 6), (56, 8)])
def test_a_seventh_of_the_rows_is_early(rows, step):
    assert early_step(rows) == step


def test_in_the_digits_of_scikit_learn_it_is_the_four():
    digits = load_digits()
    images = torch.from_numpy(digits.images * 255 / 16).to(torch.uint8)
    apart = how_far_apart(Images(images, torch.from_numpy(digits.target)))
    assert apart.argmax() == 4
    assert apart[4] == pytest.approx(0.478, abs=0.001)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_class_whose_ink_is_alike_separates_and_its_name_is_kept(dtype):
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.zeros(300, 14, 5, dtype=dtype), torch.arange(300) % 3
    images[:, 2:] = torch.randint(1, 256, (300, 12, 5), generator=draw).to(dtype)
    images[labels != 2, :2] = torch.randint(1, 256, (200, 2, 5), generator=draw).to(dtype)  # ink, but none alike
    images[labels == 2, 1, 3] = 200
    shown = Images(images, labels, names=("shirt", "bag", "ankle boot"))
    apart = how_far_apart(shown)
    assert apart[2] > 0.9
    assert apart[:2].max() < 0.4
    record = measure(Recording(RecurrentNetwork.initial(0, 8, 5, 3), shown, shown), ["early_cluster", "geometry"])
    assert float(record.early_class) == 2
    assert class_names(record.attrs, 3) == ("shirt", "bag", "ankle boot")
    assert record.early_cluster_agreement.sel(source="pixels", time_step=2) > 0.9
    assert record.early_cluster_agreement.sel(time_step=1).isnull().all()
    assert record.early_class_agreement.sel(source="pixels").notnull()


@pytest.mark.parametrize("count", [6, 400])
def test_noise_has_no_class_that_separates(count):
    draw = torch.Generator().manual_seed(1)
    noise = Images(torch.randint(256, (count, 28, 28), generator=draw, dtype=torch.uint8), torch.arange(count) % 4)
    assert how_far_apart(noise).max() < LEAST


@pytest.mark.parametrize("text", ["", "{}", '["a"]', '["a", 1]', '["a", " "]', "[" * 10_000])
def test_names_of_classes_that_are_none_are_not_taken(text):
    assert class_names({"class_names": text}, 2) == ("0", "1")


def test_names_of_classes_are_visible_and_short():
    first, second = class_names({"class_names": '["ankle\\u202eboot", "' + "x" * 500 + '"]'}, 2)
    assert first == "ankle[U+202E]boot"
    assert len(second) < 100
