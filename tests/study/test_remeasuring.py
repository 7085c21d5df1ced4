"""What a stored record lacks, how it is filled, and how a measurement is registered: on a real network and real images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from earlier import as_written_earlier

from study.config import StudyConfig
from study.execution.stacks import Remeasurement
from study.execution.workers import measure_again
from study.files.untrusted import Refused
from study.measurements import MEASUREMENTS, measure, names_in_set, register_measurement
from study.measurements.recording import Recording
from study.record.network_record import Failure, check, measured, read_measurements, write_measurements
from study.record.remeasuring import StoredNetwork
from study.schema import MEASURED, MEASUREMENT, labelled, measured_from_words, measured_in_words
from study.terminal.errors import InputError
from study.training.history import History


def _asked(measurements: str, blank_rows: int = 30):
    given = {"seeds": "0", "hidden_sizes": "24", "device": "cpu", "measurements": measurements, "blank_rows": blank_rows}
    return StudyConfig(**given).networks()[0]


@pytest.fixture(scope="module")
def recording(network, test_images, train_images) -> Recording:
    return Recording(network, test_images.first(300), train_images, blank_rows=30)


@pytest.fixture(scope="module")
def history(network, test_images) -> xr.Dataset:
    one = History()
    one.begin(network, test_images)
    one.add(2.0, 0.3, network, test_images, last=True)
    return one.labelled(network)


@pytest.fixture(scope="module")
def paper(recording, history) -> xr.Dataset:
    return measure(recording, names_in_set("paper")).merge(history)


@pytest.fixture
def own(monkeypatch):
    """A place for measurements of this test's own."""
    for name, one in list(MEASUREMENTS.items()):
        monkeypatch.setitem(MEASUREMENTS, name, one)
    before = set(MEASUREMENTS)
    yield MEASUREMENTS
    for name in set(MEASUREMENTS) - before:
        del MEASUREMENTS[name]


def _number(name: str, value: float = 1.0):
    def function(_: Recording):
        yield labelled(name, value, {}, "a number", role="number", metric=f"mine/{name}")

    return function


def _identical(one: xr.Dataset, other: xr.Dataset) -> bool:
    return one.drop_attrs(deep=False).identical(other.drop_attrs(deep=False)) and one.attrs[MEASURED] == other.attrs[MEASURED]


def test_a_record_is_filled_up_to_what_is_measured_at_one_go(network, recording, history, paper, tmp_path):
    chosen = [
        name for name in names_in_set("full") if name not in ("attractors", "fixed_points", "probe_controls")
    ]  # which take long
    stored = StoredNetwork(_asked("full"), network, paper, 30, "run")
    lacking = stored.lacks()
    assert lacking == [name for name in names_in_set("full") if name not in names_in_set("paper")]
    joined = stored.merged(measure(recording, [name for name in lacking if name in chosen]))
    assert _identical(joined, measure(recording, chosen).merge(history))
    write_measurements(joined, tmp_path / "m.nc")
    again = StoredNetwork(_asked("standard"), network, joined, 30, "run")
    assert again.lacks() == ["attractors"]
    assert StoredNetwork(_asked("paper"), network, joined, 30, "run").lacks() == []


def test_a_raised_version_is_measured_again_alone_and_leaves_nothing_behind(network, recording, history, paper, own):
    def first(_: Recording):
        yield labelled("kept", 1.0, {}, "a number")
        yield labelled("dropped", 1.0, {}, "a number")

    register_measurement("mine", first, "paper", reads_blank_rows=False)
    record = measure(recording, names_in_set("paper")).merge(history)
    assert StoredNetwork(_asked("paper"), network, record, 30, "run").lacks() == []
    del own["mine"]
    register_measurement("mine", _number("kept", 2.0), "paper", version=2, reads_blank_rows=False)
    stored = StoredNetwork(_asked("paper"), network, record, 30, "run")
    assert stored.lacks() == ["mine"]
    joined = stored.merged(measure(recording, ["mine"]))
    assert joined.attrs[MEASURED] == "experiments:2 dimensionality:2 mine:2"
    assert float(joined.kept) == 2.0
    assert set(joined.variables) == set(record.variables) - {"dropped"}
    assert joined.drop_vars("kept").identical(record.drop_vars(["kept", "dropped"]).assign_attrs(joined.attrs))
    del own["mine"]  # a measurement that is not registered any more stays
    again = StoredNetwork(_asked("standard"), network, joined, 30, "run").merged(measure(recording, ["spectrum"]))
    assert again.attrs[MEASURED] == "experiments:2 dimensionality:2 spectrum mine:2" and float(again.kept) == 2.0


def test_other_blank_rows_take_out_what_depends_on_them(network, test_images, train_images, recording, history):
    record = measure(recording, [*names_in_set("paper"), "geometry_appended", "spectrum"]).merge(history)
    stored = StoredNetwork(_asked("paper", 20), network, record, 30, "run")
    assert stored.lacks() == ["experiments"]
    joined = stored.merged(measure(Recording(network, test_images.first(300), train_images, 20), stored.lacks()))
    assert joined.attrs[MEASURED] == "experiments:2 dimensionality:2 spectrum"  # the geometry of 30 rows cannot stand beside them
    assert joined.sizes["blank_rows"] == 21
    assert joined.train_loss.identical(record.train_loss)


