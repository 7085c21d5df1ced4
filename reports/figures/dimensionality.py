"""Dimensionality over time: principal components for 90% of the variance."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, curve_figure, first_states_equal, sizes
from reports.figures.style import BLUE, ORANGE

CURVES = (Curve("pca90", "all images", BLUE, "-"), Curve("pca90_by_digit", "images of one digit (mean over digits)", ORANGE, "--"))


def dimensionality(analysis: Analysis) -> Figure | None:
    """PCA-90 against the time step, for all images and by digit; one panel per hidden size."""
    if not sizes(analysis):
        return None
    blank = " Row 1 of every test image is blank, so at step 1 all states are equal and the count is 0."
    return curve_figure(
        analysis,
        "dimensionality",
        [Row("principal components\nfor 90% of the variance", CURVES)],
        "Linear dimensionality of the hidden states at each time step: the number of principal components needed for 90% of their "
        f"variance, for all test images and for the images of one digit.{blank if first_states_equal(analysis.dataset) else ''}",
        "Line charts, one for each hidden size, of the number of principal components against the time step, for all images and "
        "for the images of one digit.",
    )
