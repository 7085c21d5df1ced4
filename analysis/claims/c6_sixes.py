"""C6: training separates the sixes within four rows; C6b: more and more precisely; C6c: their cluster lasts."""

from __future__ import annotations

import numpy as np

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.intervals import mean_interval, mean_test
from study.schema import of_source

EARLY_STEP = 4  # where the paper saw the first cluster
MOST = 0.5  # of the sixes: less than that is not their cluster
LEAST = 0.01  # the smallest gain of interest: one neighbour in a hundred


def separate_early(sample: Sample) -> Finding | None:
    """What training adds at step 4, paired by network, to the untrained network and to the pixels."""
    found = _by_source(sample, "early_cluster_agreement")
    if found is None:
        return None
    now = {source: curves[:, EARLY_STEP - 1] for source, curves in found.items()}
    gains = {source: now["trained"] - now[source] for source in ("untrained", "pixels")}
    verdict, p = by_tests([mean_test(gain, LEAST) for gain in gains.values()], len(now["trained"]))
    numbers = {source: values.mean() for source, values in now.items()}
    numbers |= limits("gain", mean_interval(100 * gains["pixels"], LEVEL))
    return Finding("C6", sample.hidden_size, mean_interval(gains["untrained"], LEVEL), verdict, p, numbers)


def grow_precise(sample: Sample) -> Finding | None:
    """The gain from step 4 to the last, in the trained network and beyond the untrained one."""
    found = _by_source(sample, "early_cluster_agreement")
    if found is None:
        return None
    gain = {source: curves[:, -1] - curves[:, EARLY_STEP - 1] for source, curves in found.items()}
    beyond = gain["trained"] - gain["untrained"]
    verdict, p = by_tests([mean_test(gain["trained"], LEAST), mean_test(beyond, LEAST)], len(beyond))
    numbers = {"first": found["trained"][:, EARLY_STEP - 1].mean(), "last": found["trained"][:, -1].mean()}
    numbers |= {"pixels": gain["pixels"].mean()} | limits("beyond", mean_interval(100 * beyond, LEVEL))
    return Finding("C6b", sample.hidden_size, mean_interval(gain["trained"], LEVEL), verdict, p, numbers)


def last(sample: Sample) -> Finding | None:
    """Of the sixes in the cluster at step 4, how many are in it at the last step, and how many more than without training."""
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
    """The curves `[n, T]` of each source, of the networks that have all of them; None where there is none."""
    sources = ("trained", "untrained", "pixels")
    parts = {source: of_source(sample.arrays[name], source).transpose("seed", "time_step").values for source in sources}
    if sample.arrays.sizes["time_step"] < EARLY_STEP:
        return None
    complete = np.logical_and.reduce([np.isfinite(curves[:, EARLY_STEP - 1 :]).all(axis=1) for curves in parts.values()])
    return {source: curves[complete] for source, curves in parts.items()} if complete.any() else None


TOLD = {"section": "The hidden states in two dimensions", "figures": ("embedding", "embedding_steps")}
SMALLEST = f"the smallest gain of interest, {100 * LEAST:g} point"
register_claim(
    Claim(
        id="C6",
        hypothesis=f"training separates the sixes from other digits by step {EARLY_STEP}",
        paper="Early hidden states resemble the labels already: sixes stand apart after four rows.",
        needs=("early_cluster_agreement",),
        judge=separate_early,
        quantity="share of a six's nearest neighbours that are sixes, trained less untrained",
        units="points",
        test="paired t tests against the untrained network and against the pixels, both of which must hold",
        rule=f"supported if trained networks exceed both by more than {SMALLEST}, contradicted if either gain is smaller",
        phrases=(
            "trained {trained:.1%}, untrained {untrained:.1%}, pixels of the four rows {pixels:.1%}",
            "beyond the pixels {gain:.1f} points [{gain_lower:.1f}, {gain_upper:.1f}]",
        ),
        method=f"""For C6 the ten nearest neighbours of each six are found, in all dimensions rather than in a picture of them,
        among the test images that have ink in the first {EARLY_STEP} rows: the others, 85% in MNIST, all have the same state then,
        and of the images with ink six in ten are sixes. What counts is therefore what training adds to the untrained network of the
        same seed and to the pixels read so far. For C6c a six is in the cluster if more than half of these neighbours are
        sixes.""",
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C6b",
        hypothesis="the separation of the sixes is more precise at the last row, because of training",
        paper="The separation becomes more precise step by step.",
        needs=("early_cluster_agreement",),
        judge=grow_precise,
        quantity=f"gain in the share of neighbours that are sixes, from step {EARLY_STEP} to the last",
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
        hypothesis="the first cluster of sixes lasts to the end, because of training",
        paper="The cluster that is there first is maintained.",
        needs=("early_cluster_kept",),
        judge=last,
        quantity=f"share of the sixes in the cluster at step {EARLY_STEP} that are in it at the last step",
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
