"""The right to run a study: one coordinator at a time has it, and shows by a heartbeat that it is alive.

A tracking store has no locks. A coordinator therefore first writes its claim to its own study run, and then looks for others twice:
before and after it declares that it holds the claim. Of two that start together, the one with the smaller run id proceeds; it can
happen that neither does, but never that both do (Lamport's bakery algorithm, without its waiting room).
"""

from __future__ import annotations

import json
import socket
import textwrap
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH
from rich.console import Console

from study.config import StudyConfig, ranges
from study.files.untrusted import json_object
from study.terminal.errors import InputError
from study.terminal.stopping import interrupt_main
from study.tracking.job import TOKEN, end_twins
from study.tracking.store import is_deleted, is_missing, search

BEAT = 10.0  # seconds between heartbeats
GRID = ("seeds", "hidden_sizes")  # the tags that say what a study is made of
CHUNK = 4000  # characters per tag; MLflow cuts or refuses more than 8,000
WATCH = 25.0  # seconds without a heartbeat after which a coordinator on another machine is taken for dead
SILENCE = 3600.0  # the same for a coordinator that only analyses: longer than two machines' clocks may differ


class Claim:
    """The claim of this process on the networks of a study.

    `tags` are for the study run that is about to be created. Studies with the same `regime` train the same networks, however they
    measure them; `earlier_regime` gives the key of earlier versions, from the parameters of a study's run. Order of calls: `look`,
    `hold`, then the context, in which the heartbeat runs, and in it `release` when all networks are stored. `lost_to` is the id of
    a study run that took this one for dead and superseded it; `deleted` says that the study run was deleted.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        config: StudyConfig,
        regime: str,
        console: Console,
        earlier_regime: Callable[[Mapping[str, str]], str] = lambda parameters: "",
    ):
        self.client, self.experiment, self.config, self.regime, self.console = client, experiment, config, regime, console
        self.earlier_regime = earlier_regime
        process = psutil.Process()
        who = {"host": socket.gethostname(), "process": process.pid, "since": process.create_time(), "machine": _machine()}
        self.tags = {
            "regime_key": regime,
            TOKEN: uuid4().hex,
            "coordinator": json.dumps(who),
            "heartbeat": _now(),
            "claim": "asked",
        } | _grid_tags(config)
        self.run_id = ""
        self.lost_to = ""
        self.deleted = False
        self._silent: set[tuple[str, str]] = set()  # run ids and heartbeats that did not change while they were watched
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def look(self, ahead: Callable[[Run], bool] = lambda run: True) -> list[Run]:
        """The unfinished studies that share networks with this one.

        Raises `InputError`, with its location, if one of those `ahead` has a live coordinator that trains.
        """
        if self.run_id:  # it may have been created twice
            end_twins(self.client, self.experiment, self.run_id, self.tags[TOKEN])
        others = [
            run
            for run in search(self.client, [self.experiment], "tags.kind = 'study'")
            if run.data.tags.get("regime_key") in (self.regime, self.earlier_regime(run.data.params))
            and run.data.tags.get(TOKEN) != self.tags[TOKEN]
            and _unfinished(run)
            and _overlaps(run, self.config)
            and not _analyses(run)
        ]
        for run in others:
            if ahead(run) and not has_released(run) and self._lives(run):
                who = _coordinator(run)
                raise InputError(
                    f"this study, or one with the same networks, is already running: run {run.info.run_id} on host "
                    f"{who.get('host')}, process {who.get('process')}, last heard of at {run.data.tags.get('heartbeat')}: wait "
                    "until it ends, or stop it first"
                )
        return others

    def hold(self, run_id: str) -> list[Run]:
        """Takes the claim for a study run; returns the unfinished studies that it supersedes. Raises as `look` does."""
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
        """Lets others use the networks: all are stored, and from now on they are only read."""
        self.client.set_tag(self.run_id, "claim", "released")

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=2)  # it may be waiting for a store that does not answer

    def _lives(self, run: Run) -> bool:
        """Whether the coordinator of a study run is alive.

        On this machine it is looked up among the processes. On another machine it is alive if its heartbeat changes while it is
        watched: the clocks of two machines cannot be compared.
        """
        if run.info.status != "RUNNING":
            return False
        who, beat = _coordinator(run), run.data.tags.get("heartbeat", "")
        if (seen := _process_lives(who)) is not None:
            return seen
        if (run.info.run_id, beat) in self._silent:
            return False
        self.console.print(
            f"study {run.info.run_id} on host {who.get('host')} did not end: watching its heartbeat for {WATCH:.0f} s",
            highlight=False,
        )
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
                # If this machine was asleep, another study may have superseded this one.
                by = self.client.get_run(self.run_id).data.tags.get("superseded_by", "")
                self.client.set_tag(self.run_id, "heartbeat", _now())  # fails for a deleted run
            except Exception as error:  # each kind of store raises its own exceptions; the next beat tries again
                with suppress(Exception):
                    self.deleted = is_missing(error) and is_deleted(self.client, self.run_id)
                if not self.deleted:
                    continue
            if (by or self.deleted) and not self._stop.is_set():
                self.lost_to = by
                interrupt_main()
                return


def has_released(run: Run) -> bool:
    """Whether a study had all its networks stored and released its claim, whatever became of it later."""
    return run.data.tags.get("claim") == "released"


def _analyses(run: Run) -> bool:
    """Whether a study that has all its networks is still analysing, as far as can be told without watching it."""
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
    """Whether a coordinator is among the processes of this machine; None where it was on another one, or is unknown."""
    if who.get("machine") != _machine():
        return None
    try:
        process = psutil.Process(who["process"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if abs(process.create_time() - who["since"]) < 1:  # otherwise another process has this id, or the clock was changed
            return True
    except psutil.NoSuchProcess:
        return False
    return None


def _unfinished(run: Run) -> bool:
    return run.info.status == "RUNNING" or (run.info.status != "FINISHED" and "superseded_by" not in run.data.tags)


def _grid_tags(config: StudyConfig) -> dict[str, str]:
    """Seeds and hidden sizes as tags; if a tag cannot hold all, it ends in a comma and another tag continues it."""
    tags = {}
    for name in GRID:
        lines = textwrap.wrap(ranges(getattr(config, name)).replace(",", ", "), CHUNK, break_long_words=False)
        tags |= {_chunk(name, number): line.replace(" ", "") for number, line in enumerate(lines)}
    return tags


def _overlaps(run: Run, config: StudyConfig) -> bool:
    """Whether a study shares networks with this one; assumed if its tags are unreadable or were cut off."""
    try:
        return all(_in_common(_grid_text(run, name), sorted(getattr(config, name))) for name in GRID)
    except ValueError:
        return True


def _in_common(text: str, ours: list[int]) -> bool:
    """Whether a list with ranges contains one of our numbers. It is not expanded: anyone may have written it."""
    for part in text.split(","):
        first, *last = map(int, part.split("-"))
        after = bisect_left(ours, first)
        if after < len(ours) and ours[after] <= (last or [first])[0]:
            return True
    return False


def _grid_text(run: Run, name: str) -> str:
    """The seeds or hidden sizes in a study run's tags; raises `ValueError` where they were cut off."""
    text, number = run.data.tags.get(name, ""), 0
    while text.endswith(",") and (more := run.data.tags.get(_chunk(name, number := number + 1))):
        text += more
    if number == 0 and len(text) >= MAX_TAG_VAL_LENGTH:  # earlier versions wrote one tag, which MLflow cut
        raise ValueError(f"{name} is cut off")
    return text


def _chunk(name: str, number: int) -> str:
    return f"{name}.{number}" if number else name


def _coordinator(run: Run) -> dict:
    """Who runs a study, from its tag; empty where the tag is unreadable."""
    try:
        who = json_object(run.data.tags["coordinator"])
    except (KeyError, ValueError):
        return {}
    kinds = {"host": str, "machine": str, "process": int, "since": float | int}
    return who if all(isinstance(who.get(name), kind) for name, kind in kinds.items()) else {}


def _machine() -> str:
    """An identifier of the space of process ids: the machine since its last boot, and the container."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not (boot.exists() and namespace.exists()):
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
    return f"{boot.read_text().strip()} {namespace.stat().st_ino}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
