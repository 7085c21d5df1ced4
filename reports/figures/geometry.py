"""Three measures of dimensionality on equal numbers of images, beside the untrained network and the input."""

from __future__ import annotations

from analysis.study_analysis import Analysis
from reports.figures.figure import Curve, Figure, Row, curve_figure, sizes
from reports.figures.style import BLUE, GREEN, GREY, ORANGE

MEASURES = {
    "pca90_matched": "PCA-90\n(components)",
    "participation_ratio_corrected": "participation\nratio",
    "twonn": "TwoNN\n(dimensions)",
}
OF = (
    ("_by_group", "all digits", BLUE, "-", "trained"),
    ("_by_digit", "one digit", ORANGE, "--", "trained"),
    ("_by_group", "all digits, untrained network", GREY, "-.", "untrained"),
    ("_by_group", "all digits, image rows", GREEN, ":", "row"),
)


def geometry(analysis: Analysis) -> Figure | None:
    """A row a measure, a column a hidden size; None where the study did not measure the geometry."""
    if not sizes(analysis) or "twonn_by_group" not in analysis.dataset:
        return None
    images = analysis.dataset.twonn_by_group.attrs["images"]
    return curve_figure(
        analysis,
        "geometry",
        [Row(y, [Curve(name + part, *look) for part, *look in OF]) for name, y in MEASURES.items()],
        f"Three measures of the dimensionality of the hidden states, on {images} images each, so that images of one digit can be "
        f"compared with as many of all digits (means over digits, and over random groups): principal components for 90% of the "
        f"variance, participation ratio without bias in the number of images, and TwoNN, the intrinsic dimension that nearest "
        f"neighbours see. Images of a digit that are all blank so far have dimension 0.",
        "Line charts, a column for each hidden size and a row for each measure, against the time step.",
        height=1.75,
    )
