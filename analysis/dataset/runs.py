"""The one module of `analysis` that reads from MLflow: a study's runs in, one labelled dataset out."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from analysis.dataset import records
from analysis.dataset.provenance import Place, made_differently
from analysis.dataset.settings import stored_settings
from study.data.sources import known_as
from study.files import durable, netcdf
from study.files.untrusted import MOST_TEXT, Refused, one_line
from study.measurements import SETS, names_in_set
from study.networks.network import RecurrentNetwork
from study.record.network_record import MEASUREMENTS, RECORD_VERSION, WEIGHTS, versions
from study.terminal.errors import InputError
from study.tracking.store import (
    DOWNLOADS,
    DamagedRecordError,
    UnreachableError,
    children,
    fetch,
    is_missing,
    marks,
    stored_content,
    stored_file,
)

PLACE = re.compile("[0-9]{1,19}", re.ASCII)  # a hidden size or a seed, as a parameter of a run
# Settings that all networks of a study share. `measurements` is not among them: a record may hold more than was asked for. Neither
# are `rows` and `order`: the images' own number is the same as all, and the digest of the data tells others apart.
ALIKE = ("cell", "epochs", "learning_rate", "batch_size", "dataset", "train_images", "trailing_blanks", "blank_rows", "precision")
REGIME = (*ALIKE, "rows", "order", "measurements")  # the studies of a sweep differ in one of these


@dataclass(frozen=True)
class Study:
    """A study as it is stored: its run, its configuration and its network runs (newest last)."""

    run: Run
    config: dict
    networks: list[Run]

    @property
    def run_id(self) -> str:
        return self.run.info.run_id


def find(client: MlflowClient, study: str) -> Study:
    """The study with this run id, or the `latest` one; raises `InputError` where there is none."""
    if study == "latest":
        run = _latest(client)
    else:
        try:
            run = client.get_run(study)
        except MlflowException as error:
            if not is_missing(error):
                raise
            raise InputError(f"study={study}: the tracking store has no such run; expected a study's run id, or latest") from None
        if run.data.tags.get("kind") != "study":
            kind = run.data.tags.get("kind", "not part of a study")
            raise InputError(f"study={study}: this run is not a study (its kind: {kind}); expected a study's run id, or latest")
        if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
            raise InputError(
                f"study={study}: this study is deleted; restore it (mlflow runs restore --run-id {study}, or with its "
                f"experiment, mlflow experiments restore -x {run.info.experiment_id}), or name another"
            )
    try:
        config = stored_settings(stored_content(client, run, "study.json", MOST_TEXT))
    except (DamagedRecordError, Refused) as error:
        raise InputError(
            f"study={run.info.run_id}: its configuration (study.json) is missing or unreadable ({one_line(error)}); "
            "expected another study's run id"
        ) from None
    nested = children(client, run.info.experiment_id, run.info.run_id)
    networks = [child for child in nested if child.data.tags.get("kind") == "network"]
    return Study(run, config, sorted(networks, key=lambda child: child.info.start_time))


def load(study: str = "latest", client: MlflowClient | None = None) -> xr.Dataset:
    """Every measured array of a study over (`hidden_size`, `seed`, ...), missing networks as NaN.

    Parameters: `study`, a run id or ``latest``. The dataset holds each variable of the networks' records as float64, and `run_id`
    (empty where a network is missing). Its attributes are the study's run id, its configuration, the data's digest and, as JSON,
    the versions and kinds of device with the networks made by each (`analysis.dataset.provenance`) and the missing networks with
    the reason. Raises `InputError` where there is no such study.
    """
    client = client or MlflowClient()
    stored = find(client, study)
    sizes, seeds = stored.config["hidden_sizes"], stored.config["seeds"]
    complete, reasons = _by_place(stored)
    _check_regime(stored, complete)
    expected = _expected(stored.config)
    key = records.cache_key(
        [sizes, seeds, versions(), expected, [[*place, *marks(run)] for place, run in sorted(complete.items())]]
    )
    dataset, damage = records.cached(key), {}
    if dataset is None:
        dataset, damage = _read(client, complete, stored.config, expected)
        reasons |= damage
        ended = len(complete) + len(reasons) >= len(sizes) * len(seeds)  # a running study would fill the cache with datasets
        if ended and not damage:
            records.keep(key, dataset)
    run, there = stored.run, {place: run.info.run_id for place, run in complete.items() if place not in damage}
    ids = [[there.get((size, seed), "") for seed in seeds] for size in sizes]
    dataset["run_id"] = (("hidden_size", "seed"), np.array(ids, dtype=object).astype(str))
    missing = {
        records.in_words((size, seed)): reasons.get((size, seed), "no run")
        for size in sizes
        for seed in seeds
        if (size, seed) not in there
    }
    return dataset.assign_attrs(
        study=stored.run_id,
        study_name=run.data.tags.get(MLFLOW_RUN_NAME, ""),
        config=json.dumps(stored.config),
        missing=json.dumps(missing),
        record_version=RECORD_VERSION,
    )


def load_sweep(studies: Sequence[str], over: str, client: MlflowClient | None = None) -> xr.Dataset:
    """Several studies as one dataset, along a dimension named after the setting in which they differ.

    Parameters: run ids of `studies`; `over`, the setting, such as ``learning_rate``. The attributes are JSON lists of the studies'
    own attributes. Raises `InputError` where the studies differ in any other setting that decides what a network becomes, or do not
    differ in this one; warns where their networks were not all made by the same versions on the same kind of device.
    """
    client = client or MlflowClient()
    datasets = [load(study, client) for study in studies]
    configs = [configuration(dataset) for dataset in datasets]
    if over not in REGIME:
        raise InputError(f"over={over}: expected one of: {', '.join(REGIME)}")
    check_alike(configs, over)
    for line in made_differently(*datasets):
        warnings.warn(line, stacklevel=2)
    apart = [dataset.drop_attrs().expand_dims({over: [config[over]]}) for dataset, config in zip(datasets, configs, strict=True)]
    joined = xr.concat(apart, over, join="outer", fill_value={"run_id": ""}, data_vars="all")
    for dataset in datasets:
        for name, variable in dataset.data_vars.items():
            joined[name].attrs.update(variable.attrs)
    lists = {name: json.dumps([dataset.attrs[name] for dataset in datasets]) for name in datasets[0].attrs}
    return joined.assign_attrs(lists)


def check_alike(configs: Sequence[dict], over: str) -> None:
    """Raises `InputError` where studies do not differ in one setting, or differ in another that decides what a network becomes."""
    for name in sorted(REGIME, key=lambda name: name == over):
        values = [config.get(name) for config in configs]
        if name == over and len(set(values)) < len(values):
            raise InputError(f"over={over}: the studies have {', '.join(map(str, values))}; expected a different value for each")
        if name != over and len(set(values)) > 1:
            raise InputError(
                f"the studies also differ in {name} ({', '.join(map(str, values))}): expected studies that differ only in {over}"
            )


def _check_regime(study: Study, complete: dict[Place, Run]) -> None:
    """Raises `InputError` where a network was made with other settings than the study's: it cannot be averaged with the others."""
    for (size, seed), run in complete.items():
        for name in ALIKE:
            given, used = str(study.config.get(name)), run.data.params.get(name)
            expected = known_as(given) if name == "dataset" else given
            if used is not None and used != expected:
                raise InputError(
                    f"study={study.run_id}: H={size} seed={seed} (run {run.info.run_id}) has "
                    f"{name}={one_line(used, 50)} where the study has {expected}: expected networks with the same settings; "
                    "move it to a study of its own"
                )


