"""Networks that earlier studies of the experiment trained: found by their key, checked by their digests, taken as they are."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.tracking.claim import has_released
from study.tracking.store import DOWNLOADS, DamagedRecordError, fetch, is_missing, search
from study.tracking.study_run import StudyRun


def complete_networks(client: MlflowClient, experiment: str, keys: Iterable[str]) -> dict[str, list[Run]]:
    """The complete runs of each network key that has one, the newest first."""
    wanted, found = set(keys), {}
    for run in search(client, [experiment], "tags.kind = 'network' and tags.complete = 'true'"):
        key = run.data.tags.get("network_key")
        if key in wanted and "digests" in run.data.tags:
            found.setdefault(key, []).append(run)
    return {key: sorted(runs, key=lambda run: run.info.start_time, reverse=True) for key, runs in found.items()}


def take(study: StudyRun, keys: Iterable[str], say: Callable[[str], None]) -> set[str]:
    """Puts the networks that earlier studies completed under this study's run; the keys of those that it has now.

    A network of a study that stopped while it trained moves, one of a study that has all its networks is copied. An artifact that
    is not what was logged is named, and its run passed over.
    """
    client, taken = study.client, set()
    finished: dict[str, bool] = {}
    found = complete_networks(client, study.experiment_id, keys)
    with ThreadPoolExecutor(DOWNLOADS) as pool, tempfile.TemporaryDirectory() as scratch:
        def first_whole(runs: list[Run]) -> tuple[Run, Path] | None:
            for run in runs:
                try:
                    return run, fetch(client, run, Path(scratch))
                except DamagedRecordError as damage:
                    say(f"{_words(run)}: {damage}; it is not reused")
            return None

        for key, chosen in zip(found, pool.map(first_whole, found.values()), strict=True):
            if chosen is None:
                continue
            run, folder = chosen
            parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID, "")
            if parent not in finished:
                finished[parent] = _finished(client, parent)
            try:
                if finished[parent]:
                    study.copy(run, folder)
                else:
                    study.move(run)
                taken.add(key)
            except DamagedRecordError as damage:
                say(f"{_words(run)}: {damage}; it is not reused")
            if folder.is_relative_to(scratch):
                shutil.rmtree(folder)
    study.log_counts()
    return taken


def _words(run: Run) -> str:
    return f"H={run.data.params['hidden_size']} seed={run.data.params['seed']}"


def _finished(client: MlflowClient, run_id: str) -> bool:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return False
    return run.info.status == "FINISHED" or has_released(run)
