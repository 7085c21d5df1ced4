"""Dimensionality over time: principal components for 90% of the variance."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, band_words, counts, curve_numbers, curve_panels, sizes
from reports.style import BLUE, ORANGE, styled

CURVES = (
    Curve("pca90", "all images", BLUE, "-"),
    Curve("pca90_by_digit", "images of one digit (mean over digits)", ORANGE, "--"),
)


def dimensionality(analysis: Analysis) -> Figure | None:
    """PCA-90 against the time step, whole and by digit; a panel a hidden size."""
    if not sizes(analysis):
        return None
    with styled():
        figure, [row] = curve_panels(analysis, [Row("principal components\nfor 90% of the variance", CURVES)],
                                     "time step (rows read)", [1, 7, 14, 21, 28])
        row[0].set_ylim(bottom=0)  # the panels share their axis
    return Figure(
        "dimensionality",
        figure,
        f"Linear dimensionality of the hidden states: the number of principal components that carry 90% of their variance, "
        f"for all test images and for the images of one digit. Row 1 of every test image is blank, so all states are equal "
        f"and the count is 0 at step 1. Networks: {counts(analysis)}. {band_words(analysis)}",
        "Line charts, one for each hidden size, of the number of principal components against the time step, for all images "
        "and by digit. The numbers are in dimensionality.csv.",
        curve_numbers(analysis, [curve.variable for curve in CURVES]),
    )
