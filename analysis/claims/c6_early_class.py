"""C6: training separates one class early; C6b: more and more precisely; C6c: its first cluster lasts.

The class is the one that the pixels of the first rows set apart (`study.measurements.early_class`): the sixes in MNIST, by row 4.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import mean_interval, mean_test
from study.schema import class_names, of_source

SOURCES = ("trained", "untrained", "pixels")
MOST = 0.5  # of the images of the class: less than that is not its cluster
SEPARATE = 0.1  # how far a class must stand apart in the pixels, as the measurement has it
LEAST = 0.01  # the smallest gain of interest: one neighbour in a hundred


def separate_early(sample: Sample) -> Finding | None:
    """What training adds at the early step, paired by network, to the untrained network and to the pixels."""
    found = _by_source(sample, "early_cluster_agreement")
    if found is None:
        return None
    now = {source: curves[:, 0] for source, curves in found.items()}
    gains = {source: now["trained"] - now[source] for source in ("untrained", "pixels")}
    verdict, p = by_tests([mean_test(gain, LEAST) for gain in gains.values()], len(now["trained"]))
    numbers = {source: values.mean() for source, values in now.items()}
    numbers |= limits("gain", mean_interval(100 * gains["pixels"], LEVEL))
    return Finding("C6", sample.hidden_size, mean_interval(gains["untrained"], LEVEL), verdict, p, numbers)


def grow_precise(sample: Sample) -> Finding | None:
    """The gain from the early step to the last, in the trained network and beyond the untrained one."""
    found = _by_source(sample, "early_cluster_agreement")
    if found is None:
        return None
    gain = {source: curves[:, -1] - curves[:, 0] for source, curves in found.items()}
    beyond = gain["trained"] - gain["untrained"]
    verdict, p = by_tests([mean_test(gain["trained"], LEAST), mean_test(beyond, LEAST)], len(beyond))
    numbers = {"first": found["trained"][:, 0].mean(), "last": found["trained"][:, -1].mean()}
    numbers |= {"pixels": gain["pixels"].mean()} | limits("beyond", mean_interval(100 * beyond, LEVEL))
    return Finding("C6b", sample.hidden_size, mean_interval(gain["trained"], LEVEL), verdict, p, numbers)


def last(sample: Sample) -> Finding | None:
    """Of the images in the cluster at the early step, how many are in it at the last, and how many more than without training."""
    found = _by_source(sample, "early_cluster_kept")
    if found is None:
        return None
    kept = {source: curves[:, -1] for source, curves in found.items()}
    beyond = kept["trained"] - kept["untrained"]
    verdict, p = by_tests([mean_test(kept["trained"], MOST), mean_test(beyond, LEAST)], len(beyond))
    numbers = {source: values.mean() for source, values in kept.items()}
    numbers |= limits("beyond", mean_interval(100 * beyond, LEVEL))
    return Finding("C6c", sample.hidden_size, mean_interval(kept["trained"], LEVEL), verdict, p, numbers)


def _by_source(sample: Sample, name: str) -> dict[str, np.ndarray] | None:
    """The curves of each source from the early step on, `[n, steps]`, of the networks that have all of them; None if none has."""
    parts = {source: of_source(sample.arrays[name], source).transpose("seed", "time_step").values for source in SOURCES}
    first = _early_step(sample.arrays[name])
    complete = np.logical_and.reduce([np.isfinite(curves[:, first - 1 :]).all(axis=1) for curves in parts.values()])
    return {source: curves[complete, first - 1 :] for source, curves in parts.items()} if complete.any() else None


def _early_step(array: xr.DataArray) -> int:
    """The first step at which a variable of the cluster has a value: the one that counted as early when it was measured."""
    there = array.notnull().any([dimension for dimension in array.dims if dimension != "time_step"])
    return int(array.time_step.values[there.values.argmax()])


def unless(sample: Sample) -> str:
    """Networks that were measured with different classes (by different versions of the measurement) are not averaged."""
    several = len(np.unique(sample.arrays.early_class.dropna("seed"))) > 1
    return "the cluster of one class was measured in some networks, that of another class in others" if several else ""


def words(dataset: xr.Dataset) -> dict[str, str]:
    """The class and the step that the data name."""
    named = dataset.early_class.values[np.isfinite(dataset.early_class.values)] if "early_class" in dataset else []
    if not len(named) or "early_cluster_agreement" not in dataset:
        return {"early": "", "class": "that class", "step": "the early step", "rows": "first rows"}
    names = class_names(dataset.attrs, dataset.sizes.get("label", int(named[0]) + 1))
    name, step = names[int(named[0])], _early_step(dataset.early_cluster_agreement)
    rows = "first row" if step == 1 else f"first {step} rows"
    return {"early": f" ({name}, by step {step})", "class": f"class {name}", "step": f"step {step}", "rows": rows}


TOLD = {
    "unless": unless,
    "words": words,
    "section": "The hidden states in two dimensions",
    "figures": ("embedding", "embedding_steps"),
}
SMALLEST = f"the smallest gain of interest, {100 * LEAST:g} point"
register_claim(
    Claim(
        id="C6",
        hypothesis="training separates one class early{early}",
        paper="Early hidden states resemble the labels already: sixes stand apart after four rows.",
        needs=("early_class", "early_cluster_agreement"),
        judge=separate_early,
        quantity="share of the nearest neighbours of images of {class} that are of it, trained less untrained",
        units="points",
        test="paired t tests against the untrained network and against the pixels, both of which must hold",
        rule=f"supported if trained networks exceed both by more than {SMALLEST}, contradicted if either gain is smaller",
        phrases=(
            "trained {trained:.1%}, untrained {untrained:.1%}, pixels of the early rows {pixels:.1%}",
            "beyond the pixels {gain:.1f} points [{gain_lower:.1f}, {gain_upper:.1f}]",
        ),
        method=f"""C6 is about the class that the data name, before any network: the one that the pixels of the {{rows}}, a
        seventh of all, set apart most among the training images (the sixes in MNIST, which the paper speaks of). An image with ink
        there counts (a - s) / (1 - s), where a is the share of its ten nearest neighbours that are of its class and s the share of
        all images with ink that are; an image without counts 0. A class whose mean is below {SEPARATE:g} does not separate early.
        Here it is {{class}}. Its images' ten nearest neighbours are found in all dimensions of the hidden states, rather than in a
        picture of them, among the test images that have ink in the {{rows}}: the others all have the same state then (85% in
        MNIST), and of those with ink many may be of the class (six in ten in MNIST). What counts is therefore what training adds to
        the untrained network of the same seed and to the pixels read so far. For C6c an image is in the cluster if more than half
        of these neighbours are of its class.""",
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C6b",
        hypothesis="the separation of {class} is more precise at the last row, because of training",
        paper="The separation becomes more precise step by step.",
        needs=("early_class", "early_cluster_agreement"),
        judge=grow_precise,
        quantity="gain in the share of neighbours of {class}, from {step} to the last",
        units="points",
        test="paired t tests of the gain, and of the gain beyond the untrained network, both of which must hold",
        rule=f"supported if both exceed {SMALLEST}, contradicted if either is smaller",
        phrases=(
            "from {first:.1%} to {last:.1%}",
            "beyond the untrained networks {beyond:.1f} points [{beyond_lower:.1f}, {beyond_upper:.1f}]",
            "the pixels of all rows gain {pixels:.1%}",
        ),
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C6c",
        hypothesis="the first cluster, of {class}, lasts to the end, because of training",
        paper="The cluster that is there first is maintained.",
        needs=("early_class", "early_cluster_kept"),
        judge=last,
        quantity="share of the images in the cluster at {step} that are in it at the last step",
        units="%",
        test="t test of the share and paired t test of what it exceeds that of the untrained network by, both of which must hold",
        rule=f"supported if most of them are, and more than in the untrained networks by more than {SMALLEST}, contradicted if "
        "either is not so",
        phrases=(
            "untrained {untrained:.1%}, pixels {pixels:.1%}",
            "beyond the untrained networks {beyond:.1f} points [{beyond_lower:.1f}, {beyond_upper:.1f}]",
        ),
        **TOLD,
    )
)
