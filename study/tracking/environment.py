"""Where a command's run belongs, from the environment: to an experiment, or into the run that `mlflow run` created for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_TYPE

from study.terminal.errors import InputError, quoted, reason
from study.tracking.store import children, is_missing

EXPERIMENT = "hidden-orbits"


def handed_run(client: MlflowClient) -> Run | None:
    """The run named by `MLFLOW_RUN_ID`, if `mlflow run` has just created it for this command; None if the variable is not set.

    The variable may be a leftover, and a run with any content may belong to somebody: taken over, it would lose its name and
    status. Raises `InputError` with the reason for any run that is not new and empty.
    """
    given = os.environ.get("MLFLOW_RUN_ID", "").strip()
    if not given:
        return None
    run = _answered(client.get_run, given)
    experiment = os.environ.get("MLFLOW_EXPERIMENT_ID", "").strip() or run.info.experiment_id
    if why := _taken(client, run, experiment):
        raise InputError(
            f"no run can be made in the tracking store: MLFLOW_RUN_ID={quoted(given)} names a run that {why}; only a "
            "new run, which `mlflow run` has just made, is filled: unset MLFLOW_RUN_ID"
        )
    return run


def current_experiment(client: MlflowClient) -> str:
    """The id of the experiment of the run that was handed over, else of the one that `MLFLOW_EXPERIMENT_ID` or
    `MLFLOW_EXPERIMENT_NAME` names, else of our own.

    Raises `InputError` where the two contradict each other, the experiment is deleted, or none can be made.
    """
    if run := handed_run(client):
        return run.info.experiment_id
    identity, name = (os.environ.get(f"MLFLOW_EXPERIMENT_{part}", "").strip() for part in ("ID", "NAME"))
    if identity:
        experiment = _answered(client.get_experiment, identity)
        if name and experiment.name != name:
            raise InputError(
                f"MLFLOW_EXPERIMENT_ID={quoted(identity)} is the experiment {quoted(experiment.name)}, but "
                f"MLFLOW_EXPERIMENT_NAME={quoted(name)} names another: unset one of the two"
            )
    else:
        name = name or EXPERIMENT
        experiment = _answered(client.get_experiment_by_name, name)
        if experiment is None:
            return _answered(client.create_experiment, name)
    if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
        raise InputError(
            f"no run can be made in the tracking store: the experiment {quoted(experiment.name)} is deleted; restore "
            f"it with mlflow experiments restore --experiment-id {experiment.experiment_id}, or name another by "
            "MLFLOW_EXPERIMENT_NAME"
        )
    return experiment.experiment_id


def no_run(error: MlflowException) -> Exception:
    """The error for a store that answers but refuses to create a run; the original error where the store failed."""
    if not is_missing(error) and error.error_code not in ("PERMISSION_DENIED", "RESOURCE_ALREADY_EXISTS"):
        return error
    names = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    given = "".join(f"; {name}={quoted(os.environ[name])}" for name in names if name in os.environ)
    return InputError(
        f"no run can be made in the tracking store ({reason(error)}{given}): check MLFLOW_RUN_ID, "
        "MLFLOW_EXPERIMENT_ID and MLFLOW_EXPERIMENT_NAME, that the experiment is not deleted, and that you may "
        "write to it"
    )


def _taken(client: MlflowClient, run: Run, experiment: str) -> str:
    """Why a run is not one that `mlflow run` has just created; empty where it is."""
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        return "is deleted"
    if kind := run.data.tags.get("kind"):
        return f"is a {kind} already"
    if run.info.status != "RUNNING":
        return f"has ended ({run.info.status})"
    if run.info.experiment_id != experiment:
        return f"is in experiment {run.info.experiment_id}, not in MLFLOW_EXPERIMENT_ID={experiment}"
    if _answered(client.get_experiment, experiment).lifecycle_stage != LifecycleStage.ACTIVE:
        return f"is in experiment {experiment}, which is deleted"
    # For a run that was started in Python, this tag is LOCAL.
    project = run.data.tags.get(MLFLOW_SOURCE_TYPE) == "PROJECT"
    if run.data.metrics or (not project and (run.data.params or MLFLOW_SOURCE_TYPE in run.data.tags)):
        return "somebody is filling"
    if _answered(client.list_artifacts, run.info.run_id) or (run.inputs and run.inputs.dataset_inputs):
        return "holds artifacts already"
    if children(client, experiment, run.info.run_id):
        return "has runs below it already"
    return ""


def _answered(ask: Callable[..., Any], *given: str) -> Any:
    try:
        return ask(*given)
    except MlflowException as error:
        raise no_run(error) from None
