"""What can be decoded from the hidden state: by a linear probe, by the network's own readout, and by controls."""

from __future__ import annotations

from analysis.claims.sample import least_accuracy
from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, curve_figure, sizes
from reports.figures.style import BLUE, GREEN, GREY, PURPLE, VERMILION

CURVES = (
    Curve("probe_accuracy", "linear probe", BLUE, "-"),
    Curve("readout_accuracy", "the network's readout", VERMILION, "--"),
    Curve("probe_accuracy", "probe, untrained network", PURPLE, "-.", "untrained"),
    Curve("probe_accuracy", "probe of the pixels so far", GREEN, ":", "pixels"),
    Curve("probe_accuracy", "probe, permuted labels", GREY, (0, (1, 3)), "permuted"),
)


def decoding(analysis: Analysis) -> Figure | None:
    """Accuracy against the time step; one panel per hidden size. None where no probe was measured."""
    if not sizes(analysis) or "probe_accuracy" not in analysis.dataset:
        return None
    reads = least_accuracy(analysis.dataset)
    return curve_figure(
        analysis,
        "decoding",
        [Row("test accuracy (%)", CURVES, scale=100, top=100, reference=100 * reads)],
        "How early the labels can be decoded from the hidden states, and how early the network's own readout does so: accuracy of "
        "a linear probe, fitted at each step to the hidden states of training images, and of the readout that was trained for the "
        f"last step, both on all test images. Dotted line: {reads:.0%}, at which the lead of the probe is measured.",
        "Line charts, one for each hidden size, of test accuracy against the time step, for the probe, the readout and controls.",
    )
