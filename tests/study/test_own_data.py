"""Data sets of one's own: what is accepted, what is refused, and by what they are known."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from study.config import StudyConfig, validated
from study.data import own, sources
from study.record.keys import training_key
from study.terminal.errors import InputError

ROWS, PIXELS = 5, 3


def _arrays(**changes: object) -> dict[str, np.ndarray]:
    """Nine training and six test images of three classes."""
    rng = np.random.default_rng(0)
    made = {
        "train_x": rng.normal(size=(9, ROWS, PIXELS)),
        "train_y": np.arange(9) % 3,
        "test_x": rng.normal(size=(6, ROWS, PIXELS)),
        "test_y": np.arange(6) % 3,
    }
    made |= {name: value(made.get(name)) if callable(value) else value for name, value in changes.items()}
    return {name: np.asarray(value) for name, value in made.items() if value is not None}


def _npz(folder: Path, name: str = "mine.npz", **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **_arrays(**changes))
    return folder / name


def _folder(folder: Path, **changes: object) -> Path:
    (folder / "mine").mkdir(parents=True)
    for name, array in _arrays(**changes).items():
        np.save(folder / "mine" / f"{name}.npy", array)
    return folder / "mine"


def _netcdf(folder: Path, encoding: dict | None = None, attributes: dict | None = None, **changes: object) -> Path:
    axes = {"x": ("row", "pixel"), "y": ()}
    arrays = {name: ((f"{name[:-2]}_image", *axes[name[-1]]), array) for name, array in _arrays(**changes).items()}
    dataset = xr.Dataset(arrays)
    for name, given in (attributes or {}).items():
        dataset[name].attrs.update(given)
    folder.mkdir(exist_ok=True)
    dataset.to_netcdf(folder / "mine.nc", engine="h5netcdf", encoding=encoding or {})
    return folder / "mine.nc"


def _prepared(path: Path, **given):
    config = validated(StudyConfig, {"dataset": f"{path}/" if path.is_dir() else str(path)})
    return sources.prepare_data(config.dataset, config.data_dir, **given)


def _refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        _prepared(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize("write", [_npz, _folder, _netcdf])
def test_every_format_gives_the_same_images_and_the_same_digest(write, tmp_path):
    source = _prepared(write(tmp_path / "one"))
    train, test, arrays = source.images(train=True), source.images(train=False), _arrays()
    largest = np.abs(arrays["train_x"]).max()
    assert train.images.dtype == torch.float32
    assert np.allclose(train.images, arrays["train_x"] / largest, atol=1e-7)
    assert np.allclose(test.images, arrays["test_x"] / largest, atol=1e-7)  # by the training images' magnitude
    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == arrays["train_y"].tolist()
    assert (source.shape.rows, source.shape.features, source.shape.classes) == (ROWS, PIXELS, 3)
    assert source.digest == _prepared(_npz(tmp_path / "other", "renamed.npz")).digest


def test_compressed_netcdf_of_another_program_is_read(tmp_path):
    packed = {name: {"zlib": True, "shuffle": True, "fletcher32": True} for name in ("train_x", "test_x")}
    assert _prepared(_netcdf(tmp_path / "one", packed)).digest == _prepared(_npz(tmp_path / "other")).digest


def test_bytes_stay_bytes_and_zero_stays_zero(tmp_path):
    bytes_ = {name: lambda x: (np.abs(x) * 50).astype(np.uint8) for name in ("train_x", "test_x")}
    assert _prepared(_npz(tmp_path / "bytes", **bytes_)).images(train=True).images.dtype == torch.uint8
    whole = {name: lambda x: np.trunc(x * 100).astype(np.int16) - 3 * (x > 9) for name in ("train_x", "test_x")}
    blank = {"train_x": lambda x: np.where(np.arange(ROWS)[:, None] == 2, 0, whole["train_x"](x)), "test_x": whole["test_x"]}
    images = _prepared(_npz(tmp_path / "whole", **blank)).images(train=True).images
    assert not images[:, 2].any()
    assert float(images.abs().max()) == 1


@pytest.mark.parametrize("dtype", [np.float16, ">f8", np.int32, np.uint64, ">i2"])
def test_any_type_of_number_is_accepted(dtype, tmp_path):
    given = {name: lambda x: np.abs(x * 20).astype(dtype) for name in ("train_x", "test_x")}
    images = _prepared(_npz(tmp_path, **given, train_y=(np.arange(9) % 3).astype(">u8"))).images(train=True)
    assert images.images.dtype == torch.float32
    expected = _arrays(**given)["train_x"].astype(float)
    assert np.allclose(images.images, expected / expected.max(), atol=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(0.5, None), (None, -1.0), (2.0, 3.0), (np.array([1.0, 2.0, 3.0]), np.arange(3.0))])
@pytest.mark.parametrize("write", [_npz, _folder])
def test_the_scale_that_a_file_says_is_taken(write, scale, offset, tmp_path):
    images = _prepared(write(tmp_path, scale=scale, offset=offset)).images(train=False).images
    expected = _arrays()["test_x"] * (1 if scale is None else scale) + (0 if offset is None else offset)
    assert np.allclose(images, expected, atol=1e-6)


def test_netcdf_says_its_scale_and_classes_as_the_conventions_do(tmp_path):
    packing = {name: {"dtype": "i2", "scale_factor": 0.01, "add_offset": 0.5, "_FillValue": -999} for name in ("train_x", "test_x")}
    words = {"train_y": {"flag_values": np.arange(3), "flag_meanings": "left right straight"}}
    images = _prepared(_netcdf(tmp_path, packing, words)).images(train=False)
    assert np.allclose(images.images, _arrays()["test_x"], atol=0.0051)  # not divided by a magnitude
    assert images.names == ("left", "right", "straight")


def test_missing_values_of_netcdf_are_no_numbers(tmp_path):
    packing = {name: {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -999} for name in ("train_x", "test_x")}
    holes = {"train_x": lambda x: np.where(x > 1, np.nan, x)}
    assert "missing values in train_x (_FillValue)" in _refused(_netcdf(tmp_path, packing, **holes))


def test_names_of_classes_are_read_and_are_part_of_what_a_data_set_is(tmp_path):
    named = _prepared(_npz(tmp_path, class_names=np.array(["ape", "bear", "cat"])))
    assert named.images(train=False).names == ("ape", "bear", "cat")
    assert named.digest != _prepared(_npz(tmp_path)).digest


def _first_nan(x):
    x = x.copy()
    x[4, 1, 2] = np.nan
    return x


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_x": lambda x: x[:, 0]}, "train_x in 2 dimensions, [9, 3], not in three"),
        ({"test_x": lambda x: x[..., None]}, "test_x in 4 dimensions"),
        ({"train_y": lambda y: y[:, None]}, "train_y in 2 dimensions, [9, 1], not in one"),
        ({"test_y": np.array(3)}, "test_y in 0 dimensions"),
        ({"train_x": lambda x: x[:, :1], "test_x": lambda x: x[:, :1]}, "images of 1 row (T = 1); accepted are 2 to 1,000"),
        ({"train_x": lambda x: x[:, :, :2]}, "not of one size and type"),
        ({"train_x": lambda x: x.astype("f4")}, "not of one size and type"),
        ({"train_x": lambda x: x[:0], "train_y": lambda y: y[:0]}, "nothing in train_x"),
        ({"train_x": lambda x: x + 1j}, "train_x as complex128, not as integers or floating-point numbers"),
        ({"train_x": lambda x: x > 0, "test_x": lambda x: x > 0}, "train_x as bool"),
        ({"train_y": lambda y: y.astype(float)}, "train_y as float64, not as integers"),
        ({"train_y": lambda y: y[1:]}, "8 labels in train_y for 9 images"),
        ({"train_y": lambda y: y - 1}, "labels from -1 to 1 in train_y"),
        ({"train_y": lambda y: y * 10**12}, "labels from 0 to 2000000000000 in train_y"),
        ({"train_y": lambda y: y.astype("u8") + np.uint64(2**63)}, "in train_y, not 0, 1"),
        ({"test_y": lambda y: y + 1}, "the label 3 in test_y; accepted are those of train_y, 0 to 2"),
        ({"test_y": lambda y: y - 1}, "the label -1 in test_y"),
        ({"train_y": lambda y: 2 * y}, "fewer than 1 image of classes 1, 3 in train_y, of 5 classes"),
        ({"train_y": lambda y: 0 * y, "test_y": lambda y: 0 * y}, "one class only; accepted are 2 or more"),
        ({"test_y": lambda y: np.array([0, 0, 0, 1, 1, 2])}, "fewer than 2 images of class 2 in test_y"),
        ({"train_x": _first_nan}, "the value nan in train_x (image 4, row 1, pixel 2)"),
        ({"test_x": lambda x: x / 0}, "in test_x (image 0, row 0, pixel 0)"),
        ({"scale": 1e300}, "in train_x, times scale, plus offset,"),
        ({"train_x": lambda x: 0 * x}, "only zeros in train_x"),
        ({"scale": np.ones(4)}, "scale as float64 [4], not as a number or one per pixel"),
        ({"offset": np.array("0")}, "offset as <U1"),
        ({"class_names": np.array(["a", "b"])}, "class_names that are not 3 different texts"),
        ({"class_names": np.array(["a", "b", "b"])}, "class_names that are not 3 different texts"),
        ({"class_names": np.array(["a", "b", "\x1b[2J"])}, "printable"),
        ({"class_names": np.arange(3)}, "class_names that are not a list of texts"),
        ({"test_x": None}, "lacks test_x"),
        ({"train_x": lambda x: np.array([[[{}]]] * 9, dtype=object)}, "train_x as pickled Python objects"),
    ],
)
@pytest.mark.parametrize("write", [_npz, _folder])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_that_are_not_accepted_are_named_with_what_is(write, changes, words, tmp_path):
    path = write(tmp_path, **changes)
    line = _refused(path)
    assert words in line
    assert "expected train_x [N, T, D], train_y [N], test_x and test_y, of plain numbers" in line


class _Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("name", ["mine.npz", "mine.nc"])
def test_an_object_that_was_pickled_whole_is_not_unpickled(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(_Harm()))
    assert "is a pickle, which could run any code when it is read" in _refused(tmp_path / name)
    np.savez(tmp_path / "objects.npz", **_arrays(train_x=np.array([[[_Harm()]]] * 9, dtype=object)))
    assert "pickled Python objects" in _refused(tmp_path / "objects.npz")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.npz", b"", "is not an .npz"),
        ("mine.nc", b"CDF\x01" + bytes(100), "is netCDF-3 (to_netcdf writes netCDF-4 with engine='h5netcdf')"),
        ("mine.nc", b"text", "is not netCDF-4"),
        ("mine.nc", b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read as netCDF"),
    ],
)
def test_other_files_are_named(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert words in _refused(tmp_path / name)


def test_a_file_that_was_cut_short_is_named(tmp_path):
    path = _npz(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    _refused(path)
    folder = _folder(tmp_path)
    os.truncate(folder / "train_x.npy", 300)
    assert "cannot be read" in _refused(folder)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_ten_gigabytes_are_refused_by_the_headers_before_a_value_is_read(dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(own.npy, "read_array", lambda *_, **__: pytest.fail("an array was read"))
    rows, pixels = 100, 100
    images = 10 * 2**30 // (rows * pixels * np.dtype(dtype).itemsize)
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (images, rows, pixels)}
    folder = _folder(tmp_path, train_y=np.zeros(images, np.uint8))
    with (folder / "train_x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    np.save(folder / "test_x.npy", np.zeros((6, rows, pixels), dtype))
    assert "10.0 GiB of memory, more than the 2 GiB accepted (save fewer images" in _refused(folder)
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as packed:
        for file in folder.iterdir():
            packed.write(file, file.name)
    assert "10.0 GiB of memory, more than the 2 GiB accepted" in _refused(tmp_path / "mine.npz")
    with (tmp_path / "large.npz").open("wb") as file:
        file.truncate(10 * 2**30)
    assert "has 10,240 MiB, more than the 4,097 MiB allowed" in _refused(tmp_path / "large.npz")


@pytest.mark.parametrize("text", ["cifar", "", "..", "/", "a/..", "mine.mat", "x" * 300 + ".npz", "two\nlines.npz", "nul\0.nc"])
def test_what_is_neither_a_name_nor_a_path_says_which_there_are(text):
    with pytest.raises(
        InputError, match=r"^dataset=.*expected one of: mnist, fashion-mnist, .*flip-flop; or a path to your own data"
    ):
        validated(StudyConfig, {"dataset": text})


@pytest.mark.parametrize("path", ["nowhere.npz", "no/where.npz", "nowhere/", "here.csv/x", "no/where.nc"])
def test_a_path_at_which_nothing_is_says_where_was_looked(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = validated(StudyConfig, {"dataset": path})
    with pytest.raises(InputError, match=rf"neither {config.data_dir}/{config.dataset} nor \./{config.dataset}; expected train_x"):
        sources.prepare_data(config.dataset, config.data_dir)


@pytest.mark.parametrize("name", ["../mine.npz", "/etc/mine.npz", "a/mine.npz", "a/b/", "..", "../"])
def test_a_path_in_a_stored_study_is_not_followed(name, tmp_path):
    with pytest.raises(InputError, match="expected one of: mnist"):
        sources.prepare_data(name, tmp_path)


def test_a_path_is_a_name_in_a_folder(tmp_path, monkeypatch):
    for text, name, folder in (
        ("a/b.npz", "b.npz", "a"),
        ("/a/b.nc", "b.nc", "/a"),
        ("b.npz", "b.npz", "data"),
        ("./b.npz", "b.npz", "."),
        ("a/b", "b/", "a"),
        ("b/", "b/", "data"),
        ("a.npz/", "a.npz/", "data"),
    ):
        config = StudyConfig(dataset=text)
        assert (config.dataset, config.data_dir) == (name, Path(folder))
        assert StudyConfig.model_validate(config.model_dump(mode="json")) == config  # as it is stored
    monkeypatch.chdir(tmp_path)
    _npz(tmp_path)
    assert _prepared(Path("mine.npz")).whereabouts == "mine.npz"
    (tmp_path / "data").mkdir()
    _npz(tmp_path / "data", train_x=lambda x: 2 * x)
    with pytest.raises(InputError, match=r"both data/mine\.npz and \./mine\.npz are there; expected one of these paths"):
        _prepared(Path("mine.npz"))


def test_a_moved_data_set_gives_the_same_networks_and_is_found_by_its_digest(tmp_path):
    path = _npz(tmp_path / "one")
    first = _prepared(path, rows=10, order="permuted")
    (tmp_path / "two").mkdir()
    moved = path.rename(tmp_path / "two" / "renamed.npz")
    second = _prepared(moved, rows=10, order="permuted")
    keys = set()
    for place, source in ((path, first), (moved, second)):
        given = {"dataset": str(place), "rows": 10, "order": "permuted", "batch_size": 3, "train_images": 9}
        config = validated(StudyConfig, given)
        assert config.networks()[0].dataset == "own"
        keys.add(training_key(config.networks()[0], source.digest))
    assert len(keys) == 1
    for data_dir in (moved, moved.parent):  # the file itself, whatever its name was, or its folder
        name = "mine.npz" if data_dir == moved else "renamed.npz"
        assert sources.prepare_data(name, data_dir, first.digest, 10, "permuted").digest == first.digest
    with pytest.raises(InputError, match="is not the study's data set"):
        sources.prepare_data("renamed.npz", moved.parent, first.digest)
    assert str(tmp_path) not in "".join(first.digests.values())


def test_what_changed_since_it_was_checked_is_not_read(tmp_path):
    source = _prepared(_npz(tmp_path))
    _npz(tmp_path, test_x=lambda x: x + 1)
    source.images(train=True)
    with pytest.raises(InputError, match="has changed, or is another on this machine"):
        source.images(train=False)
    (tmp_path / "mine.npz").unlink()
    with pytest.raises(InputError, match="there is neither"):
        source.images(train=True)


def test_how_many_images_a_study_can_train_on(tmp_path):
    source = _prepared(_npz(tmp_path))
    given = {"dataset": str(tmp_path / "mine.npz")}
    assert StudyConfig(**given, batch_size=3).of_data(source).networks()[0].train_images == 9
    with pytest.raises(InputError, match=r"batch_size=200: more than train_images=9; expected at most as many"):
        StudyConfig(**given).of_data(source)
    with pytest.raises(InputError, match=r"train_images=10: mine.npz has 9 training images"):
        StudyConfig(**given, train_images=10).of_data(source)
    with pytest.raises(InputError, match=r"train_images=all: how many mine\.npz has is known once it is found"):
        StudyConfig(**given).networks()


def test_only_folders_and_files_that_hold_data_are_data_folders(tmp_path):
    for path in (_npz(tmp_path / "a"), tmp_path / "a", _folder(tmp_path / "b"), tmp_path / "b"):
        assert sources.checked_data_dir(str(path)) == path
    (tmp_path / "c").mkdir()
    (tmp_path / "c.csv").touch()
    for path in (tmp_path / "c", tmp_path / "c.csv"):
        with pytest.raises(InputError, match="there is no data set in it"):
            sources.checked_data_dir(str(path))


def test_the_limits_are_what_they_say():
    assert own.MOST_FILE > 2 * own.MOST > 2**31
