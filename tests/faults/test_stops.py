"""Ctrl-C, SIGTERM, a second start, workers that die and networks that diverge."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import psutil
import pytest
from mlflow.entities import ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from places import ROOT, STUDY

from analysis.dataset import runs
from study.config import StudyConfig
from study.data.sources import prepare_data
from study.record.keys import regime_key
from study.tracking.results import log_aggregate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_is_clean_within_ten_seconds_and_the_same_command_goes_on(number, place, undisturbed):
    study = place.start()
    study.until_printed("1/4 networks")
    workers = study.workers()
    begun = time.monotonic()
    study.process.send_signal(number)
    assert study.wait() == 130
    assert time.monotonic() - begun < 10
    [run] = place.studies()
    assert run.info.status == "KILLED"
    assert f"of 4 networks are stored in run {run.info.run_id}; the same command resumes" in study.output
    assert "Traceback" not in study.output
    assert workers and not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert not place.runs("attributes.status = 'RUNNING'")
    assert place.run().process.returncode == 0
    assert place.dataset().identical(undisturbed.dataset())


def test_ctrl_c_on_a_terminal_reaches_all_processes_and_is_as_clean(place):
    """A terminal sends SIGINT to the whole process group, `mlflow run` among it."""
    parameters = {"seeds": "0-3", "hidden_sizes": "12", "epochs": "11", "train_images": "4000", "blank_rows": "60"}
    options = [part for name, value in parameters.items() for part in ("-P", f"{name}={value}")]
    study = place.popen(["mlflow", "run", ".", "--env-manager", "local", "--experiment-name", "hidden-orbits", *options])
    study.until_printed("1/4 networks", 90)
    begun = time.monotonic()
    os.killpg(study.process.pid, signal.SIGINT)
    study.wait()
    assert time.monotonic() - begun < 10
    [run] = place.studies()
    assert run.info.status in ("KILLED", "FAILED")  # `mlflow run` marks its run FAILED by itself
    assert "the same command resumes" in study.output
    assert not place.runs("attributes.status = 'RUNNING'")


def test_a_second_start_of_a_living_study_is_refused(place):
    first = place.start(epochs="800")  # it is far from its end, however long the others take to start
    first.until_printed("networks on cpu")
    [run] = place.studies()
    for overlapping in ({}, {"seeds": "3-9"}):
        second = place.run(epochs="800", **overlapping)
        assert second.process.returncode == 2
        assert (
            f"is already running: run {run.info.run_id} on host {socket.gethostname()}, process {first.process.pid}"
            in second.output
        )
        assert len(second.output.strip().splitlines()) == 1
    assert len(place.studies()) == 1
    beside = place.start(epochs="800", seeds="7")  # other networks: nothing is trained twice
    beside.until_printed("networks on cpu")
    beside.kill()
    first.kill()


def test_two_starts_at_the_same_moment_do_not_both_go_on(place):
    for _ in range(3):  # it can happen that both give way, but not for ever
        both = [place.start(seeds="0-1", epochs="5") for _ in range(2)]
        statuses = sorted(study.wait() for study in both)
        assert statuses in ([0, 2], [2, 2])
        if statuses[0] == 0:
            break
    assert statuses == [0, 2]
    networks = place.runs("tags.kind = 'network'")
    assert len(networks) == 2
    assert len({run.data.tags["training_key"] for run in networks}) == len(networks)


def _claimed_elsewhere(place) -> str:
    """A study run as a coordinator on another machine would have left, or be holding, it."""
    client = place.client
    [experiment] = [e for e in client.search_experiments() if e.name == "hidden-orbits"]
    given = {name: value for name, value in STUDY.items() if name != "patience"}
    regime = regime_key(StudyConfig(**given).networks()[0], prepare_data("mnist", ROOT / "data").digest)
    run = client.create_run(
        experiment.experiment_id,
        tags={
            "kind": "study",
            "regime_key": regime,
            "claim": "held",
            "heartbeat": datetime.now(UTC).isoformat(),
            "seeds": given["seeds"],
            "hidden_sizes": given["hidden_sizes"],
            "coordinator": json.dumps({"host": "another", "process": 1, "since": 0.0, "machine": "another"}),
        },
    )
    return run.info.run_id


def test_a_coordinator_elsewhere_is_told_by_its_heartbeat(place):
    run_id = _claimed_elsewhere(place)
    study = place.start()
    study.until_printed("watching its heartbeat for 25 s")
    time.sleep(2)
    place.client.set_tag(run_id, "heartbeat", datetime.now(UTC).isoformat())
    assert study.wait(20) == 2
    assert f"is already running: run {run_id} on host another, process 1" in study.output
    # It is silent from now on.
    study = place.start(seeds="0")
    study.until_printed("watching its heartbeat for 25 s")
    study.until_printed("networks on cpu", 40)
    study.kill()
    run = place.client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["superseded_by"] == place.studies()[0].info.run_id


def test_a_coordinator_that_was_superseded_while_it_slept_stops(place):
    study = place.start(seeds="0-9", epochs="800")
    study.until_printed("networks on cpu")
    [run] = place.studies()
    place.client.set_tag(run.info.run_id, "superseded_by", "another")
    assert study.wait(30) == 130
    assert "run another has taken this study over" in study.output
    assert "Traceback" not in study.output


def test_a_killed_worker_costs_only_the_epochs_since_its_checkpoint(place, undisturbed):
    study = place.start()
    study.until(lambda: list((place.folder / "cache").glob("checkpoints/*.safetensors")))
    study.workers()[0].kill()
    assert study.wait() == 0, study.output
    assert "a worker was killed" in study.output
    assert "4 networks expected: 4 trained, 0 re-measured, 0 reused, 0 failed" in study.output
    assert place.dataset().identical(undisturbed.dataset())


def test_workers_that_do_nothing_but_die_end_the_study_in_one_line(place):
    study = place.start(hidden_sizes="64", epochs="60")
    study.until_printed("networks on cpu")
    begun = time.monotonic()
    while study.process.poll() is None and time.monotonic() - begun < 120:
        for worker in study.workers():
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        time.sleep(0.2)
    assert study.wait() == 1
    assert study.output.count("a worker was killed") == 2
    assert "error: workers were killed 3 times in a row" in study.output
    assert "Traceback" not in study.output
    assert not place.runs("attributes.status = 'RUNNING'")


def test_a_network_that_diverges_is_recorded_left_out_and_counted(place):
    study = place.run(learning_rate="1e38", seeds="0-1", epochs="2")
    assert study.process.returncode == 1, study.output
    assert "2 networks expected: 0 trained, 0 re-measured, 0 reused, 2 failed" in study.output
    [line] = [line for line in study.output.splitlines() if line.startswith("error: ")]
    assert "no network of study" in line and "H=12 seed=" in line and "diverged in epoch 1" in line
    assert place.studies()[0].info.status == "FAILED"
    networks = place.networks(place.studies()[0])
    assert [run.info.status for run in networks] == ["FAILED"] * 2
    assert all("diverged in epoch 1" in run.data.tags["failure"] for run in networks)
    assert {run.data.tags[MLFLOW_PARENT_RUN_ID] for run in networks} == {place.studies()[0].info.run_id}
    assert set(json.loads(place.dataset().attrs["missing"])) == {"H=12 seed=0", "H=12 seed=1"}


# Logs the band of a hidden size, of so many points that it can be stopped on the way.
AGGREGATE = """
import numpy as np
import typer
from study.terminal import stopping
from study.command_line import run
stopping.listen()
app = typer.Typer()

