"""The tracking store itself: a client that has been answered, and searches through all pages."""

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
from study.terminal.stopping import held, within

DOWNLOADS = 8  # runs fetched at a time
PAGE = 1000  # rows a search answers at most
BATCH = 50  # tags a request; MLflow takes 100
DOOR = 20.0  # seconds that a store has to answer at all
NO_RUN = "0" * 32  # an id that no run has


def connect(existing: bool = False) -> MlflowClient:
    """A client of the tracking store, which has answered and let us in.

    A store that is a database on this machine's disk, and not there yet, is made, unless it is to be an `existing` one. Raises
    `InputError` where the store cannot be reached, refuses the user name and password, or is not MLflow's.
    """
    credentials.note(mlflow.get_tracking_uri())
    uri = mlflow.get_tracking_uri()
    told = without_credentials(uri.strip())
    patience = max(DOOR, MLFLOW_HTTP_REQUEST_TIMEOUT.get())
    try:
        empty = within(patience, lambda: _is_empty(uri, existing))
        if empty and not existing:
            with held():  # half made it would be of no use to anyone
                MlflowClient().search_experiments(max_results=1)
        elif not empty:
            within(patience, lambda: _ask(uri))
    except Exception as error:  # each kind of store raises its own
        if "error code 401" in str(error):
            raise InputError(
                f"the tracking server {told} refuses the user name or the password: set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD to ones it knows"
            ) from None
        raise InputError(
            f"the tracking store {told} cannot be reached ({reason(error)}): start its server, or set "
            "MLFLOW_TRACKING_URI to one that answers, such as sqlite:///mlflow.db"
        ) from None
    if empty and existing:
        raise InputError(
            f"the tracking store {told} is not there, or empty: run a study first, or set MLFLOW_TRACKING_URI to the "
            "store that holds one"
        )
    return MlflowClient()


def _is_empty(uri: str, existing: bool) -> bool:
    """Whether the store is a database that holds nothing yet.

    Raises where it cannot be opened, which MLflow would try for 102 s, or is a file that is to be written and cannot be.
    """
    if get_uri_scheme(uri) not in DATABASE_ENGINES:
        return False
    import sqlalchemy  # takes a while, and a server needs none

    url = sqlalchemy.make_url(uri)
    path = url.database or ""
    on_disk = url.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not path.startswith("file:")
    if on_disk and not Path(path).exists():  # which to open would make
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
    """Asks the store two questions whose answers are known; raises where it gives others."""
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
    """Whether the store answers that there is no such thing, or no more; any other error says that it failed."""
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
    """Ends a run, also one that was deleted meanwhile: else it would be running when someone restores it."""
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
    """Ends a run that stopped, and what it left running, and marks it as superseded by another; nothing is deleted.

    The mark on the run comes last: one that has it is not looked at again.
    """
    end_children(client, run.info.experiment_id, run.info.run_id, superseded_by=by)
    if run.info.status == "RUNNING":
        terminate(client, run.info.run_id, "KILLED")
    client.set_tag(run.info.run_id, "superseded_by", by)


def end_untaken(run_id: str) -> None:
    """Ends a run that `mlflow run` made, and whose command was stopped before it took it for its own."""
    client = MlflowClient()
    run = client.get_run(run_id)
    if run.info.status == "RUNNING" and MLFLOW_PROJECT_ENTRY_POINT in run.data.tags and "kind" not in run.data.tags:
        terminate(client, run_id, "KILLED")


