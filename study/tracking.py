"""The one module of `study` that speaks to MLflow: the study run and its network runs.

Runs are addressed by explicit ids through `MlflowClient`. The fluent API is not used: `mlflow run` hands its run id to
every child process through the environment, and the fluent API would nest or overwrite runs by it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from study.config import NetworkConfig, StudyConfig
from study.data import DataSource
from study.errors import InputError
from study.record import (
    MEASUREMENTS,
    WEIGHTS,
    Failure,
    NetworkRecord,
    network_key,
    step_metrics,
    versions,
    write_measurements,
)

EXPERIMENT = "hidden-orbits"
CLASSIFIER = Path(__file__).with_name("classifier.py")
BATCH = 1000  # metrics a request may hold
MODEL_REQUIREMENTS = [f"{name}=={versions()[name]}" for name in ("mlflow", "numpy", "safetensors")]


def connect() -> MlflowClient:
    """A client of the tracking store, which has answered; raises `InputError` where it cannot be reached."""
    uri = mlflow.get_tracking_uri()
    patience = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update(patience)
    try:
        client = MlflowClient()
        client.search_experiments(max_results=1)
    except Exception as error:  # each kind of store raises its own
        reason = " ".join(str(error).split("\n")[0].split())[:200]
        raise InputError(f"the tracking store {uri} cannot be reached ({reason}): start its server, or set "
                         "MLFLOW_TRACKING_URI to one that answers, such as sqlite:///mlflow.db") from None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return client


def current_experiment(client: MlflowClient) -> str:
    """The id of the experiment that `MLFLOW_EXPERIMENT_ID` or `MLFLOW_EXPERIMENT_NAME` names, else of our own."""
    if identity := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return identity
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


class JobRun:
    """The run of one command: the one `mlflow run` made for it (`MLFLOW_RUN_ID`), else a new one."""

    def __init__(self, client: MlflowClient, kind: str, name: str, parameters: dict[str, object]):
        self.client = client
        given = os.environ.get("MLFLOW_RUN_ID")
        try:
            run = client.get_run(given) if given else client.create_run(current_experiment(client), run_name=name)
        except MlflowException as error:
            raise InputError(f"no run can be made in the tracking store ({error.message}): check MLFLOW_RUN_ID, "
                             "MLFLOW_EXPERIMENT_ID and MLFLOW_EXPERIMENT_NAME, and that the experiment is not deleted") from None
        self.run_id, self.experiment_id = run.info.run_id, run.info.experiment_id
        # `mlflow run` has logged its parameters already, and a parameter cannot be logged with another spelling.
        new = {key: value for key, value in parameters.items() if key not in run.data.params}
        tags = [RunTag("kind", kind), RunTag(MLFLOW_RUN_NAME, name)]
        client.log_batch(self.run_id, params=_params(new), tags=tags)

    def create_child(self, name: str, kind: str, started: float, tags: dict[str, str]) -> str:
        """A run nested directly under this one; its id."""
        tags = {"kind": kind, "study": self.run_id, MLFLOW_PARENT_RUN_ID: self.run_id} | tags
        run = self.client.create_run(self.experiment_id, start_time=int(started * 1000), tags=tags, run_name=name)
        return run.info.run_id

    def log_child(self, name: str, kind: str, started: float, parameters: dict[str, object], numbers: dict[str, float]) -> None:
        """A finished child run that is no more than its parameters and some numbers."""
        run_id = self.create_child(name, kind, started, {})
        self.client.log_batch(run_id, params=_params(parameters), metrics=_metrics(numbers))
        self.client.set_terminated(run_id)

    def log_numbers(self, numbers: dict[str, float]) -> None:
        """Numbers of the whole job, as metrics."""
        self.client.log_batch(self.run_id, metrics=_metrics(numbers))

    def end(self, status: str) -> None:
        """Ends the run; `mlflow run` leaves one that has ended as it is, and may itself be gone by now."""
        self.client.set_terminated(self.run_id, status)


class StudyRun(JobRun):
    """The study run, under which every network has a run of its own."""

    def __init__(self, client: MlflowClient, config: StudyConfig, source: DataSource):
        sizes = ",".join(map(str, config.hidden_sizes))
        seeds = len(config.seeds)
        name = f"{source.name} H={sizes} x {seeds} seed{'s' * (seeds != 1)}"
        super().__init__(client, "study", name, config.model_dump(mode="json"))
        self.source = source
        self.config = config
        self.counts = {"expected": len(config.seeds) * len(config.hidden_sizes), "trained": 0, "failed": 0}

    def describe(self) -> None:
        """Logs what the study is: its configuration, versions and data set, and how many networks are expected."""
        config = self.config.model_dump(mode="json")
        self.client.log_dict(self.run_id, config, "study.json")
        self.client.log_dict(self.run_id, versions(), "versions.json")
        self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, f"A study of {self.counts['expected']} networks, in training.")
        described = Dataset(
            name=self.source.name,
            digest=self.source.digest[:36],
            source_type="local",
            source=json.dumps({"uri": str(self.source.root)}),
            profile=json.dumps({"train_images": self.config.train_images, "sha256": self.source.digest}),
        )
        self.client.log_inputs(self.run_id, [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])
        self._log_counts()

    def log_network(self, record: NetworkRecord) -> str:
        """Logs one network as a child run; the tag `complete` is written last. Returns its run id."""
        config = record.config
        key = network_key(config, self.source.digest)
        run_id = self.create_child(_name(config), "network", record.started, {"network_key": key})
        try:
            self._log_record(run_id, record, key)
        except BaseException:
            self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_tag(run_id, "complete", "true")
        self.client.set_terminated(run_id, "FINISHED", end_time=int(record.ended * 1000))
        self.counts["trained"] += 1
        self._log_counts()
        return run_id

    def _log_record(self, run_id: str, record: NetworkRecord, key: str) -> None:
        parameters = record.config.model_dump(mode="json") | {"network_key": key}
        self.client.log_batch(run_id, params=_params(parameters))
        provenance = {"network_key": key, "run_id": run_id, "config": json.dumps(record.config.model_dump(mode="json")),
                      "versions": json.dumps(versions()), "data_digest": self.source.digest}
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / WEIGHTS
            record.network.save(weights)
            write_measurements(record.measurements.assign_attrs(provenance), Path(folder) / MEASUREMENTS)
            self.client.log_artifacts(run_id, folder)
            # Before the metrics: logging a model reads back every metric its run has.
            self._log_model(run_id, weights, record.network.input.shape[1])
        stamp = int(record.ended * 1000)
        points = [
            Metric(name, value, stamp, step)
            for name, series in step_metrics(record.measurements).items()
            for step, value in series
        ]
        for start in range(0, len(points), BATCH):
            self.client.log_batch(run_id, metrics=points[start : start + BATCH])

    def _log_model(self, run_id: str, weights: Path, features: int) -> None:
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("float32"), (-1, -1, features))]),
            outputs=Schema([TensorSpec(np.dtype("int64"), (-1,))]),
        )
        # Created here, because `Model.log` would put it into the experiment that is active in this process.
        model = self.client.create_logged_model(self.experiment_id, name="classifier", source_run_id=run_id)
        Model.log(
            artifact_path=None,
            name=model.name,
            model_id=model.model_id,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            python_model=str(CLASSIFIER),
            artifacts={"weights": str(weights)},
            signature=signature,
            input_example=np.zeros((1, 2, features), dtype=np.float32),
            pip_requirements=MODEL_REQUIREMENTS,
        )

    def log_failure(self, failure: Failure) -> None:
        """Records a network that has no result, and why."""
        key = network_key(failure.config, self.source.digest)
        tags = {"network_key": key, "failure": failure.reason}
        run_id = self.create_child(_name(failure.config), "network", failure.started, tags)
        self.client.log_batch(run_id, params=_params(failure.config.model_dump(mode="json")))
        self.client.set_terminated(run_id, "FAILED", end_time=int(failure.ended * 1000))
        self.counts["failed"] += 1
        self._log_counts()

    def _log_counts(self) -> None:
        self.log_numbers({f"networks/{name}": count for name, count in self.counts.items()})


def _name(config: NetworkConfig) -> str:
    return f"H={config.hidden_size} seed={config.seed}"


def _params(parameters: dict[str, object]) -> list[Param]:
    return [Param(name, str(value)) for name, value in parameters.items()]


def _metrics(numbers: dict[str, float]) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, value, now, 0) for name, value in numbers.items()]
