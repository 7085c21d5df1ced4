"""A page for each network's own run in MLflow."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from joblib import Parallel, delayed
from mlflow import MlflowClient

from reports.figures.network import network
from reports.figures.style import styled
from study.tracking import results

PAGE = "network.png"
FEWEST = 16  # pages that are worth the start of other processes


def log_pages(client: MlflowClient, dataset: xr.Dataset, hidden_size: int | None = None, jobs: int = 1) -> int:
    """Draws and logs a page for every network of a study's dataset, or of one hidden size, that does not have one; returns how
    many. Many pages are drawn by `jobs` processes (-1: one a core)."""
    records = list(_without_page(client, dataset, hidden_size))
    draw = Parallel(n_jobs=jobs if len(records) >= FEWEST else 1, return_as="generator")
    pages: Any = draw(delayed(_page)(record.drop_vars("run_id")) for record in records)
    for record, page in zip(records, pages, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / PAGE).write_bytes(page)
            results.log_files(client, str(record.run_id.item()), Path(folder))
    return len(records)


def _without_page(client: MlflowClient, dataset: xr.Dataset, hidden_size: int | None) -> Iterator[xr.Dataset]:
    """The networks of a dataset, or of one hidden size, whose runs have no page yet."""
    chosen = (dataset.run_id != "") & ((dataset.hidden_size == hidden_size) if hidden_size is not None else True)
    for size, seed in zip(*np.nonzero(chosen.transpose("hidden_size", "seed").values), strict=True):
        record = dataset.isel(hidden_size=int(size), seed=int(seed))
        if not results.holds(client, str(record.run_id.item()), PAGE):
            yield record


def _page(record: xr.Dataset) -> bytes:
    """The page of a network as PNG."""
    with styled(), io.BytesIO() as file:
        network(record).savefig(file, format="png", dpi=150, metadata={"Software": None})
        return file.getvalue()
