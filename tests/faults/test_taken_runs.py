"""Runs that the environment names, and runs that a repeated request made twice."""

from __future__ import annotations

import json
import re
from unittest.mock import Mock

import numpy as np
import pytest
from conftest import new_store
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE
from places import Place
from rich.console import Console
from servers import Doubling, Server

from analysis.dataset import runs
from study.config import StudyConfig, ranges
from study.terminal.errors import InputError
from study.tracking import JobRun, StudyRun
from study.tracking.claim import GRID, Claim
from study.tracking.environment import current_experiment, handed_run
from study.tracking.results import log_aggregate

MADE_BY_MLFLOW_RUN = {"mlflow.source.type": "PROJECT", "mlflow.project.entryPoint": "main"}


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> MlflowClient:
    """A store of this module's own: elsewhere a study made here would be the latest."""
    return MlflowClient(new_store(tmp_path_factory.mktemp("store")))


@pytest.fixture
def experiment(client, monkeypatch) -> str:
    [experiment] = [e for e in client.search_experiments() if e.name == "study"]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment.experiment_id)
    return experiment.experiment_id


def _all(client: MlflowClient, run_id: str) -> dict:
    return client.get_run(run_id).to_dictionary()


def _fill(client: MlflowClient, run_id: str, what: str, tmp_path) -> None:
    """Makes a run one that somebody may miss."""
    match what:
        case "finished" | "killed" | "failed":
            client.set_terminated(run_id, what.upper())
        case "study" | "network" | "aggregate" | "tune":
            client.set_tag(run_id, "kind", what)
        case "metrics":
            client.log_metric(run_id, "loss", 1.0)
        case "artifacts":
            (tmp_path / "weights.bin").write_text("weights")
            client.log_artifact(run_id, str(tmp_path / "weights.bin"))
        case "children":
            client.create_run(client.get_run(run_id).info.experiment_id, tags={MLFLOW_PARENT_RUN_ID: run_id})
        case "deleted":
            client.delete_run(run_id)
        case "started in Python":
            client.set_tag(run_id, "mlflow.source.type", "LOCAL")


@pytest.mark.parametrize(
    "what",
    [
        "finished",
        "killed",
        "failed",
        "study",
        "network",
        "aggregate",
        "tune",
        "metrics",
        "artifacts",
        "children",
        "deleted",
        "started in Python",
    ],
)
def test_a_run_that_holds_anything_is_not_taken_over(what, client, experiment, source, tmp_path, monkeypatch):
    tags = {} if what == "started in Python" else MADE_BY_MLFLOW_RUN
    run_id = client.create_run(experiment, run_name="mine", tags={MLFLOW_RUN_NOTE: "mine", **tags}).info.run_id
    _fill(client, run_id, what, tmp_path)
    before, count = _all(client, run_id), len(client.search_runs([experiment]))
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    config = StudyConfig(seeds="0", hidden_sizes="8")
    for take in (
        handed_run,
        current_experiment,
        lambda client: StudyRun(client, config, source),
        lambda client: JobRun(client, "tune", "tune", {}),
        lambda client: StudyRun.reopened(client, "ab" * 16, config, source),
    ):
        with pytest.raises(InputError, match=f"MLFLOW_RUN_ID={run_id} names a run that .*: unset MLFLOW_RUN_ID"):
            take(client)
    assert _all(client, run_id) == before
    assert len(client.search_runs([experiment])) == count


def test_a_run_in_another_experiment_than_the_environment_names_is_not_taken_over(client, experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0", tags=MADE_BY_MLFLOW_RUN).info.run_id)
    with pytest.raises(InputError, match=f"is in experiment 0, not in MLFLOW_EXPERIMENT_ID={experiment}"):
        handed_run(client)


def test_leftovers_of_experiments_do_no_harm(client, experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "study")
    assert current_experiment(client) == experiment
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    with pytest.raises(InputError, match=f"MLFLOW_EXPERIMENT_ID={experiment} is the experiment study, but "):
        current_experiment(client)
    gone = client.create_experiment("gone")
    client.delete_experiment(gone)
    for name, value in (("ID", gone), ("NAME", "gone")):
        monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
        monkeypatch.setenv(f"MLFLOW_EXPERIMENT_{name}", value)
        with pytest.raises(InputError, match="the experiment gone is deleted; restore it"):
            current_experiment(client)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "")
    assert client.get_experiment(current_experiment(client)).name == "hidden-orbits"


