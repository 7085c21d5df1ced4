"""Records as earlier code wrote them."""

from __future__ import annotations

import xarray as xr

from study.record.earlier_layout import DIGITS_VERSION, GLUED, GLUED_VERSION
from study.schema import MEASURED, MEASUREMENT, NOT_OF_SOURCE, OF_IMAGES, SOURCE, by_source, metric_name, of_source

LATER = ("dimension90", "dimension90_by_label", "early_class", "early_cluster_agreement", "early_cluster_kept")


def as_written_with_digits(record: xr.Dataset) -> xr.Dataset:
    """A record of today as code would have written it that called labels digits."""
    record = record.drop_vars("early_class", errors="ignore")
    record.attrs = {name: value for name, value in record.attrs.items() if name not in OF_IMAGES}
    former = {str(name): str(name).replace("label", "digit").replace("early_class_agreement", "sixes_agreement") for name in record}
    earlier = record.rename(former | ({"label": "digit"} if "label" in record.dims else {}))
    for name, array in earlier.data_vars.items():
        if former.get(str(name), name) != name or "metric" in array.attrs:
            metric = str(array.attrs.get("metric", "")).replace("label", "digit").replace("/early_class", "/sixes_step_4")
            array.attrs |= {"metric": metric} if metric else {}
    return earlier.assign_attrs(record_version=DIGITS_VERSION)


def as_written_earlier(record: xr.Dataset) -> xr.Dataset:
    """The same, by code before variables had roles and sources."""
    arrays, record = {}, as_written_with_digits(record)
    for name, array in record.drop_vars([*LATER, "dimension90_by_digit"], errors="ignore").data_vars.items():
        for source, part in by_source(array):
            former = GLUED[str(name)][source] if SOURCE in array.dims else str(name)
            attributes = {key: value for key, value in array.attrs.items() if key not in ("role", MEASUREMENT)}
            if "metric" in attributes:
                attributes["metric"] = metric_name(array, source)
            if SOURCE in array.dims:
                told = attributes["missing"].removesuffix(NOT_OF_SOURCE).removesuffix("; or ")
                attributes = {key: value for key, value in attributes.items() if key != "missing"} | (
                    {"missing": told} if told else {}
                )
            arrays[former] = part.drop_attrs(deep=False).assign_attrs(attributes).rename(former)
    if "readout_accuracy" in arrays:
        gap = of_source(record.probe_accuracy) - arrays.pop("readout_accuracy")
        words = {"long_name": "accuracy of a linear probe above that of the readout", "units": "1", "metric": "probe/above_readout"}
        arrays["probe_gap"] = gap.drop_attrs(deep=False).assign_attrs(words)
    earlier = xr.Dataset(arrays, attrs=record.attrs | {"record_version": GLUED_VERSION}).drop_vars(SOURCE, errors="ignore")
    for dimension in earlier.dims:
        earlier[dimension].attrs.pop("grows", None)
    del earlier.attrs[MEASURED]
    return earlier