def _by_place(study: Study) -> tuple[dict[Place, Run], dict[Place, str]]:
    """The complete run of each network (the newest of several), and for each network without one the reason."""
    complete, reasons = {}, {}
    for run in study.networks:
        place = _place(run)
        if place is None or place[0] not in study.config["hidden_sizes"] or place[1] not in study.config["seeds"]:
            continue  # a store that failed while a run was logged leaves one without parameters; another run replaces it
        if run.data.tags.get("complete") == "true":
            complete[place] = run
        elif place not in complete:
            reasons[place] = one_line(run.data.tags.get("failure", f"its run is {run.info.status.lower()} and incomplete"))
    return complete, {place: why for place, why in reasons.items() if place not in complete}


def _place(run: Run) -> Place | None:
    """The hidden size and seed in a network run's parameters; None where they are missing or malformed."""
    size, seed = (run.data.params.get(name, "") for name in ("hidden_size", "seed"))
    return (int(size), int(seed)) if PLACE.fullmatch(size) and PLACE.fullmatch(seed) else None


def _expected(config: dict) -> list[str]:
    """The measurements that a study asks for, as far as they are known."""
    return names_in_set(config["measurements"]) if config["measurements"] in SETS else []


def _read(
    client: MlflowClient, complete: dict[Place, Run], config: dict, expected: list[str]
) -> tuple[xr.Dataset, dict[Place, str]]:
    """The records of network runs as one dataset, and what is wrong with the records that are left out.

    Raises `StudyError` where no record could be reached.
    """
    files, damage, away = {}, {}, {}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(DOWNLOADS) as pool:

        def fetched(run: Run) -> Path | str | UnreachableError:
            try:
                return fetch(client, run, Path(scratch)) / MEASUREMENTS
            except DamagedRecordError as error:
                return f"{error}; run the study again to train it anew"
            except UnreachableError as error:
                return error

        for place, file in zip(complete, pool.map(fetched, complete.values()), strict=True):
            if isinstance(file, Path):
                files[place] = file
            elif isinstance(file, str):
                damage[place] = file
            else:
                away[place] = file
        if away and not files:
            raise next(iter(away.values()))
        dataset, unreadable = records.stack(files, config["hidden_sizes"], config["seeds"], records.GROUPS[0], expected)
        damage |= {place: f"{words}; run the study again to train it anew" for place, words in unreadable.items()}
        damage |= {place: one_line(error) for place, error in away.items()}
    return dataset, damage


