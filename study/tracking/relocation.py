"""The locations of a store's artifacts, and their correction after a folder was moved.

MLflow stores the location of the artifacts of each experiment, run and model as an absolute path or address in its database. After
a folder was moved or mounted elsewhere, these are rewritten in the database: the tracking interface has no request for it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import mlflow
import sqlalchemy
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun, SqlTag, SqlTraceTag
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION
from sqlalchemy import Column, Connection, Engine, Select, Update, select
from sqlalchemy.exc import SQLAlchemyError

from study.files.targets import nameable
from study.record.network_record import MEASUREMENTS, WEIGHTS
from study.terminal import credentials
from study.terminal.credentials import without_credentials
from study.terminal.errors import InputError, quoted, reason

Statement = TypeVar("Statement", Select, Update)
# Database columns with locations, by the name of what has the location.
PLACES: dict[str, Column] = {
    "experiments": SqlExperiment.__table__.c.artifact_location,
    "runs": SqlRun.__table__.c.artifact_uri,
    "logged models": SqlLoggedModel.__table__.c.artifact_location,
    "traces": SqlTraceTag.__table__.c.value,
    "model versions": SqlModelVersion.__table__.c.storage_location,
    "sources of model versions": SqlModelVersion.__table__.c.source,
}
MISREAD = set("%#?")  # characters of a plain path that are misread if it is taken for an address


@dataclass(frozen=True)
class Root:
    """A folder, or an address, below which runs have their artifacts.

    Attributes: `place`; the number of `runs`; the number of `complete` networks among them, and how many of these have their files
    `there` (None where the place is not on this machine's disk).
    """

    place: str
    runs: int
    complete: int
    there: int | None


@dataclass(frozen=True)
class Moved:
    """The result of a relocation.

    Attributes: how many locations were `rewritten`, by kind; how many were in the new folder `already`; how many of the rewritten
    ones belong to `complete` networks, and how many of these have their files `there`.
    """

    rewritten: dict[str, int]
    already: int
    complete: int
    there: int


def roots() -> list[Root]:
    """The folders and addresses of the runs' artifacts. Raises `InputError` where the store is not a database."""
    with _opened() as engine, engine.connect() as connection:
        return _roots(connection)


def relocate(old: str, new: Path, incomplete: bool = False) -> Moved:
    """Rewrites the locations of all artifacts below `old` to the same locations below `new`: all of them or none.

    `old` is a folder, or an address as it is in the store. Raises `InputError` where no artifacts are below it, where `new` does
    not hold the artifacts of every complete network (unless `incomplete`), and where the store is not a database.
    """
    for name, value in (("old", old), ("new", new)):
        try:
            nameable(value)
        except ValueError as error:
            raise InputError(f"{name}={quoted(value)}: {error}; expected a folder, such as /srv/mlruns") from None
    if not new.is_dir():
        raise InputError(f"new={quoted(new)}: expected the folder that holds the artifacts now")
    new = Path(_absolute(new))
    with _opened() as engine, engine.begin() as connection:
        return _rewrite(connection, old if _scheme(old) or old.startswith("file:") else _absolute(old), new, incomplete)


def _rewrite(connection: Connection, old: str, new: Path, incomplete: bool) -> Moved:
    targets: dict[str, str] = {}
    already = 0
    rewritten: Counter[str] = Counter()
    for name, column in PLACES.items():
        for uri, count in list(connection.execute(_holding(column, select(column, sqlalchemy.func.count())).group_by(column))):
            if _inside(uri, str(new)) is not None:  # even if the new folder is inside the old one: nothing is moved twice
                already += count
            elif (inside := _inside(uri, old)) is not None:
                targets[uri] = target = _address(new / inside, like=uri)
                _refuse_too_long(connection, column, target)
                connection.execute(
                    _holding(column, sqlalchemy.update(column.table)).where(column == uri).values({column.name: target})
                )
                rewritten[name] += count
    if not targets:
        places = ", ".join(root.place for root in _roots(connection)) or "none"
        also = f" ({already} locations are below {new} already)" if already else ""
        raise InputError(f"{without_credentials(old)}: this store has no artifacts there{also}; its artifacts are in: {places}")
    moved = set(targets.values())
    networks = [uri for _, uri, complete in _runs(connection) if complete and uri in moved]
    there = sum(map(_is_there, networks))
    if there < len(networks) and not incomplete:
        raise InputError(
            f"{new} holds the artifacts of {there} of {len(networks)} complete networks, and nothing was changed: "
            f"name the folder that replaces {without_credentials(old)}, or add --incomplete to proceed "
            "without the others"
        )
    return Moved(dict(rewritten), already, len(networks), there)


def _roots(connection: Connection) -> list[Root]:
    by_place: dict[str, list[tuple[str, bool]]] = {}
    column = SqlExperiment.__table__.c.artifact_location
    for location in connection.execute(_holding(column, select(column))).scalars():
        by_place.setdefault(_in_words(location), [])
    for run_id, uri, complete in _runs(connection):
        by_place.setdefault(_in_words(uri).removesuffix(f"/{run_id}/artifacts"), []).append((uri, complete))
    return [_root(place, runs) for place, runs in sorted(by_place.items())]


def _root(place: str, runs: list[tuple[str, bool]]) -> Root:
    complete = [uri for uri, complete in runs if complete]
    return Root(place, len(runs), len(complete), None if _scheme(place) else sum(map(_is_there, complete)))


def _runs(connection: Connection) -> Iterator[tuple[str, str, bool]]:
    """The id and location of each run, and whether it is a complete network."""
    tagged = {
        name: set(connection.execute(select(SqlTag.run_uuid).where(SqlTag.key == name, SqlTag.value == value)).scalars())
        for name, value in (("kind", "network"), ("complete", "true"))
    }
    complete = tagged["kind"] & tagged["complete"]
    for run_id, uri, stage in connection.execute(select(SqlRun.run_uuid, SqlRun.artifact_uri, SqlRun.lifecycle_stage)):
        if uri:
            yield run_id, uri, run_id in complete and stage == "active"


def _holding(column: Column, statement: Statement) -> Statement:
    """A statement restricted to rows in which a column holds a location."""
    if column.table is SqlTraceTag.__table__:
        statement = statement.where(column.table.c.key == MLFLOW_ARTIFACT_LOCATION)
    return statement.where(column.is_not(None), column != "")


@contextmanager
def _opened() -> Iterator[Engine]:
    """The database of the tracking store; its errors become `InputError`."""
    uri = mlflow.get_tracking_uri().strip()
    credentials.note(uri)
    store = f"the tracking store {without_credentials(uri)}"
    if uri.split(":")[0].split("+")[0] not in DATABASE_ENGINES:
        raise InputError(
            f"{store} is not a database: set MLFLOW_TRACKING_URI to the server's own database (its --backend-store-uri, "
            "such as sqlite:////srv/mlflow.db) and run this command on the machine with the artifacts"
        )
    try:
        engine = sqlalchemy.create_engine(uri)
        file = engine.url.database
        if engine.dialect.name == "sqlite" and not (file and Path(file).is_file()):
            raise InputError(f"{store} is not there: set MLFLOW_TRACKING_URI to where the database is now")
        if not sqlalchemy.inspect(engine).has_table(SqlRun.__tablename__):
            raise InputError(f"{store} is not a database of MLflow")
        yield engine
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise InputError(
            f"{store} failed ({reason(error)}), and nothing was changed: stop what uses it, bring it to this version "
            "of MLflow (mlflow db upgrade) if it is older, and run the same command again"
        ) from None


def _refuse_too_long(connection: Connection, column: Column, target: str) -> None:
    limit = getattr(column.type, "length", None)
    if limit and len(target) > limit and connection.dialect.name != "sqlite":
        raise InputError(
            f"{target}: the database holds at most {limit} characters of a location, and nothing was changed: choose a shorter path"
        )


def _inside(uri: str, folder: str) -> PurePosixPath | None:
    """The path of a location relative to a folder or an address, by whole components; None where it is outside."""
    if bool(_scheme(uri)) != bool(_scheme(folder)):
        return None
    # A folder that a user names is not an address: nothing in it is decoded.
    path, root = PurePosixPath(_local(uri)), PurePosixPath(_local(folder) if folder.startswith("file:") else folder)
    return path.relative_to(root) if path.is_relative_to(root) else None


def _local(uri: str) -> str:
    """The path of a location on this machine's disk, as MLflow reads it; other addresses unchanged."""
    return uri if _scheme(uri) else local_file_uri_to_path(uri)


def _scheme(place: str) -> str:
    """The scheme of an address; empty for a location on this machine's disk."""
    scheme, colon, _ = place.partition(":")
    return scheme if colon and scheme != "file" and "/" not in scheme else ""


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (links are left as they are: a folder may have been replaced by one)


def _address(path: Path, like: str) -> str:
    return path.as_uri() if like.startswith("file:") or MISREAD & set(str(path)) else str(path)


def _in_words(uri: str) -> str:
    return without_credentials(uri) if _scheme(uri) else str(PurePosixPath(_local(uri)))


def _is_there(uri: str) -> bool:
    return all((Path(_local(uri)) / name).is_file() for name in (WEIGHTS, MEASUREMENTS))
