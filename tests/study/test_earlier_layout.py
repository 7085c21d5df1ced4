"""Records that earlier code wrote are read as if they had been written today."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from earlier import LATER, as_written_earlier, as_written_with_digits

from study.files.untrusted import Refused
from study.measurements import measure
from study.measurements.recording import Recording
from study.record.earlier_layout import dataset_of_today
from study.record.network_record import measured, read_measurements, write_measurements
from study.schema import SOURCES, by_source

ALL = ("attractors", "fixed_points", "temporal_generalisation", "surface")  # have nothing that changed


@pytest.fixture(scope="module")
def record(network, test_images, train_images) -> xr.Dataset:
    geometry, probes = ["geometry", "geometry_nulls", "geometry_appended"], ["probes", "probe_controls", "probe_of_pixels"]
    chosen = ["experiments", "dimensionality", "early_cluster", *geometry, *probes, *ALL]
    return measure(Recording(network, test_images.first(400), train_images.first(2000), blank_rows=60), chosen)


def test_an_earlier_record_is_read_as_one_of_today(record, tmp_path):
    earlier = as_written_earlier(record)
    assert {"probe_pixels", "probe_gap", "participation_ratio_untrained", "twonn_by_group_input"} <= set(earlier)
    write_measurements(earlier, tmp_path / "m.nc")
    read = read_measurements(tmp_path / "m.nc")
    later = record.drop_vars(LATER)
    assert set(read.variables) == set(later.variables)
    assert set(measured(read.attrs).values()) == {1}
    later_measured = {"early_cluster", "probe_of_pixels"}  # pixels were among the controls
    assert set(measured(read.attrs)) == set(measured(record.attrs)) - later_measured
    made_by = later.probe_accuracy.attrs["measurement"].replace("probe_of_pixels", "probe_controls")
    later["probe_accuracy"] = later.probe_accuracy.assign_attrs(measurement=made_by)
    for name, array in later.data_vars.items():
        if name == "readout_accuracy":
            np.testing.assert_allclose(read[name], array, atol=1e-15)
        else:
            assert read[name].equals(array), name
        assert read[name].dims == array.dims
        for word in ("role", "metric", "missing", "measurement", "units", "valid_max"):
            assert read[name].attrs.get(word) == array.attrs.get(word), (name, word)
    for dimension in record.dims:
        assert read[dimension].identical(record[dimension])


def test_a_record_of_digits_is_read_as_one_of_labels(record, tmp_path):
    earlier = as_written_with_digits(record)
    assert {"digit", "pca90_by_digit", "twonn_by_digit_appended", "basin_tells_digit", "sixes_agreement"} <= set(earlier.variables)
    assert earlier.sixes_agreement.attrs["metric"] == "neighbours/sixes_step_4"
    write_measurements(earlier, tmp_path / "m.nc")
    read = read_measurements(tmp_path / "m.nc")
    assert float(read.early_class) == float(record.early_class) == 6
    xr.testing.assert_equal(read, record)
    for name, array in record.drop_vars("early_class").data_vars.items():
        assert read[name].identical(array), name
    for odd in (earlier.assign(phase_tells_label=0.5), earlier.assign(pca90_by_label=earlier.pca90_by_digit)):
        write_measurements(odd, tmp_path / "m.nc")
        with pytest.raises(Refused, match="_label, which records of its version have not"):
            read_measurements(tmp_path / "m.nc")


def test_a_dataset_of_digits_is_read_as_one_of_labels(record):
    earlier = as_written_with_digits(record).expand_dims(hidden_size=[8], seed=[0])
    xr.testing.assert_equal(dataset_of_today(earlier), record.expand_dims(hidden_size=[8], seed=[0]))
    assert dataset_of_today(record) is record


def test_what_an_earlier_record_cannot_hold_is_refused(record, tmp_path):
    earlier = as_written_earlier(record)
    for name, odd in (
        ("over different dimensions", earlier.assign(probe_pixels=earlier.probe_pixels[:5].rename(time_step="other"))),
        ("probe_gap and probe_accuracy over different", earlier.assign(probe_gap=earlier.probe_gap[0].drop_vars("time_step"))),
        ("holds source, which", earlier.assign(source=1.0)),
        ("holds readout_accuracy, which", earlier.assign(readout_accuracy=earlier.probe_gap)),
    ):
        write_measurements(odd, tmp_path / "m.nc")
        with pytest.raises(Refused, match=name):
            read_measurements(tmp_path / "m.nc")


def test_a_variable_has_a_value_of_each_source_or_says_that_it_has_none(record):
    assert record.source.values.tolist() == list(SOURCES)
    assert [source for source, _ in by_source(record.probe_accuracy)] == ["trained", "untrained", "permuted", "pixels"]
    assert record.probe_accuracy.sel(source="row").isnull().all()
    assert "it is not measured of this source" in record.probe_accuracy.attrs["missing"]
