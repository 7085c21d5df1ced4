"""Writes netCDF files, and reads those that this project writes as if a stranger had written them.

HDF5, the format beneath netCDF-4, can hold more than arrays: data in other files of this machine, links to them, arrays that expand
from a few bytes to a full disk, types that decode into anything. All this is refused before a value is read. Attributes are only
words: none of them turns numbers into times, masks them or scales them. HDF5 does not lock the file, so others may have it open.

Only numbers are read. Labels that are words are therefore written as numbers, with `flag_values` and `flag_meanings` as in the CF
conventions (section 3.5).
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
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z  # pyright: ignore[reportAttributeAccessIssue] - h5py has no types for these

from study.files import untrusted
from study.files.untrusted import MEBIBYTE, Refused

LARGEST = 256 * MEBIBYTE  # for a file, and for all its arrays: a record has a few hundred kilobytes
MOST_OBJECTS, MOST_ATTRIBUTES, MOST_DIMENSIONS, MOST_ELEMENTS, MOST_BYTES = 1000, 64, 8, 1000, 8
LAYOUTS = (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED)  # none with data elsewhere
NUMBERS = (h5t.TypeIntegerID, h5t.TypeFloatID)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
STRUCTURE = {b"CLASS", b"NAME", b"_Netcdf4Coordinates", b"_Netcdf4Dimid"}
NEEDED = STRUCTURE | {b"grows"}  # by those who do not need the words
REFERENCES = {b"DIMENSION_LIST", b"REFERENCE_LIST"}
# Attributes that HDF5 and netCDF use internally. A fill value is not needed: missing values are NaN.
FILL = "_FillValue"
OWN = {"CLASS", "NAME", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_NCProperties", FILL, "coordinates"}
FILTERS = (h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32)  # which are part of HDF5: no plug-in is loaded for them
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
    """The arrays of a file, at most `most` bytes in all, with their dimensions, labels and attributes, in memory.

    Raises `Refused` where the file holds anything but plain arrays of numbers; `OSError` where it is missing or unreachable.
    """
    variables, attributes = parts(path, most)
    try:
        return _dataset(variables).pipe(with_words).assign_attrs(attributes)
    except ValueError as error:  # such as dimensions of two lengths
        raise Refused(f"holds arrays that do not fit together ({untrusted.one_line(error)})") from None


def parts(
    path: Path, most: int = LARGEST, described: bool = True, foreign: bool = False
) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """The variables of a file, including dimension labels, and its attributes. Raises as `read` does.

    Without the variables' own attributes (`described`), this takes a third of the time. A `foreign` file, which this project did
    not write, may be a link, and compressed with HDF5's own filters; its fill values are among the attributes.
    """
    with untrusted.opened(path, most, follow=foreign) as handle:
        _check_heaps(handle)
        try:
            # Through the open file: this takes no lock, and the checked file is the one that is read.
            with h5py.File(handle, "r") as file:
                return _variables(file, most, described, foreign), _without_own(_attributes(file["/"].id))
        except Refused:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError) as error:
            raise Refused(f"cannot be read as netCDF ({untrusted.one_line(error)})") from None


def _check_heaps(file: BinaryIO) -> None:
    """Raises `Refused` where a heap (HDF5's storage for texts of any length) is damaged: the library could read in it for ever."""
    if not os.fstat(file.fileno()).st_size:
        raise Refused("is empty")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for heap in HEAP.finditer(content):
            place = heap.start() + 16
            [size] = struct.unpack_from("<Q", content[heap.start() + 8 : place].ljust(8, b"\0"))
            end = heap.start() + size
            while place + 16 <= end <= len(content):
                index, length = struct.unpack_from("<H6xQ", content, place)
                place += max(length, 1) if index == 0 else 16 + (length + 7) // 8 * 8
                if index == 0 and length < 16:
                    raise Refused("is damaged")
            if not heap.start() + 16 <= place <= end <= len(content):
                raise Refused("is damaged")


def _dataset(variables: dict[str, xr.Variable]) -> xr.Dataset:
    """A dataset in which the variables that label dimensions of others are coordinates."""
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


def _variables(file: h5py.File, most: int, described: bool, foreign: bool) -> dict[str, xr.Variable]:
    count = len(file)
    if count > MOST_OBJECTS:
        raise Refused(f"holds {count:,} objects, more than the {MOST_OBJECTS:,} that are read")
    arrays = {name: _array(file, name, FILTERS if foreign else ()) for name in map(str, file)}
    if sum(math.prod(array.shape) * array.dtype.itemsize for array in arrays.values()) > most:
        raise Refused(f"holds arrays of more than {most / MEBIBYTE:,.0f} MiB")
    attributes = {name: _attributes(array, None if described else NEEDED) for name, array in arrays.items()}
    dimensions = _dimensions(arrays, attributes)
    return {
        name: _variable(name, array, attributes[name], dimensions, OWN - {FILL} if foreign else OWN)
        for name, array in arrays.items()
        if not attributes[name].get("NAME", "").startswith(NO_VARIABLE)
    }


def _array(file: h5py.File, name: str, filters: tuple[int, ...]) -> h5d.DatasetID:
    """An array stored in this file as plain numbers, with no other than these filters; raises `Refused` for anything else."""
    if not NAME.fullmatch(name):
        raise Refused(f"holds a variable called {untrusted.one_line(name, 50)!r}")
    if file.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
        raise Refused(f"holds a link instead of {name}")
    if h5o.get_info(file.id, name.encode()).type != h5o.TYPE_DATASET:
        raise Refused(f"holds a group or a type, {name}, instead of a variable")
    array = h5d.open(file.id, name.encode())
    stored, kind = array.get_create_plist(), array.get_type()
    if stored.get_external_count() or stored.get_layout() not in LAYOUTS:
        raise Refused(f"keeps the values of {name} in another file")
    if any(stored.get_filter(index)[0] not in filters for index in range(stored.get_nfilters())):
        raise Refused(f"holds {name} compressed or filtered, which this project {'cannot read' if filters else 'never writes'}")
    if type(kind) not in NUMBERS or kind.committed() or array.dtype.itemsize > MOST_BYTES or array.dtype.kind not in "iuf":
        raise Refused(f"holds {name} in a type that is no plain number")
    if array.get_space().get_simple_extent_type() == h5s.NULL or array.rank > MOST_DIMENSIONS:
        raise Refused(f"holds {name} in {array.rank} dimensions or none at all")
    return array


def _dimensions(arrays: dict[str, h5d.DatasetID], attributes: dict[str, dict[str, Any]]) -> dict[int, str]:
    """The names of dimensions by their netCDF numbers.

    The numbers are read instead of HDF5's references to the label arrays, which can point anywhere.
    """
    dimensions: dict[int, str] = {}
    for name, array in arrays.items():
        if attributes[name].get("CLASS") != "DIMENSION_SCALE":
            continue
        number = attributes[name].get("_Netcdf4Dimid")
        if array.rank != 1 or not isinstance(number, np.integer) or int(number) in dimensions:
            raise Refused(f"holds labels, {name}, without a dimension of their own")
        dimensions[int(number)] = name
    return dimensions


def _variable(
    name: str, array: h5d.DatasetID, attributes: dict[str, Any], dimensions: dict[int, str], own: set[str]
) -> xr.Variable:
    numbers = np.atleast_1d(attributes.get("_Netcdf4Coordinates", np.empty(0, dtype=int)))
    names = [dimensions.get(int(number), "") for number in numbers]
    if len(names) != array.rank or len(set(names)) != len(names) or "" in names or (name in names and names != [name]):
        raise Refused(f"holds {name} over dimensions that cannot be told apart")
    values = np.empty(array.shape, array.dtype.newbyteorder("="))
    array.read(h5s.ALL, h5s.ALL, values)
    return xr.Variable(names, values, _without_own(attributes, own), {"coordinates": str(attributes.get("coordinates", ""))})


def _without_own(attributes: dict[str, Any], own: set[str] = OWN) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in own}


def _attributes(owner: h5d.DatasetID | h5g.GroupID, chosen: set[bytes] | None = None) -> dict[str, Any]:
    """All attributes, or those `chosen`: texts, numbers and series of numbers.

    References, which this reader does not need, are left out.
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
