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
from datetime import UTC, datetime
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from study.config import StudyConfig, integers
from study.errors import InputError
from study.tracking.store import search
from study.tracking.study_run import StudyRun, end_children

BEAT = 10.0  # seconds between two signs of life
WATCH = 25.0  # seconds without one after which a coordinator elsewhere is taken for dead


def claim_tags(regime: str) -> dict[str, str]:
    """The tags of a study run that is about to be claimed by this process."""
    process = psutil.Process()
    who = {"host": socket.gethostname(), "process": process.pid, "since": process.create_time(), "namespace": _namespace()}
    return {"regime_key": regime, "coordinator": json.dumps(who), "heartbeat": _now(), "claim": "asked"}


def unfinished(client: MlflowClient, experiment: str, regime: str, config: StudyConfig) -> list[Run]:
    """The studies that did not finish and share networks with the one configured."""
    found = search(client, [experiment], f"tags.kind = 'study' and tags.regime_key = '{regime}'")
    stopped = [run for run in found if run.info.status != "FINISHED" and "superseded_by" not in run.data.tags]
    return [run for run in stopped if _overlaps(run, config)]


def refuse_beside(client: MlflowClient, runs: list[Run], console: Console) -> None:
    """Raises `InputError`, saying where it runs, if one of the study runs has a living coordinator."""
    for run in runs:
        if lives(client, run, console):
            who = _coordinator(run)
            raise InputError(f"this study, or one with the same networks, is being run already: run {run.info.run_id} on host "
                             f"{who.get('host')}, process {who.get('process')}, last heard of at {run.data.tags['heartbeat']}: "
                             "wait until it ends, or stop it first")


def lives(client: MlflowClient, run: Run, console: Console) -> bool:
    """Whether the coordinator of a study run lives.

    One on this machine is looked up among the processes. One elsewhere lives if its heartbeat moves while it is watched: clocks
    of two machines cannot be compared.
    """
    if run.info.status != "RUNNING":
        return False
    who = _coordinator(run)
    if (who.get("host"), who.get("namespace")) == (socket.gethostname(), _namespace()):
        try:
            return abs(psutil.Process(who["process"]).create_time() - who["since"]) < 1
        except psutil.NoSuchProcess:
            return False
    console.print(f"study {run.info.run_id} on host {who.get('host')} did not end: watching {WATCH:.0f} s for a sign of life",
                  highlight=False)
    begun = time.monotonic()
    while time.monotonic() - begun < WATCH:
        time.sleep(1)
        now = client.get_run(run.info.run_id)
        if now.info.status != "RUNNING":
            return False
        if now.data.tags.get("heartbeat") != run.data.tags.get("heartbeat"):
            return True
    return False


class Claim:
    """The claim of this process on a study run, in a context; the heartbeat goes on until it is left."""

    def __init__(self, study: StudyRun, console: Console):
        self.study, self.console = study, console
        self.lost = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def hold(self, regime: str) -> list[Run]:
        """Takes the claim; returns the unfinished studies it supersedes. Raises `InputError` where another process was first."""
        self._give_way(regime, lambda other: other.data.tags.get("claim") == "held")
        self.study.client.set_tag(self.study.run_id, "claim", "held")
        return self._give_way(regime, lambda other: False)

    def _give_way(self, regime: str, first) -> list[Run]:
        study = self.study
        others = [run for run in unfinished(study.client, study.experiment_id, regime, study.config)
                  if run.info.run_id != study.run_id]
        ahead = [run for run in others if first(run) or run.info.run_id < study.run_id]
        try:
            refuse_beside(study.client, ahead, self.console)
        except InputError:
            study.client.set_tag(study.run_id, "kind", "refused")
            raise
        return others

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=2)  # it may be waiting for a store that does not answer

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                # One that was asleep, with the machine it runs on, may have been superseded meanwhile.
                by = self.study.client.get_run(self.study.run_id).data.tags.get("superseded_by")
                self.study.client.set_tag(self.study.run_id, "heartbeat", _now())
            except Exception:  # (each kind of store raises its own; the next beat tries again)
                continue
            if by and not self._stop.is_set():
                self.lost = by
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                return


def supersede(study: StudyRun, runs: list[Run]) -> None:
    """Marks studies that stopped, and what they left running, as superseded by this one; nothing is deleted."""
    for run in runs:
        study.client.set_tag(run.info.run_id, "superseded_by", study.run_id)
        if run.info.status == "RUNNING":
            study.client.set_terminated(run.info.run_id, "KILLED")
        end_children(study.client, study.experiment_id, run.info.run_id, superseded_by=study.run_id)


def _overlaps(run: Run, config: StudyConfig) -> bool:
    try:
        theirs = [set(integers(run.data.params[name])) for name in ("seeds", "hidden_sizes")]
    except (KeyError, ValueError):
        return False
    return bool(theirs[0] & set(config.seeds) and theirs[1] & set(config.hidden_sizes))


def _coordinator(run: Run) -> dict:
    try:
        return dict(json.loads(run.data.tags["coordinator"]))
    except (KeyError, ValueError, TypeError):
        return {}


def _namespace() -> int:
    """Tells containers that share a host name apart: their processes are numbered each for itself."""
    here = Path("/proc/self/ns/pid")
    return here.stat().st_ino if here.exists() else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
