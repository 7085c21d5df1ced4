"""Data sets of one's own: arrays in one file or folder, checked before they are read, and known by what is in them, not by a path.

``.npz`` (`numpy.savez`), a folder of ``.npy`` files or ``.nc`` (netCDF-4) with `train_x` `[N, T, D]`, `train_y` `[N]`, `test_x` and
`test_y`, of plain numbers. A stranger may have written them: nothing is unpickled, and sizes are known from the headers.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import torch
import xarray as xr
from numpy.lib import format as npy

from study.data import places
from study.data.images import LEAST_ROWS, MOST_ROWS, Images
from study.data.source import DataSource
from study.files import netcdf, untrusted
from study.files.untrusted import Refused
from study.terminal.errors import InputError, quoted, reason

OWN = "own"  # what stored networks call their data set: its name and place are not part of what it is
FILES = (".npz", ".nc")
PARTS = ("train_x", "train_y", "test_x", "test_y")
SCALES = ("scale", "offset")
NAMES = "class_names"
ACCEPTED = (
    "expected train_x [N, T, D], train_y [N], test_x and test_y, of plain numbers, in an .npz, an .nc or a folder of .npy files"
)
GIBIBYTE = 2**30
MOST = 2 * GIBIBYTE  # bytes of all images as they are kept in memory, by every worker
MOST_FILE = 2 * MOST + (1 << 20)  # images of double precision, their labels and headers
LEAST_OF_CLASS = 2  # test images: with fewer, nothing can be said of how the images of a class differ
LONGEST_NAME = 40  # characters of a class


@dataclass(frozen=True)
class Header:
    """What is known of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Arrays(ABC):
    """The arrays in a file or a folder: their `headers` by name, and their values on demand."""

    headers: Mapping[str, Header]

    @abstractmethod
    def read(self, name: str) -> np.ndarray: ...

    def scale(self, part: str) -> tuple[np.ndarray | float, np.ndarray | float] | None:
        """The factor and the offset that the file gives for a part's images; None where it gives neither."""
        given = {name: self.read(name) for name in SCALES if name in self.headers}
        return (given.get("scale", 1.0), given.get("offset", 0.0)) if given else None

    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; empty where the file gives none."""
        return tuple(map(str, self.read(NAMES).tolist())) if NAMES in self.headers else ()


@dataclass(frozen=True)
class OwnSource(DataSource):
    """A data set of one's own. The digests are those of the images as networks see them, the labels, and the names of the classes;
    `magnitude` is what pixels are divided by where the file gives no scale."""

    magnitude: float = 1.0

    @classmethod
    def found(cls, name: str, data_dir: Path) -> OwnSource:
        path = _place(name, data_dir)
        with _opened(path) as arrays:
            _check_headers(arrays.headers)
            magnitude = _magnitude(arrays)
            train, test = (_images(arrays, part, magnitude) for part in ("train", "test"))
            _check_labels(train, test)
        return cls(name, data_dir, {**_digests(train, "train"), **_digests(test, "test")}, magnitude=magnitude)

    def prepare(self) -> None:
        _place(self.name, self.data_dir)  # it is read where it is, and compared each time

    def stored(self, train: bool) -> Images:
        path, part = _place(self.name, self.data_dir), "train" if train else "test"
        with _opened(path) as arrays:
            _check_headers(arrays.headers)
            images = _images(arrays, part, self.magnitude)
        if any(self.digests[name] != digest for name, digest in _digests(images, part).items()):
            raise InputError(f"{path} has changed, or is another on this machine: restore the data set that the study began with")
        return images

    @property
    def whereabouts(self) -> str:
        return str(_place(self.name, self.data_dir))


def name_and_folder(dataset: str) -> tuple[str, Path | None]:
    """The name of a data set of one's own, and the folder that its path names (None for a name alone).

    The name is that of a file, or that of a folder with a slash at its end. Raises `ValueError` where a text is neither a path nor
    the name of such a file.
    """
    path = Path(dataset)
    is_name = "/" not in dataset.rstrip("/")
    if (path.suffix not in FILES and "/" not in dataset) or path.name in ("", ".."):
        raise ValueError
    name = path.name if path.suffix in FILES and not dataset.endswith("/") else f"{path.name}/"
    return name, None if is_name else path.parent


def is_name(name: object) -> bool:
    """Whether something is the name of a data set of one's own, as `name_and_folder` makes it."""
    try:
        return isinstance(name, str) and name_and_folder(name) == (name, None)
    except ValueError:
        return False