@pytest.mark.parametrize("name", ["bold-carp-417", "My study"])
def test_a_new_run_of_mlflow_run_is_taken_over_with_the_name_that_a_person_gave_it(name, client, experiment, source, monkeypatch):
    run_id = client.create_run(experiment, run_name=name, tags=MADE_BY_MLFLOW_RUN).info.run_id
    client.log_param(run_id, "seeds", "0,1")  # as mlflow run logs it
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    study = StudyRun(client, StudyConfig(seeds="0-1", hidden_sizes="8"), source)
    run = client.get_run(study.run_id)
    assert study.run_id == run_id
    assert run.data.tags["kind"] == "study"
    assert run.data.params["seeds"] == "0,1"
    assert run.info.run_name == (name if name == "My study" else "mnist H=8 x 2 seeds")


def test_a_study_that_is_reopened_keeps_its_name_its_tags_and_its_note(client, experiment, source):
    config = StudyConfig(seeds="0", hidden_sizes="8")
    study = StudyRun(client, config, source)
    study.describe()
    client.update_run(study.run_id, name="My study")
    client.set_tag(study.run_id, "quality", "good")
    client.set_tag(study.run_id, MLFLOW_RUN_NOTE, "My note, by me@host:1@x")
    before = client.get_run(study.run_id).data
    again = StudyRun.reopened(client, study.run_id, config, source)
    assert again.run_id == study.run_id
    after = client.get_run(study.run_id).data
    assert after.tags == before.tags and after.params == before.params
    client.delete_run(study.run_id)
    with pytest.raises(InputError, match="is deleted, so nothing can be logged to it: restore it"):
        StudyRun.reopened(client, study.run_id, config, source)


@pytest.mark.slow
def test_a_leftover_ends_a_command_in_one_line_before_anything_is_written(undisturbed, tmp_path):
    [finished] = undisturbed.studies()
    before = finished.to_dictionary()
    place = Place(tmp_path, undisturbed.store, {"MLFLOW_RUN_ID": finished.info.run_id})
    journal = tmp_path / "tune.journal"
    commands = [place.start(seeds="0"), place.popen(["python", "-m", "study", "tune", "--trials", "1", "--storage", str(journal)])]
    for command in commands:
        assert command.wait() == 2, command.output
        assert re.fullmatch(r"error: no run can be made .* is a study already; .*: unset MLFLOW_RUN_ID\n", command.output)
    assert undisturbed.client.get_run(finished.info.run_id).to_dictionary() == before
    assert not journal.exists()


# A request that is repeated


def _claim(client: MlflowClient, experiment: str, config: StudyConfig, regime: str) -> Claim:
    return Claim(client, experiment, config, regime, Console())


def test_a_second_run_of_our_own_request_is_ended_and_is_no_other_coordinator(client, experiment, source):
    config = StudyConfig(seeds="0-3", hidden_sizes="8")
    claim = _claim(client, experiment, config, "twins")
    before = client.create_run(experiment, tags=claim.tags | {"kind": "study"}).info.run_id  # its answer was lost
    study = StudyRun(client, config, source, claim.tags)
    later = client.create_run(experiment, tags=claim.tags | {"kind": "study"}).info.run_id  # it took its time
    assert claim.hold(study.run_id) == []
    for twin in (before, later):
        run = client.get_run(twin)
        assert (run.info.status, run.data.tags["superseded_by"], run.data.tags["kind"]) == ("KILLED", study.run_id, "refused")
    assert client.get_run(study.run_id).info.status == "RUNNING"
    with pytest.raises(InputError, match="is already running"):
        _claim(client, experiment, config, "twins").look()
    study.end("FINISHED")


SCATTERED = tuple(range(0, 20_000, 2))  # 48,889 characters as text


