"""The study run, under which every network has a run of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import mlflow
import numpy as np
import xarray as xr
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from safetensors import safe_open

from study.config import NetworkConfig, StudyConfig, ranges
from study.data.sources import DataSource
from study.files import durable
from study.networks.cells import Cell, known
from study.record.keys import record_key, training_key
from study.record.network_record import MEASUREMENTS, WEIGHTS, measured, read_measurements, step_metrics, versions
from study.record.remeasuring import StoredNetwork
from study.record.spool import Entry
from study.terminal.credentials import without_credentials
from study.terminal.stopping import ended
from study.tracking import note, views
from study.tracking.environment import current_experiment
from study.tracking.job import JobRun, params
from study.tracking.store import PAGE, checked_location, children, is_missing, log_files, search

LONGEST_NAME = 80  # characters of hidden sizes in a study's name
MODEL_REQUIREMENTS = [f"{name}=={versions()[name]}" for name in ("mlflow", "numpy", "safetensors")]


class StudyRun(JobRun):
    """The study run; `counts` says how many networks are expected, trained, re-measured, reused and failed."""

    def __init__(
        self,
        client: MlflowClient,
        config: StudyConfig,
        source: DataSource,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ):
        seeds = len(config.seeds)
        name = f"{source.name} H={_sizes_in_words(config.hidden_sizes)} x {seeds} seed{'s' * (seeds != 1)}"
        grid = {"seeds": ranges(config.seeds), "hidden_sizes": ranges(config.hidden_sizes)}  # as `mlflow run` logs them
        super().__init__(client, "study", name, config.model_dump(mode="json") | grid | _shape(source), tags, run_id)
        self.source = source
        self.config = config
        expected = len(config.seeds) * len(config.hidden_sizes)
        self.counts = {"expected": expected, "trained": 0, "remeasured": 0, "reused": 0, "failed": 0}

    @classmethod
    def reopened(cls, client: MlflowClient, run_id: str, config: StudyConfig, source: DataSource) -> StudyRun:
        """The study run with this id; if the store has none, a replacement (tag `synced_from`), created if necessary."""
        try:
            checked_location(client, client.get_run(run_id).info.experiment_id)
        except MlflowException as error:
            if not is_missing(error):
                raise
            checked_location(client, current_experiment(client))
            synced = search(client, [current_experiment(client)], f"tags.synced_from = '{run_id}'")
            study = cls(client, config, source, {"synced_from": run_id}, synced[0].info.run_id if synced else None)
            study.describe()
            return study
        return cls(client, config, source, run_id=run_id)

    @property
    def stored(self) -> int:
        """How many networks are stored under the study, as counted so far."""
        return self.counts["trained"] + self.counts["remeasured"] + self.counts["reused"]

    def describe(self) -> None:
        """Logs the study's configuration, versions and data set, and how many networks are expected."""
        config = self.config.model_dump(mode="json") | _shape(self.source)
        self.client.log_dict(self.run_id, config, "study.json")
        self.client.log_dict(self.run_id, versions(), "versions.json")
        note.write(self.client, self.run_id, lambda room: f"A study of {self.counts['expected']} networks, in training.")
        described = Dataset(
            name=self.source.name,
            digest=self.source.digest[:36],
            source_type="local",
            source=json.dumps({"uri": self.source.whereabouts}),
            profile=json.dumps({"train_images": self.config.train_images, "sha256": self.source.digest}),
        )
        views.offer(self.client, self.experiment_id)
        self.client.log_inputs(self.run_id, [DatasetInput(described, [InputTag("mlflow.data.context", "training")])])
        self.log_counts()

    def log_result(self, entry: Entry) -> str:
        """Logs one network as a child run; returns its run id. A run without the tag `complete` is not a result.

        A re-measured network shares the logged model of the run that the tag `remeasured_from` names.
        """
        if entry.failure is not None:
            tags = {"training_key": entry.key, "failure": without_credentials(entry.failure)}
            with ended(lambda: self.create_child(_name(entry.config), "network", entry.started, tags), self.end_child) as run_id:
                self.client.log_batch(run_id, params=params(entry.config.model_dump(mode="json")))
                self.client.set_terminated(run_id, "FAILED", end_time=int(entry.ended * 1000))
            return run_id
        tags = {"remeasured_from": entry.remeasured_from} if entry.remeasured_from else {}
        return self._log_network(
            entry, read_measurements(entry.folder / MEASUREMENTS), tags, self._models_of(entry.remeasured_from)
        )

    def move(self, run: Run, stored: StoredNetwork) -> None:
        """Moves a complete network run of an unfinished study under this study."""
        tags = {MLFLOW_PARENT_RUN_ID: self.run_id, "study": self.run_id, "moved_from": run.data.tags[MLFLOW_PARENT_RUN_ID]}
        tags |= self._keys(network_config(run), stored.record)
        self.client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        self.counts["reused"] += 1

    def copy(self, run: Run, folder: Path, stored: StoredNetwork) -> None:
        """Copies a complete network run of a finished study to this study; `folder` holds its artifacts.

        The logged model is shared; the tag `reused_from` names the original.
        """
        config = network_config(run)
        entry = Entry(
            folder,
            training_key(config, self.source.digest),
            config,
            run.info.start_time / 1000,
            (run.info.end_time or run.info.start_time) / 1000,
            {name: durable.digest(folder / name) for name in (WEIGHTS, MEASUREMENTS)},
            failure=None,
        )
        self._log_network(entry, stored.record, {"reused_from": run.info.run_id}, _models(run))
        self.counts["reused"] += 1

    def has(self, key: str) -> bool:
        """Whether the network with a training key is already stored under this study."""
        condition = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}' and tags.training_key = '{key}' and tags.complete = 'true'"
        return bool(search(self.client, [self.experiment_id], condition))

    def close(self) -> tuple[int, int]:
        """Counts the networks under the study and ends it; returns how many are stored, and how many were expected.

        The study is FINISHED if every network is stored or has finally failed, and not all have failed; otherwise FAILED.
        """
        nested = children(self.client, self.experiment_id, self.run_id)
        tags = [run.data.tags for run in nested if run.data.tags.get("kind") == "network"]
        stored = {_key(tag): tag for tag in tags if tag.get("complete") == "true"}
        origins = Counter(_origin(tag) for tag in stored.values())
        self.counts |= {origin: origins[origin] for origin in ("trained", "remeasured", "reused")}
        self.counts["failed"] = len({_key(tag) for tag in tags if "failure" in tag} - set(stored))
        self.log_counts()
        self.end("FINISHED" if stored and len(stored) + self.counts["failed"] >= self.counts["expected"] else "FAILED")
        return len(stored), self.counts["expected"]

    def count(self, what: str) -> None:
        """Counts one more network; a store that does not answer gets the number with the next one."""
        self.counts[what] += 1
        with suppress(Exception):
            self.log_counts()

    def log_counts(self) -> None:
        """Logs how many networks are expected, trained, re-measured, reused and failed so far."""
        self.log_numbers({f"networks/{name}": count for name, count in self.counts.items()})

    def _log_network(
        self, entry: Entry, measurements: xr.Dataset, tags: Mapping[str, str] | None = None, models: Sequence[str] = ()
    ) -> str:
        """Logs a network, with logged models shared with another run or with its own model."""
        tags = {**self._keys(entry.config, measurements), **(tags or {})}
        with ended(lambda: self.create_child(_name(entry.config), "network", entry.started, tags), self.end_child) as run_id:
            self._fill(run_id, entry, measurements, models)
        return run_id

    def _fill(self, run_id: str, entry: Entry, measurements: xr.Dataset, models: Sequence[str]) -> None:
        """Logs everything of a network; the tag `complete` comes last, after the digests of the artifacts."""
        self.client.log_batch(run_id, params=params(entry.config.model_dump(mode="json")))
        log_files(self.client, run_id, [entry.folder / name for name in entry.digests])
        # Before the metrics, because logging a model reads back all metrics of its run.
        if models:
            self.client.log_outputs(run_id, [LoggedModelOutput(model, 0) for model in models])
        else:
            self._log_model(run_id, known(entry.config.cell), entry.folder / WEIGHTS)
        stamp = int(entry.ended * 1000)
        points = [Metric(name, value, stamp, step) for name, values in step_metrics(measurements).items() for step, value in values]
        for start in range(0, len(points), PAGE):
            self.client.log_batch(run_id, metrics=points[start : start + PAGE])
        self.client.set_tag(run_id, "digests", json.dumps(entry.digests))
        self.client.set_tag(run_id, "complete", "true")
        self.client.set_terminated(run_id, "FINISHED", end_time=stamp)

    def _keys(self, config: NetworkConfig, measurements: xr.Dataset) -> dict[str, str]:
        """The tags that identify a network and its record."""
        training = training_key(config, self.source.digest)
        held = measured(measurements.attrs)
        return {"training_key": training, "record_key": record_key(training, held, config.blank_rows)}

    def _models_of(self, run_id: str) -> list[str]:
        """The logged models of another network run; none where this store does not know it."""
        try:
            return _models(self.client.get_run(run_id)) if run_id else []
        except MlflowException as error:
            if not is_missing(error):
                raise
            return []

    def _log_model(self, run_id: str, cell: Cell, weights: Path) -> None:
        """Logs a model that classifies images without this project, if the cell has code for one; otherwise a tag says so."""
        if cell.classifier is None:
            self.client.set_tag(run_id, "logged_model", f"none: the cell {cell.name} has no code of its own for one")
            return
        with safe_open(weights, "np") as file:
            features = file.get_slice(cell.names["input"]).get_shape()[-1]
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
            python_model=str(cell.classifier),
            artifacts={"weights": str(weights)},
            signature=signature,
            input_example=np.zeros((1, 2, features), dtype=np.float32),
            pip_requirements=MODEL_REQUIREMENTS,
        )


