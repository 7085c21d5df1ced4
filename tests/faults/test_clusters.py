"""A real Dask cluster on this machine: a scheduler and two workers, one of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT
from servers import free_port

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent


class Cluster:
    """A scheduler and workers that know nothing of MLflow and share nothing but the data set's files."""

    def __init__(self, folder: Path, workers: int):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes: list[subprocess.Popen] = []
        self._start("scheduler", "--host", self.address, "--no-dashboard")
        for number in range(workers):
            self.add_worker(number)

    def add_worker(self, number: int) -> subprocess.Popen:
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", str(number))

    def _start(self, *command: str) -> subprocess.Popen:
        here = self.folder / f"machine-{len(self.processes)}"
        here.mkdir()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        # A worker that could reach MLflow would do so by this address, and fail.
        own = {"PYTHONPATH": str(ROOT), "HIDDEN_ORBITS_CACHE": str(here / "cache"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
        with (here / "log").open("wb") as log:
            process = subprocess.Popen([BIN / "dask", *command], cwd=here, env=clean | own, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path, request):
    cluster = Cluster(tmp_path, workers=getattr(request, "param", 2))
    yield cluster
    cluster.stop()


def test_a_killed_worker_s_networks_are_trained_on_the_other(cluster, place, undisturbed):
    study = place.start(backend="dask", scheduler=cluster.address)
    study.until_printed("4 networks on cpu with ", 60)
    checkpoints = cluster.folder / "machine-2" / "cache" / "checkpoints"
    study.until(lambda: checkpoints.is_dir() and list(checkpoints.glob("*.safetensors")), 90)
    cluster.processes[2].send_signal(signal.SIGKILL)
    assert study.wait() == 0, study.output
    assert "4 networks expected: 4 trained, 0 re-measured, 0 reused, 0 failed" in study.output
    assert place.dataset().identical(undisturbed.dataset())
    assert not list((cluster.folder / "machine-1" / "cache" / "checkpoints").glob("*"))
    assert list(checkpoints.glob("*.safetensors"))  # what the dead one had begun was not shared
    assert not (place.folder / "cache" / "checkpoints").exists()  # nothing was computed in the coordinator


def test_a_coordinator_of_a_cluster_can_be_killed_and_stopped(cluster, place, undisturbed):
    for number in (signal.SIGKILL, signal.SIGINT):
        study = place.start(backend="dask", scheduler=cluster.address)
        study.until_printed("4 networks on cpu with ")
        time.sleep(3)
        begun = time.monotonic()
        study.process.send_signal(number)
        study.wait()
        assert time.monotonic() - begun < 10
        assert "Traceback" not in study.output
    assert study.process.returncode == 130
    last = place.run(backend="dask", scheduler=cluster.address)
    assert last.process.returncode == 0, last.output
    assert place.dataset().identical(undisturbed.dataset())
    assert not place.runs("attributes.status = 'RUNNING'")


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_cluster_of_one_thread_computes_and_the_coordinator_does_not(cluster, place):
    study = place.start(backend="dask", scheduler=cluster.address, seeds="0-1")
    checkpoints = [folder / "cache" / "checkpoints" for folder in (place.folder, cluster.folder / "machine-1")]
    seen = [False, False]
    while study.process.poll() is None:
        seen = [before or any(folder.glob("*.safetensors")) for before, folder in zip(seen, checkpoints, strict=True)]
        time.sleep(0.05)
    assert study.wait() == 0, study.output
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": "dask"}, "backend=dask needs the address of a scheduler: add scheduler=tcp://host:8786"),
        ({"backend": "dask", "scheduler": "tcp://127.0.0.1:9"}, "scheduler=tcp://127.0.0.1:9 does not answer"),
        ({"backend": "dask", "scheduler": "nonsense"}, "scheduler=nonsense: expected none, or the address"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "scheduler=tcp://127.0.0.1:9: only backend=dask has one"),
        ({"backend": "slurm"}, "backend=slurm"),
        ({"resume": "sometimes"}, "resume=sometimes"),
        ({"patience": "-1"}, "patience=-1"),
    ],
)
def test_a_mistake_ends_with_one_line(given, message, place):
    study = place.run(**given)
    assert study.process.returncode == 2
    assert message in study.output
    assert len(study.output.strip().splitlines()) == 1, study.output
    assert not place.runs()
