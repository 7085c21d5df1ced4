"""A page for each network's own run in MLflow."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from mlflow import MlflowClient

from reports.figures.network import network
from reports.figures.style import styled
from study.tracking import results

PAGE = "network.png"


def log_pages(client: MlflowClient, dataset: xr.Dataset, hidden_size: int | None = None) -> int:
    """Draws and logs a page for every network of a study's dataset, or of one hidden size, that does not have one; returns how
    many."""
    drawn = 0
    chosen = (dataset.run_id != "") & ((dataset.hidden_size == hidden_size) if hidden_size is not None else True)
    for size, seed in zip(*np.nonzero(chosen.transpose("hidden_size", "seed").values), strict=True):
        record = dataset.isel(hidden_size=int(size), seed=int(seed))
        run_id = str(record.run_id.item())
        if results.holds(client, run_id, PAGE):
            continue
        with tempfile.TemporaryDirectory() as folder, styled():
            network(record.drop_vars("run_id")).savefig(Path(folder) / PAGE, dpi=150, metadata={"Software": None})
            results.log_files(client, run_id, Path(folder))
        drawn += 1
    return drawn
