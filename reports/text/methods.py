"""The methods section: what was done, with the numbers the code itself uses."""

from __future__ import annotations

from analysis.claims.claims import OF_ACCURACY, TRAINED
from analysis.statistics.agreement import TOLERANCE
from analysis.statistics.bands import RESAMPLES
from analysis.statistics.oscillation import SMALLEST_AMPLITUDE, SURROGATES
from reports.cells import jacobian, layer
from study.measurements.attractors import TRANSIENT as SETTLED
from study.measurements.geometry import NEIGHBOUR_IMAGES
from study.measurements.probes import LEARNED
from study.networks.cells import TANH
from study.periodogram import TRANSIENT

PRECISIONS = {
    "fp32": "single precision",
    "tf32": "TF32 (products of 10-bit mantissas, on a GPU)",
    "bf16": "bf16 (products of 7-bit mantissas; weights in single precision)",
}


def methods(config: dict, claims: set[str], classes: int) -> list[str]:
    """A paragraph a method, for a study of this configuration, on images of so many classes, that judged these claims."""
    config = {"cell": TANH.name} | config  # which older studies do not name
    return [" ".join(text.split()) for text in (*_of_the_paper(config, classes), *_beyond(config, claims))]


def _of_the_paper(config: dict, classes: int) -> list[str]:
    return [
        f"""Each network has one recurrent layer of {layer(config["cell"])} and a linear readout with bias, initialised as PyTorch
        does (uniform within one over the square root of the hidden size), and reads a {config["dataset"]} image row by row,
        pixels scaled to [0, 1]. It is trained on {config["train_images"]:,} images for {config["epochs"]} epochs with Adam
        (learning rate {config["learning_rate"]:g}, batches of {config["batch_size"]}) on the cross-entropy after the last
        row, by backpropagation through time in {PRECISIONS[config["precision"]]}. All measurements use the whole test set,
        unless it says otherwise, and single precision or better.""",
        """The paper names 200 units, 30 epochs and a test accuracy a little over 93%, but no learning rate, batch size,
        initialisation or readout bias; those are choices of this study. The default learning rate and batch size were
        searched for with that accuracy as the target, so C1 checks a calibration more than a discovery.""",
        f"""Experiment 1 blanks all rows after the first n and reads the network after the last row; experiment 2 applies the
        readout after n rows; experiment 3 appends up to {config["blank_rows"]} blank rows. A blank row is a row of zeros.
        Dimensionality is the number of principal components that carry at least 90% of the variance of the hidden states, 0
        where they are all equal.""",
        f"""Networks are the unit of replication throughout, never images. Bands are simultaneous sup-t bands from a weighted
        bootstrap of the networks ({RESAMPLES:,} resamples; weights from a Beta distribution, which keeps the skewness of the
        curves). In simulated studies drawn from 40 real networks they held the whole true mean in 93 to 97% of cases; of PCA-90 of
        all images with 10 networks in 88%, because a band has no width where all networks agree on a count, which is no evidence
        about other networks. Intervals of means are Student's, those of shares Wilson's, all at 95%.""",
        f"""Claims other than {" and ".join(sorted(OF_ACCURACY))} are about trained networks. At a hidden size whose mean test
        accuracy is below {TRAINED:.0%} ({TRAINED * classes:.2g} times chance with {classes} classes) they are not
        judged, and their verdict is "not trained": much of what they name shows in untrained networks, too. Single networks below
        that count like all others, so that none is left out for its outcome.""",
        f"""A network oscillates if the largest peak of its accuracy curve's periodogram, after {TRANSIENT} blank rows and
        relative to the spectrum of a fitted AR(1) process, exceeds what {SURROGATES} simulated AR(1) curves show, at 5% after
        adjustment over networks (Benjamini and Hochberg), with an amplitude of at least {100 * SMALLEST_AMPLITUDE:g} percentage
        points. Its period is that of the largest peak, or of a clear subharmonic of it; a curve need not repeat itself exactly
        after it. For the cycle, each half of the images (even and odd numbers) is aligned by the phase of the other, because a
        phase fitted to the same images would raise a peak out of noise.""",
        """Expansion then compression is tested at the step where the smaller of two t statistics (rise from the first step,
        fall to the last) is largest, against the largest t statistic over all steps under the null, so that looking for the
        peak is paid for in p. The interval given is that at this step alone.""",
    ]


def _beyond(config: dict, claims: set[str]) -> list[str]:
    """How the claims beyond the paper's experiments are judged, as far as they were."""
    ways = {
        "C6": f"""For C6 the hidden states of the first {NEIGHBOUR_IMAGES:,} test images at step 4 are looked at in all dimensions,
        not in a picture of them: of the ten nearest neighbours of each six, the share that are sixes, which chance would make a
        tenth. The same number in the untrained networks and in the pixels of the four rows, where they were measured, tells
        what training adds.""",
        "C7": f"""A probe is a multinomial logistic regression with a squared penalty (as scikit-learn's with C = 1), fitted
        at each step to the hidden states of {LEARNED:,} training images and scored once on all test images. The lead is the
        number of steps between the first at which the probe exceeds 50% accuracy and the first at which the readout does,
        paired by network.""",
        "C8": f"""The predicted period is 2 pi over the angle of the leading eigenvalue of {jacobian(config["cell"])}. The measured
        one is that of the strongest oscillation of the state after {SETTLED:,} blank rows. They agree if they differ by at most
        {TOLERANCE:.0%}, or if the measured one is half of the predicted where the map that a blank row applies is odd, as that
        from h to tanh(R h) is: an orbit that is its own mirror image passes the same distances twice in a period.""",
    }
    return [
        *(text for claim, text in ways.items() if claim in claims),
        """Across hidden sizes, a number's trend is the Theil-Sen
        slope per doubling of the size, with Kendall's statistic against permutations; pairs of sizes are compared with Holm's
        adjustment for the pairs of one number; nothing is adjusted for how many numbers the table has. Seeds of equal number at
        different sizes are not paired, since they share nothing. A claim holds overall if it is supported at every size.""",
    ]