@pytest.mark.parametrize("name", GRID)
def test_grids_of_any_length_are_compared(name, client, experiment, source):
    long = StudyConfig(**{"seeds": (0,), "hidden_sizes": (8,), name: SCATTERED[1:]})
    assert len(ranges(SCATTERED)) > 16_000
    claim = _claim(client, experiment, long, f"long {name}")
    study = StudyRun(client, long, source, claim.tags)
    run = client.get_run(study.run_id)
    assert max(map(len, run.data.tags.values())) <= 4000
    assert len(run.data.params[name]) == 6000 and run.data.params[name].endswith("all in study.json)")
    assert len(run.info.run_name) < 150
    for value, overlaps in ((SCATTERED[-1], True), (SCATTERED[-1] - 1, False)):
        other = long.model_copy(update={name: (value,)})
        look = _claim(client, experiment, other, f"long {name}").look
        if overlaps:
            with pytest.raises(InputError, match="is already running"):
                look()
        else:
            assert look() == []
    study.end("FINISHED")


@pytest.mark.parametrize(
    "seeds", ["", "0-", "0-99999999999999", ranges(SCATTERED)[:8000], ranges(SCATTERED)[:4000].rpartition(",")[0] + ","]
)
def test_a_claim_that_cannot_be_read_may_be_of_the_same_networks(seeds, client, experiment):
    config = StudyConfig(seeds="9999", hidden_sizes="8")
    regime = f"unreadable {len(seeds)}"
    tags = _claim(client, experiment, config, regime).tags | {"seeds": seeds, "kind": "study"}
    run = client.create_run(experiment, tags=tags)
    with pytest.raises(InputError, match="is already running"):
        _claim(client, experiment, config, regime).look()
    client.set_terminated(run.info.run_id)


def test_children_that_were_made_twice_end_with_their_parent(client, experiment, source):
    job = JobRun(client, "tune", "tune", {})
    twin = job.create_child("trial 0", "trial", 0.0, {})
    job.log_child("trial 0", "trial", 0.0, {"seed": 0}, {"distance": 0.1})
    job.end("FINISHED")
    assert client.get_run(twin).info.status == "KILLED"
    assert not client.search_runs([experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{job.run_id}' and attributes.status = 'RUNNING'")


def test_an_aggregate_that_was_killed_before_it_had_parameters_is_superseded(client, experiment, monkeypatch):
    study = client.create_run(experiment, tags={"kind": "study"})
    band = {"appended/accuracy": (np.arange(2), {"mean": np.zeros(2)})}
    other = log_aggregate(client, study, 50, band)
    with monkeypatch.context() as patch:
        patch.setattr(type(client), "log_batch", Mock(side_effect=KeyboardInterrupt))
        patch.setattr("study.tracking.results.terminate", lambda *_: None)  # as after a kill: nobody ends it
        with pytest.raises(KeyboardInterrupt):
            log_aggregate(client, study, 12, band)
    [killed] = client.search_runs([experiment], f"tags.study = '{study.info.run_id}' and attributes.status = 'RUNNING'")
    now = log_aggregate(client, study, 12, band)
    killed = client.get_run(killed.info.run_id)
    assert (killed.info.status, killed.data.tags["superseded_by"]) == ("KILLED", now)
    assert "superseded_by" not in client.get_run(other).data.tags


@pytest.mark.slow
def test_a_whole_study_through_a_connection_that_repeats_each_creation(tmp_path):
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'server.db'}").start()
    try:
        with Doubling(server.port) as proxy:
            place = Place(tmp_path, proxy.uri)
            study = place.run(seeds="0", epochs="1")
            assert study.process.returncode == 0, study.output
            found = runs.find(place.client, "latest")
            band = {"appended/accuracy": (np.arange(2), {"mean": np.zeros(2)})}
            aggregates = [log_aggregate(place.client, found.run, 12, band) for _ in range(2)]
            assert proxy.doubled >= 4
            [run] = place.studies()
            assert run.info.status == "FINISHED"
            assert run.data.metrics["networks/trained"] == 1
            assert not place.runs("attributes.status = 'RUNNING'")
            assert [network.data.tags["complete"] for network in place.networks(run) if "complete" in network.data.tags] == ["true"]
            [current] = place.runs("tags.kind = 'aggregate' and tags.current = 'true'")
            assert current.info.run_id == aggregates[-1]
            assert json.loads(place.dataset().attrs["missing"]) == {}
    finally:
        server.kill()
