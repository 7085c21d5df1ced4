"""Where artifacts are, and where they may be written: inside their run's folder, whatever a name or a link in the store says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from study.files.targets import nearest, take_a_file
from study.terminal.errors import InputError


def checked(artifact_uri: str | None, path: str) -> str:
    """The path of an artifact below a run's `artifact_uri`, checked to stay inside it.

    Raises `InputError` for an absolute path, for one with ``..``, for one that is not a POSIX path and, if the store is on this
    machine's disk, for one that leaves the run's folder through a link.
    """
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in path:
        raise InputError(f"artifact path {path!r}: expected a path inside the run's artifacts, such as figures/name.svg")
    root = local_root(artifact_uri)
    if root and not (root / path).resolve().is_relative_to(root.resolve()):
        raise InputError(f"artifact path {path!r}: a link in {root} leads out of the run's artifacts; remove the link")
    return path


def local_root(artifact_uri: str | None) -> Path | None:
    """The folder of the artifacts of a run or an experiment if it is on this machine's disk, else None.

    Only MLflow can tell: it takes some of ``#``, ``?`` and ``%`` in an address literally and decodes others.
    """
    if artifact_uri is None or not is_local_uri(artifact_uri, is_tracking_or_registry_uri=False):
        return None
    return Path(local_file_uri_to_path(artifact_uri)).absolute()


def location(artifact_uri: str | None, run_id: str) -> str:
    """The location that a run shares with its sibling runs: the address of its artifacts without the run's own part."""
    return (artifact_uri or "").partition(f"/{run_id}/")[0]


def obstacle(folder: Path) -> str:
    """Why files cannot be written below a folder (which is created if necessary); empty where they can."""
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
