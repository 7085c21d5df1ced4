"""Real studies that ask for more than is stored: the stored weights are measured again, and nothing is trained."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from earlier import as_written_earlier
from mlflow.entities import Run
from places import STUDY, Place, new_place

from analysis.dataset import runs
from study.config import StudyConfig
from study.data.sources import DataSource
from study.execution import checkpoints
from study.files import durable
from study.networks.network import RecurrentNetwork
from study.record import spool
from study.record.keys import fused_network_key, fused_regime_key
from study.record.network_record import MEASUREMENTS, WEIGHTS, NetworkRecord, read_measurements, write_measurements
from study.record.spool import Spool
from study.tracking.study_run import network_config

pytestmark = pytest.mark.slow

SINCE = ("dimension90", "dimension90_by_label", "source")  # what earlier code did not measure
QUICK = {"seeds": "0-5", "epochs": "2"}  # six networks: as many as a band needs
MINE = """
import os, time
import numpy as np
from study.measurements import register_measurement
from study.schema import labelled

VERSION = int(os.environ.get("MINE_VERSION", "1"))

def strength(recording):
    time.sleep(float(os.environ.get("MINE_SECONDS", "0")))
    sizes = recording.states[:, :500].double().norm(dim=2).mean(dim=1).numpy() * VERSION
    yield labelled("strength", sizes, {"time_step": recording.time_steps}, "mean norm", role="curve", metric="mine/strength")
    if VERSION == 1:
        yield labelled("last_strength", sizes[-1], {}, "norm of the last state", role="number", metric="mine/last")

register_measurement("strength", strength, part_of="paper", version=VERSION, reads_blank_rows=False)
"""


def _with_extension(place: Place, **environment: str) -> Place:
    """The same place, for a person who has registered a measurement of her own."""
    (place.folder / "mine.py").write_text(MINE)
    own = {"HIDDEN_ORBITS_EXTENSIONS": "mine", "PYTHONPATH": str(place.folder)}
    return Place(place.folder, place.store, own | environment)


@dataclass(frozen=True)
class Stored:
    """What a study has stored of one network: its run, and each variable's bytes and attributes."""

    run: Run
    arrays: dict[str, tuple]

    def without(self, *names: str) -> dict[str, tuple]:
        return {name: array for name, array in self.arrays.items() if name not in names}


def _config() -> StudyConfig:
    return StudyConfig(**{name: value for name, value in STUDY.items() if name != "patience"} | QUICK)


