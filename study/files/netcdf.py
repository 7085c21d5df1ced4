"""Writes netCDF files, and reads those that this project writes as if a stranger had written them.

HDF5, which netCDF-4 is made of, can hold more than arrays: data in other files of this machine, links to such, arrays that fill a
disk from a few bytes, types that unfold into anything. All that is refused before a value is read. The file's attributes are taken
as words: none of them turns numbers into times, masks or scales them. Nor does HDF5 lock the file: others may have it open.

Only numbers are read. Labels that are words are therefore written as numbers, with `flag_values` and `flag_meanings` as the CF
conventions have them (section 3.5).
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import xarray as xr
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t  # pyright: ignore[reportAttributeAccessIssue] - h5py tells no types of these

from study.files import untrusted
from study.files.untrusted import MEBIBYTE, Refused

LARGEST = 256 * MEBIBYTE  # a file, and its arrays together: a record has some hundred kilobytes
MOST_OBJECTS, MOST_ATTRIBUTES, MOST_DIMENSIONS, MOST_ELEMENTS, MOST_BYTES = 1000, 64, 8, 1000, 8
LAYOUTS = (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED)  # and none whose data lie elsewhere
NUMBERS = (h5t.TypeIntegerID, h5t.TypeFloatID)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
STRUCTURE = {b"CLASS", b"NAME", b"_Netcdf4Coordinates", b"_Netcdf4Dimid"}
NEEDED = STRUCTURE | {b"grows"}  # by those who do not need the words
REFERENCES = {b"DIMENSION_LIST", b"REFERENCE_LIST"}
# What HDF5 and netCDF note for themselves. A fill value is not needed: what is missing is NaN.
OWN = {"CLASS", "NAME", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_NCProperties", "_FillValue", "coordinates"}
HEAP = re.compile(rb"GCOL\x01")
WORDS = re.compile(r"[a-z]\w{0,31}( [a-z]\w{0,31}){0,99}", re.ASCII)  # `flag_meanings` of labels
NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable"


def written(dataset: xr.Dataset) -> bytes:
    """The content of a netCDF-4 file.

    It is made in memory: the HDF5 library cannot be trusted to give up cleanly on a full disk.
    """
    coded = dataset
    for name in dataset.dims:
        if name in dataset.coords and dataset[name].dtype.kind == "U":
            codes, attributes = np.arange(dataset.sizes[name]), dataset[name].attrs
            meanings = {"flag_values": codes, "flag_meanings": " ".join(dataset[name].values)}
            coded = coded.assign_coords({name: (name, codes, attributes | meanings)})
    return bytes(coded.to_netcdf(engine="h5netcdf"))


def read(path: Path, most: int = LARGEST) -> xr.Dataset:
    """The arrays of a file, at most `most` bytes of them, with their dimensions, labels and attributes, in memory.

    Raises `Refused` where it holds anything but plain arrays of numbers; `OSError` where there is none, or it cannot be reached.
    """
    variables, attributes = parts(path, most)
    try:
        return _dataset(variables).pipe(with_words).assign_attrs(attributes)
    except ValueError as error:  # such as dimensions of two lengths
        raise Refused(f"holds arrays that do not fit together ({untrusted.one_line(error)})") from None


def parts(path: Path, most: int = LARGEST, described: bool = True) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """The variables of a file, labels of dimensions among them, and its attributes. Raises as `read` does.

    Where the variables' own attributes are not needed (`described`), this takes a third of the time.
    """
    with untrusted.opened(path, most) as handle:
        _check_heaps(handle)
        try:
            # By way of the open file: that takes no lock, and what was checked is what is read.
            with h5py.File(handle, "r") as file:
                return _variables(file, most, described), _without_own(_attributes(file["/"].id))
        except Refused:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
            raise Refused(f"is no netCDF that can be read ({untrusted.one_line(error)})") from None


def _check_heaps(file: BinaryIO) -> None:
    """Raises `Refused` where a heap, in which HDF5 keeps texts of any length, is damaged: the library can read in it for ever."""
    if not os.fstat(file.fileno()).st_size:
        raise Refused("is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in HEAP.finditer(content):
            place = found.start() + 16
            [size] = struct.unpack_from("<Q", content[found.start() + 8 : place].ljust(8, b"\0"))
            end = found.start() + size
            while place + 16 <= end <= len(content):
                index, length = struct.unpack_from("<H6xQ", content, place)
                place += max(length, 1) if index == 0 else 16 + (length + 7) // 8 * 8
                if index == 0 and length < 16:
                    raise Refused("is damaged")
            if not found.start() + 16 <= place <= end <= len(content):
                raise Refused("is damaged")


def _dataset(variables: dict[str, xr.Variable]) -> xr.Dataset:
    """The variables that label others' dimensions become coordinates."""
    labels = {label for variable in variables.values() for label in variable.encoding.pop("coordinates", "").split()}
    return xr.Dataset(variables).set_coords([label for label in labels if label in variables])


