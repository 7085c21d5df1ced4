"""Fixtures on the real data set, and one real small study that several tests read."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from mlflow import MlflowClient
from places import ROOT, Place, new_place, store_in
from threadpoolctl import threadpool_limits

from study.config import StudyConfig
from study.data.sources import Images, load_images, prepare_data
from study.networks.network import RecurrentNetwork
from study.training.engine import TrainingStack

SMALL = {
    "seeds": "0-6",
    "hidden_sizes": "8,16",
    "epochs": "3",
    "train_images": "3000",
    "blank_rows": "90",
    "batch_size": "50",
    "learning_rate": "3e-3",
}

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests were started by nohup, commands would ignore it, too
torch.set_num_threads(1)  # as in a worker
threadpool_limits(1)  # NumPy's, too: the processes that run tests share the cores
torch.backends.cudnn.rnn.fp32_precision = "ieee"  # the oracle; cuDNN would round to TF32 by itself


@pytest.fixture(scope="session")
def source():
    return prepare_data("mnist", ROOT / "data")


@pytest.fixture(scope="session")
def test_images(source) -> Images:
    return load_images(source, train=False)


@pytest.fixture(scope="session")
def train_images(source) -> Images:
    return load_images(source, train=True)


@pytest.fixture(scope="session")
def network(train_images) -> RecurrentNetwork:
    """A small network that has learned something, so that its accuracies differ from chance."""
    [config] = StudyConfig(seeds="0", hidden_sizes="24", epochs=2, learning_rate=1e-3, batch_size=50, device="cpu").networks()
    stack = TrainingStack([config], train_images.first(3000))
    for _ in stack.train():
        pass
    return stack.networks()[0]


def run_command(arguments: list[str], store: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Runs a command as a user would, in the project's folder, with a tracking store of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    environment = clean | {"MLFLOW_TRACKING_URI": store, "PATH": path, "GIT_PYTHON_REFRESH": "quiet"} | environment
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False)


@dataclasses.dataclass(frozen=True)
class RealStudy:
    """A study that `mlflow run .` really made: its store, its run id, what it printed and where its report lies."""

    store: str
    run_id: str
    output: str
    report: Path

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store)


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled once for all processes that run tests; to be read only."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            folder.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder


def new_store(folder: Path) -> str:
    """A sqlite store with the experiment `study`, its artifacts beside it."""
    uri = store_in(folder)
    MlflowClient(uri).create_experiment("study", artifact_location=(folder / "artifacts").as_uri())
    return uri


def _run_real_study(folder: Path) -> None:
    given = SMALL | {"out": str(folder / "report.pdf")}
    parameters = [part for name, value in given.items() for part in ("-P", f"{name}={value}")]
    command = ["mlflow", "run", ".", "--env-manager", "local", "--experiment-name", "study", *parameters]
    done = run_command(command, new_store(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output").write_text(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def real_study(tmp_path_factory) -> RealStudy:
    """Seven seeds at two hidden sizes on 3,000 images, by way of `mlflow run`, once for all processes; to be read only."""
    folder = made_once(tmp_path_factory, "real-study", _run_real_study)
    client = MlflowClient(store_in(folder))
    [experiment] = [e for e in client.search_experiments() if e.name == "study"]
    [run] = client.search_runs([experiment.experiment_id], "tags.kind = 'study'")
    return RealStudy(store_in(folder), run.info.run_id, (folder / "output").read_text(), folder / "report.pdf")


@pytest.fixture
def own_tags(real_study, tmp_path) -> RealStudy:
    """The real study in a copy of its database, where its tags may be changed; its artifacts are the same."""
    shutil.copy(real_study.store.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    return dataclasses.replace(real_study, store=store_in(tmp_path))


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> str:
    """A store to write into, for tests that do not mind what others wrote."""
    return new_store(tmp_path_factory.mktemp("store"))


@contextmanager
def tracked_in(store: str) -> Iterator[None]:
    """MLflow points at a store: by its variable, for what `mlflow.set_tracking_uri` sets goes before the variable from then on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        yield


@pytest.fixture
def tracking(store):
    """Points MLflow at the store to write into for one test."""
    with tracked_in(store):
        yield


@pytest.fixture
def place(tmp_path) -> Place:
    """A folder and a store to disturb studies in."""
    return new_place(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Place:
    """Where the study of `places.STUDY` was run once without any disturbance, for all processes that run tests; to be read only."""

    def run(folder: Path) -> None:
        study = new_place(folder).run()
        assert study.process.returncode == 0, study.output

    folder = made_once(tmp_path_factory, "undisturbed", run)
    return Place(folder, store_in(folder))
