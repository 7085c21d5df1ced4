"""Where artifacts lie, and where they may be written: inside their run's folder, whatever a name or a link in the store says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from study.files.targets import nearest, take_a_file
from study.terminal.errors import InputError


def checked(artifact_uri: str | None, path: str) -> str:
    """The path of an artifact below a run's `artifact_uri`, where it stays inside.

    Raises `InputError` for an absolute path, one with ``..``, one that is no POSIX path, and, in a store on this machine's disk,
    one that a link leads out of the run's folder.
    """
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in path:
        raise InputError(f"artifact path {path!r}: expected a path inside the run's artifacts, such as figures/name.svg")
    root = local_root(artifact_uri)
    if root and not (root / path).resolve().is_relative_to(root.resolve()):
        raise InputError(f"artifact path {path!r}: a link in {root} leads out of the run's artifacts; remove the link")
    return path


def local_root(artifact_uri: str | None) -> Path | None:
    """The folder of a run's, or of an experiment's, artifacts where they lie on this machine's disk.

    MLflow alone knows which: of ``#``, ``?`` and ``%`` in an address it takes some as they are, some for what they stand for.
    """
    if artifact_uri is None or not is_local_uri(artifact_uri, is_tracking_or_registry_uri=False):
        return None
    return Path(local_file_uri_to_path(artifact_uri)).absolute()


def location(artifact_uri: str | None, run_id: str) -> str:
    """Where the artifacts of all runs beside one lie: the address of a run's artifacts without what is the run's own."""
    return (artifact_uri or "").partition(f"/{run_id}/")[0]


def obstacle(folder: Path) -> str:
    """Why files cannot be written below a folder, which is made if need be; empty where they can."""
    try:
        take_a_file(nearest(folder))
    except OSError as error:
        return str(error.strerror)
    return ""


def checked_folder(folder: Path) -> Path:
    """A local folder whose files are to be logged; raises `InputError` where a link in it leads out."""
    root = folder.resolve()
    for path in root.rglob("*"):
        if not path.resolve().is_relative_to(root):
            raise InputError(f"{path} is a link that leads out of {folder}: it would be stored with the run; remove the link")
    return folder
