"""What every finding on 1,000 networks costs: ``python -m benchmarks.findings --study latest``.

The networks are drawn with replacement from a stored study's, all measured variables with them, and a little noise is added, so
that no two are equal.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import xarray as xr

from analysis import runs
from analysis.findings import evaluate
from benchmarks.machine import describe

NETWORKS = 1000


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
    parser.add_argument("--networks", type=int, default=NETWORKS)
    given = parser.parse_args()
    dataset = enlarged(runs.load(given.study), given.networks, np.random.default_rng(0))
    begun = time.perf_counter()
    found = evaluate(dataset)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(describe())
    print(f"{dataset.run_id.size} networks, {dataset.nbytes / 2**20:.0f} MiB of measurements: {len(found.ledger)} findings and "
          f"{len(found.bands)} bands in {seconds:.0f} s, {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
