"""The right to run a study: one coordinator at a time has it, and shows by a heartbeat that it lives.

A tracking store has no locks. A coordinator therefore writes its claim onto its own study run first and then looks for others,
twice: before it says that it holds the claim and after. Of two that start together the one with the smaller run id goes on; it can
happen that neither does, never that both do (Lamport's bakery, without its waiting room).
"""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from study.config import StudyConfig, integers, ranges
from study.errors import InputError
from study.tracking.store import is_deleted, is_missing, search

BEAT = 10.0  # seconds between two signs of life
WATCH = 25.0  # seconds without one after which a coordinator elsewhere is taken for dead
SILENCE = 3600.0  # seconds without one after which one that only analyses is: longer than clocks of two machines differ by


class Claim:
    """The claim of this process on the networks of a study.

    `tags` are for the study run that is about to be made. In the order of a study's life: `look`, `hold`, and then a context in
    which the heart beats. `lost_to` is the id of a study run that took this one for dead and superseded it.
    """

    def __init__(self, client: MlflowClient, experiment: str, config: StudyConfig, regime: str, console: Console):
        self.client, self.experiment, self.config, self.regime, self.console = client, experiment, config, regime, console
        process = psutil.Process()
        who = {"host": socket.gethostname(), "process": process.pid, "since": process.create_time(), "machine": _machine()}
        self.tags = {"regime_key": regime, "seeds": ranges(config.seeds), "hidden_sizes": ranges(config.hidden_sizes),
                     "coordinator": json.dumps(who), "heartbeat": _now(), "claim": "asked"}
        self.run_id = ""
        self.lost_to = ""
        self.deleted = False
        self._silent: set[tuple[str, str]] = set()  # run ids and heartbeats that were watched in vain
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def look(self, ahead: Callable[[Run], bool] = lambda run: True) -> list[Run]:
        """The studies with some of the same networks that stopped before their end.

        Raises `InputError`, saying where it runs, if one of those `ahead` has a living coordinator that trains.
        """
        found = search(self.client, [self.experiment], f"tags.kind = 'study' and tags.regime_key = '{self.regime}'")
        others = [run for run in found if run.info.run_id != self.run_id and _unfinished(run) and _overlaps(run, self.config)
                  and not _analyses(run)]
        for run in others:
            if ahead(run) and not has_released(run) and self._lives(run):
                who = _coordinator(run)
                raise InputError(
                    f"this study, or one with the same networks, is being run already: run {run.info.run_id} on host "
                    f"{who.get('host')}, process {who.get('process')}, last heard of at {run.data.tags.get('heartbeat')}: wait "
                    "until it ends, or stop it first")
        return others

    def hold(self, run_id: str) -> list[Run]:
        """Takes the claim for a study run; the unfinished studies that it is to supersede. Raises as `look` does."""
        self.run_id = run_id
        try:
            self.look(lambda other: other.data.tags.get("claim") == "held" or other.info.run_id < run_id)
            self.client.set_tag(run_id, "claim", "held")
            return self.look(lambda other: other.info.run_id < run_id)
        except InputError:
            self.client.set_terminated(run_id, "FAILED")
            self.client.set_tag(run_id, "kind", "refused")
            raise

    def release(self) -> None:
        """Lets others have the networks: all are stored, and what follows only reads them."""
        self.client.set_tag(self.run_id, "claim", "released")

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=2)  # it may be waiting for a store that does not answer

    def _lives(self, run: Run) -> bool:
        """Whether the coordinator of a study run lives.

        One on this machine is looked up among the processes. One elsewhere lives if its heartbeat moves while it is watched:
        clocks of two machines cannot be compared.
        """
        if run.info.status != "RUNNING":
            return False
        who, beat = _coordinator(run), run.data.tags.get("heartbeat", "")
        if (seen := _process_lives(who)) is not None:
            return seen
        if (run.info.run_id, beat) in self._silent:
            return False
        self.console.print(f"study {run.info.run_id} on host {who.get('host')} did not end: watching {WATCH:.0f} s for a sign of "
                           "life", highlight=False)
        begun = time.monotonic()
        while time.monotonic() - begun < WATCH:
            time.sleep(1)
            now = self.client.get_run(run.info.run_id)
            if now.info.status != "RUNNING":
                return False
            if now.data.tags.get("heartbeat", "") != beat:
                return True
        self._silent.add((run.info.run_id, beat))
        return False

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            by = ""
            try:
                # One that was asleep, with the machine it runs on, may have been superseded meanwhile.
                by = self.client.get_run(self.run_id).data.tags.get("superseded_by", "")
                self.client.set_tag(self.run_id, "heartbeat", _now())  # which a run that was deleted does not take
            except Exception as error:  # each kind of store raises its own; the next beat tries again
                with suppress(Exception):
                    self.deleted = is_missing(error) and is_deleted(self.client, self.run_id)
                if not self.deleted:
                    continue
            if (by or self.deleted) and not self._stop.is_set():
                self.lost_to = by
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                return


def has_released(run: Run) -> bool:
    """Whether a study, whatever became of it since, had all its networks stored and let others have them."""
    return run.data.tags.get("claim") == "released"


def _analyses(run: Run) -> bool:
    """Whether a study that has all its networks still draws and typesets, as far as can be told without watching it."""
    if run.info.status != "RUNNING" or not has_released(run):
        return False
    if (seen := _process_lives(_coordinator(run))) is not None:
        return seen
    try:
        last = datetime.fromisoformat(run.data.tags["heartbeat"])
        return (datetime.now(UTC) - last).total_seconds() < SILENCE
    except (KeyError, ValueError, TypeError):
        return False


def _process_lives(who: dict) -> bool | None:
    """Whether a coordinator is among the processes of this machine; None where it was on another, or cannot be told."""
    if who.get("machine") != _machine():
        return None
    try:
        process = psutil.Process(who["process"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if abs(process.create_time() - who["since"]) < 1:  # else another process, or the clock was set
            return True
    except psutil.NoSuchProcess:
        return False
    return None


def _unfinished(run: Run) -> bool:
    return run.info.status == "RUNNING" or (run.info.status != "FINISHED" and "superseded_by" not in run.data.tags)


def _overlaps(run: Run, config: StudyConfig) -> bool:
    try:
        theirs = [set(integers(run.data.tags[name])) for name in ("seeds", "hidden_sizes")]
    except (KeyError, ValueError):
        return False
    return bool(theirs[0] & set(config.seeds) and theirs[1] & set(config.hidden_sizes))


def _coordinator(run: Run) -> dict:
    try:
        return dict(json.loads(run.data.tags["coordinator"]))
    except (KeyError, ValueError, TypeError):
        return {}


def _machine() -> str:
    """What tells apart where processes are numbered: the machine since it was started, and the container."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not (boot.exists() and namespace.exists()):
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
    return f"{boot.read_text().strip()} {namespace.stat().st_ino}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
