"""Figure 1a: experiments 1 and 2."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, chance, curve_figure, image_rows, row_ticks, sizes
from reports.figures.style import BLUE, VERMILION

CONDITIONS = (
    Curve("accuracy_blanked", "blank rows follow (experiment 1)", BLUE, "-"),
    Curve("accuracy_truncated", "stopped early (experiment 2)", VERMILION, "--"),
)


def truncation(analysis: Analysis) -> Figure | None:
    """Accuracy against the rows shown, the rest blank or left out; one panel per hidden size."""
    if not sizes(analysis):
        return None
    rows = image_rows(analysis.dataset)
    return curve_figure(
        analysis,
        "truncation",
        [Row("test accuracy (%)", CONDITIONS, scale=100, top=100, reference=chance(analysis.dataset))],
        "Test accuracy when the network sees only the first rows of each image: either blank rows replace the rest and the readout "
        f"is applied after row {rows} (experiment 1), or the readout is applied at once (experiment 2). Dotted: chance.",
        "Line charts, one for each hidden size, of test accuracy against the number of rows shown, for blank rows and for "
        "stopping early.",
        x=("rows shown", row_ticks(rows, rows - 1)),
    )