def _place(name: str, data_dir: Path) -> Path:
    """The file or folder of that name in `data_dir` or the current folder, or `data_dir` itself."""
    there = _is_set if name.endswith("/") else places.is_file
    inside = next(filter(there, places.searched(data_dir / name)), None)
    here = Path(name) if there(Path(name)) else None
    if inside and here and not inside.samefile(here):
        raise InputError(f"dataset={quoted(name)}: both {inside} and ./{name} are there; expected one of these paths")
    if found := inside or next(filter(_is_data, places.searched(data_dir)), None) or here:
        return found
    raise InputError(f"dataset={quoted(name)}: there is neither {quoted(data_dir)}/{quoted(name)} nor ./{quoted(name)}; {ACCEPTED}")


def holds_data(place: Path) -> bool:
    """Whether a path is a data set of one's own, or a folder that holds one."""
    return _is_data(place) or (places.is_folder(place) and any(map(_is_data, place.iterdir())))


def _is_data(place: Path) -> bool:
    return (place.suffix in FILES and places.is_file(place)) or _is_set(place)


def _is_set(folder: Path) -> bool:
    return places.is_folder(folder) and places.is_file(folder / f"{PARTS[0]}.npy")


@contextmanager
def _opened(path: Path) -> Iterator[Arrays]:
    """The arrays at a path; whatever is wrong with them becomes an `InputError` that names it."""
    kinds: dict[str, type[_Npz | _NetCdf]] = {".npz": _Npz, ".nc": _NetCdf}
    try:
        if places.is_folder(path):
            yield _Folder(path)
        else:
            with untrusted.opened(path, MOST_FILE, follow=True) as file:
                yield kinds[path.suffix](path, file)
    except Refused as refusal:
        raise InputError(f"{path} {refusal}; {ACCEPTED}") from None
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or path} is missing; {ACCEPTED}") from None
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
    ) as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); {ACCEPTED}") from None
    except MemoryError:
        raise InputError(f"{path} does not fit into this machine's memory; expected fewer or smaller images") from None


class _Npz(Arrays):
    """`numpy.savez`: a zip file of arrays."""

    def __init__(self, path: Path, file: BinaryIO):
        if not zipfile.is_zipfile(file):
            raise Refused(_no_arrays(file, "an .npz (a zip file of arrays)"))
        self.zip = zipfile.ZipFile(file)
        members = {info.filename.removesuffix(".npy"): info for info in self.zip.infolist() if info.filename.endswith(".npy")}
        self.members = {name: members[name] for name in (*PARTS, *SCALES, NAMES) if name in members}
        self.headers = {}
        for name, member in self.members.items():
            with self.zip.open(member) as stream:
                self.headers[name] = _header(stream, name)

    def read(self, name: str) -> np.ndarray:
        with self.zip.open(self.members[name]) as stream:
            return npy.read_array(stream, allow_pickle=False)


class _Folder(Arrays):
    """`numpy.save`: a folder with one file for each array."""

    def __init__(self, folder: Path):
        files = {name: folder / f"{name}.npy" for name in (*PARTS, *SCALES, NAMES)}
        self.files = {name: file for name, file in files.items() if places.is_file(file)}
        self.headers = {}
        for name, file in self.files.items():
            with untrusted.opened(file, MOST_FILE, follow=True) as stream:
                self.headers[name] = _header(stream, name)

    def read(self, name: str) -> np.ndarray:
        with untrusted.opened(self.files[name], MOST_FILE, follow=True) as stream:
            return npy.read_array(stream, allow_pickle=False)


class _NetCdf(Arrays):
    """netCDF-4, with the scale and the classes as the CF conventions say them: `scale_factor` and `add_offset` of the images,
    `flag_values` and `flag_meanings` of the training labels."""

    def __init__(self, path: Path, file: BinaryIO):
        if file.read(4) != b"\x89HDF":
            raise Refused(_no_arrays(file, "netCDF-4 (which is HDF5 beneath)"))
        self.variables, _ = netcdf.parts(path, MOST_FILE, foreign=True)
        self.headers = {
            name: Header(self.variables[name].shape, self.variables[name].dtype) for name in PARTS if name in self.variables
        }

    def read(self, name: str) -> np.ndarray:
        variable = self.variables[name]
        for attribute in ("_FillValue", "missing_value"):
            if attribute in variable.attrs and (count := int((variable.values == variable.attrs[attribute]).sum())):
                raise Refused(f"holds {count:,} missing values in {name} ({attribute})")
        return variable.values

    def scale(self, part: str) -> tuple[np.ndarray | float, np.ndarray | float] | None:
        said = [_cf_scale(self.variables[f"{one}_x"]) for one in ("train", "test")]
        if said[0] != said[1]:
            raise Refused("gives train_x and test_x different values of scale_factor or add_offset")
        return said[0]

    def class_names(self) -> tuple[str, ...]:
        attributes = self.variables["train_y"].attrs
        if "flag_meanings" not in attributes:
            return ()
        names = str(attributes["flag_meanings"]).split()
        if not np.array_equal(np.atleast_1d(attributes.get("flag_values", range(len(names)))), np.arange(len(names))):
            raise Refused("gives train_y other flag_values than 0, 1, ... for its flag_meanings")
        return tuple(names)


