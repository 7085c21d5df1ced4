"""Real studies that are killed, starved and lied to, each with a store and a cache of its own."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
import xarray as xr
from mlflow import MlflowClient
from mlflow.entities import Run

from analysis.dataset import runs
from study.data.sources import Images
from study.measurements import of_data
from study.networks import kernels

ROOT = Path(__file__).resolve().parent.parent
# Four networks of some seconds each, with a checkpoint on the way.
STUDY = {
    "seeds": "0-3",
    "hidden_sizes": "12",
    "epochs": "8",
    "train_images": "3000",
    "blank_rows": "60",
    "batch_size": "20",
    "learning_rate": "3e-3",
    "measurements": "paper",
    "patience": "20",
    # Named, so that two places never differ in them: where both are as fast, each place's own measurement might choose others.
    "kernels": kernels.fastest(),
}


@dataclass
class Place:
    """Where studies are run: a folder with their cache, and a tracking store."""

    folder: Path
    store: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store)

    def start(self, *, module: str = "study", command: tuple[str, ...] = ("run", "--no-report"), **parameters: str) -> Study:
        """Starts a command of the project in a process of its own."""
        own = {"kernels": "auto"} if "cell" in parameters else {}  # which may have one kind of kernels only
        if command[0] == "run" and of_data.FOLDER.is_dir():  # what does not depend on the networks takes seconds
            shutil.copytree(of_data.FOLDER, self.folder / "cache" / of_data.FOLDER.name, dirs_exist_ok=True)
        options = [part for name, value in (STUDY | own | parameters).items() for part in (f"--{name.replace('_', '-')}", value)]
        return self.popen([sys.executable, "-m", module, *command, *(options if command[0] == "run" else [])])

    def popen(self, arguments: list[str], **environment: str) -> Study:
        """Starts any command, in a process group of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        own = {
            "MLFLOW_TRACKING_URI": self.store,
            "HIDDEN_ORBITS_CACHE": str(self.folder / "cache"),
            "GIT_PYTHON_REFRESH": "quiet",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}",
        }
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=clean | own | self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return Study(process)

    def run(self, **parameters: str) -> Study:
        """Runs a study to its end."""
        study = self.start(**parameters)
        study.wait()
        return study

    def runs(self, condition: str = "") -> list[Run]:
        """All runs of the store that meet a condition, the newest first."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, condition, order_by=["start_time DESC"]))

    def studies(self) -> list[Run]:
        return self.runs("tags.kind = 'study'")

    def networks(self, study: Run) -> list[Run]:
        return self.runs(f"tags.kind = 'network' and tags.`mlflow.parentRunId` = '{study.info.run_id}'")

    def dataset(self) -> xr.Dataset:
        """The latest study's arrays, without what differs between any two studies."""
        dataset = runs.load("latest", self.client)
        return dataset.drop_vars("run_id").assign_attrs(study="", study_name="", config="")


class Study:
    """A process that runs a study; its output is collected while it runs."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Waits for a condition; fails with the output where the process ends, or the time is up, before it holds."""
        begun = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() - begun < seconds, self.output
            time.sleep(0.05)

    def until_printed(self, text: str, seconds: float = 60) -> None:
        self.until(lambda: text in self.output, seconds)

    def workers(self) -> list[psutil.Process]:
        """The processes that compute."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            lines = {child: " ".join(child.cmdline()) for child in children}
            return [child for child, line in lines.items() if "loky" in line and "tracker" not in line]
        except psutil.Error:
            return []

    def wait(self, seconds: float = 300) -> int:
        status = self.process.wait(seconds)
        self._reader.join(10)
        return status

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.wait()


def store_in(folder: Path) -> str:
    """The address of the store of a place in a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def new_place(folder: Path) -> Place:
    """A folder with an empty store, its artifacts beside it."""
    store = store_in(folder)
    MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(folder / "artifacts").as_uri())
    return Place(folder, store)


def idx(values: torch.Tensor) -> bytes:
    """Bytes of any shape as a file of MNIST's format."""
    return bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.numpy().tobytes()


def write_data_set(folder: Path, train: Images | None = None, test: Images | None = None, **changes: bytes) -> Path:
    """A data set in `folder/mnist`, by default of 60 training and 20 test images of noise; `changes` name the content of files."""
    draw = torch.Generator().manual_seed(0)
    files = {}
    for part, given, count in (("train", train, 60), ("t10k", test, 20)):
        noise = torch.randint(256, (count, 28, 28), generator=draw, dtype=torch.uint8)
        shown = given or Images(noise, torch.arange(count) % 10)
        files |= {f"{part}-images-idx3-ubyte": idx(shown.images), f"{part}-labels-idx1-ubyte": idx(shown.labels.to(torch.uint8))}
    files |= {name.replace("_", "-"): content for name, content in changes.items()}
    here = folder / "mnist"
    here.mkdir(parents=True)
    for name, content in files.items():
        (here / f"{name}.gz").write_bytes(gzip.compress(content))
    (here / "SHA256SUMS").write_text("".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()))
    return folder
