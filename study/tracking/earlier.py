"""Reuse of networks from earlier studies of the experiment: found by training key, checked, and moved or copied."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.config import NetworkConfig
from study.files import artifact_paths
from study.files.untrusted import Refused, one_line
from study.networks.network import RecurrentNetwork
from study.record.keys import fused_network_key, record_key, training_key
from study.record.network_record import MEASUREMENTS, WEIGHTS, measured, read_measurements
from study.record.remeasuring import StoredNetwork, asked_key
from study.terminal.errors import InputError, StudyError
from study.tracking.claim import has_released
from study.tracking.store import DOWNLOADS, DamagedRecordError, fetch, is_lost, is_missing, not_there, search
from study.tracking.study_run import StudyRun, network_config


def complete_networks(client: MlflowClient, experiment: str, keys: Iterable[str], data_digest: str) -> dict[str, list[Run]]:
    """The complete runs of each training key that has any, newest first."""
    wanted, by_key = set(keys), {}
    for run in search(client, [experiment], "tags.kind = 'network' and tags.complete = 'true'"):
        key = _named_key(run, data_digest)
        if key in wanted and "digests" in run.data.tags:
            by_key.setdefault(key, []).append(run)
    return {key: sorted(runs, key=lambda run: run.info.start_time, reverse=True) for key, runs in by_key.items()}


def _named_key(run: Run, data_digest: str) -> str:
    """The training key of a run; for runs of earlier versions it is computed from the parameters, if these match the old key."""
    if "training_key" in run.data.tags:
        return run.data.tags["training_key"]
    try:
        config = network_config(run)
    except ValueError:
        return ""
    return training_key(config, data_digest) if run.data.tags.get("network_key") == fused_network_key(config, data_digest) else ""


def check_reachable(client: MlflowClient, experiment: str, keys: Iterable[str], data_digest: str) -> None:
    """Raises `StudyError` where the location of the artifacts of stored networks is not reachable.

    Such networks are not missing, and it would be a waste to train them again.
    """
    lost: dict[str, bool] = {}  # by the location that the runs share

    def is_there(run: Run) -> bool:
        place = artifact_paths.location(run.info.artifact_uri, run.info.run_id)
        if place not in lost:
            lost[place] = is_lost(client, run)
        return not lost[place]

    wanted = list(keys)
    complete = complete_networks(client, experiment, wanted, data_digest)
    if without := [runs[0] for runs in complete.values() if not any(map(is_there, runs))]:
        raise StudyError(
            f"the artifacts of {len(without)} stored networks ({len(wanted)} in all) cannot be reached: {not_there(without[0])}"
        )


def take(study: StudyRun, wanted: Mapping[str, NetworkConfig], say: Callable[[str], None]) -> tuple[set[str], list[StoredNetwork]]:
    """Puts the networks that earlier studies completed under this study's run. Returns the keys of those that it has now, and the
    networks that must be measured again because their records lack something.

    `wanted` are the networks of the study by training key. Networks of a study that stopped during training are moved, those of a
    study that has all its networks are copied. A run with a damaged artifact is named and skipped, even if only the record is
    damaged, since it holds the history of the training. Raises `StudyError` where an artifact cannot be reached.
    """
    client, digest = study.client, study.source.digest
    taken: set[str] = set()
    lacking: list[StoredNetwork] = []
    finished: dict[str, bool] = {}
    complete = complete_networks(client, study.experiment_id, wanted, digest)
    with ThreadPoolExecutor(DOWNLOADS) as pool, tempfile.TemporaryDirectory() as scratch:

        def fullest_whole(key: str) -> tuple[Run, Path, StoredNetwork] | None:
            """The first undamaged run whose record has all that is asked for, else the one that lacks least."""
            asked, best = asked_key(key, wanted[key]), None
            for run in sorted(complete[key], key=lambda run: run.data.tags.get("record_key") != asked):
                try:
                    folder = fetch(client, run, Path(scratch))
                    stored = _checked(run, folder, wanted[key], digest)
                except DamagedRecordError as damage:
                    say(f"{_words(run)}: {damage}; it is not reused")
                    continue
                if best is None or len(stored.lacks()) < len(best[2].lacks()):
                    best = run, folder, stored
                if not stored.lacks():
                    break
            return best

        for key, chosen in zip(complete, pool.map(fullest_whole, complete), strict=True):
            if chosen is None:
                continue
            run, folder, stored = chosen
            parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID, "")
            if parent not in finished:
                finished[parent] = _finished(client, parent)
            if stored.lacks():
                lacking.append(stored)
            else:
                if finished[parent]:
                    study.copy(run, folder, stored)
                else:
                    study.move(run, stored)
                taken.add(key)
            for looked_at in complete[key]:
                shutil.rmtree(Path(scratch) / looked_at.info.run_id, ignore_errors=True)
    study.log_counts()
    return taken, lacking


def _checked(run: Run, folder: Path, config: NetworkConfig, data_digest: str) -> StoredNetwork:
    """The network in a run's folder, with the `config` that is asked of it now.

    Raises `DamagedRecordError` where the files are not those of a network, or belong to another one: whoever can write a run's
    artifacts can also write their digests.
    """
    try:
        made = network_config(run)
        key = training_key(made, data_digest)
        if key != _named_key(run, data_digest):
            raise Refused("is not of the network that the run's parameters name")
        network = RecurrentNetwork.load(folder / WEIGHTS, reads=None)
        if network.hidden_size != made.hidden_size:
            raise Refused("is of another hidden size than its weights")
        record = read_measurements(folder / MEASUREMENTS)
        held = record_key(key, measured(record.attrs), made.blank_rows)
        if "training_key" in record.attrs:
            same = (record.attrs["training_key"], record.attrs.get("record_key")) == (key, held)
        else:
            same = record.attrs.get("network_key") == fused_network_key(made, data_digest)
        if not same:
            raise Refused("is of another network")
    except InputError as error:
        raise DamagedRecordError(f"{one_line(error)} in run {run.info.run_id}") from None
    except (ValueError, KeyError) as error:
        raise DamagedRecordError(f"{MEASUREMENTS} cannot be read in run {run.info.run_id} (it {one_line(error)})") from None
    return StoredNetwork(config, network, record, made.blank_rows, run.info.run_id)


def _words(run: Run) -> str:
    size, seed = (one_line(run.data.params.get(name, "?"), 20) for name in ("hidden_size", "seed"))
    return f"H={size} seed={seed}"


def _finished(client: MlflowClient, run_id: str) -> bool:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return False
    return run.info.status == "FINISHED" or has_released(run)
