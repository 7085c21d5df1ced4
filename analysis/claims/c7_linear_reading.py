"""C7: hidden states show the labels as soon as the pixels do, long before the readout reads them; C7b: reading can stop early."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import LEVEL, UNDECIDED, Finding, by_tests, limits
from analysis.claims.registry import register_claim
from analysis.claims.sample import Sample, least_accuracy
from analysis.statistics.bands import FEWEST_NETWORKS, simultaneous_band
from analysis.statistics.decoding import first_step_above, lead
from analysis.statistics.intervals import Estimate, mean_interval, mean_test
from study.schema import of_source

AHEAD = 1 / 10  # of the rows: steps by which a probe must be ahead of the readout, 3 of 28
LATE = 1 / 14  # of the rows: steps by which hidden states may show the labels after the pixels do, 2 of 28
LOSS = 0.005  # of accuracy: a smaller loss is none
SAVED = 1  # row, the smallest saving of interest


def read_early(sample: Sample) -> Finding | None:
    """By how many steps a probe of the hidden states reads the labels before the readout does, and how much later than one of the
    pixels: when it passes `Sample.trained_from`, 50% of ten classes, for which two have their chance level."""
    networks = sample.arrays
    curves = [of_source(networks.probe_accuracy), networks.readout_accuracy, of_source(networks.probe_accuracy, "pixels")]
    complete = np.logical_and.reduce([curve.notnull().all("time_step").values for curve in curves])
    if not complete.any():
        return None
    probe, readout, pixels = (curve.transpose("seed", "time_step").values[complete] for curve in curves)
    threshold = sample.trained_from
    of_pixels = first_step_above(pixels, threshold)
    late = first_step_above(probe, threshold) - of_pixels
    reading, final = lead(probe, readout, threshold, LEVEL), lead(probe, readout, 0.9 * readout[:, -1], LEVEL)
    numbers = {
        "passes": threshold,
        "probe_step": reading.probe.value,
        "readout_step": reading.readout.value,
        "pixel_step": np.mean(of_pixels),
    }
    numbers |= limits("final_ahead", final.ahead) | limits("late", mean_interval(late, LEVEL))
    if len(reading.lags) > 1 and np.ptp(reading.lags) == 0:
        numbers["same_in_all"] = reading.lags[0]
    if reading.never:
        numbers["never"] = reading.never
    if len(probe) >= FEWEST_NETWORKS:
        band = simultaneous_band(probe - readout, LEVEL, "beta", rng=sample.hidden_size)
        numbers["steps_above"] = networks.time_step.values[band.lower > 0]
    ahead, behind = steps(networks.sizes["time_step"])
    verdict, p = by_tests([mean_test(reading.lags, ahead), mean_test(late, behind).reversed()], reading.ahead.n)
    return Finding("C7", sample.hidden_size, reading.ahead, verdict, p, numbers)


def steps(rows: int) -> tuple[int, int]:
    """How many steps ahead of the readout a probe of states over so many rows must be, and how many it may be behind the pixels."""
    return max(1, round(AHEAD * rows)), max(1, round(LATE * rows))


def unless(sample: Sample) -> str:
    """Where networks learn labels that pixels do not tell linearly, as in a comparison of two stimuli, no step is known at which
    the pixels tell them. Networks that have not learned are not judged either way."""
    told = (of_source(sample.arrays.probe_accuracy, "pixels") > sample.trained_from).any()
    if told or not sample.mean_accuracy >= sample.trained_from:
        return ""
    return (
        f"a linear probe of the pixels never passes {sample.trained_from:.0%}, so that no step is known at which they tell the "
        "labels"
    )


def words(dataset: xr.Dataset) -> dict[str, str]:
    """The same in words, and the accuracy that counts as reading."""
    passes = {"passes": f"{least_accuracy(dataset):.0%}"}
    if "time_step" not in dataset.sizes:
        return passes | {"ahead": "a tenth of the rows", "behind": "a fourteenth of the rows"}
    ahead, behind = steps(dataset.sizes["time_step"])
    ahead_of = f"{ahead} step{'s' * (ahead > 1)} (a tenth of the rows)"
    return passes | {"ahead": ahead_of, "behind": f"{behind} step{'s' * (behind > 1)}"}


def stop_early(sample: Sample) -> Finding | None:
    """Rows saved at no loss of accuracy, at the confidence at which the *other* networks lose none on average: a confidence that a
    network chose for itself would flatter it."""
    accuracy, rows = (
        sample.arrays[name].dropna("seed").transpose("seed", "confidence") for name in ("early_accuracy", "early_rows")
    )
    n, nan = accuracy.sizes["seed"], float("nan")
    if n < 2:  # there are no others
        return Finding("C7b", sample.hidden_size, Estimate(nan, nan, nan, n), UNDECIDED) if n else None
    losses = (accuracy[:, -1] - accuracy).values
    others = (losses.sum(axis=0) - losses) / (n - 1)
    chosen = (others <= 1e-9).argmax(axis=1)  # the lowest confidence; the last loses nothing
    loss, saved = losses[np.arange(n), chosen], (rows[:, -1] - rows).values[np.arange(n), chosen]
    verdict, p = by_tests([mean_test(saved, SAVED), mean_test(loss, LOSS).reversed()], n)
    numbers = {"confidence": np.median(accuracy.confidence.values[chosen]), "all_rows": float(rows[:, -1].mean())}
    numbers |= limits("loss", mean_interval(100 * loss, LEVEL))
    return Finding("C7b", sample.hidden_size, mean_interval(saved, LEVEL), verdict, p, numbers)


register_claim(
    Claim(
        id="C7",
        hypothesis="labels are linearly readable as soon as the pixels tell them, long before the readout reads them",
        paper="Hidden states come to resemble the labels as soon as the information is there, but the readout cannot use it.",
        needs=("probe_accuracy", "probe_accuracy:pixels", "readout_accuracy"),
        judge=read_early,
        unless=unless,
        quantity="steps by which a probe passes {passes} before the readout",
        units="steps",
        test="paired t tests against the readout and against a probe of the pixels, both of which must hold",
        rule="supported if the probe is more than {ahead} ahead of the readout, and less than {behind} behind one of all pixels "
        "read so far; contradicted if either is not so",
        words=words,
        phrases=(
            (
                "probe at step {probe_step:.1f}, readout at step {readout_step:.1f}",
                "probe at step {probe_step:.1f}, readout at no step",
                "probe at no step, readout at step {readout_step:.1f}",
                "probe at no step, readout at no step",
            ),
            (
                "90% of the final accuracy {final_ahead:.1f} [{final_ahead_lower:.1f}, {final_ahead_upper:.1f}] steps earlier",
                "90% of the final accuracy {final_ahead:.1f} steps earlier",
            ),
            "{late:+.1f} steps [{late_lower:+.1f}, {late_upper:+.1f}] after the pixels, at step {pixel_step:.0f}",
            "the same number in every network, so that its interval has no width{same_in_all:given}",
            "{never:.0f} networks left out, whose probe or readout never passes {passes:.0%}",
            "probe above readout beyond doubt at {steps_above:step}",
        ),
        section="What can be read off the hidden states",
        figures=("decoding", "generalisation"),
        method="""A probe is a multinomial logistic regression with a squared penalty (as scikit-learn's with C = 1), fitted
        at each step to the hidden states of 10,000 training images and scored once on all test images. The lead is the
        number of steps between the first at which the probe exceeds {passes} accuracy and the first at which the readout does,
        paired by network. The same probe of all pixels read so far shows when the information is there.""",
    )
)
register_claim(
    Claim(
        id="C7b",
        hypothesis="reading can stop before the last row at no loss of accuracy",
        paper="Early states would allow early classification.",
        needs=("early_accuracy", "early_rows"),
        judge=stop_early,
        quantity="rows saved at no loss",
        units="rows",
        test="paired t tests of the rows saved and of the loss, both of which must hold",
        rule=f"supported if more than {SAVED} row is saved at a loss of less than {100 * LOSS:g} points, contradicted if either "
        "is not so",
        phrases=(
            "of {all_rows:.0f}, stopping where a probe is {confidence:.0f}% confident, at a loss of {loss:.2f} points "
            "[{loss_lower:.2f}, {loss_upper:.2f}]",
        ),
        section="What can be read off the hidden states",
        figures=("early_classification",),
        method="""For C7b an image is read until the probe of that step gives a label at least a certain probability. The lowest
        such confidence at which the other networks lose no accuracy on average is used for each network.""",
    )
)