def _cf_scale(variable: xr.Variable) -> tuple[float, float] | None:
    given = [name for name in ("scale_factor", "add_offset") if name in variable.attrs]
    return (float(variable.attrs.get("scale_factor", 1)), float(variable.attrs.get("add_offset", 0))) if given else None


def _no_arrays(file: BinaryIO, kind: str) -> str:
    """What a file is instead of the expected kind, where that can be told from how it begins."""
    file.seek(0)
    begin = file.read(8)
    if begin[:1] == b"\x80":
        return "is a pickle, which could run any code when it is read"
    if begin[:3] == b"CDF":
        return "is netCDF-3 (to_netcdf writes netCDF-4 with engine='h5netcdf')"
    return f"is not {kind}"


def _header(stream: IO[bytes], name: str) -> Header:
    """The header of an array in NumPy's format; raises `Refused` where the array is pickled."""
    version = npy.read_magic(stream)
    shape, _, dtype = {(1, 0): npy.read_array_header_1_0}.get(version, npy.read_array_header_2_0)(stream)
    if dtype.hasobject:
        raise Refused(f"holds {name} as pickled Python objects, which could run any code when they are read")
    return Header(shape, dtype)


def _check_headers(headers: Mapping[str, Header]) -> None:
    """Raises `Refused` where arrays are missing, or have ranks, types or sizes that are not accepted; no value is read for it."""
    if missing := [name for name in PARTS if name not in headers]:
        raise Refused(f"lacks {', '.join(missing)}")
    for name in PARTS:
        shape, dtype = headers[name].shape, headers[name].dtype
        of_images = name.endswith("_x")
        if len(shape) != (3 if of_images else 1):
            what = "three, [images, rows, pixels of a row]" if of_images else "one, [labels]"
            raise Refused(f"holds {name} in {len(shape)} dimensions, {_shape(shape)}, not in {what}")
        if dtype.kind not in ("uif" if of_images else "ui"):
            raise Refused(f"holds {name} as {dtype}, not as {'integers or floating-point numbers' if of_images else 'integers'}")
        if 0 in shape:
            raise Refused(f"holds nothing in {name}, {_shape(shape)}")
    for part in ("train", "test"):
        images, labels = headers[f"{part}_x"].shape, headers[f"{part}_y"].shape
        if images[0] != labels[0]:
            raise Refused(f"holds {labels[0]} labels in {part}_y for {images[0]} images in {part}_x")
    train, test = headers["train_x"], headers["test_x"]
    if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
        raise Refused(
            f"holds images of {_shape(train.shape[1:])} {train.dtype} in train_x, but of {_shape(test.shape[1:])} {test.dtype} in "
            "test_x, not of one size and type"
        )
    rows = train.shape[1]
    if not LEAST_ROWS <= rows <= MOST_ROWS:
        raise Refused(f"holds images of {rows} row{'s' * (rows != 1)} (T = {rows}); accepted are {LEAST_ROWS} to {MOST_ROWS:,}")
    kept = (train.shape[0] + test.shape[0]) * rows * train.shape[2] * (1 if _stays(headers) else 4)
    if kept > MOST or max(_size(train), _size(test)) > MOST_FILE:
        raise Refused(
            f"holds images of {kept / GIBIBYTE:,.1f} GiB of memory, more than the {MOST / GIBIBYTE:.0f} GiB accepted (save fewer "
            "images, fewer rows or pixels, or uint8)"
        )
    for name in SCALES:
        if name in headers and (headers[name].shape not in ((), (1,), train.shape[2:]) or headers[name].dtype.kind not in "uif"):
            raise Refused(
                f"holds {name} as {headers[name].dtype} {_shape(headers[name].shape)}, not as a number or one per pixel of a row"
            )
    if NAMES in headers and (headers[NAMES].dtype.kind != "U" or len(headers[NAMES].shape) != 1 or _size(headers[NAMES]) > 1 << 20):
        raise Refused(f"holds {NAMES} that are not a list of texts")


def _stays(headers: Mapping[str, Header]) -> bool:
    """Whether images are kept as bytes, of which networks see a 255th part."""
    return headers["train_x"].dtype == np.uint8 and not any(name in headers for name in SCALES)


