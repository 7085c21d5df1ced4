"""The run of one command."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from uuid import uuid4

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from study.terminal.credentials import without_credentials
from study.terminal.errors import InputError
from study.terminal.stopping import ended
from study.tracking.environment import current_experiment, handed_run, no_run
from study.tracking.store import end_children, is_deleted, search, set_tags, supersede, terminate

TOKEN = "token"  # the tag that distinguishes a repeated `runs/create` of one command from two commands
GIVEN_BY_MLFLOW = re.compile(r"[a-z]+-[a-z]+-\d+")  # as in "bold-carp-417"


class JobRun:
    """The run of one command: the run that `mlflow run` created for it (`MLFLOW_RUN_ID`), else a new one.

    A new run has its `tags` from the first moment, so that they describe it even if the command dies at once. `run_id` names an
    existing run to continue; nothing that it already has is changed.
    """

    def __init__(
        self,
        client: MlflowClient,
        kind: str,
        name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ):
        self.client = client
        tags = {"kind": kind, MLFLOW_RUN_NAME: name, TOKEN: uuid4().hex} | dict(tags or {})
        run = _existing(client, run_id) if run_id else handed_run(client)
        if run and run_id:
            tags = {tag: value for tag, value in tags.items() if tag not in run.data.tags}
        elif run and not GIVEN_BY_MLFLOW.fullmatch(run.info.run_name or ""):
            del tags[MLFLOW_RUN_NAME]  # somebody named it
        try:
            run = run or client.create_run(current_experiment(client), run_name=name, tags=tags)
        except MlflowException as error:
            raise no_run(error) from None
        self.run_id, self.experiment_id = run.info.run_id, run.info.experiment_id
        if not run_id:  # `mlflow run` stores the address of the git remote, even if it contains credentials
            tags |= {
                tag: without_credentials(value)
                for tag, value in run.data.tags.items()
                if tag.startswith(("mlflow.source", "mlflow.project"))
            }
        changed = {tag: value for tag, value in tags.items() if run.data.tags.get(tag) != value}
        # `mlflow run` has also logged the parameters, and a parameter cannot be logged again with another spelling.
        new = {key: value for key, value in parameters.items() if key not in run.data.params}
        try:
            set_tags(client, self.run_id, changed)
            client.log_batch(self.run_id, params=params(new))
            if not run_id:
                end_twins(client, self.experiment_id, self.run_id, tags[TOKEN])
        except BaseException:
            with suppress(Exception):
                terminate(client, self.run_id, "FAILED")
            raise

    def supersede_killed(self, tag: str) -> None:
        """Ends runs that a kill left running: those of this kind with the same value of a tag; only one may run."""
        mine = self.client.get_run(self.run_id).data.tags
        condition = f"attributes.status = 'RUNNING' and tags.kind = '{mine['kind']}' and tags.{tag} = '{mine[tag]}'"
        for run in search(self.client, [self.experiment_id], condition):
            if run.info.run_id != self.run_id:
                supersede(self.client, run, self.run_id)

    def create_child(self, name: str, kind: str, started: float, tags: dict[str, str]) -> str:
        """Creates a run nested directly under this one; returns its id."""
        tags = {"kind": kind, "study": self.run_id, MLFLOW_PARENT_RUN_ID: self.run_id} | tags
        run = self.client.create_run(self.experiment_id, start_time=int(started * 1000), tags=tags, run_name=name)
        return run.info.run_id

    def log_child(self, name: str, kind: str, started: float, parameters: dict[str, object], numbers: dict[str, float]) -> None:
        """Logs a finished child run that consists of parameters and a few numbers."""
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
        """Logs numbers of the whole job as metrics."""
        self.client.log_batch(self.run_id, metrics=metrics(numbers))

    def end(self, status: str) -> None:
        """Ends the run, and child runs that were left running.

        `mlflow run` does not change a run that has ended, and may itself be gone by now.
        """
        end_children(self.client, self.experiment_id, self.run_id)
        terminate(self.client, self.run_id, status)


def end_twins(client: MlflowClient, experiment: str, run_id: str, token: str) -> None:
    """Ends the twins of this run, as superseded by it: a request that is not answered in time is repeated, and a store may have
    carried out both.

    Twins lose their kind, so that they are not found as studies or searches.
    """
    for twin in search(client, [experiment], f"tags.{TOKEN} = '{token}' and attributes.status = 'RUNNING'"):
        if twin.info.run_id != run_id:
            terminate(client, twin.info.run_id, "KILLED")
            set_tags(client, twin.info.run_id, {"superseded_by": run_id, "kind": "refused"})


def params(parameters: Mapping[str, object]) -> list[Param]:
    """Parameters for MLflow; a value that is too long is shortened."""
    return [Param(name, _shortened(str(value))) for name, value in parameters.items()]


def _shortened(value: str) -> str:
    more = f"... ({len(value)} characters; all in study.json)"
    return value if len(value) <= MAX_PARAM_VAL_LENGTH else value[: MAX_PARAM_VAL_LENGTH - len(more)] + more


def _existing(client: MlflowClient, run_id: str) -> Run:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise no_run(error) from None
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        raise InputError(
            f"run {run_id} is deleted, so nothing can be logged to it: restore it with mlflow runs restore --run-id {run_id}"
        )
    return run


def metrics(numbers: Mapping[str, float]) -> list[Metric]:
    """Single numbers as metrics with the present time."""
    now = int(time.time() * 1000)
    return [Metric(name, value, now, 0) for name, value in numbers.items()]
