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

TOKEN = "token"  # the tag that tells two answers to one `runs/create` from two commands
GIVEN_BY_MLFLOW = re.compile(r"[a-z]+-[a-z]+-\d+")  # as in "bold-carp-417"


class JobRun:
    """The run of one command: the one `mlflow run` made for it (`MLFLOW_RUN_ID`), else a new one.

    `tags` are on it from its first moment where it is new, so that a run of a command that dies at once still says what it is.
    `run_id` names a run to go on with, of which nothing is changed that it has.
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
        if not run_id:  # `mlflow run` stores the address of the git remote, whatever stands in it
            tags |= {
                tag: without_credentials(value)
                for tag, value in run.data.tags.items()
                if tag.startswith(("mlflow.source", "mlflow.project"))
            }
        changed = {tag: value for tag, value in tags.items() if run.data.tags.get(tag) != value}
        # It has logged its parameters already, too, and a parameter cannot be logged with another spelling.
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


def end_twins(client: MlflowClient, experiment: str, run_id: str, token: str) -> None:
    """Ends, as superseded by this run, those that were made with it: a request that is not answered in time is repeated, and a
    store may have heard it both times.

    They are no study or search any more: such is looked up by its kind.
    """
    for twin in search(client, [experiment], f"tags.{TOKEN} = '{token}' and attributes.status = 'RUNNING'"):
        if twin.info.run_id != run_id:
            terminate(client, twin.info.run_id, "KILLED")
            set_tags(client, twin.info.run_id, {"superseded_by": run_id, "kind": "refused"})


def params(parameters: Mapping[str, object]) -> list[Param]:
    """Parameters as MLflow takes them; of one that is too long for it, the beginning."""
    return [Param(name, _shortened(str(value))) for name, value in parameters.items()]


def _shortened(value: str) -> str:
    more = f"... ({len(value)} characters; whole in study.json)"
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
    """Single numbers as metrics of this moment."""
    now = int(time.time() * 1000)
    return [Metric(name, value, now, 0) for name, value in numbers.items()]