def with_words(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset whose labels are words where they were, before they were written; raises `Refused` where they cannot have been."""
    for name in dataset.dims:
        labels = dataset.variables.get(name)
        if labels is None or "flag_meanings" not in labels.attrs:
            continue
        text, kept = labels.attrs["flag_meanings"], {k: v for k, v in labels.attrs.items() if not str(k).startswith("flag_")}
        words = text.split(" ") if isinstance(text, str) and WORDS.fullmatch(text) else []
        if len(set(words)) != len(labels) or not np.array_equal(labels.values, np.arange(len(words))):
            raise Refused(f"holds labels along {name} that are not those of its words")
        dataset = dataset.assign_coords({name: (name, np.array(words), kept)})
    return dataset


def _variables(file: h5py.File, most: int, described: bool) -> dict[str, xr.Variable]:
    count = len(file)
    if count > MOST_OBJECTS:
        raise Refused(f"holds {count:,} objects, more than the {MOST_OBJECTS:,} that are read")
    arrays = {name: _array(file, name) for name in map(str, file)}
    if sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values()) > most:
        raise Refused(f"holds arrays of more than {most / MEBIBYTE:,.0f} MiB")
    attributes = {name: _attributes(array, None if described else NEEDED) for name, array in arrays.items()}
    dimensions = _dimensions(arrays, attributes)
    return {
        name: _variable(name, array, attributes[name], dimensions)
        for name, array in arrays.items()
        if not attributes[name].get("NAME", "").startswith(NO_VARIABLE)
    }


def _array(file: h5py.File, name: str) -> h5d.DatasetID:
    """An array that lies in this file as plain numbers; raises `Refused` for anything else."""
    if not NAME.fullmatch(name):
        raise Refused(f"holds a variable called {untrusted.one_line(name, 50)!r}")
    if file.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise Refused(f"holds a link in the place of {name}")
    if h5o.get_info(file.id, name.encode()).type != h5o.TYPE_DATASET:
        raise Refused(f"holds a group or a type, {name}, in the place of a variable")
    array = h5d.open(file.id, name.encode())
    stored, kind = array.get_create_plist(), array.get_type()
    if stored.get_external_count() or stored.get_layout() not in LAYOUTS:
        raise Refused(f"keeps the values of {name} in another file")
    if stored.get_nfilters():
        raise Refused(f"holds {name} compressed or filtered, as this project writes none")
    if type(kind) not in NUMBERS or kind.committed() or array.dtype.itemsize > MOST_BYTES or array.dtype.kind not in "iuf":
        raise Refused(f"holds {name} in a type that is no plain number")
    if array.get_space().get_simple_extent_type() == h5s.NULL or array.rank > MOST_DIMENSIONS:
        raise Refused(f"holds {name} in {array.rank} dimensions or none at all")
    return array


def _dimensions(arrays: dict[str, h5d.DatasetID], attributes: dict[str, dict[str, Any]]) -> dict[int, str]:
    """The names of dimensions by the numbers that netCDF gives them.

    The numbers are read rather than HDF5's references to the arrays with the labels, which can point anywhere.
    """
    dimensions: dict[int, str] = {}
    for name, array in arrays.items():
        if attributes[name].get("CLASS") != "DIMENSION_SCALE":
            continue
        number = attributes[name].get("_Netcdf4Dimid")
        if array.rank != 1 or not isinstance(number, np.integer) or int(number) in dimensions:
            raise Refused(f"holds labels, {name}, of no dimension of their own")
        dimensions[int(number)] = name
    return dimensions


def _variable(name: str, array: h5d.DatasetID, attributes: dict[str, Any], dimensions: dict[int, str]) -> xr.Variable:
    numbers = np.atleast_1d(attributes.get("_Netcdf4Coordinates", np.empty(0, dtype=int)))
    names = [dimensions.get(int(number), "") for number in numbers]
    if len(names) != array.rank or len(set(names)) != len(names) or "" in names or (name in names and names != [name]):
        raise Refused(f"holds {name} over dimensions that are not told apart")
    values = np.empty(array.shape, array.dtype.newbyteorder("="))
    array.read(h5s.ALL, h5s.ALL, values)
    return xr.Variable(names, values, _without_own(attributes), {"coordinates": str(attributes.get("coordinates", ""))})


def _without_own(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in OWN}


def _attributes(owner: h5d.DatasetID | h5g.GroupID, chosen: set[bytes] | None = None) -> dict[str, Any]:
    """All attributes, or those `chosen`: texts and numbers as they are, and series of numbers.

    References, which this reader does without, are left out.
    """
    count = h5a.get_num_attrs(owner)
    if count > MOST_ATTRIBUTES:
        raise Refused(f"holds {count:,} attributes in one place, more than the {MOST_ATTRIBUTES} that are read")
    if chosen is None:
        attributes = [h5a.open(owner, index=index) for index in range(count)]
    else:
        attributes = [h5a.open(owner, name) for name in chosen if h5a.exists(owner, name)]
    return {attribute.name.decode(): _value(attribute) for attribute in attributes if attribute.name not in REFERENCES}


def _value(attribute: h5a.AttrID) -> Any:
    name, kind = untrusted.one_line(attribute.name.decode(errors="replace"), 50), attribute.get_type()
    shape = attribute.shape if attribute.shape is not None else (0,)
    size = math.prod(shape)
    if type(kind) is h5t.TypeStringID and size == 1 and not kind.committed():
        values = np.empty(shape, attribute.dtype)
        attribute.read(values)
        text = values.reshape(-1)[0]
        return text.decode() if isinstance(text, bytes) else str(text)
    if type(kind) in NUMBERS and not kind.committed() and 0 < size <= MOST_ELEMENTS and attribute.dtype.kind in "iuf":
        values = np.empty(shape, attribute.dtype.newbyteorder("="))
        attribute.read(values)
        return values.reshape(-1)[0] if size == 1 else values.reshape(-1)
    raise Refused(f"holds an attribute, {name}, that is neither a text nor numbers")