def search(client: MlflowClient, experiments: list[str], condition: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """All runs that meet a condition, however many."""
    found, token = [], None
    while True:
        page = client.search_runs(experiments, condition, view, max_results=PAGE, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def children(client: MlflowClient, experiment: str, run_id: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    """The runs nested directly under a run."""
    return search(client, [experiment], f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'", view)


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Sets any number of tags."""
    every = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(every), BATCH):
        client.log_batch(run_id, tags=every[start : start + BATCH])


def end_children(client: MlflowClient, experiment: str, run_id: str, **tags: str) -> None:
    """Ends, and tags, the child runs that were left running: by a request that was cut off or answered twice, or a process that
    was killed.
    """
    for run in children(client, experiment, run_id, ViewType.ALL):
        if run.info.status != "RUNNING":
            continue
        complete = run.data.tags.get("complete") == "true"
        if not complete and run.info.lifecycle_stage == LifecycleStage.ACTIVE:
            set_tags(client, run.info.run_id, tags)
        terminate(client, run.info.run_id, "FINISHED" if complete else "KILLED")


class DamagedRecordError(Exception):
    """An artifact of a network's record that is missing, or not what was logged; the message says which, in words."""


class UnreachableError(StudyError):
    """Artifacts that may be whole, but that are not where their runs say, or cannot be read; the message says which, in words."""


def fetch(client: MlflowClient, run: Run, scratch: Path) -> Path:
    """A folder that holds the weights and the measurements of a complete network run, as they were logged.

    It is the run's own folder where the store is on this machine's disk, else a new one in `scratch`. Raises
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
            found = untrusted.digest(file, LARGEST_FILE)
        if found != digests.get(name):
            raise DamagedRecordError(f"{name} is altered or cut short in run {run.info.run_id}")
    return file.parent


def stored_file(client: MlflowClient, run: Run, path: str, scratch: Path, most: int) -> Path:
    """Where an artifact of a run can be read: in the store where it is on this machine's disk, else downloaded into `scratch`.

    Raises `DamagedRecordError` where the run has no such artifact, or one of more than `most` bytes, and `UnreachableError` where
    the place is not there in which the run's artifacts lie.
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
    """All of an artifact of a run. Raises as `stored_file` does."""
    with tempfile.TemporaryDirectory() as scratch:
        file = stored_file(client, run, path, Path(scratch), most)
        with _reading(run, path, file):
            return untrusted.content(file, most)


@contextmanager
def _reading(run: Run, path: str, file: Path) -> Iterator[None]:
    """Tells a file that is not what was logged from one that cannot be reached."""
    try:
        yield
    except Refused as refused:
        raise DamagedRecordError(f"{path} {refused} in run {run.info.run_id}") from None
    except OSError as error:
        raise _unreadable(file, error) from None


def is_lost(client: MlflowClient, run: Run) -> bool:
    """Whether a run's artifacts are missing along with all others that should lie beside them.

    Where a run's own folder alone is gone, someone has removed it. Where nothing is left of the place that holds the folders of
    all runs, the place itself has moved, or its disk is not mounted.
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
    """What to say of the place of a run's artifacts that is not there, and what to do."""
    return (
        f"{without_credentials(_place(run))}, which their runs name, is not there or empty; mount its disk or start its "
        "server; if the store was moved, say where it is now with python -m study relocate; or train all anew with "
        "resume=never"
    )


def checked_location(client: MlflowClient, experiment: str, fresh: bool = False) -> None:
    """Raises `InputError` where a run of an experiment could not store its artifacts, or would store them where a store was that
    has been moved: at a place that is not there, although runs have stored artifacts in it. One that is `fresh` may make it anew.
    """
    found = client.get_experiment(experiment)
    folder = artifact_paths.local_root(found.artifact_location)
    if folder is None:
        return
    if why := artifact_paths.obstacle(folder):
        raise InputError(
            f"the artifacts of experiment {found.name} belong in {folder}, where none can be written ({why}): give "
            "access, or, if the store was moved, say where it is now with python -m study relocate"
        )
    if not fresh and not folder.is_dir():
        stored = search(client, [experiment], "tags.kind = 'network' and tags.complete = 'true'")
        there = [run for run in stored if artifact_paths.local_root(_place(run)) == folder]
        if there:
            raise InputError(f"the artifacts of experiment {found.name} cannot be reached: {not_there(there[0])}")


def _place(run: Run) -> str:
    """Where the artifacts of a run and of those beside it lie."""
    return artifact_paths.location(run.info.artifact_uri, run.info.run_id)


def _unreadable(file: Path, error: OSError) -> UnreachableError:
    return UnreachableError(f"{file} cannot be read ({error.strerror or error}): give access, or see to its disk")


def marks(run: Run) -> list:
    """What tells a network run's record from any other and, on this machine's disk, from itself before it was touched."""
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