def network_config(run: Run) -> NetworkConfig:
    """The configuration a network run was logged with; raises `ValueError` where its parameters are not those of a network."""
    return NetworkConfig.model_validate(
        {name: run.data.params[name] for name in NetworkConfig.model_fields if name in run.data.params}
    )


def _models(run: Run) -> list[str]:
    return [output.model_id for output in (run.outputs.model_outputs if run.outputs else [])]


def _key(tags: Mapping[str, str]) -> str:
    """The key that identifies a network run within its study; earlier versions used another key."""
    return tags.get("training_key") or tags.get("network_key", "")


def _origin(tags: Mapping[str, str]) -> str:
    """How a network was added to its study: trained, remeasured or reused."""
    if "moved_from" in tags or "reused_from" in tags:
        return "reused"
    return "remeasured" if "remeasured_from" in tags else "trained"


def _shape(source: DataSource) -> dict[str, int]:
    """What the settings of a study say of its data: the time steps of a sequence, the features of each, and the classes."""
    return {"time_steps": source.shape.rows, "features": source.shape.features, "classes": source.shape.classes}


def _sizes_in_words(sizes: tuple[int, ...]) -> str:
    """The hidden sizes of a study for its name, of which a database stores 250 characters."""
    each = ",".join(map(str, sizes))
    return each if len(each) <= LONGEST_NAME else f"{min(sizes)} to {max(sizes)} ({len(sizes)} sizes)"


def _name(config: NetworkConfig) -> str:
    return f"H={config.hidden_size} seed={config.seed}"