def test_an_earlier_record_gets_what_it_lacks_and_nothing_else_is_measured(
    network, recording, paper, history, tmp_path, monkeypatch
):
    write_measurements(as_written_earlier(paper), tmp_path / "m.nc")
    earlier = read_measurements(tmp_path / "m.nc")
    assert measured(earlier.attrs) == {"experiments": 1, "dimensionality": 1}
    stored = StoredNetwork(_asked("standard"), network, earlier, 30, "run")
    assert stored.lacks() == names_in_set("standard"), "what there is, is of an earlier version"
    for name in ("experiments", "dimensionality"):
        monkeypatch.setitem(MEASUREMENTS, name, replace(MEASUREMENTS[name], version=1))
    assert stored.lacks() == [name for name in names_in_set("standard") if name not in names_in_set("paper")]
    joined = stored.merged(measure(recording, ["spectrum"]))
    assert joined.drop_vars([name for name in joined if name.startswith(("eigenvalue_", "spectral_", "period_"))]).equals(
        earlier.drop_vars([name for name in earlier if name.startswith(("eigenvalue_", "spectral_"))])
    )
    outdated = StoredNetwork(_asked("paper", 20), network, joined, 30, "run")
    assert outdated.lacks() == ["experiments"]
    anew = outdated.merged(measure(replace(recording, blank_rows=20), outdated.lacks()))
    assert set(anew.data_vars) == set(joined.data_vars) - {"period"}  # 20 rows are too few for one
    assert anew.train_loss.identical(earlier.train_loss)


def test_an_array_that_names_no_measurement_stays_until_something_is_outdated(network, recording, paper):
    untold = paper.assign(untold=1.5, mine=1.0)
    stored = StoredNetwork(_asked("standard"), network, untold, 30, "run")
    made = measure(recording, ["spectrum"]).assign(mine=2.0)
    joined = stored.merged(made)
    assert (float(joined.untold), float(joined.mine)) == (1.5, 2.0)
    outdated = StoredNetwork(_asked("paper", 20), network, untold, 30, "run")
    assert "untold" not in outdated.merged(measure(replace(recording, blank_rows=20), outdated.lacks()))


def test_controls_join_the_variable_they_are_compared_with(network, test_images, train_images, monkeypatch):
    few = Recording(network, test_images.first(300), train_images.first(1000), 30)
    once, alone = measure(few, ["probes", "probe_controls"]), measure(few, ["probes"])
    stored = StoredNetwork(_asked("full"), network, alone, 30, "run")
    joined = stored.merged(measure(few, ["probe_controls"]))
    assert joined.probe_accuracy.identical(once.probe_accuracy)
    monkeypatch.setitem(MEASUREMENTS, "probe_controls", replace(MEASUREMENTS["probe_controls"], version=3))
    raised = StoredNetwork(_asked("full"), network, joined, 30, "run")
    assert "probe_controls" in raised.lacks() and "probes" not in raised.lacks()
    again = raised.merged(measure(few, ["probe_controls"]))
    assert again.probe_accuracy.identical(once.probe_accuracy)
    assert measured(again.attrs) == {"probes": 1, "probe_controls": 3}


def test_a_record_whose_labels_are_others_is_a_failure_of_its_network(network, paper, source):
    shifted = paper.assign(other=("time_step", np.zeros(28), {MEASUREMENT: "experiments"})).assign_coords(
        time_step=paper.time_step + 1
    )
    stored = StoredNetwork(_asked("paper"), network, shifted, 30, "run")
    [failure] = measure_again(Remeasurement(stored, source.shape, ("dimensionality",)), source)
    assert isinstance(failure, Failure) and "its stored record has other labels along a dimension" in failure.reason


def test_versions_that_differ_are_both_named(network, recording, paper):
    stored = StoredNetwork(_asked("standard"), network, paper.assign_attrs(versions='{"torch": "1.0"}'), 30, "run")
    assert '"torch": "1.0 and ' in stored.merged(measure(recording, ["spectrum"])).attrs["versions"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "probes"}, "measurement probes: this name is taken"),
        ({"name": "My probe"}, "expected a name of lower-case letters"),
        ({"name": "mine", "part_of": "all"}, "part_of=all; expected one of paper, standard, full"),
        ({"name": "mine", "version": 0}, "version=0; expected an integer of at least 1"),
        ({"name": "mine", "version": "2"}, "expected an integer of at least 1"),
    ],
)
def test_a_measurement_that_cannot_be_registered_is_one_line(given, words, own):
    with pytest.raises(InputError) as error:
        register_measurement(function=_number("a"), **given)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pca90", "weights_dropped", "seed"])
def test_a_variable_that_is_taken_is_refused(name, recording, own):
    register_measurement("mine", _number(name), "paper")
    with pytest.raises(InputError, match=f"measurement mine yields '?{name}'?, which is taken"):
        measure(recording, ["dimensionality", "mine"])


def test_measurements_and_versions_are_told_in_words():
    held = {"experiments": 1, "probes": 12}
    assert measured_in_words(held) == "experiments probes:12"
    assert measured_from_words("experiments probes:12") == held
    assert measured_from_words("") == {}
    for odd in ("probes:0", "probes:", "Probes", "a  b", " a", "a;b", "a:1234567"):
        with pytest.raises(ValueError, match="cannot be read"):
            measured_from_words(odd)
        with pytest.raises(Refused):
            check({"a": xr.Variable((), np.float64(1))}, {MEASURED: odd})