@app.callback(invoke_without_command=True)
def log():
    from analysis.dataset import runs
    from study.tracking import connect
    from study.tracking.results import log_aggregate
    client, curve = connect(existing=True), np.linspace(0, 1, 300_000)
    log_aggregate(client, runs.find(client, "latest").run, 12, {"curve": (np.arange(len(curve)), {"mean": curve})})

run(app)
"""


def test_an_analysis_that_is_stopped_or_killed_leaves_nothing_running(place):
    assert place.run(seeds="0", epochs="1").process.returncode == 0
    for number, status in ((signal.SIGHUP, 130), (signal.SIGKILL, -9)):
        analysis = place.popen([sys.executable, "-c", AGGREGATE], PYTHONPATH=str(ROOT))
        analysis.until(lambda: place.runs("tags.kind = 'aggregate' and attributes.status = 'RUNNING'"))
        analysis.process.send_signal(number)
        assert analysis.wait(30) == status
        assert analysis.output == ("error: stopped\n" if status == 130 else "")
    killed, stopped = place.runs("tags.kind = 'aggregate'")
    assert (killed.info.status, stopped.info.status) == ("RUNNING", "KILLED")
    study = runs.find(place.client, "latest")
    now = log_aggregate(place.client, study.run, 12, {"curve": (np.arange(3), {"mean": np.arange(3.0)})})
    assert not place.runs("attributes.status = 'RUNNING'")
    killed = place.client.get_run(killed.info.run_id)
    assert (killed.info.status, killed.data.tags["superseded_by"]) == ("KILLED", now)


def test_a_search_that_is_stopped_or_killed_leaves_nothing_running(place):
    search = [
        sys.executable,
        "-m",
        "study",
        "tune",
        "--trials",
        "30",
        "--epochs",
        "1",
        "--train-images",
        "240",
        "--batch-sizes",
        "10,20",
        "--hidden-size",
        "4",
        "--storage",
        str(place.folder / "journal"),
    ]
    for number, status in ((signal.SIGTERM, 130), (signal.SIGKILL, -9)):
        tune = place.popen(search)
        tune.until_printed("trial ", 90)
        tune.process.send_signal(number)
        assert tune.wait(30) == status
        assert "Traceback" not in tune.output
    killed, stopped = place.runs("tags.kind = 'tune'")
    assert (killed.info.status, stopped.info.status) == ("RUNNING", "KILLED")
    last = place.popen([part if part != "30" else "6" for part in search])
    assert last.wait() == 0, last.output
    assert not place.runs("attributes.status = 'RUNNING'")
    killed = place.client.get_run(killed.info.run_id)
    assert killed.info.status == "KILLED"
    assert killed.data.tags["superseded_by"] == place.runs("tags.kind = 'tune'")[0].info.run_id


def test_a_command_that_is_stopped_at_once_ends_the_run_that_mlflow_made_for_it(place):
    client = place.client
    [experiment] = [e for e in client.search_experiments() if e.name == "hidden-orbits"]
    made, someone_s = [
        client.create_run(experiment.experiment_id, tags=tags) for tags in ({"mlflow.project.entryPoint": "main"}, {})
    ]
    script = (
        "import sys, os, signal, runpy, study.terminal.stopping as s; listen = s.listen; "
        "s.listen = lambda: (listen(), os.kill(os.getpid(), signal.SIGTERM)); "
        "sys.argv[1:] = ['run', '--seeds', '0']; runpy.run_module('study', run_name='__main__')"
    )
    for run in (made, someone_s):
        study = place.popen([sys.executable, "-c", script], MLFLOW_RUN_ID=run.info.run_id, PYTHONPATH=str(ROOT))
        assert study.wait(60) == 130
        assert study.output == "error: stopped\n"
    assert client.get_run(made.info.run_id).info.status == "KILLED"
    assert client.get_run(someone_s.info.run_id).info.status == "RUNNING"  # such as a notebook's


@pytest.mark.parametrize("experiment", [False, True])
def test_a_study_that_is_deleted_while_it_runs_stops_and_says_so(experiment, place):
    study = place.start(seeds="0-9", epochs="40")
    study.until_printed("1/10 networks", 90)
    [run] = place.studies()
    if experiment:
        place.client.delete_experiment(run.info.experiment_id)
    else:
        place.client.delete_run(run.info.run_id)
    assert study.wait(40) == 1, study.output
    assert f"run {run.info.run_id} of this study, or its experiment, was deleted while it ran" in study.output
    assert len([line for line in study.output.splitlines() if line.startswith("error")]) == 1
    assert "Traceback" not in study.output
    everything = place.client.search_runs([run.info.experiment_id], run_view_type=ViewType.ALL)
    assert not [one for one in everything if one.info.status == "RUNNING"]
    stopped = place.client.get_run(run.info.run_id)
    assert stopped.info.status in ("KILLED", "FAILED")
    assert stopped.info.lifecycle_stage == "deleted"
    told = place.start(module="analysis", command=("--study", run.info.run_id))
    assert told.wait() == 2
    assert f"study={run.info.run_id}: this study is deleted; restore it" in told.output
    if not experiment:
        again = place.run(seeds="0", epochs="40")
        assert again.process.returncode == 0, again.output
        assert "1 networks expected: 0 trained, 0 re-measured, 1 reused, 0 failed" in again.output


def test_a_study_that_has_all_its_networks_lets_others_have_them_while_it_draws(place):
    """The first is stopped in the middle of its analysis by SIGSTOP; the second runs to its end, and then the first."""
    options = {"seeds": "0-1", "epochs": "1"}
    first = place.start(command=("run",), out=str(place.folder / "first.pdf"), **options)
    first.until(lambda: place.runs("tags.kind = 'study' and tags.claim = 'released'"), 120)
    os.kill(first.process.pid, signal.SIGSTOP)
    [one] = place.studies()
    second = place.run(**options)
    assert second.process.returncode == 0, second.output
    assert "2 networks expected: 0 trained, 0 re-measured, 2 reused, 0 failed" in second.output
    two = place.studies()[0]
    assert {run.data.tags["reused_from"] for run in place.networks(two)} == {run.info.run_id for run in place.networks(one)}
    assert len(place.networks(one)) == 2
    os.kill(first.process.pid, signal.SIGCONT)
    assert first.wait() == 0, first.output
    assert place.client.get_run(one.info.run_id).info.status == "FINISHED"
    # One that dies there is as good as finished for its networks, and does not stay RUNNING.
    third = place.start(command=("run",), out=str(place.folder / "third.pdf"), **options)
    third.until(lambda: len(place.runs("tags.kind = 'study' and tags.claim = 'released'")) == 3, 120)
    three = place.studies()[0]
    third.kill()
    place.client.delete_run(one.info.run_id)
    fourth = place.run(**options)
    assert "2 networks expected: 0 trained, 0 re-measured, 2 reused, 0 failed" in fourth.output
    dead = place.client.get_run(three.info.run_id)
    assert (dead.info.status, dead.data.tags["superseded_by"]) == ("KILLED", place.studies()[0].info.run_id)
    assert len(place.networks(three)) == 2
