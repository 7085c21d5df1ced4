"""Made datasets, whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from study.schema import labelled


def made_study(networks: int, missing: int = 0, rng_seed: int = 0) -> xr.Dataset:
    """Networks at one hidden size: 94% accuracy, blank beats truncated by 20 points, period 10, a peak at step 8."""
    rng = np.random.default_rng(rng_seed)
    seeds, rows, blank, steps = range(networks), np.arange(1, 28), np.arange(501), np.arange(1, 29)
    records = []
    for _ in seeds:
        noise = lambda n, scale=0.01: scale * rng.standard_normal(n)  # noqa: E731
        appended = 0.4 + 0.2 * np.sin(2 * np.pi * blank / 10 + rng.uniform(0, 6)) + noise(501)
        appended[0] = 0.94 + noise(1, 0.002)[0]
        appended[1] = 0.6 + noise(1)[0]
        blanked, truncated = 0.6 + noise(27), 0.4 + noise(27)
        blanked[0] = truncated[0] = 0.1  # after row 1 of MNIST, which is blank in every test image
        probe, state = 0.95 / (1 + np.exp((10 - steps) / 2)), 20 + noise(1, 0.1)[0]
        peak = np.round(10 * np.exp(-(((steps - 8) / 5) ** 2)) + rng.integers(0, 2))
        arrays = [
            labelled("accuracy_blanked", blanked, {"rows_shown": rows}, "", role="curve", metric="blanked/accuracy", share=True),
            labelled(
                "accuracy_truncated", truncated, {"rows_shown": rows}, "", role="curve", metric="truncated/accuracy", share=True
            ),
            labelled(
                "accuracy_appended", appended, {"blank_rows": blank}, "", role="curve", metric="appended/accuracy", share=True
            ),
            labelled("test_accuracy", appended[0], {}, "", role="number", share=True),
            labelled("pca90", peak, {"time_step": steps}, "", role="curve", metric="pca90/whole"),
            labelled(
                "pca90_by_digit",
                np.stack([peak] * 10, 1),
                {"time_step": steps, "digit": np.arange(10)},
                "",
                role="curve",
                metric="pca90/by_digit_mean",
            ),
            labelled("sixes_agreement", 0.7 + noise(1), {"source": ["trained"]}, "", role="number", metric="sixes", share=True),
            labelled("neighbour_agreement", np.full((28, 10), 0.3), {"time_step": steps, "digit": np.arange(10)}, "", share=True),
            labelled(
                "probe_accuracy",
                probe[None] + noise(28, 0.002),
                {"source": ["trained"], "time_step": steps},
                "",
                role="curve",
                metric="probe/accuracy",
                share=True,
            ),
            labelled("readout_accuracy", 0.94 * (steps > 25), {"time_step": steps}, "", share=True),
            labelled("period_predicted", 20 + rng.uniform(-1, 1), {}, "", units="rows", role="number", missing="none"),
            labelled("period_state", state, {}, "", units="rows", role="number", missing="none"),
        ]
        records.append(xr.Dataset({a.name: a for a in arrays}))
    dataset = xr.concat(records, "seed").assign_coords(seed=list(seeds)).expand_dims(hidden_size=[50])
    ids = np.array([["" if s < missing else f"run{s}" for s in seeds]])
    dataset["run_id"] = (("hidden_size", "seed"), ids)
    dataset = dataset.where(dataset.run_id != "").assign(run_id=dataset.run_id)
    reasons = {f"H=50 seed={s}": "no run" for s in range(missing)}
    return dataset.assign_attrs(missing=json.dumps(reasons), study="s", config="{}")
