"""Reading netCDF that a stranger may have written: plain arrays of numbers, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from study.files import netcdf
from study.files.untrusted import Refused
from study.record.network_record import read_measurements, write_measurements
from study.schema import labelled


def _record() -> xr.Dataset:
    steps, labels = {"time_step": np.arange(1, 4)}, {"label": np.arange(2)}
    arrays = [
        labelled(
            "curve",
            np.array([0.5, np.nan, 0.25]),
            steps,
            "a curve",
            role="curve",
            metric="curve/whole",
            missing="unknown",
            share=True,
        ),
        labelled("by_label", np.array([[1, 3], [2, 2], [0, 4]]), steps | labels, "by label", units="components"),
        labelled("spectrum", np.array([1, 2, 3], dtype=np.float32), steps, "in single precision"),
        labelled("compared", np.ones((1, 3)), {"source": ["pixels"]} | steps, "compared"),
        labelled("kind", 2, {}, "a kind", role="category", flag_values=np.arange(3), flag_meanings="a b c", images=500),
    ]
    return xr.Dataset({array.name: array for array in arrays}, attrs={"config": '{"seed": 0}'})


@pytest.fixture
def file(tmp_path) -> Path:
    write_measurements(_record(), tmp_path / "measurements.nc")
    return tmp_path / "measurements.nc"


def test_what_is_read_is_what_xarray_reads(file):
    raw = xr.load_dataset(file, engine="h5netcdf")
    assert netcdf.read(file).drop_vars("source").identical(raw.drop_vars("source"))  # numbered in the file
    assert netcdf.read(file).identical(_record())


def test_labels_that_are_words_come_back(tmp_path):
    record = xr.Dataset({"curve": (("source", "step"), np.arange(6.0).reshape(2, 3))}, {"source": ["one", "other"]})
    record["source"].attrs["long_name"] = "where from"
    (tmp_path / "words.nc").write_bytes(netcdf.written(record))
    assert netcdf.read(tmp_path / "words.nc").identical(record)
    raw = xr.load_dataset(tmp_path / "words.nc", engine="h5netcdf")
    assert (raw.source.values.tolist(), raw.source.attrs["flag_meanings"]) == ([0, 1], "one other")
    for meanings in ("one", "one one", "one other third", "One other", "one  other", 7):
        raw.source.attrs["flag_meanings"] = meanings
        raw.to_netcdf(tmp_path / "odd.nc", engine="h5netcdf")
        with pytest.raises(Refused, match="labels along source"):
            netcdf.read(tmp_path / "odd.nc")


def test_labels_that_are_no_dimension_of_their_own_are_coordinates_again(tmp_path):
    points = xr.Dataset({"points": (("image", "axis"), np.zeros((3, 2)))}, coords={"label": ("image", [4, 5, 6])})
    points.to_netcdf(tmp_path / "points.nc", engine="h5netcdf")
    assert netcdf.read(tmp_path / "points.nc").identical(points)


SECRET = np.arange(3, dtype=float)


def _external(file: h5py.File, outside: Path) -> None:
    SECRET.tofile(outside)
    del file["curve"]
    file.create_dataset("curve", (3,), float, external=[(str(outside), 0, 24)])


def _virtual(file: h5py.File, outside: Path) -> None:
    with h5py.File(outside, "w") as other:
        other["curve"] = SECRET
    layout = h5py.VirtualLayout((3,), float)
    layout[:] = h5py.VirtualSource(outside, "curve", (3,))
    del file["curve"]
    file.create_virtual_dataset("curve", layout)


def _linked(file: h5py.File, outside: Path) -> None:
    with h5py.File(outside, "w") as other:
        other["curve"] = SECRET
    del file["curve"]
    file["curve"] = h5py.ExternalLink(str(outside), "curve")


def _soft(file: h5py.File, outside: Path) -> None:
    file["other"] = h5py.SoftLink("/curve")


def _dangling(file: h5py.File, outside: Path) -> None:
    file["other"] = h5py.SoftLink("/nowhere")


def _group(file: h5py.File, outside: Path) -> None:
    file["group/inner"] = h5py.ExternalLink(str(outside), "curve")


def _committed(file: h5py.File, outside: Path) -> None:
    file["type"] = np.dtype("f8")


def _text(file: h5py.File, outside: Path) -> None:
    file["text"] = "a text"


def _compound(file: h5py.File, outside: Path) -> None:
    file["pairs"] = np.zeros(3, dtype=[("a", "i4"), ("b", "f8")])


def _references(file: h5py.File, outside: Path) -> None:
    file.create_dataset("pointers", data=[file["curve"].ref], dtype=h5py.ref_dtype)


def _ragged(file: h5py.File, outside: Path) -> None:
    file.create_dataset("ragged", (3,), dtype=h5py.vlen_dtype(np.int32))


def _opaque(file: h5py.File, outside: Path) -> None:
    file.create_dataset("opaque", data=np.array([b"abc"], dtype="V3"))


def _bomb(file: h5py.File, outside: Path) -> None:
    file.create_dataset("bomb", (200_000, 100_000), float, chunks=(1000, 1000), compression="gzip")


def _hollow(file: h5py.File, outside: Path) -> None:
    file.create_dataset("hollow", (200_000, 100_000), float)


def _together(file: h5py.File, outside: Path) -> None:
    for index in range(20):
        file.create_dataset(f"part{index}", (2_000_000,), float)


def _compressed(file: h5py.File, outside: Path) -> None:
    file.create_dataset("small", data=np.zeros(1000), compression="gzip")


def _many(file: h5py.File, outside: Path) -> None:
    for index in range(1100):
        file[f"part{index}"] = 0.0


def _many_attributes(file: h5py.File, outside: Path) -> None:
    for index in range(100):
        file["curve"].attrs[f"attribute{index}"] = 0


def _long_attribute(file: h5py.File, outside: Path) -> None:
    file["curve"].attrs.create("numbers", np.zeros(5000, dtype=np.int8))


def _attribute_of_texts(file: h5py.File, outside: Path) -> None:
    file["curve"].attrs["units"] = ["a", "b"]


def _pointer(file: h5py.File, outside: Path) -> None:
    file["curve"].attrs["metric"] = file["by_label"].ref


def _odd_name(file: h5py.File, outside: Path) -> None:
    file["<b>\n"] = 0.0


def _no_dimension(file: h5py.File, outside: Path) -> None:
    file["loose"] = np.zeros(3)


def _twice_the_same(file: h5py.File, outside: Path) -> None:
    file["label"].attrs["_Netcdf4Dimid"] = file["time_step"].attrs["_Netcdf4Dimid"]


def _too_short(file: h5py.File, outside: Path) -> None:
    del file["curve"]
    file["curve"] = np.zeros(2)
    file["curve"].attrs["_Netcdf4Coordinates"] = np.array([file["time_step"].attrs["_Netcdf4Dimid"]])


def _empty(file: h5py.File, outside: Path) -> None:
    file["nothing"] = h5py.Empty("f8")


HOSTILE: list[tuple[Callable[[h5py.File, Path], None], str]] = [
    (_external, "in another file"),
    (_virtual, "in another file"),
    (_linked, "a link"),
    (_soft, "a link"),
    (_dangling, "a link"),
    (_group, "a group or a type"),
    (_committed, "a group or a type"),
    (_text, "no plain number"),
    (_compound, "no plain number"),
    (_references, "no plain number"),
    (_ragged, "no plain number"),
    (_opaque, "no plain number"),
    (_bomb, "compressed"),
    (_hollow, "more than 256 MiB"),
    (_together, "more than 256 MiB"),
    (_compressed, "compressed"),
    (_many, "objects"),
    (_many_attributes, "attributes"),
    (_long_attribute, "neither a text nor numbers"),
    (_attribute_of_texts, "neither a text nor"),
    (_pointer, "neither a text nor numbers"),
    (_odd_name, "a variable called"),
    (_no_dimension, "dimensions"),
    (_twice_the_same, "without a dimension of their own"),
    (_too_short, "do not fit together"),
    (_empty, "or none at all"),
]


@pytest.mark.parametrize(("plant", "words"), HOSTILE, ids=[plant.__name__.strip("_") for plant, _ in HOSTILE])
def test_what_is_no_plain_array_in_the_file_itself_is_refused_before_a_value_is_read(plant, words, file, tmp_path):
    with h5py.File(file, "r+") as record:
        plant(record, tmp_path / "outside")
    with pytest.raises(Refused, match=words):
        read_measurements(file)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("units", "days since 2000-01-01"),
        ("scale_factor", 100.0),
        ("add_offset", 7.0),
        ("_FillValue", 0.5),
        ("missing_value", 0.5),
        ("calendar", "noleap"),
        ("dtype", "bool"),
        ("_Unsigned", "true"),
        ("coordinates", "by_label"),
    ],
)
def test_no_attribute_changes_a_value(attribute, value, file):
    with h5py.File(file, "r+") as record:
        record["curve"].attrs[attribute] = value
        record["kind"].attrs[attribute] = value
    read = netcdf.read(file)
    assert np.array_equal(read["curve"].values, _record().curve.values, equal_nan=True)
    assert read["kind"].values == 2 and read["kind"].dtype == np.int64


@pytest.mark.parametrize(
    ("name", "attribute", "value", "words"),
    [
        ("curve", "metric", 3.0, "no text"),
        ("curve", "metric", "../up", "a metric"),
        ("curve", "role", "hero", "a role"),
        ("curve", "role", "number", "a role"),
        ("kind", "role", "curve", "a role"),
        ("by_label", "role", "curve", "a role"),
        ("time_step", "grows", 2.0, "grows"),
        ("compared", "measurement", "probes -", "of each source"),
        ("curve", "metric", "a\nb", "a metric"),
        ("curve", "long_name", np.arange(3), "no text"),
        ("curve", "units", "x" * 2000, "a long one"),
        ("curve", "missing", 1.0, "no text"),
        ("curve", "valid_min", "zero", "two numbers"),
        ("curve", "valid_max", np.nan, "two numbers"),
        ("curve", "valid_max", 0.3, "limits"),
    ],
)
def test_attributes_that_readers_trust_are_what_they_should_be(name, attribute, value, words, file):
    with h5py.File(file, "r+") as record:
        record[name].attrs[attribute] = value
    with pytest.raises(Refused, match=words):
        read_measurements(file)


def test_a_value_is_missing_only_where_the_record_says_what_that_means(file):
    with h5py.File(file, "r+") as record:
        record["spectrum"][1] = np.nan
    with pytest.raises(Refused, match="spectrum that are not finite"):
        read_measurements(file)


def test_labels_are_distinct_whole_numbers(file):
    with h5py.File(file, "r+") as record:
        record["time_step"][:] = [1, 1, 2]
    with pytest.raises(Refused, match="time_step that are not distinct"):
        read_measurements(file)


HOLD = "import h5py, sys, time; file = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); sys.stdin.read()"


def test_a_file_that_another_program_holds_open_is_read(file):
    with subprocess.Popen([sys.executable, "-c", HOLD, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OSError, match="lock"):
            h5py.File(file)
        assert netcdf.read(file).identical(_record())
        holder.stdin.close()


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder", "device"])
def test_only_ordinary_files_are_opened_and_nothing_blocks(kind, file, tmp_path):
    other = tmp_path / "other"
    if kind == "link":
        other.symlink_to(file)
    elif kind == "FIFO":
        os.mkfifo(other)
    elif kind == "folder":
        other.mkdir()
    else:
        other = Path("/dev/zero")
    with pytest.raises(Refused, match=f"is a {kind}" if kind in ("link", "folder") else "is not an ordinary file"):
        netcdf.read(other)


def test_a_file_that_is_too_large_is_not_read(file):
    os.truncate(file, netcdf.LARGEST + 1)
    with pytest.raises(Refused, match="more than the 256 MiB"):
        netcdf.read(file)


def test_a_damaged_file_is_refused_wherever_the_damage_is(file):
    content, random = file.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        for place in random.integers(0, len(content) if random.random() < 0.5 else 2000, 4):
            damaged[place] = int(random.integers(256))
        file.write_bytes(damaged)
        try:
            read_measurements(file)
        except Refused:
            continue