def _artifacts(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def _stored(place: Place, number: int = 0) -> dict[str, Stored]:
    """The networks of the study that is the `number`-th newest, by seed."""
    found = {}
    for run in place.networks(place.studies()[number]):
        assert run.data.tags["complete"] == "true"
        record = read_measurements(_artifacts(run) / MEASUREMENTS)
        arrays = {
            str(name): (array.dims, array.dtype, array.values.tobytes(), {key: str(value) for key, value in array.attrs.items()})
            for name, array in record.variables.items()
        }
        found[run.data.params["seed"]] = Stored(run, arrays)
    return found


def _same_weights(one: dict[str, Stored], other: dict[str, Stored]) -> bool:
    digests = [{seed: json.loads(s.run.data.tags["digests"])[WEIGHTS] for seed, s in some.items()} for some in (one, other)]
    return digests[0] == digests[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Place:
    """A finished study of six networks; to be copied."""
    place = new_place(tmp_path_factory.mktemp("finished"))
    study = place.run(**QUICK)
    assert "6 networks expected: 6 trained, 0 re-measured, 0 reused, 0 failed" in study.output
    return place


@pytest.fixture
def copied(finished, tmp_path) -> Place:
    """A copy of the finished study, where it may be gone on with; artifacts are read where they were written."""
    for name in ("mlflow.db",):
        shutil.copy(finished.folder / name, tmp_path / name)
    place = Place(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    [experiment] = [e for e in place.client.search_experiments() if e.name == "hidden-orbits"]
    assert experiment.artifact_location.startswith(finished.folder.as_uri())
    return place


def test_a_measurement_of_a_person_s_own_appears_everywhere_and_nothing_is_trained(copied):
    mine = _with_extension(copied)
    again = mine.run(**QUICK)
    assert "6 are stored and measured again (strength)" in again.output
    assert "6 networks expected: 0 trained, 6 re-measured, 0 reused, 0 failed" in again.output
    before, after = _stored(mine, 1), _stored(mine)
    assert _same_weights(before, after)
    for seed, stored in after.items():
        assert stored.without("strength", "last_strength") == before[seed].arrays
        assert set(stored.arrays) - set(before[seed].arrays) == {"strength", "last_strength"}
        tags, original = stored.run.data.tags, before[seed].run
        assert tags["remeasured_from"] == original.info.run_id
        assert tags["training_key"] == original.data.tags["training_key"]
        assert tags["record_key"] != original.data.tags["record_key"]
        assert stored.run.outputs.model_outputs[0].model_id == original.outputs.model_outputs[0].model_id
        metrics = stored.run.data.metrics
        assert metrics["mine/last"] > 0
        assert {name: value for name, value in metrics.items() if not name.startswith("mine/")} == original.data.metrics
        assert len(mine.client.get_metric_history(stored.run.info.run_id, "mine/strength")) == 28
    dataset = runs.load("latest", mine.client)
    assert dataset.strength.sizes == {"hidden_size": 1, "seed": 6, "time_step": 28}
    assert "missing" not in dataset.strength.attrs and json.loads(dataset.attrs["not_measured"]) == {}
    [study] = [run for run in mine.studies() if run.info.run_id == dataset.attrs["study"]]
    assert study.data.metrics["networks/remeasured"] == 6 and study.data.metrics["networks/trained"] == 0

    analysed = mine.popen([sys.executable, "-m", "analysis", "--study", "latest"])
    assert analysed.wait() == 0, analysed.output
    [aggregate] = mine.runs("tags.kind = 'aggregate' and tags.current = 'true'")
    for line in ("mean", "lower", "upper"):
        assert len(mine.client.get_metric_history(aggregate.info.run_id, f"mine/strength/{line}")) == 28

    raised = _with_extension(copied, MINE_VERSION="2").run(**QUICK)
    assert "6 are stored and measured again (strength)\n" in raised.output
    assert "6 networks expected: 0 trained, 6 re-measured, 0 reused, 0 failed" in raised.output
    for seed, stored in _stored(mine).items():
        assert stored.without("strength") == after[seed].without(
            "strength", "last_strength"
        )  # the second version yields it no more
        assert stored.arrays["strength"] != after[seed].arrays["strength"]

    without = copied.run(**QUICK)  # the extension is not there: what it measured is no harm
    assert "6 networks expected: 0 trained, 0 re-measured, 6 reused, 0 failed" in without.output


def test_larger_sets_measure_again_until_the_record_is_as_a_fresh_one(copied, tmp_path):
    alone = QUICK | {"seeds": "0"}
    for measurements, line in (
        ("standard", "1 networks expected: 0 trained, 1 re-measured, 0 reused, 0 failed"),
        ("full", "1 networks expected: 0 trained, 1 re-measured, 0 reused, 0 failed"),
        ("paper", "1 networks expected: 0 trained, 0 re-measured, 1 reused, 0 failed"),
    ):
        study = copied.run(measurements=measurements, **alone)
        assert line in study.output
    back, full, standard, paper = (_stored(copied, number)["0"] for number in range(4))
    assert back.arrays == paper.arrays and back.run.data.tags["reused_from"] == paper.run.info.run_id  # just what is asked
    assert len({one.run.data.tags["record_key"] for one in (paper, standard, full)}) == 3
    for other in (back, standard, paper):
        copied.client.delete_run(other.run.info.run_id)
    assert "1 networks expected: 0 trained, 0 re-measured, 1 reused, 0 failed" in copied.run(measurements="paper", **alone).output
    more = _stored(copied)["0"]
    assert more.arrays == full.arrays and more.run.data.tags["reused_from"] == full.run.info.run_id
    assert "temporal_generalisation" in runs.load("latest", copied.client)

    (tmp_path / "fresh").mkdir()
    fresh = new_place(tmp_path / "fresh")
    assert fresh.run(measurements="full", **alone).process.returncode == 0
    [(_, made_at_once)] = _stored(fresh).items()
    assert full.arrays == made_at_once.arrays
    read = [read_measurements(_artifacts(one.run) / MEASUREMENTS) for one in (full, made_at_once)]
    records = [record.assign_attrs(versions="") for record in read]  # someone may commit while this runs
    assert records[0].identical(records[1])
    assert full.run.data.metrics == made_at_once.run.data.metrics
    assert full.run.data.tags["record_key"] == made_at_once.run.data.tags["record_key"]
    assert _same_weights({"0": full}, {"0": made_at_once})


def test_other_blank_rows_measure_again_only_what_depends_on_them(copied):
    fewer = copied.run(blank_rows="40", **QUICK)
    assert "6 are stored and measured again (experiments)\n" in fewer.output
    assert "6 networks expected: 0 trained, 6 re-measured, 0 reused, 0 failed" in fewer.output
    before, after = _stored(copied, 1)["0"], _stored(copied)["0"]
    assert after.arrays["pca90"] == before.arrays["pca90"]
    assert runs.load("latest", copied.client).sizes["blank_rows"] == 41


def test_a_kill_while_networks_are_measured_again_loses_nothing(copied):
    slow = _with_extension(copied, MINE_SECONDS="2")
    study = slow.start(jobs="1", **QUICK)
    study.until(lambda: slow.runs("tags.remeasured_from != '' and tags.complete = 'true'"), seconds=120)
    study.kill()
    [killed, original] = slow.studies()
    assert 0 < len(slow.runs("tags.remeasured_from != '' and tags.complete = 'true'")) < 6
    last = _with_extension(copied).run(**QUICK)
    assert last.process.returncode == 0, last.output
    assert "6 networks expected: 0 trained, " in last.output and " 0 failed" in last.output
    new = slow.studies()[0]
    assert new.info.run_id not in (killed.info.run_id, original.info.run_id)
    assert not slow.runs("attributes.status = 'RUNNING'")
    after, before = _stored(slow), {run.data.params["seed"]: run for run in slow.networks(original)}
    assert set(after) == set(before) == set("012345")
    moved = {seed for seed, stored in after.items() if "moved_from" in stored.run.data.tags}
    assert moved  # what was measured before the kill is not measured again
    assert all("strength" in stored.arrays for stored in after.values())
    assert not list((copied.folder / "cache" / "spool").iterdir())


def test_a_result_that_waits_in_a_spool_with_less_than_is_asked_is_measured_again(copied, source, monkeypatch):
    """As a study leaves it that stopped before the tracking store had its network."""
    [study] = copied.studies()
    [run] = [run for run in copied.networks(study) if run.data.params["seed"] == "0"]
    network = RecurrentNetwork.load(_artifacts(run) / WEIGHTS)
    record = NetworkRecord(network_config(run), network, read_measurements(_artifacts(run) / MEASUREMENTS), 1.0, 2.0)
    before = _stored(copied)["0"]
    for stored in copied.networks(study):
        copied.client.delete_run(stored.info.run_id)
    monkeypatch.setattr(spool, "FOLDER", copied.folder / "cache" / "spool")
    waiting = Spool("ab" * 16)
    waiting.describe(_config(), source.digest)
    waiting.add(record, source.digest)
    waiting.close()

    alone = QUICK | {"seeds": "0"}
    slow = _with_extension(copied, MINE_SECONDS="20").start(**alone)
    slow.until_printed("1 are stored and measured again (strength)", seconds=200)
    slow.kill()  # what waited is not lost
    larger = _with_extension(copied).run(**alone)
    assert "1 networks expected: 0 trained, 1 re-measured, 0 reused, 0 failed" in larger.output
    after = _stored(copied)["0"]
    assert after.without("strength", "last_strength") == before.arrays
    assert _same_weights({"0": after}, {"0": before})
    assert after.run.outputs.model_outputs  # of its own: there is no other run
    assert not list((copied.folder / "cache" / "spool").iterdir())


def _as_written_earlier(place: Place, source: DataSource) -> None:
    """Turns the newest study into one as code without training keys wrote it: one key, and the earlier layout of records."""
    study = place.studies()[0]
    for run in place.networks(study):
        key = fused_network_key(network_config(run), source.digest)
        folder = _artifacts(run)
        record = as_written_earlier(read_measurements(folder / MEASUREMENTS))
        for name in ("training_key", "record_key"):
            del record.attrs[name]
            place.client.delete_tag(run.info.run_id, name)
        write_measurements(record.assign_attrs(network_key=key), folder / MEASUREMENTS)
        digests = {name: durable.digest(folder / name) for name in (WEIGHTS, MEASUREMENTS)}
        place.client.log_param(run.info.run_id, "network_key", key)
        place.client.set_tag(run.info.run_id, "network_key", key)
        place.client.set_tag(run.info.run_id, "digests", json.dumps(digests))
    network = _config().networks()[0]
    place.client.set_tag(study.info.run_id, "regime_key", fused_regime_key(network, source.digest))


def test_a_store_that_earlier_code_wrote_is_read_and_its_weights_are_used(place, source):
    alone = QUICK | {"seeds": "0-1"}
    assert place.run(**alone).process.returncode == 0
    _as_written_earlier(place, source)
    assert int(place.dataset().test_accuracy.count()) == 2
    weights = _stored(place)

    place.client.set_terminated(place.studies()[0].info.run_id, "KILLED")  # as one that was stopped
    place.client.delete_tag(place.studies()[0].info.run_id, "claim")
    same = place.run(**alone)
    assert "2 networks expected: 0 trained, 2 re-measured, 0 reused, 0 failed" in same.output  # for what is measured since
    now = _stored(place)
    assert _same_weights(now, weights)
    assert all(stored.without(*SINCE) == weights[seed].arrays for seed, stored in now.items())
    new, old = place.studies()
    assert old.data.tags["superseded_by"] == new.info.run_id
    assert all({"training_key", "record_key"} <= set(run.data.tags) for run in place.networks(new))

    larger = _with_extension(place).run(**alone)
    assert "2 networks expected: 0 trained, 2 re-measured, 0 reused, 0 failed" in larger.output
    for seed, stored in _stored(place).items():
        assert stored.without("strength", "last_strength") == now[seed].arrays
    fewer = place.run(blank_rows="40", **alone)
    assert "2 networks expected: 0 trained, 2 re-measured, 0 reused, 0 failed" in fewer.output
    assert _same_weights(_stored(place), weights)
    assert "strength" not in _stored(place)["0"].arrays

    run = place.networks(place.studies()[0])[0]
    for other in place.runs("tags.kind = 'network'"):  # whoever writes another key cannot have weights taken for another network's
        if other.data.params["seed"] == run.data.params["seed"]:
            place.client.set_tag(other.info.run_id, "network_key", "0" * 64)
            if "training_key" in other.data.tags:
                place.client.delete_tag(other.info.run_id, "training_key")
    forged = place.run(blank_rows="40", **alone)
    assert "2 networks expected: 1 trained, 0 re-measured, 1 reused, 0 failed" in forged.output


def test_two_studies_that_measure_differently_do_not_train_the_same_networks_at_once(place):
    first = place.start(epochs="800")
    first.until_printed("networks on cpu")
    second = place.run(epochs="800", measurements="standard", blank_rows="5")
    assert second.process.returncode == 2
    assert "is already running" in second.output
    first.kill()


def test_checkpoints_go_by_the_training_key(place):
    study = place.start(seeds="0", epochs="800")
    folder = place.folder / "cache" / checkpoints.FOLDER.name
    study.until(lambda: folder.is_dir() and list(folder.glob("*.safetensors")))
    study.kill()
    other = place.start(seeds="0", epochs="800", blank_rows="5")
    other.until_printed("networks on cpu")
    other.kill()
    assert [file.suffix for file in folder.iterdir() if file.suffix == ".set-aside"] == []
