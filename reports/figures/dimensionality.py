"""Dimensionality over time: how many dimensions carry 90% of the variance."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, curve_figure, first_states_equal, sizes
from reports.figures.style import BLUE, GREY, ORANGE, PURPLE

CONTINUOUS = (
    Curve("dimension90", "all images", BLUE, "-"),
    Curve("dimension90", "all images, untrained network", GREY, "-.", "untrained"),
    Curve("dimension90_by_label", "one class (mean)", ORANGE, "--"),
    Curve("dimension90_by_label", "one class, untrained network", PURPLE, (0, (1, 1)), "untrained"),
)
COUNTS = (Curve("pca90", "all images", BLUE, "-"), Curve("pca90_by_label", "one class (mean)", ORANGE, "--"))


def dimensionality(analysis: Analysis) -> Figure | None:
    """The dimension against the time step, for all images and by class, trained and untrained, and the count of components; one
    column per hidden size."""
    if not sizes(analysis):
        return None
    rows = [Row("dimensions that carry\n90% of the variance", CONTINUOUS), Row("components\n(counted)", COUNTS)]
    blank = " Row 1 of every test image is blank, so at step 1 all states are equal and both are 0."
    return curve_figure(
        analysis,
        "dimensionality",
        rows if "dimension90" in analysis.dataset else rows[1:],
        "Linear dimensionality of the hidden states at each time step, for all test images and for the images of one class. Top: "
        "the dimensions that carry 90% of the variance, where the share rises linearly within the last component, in trained and "
        "in untrained networks. Bottom: the number of principal components needed for at least 90%, as in the paper, whose mean "
        f"has no band.{blank if first_states_equal(analysis.dataset) else ''}",
        "Line charts, one column for each hidden size, of the dimension and of the number of principal components against the "
        "time step, for all images and for the images of one class.",
        height=2.1,
    )
