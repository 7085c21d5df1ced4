"""What every finding on 1,000 networks costs, to make and to read back, and a report on 200.

``python -m benchmarks.findings --study latest``.

The networks are drawn with replacement from a stored study's, all measured variables with them, and a little noise is added, so
that no two are equal.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from mlflow import MlflowClient

from analysis.claims import stored
from analysis.claims.findings import evaluate
from analysis.study_analysis import analyse
from benchmarks.machine import describe
from reports.typesetting.pdf import build_report

NETWORKS, REPORTED = 1000, 200


def enlarged(dataset: xr.Dataset, networks: int, rng: np.random.Generator) -> xr.Dataset:
    """A dataset of `networks` networks, as many of each hidden size as can be."""
    each = networks // dataset.sizes["hidden_size"]
    present = np.flatnonzero((dataset.run_id.values != "").all(axis=0))
    drawn = dataset.isel(seed=rng.choice(present, each)).assign_coords(seed=np.arange(each))
    for name, variable in drawn.data_vars.items():
        if variable.dtype.kind == "f" and name != "attractor_kind":
            drawn[name] = variable * (1 + 1e-3 * rng.standard_normal(variable.shape))
            drawn[name].attrs = variable.attrs
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="latest", help="the stored study to draw networks from")
    given = parser.parse_args()
    study = analyse(MlflowClient(), given.study)
    dataset = enlarged(study.dataset, NETWORKS, np.random.default_rng(0))
    begun = time.perf_counter()
    found = evaluate(dataset)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(describe())
    print(
        f"{dataset.run_id.size} networks, {dataset.nbytes / 2**20:.0f} MiB of measurements: {len(found.ledger)} findings and "
        f"{len(found.bands)} bands in {seconds:.0f} s, {peak:.2f} GiB at most"
    )
    begun = time.perf_counter()
    text = stored.as_json(dataset, found)
    writing, begun = time.perf_counter() - begun, time.perf_counter()
    stored.restored(dataset, text)
    reading = time.perf_counter() - begun
    print(f"stored in {writing:.1f} s and read back in {reading:.1f} s, {len(text) / 2**20:.1f} MiB")
    dataset = enlarged(study.dataset, REPORTED, np.random.default_rng(1))
    begun = time.perf_counter()
    analysis = dataclasses.replace(study, dataset=dataset, findings=evaluate(dataset))
    with tempfile.TemporaryDirectory() as folder:
        size = build_report(analysis, Path(folder)).stat().st_size / 2**20
    print(f"report on {analysis.networks} networks: {time.perf_counter() - begun:.0f} s, {size:.1f} MiB")


if __name__ == "__main__":
    main()
