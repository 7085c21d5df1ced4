from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from conftest import ROOT
from places import idx as as_idx
from places import write_data_set
from sklearn.datasets import load_digits

from study.data import idx, places, sources
from study.data.images import DataShape, Images, permutation
from study.terminal.errors import InputError, StudyError


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def copied(tmp_path, own_cache):
    """The shipped files in a folder that may be damaged, with a cache of its own."""
    shutil.copytree(ROOT / "data" / "mnist", tmp_path / "data" / "mnist")
    return tmp_path / "data"


def test_the_known_facts(test_images, train_images):
    assert train_images.images.shape == (60000, 28, 28)
    assert test_images.images.shape == (10000, 28, 28)
    assert train_images.images.dtype == torch.uint8
    assert test_images.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert not test_images.images[:, 0].any()


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-2000]), "cut short"),
        (lambda file: file.write_bytes(b"not gzip at all"), "damaged"),
        (lambda file: file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1] + b"\x63")), "altered"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(copied, damage, word):
    file = copied / "mnist" / "t10k-labels-idx1-ubyte.gz"
    damage(file)
    with pytest.raises(InputError, match="git checkout") as caught:
        sources.prepare_data("mnist", copied)
    assert str(file) in str(caught.value)
    assert word in str(caught.value)


def test_damage_in_the_cache_is_repaired(copied):
    source = sources.prepare_data("mnist", copied)
    unpacked = source.root / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    whole = unpacked.read_bytes()
    unpacked.write_bytes(whole[:100])
    assert sources.prepare_data("mnist", copied) == source
    assert unpacked.read_bytes() == whole


def test_a_folder_without_the_data_set_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        sources.prepare_data("mnist", tmp_path)


def test_a_data_set_that_another_process_is_still_unpacking_is_not_taken_for_prepared(source, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "CACHE", tmp_path)
    (source.root / "MNIST" / "raw").mkdir(parents=True)
    replace(source, data_dir=ROOT / "data").prepare()
    assert len(sources.load_images(source, train=False)) == 10_000


def test_the_digest_by_which_stored_networks_name_their_data(source):
    assert source.digest == "70b244150994313f20a52e933022b2da75ecd199b3529346b7a5ec58ddca2749"


def test_files_that_swap_their_names_are_another_data_set(tmp_path, own_cache):
    one, other = write_data_set(tmp_path / "one"), tmp_path / "other"
    sums = (one / "mnist" / "SHA256SUMS").read_text()
    shutil.copytree(one, other)
    for kind in ("images-idx3", "labels-idx1"):
        names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k")]
        for name, source_name in zip(names, reversed(names), strict=True):
            shutil.copy(one / "mnist" / f"{source_name}.gz", other / "mnist" / f"{name}.gz")
        sums = sums.replace(names[0], "first").replace(names[1], names[0]).replace("first", names[1])
    (other / "mnist" / "SHA256SUMS").write_text(sums)
    prepared = [sources.prepare_data("mnist", folder) for folder in (one, other)]
    assert prepared[0].digest != prepared[1].digest
    assert [len(sources.load_images(source, train=True)) for source in prepared] == [60, 20]


