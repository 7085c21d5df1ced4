"""Results on their way to the tracking store: kept on this machine's disk until the store has them.

There is one folder per study, named by its run id, with `study.json` and one folder per result, named by its record key. A result's
folder is created under another name and renamed when it is complete; its `result.json` holds the digests of the other files.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from study.config import NetworkConfig, StudyConfig
from study.data.places import CACHE
from study.files import durable, untrusted
from study.files.untrusted import MOST_TEXT, json_object, one_line, strings
from study.record.keys import fused_network_key, training_key
from study.record.network_record import LARGEST_FILE, MEASUREMENTS, WEIGHTS, Failure, NetworkRecord, provenance, write_measurements

FOLDER = CACHE / "spool"
STUDY, RESULT, LOCK = "study.json", "result.json", "lock"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One network's result on disk.

    Attributes: `folder`, which holds the weights and the measurements; the network's training `key` and its `config`; `started` and
    `ended` in seconds since 1970; `digests`, the sha256 of each file by name; `failure`, the reason of a network that has no
    result; `remeasured_from`, as in `NetworkRecord`.
    """

    folder: Path
    key: str
    config: NetworkConfig
    started: float
    ended: float
    digests: dict[str, str]
    failure: str | None
    remeasured_from: str = ""


class Spool:
    """The results of one study; in use by one process at a time."""

    def __init__(self, study: str):
        """Opens or creates the spool of a study's run id; raises `filelock.Timeout` where another process uses it."""
        self.study = study
        self.folder = FOLDER / study
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / LOCK)
            self._lock.acquire(timeout=0)
        except OSError as error:
            if isinstance(error, Timeout):
                raise
            raise durable.cannot_write(self.folder, error) from None
        for torn in self.folder.glob("*.part"):
            _discard(torn)

    def describe(self, config: StudyConfig, data_digest: str) -> None:
        """Stores the study's configuration, so that its results can be logged later."""
        content = {"config": config.model_dump(mode="json"), "data_digest": data_digest}
        durable.write(self.folder / STUDY, json.dumps(content).encode())

    def description(self) -> tuple[StudyConfig, str] | None:
        """The study's configuration and data digest; None where they were not stored."""
        try:
            content = json_object(untrusted.content(self.folder / STUDY, MOST_TEXT))
            return StudyConfig(**content["config"]), str(content["data_digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def add(self, result: NetworkRecord | Failure, data_digest: str) -> Entry:
        """Stores a result durably. Raises `StudyError` where it cannot be written."""
        attributes = provenance(result, data_digest) if isinstance(result, NetworkRecord) else {}
        name = attributes.get("record_key") or training_key(result.config, data_digest)
        target, folder = self.folder / name, self.folder / f".{name}.part"
        content = {
            "config": result.config.model_dump(mode="json"),
            "data_digest": data_digest,
            "started": result.started,
            "ended": result.ended,
            "digests": {},
            "failure": result.reason if isinstance(result, Failure) else None,
            "remeasured_from": result.remeasured_from if isinstance(result, NetworkRecord) else "",
        }
        _discard(folder)
        _discard(target)
        try:
            if isinstance(result, NetworkRecord):
                result.network.save(folder / WEIGHTS, result.reads)
                write_measurements(result.measurements.assign_attrs(attributes), folder / MEASUREMENTS)
                content["digests"] = {name: durable.digest(folder / name) for name in (WEIGHTS, MEASUREMENTS)}
            durable.write(folder / RESULT, json.dumps(content).encode())
            durable.sync_folder(folder)
            folder.rename(target)
            durable.sync_folder(self.folder)
        except OSError as error:
            raise durable.cannot_write(target, error) from None
        finally:
            _discard(folder)
        return self._read(target)

    def entries(self) -> list[Entry]:
        """All intact results, oldest first; damaged ones are set aside with a warning."""
        entries = []
        for folder in self.folder.iterdir():
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            try:
                entries.append(self._read(folder))
            except (OSError, ValueError, KeyError, TypeError) as error:
                aside = folder.with_name(f".{folder.name}.set-aside")
                _discard(aside)
                folder.rename(aside)
                log.warning(
                    "result %s cannot be used (%s): set aside as %s, its network is trained again", folder, error, aside.name
                )
        return sorted(entries, key=lambda entry: entry.ended)

    def take(self, entry: Entry) -> Entry:
        """Moves a result of another study's spool into this one."""
        target = self.folder / entry.folder.name
        _discard(target)
        entry.folder.rename(target)
        return replace(entry, folder=target)

    def close(self) -> None:
        """Releases the spool, and removes it if it is empty."""
        if not any(path.is_dir() for path in self.folder.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _read(self, folder: Path) -> Entry:
        content = json_object(untrusted.content(folder / RESULT, MOST_TEXT))
        digests, failure = strings(dict(content["digests"])), content["failure"]
        if set(digests) != (set() if failure else {WEIGHTS, MEASUREMENTS}) or not isinstance(failure, str | None):
            raise ValueError("it is not whole, or names other files than a result has")
        for name, expected in digests.items():
            if untrusted.digest(folder / name, LARGEST_FILE) != expected:
                raise ValueError(f"{name} is altered")
        config = NetworkConfig(**content["config"])
        # A result that was written before there were two keys does not name its data.
        data_digest = content.get("data_digest") or self._data_digest_of(folder.name, config)
        return Entry(
            folder,
            training_key(config, str(data_digest)),
            config,
            float(content["started"]),
            float(content["ended"]),
            digests,
            failure,
            one_line(content.get("remeasured_from", ""), 100),
        )

    def _data_digest_of(self, name: str, config: NetworkConfig) -> str:
        described = self.description()
        if described is None or name != fused_network_key(config, described[1]):
            raise ValueError("it does not say which network it is of")
        return described[1]


def remove(entry: Entry) -> None:
    """Removes a result that the tracking store has."""
    _discard(entry.folder)


def abandoned() -> Iterator[Spool]:
    """The spools that no process uses; each is open while it is yielded."""
    if not FOLDER.is_dir():
        return
    for folder in sorted(FOLDER.iterdir()):
        if not (folder / STUDY).exists():
            continue  # one that is being made
        try:
            spool = Spool(folder.name)
        except Timeout:
            continue
        try:
            yield spool
        finally:
            spool.close()


def in_use(study: str) -> bool:
    """Whether a process uses the spool of a study's run id."""
    if not (FOLDER / study).is_dir():
        return False
    try:
        Spool(study).close()
    except Timeout:
        return True
    return False


def _discard(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        with suppress(FileNotFoundError):
            folder.unlink()
