from __future__ import annotations

import gzip
import shutil
from dataclasses import replace

import pytest
import torch
from conftest import ROOT

from study import data
from study.errors import InputError


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The shipped files in a folder that may be damaged, with a cache of its own."""
    shutil.copytree(ROOT / "data" / "mnist", tmp_path / "data" / "mnist")
    monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
    return tmp_path / "data"


def test_the_known_facts(test_images, train_images):
    assert train_images.images.shape == (60000, 28, 28)
    assert test_images.images.shape == (10000, 28, 28)
    assert train_images.images.dtype == torch.uint8
    assert test_images.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert not test_images.images[:, 0].any()


@pytest.mark.parametrize(("damage", "word"), [
    (lambda file: file.unlink(), "is missing"),
    (lambda file: file.write_bytes(file.read_bytes()[:-2000]), "cut short"),
    (lambda file: file.write_bytes(b"not gzip at all"), "damaged"),
    (lambda file: file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1] + b"\x63")), "altered"),
])
def test_a_damaged_file_is_named_with_what_to_do(copied, damage, word):
    file = copied / "mnist" / "t10k-labels-idx1-ubyte.gz"
    damage(file)
    with pytest.raises(InputError, match="git checkout") as caught:
        data.prepare("mnist", copied)
    assert str(file) in str(caught.value)
    assert word in str(caught.value)


def test_damage_in_the_cache_is_repaired(copied):
    source = data.prepare("mnist", copied)
    unpacked = source.root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    whole = unpacked.read_bytes()
    unpacked.write_bytes(whole[:100])
    assert data.prepare("mnist", copied) == source
    assert unpacked.read_bytes() == whole


def test_a_folder_without_the_data_set_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        data.prepare("mnist", tmp_path)


def test_a_data_set_that_another_process_is_still_unpacking_is_not_taken_for_prepared(source, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CACHE", tmp_path)
    (source.root / "MNIST" / "raw").mkdir(parents=True)
    data.prepare_here(replace(source, data_dir=ROOT / "data"))
    assert len(data.load(source, train=False)) == 10_000