@pytest.mark.parametrize(
    "line",
    [
        f"{'0' * 64}  ../../x",
        f"{'0' * 64}  /etc/passwd",
        f"{'0' * 64}  mnist",
        f"{'0' * 63}  train-labels-idx1-ubyte",
        f"{'g' * 64}  train-labels-idx1-ubyte",
        "nothing",
        f"{'0' * 64}  train-labels-idx1-ubyte",
        "\x1b[2J",
    ],
)
def test_only_the_four_known_files_are_read_or_written(line, tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data")
    sums = folder / "mnist" / "SHA256SUMS"
    (folder / "x.gz").write_bytes(gzip.compress(b"planted"))
    sums.write_text(sums.read_text() + line)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="expected 64 hexadecimal digits and one of the names") as caught:
        sources.prepare_data("mnist", folder)
    assert str(caught.value).startswith(f"line 5 of {sums} is ")
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\n" * 100_000, b""])
def test_a_list_of_digests_that_is_none_is_named(content, tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data")
    (folder / "mnist" / "SHA256SUMS").write_bytes(content)
    with pytest.raises(InputError, match=r"SHA256SUMS .*git checkout"):
        sources.prepare_data("mnist", folder)


def _folder(path):
    path.unlink()
    path.mkdir()


def _fifo(path):
    path.unlink()
    os.mkfifo(path)


def _link(target):
    def make(path):
        path.unlink()
        path.symlink_to(target)

    return make


def _large(path):
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("file", ["SHA256SUMS", "train-images-idx3-ubyte.gz"])
@pytest.mark.parametrize(
    ("make", "word"),
    [
        (_folder, "is a folder"),
        (_fifo, "is not an ordinary file, but a device, a FIFO or a socket"),
        (_large, "more than the"),
        (_link("/dev/zero"), "but a device"),
        (_link("nowhere"), "is missing"),
        (_link("train-images-idx3-ubyte.gz"), "is not a text file|cannot be read"),
        (_link("/proc/self/mem"), "cannot be read"),
    ],
)
def test_what_is_no_file_is_named_and_holds_nothing_up(make, word, file, tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data")
    make(folder / "mnist" / file)
    with pytest.raises(InputError, match=word) as caught:
        sources.prepare_data("mnist", folder)
    assert str(folder / "mnist" / file) in str(caught.value)


def test_a_gzip_bomb_is_not_unpacked(tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data")
    packed = folder / "mnist" / "train-images-idx3-ubyte.gz"
    with gzip.open(packed, "wb", compresslevel=1) as file:
        for _ in range(257):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz is too large: it unpacks to 256 MiB or more"):
        sources.prepare_data("mnist", folder)


def test_a_gzip_file_of_many_members_is_refused(tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data")
    packed = folder / "mnist" / "train-labels-idx1-ubyte.gz"
    packed.write_bytes(packed.read_bytes() + gzip.compress(b"") * 1000)
    with pytest.raises(InputError, match="cut short or damaged"):
        sources.prepare_data("mnist", folder)


IMAGES, LABELS = torch.zeros(20, 28, 28, dtype=torch.uint8), torch.arange(20).remainder(10).to(torch.uint8)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("t10k_labels_idx1_ubyte", as_idx(LABELS + 1), "holds the label 10: expected labels from 0 to 9"),
        ("t10k_labels_idx1_ubyte", as_idx(LABELS + 200), "holds the label 209"),
        ("train_labels_idx1_ubyte", as_idx(torch.zeros(61, dtype=torch.uint8)), "holds 61 labels for 60 images"),
        ("t10k_labels_idx1_ubyte", as_idx(LABELS[:19]), "holds 19 labels for 20 images"),
        (
            "t10k_images_idx3_ubyte",
            as_idx(IMAGES[:, :, :27]),
            "holds images of 28 x 27 pixels, but the training images have 28 x 28",
        ),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES[:, :27]), "holds images of 27 x 28 pixels, but the training images have 28 x 28"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES[:0]), "does not unpack to an IDX file of at least one unsigned byte"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES[:, :, :0]), "does not unpack to an IDX file of at least one unsigned byte"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES)[:-1], "one unsigned byte, [images, rows, pixels], as many as its header"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES) + b"x", "does not unpack to an IDX file"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES.view(20, 784)), "does not unpack to an IDX file"),
        ("t10k_images_idx3_ubyte", b"\1" + as_idx(IMAGES)[1:], "does not unpack to an IDX file"),
        ("t10k_images_idx3_ubyte", as_idx(IMAGES).replace(b"\0\0\x08\3", b"\0\0\x09\3"), "does not unpack to an IDX file"),
        ("t10k_images_idx3_ubyte", b"\0\0\x08\3" + b"\xff" * 12, "does not unpack to an IDX file"),
        ("t10k_images_idx3_ubyte", b"", "does not unpack to an IDX file"),
        ("t10k_labels_idx1_ubyte", as_idx(IMAGES), "does not unpack to an IDX file of at least one unsigned byte, [labels]"),
    ],
)
def test_files_that_make_no_data_set_are_named_for_all_their_right_digests(file, content, words, tmp_path, own_cache):
    folder = write_data_set(tmp_path / "data", **{file: content})
    with pytest.raises(InputError) as caught:
        sources.prepare_data("mnist", folder)
    assert words in str(caught.value)
    assert str(folder / "mnist" / f"{file.replace('_', '-')}.gz") in str(caught.value)


