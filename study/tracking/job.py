"""The run of one command."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from study.errors import without_credentials
from study.stopping import ended
from study.tracking.store import current_experiment, end_children, is_deleted, no_run, search, supersede, terminate


class JobRun:
    """The run of one command: the one `mlflow run` made for it (`MLFLOW_RUN_ID`), else a new one.

    `tags` are on it from its first moment where it is new, so that a run of a command that dies at once still says what it is.
    `run_id` names a run to go on with.
    """

    def __init__(self, client: MlflowClient, kind: str, name: str, parameters: Mapping[str, object],
                 tags: Mapping[str, str] | None = None, run_id: str | None = None):
        self.client = client
        given = run_id or os.environ.get("MLFLOW_RUN_ID")
        tags = {"kind": kind, MLFLOW_RUN_NAME: name} | dict(tags or {})
        try:
            run = client.get_run(given) if given else client.create_run(current_experiment(client), run_name=name, tags=tags)
        except MlflowException as error:
            raise no_run(error) from None
        self.run_id, self.experiment_id = run.info.run_id, run.info.experiment_id
        # `mlflow run` stores the address of the git remote, whatever stands in it.
        tags |= {tag: clean for tag, value in run.data.tags.items() if (clean := without_credentials(value)) != value}
        # It has logged its parameters already, too, and a parameter cannot be logged with another spelling.
        new = {key: value for key, value in parameters.items() if key not in run.data.params}
        try:
            client.log_batch(self.run_id, params=params(new), tags=[RunTag(tag, value) for tag, value in tags.items()])
        except BaseException:
            with suppress(Exception):
                terminate(client, self.run_id, "FAILED")
            raise

    def supersede_killed(self, tag: str) -> None:
        """Ends runs that a kill left running: those of this kind and with the same value of a tag, of which one lives at a time."""
        mine = self.client.get_run(self.run_id).data.tags
        condition = f"attributes.status = 'RUNNING' and tags.kind = '{mine['kind']}' and tags.{tag} = '{mine[tag]}'"
        for run in search(self.client, [self.experiment_id], condition):
            if run.info.run_id != self.run_id:
                supersede(self.client, run, self.run_id)

    def create_child(self, name: str, kind: str, started: float, tags: dict[str, str]) -> str:
        """A run nested directly under this one; its id."""
        tags = {"kind": kind, "study": self.run_id, MLFLOW_PARENT_RUN_ID: self.run_id} | tags
        run = self.client.create_run(self.experiment_id, start_time=int(started * 1000), tags=tags, run_name=name)
        return run.info.run_id

    def log_child(self, name: str, kind: str, started: float, parameters: dict[str, object], numbers: dict[str, float]) -> None:
        """A finished child run that is no more than its parameters and some numbers."""
        with ended(lambda: self.create_child(name, kind, started, {}), self.end_child) as run_id:
            self.client.log_batch(run_id, params=params(parameters), metrics=metrics(numbers))
            self.client.set_terminated(run_id)

    def end_child(self, run_id: str, status: str) -> None:
        """Ends a child run."""
        terminate(self.client, run_id, status)

    def is_deleted(self) -> bool:
        """Whether someone deleted the run, or its experiment."""
        return is_deleted(self.client, self.run_id)

    def log_numbers(self, numbers: dict[str, float]) -> None:
        """Numbers of the whole job, as metrics."""
        self.client.log_batch(self.run_id, metrics=metrics(numbers))

    def end(self, status: str) -> None:
        """Ends the run, and those below it that were left running.

        `mlflow run` leaves one that has ended as it is, and may itself be gone by now.
        """
        end_children(self.client, self.experiment_id, self.run_id)
        terminate(self.client, self.run_id, status)


def params(parameters: Mapping[str, object]) -> list[Param]:
    """Parameters as MLflow takes them."""
    return [Param(name, str(value)) for name, value in parameters.items()]


def metrics(numbers: Mapping[str, float]) -> list[Metric]:
    """Single numbers as metrics of this moment."""
    now = int(time.time() * 1000)
    return [Metric(name, value, now, 0) for name, value in numbers.items()]
