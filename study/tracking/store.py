"""The tracking store itself: a client that has been answered, and searches through all pages."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study import artifact_paths, credentials, durable
from study.credentials import without_credentials
from study.errors import InputError, reason
from study.record import MEASUREMENTS, WEIGHTS

DOWNLOADS = 8  # runs fetched at a time
PAGE = 1000  # rows a search answers at most
# A request that is not answered is ours to repeat: MLflow's own patience would hold a study for minutes.
IMPATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@contextmanager
def impatient() -> Iterator[None]:
    """Meanwhile a request that is not answered fails soon; what the user set stands."""
    added = {name: value for name, value in IMPATIENCE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def connect() -> MlflowClient:
    """A client of the tracking store, which has answered and let us in.

    Raises `InputError` where the store cannot be reached, or refuses the user name and password.
    """
    credentials.note(mlflow.get_tracking_uri())
    uri = without_credentials(mlflow.get_tracking_uri().strip())
    try:
        with impatient():
            client = MlflowClient()
            client.search_experiments(max_results=1)
    except Exception as error:  # each kind of store raises its own
        if "error code 401" in str(error):
            raise InputError(f"the tracking server {uri} refuses the user name or the password: set MLFLOW_TRACKING_USERNAME and "
                             "MLFLOW_TRACKING_PASSWORD to ones it knows") from None
        raise InputError(f"the tracking store {uri} cannot be reached ({reason(error)}): start its server, or set "
                         "MLFLOW_TRACKING_URI to one that answers, such as sqlite:///mlflow.db") from None
    return client


def search(client: MlflowClient, experiments: list[str], condition: str) -> list[Run]:
    """All runs that meet a condition, however many."""
    found, token = [], None
    while True:
        page = client.search_runs(experiments, condition, max_results=PAGE, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def children(client: MlflowClient, experiment: str, run_id: str) -> list[Run]:
    """The runs nested directly under a run."""
    return search(client, [experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'")


class DamagedRecordError(Exception):
    """An artifact of a network's record that is missing, or not what was logged; the message says which, in words."""


def fetch(client: MlflowClient, run: Run, scratch: Path) -> Path:
    """A folder that holds the weights and the measurements of a complete network run, as they were logged.

    It is the run's own folder where the store is on this machine's disk, else a new one in `scratch`. Raises
    `DamagedRecordError` where a file is missing or has not the digest that the run's tag `digests` names.
    """
    root = artifact_paths.local_root(run.info.artifact_uri)
    folder = root or scratch / run.info.run_id
    if root is None:
        folder.mkdir()
    stored = {file.path for file in client.list_artifacts(run.info.run_id)} if root is None else set()
    digests = json.loads(run.data.tags.get("digests", "{}"))
    for name in (WEIGHTS, MEASUREMENTS):
        if name in stored:
            client.download_artifacts(run.info.run_id, name, str(folder))
        if not (folder / name).exists():
            raise DamagedRecordError(f"{name} is missing in run {run.info.run_id}")
        if durable.digest(folder / name) != digests.get(name):
            raise DamagedRecordError(f"{name} is altered or cut short in run {run.info.run_id}")
    return folder


def marks(run: Run) -> list:
    """What tells a network run's record from any other and, on this machine's disk, from itself before it was touched."""
    known = [run.info.run_id, run.data.tags.get("digests")]
    root = artifact_paths.local_root(run.info.artifact_uri)
    if root is None:
        return known
    for name in (WEIGHTS, MEASUREMENTS):
        try:
            stat = (root / name).stat()
            known += [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        except OSError:
            known.append(None)
    return known


def log_files(client: MlflowClient, run_id: str, files: Iterable[Path]) -> None:
    """Stores files with a run, under their names."""
    root = client.get_run(run_id).info.artifact_uri
    for file in files:
        artifact_paths.checked(root, file.name)
        client.log_artifact(run_id, str(file))


def log_folder(client: MlflowClient, run_id: str, folder: Path, place: str | None = None) -> None:
    """Stores every file of a folder with a run, below the artifact path `place`."""
    root = client.get_run(run_id).info.artifact_uri
    for path in artifact_paths.checked_folder(folder).rglob("*"):
        artifact_paths.checked(root, "/".join(part for part in (place, path.relative_to(folder).as_posix()) if part))
    client.log_artifacts(run_id, str(folder), place)