def test_a_small_data_set_of_one_s_own_is_read(tmp_path, own_cache):
    source = sources.prepare_data("mnist", write_data_set(tmp_path / "data", t10k_labels_idx1_ubyte=as_idx(LABELS.flip(0))))
    assert sources.load_images(source, train=False).labels.tolist() == LABELS.flip(0).tolist()


@pytest.mark.parametrize("name", ["../mnist", "cifar", "", ["mnist"], None])
def test_a_data_set_that_is_not_known_is_no_path(name, tmp_path):
    with pytest.raises(InputError, match="expected one of: mnist"):
        sources.prepare_data(name, tmp_path)


def test_what_lies_in_the_cache_is_not_believed(copied):
    source = sources.prepare_data("mnist", copied)
    genuine = sources.load_images(source, train=False)
    black = torch.zeros(10_000, 28, 28, dtype=torch.uint8)
    processed = source.root / "MNIST" / "processed"
    processed.mkdir()
    for part in ("training.pt", "test.pt"):
        torch.save((black, torch.zeros(10_000, dtype=torch.int64)), processed / part)
    assert torch.equal(sources.load_images(source, train=False).images, genuine.images)
    (source.raw / "t10k-images-idx3-ubyte").write_bytes(as_idx(black))
    assert torch.equal(sources.load_images(source, train=False).images, genuine.images)
    (source.raw / "t10k-labels-idx1-ubyte").unlink()
    (source.raw / "t10k-labels-idx1-ubyte").symlink_to("/dev/zero")
    assert torch.equal(sources.load_images(source, train=False).labels, genuine.labels)


def test_a_cache_that_was_deleted_meanwhile_is_made_again(copied, own_cache):
    source = sources.prepare_data("mnist", copied)
    shutil.rmtree(own_cache)
    assert len(sources.load_images(source, train=True)) == 60_000
    shutil.rmtree(own_cache)
    shutil.rmtree(copied)
    with pytest.raises(InputError, match="no data set mnist"):
        sources.load_images(source, train=True)


def test_a_folder_in_the_place_of_a_cached_file_is_named(copied, own_cache):
    source = sources.prepare_data("mnist", copied)
    (source.raw / "t10k-labels-idx1-ubyte").unlink()
    (source.raw / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(StudyError, match="t10k-labels-idx1-ubyte cannot be written"):
        sources.load_images(source, train=False)


def test_other_files_on_this_machine_are_not_taken_for_those_prepared(tmp_path, own_cache):
    source = sources.prepare_data("mnist", write_data_set(tmp_path / "one"))
    shutil.rmtree(own_cache)
    other = write_data_set(tmp_path / "other", t10k_labels_idx1_ubyte=as_idx(LABELS.flip(0)))
    with pytest.raises(InputError, match="is not the coordinator's data set"):
        sources.load_images(replace(source, data_dir=other), train=True)


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "loop", "README.md", "fifo"])
def test_a_folder_that_cannot_be_one_is_named(name, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match=r"no data set mnist under|cannot be read"):
        sources.prepare_data("mnist", tmp_path / name)


