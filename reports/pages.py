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


def log_pages(client: MlflowClient, dataset: xr.Dataset) -> None:
    """Draws and logs a page for every network of a study's dataset that does not have one."""
    for size, seed in zip(*np.nonzero(dataset.run_id.values != ""), strict=True):
        record = dataset.isel(hidden_size=int(size), seed=int(seed))
        run_id = str(record.run_id.item())
        if results.holds(client, run_id, PAGE):
            continue
        with tempfile.TemporaryDirectory() as folder, styled():
            network(record.drop_vars("run_id")).savefig(Path(folder) / PAGE, dpi=150, metadata={"Software": None})
            results.log_files(client, run_id, Path(folder))