def weights(run_id: str, client: MlflowClient | None = None) -> RecurrentNetwork:
    """The trained network of a network run; raises `InputError` where its artifacts are not what was logged."""
    client = client or MlflowClient()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return RecurrentNetwork.load(fetch(client, client.get_run(run_id), Path(scratch)) / WEIGHTS, reads=None)
        except DamagedRecordError as error:
            raise InputError(f"{error}: run the study again to train this network anew") from None


def stored_dataset(client: MlflowClient, run_id: str, path: str) -> xr.Dataset | None:
    """A dataset that was logged as a netCDF artifact of a run; None where it is missing or unreadable."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return netcdf.read(stored_file(client, client.get_run(run_id), path, Path(scratch), netcdf.LARGEST))
        except (DamagedRecordError, OSError, ValueError):
            return None


def stored_bytes(client: MlflowClient, run_id: str, path: str, most: int) -> bytes | None:
    """The content of an artifact of a run; None where it is missing, unreadable or larger than `most` bytes."""
    try:
        return stored_content(client, client.get_run(run_id), path, most)
    except (DamagedRecordError, UnreachableError):
        return None


def configuration(dataset: xr.Dataset) -> dict:
    """The configuration of the study a dataset was loaded from."""
    return json.loads(dataset.attrs["config"])


def _latest(client: MlflowClient) -> Run:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.kind = 'study'", max_results=1, order_by=["start_time DESC"])
    if not runs:
        raise InputError("study=latest: the tracking store holds no study; run one with: make study")
    return runs[0]


def save_tables(dataset: xr.Dataset, folder: Path) -> None:
    """Writes a dataset as CSV, one file per set of dimensions beside hidden size and seed: `networks.csv`, `by_time_step.csv`,
    `by_time_step_label.csv` and so on.
    """
    groups: dict[tuple, list[str]] = {}
    for name, variable in dataset.data_vars.items():
        groups.setdefault(tuple(dim for dim in variable.dims if dim not in ("hidden_size", "seed")), []).append(str(name))
    for dims, names in groups.items():
        frame = dataset[names].to_dataframe().reset_index()
        measured = [name for name in names if name != "run_id"]
        frame = frame.dropna(subset=measured, how="all") if measured else frame
        durable.write(folder / f"{'by_' if dims else 'networks'}{'_'.join(map(str, dims))}.csv", frame.to_csv(index=False).encode())


def table(dataset: xr.Dataset, name: str) -> pd.DataFrame:
    """One variable as a long table: one row per value, one column per dimension; missing networks are left out."""
    return dataset[name].to_dataframe().reset_index().dropna(subset=[name])