def test_the_project_s_data_are_found_from_any_folder(tmp_path):
    code = (
        "from pathlib import Path; from study.data.sources import DATA_DIR, prepare_data\n"
        "assert prepare_data('mnist', Path('data')).digest == prepare_data('mnist', DATA_DIR).digest"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


def test_rows_are_averaged_or_repeated_and_are_other_data(source, test_images):
    pooled, repeated = (sources.prepare_data("mnist", source.data_dir, rows=rows) for rows in (14, 56))
    images = test_images.images[:100].float()
    halves = sources.load_images(pooled, train=False).images[:100].float()
    assert halves.shape == (100, 14, 28)
    assert (halves - (images[:, ::2] + images[:, 1::2]) / 2).abs().max() <= 0.5  # rounded
    doubled = sources.load_images(repeated, train=True).images
    assert doubled.shape == (60000, 56, 28)
    assert torch.equal(doubled[:, ::2], doubled[:, 1::2])
    assert len({one.digest for one in (source, pooled, repeated)}) == 3
    assert pooled.root == source.root  # unpacked once
    assert sources.prepare_data("mnist", source.data_dir, rows=28) == source
    assert sources.prepare_data("mnist", source.data_dir, pooled.digest, rows=14).shape.rows == 14


@pytest.mark.parametrize("rows", [27, 3, 42])
def test_rows_that_do_not_divide_are_refused(source, rows):
    with pytest.raises(InputError, match=f"rows={rows}: images of mnist have 28 rows; expected all"):
        sources.prepare_data("mnist", source.data_dir, rows=rows)


def test_columns_and_permuted_pixels_are_other_data_in_which_the_same_pixels_are_read(source, test_images):
    rows = test_images.images[:50]
    columns, permuted = (sources.prepare_data("mnist", source.data_dir, order=order) for order in ("columns", "permuted"))
    assert torch.equal(sources.load_images(columns, train=False).images[:50], rows.mT)
    mixed = sources.load_images(permuted, train=False).images[:50]
    assert mixed.shape == rows.shape
    assert not torch.equal(mixed, rows)
    assert torch.equal(mixed.flatten(1).sort().values, rows.flatten(1).sort().values)
    assert torch.equal(mixed.flatten(1), rows.flatten(1)[:, permutation(784)])
    assert len({one.digest for one in (source, columns, permuted)}) == 3
    assert sources.prepare_data("mnist", source.data_dir, order="rows") == source
    assert columns.root == source.root  # unpacked once
    assert sources.prepare_data("mnist", source.data_dir, columns.digest, order="columns").digest == columns.digest


def test_a_permutation_is_the_same_for_ever():
    assert permutation(10).tolist() == [6, 4, 2, 1, 7, 5, 0, 8, 9, 3]
    assert sorted(permutation(784).tolist()) == list(range(784))


def test_rows_are_counted_as_they_are_read(tmp_path, own_cache):
    noise = torch.arange(20 * 12 * 6).remainder(251).to(torch.uint8).reshape(20, 12, 6)
    folder = write_data_set(tmp_path / "data", *(Images(noise, torch.arange(20) % 10) for _ in range(2)))
    assert sources.prepare_data("mnist", folder, order="columns").shape == DataShape(6, 12, 10)
    halves = sources.prepare_data("mnist", folder, rows=3, order="columns")
    assert torch.equal(sources.load_images(halves, train=True).images, Images(noise.mT, torch.arange(20) % 10).with_rows(3).images)
    assert sources.prepare_data("mnist", folder, rows=4, order="permuted").shape == DataShape(4, 6, 10)
    with pytest.raises(InputError, match=r"rows=4: images of mnist have 6 rows \(their columns\); expected all"):
        sources.prepare_data("mnist", folder, rows=4, order="columns")
    with pytest.raises(
        InputError, match=r"images of mnist have 1 row as they are read \(rows=1, order=rows\); expected 2 to 1,000"
    ):
        sources.prepare_data("mnist", folder, rows=1)


def test_scikit_learn_s_digits(own_cache):
    source = sources.prepare_data("digits", own_cache)
    train, test = (sources.load_images(source, train=part) for part in (True, False))
    digits = load_digits()
    assert torch.equal(torch.cat([train.images, test.images]), torch.from_numpy(digits.images / 16).float())
    assert torch.cat([train.labels, test.labels]).tolist() == digits.target.tolist()
    assert len(train) == sources.training_images("digits")
    assert test.labels.bincount().min() > 30
    assert source.shape == DataShape(8, 8, 10)
    assert not own_cache.exists()
    with pytest.raises(InputError, match="has other images than the data set"):
        sources.load_images(replace(source, digests={"digits": "0" * 64}), train=True)


fashion = pytest.mark.skipif(not (idx.DEBIAN / "fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed")


@fashion
def test_fashion_mnist_is_found_where_debian_puts_it(tmp_path, own_cache):
    source = sources.prepare_data("fashion-mnist", tmp_path)
    train, test = (sources.load_images(source, train=part) for part in (True, False))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels.bincount().tolist() == [6000] * 10
    assert test.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert train.names[9] == "boot" and train.names == test.names


@fashion
@pytest.mark.parametrize("inside", ["fashion-mnist", "FashionMNIST/raw"])
def test_files_in_the_data_folder_go_before_debian_s(inside, tmp_path, own_cache):
    shutil.copytree(idx.DEBIAN / "fashion-mnist", tmp_path / inside)
    source = sources.prepare_data("fashion-mnist", tmp_path)
    assert source.folder == tmp_path / inside
    labels = tmp_path / inside / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes())[:-1] + b"\0"))
    shutil.rmtree(own_cache)
    with pytest.raises(InputError, match=r"labels-idx1-ubyte\.gz is altered: its content does not match the known digest; put the"):
        sources.load_images(source, train=False)