def _magnitude(arrays: Arrays) -> float:
    """What pixels are divided by: the largest magnitude in the training images.

    Zero stays zero, so that a blank row remains a row of zeros; moving the least value to zero would make blank rows mean something
    else. It is 1 where the file gives a scale, and for bytes.
    """
    pixels = arrays.read("train_x")
    if arrays.scale("train") is not None or pixels.dtype == np.uint8:
        return 1.0
    _check_finite(pixels, "train_x")
    largest = max(abs(float(pixels.max())), abs(float(pixels.min())))
    if not largest:
        raise Refused("holds only zeros in train_x")
    return largest


def _images(arrays: Arrays, part: str, magnitude: float) -> Images:
    """The training or the test images as networks see them, with their labels."""
    pixels, scale = arrays.read(f"{part}_x"), arrays.scale(part)
    _check_finite(pixels, f"{part}_x")
    if scale is not None:
        pixels = _float(pixels, lambda some: some * scale[0] + scale[1])
        _check_finite(pixels, f"{part}_x, times scale, plus offset,")
    elif pixels.dtype != np.uint8:
        pixels = _float(pixels, lambda some: some / magnitude)
    labels, names = arrays.read(f"{part}_y"), arrays.class_names()
    train_labels = arrays.read("train_y")
    if train_labels.min() < 0 or int(train_labels.max()) >= len(train_labels):
        raise Refused(
            f"holds labels from {train_labels.min()} to {train_labels.max()} in train_y, not 0, 1, ... K - 1 for K classes"
        )
    classes = int(train_labels.max()) + 1
    if labels.min() < 0 or int(labels.max()) >= classes:
        odd = labels.min() if labels.min() < 0 else labels.max()
        raise Refused(f"holds the label {odd} in {part}_y; accepted are those of train_y, 0 to {classes - 1}")
    if names and (len(set(names)) != classes or not all(name.isprintable() and 0 < len(name) <= LONGEST_NAME for name in names)):
        raise Refused(f"holds {NAMES} that are not {classes} different texts of 1 to {LONGEST_NAME} printable characters")
    native = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))
    return Images(torch.from_numpy(native), torch.from_numpy(labels.astype(np.int64)), classes, names)


def _float(pixels: np.ndarray, change) -> np.ndarray:
    """Pixels that are changed in double precision, as float32; a thousand images at a time, which needs little memory."""
    changed = np.empty(pixels.shape, np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(pixels), 1000):
            part = slice(start, start + 1000)
            changed[part] = change(pixels[part].astype(np.float64))
    return changed


def _check_finite(pixels: np.ndarray, name: str) -> None:
    if pixels.dtype.kind != "f":
        return
    for start in range(0, len(pixels), 1000):
        finite = np.isfinite(pixels[start : start + 1000])
        if not finite.all():
            image, row, pixel = np.argwhere(~finite)[0]
            value = pixels[start + image, row, pixel]
            raise Refused(
                f"holds the value {value} in {name} (image {start + image}, row {row}, pixel {pixel}); accepted are finite ones"
            )


def _check_labels(train: Images, test: Images) -> None:
    """Raises `Refused` where classes are missing, or too few for anything to be said of them."""
    if train.classes < 2:
        raise Refused("holds one class only; accepted are 2 or more, labelled 0, 1, ... in train_y and test_y")
    for images, part, least in ((train, "train", 1), (test, "test", LEAST_OF_CLASS)):
        counts = images.labels.bincount(minlength=train.classes)
        if few := [str(label) for label, count in enumerate(counts.tolist()) if count < least]:
            classes = f"class{'es' * (len(few) > 1)} {', '.join(few[:10])}{' and others' * (len(few) > 10)}"
            raise Refused(f"holds fewer than {least} image{'s' * (least > 1)} of {classes} in {part}_y, of {train.classes} classes")


def _digests(images: Images, part: str) -> dict[str, str]:
    """The sha256 of images with their shape and type, and of labels with the names of their classes."""
    pixels, labels = images.images.numpy(), images.labels.numpy()
    shape = hashlib.sha256(f"{pixels.dtype.name} {pixels.shape}".encode())
    shape.update(pixels.data)
    said = hashlib.sha256(json.dumps(images.names).encode() + labels.tobytes())
    return {f"{part}_x": shape.hexdigest(), f"{part}_y": said.hexdigest()}


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _size(header: Header) -> int:
    size = header.dtype.itemsize
    for extent in header.shape:  # in Python's integers, which do not overflow
        size *= extent
    return size
