"""C5: dimensionality expands, then shrinks, because of training; C5b: it does so for the images of one class, too."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, UNDECIDED, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.bands import TooFewNetworks
from analysis.statistics.expansion import expansion_then_compression
from analysis.statistics.intervals import Estimate
from study.schema import of_source

STEPS = 3  # a first one, a peak and a last one
LEAST = 0.5  # dimensions, the smallest change of interest: half of what a count can show


def of_all_images(sample: Sample) -> Finding | None:
    return _judge("C5", sample, sample.arrays.dimension90, sample.arrays.pca90)


def by_label(sample: Sample) -> Finding | None:
    """Averaged over classes."""
    return _judge("C5b", sample, sample.arrays.dimension90_by_label.mean("label"), sample.arrays.pca90_by_label.mean("label"))


def _judge(claim: str, sample: Sample, dimension: xr.DataArray, counts: xr.DataArray) -> Finding | None:
    """From the first step at which states of all networks differ: row 1 is blank in MNIST, so that D(1) = 0 by construction."""
    trained, untrained = (of_source(dimension, source).transpose("seed", "time_step") for source in ("trained", "untrained"))
    both = trained.notnull().all("time_step") & untrained.notnull().all("time_step")
    if not both.any():
        return None
    curves, others = trained[both], untrained[both]
    varied = ((curves > 0) & (others > 0)).all("seed").values
    start = int(varied.argmax())
    size, nan = sample.hidden_size, float("nan")
    try:
        if not varied.any() or curves.sizes["time_step"] - start < STEPS:
            raise TooFewNetworks(0)
        found = expansion_then_compression(curves.values[:, start:], LEVEL, size, others.values[:, start:], LEAST)
    except TooFewNetworks:
        return Finding(claim, size, Estimate(nan, nan, nan, curves.sizes["seed"]), UNDECIDED)
    verdict, p = by_tests([found.test], curves.sizes["seed"])
    steps = dimension.time_step.values
    peak = start + found.peak
    counted = counts.transpose("seed", "time_step").mean("seed").values
    numbers = {"first": steps[start], "peak": steps[peak], "last": steps[-1], "height": found.height, "share": found.share}
    numbers |= {"height_per_unit": found.height / size, "counted": counted[[start, peak, -1]]}
    for name in ("rise", "fall", "rise_beyond", "fall_beyond"):
        numbers |= limits(name, getattr(found, name))
    return Finding(
        claim, size, found.fall, verdict, p, {name: value for name, value in numbers.items() if np.isfinite(value).all()}
    )


TOLD = {
    "quantity": "fall from the peak to the last step",
    "units": "dimensions",
    "test": "at each step the smallest of four t statistics: rise and fall, in trained networks and beyond untrained ones; the "
    "largest of these is tested against its resampled null",
    "rule": "supported if at one step the rise from the first step with any spread and the fall to the last are both more than "
    f"{LEAST:g} dimensions, in trained networks and beyond the untrained ones; contradicted if at every step one of the four is "
    "less",
    "phrases": (
        "from step {first:.0f} up {rise:.1f} [{rise_lower:.1f}, {rise_upper:.1f}] to {height:.1f} ({height_per_unit:.3f} per "
        "hidden unit) at step {peak:.0f}, both ways in {share:.0%} of networks",
        "beyond the untrained networks the rise is {rise_beyond:.1f} [{rise_beyond_lower:.1f}, {rise_beyond_upper:.1f}] and the "
        "fall {fall_beyond:.1f} [{fall_beyond_lower:.1f}, {fall_beyond_upper:.1f}]",
        "counts of components at these steps and the last {counted:.1f}",
    ),
    "rows": STEPS,
    "section": "Dimensionality over time",
    "figures": ("dimensionality", "geometry"),
}

register_claim(
    Claim(
        id="C5",
        hypothesis="training makes dimensionality expand, then shrink (all images)",
        paper="As rows are read, the hidden states of all images spread over more dimensions, and later over fewer.",
        needs=("dimension90", "dimension90:untrained", "pca90"),
        judge=of_all_images,
        method="""For C5 the dimension is the number of principal components that carry 90% of the variance, the last one in part:
        the share is taken to rise linearly within it. Unlike a count it has no steps, so that bands and tests keep their error
        rates. Expansion then compression is tested at the step where the smallest of four t statistics is largest: of the rise from
        the first step at which states differ and the fall to the last, each as it is and less that of the untrained networks. The
        null is the largest t statistic over all steps and all four, so that p allows for the search for the peak. Sizes of rise and
        fall are cross-fitted: each network's peak is where the mean of the others is highest, which does not flatter them.""",
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C5b",
        hypothesis="training makes dimensionality expand, then shrink (by class)",
        paper="So do the hidden states of the images of one class.",
        needs=("dimension90_by_label", "dimension90_by_label:untrained", "pca90_by_label"),
        judge=by_label,
        **TOLD,
    )
)
