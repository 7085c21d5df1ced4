"""The tracking store itself: a connected client, searches over all pages, and artifacts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, RunTag, ViewType
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_PROJECT_ENTRY_POINT
from mlflow.utils.uri import get_uri_scheme

from study.files import artifact_paths, untrusted
from study.files.targets import nearest, take_a_file
from study.files.untrusted import Refused, json_object
from study.record.network_record import LARGEST_FILE, MEASUREMENTS, WEIGHTS
from study.terminal import credentials
from study.terminal.credentials import without_credentials
from study.terminal.errors import InputError, StudyError, reason
from study.terminal.stopping import held, hold_transactions, within

DOWNLOADS = 8  # runs fetched at a time
PAGE = 1000  # rows per page of a search
BATCH = 50  # tags per request; MLflow takes 100
ANSWER = 20.0  # seconds within which a store must answer
NO_RUN = "0" * 32  # an id that no run has


def connect(existing: bool = False) -> MlflowClient:
    """A client of the tracking store, after a successful request.

    If the store is a database on this machine's disk that does not exist yet, it is created, unless it must be `existing`. Raises
    `InputError` where the store cannot be reached, refuses the user name and password, or is not MLflow.
    """
    credentials.note(mlflow.get_tracking_uri())
    uri = mlflow.get_tracking_uri()
    shown = without_credentials(uri.strip())
    if get_uri_scheme(uri) in DATABASE_ENGINES:
        hold_transactions()
    patience = max(ANSWER, MLFLOW_HTTP_REQUEST_TIMEOUT.get())
    try:
        empty = within(patience, lambda: _is_empty(uri, existing))
        if empty and not existing:
            with held():  # a half-created store would be useless
                MlflowClient().search_experiments(max_results=1)
        elif not empty:
            within(patience, lambda: _ask(uri))
    except Exception as error:  # each kind of store raises its own
        if "error code 401" in str(error):
            raise InputError(
                f"the tracking server {shown} refuses the user name or the password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD to ones it knows"
            ) from None
        raise InputError(
            f"the tracking store {shown} cannot be reached ({reason(error)}): start its server, or set "
            "MLFLOW_TRACKING_URI to one that answers, such as sqlite:///mlflow.db"
        ) from None
    if empty and existing:
        raise InputError(
            f"the tracking store {shown} is not there, or empty: run a study first, or set MLFLOW_TRACKING_URI to the "
            "store that holds one"
        )
    return MlflowClient()


def _is_empty(uri: str, existing: bool) -> bool:
    """Whether the store is a database that holds nothing yet.

    Raises where it cannot be opened (MLflow would try for 102 s), or is a file that cannot be written although it must be.
    """
    if get_uri_scheme(uri) not in DATABASE_ENGINES:
        return False
    import sqlalchemy  # a slow import, not needed for a server

    url = sqlalchemy.make_url(uri)
    path = url.database or ""
    on_disk = url.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not path.startswith("file:")
    if on_disk and not Path(path).exists():  # opening it would create it
        if not existing:
            take_a_file(nearest(Path(path).parent))
        return True
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    empty = not sqlalchemy.inspect(engine).get_table_names()
    if on_disk and not existing:
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{path} is read-only")
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    return empty


def _ask(uri: str) -> None:
    """Asks the store two questions with known answers; raises where it answers differently."""
    client = MlflowClient()
    client.search_experiments(max_results=1)
    try:
        client.get_run(NO_RUN)
    except MlflowException as error:
        if is_missing(error):
            return
        raise
    raise MlflowException("it does not answer as MLflow does")


def is_missing(error: Exception) -> bool:
    """Whether the store answers that something does not exist (any more); any other error means that it failed."""
    return isinstance(error, MlflowException) and error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def is_deleted(client: MlflowClient, run_id: str) -> bool:
    """Whether a run was deleted, by itself or with its experiment, or is gone for good."""
    try:
        return client.get_run(run_id).info.lifecycle_stage != LifecycleStage.ACTIVE
    except MlflowException as error:
        if is_missing(error):
            return True
        raise


def terminate(client: MlflowClient, run_id: str, status: str, end_time: int | None = None) -> None:
    """Ends a run, even one that has been deleted: otherwise it would be running when someone restores it."""
    try:
        client.set_terminated(run_id, status, end_time)
    except MlflowException:
        if not is_deleted(client, run_id):
            raise
        client.restore_run(run_id)
        try:
            client.set_terminated(run_id, status, end_time)
        finally:
            client.delete_run(run_id)


def supersede(client: MlflowClient, run: Run, by: str) -> None:
    """Ends a run that stopped and its running child runs, and marks it as superseded by another; nothing is deleted.

    The mark is set last: a run with the mark is not looked at again.
    """
    end_children(client, run.info.experiment_id, run.info.run_id, superseded_by=by)
    if run.info.status == "RUNNING":
        terminate(client, run.info.run_id, "KILLED")
    client.set_tag(run.info.run_id, "superseded_by", by)


def end_untaken(run_id: str) -> None:
    """Ends a run that `mlflow run` created for a command that was stopped before it took the run over."""
    client = MlflowClient()
    run = client.get_run(run_id)
    if run.info.status == "RUNNING" and MLFLOW_PROJECT_ENTRY_POINT in run.data.tags and "kind" not in run.data.tags:
        terminate(client, run_id, "KILLED")


def search(client: MlflowClient, experiments: list[str], condition: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """All runs that meet a condition, however many."""
    runs, token = [], None
    while True:
        page = client.search_runs(experiments, condition, view, max_results=PAGE, page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            return runs


def children(client: MlflowClient, experiment: str, run_id: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The runs nested directly under a run."""
    return search(client, [experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'", view)


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets any number of tags."""
    every = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(every), BATCH):
        client.log_batch(run_id, tags=every[start : start + BATCH])


def end_children(client: MlflowClient, experiment: str, run_id: str, **tags: str) -> None:
    """Ends and tags child runs that were left running by a killed process, or by a request that was cut off or answered twice."""
    for run in children(client, experiment, run_id, ViewType.ALL):
        if run.info.status != "RUNNING":
            continue
        complete = run.data.tags.get("complete") == "true"
        if not complete and run.info.lifecycle_stage == LifecycleStage.ACTIVE:
            set_tags(client, run.info.run_id, tags)
        terminate(client, run.info.run_id, "FINISHED" if complete else "KILLED")


class DamagedRecordError(Exception):
    """An artifact of a network is missing or not what was logged; the message says which one."""


class UnreachableError(StudyError):
    """Artifacts may be intact, but are not where their runs say, or cannot be read; the message says which ones."""


def fetch(client: MlflowClient, run: Run, scratch: Path) -> Path:
    """A folder with the weights and measurements of a complete network run, as they were logged.

    It is the run's own folder if the store is on this machine's disk, else a new one in `scratch`. Raises
    `DamagedRecordError` where a file is missing or does not match the digest in the run's tag `digests`, `UnreachableError` where
    the files cannot be read.
    """
    try:
        digests = json_object(run.data.tags.get("digests", "{}"))
    except Refused:
        raise DamagedRecordError(f"the tag `digests` cannot be read in run {run.info.run_id}") from None
    for name in (WEIGHTS, MEASUREMENTS):
        file = stored_file(client, run, name, scratch / run.info.run_id, LARGEST_FILE)
        with _reading(run, name, file):
            digest = untrusted.digest(file, LARGEST_FILE)
        if digest != digests.get(name):
            raise DamagedRecordError(f"{name} is altered or cut short in run {run.info.run_id}")
    return file.parent


def stored_file(client: MlflowClient, run: Run, path: str, scratch: Path, most: int) -> Path:
    """A readable file with an artifact of a run: in the store if it is on this machine's disk, else downloaded into `scratch`.

    Raises `DamagedRecordError` where the run has no such artifact, or one of more than `most` bytes, and `UnreachableError` where
    the location of the run's artifacts is not there.
    """
    root = artifact_paths.local_root(run.info.artifact_uri)
    try:
        if root is not None:
            (root / path).lstat()
            return root / path
        listed = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id, path.rpartition("/")[0] or None)}
        if path in listed:
            untrusted.bounded(listed[path], most)
            scratch.mkdir(parents=True, exist_ok=True)
            return Path(client.download_artifacts(run.info.run_id, path, str(scratch)))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Refused as refused:
        raise DamagedRecordError(f"{path} {refused} in run {run.info.run_id}") from None
    except OSError as error:
        if root is None:
            raise
        raise _unreadable(root / path, error) from None
    if is_lost(client, run):
        raise UnreachableError(f"the artifacts of run {run.info.run_id} are not reachable: {not_there(run)}")
    raise DamagedRecordError(f"{path} is missing in run {run.info.run_id}")


def stored_content(client: MlflowClient, run: Run, path: str, most: int) -> bytes:
    """The content of an artifact of a run. Raises as `stored_file` does."""
    with tempfile.TemporaryDirectory() as scratch:
        file = stored_file(client, run, path, Path(scratch), most)
        with _reading(run, path, file):
            return untrusted.content(file, most)


@contextmanager
def _reading(run: Run, path: str, file: Path) -> Iterator[None]:
    """Distinguishes a file that is not what was logged from one that cannot be reached."""
    try:
        yield
    except Refused as refused:
        raise DamagedRecordError(f"{path} {refused} in run {run.info.run_id}") from None
    except OSError as error:
        raise _unreadable(file, error) from None


def is_lost(client: MlflowClient, run: Run) -> bool:
    """Whether a run's artifacts are missing together with those of all its sibling runs.

    If only the run's own folder is gone, someone has removed it. If nothing is left of the location of all runs, the location
    itself has moved, or its disk is not mounted.
    """
    root, place = artifact_paths.local_root(run.info.artifact_uri), _place(run)
    try:
        if root is None:
            beside = get_artifact_repository(place, client.tracking_uri)
            return not client.list_artifacts(run.info.run_id) and not beside.list_artifacts()
        folder = artifact_paths.local_root(place)
        return not root.is_dir() and not (folder and folder.is_dir() and any(folder.iterdir()))
    except OSError as error:
        if root is None:  # the server's own
            raise
        raise _unreadable(root, error) from None


def not_there(run: Run) -> str:
    """The message for a location of artifacts that is not there, and what to do."""
    return (
        f"{without_credentials(_place(run))}, which their runs name, is not there or empty; mount its disk or start its "
        "server; if the store was moved, say where it is now with python -m study relocate; or train all networks anew with "
        "resume=never"
    )


def checked_location(client: MlflowClient, experiment: str, fresh: bool = False) -> None:
    """Raises `InputError` where a run of an experiment could not store its artifacts, or would store them at the old location of a
    store that was moved: one that is not there although runs have stored artifacts in it. A `fresh` study may create it again.
    """
    described = client.get_experiment(experiment)
    folder = artifact_paths.local_root(described.artifact_location)
    if folder is None:
        return
    if why := artifact_paths.obstacle(folder):
        raise InputError(
            f"the artifacts of experiment {described.name} belong in {folder}, which cannot be written to ({why}): give "
            "access, or, if the store was moved, say where it is now with python -m study relocate"
        )
    if not fresh and not folder.is_dir():
        stored = search(client, [experiment], "tags.kind = 'network' and tags.complete = 'true'")
        there = [run for run in stored if artifact_paths.local_root(_place(run)) == folder]
        if there:
            raise InputError(f"the artifacts of experiment {described.name} cannot be reached: {not_there(there[0])}")


def _place(run: Run) -> str:
    """The location of the artifacts of a run and its sibling runs."""
    return artifact_paths.location(run.info.artifact_uri, run.info.run_id)


def _unreadable(file: Path, error: OSError) -> UnreachableError:
    return UnreachableError(f"{file} cannot be read ({error.strerror or error}): give access, or check its disk")


def marks(run: Run) -> list:
    """An identifier of a network run's record that, on this machine's disk, changes whenever the files are touched."""
    known = [run.info.run_id, run.data.tags.get("digests")]
    root = artifact_paths.local_root(run.info.artifact_uri)
    if root is None:
        return known
    for name in (WEIGHTS, MEASUREMENTS):
        try:
            stat = (root / name).lstat()
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
