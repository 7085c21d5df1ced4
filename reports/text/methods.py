"""The methods section: what was done, with the numbers the code itself uses."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.registry import accuracy_only
from analysis.claims.sample import least_accuracy
from analysis.dataset.runs import configuration
from analysis.statistics.bands import CALIBRATED, RESAMPLES, SKEWED
from reports.cells import layer
from reports.figures.glyphs import shown
from study.config import PAPER_DATA, ends
from study.data.sources import DATASETS
from study.networks.cells import TANH
from study.schema import FEATURES, class_names

PRECISIONS = {
    "fp32": "single precision",
    "tf32": "TF32 (products of 10-bit mantissas, on a GPU)",
    "bf16": "bf16 (products of 7-bit mantissas; weights in single precision)",
}

ORDERS = {
    "columns": "transposed, so that columns are read one after the other",
    "permuted": "of pixels in one random order, the same for all images and networks",
}


def methods(dataset: xr.Dataset, judged: Sequence[Claim]) -> list[str]:
    """One paragraph per method, for a study that judged these claims."""
    config = {"cell": TANH.name} | configuration(dataset)  # older studies do not name it
    texts = [*_of_all(config, dataset), *(claim.method for claim in judged), TRENDS]
    return [" ".join(text.split()) for text in texts if text]


def images(dataset: xr.Dataset, room: int | None = None) -> str:
    """The images of a study in words: their data set, rows, numbers in a row and classes, whose names are listed if they fit in so
    many characters."""
    config = configuration(dataset)
    name = DATASETS.get(str(config.get("dataset")), str(config.get("dataset", "unnamed data")))
    as_files_are = config.get("rows", "all") == "all" and config.get("order", "rows") == "rows"
    if config.get("dataset") == "mnist" and as_files_are and dataset.attrs.get("data_digest", "") not in ("", PAPER_DATA):
        name = "images in MNIST's format"
    features = str(dataset.attrs.get(FEATURES, ""))
    of = f" of {int(features):,} pixels" if features.isascii() and features.isdigit() else ""
    rows, classes = dataset.sizes.get("time_step", 0), dataset.sizes.get("label", 0)
    names = class_names(dataset.attrs, classes)
    listed = ", ".join(map(shown, names))
    named = "" if names == tuple(map(str, range(classes))) or len(listed) > (room or len(listed)) else f": {listed}"
    shape = f" ({rows} rows{of}; {classes} classes{named})" if rows else ""
    return f"{shown(name, 80)}{shape}"


def _resampled(config: dict) -> str:
    rows, order = config.get("rows", "all"), config.get("order", "rows")
    how = [ORDERS[order]] if order in ORDERS else []
    how += [f"resampled to {rows} rows: neighbours averaged, or each shown several times"] if rows != "all" else []
    return f" ({'; '.join(how)})" if how else ""


def _trailing(config: dict) -> str:
    least, most = ends(config.get("trailing_blanks", "0"))
    if least < most:
        return f" and {least} to {most} blank rows after it, a number drawn anew for each batch"
    return f" and {least} blank rows after it" if least else ""


def _of_all(config: dict, dataset: xr.Dataset) -> list[str]:
    classes, least = dataset.sizes.get("label", 0), least_accuracy(dataset)
    return [
        f"""Each network has one recurrent layer of {layer(config["cell"])} and a linear readout with bias, initialised as
        PyTorch does (uniform within one over the square root of the hidden size), and reads images, {images(dataset)}, row by
        row{_resampled(config)}. It is trained on {config["train_images"]:,} images for
        {config["epochs"]} epochs with Adam (learning rate {config["learning_rate"]:g}, batches of {config["batch_size"]}) on the
        cross-entropy after the last row{_trailing(config)}, by backpropagation through time in
        {PRECISIONS[config["precision"]]}. All measurements use the whole test set unless stated otherwise, and single precision or
        better.""",
        """The paper names 200 units, 30 epochs and a test accuracy a little over 93%, but no learning rate, batch size,
        initialisation or readout bias; those are choices of this study.""",
        f"""Experiment 1 blanks all rows after the first n and reads the network after the last row; experiment 2 applies the
        readout after n rows; experiment 3 appends up to {config["blank_rows"]} blank rows. A blank row is a row of zeros.
        Dimensionality is the number of principal components that carry 90% of the variance of the hidden states, 0 where they are
        all equal; as a continuous number, with the last component in part, or as a count.""",
        f"""Networks are the unit of replication throughout, never images. Bands are simultaneous sup-t bands from a weighted
        bootstrap of the networks ({RESAMPLES:,} resamples; weights from a Beta distribution, which keeps the skewness of the
        curves). Where the sample's skewness, averaged over a curve, is beyond {SKEWED}, each tail is divided by {CALIBRATED}, which
        keeps the coverage of strongly skewed curves. In simulations of 10 to 40 networks, of smooth, strongly skewed, heavy-tailed
        and bimodal curves, the bands contained the whole true mean curve in 92 to 99% of cases, and in 87 to 97% where a tenth of
        the networks were outliers. Curves of counts have no band: where all networks agree on a
        count it would have no width, although other networks may differ. Intervals of means are Student's, those of shares
        Wilson's, all at 95%.""",
        """Each verdict rests on a two-sided p value at 5%, adjusted over all verdicts of the study (Holm 1979); both are given. A
        claim that consists of several statements is supported where each is, at its own level (intersection-union; Berger 1982),
        and contradicted where one is, corrected for their number. Over all hidden sizes the estimate is the mean over sizes, each
        with the same weight, with Satterthwaite's degrees of freedom, and the verdict is that of every size.""",
        f"""Claims other than {" and ".join(accuracy_only())} are about trained networks. At a hidden size whose mean test
        accuracy is below {least:.0%} (four ninths of the way from chance to no mistake, with {classes} classes) they are not
        judged, and their verdict is "not trained": untrained networks show much of what the claims describe, too. A single network
        below that level counts like all others, so that none is left out because of its outcome.""",
    ]


TRENDS = """Across hidden sizes, the trend of a number is its Theil-Sen
        slope per doubling of the size, with a permutation test of Kendall's statistic. Pairs of sizes are compared with Holm's
        adjustment over the pairs of one number; p values are not adjusted for how many numbers the table has. Equal seeds at
        different sizes are not paired, since their networks share nothing."""
