"""Everything the report is made of: a study's dataset, its findings and one network's t-SNE."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from mlflow import MlflowClient

from analysis import runs
from analysis.embedding import embed, representative
from analysis.findings import Findings, evaluate, markdown
from study.data import load, prepare

FOLDER = "analysis"  # of the study run's artifacts
IMAGES_EMBEDDED = 2500


@dataclass(frozen=True)
class Analysis:
    """A study's `dataset` and `findings`, and the t-SNE `embedding` of the `representative` (hidden size, seed)."""

    dataset: xr.Dataset
    findings: Findings
    representative: tuple[int, int] | None
    embedding: xr.DataArray | None


def analyse(client: MlflowClient, study: str) -> Analysis:
    """Analyses a study (a run id, or ``latest``), afresh but for a stored t-SNE."""
    dataset = runs.load(study, client)
    chosen = representative(dataset)
    embedding = _embedding(client, dataset, chosen) if chosen else None
    return Analysis(dataset, evaluate(dataset), chosen, embedding)


def log(client: MlflowClient, analysis: Analysis) -> None:
    """Stores an analysis in MLflow: its files and verdicts on the study run, the bands on one run a hidden size."""
    study = runs.find(client, analysis.dataset.attrs["study"])
    with tempfile.TemporaryDirectory() as folder:
        save(analysis, Path(folder))
        runs.log_files(client, study.run_id, Path(folder), FOLDER)
    runs.log_description(client, study.run_id, markdown(analysis.dataset, analysis.findings))
    for size in sorted({band.hidden_size for band in analysis.findings.bands}):
        curves = {
            band.metric: (band.steps, {"mean": band.band.mean, "lower": band.band.lower, "upper": band.band.upper})
            for band in analysis.findings.bands if band.hidden_size == size
        }
        runs.log_aggregate(client, study, size, curves)


def save(analysis: Analysis, folder: Path) -> None:
    """Writes `dataset.nc`, `findings.csv` and `embedding.nc`, which open without this project."""
    folder.mkdir(parents=True, exist_ok=True)
    analysis.dataset.to_netcdf(folder / "dataset.nc", engine="h5netcdf")
    analysis.findings.table().to_csv(folder / "findings.csv", index=False)
    if analysis.embedding is not None:
        analysis.embedding.to_netcdf(folder / "embedding.nc", engine="h5netcdf")


def _embedding(client: MlflowClient, dataset: xr.Dataset, chosen: tuple[int, int]) -> xr.DataArray:
    size, seed = chosen
    run_id = str(dataset.run_id.sel(hidden_size=size, seed=seed).item())
    stored = runs.stored_array(client, dataset.attrs["study"], f"{FOLDER}/embedding.nc")
    if stored is not None and stored.attrs.get("run_id") == run_id:
        return stored
    config = runs.configuration(dataset)
    test = load(prepare(config["dataset"], Path(config["data_dir"])), train=False)
    return embed(runs.weights(run_id, client), test, IMAGES_EMBEDDED).assign_attrs(run_id=run_id)
