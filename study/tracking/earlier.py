"""Networks that earlier studies of the experiment trained: found by their key, checked by their digests, taken as they are."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xarray as xr
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from study.files import artifact_paths
from study.files.untrusted import Refused, one_line
from study.measurements import of_set
from study.networks.network import RecurrentNetwork
from study.record.network_record import MEASUREMENTS, WEIGHTS, measured, network_key, read_measurements
from study.terminal.errors import InputError, StudyError
from study.tracking.claim import has_released
from study.tracking.store import DOWNLOADS, DamagedRecordError, fetch, is_lost, is_missing, not_there, search
from study.tracking.study_run import StudyRun, network_config


def complete_networks(client: MlflowClient, experiment: str, keys: Iterable[str]) -> dict[str, list[Run]]:
    """The complete runs of each network key that has one, the newest first."""
    wanted, found = set(keys), {}
    for run in search(client, [experiment], "tags.kind = 'network' and tags.complete = 'true'"):
        key = run.data.tags.get("network_key")
        if key in wanted and "digests" in run.data.tags:
            found.setdefault(key, []).append(run)
    return {key: sorted(runs, key=lambda run: run.info.start_time, reverse=True) for key, runs in found.items()}


def check_reachable(client: MlflowClient, experiment: str, keys: Iterable[str]) -> None:
    """Raises `StudyError` where the place is not there in which the artifacts of networks lie that are stored already.

    Such networks are not missing, and it would be a waste to train them again.
    """
    lost: dict[str, bool] = {}  # by the place that their runs share

    def is_there(run: Run) -> bool:
        place = artifact_paths.location(run.info.artifact_uri, run.info.run_id)
        if place not in lost:
            lost[place] = is_lost(client, run)
        return not lost[place]

    wanted = list(keys)
    found = complete_networks(client, experiment, wanted)
    if without := [runs[0] for runs in found.values() if not any(map(is_there, runs))]:
        raise StudyError(
            f"the artifacts of {len(without)} stored networks, of {len(wanted)} in all, cannot be reached: {not_there(without[0])}"
        )


def take(study: StudyRun, keys: Iterable[str], say: Callable[[str], None]) -> set[str]:
    """Puts the networks that earlier studies completed under this study's run; the keys of those that it has now.

    A network of a study that stopped while it trained moves, one of a study that has all its networks is copied. An artifact that
    is not what was logged is named, and its run passed over; so are measurements that the study would make and that networks lack.
    Raises `StudyError` where an artifact cannot be reached.
    """
    client, taken = study.client, set()
    finished: dict[str, bool] = {}
    lacking: Counter[str] = Counter()
    found = complete_networks(client, study.experiment_id, keys)
    with ThreadPoolExecutor(DOWNLOADS) as pool, tempfile.TemporaryDirectory() as scratch:

        def first_whole(runs: list[Run]) -> tuple[Run, Path, xr.Dataset] | None:
            for run in runs:
                try:
                    folder = fetch(client, run, Path(scratch))
                    return run, folder, _checked(run, folder, study.source.digest)
                except DamagedRecordError as damage:
                    say(f"{_words(run)}: {damage}; it is not reused")
            return None

        for key, chosen in zip(found, pool.map(first_whole, found.values()), strict=True):
            if chosen is None:
                continue
            run, folder, measurements = chosen
            parent = run.data.tags.get(MLFLOW_PARENT_RUN_ID, "")
            if parent not in finished:
                finished[parent] = _finished(client, parent)
            if finished[parent]:
                study.copy(run, folder, measurements)
            else:
                study.move(run)
            taken.add(key)
            lacking.update(set(of_set(study.config.measurements)) - measured(measurements, measurements.attrs))
            if folder.is_relative_to(scratch):
                shutil.rmtree(folder)
    study.log_counts()
    for name, count in sorted(lacking.items()):
        networks = "1 stored network lacks" if count == 1 else f"{count} stored networks lack"
        say(
            f"{networks} the measurement {name}, which was added since: its values are missing there; resume=never measures all "
            "anew"
        )
    return taken


def _checked(run: Run, folder: Path, data_digest: str) -> xr.Dataset:
    """The measurements in a network's folder; raises `DamagedRecordError` where what lies there is no network's, or another's.

    Who can write a run's artifacts can write their digests, too.
    """
    key = run.data.tags["network_key"]
    try:
        if network_key(network_config(run), data_digest) != key:
            raise Refused("is not of the network that the run's parameters name")
        RecurrentNetwork.load(folder / WEIGHTS)
        measurements = read_measurements(folder / MEASUREMENTS)
        if measurements.attrs.get("network_key") != key:
            raise Refused("is of another network")
    except InputError as error:
        raise DamagedRecordError(f"{one_line(error)} in run {run.info.run_id}") from None
    except (ValueError, KeyError) as error:
        raise DamagedRecordError(f"{MEASUREMENTS} cannot be read in run {run.info.run_id} (it {one_line(error)})") from None
    return measurements


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
