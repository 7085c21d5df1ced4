"""Figure 1a: experiments 1 and 2."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, band_words, counts, curve_numbers, curve_panels, reference, sizes
from reports.style import BLUE, VERMILION, styled

CONDITIONS = (
    Curve("accuracy_blanked", "blank rows follow (experiment 1)", BLUE, "-"),
    Curve("accuracy_truncated", "stopped early (experiment 2)", VERMILION, "--"),
)


def truncation(analysis: Analysis) -> Figure | None:
    """Accuracy against the rows shown, the rest blank or left out; a panel a hidden size."""
    if not sizes(analysis):
        return None
    with styled():
        figure, [row] = curve_panels(analysis, [Row("test accuracy (%)", CONDITIONS, 100)], "rows shown", [1, 7, 14, 21, 27])
        for axes in row:
            reference(axes, 10)
            axes.set_ylim(0, 100)
    return Figure(
        "truncation",
        figure,
        f"Test accuracy when the network sees only the first rows of each image: the rest blank, read after row 28 "
        f"(experiment 1), or the readout applied at once (experiment 2). Networks: {counts(analysis)}. "
        f"{band_words(analysis)} Dotted: chance.",
        "Line charts, one for each hidden size, of test accuracy against the number of rows shown, for blank rows and for "
        "stopping early. The numbers are in truncation.csv.",
        curve_numbers(analysis, [curve.variable for curve in CONDITIONS]),
    )
