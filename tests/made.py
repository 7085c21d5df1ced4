"""Made datasets and matrices, whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from study.schema import labelled

SIXES = ((0.7, 0.25), (0.6, 0.1), (0.6, 0.2))  # at step 4 and gained by the last: in trained and untrained networks, and in pixels


def made_study(networks: int, missing: int = 0, rng_seed: int = 0) -> xr.Dataset:
    """Networks of 200 units: 93.5% accuracy, blank beats truncated by 20 points, periods of 8 to 29 rows, twice as long in the
    state and told by its modes, a peak at step 8 that untrained ones lack."""
    rng = np.random.default_rng(rng_seed)
    seeds, rows, blank, steps = range(networks), np.arange(1, 28), np.arange(501), np.arange(1, 29)
    records = []
    for seed in seeds:
        period = 8 * 1.2 ** (seed % 8)
        noise = lambda n, scale=0.01: scale * rng.standard_normal(n)  # noqa: E731
        appended = 0.4 + 0.2 * np.sin(2 * np.pi * blank / period + rng.uniform(0, 6)) + noise(501)
        appended[0] = 0.935 + noise(1, 0.002)[0]
        appended[1] = 0.6 + noise(1)[0]
        blanked, truncated = 0.6 + noise(27), 0.4 + noise(27)
        blanked[0] = truncated[0] = 0.1  # after row 1 of MNIST, which is blank in every test image
        probe, state = 0.95 / (1 + np.exp((10 - steps) / 2)), 2 * period + noise(1, 0.1)[0]
        dimension = 1 + 10 * np.exp(-(((steps - 8) / 5) ** 2)) + noise(28, 0.2)
        untrained = np.linspace(2, 4, 28) + noise(28, 0.2)
        dimension[0] = untrained[0] = 0  # likewise
        peak, step_4 = np.ceil(dimension), steps >= 4
        sixes = [np.where(step_4, level + gain * (steps - 4) / 24 + noise(28), np.nan) for level, gain in SIXES]
        of_sources = {"source": ["trained", "untrained", "pixels"], "time_step": steps}
        modes = {"neutral_mode": np.arange(1, 9)}
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
                "pca90_by_label",
                np.stack([peak] * 10, 1),
                {"time_step": steps, "label": np.arange(10)},
                "",
                role="curve",
                metric="pca90/by_label_mean",
            ),
            labelled(
                "dimension90",
                np.stack([dimension, untrained]),
                {"source": ["trained", "untrained"], "time_step": steps},
                "",
                role="curve",
                metric="dimension90/whole",
            ),
            labelled(
                "dimension90_by_label",
                np.stack([np.stack([curve] * 10, 1) for curve in (dimension, untrained)]),
                {"source": ["trained", "untrained"], "time_step": steps, "label": np.arange(10)},
                "",
                role="curve",
                metric="dimension90/by_label_mean",
            ),
            labelled(
                "early_class_agreement", 0.7 + noise(1), {"source": ["trained"]}, "", role="number", metric="sixes", share=True
            ),
            labelled("neighbour_agreement", np.full((28, 10), 0.3), {"time_step": steps, "label": np.arange(10)}, "", share=True),
            labelled("early_class", 6.0, {}, ""),
            labelled("early_cluster_agreement", np.stack(sixes), of_sources, "", role="curve", missing="early", share=True),
            labelled("early_cluster_kept", np.stack(sixes), of_sources, "", role="curve", missing="early", share=True),
            labelled(
                "probe_accuracy",
                np.stack([probe + noise(28, 0.002), 0.95 / (1 + np.exp((9 - steps) / 2))]),
                {"source": ["trained", "pixels"], "time_step": steps},
                "",
                role="curve",
                metric="probe/accuracy",
                share=True,
            ),
            labelled("readout_accuracy", 0.94 * (steps > 25), {"time_step": steps}, "", share=True),
            labelled("early_accuracy", np.array([0.8, 0.95, 0.95]) + noise(1), {"confidence": [50, 99, 100]}, "", share=True),
            labelled("early_rows", np.array([8.0, 20.0, 28.0]), {"confidence": [50, 99, 100]}, ""),
            labelled(
                "attractor_kind", 2, {}, "", role="category", flag_meanings="fixed_point cycle closed_curve chaos unresolved torus"
            ),
            labelled("attractor_recurrence", 0.01, {}, ""),
            labelled("period_predicted", 3 * state + rng.uniform(-1, 1), {}, "", units="rows", role="number", missing="none"),
            labelled("quasilinear_iterations", 400.0, {}, "", missing="not of this form"),
            labelled("period_quasilinear", 1.02 * state, {}, "", units="rows", role="number", missing="none"),
            labelled("period_selected", 1.01 * state, {}, "", units="rows", role="number", missing="none"),
            labelled("mode_period", np.r_[state, state / 2, [np.nan] * 6], modes, "", units="rows", missing="fewer"),
            labelled("mode_energy", np.r_[0.7, 0.3, [np.nan] * 6], modes, "", missing="fewer", share=True),
            labelled("mode_tie", 0.5, {}, "", role="number", missing="none"),
            labelled("modes_stable", 1.0, {}, "", role="number"),
            labelled("period_state", state, {}, "", units="rows", role="number", missing="none"),
        ]
        records.append(xr.Dataset({a.name: a for a in arrays}))
    dataset = xr.concat(records, "seed").assign_coords(seed=list(seeds)).expand_dims(hidden_size=[200])
    ids = np.array([["" if s < missing else f"run{s}" for s in seeds]])
    dataset["run_id"] = (("hidden_size", "seed"), ids)
    dataset = dataset.where(dataset.run_id != "").assign(run_id=dataset.run_id)
    reasons = {f"H=200 seed={s}": "no run" for s in range(missing)}
    return dataset.assign_attrs(missing=json.dumps(reasons), study="s", config="{}")


def turning_planes(*modes: tuple[float, float], units: int = 40) -> np.ndarray:
    """A matrix `[H, H]` with a plane for each (modulus, period), in random orthogonal directions, and 0 beside them."""
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((units, units)))[0]
    blocks = np.zeros((units, units))
    for place, (modulus, period) in enumerate(modes):
        angle = 2 * np.pi / period
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        blocks[2 * place : 2 * place + 2, 2 * place : 2 * place + 2] = modulus * turn
    return directions @ blocks @ directions.T