@pytest.mark.parametrize("name", ["kmnist", "fashion-mnist"])
def test_without_files_and_network_one_line_says_what_to_put_where(name, tmp_path, own_cache, monkeypatch, capfd):
    monkeypatch.setattr(idx, "DEBIAN", tmp_path / "none")
    monkeypatch.setattr(idx._of_torchvision(name), "mirrors", ["http://127.0.0.1:9/"])  # nothing listens there
    with pytest.raises(InputError) as caught:
        sources.prepare_data(name, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"no data set {name} under data_dir={tmp_path}, and it cannot be downloaded (")
    files = ", ".join(f"{file}.gz" for file in sorted(idx.FILES))
    assert said.endswith(f"put the original {files} into {tmp_path / name}")
    assert "\n" not in said
    assert capfd.readouterr() == ("", "")


def _as_kmnist(folder, monkeypatch):
    """A small data set whose md5 torchvision is made to know."""
    files = write_data_set(folder) / "mnist"
    (files / "SHA256SUMS").unlink()
    known = [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted(files.iterdir())]
    monkeypatch.setattr(idx._of_torchvision("kmnist"), "resources", known)
    return files


def test_files_of_kmnist_are_compared_with_the_md5_that_torchvision_knows(tmp_path, own_cache, monkeypatch):
    _as_kmnist(tmp_path / "one", monkeypatch).rename(tmp_path / "kmnist")
    source = sources.prepare_data("kmnist", tmp_path)
    assert sources.load_images(source, train=False).names[:3] == ("o", "ki", "su")
    labels = tmp_path / "kmnist" / "t10k-labels-idx1-ubyte.gz"
    shutil.rmtree(own_cache)
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes()), compresslevel=1))
    with pytest.raises(InputError, match="is altered: its md5 is not the one that torchvision knows"):
        sources.prepare_data("kmnist", tmp_path)


def test_a_data_set_is_downloaded_once_into_the_cache(tmp_path, own_cache, monkeypatch, capfd):
    served = _as_kmnist(tmp_path / "one", monkeypatch)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=served)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(idx._of_torchvision("kmnist"), "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        source = sources.prepare_data("kmnist", tmp_path)
        server.shutdown()
    assert source.folder == own_cache / "downloads" / "KMNIST" / "raw"
    again = sources.prepare_data("kmnist", tmp_path)
    assert (again.digest, len(sources.load_images(again, train=True))) == (source.digest, 60)
