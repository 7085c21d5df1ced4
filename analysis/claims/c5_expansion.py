"""C5: dimensionality expands, then shrinks; C5b: it does so for the images of one digit, too."""

from __future__ import annotations

import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import CONTRADICTED, LEVEL, SUPPORTED, UNDECIDED, Finding
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample
from analysis.statistics.bands import FEWEST_NETWORKS
from analysis.statistics.expansion import expansion_then_compression
from analysis.statistics.intervals import Estimate, mean_interval
from study.schema import of_source


def of_all_images(sample: Sample) -> Finding:
    return _judge("C5", sample, sample.arrays.pca90, "group")


def by_digit(sample: Sample) -> Finding:
    """Averaged over digits."""
    return _judge("C5b", sample, sample.arrays.pca90_by_digit.mean("digit"), "digit")


def _judge(claim: str, sample: Sample, variable: xr.DataArray, parts: str) -> Finding:
    """The test on curves; compared with the untrained networks, where they were measured, on equal image numbers by `parts`."""
    networks, size, nan = sample.arrays, sample.hidden_size, float("nan")
    if sample.n < FEWEST_NETWORKS:
        return Finding(claim, size, Estimate(nan, nan, nan, sample.n), UNDECIDED)
    curves = variable.transpose("seed", "time_step").values
    result = expansion_then_compression(curves, LEVEL, rng=size)
    peak = curves[:, curves.mean(axis=0).argmax()]
    flat = any(mean_interval(peak - curves[:, end], LEVEL).upper < 1 for end in (0, -1))
    height = max(float(curves[:, result.peak].mean()), 1e-9)
    numbers = {
        "step": variable.time_step.values[result.peak],
        "rise": result.rise.value,
        "fall": result.fall.value,
        "height": height,
        "fall_of_height": result.fall.value / height,
        "height_per_unit": height / size,
        "share": result.share,
    }
    matched = f"pca90_matched_by_{parts}"
    if matched in networks and of_source(networks[matched], "untrained").notnull().any():
        over = of_source(networks[matched], "trained") - of_source(networks[matched], "untrained")
        excess = over.mean(parts).transpose("seed", "time_step").values
        paired = mean_interval(excess[:, result.peak] - excess[:, -1], LEVEL)
        numbers |= {"excess": paired.value, "excess_lower": paired.lower, "excess_upper": paired.upper}
    verdict = SUPPORTED if result.p < 1 - LEVEL else CONTRADICTED if flat else UNDECIDED
    return Finding(claim, size, result.fall, verdict, result.p, numbers)


TOLD = {
    "quantity": "peak above the last step",
    "units": "components",
    "test": "largest smaller t of rise and fall over all steps, against its resampled null",
    "rule": "supported if p < 0.05; else contradicted if at the peak of the mean the interval of the rise or of the fall lies "
    "below one component",
    "phrases": (
        "at step {step:.0f} up {rise:.1f} from the first step and {fall:.1f} above the last ({fall_of_height:.0%} of the "
        "{height:.1f} there, {height_per_unit:.3f} per hidden unit), in {share:.0%} of networks",
        "more than in the untrained networks by {excess:.1f} [{excess_lower:.1f}, {excess_upper:.1f}]",
    ),
    "section": "Dimensionality over time",
    "figures": ("dimensionality", "geometry"),
}

register_claim(
    Claim(
        id="C5",
        hypothesis="dimensionality expands, then shrinks (all images)",
        paper="As rows are read, the hidden states of all images spread over more dimensions, and later over fewer.",
        needs=("pca90",),
        judge=of_all_images,
        method="""Expansion then compression is tested at the step where the smaller of two t statistics (rise from the first step,
        fall to the last) is largest, against the largest t statistic over all steps under the null, so that p allows for the
        search for the peak. The interval is that at this step alone.""",
        **TOLD,
    )
)
register_claim(
    Claim(
        id="C5b",
        hypothesis="dimensionality expands, then shrinks (by digit)",
        paper="So do the hidden states of the images of one digit.",
        needs=("pca90_by_digit",),
        judge=by_digit,
        **TOLD,
    )
)
