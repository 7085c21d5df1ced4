"""Figure 1a: experiments 1 and 2."""

from __future__ import annotations

from analysis.findings import present
from analysis.study_analysis import Analysis
from reports.figures.figure import Figure, band_words, counts, curve_numbers, draw_curves, reference, sizes
from reports.style import BLUE, VERMILION, panels, styled

CONDITIONS = (
    ("accuracy_blanked", "blank rows follow (experiment 1)", BLUE, "-"),
    ("accuracy_truncated", "stopped early (experiment 2)", VERMILION, "--"),
)


def truncation(analysis: Analysis) -> Figure | None:
    """Accuracy against the rows shown, the rest blank or left out; a panel a hidden size."""
    if not (shown := sizes(analysis)):
        return None
    with styled():
        figure, [row] = panels(len(shown), height=2.5, sharey=True)
        for axes, size in zip(row, shown, strict=True):
            networks = present(analysis.dataset, size)
            for name, label, colour, style in CONDITIONS:
                draw_curves(axes, networks.rows_shown.values, networks[name].values,
                            analysis.findings.band(name, size), colour, style, label, scale=100)
            reference(axes, 10)
            axes.set(title=f"H = {size}", xlabel="rows shown", xticks=[1, 7, 14, 21, 27], ylim=(0, 100))
        row[0].set_ylabel("test accuracy (%)")
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return Figure(
        "truncation",
        figure,
        f"Test accuracy when the network sees only the first rows of each image: the rest blank, read after row 28 "
        f"(experiment 1), or the readout applied at once (experiment 2). Networks: {counts(analysis)}. "
        f"{band_words(analysis)} Dotted: chance.",
        "Line charts, one for each hidden size, of test accuracy against the number of rows shown, for blank rows and for "
        "stopping early. The numbers are in truncation.csv.",
        curve_numbers(analysis, [name for name, *_ in CONDITIONS]),
    )
