"""What logging, reading back and a cluster cost: ``python -m benchmarks.tracking [logging] [cluster]``, or both."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient

from analysis.dataset import records, runs
from benchmarks.machine import describe
from study.command_line import quiet_libraries
from study.config import StudyConfig
from study.data.sources import prepare_data
from study.execution.stacks import Stack
from study.execution.workers import train_and_measure
from study.record import spool
from study.record.spool import Spool
from study.tracking import StudyRun

quiet_libraries()

NETWORKS = 1000
BIN = Path(sys.executable).parent


def logging(folder: Path) -> None:
    """Logs the record of one real network of 200 units under 1,000 keys on sqlite; then pulls them, and again from the cache."""
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    client = MlflowClient()
    client.create_experiment("hidden-orbits", artifact_location=(folder / "artifacts").as_uri())
    spool.FOLDER, records.FOLDER = folder / "spool", folder / "datasets"
    config = StudyConfig(seeds=f"0-{NETWORKS - 1}", hidden_sizes="200", epochs=1, device="cpu")
    source = prepare_data(config.dataset, config.data_dir)
    networks = config.networks()
    [record] = train_and_measure(Stack((networks[0],), source.shape), source)
    study = StudyRun(client, config, source)
    study.describe()
    box = Spool(study.run_id)
    keeping, logging = [], []
    for network in networks:
        begun = time.perf_counter()
        entry = box.add(replace(record, config=network), source.digest)
        kept = time.perf_counter()
        study.log_result(entry)
        study.count("trained")
        spool.remove(entry)
        keeping.append(kept - begun)
        logging.append(time.perf_counter() - kept)
    study.end("FINISHED")
    box.close()
    print("| network of 200 units | mean | slowest | first hundred | last hundred |\n|---|---|---|---|---|")
    for name, values in (("kept in the spool, in seconds", keeping), ("logged on sqlite, in seconds", logging)):
        columns = (np.mean(values), np.max(values), np.mean(values[:100]), np.mean(values[-100:]))
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in columns)} |")
    print(f"\n| {NETWORKS} networks into the dataset | seconds |\n|---|---|")
    for name in ("from the store", "from the cache"):
        begun = time.perf_counter()
        dataset = runs.load(study.run_id, client)
        print(f"| {name} | {time.perf_counter() - begun:.1f} |")
        assert int(dataset.test_accuracy.count()) == NETWORKS


def cluster(folder: Path) -> None:
    """The same study on one Dask worker and on two, each of one thread, all on this machine."""
    print("\n| Dask workers | seconds | networks | coordinator's processor seconds per further network |\n|---|---|---|---|")
    for workers in (1, 2):
        here = folder / str(workers)
        here.mkdir()
        seconds, networks, processor = _clustered_study(here, workers)
        print(f"| {workers} | {seconds:.0f} | {networks} | {processor:.2f} |")


def _clustered_study(folder: Path, workers: int) -> tuple[float, int, float]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    store = f"sqlite:///{folder / 'mlflow.db'}"
    MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(folder / "runs").as_uri())
    environment = os.environ | {
        "HIDDEN_ORBITS_CACHE": str(folder / "cache"),
        "MLFLOW_TRACKING_URI": store,
        "PYTHONPATH": str(Path.cwd()),
    }
    with ExitStack() as started:

        def start(*command: str) -> None:
            log = started.enter_context((folder / "log").open("ab"))
            process = subprocess.Popen([BIN / "dask", *command], env=environment, stdout=log, stderr=log)
            started.callback(process.wait)
            started.callback(process.kill)

        start("scheduler", "--host", address, "--no-dashboard")
        for _ in range(workers):
            start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        command = [sys.executable, "-m", "benchmarks.tracking", "coordinate", address]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout.strip().splitlines()[-1]))


def coordinate(address: str) -> None:
    """Runs the study of `cluster`, and then two smaller ones; prints the first one's seconds and networks, and this process's
    processor seconds for each further network of the last.

    What a study costs once (imports, an empty store, its own run) is thereby left out.
    """
    from rich.console import Console

    from study.execution.coordinator import run_study

    def study(seeds: str, **given: int) -> tuple[float, float, int]:
        config = StudyConfig(seeds=seeds, hidden_sizes="100", backend="dask", scheduler=address, **given)
        begun, processor = time.perf_counter(), time.process_time()
        run_study(config, Console(file=sys.stderr), lambda run_id: 0)
        return time.perf_counter() - begun, time.process_time() - processor, len(config.networks())

    seconds, _, networks = study("0-3", epochs=3)
    small, large = (study(seeds, epochs=1, train_images=3000) for seeds in ("0-1", "2-11"))
    print(json.dumps([seconds, networks, (large[1] - small[1]) / (large[2] - small[2])]))


def main(chosen: list[str]) -> None:
    if chosen[:1] == ["coordinate"]:
        coordinate(chosen[1])
        return
    print(describe())
    for name, part in {"logging": logging, "cluster": cluster}.items():
        if not chosen or name in chosen:
            folder = Path(tempfile.mkdtemp())
            try:
                part(folder)
            finally:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
