"""Three measures of dimensionality on equal numbers of images, compared with the untrained network and the input."""

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
    ("_by_group", "all classes", BLUE, "-", "trained"),
    ("_by_label", "one class", ORANGE, "--", "trained"),
    ("_by_group", "all classes, untrained network", GREY, "-.", "untrained"),
    ("_by_group", "all classes, image rows", GREEN, ":", "row"),
)


def geometry(analysis: Analysis) -> Figure | None:
    """One row per measure, one column per hidden size; None where the study did not measure the geometry."""
    if not sizes(analysis) or "twonn_by_group" not in analysis.dataset:
        return None
    images = analysis.dataset.twonn_by_group.attrs["images"]
    return curve_figure(
        analysis,
        "geometry",
        [Row(y, [Curve(name + part, *look) for part, *look in OF]) for name, y in MEASURES.items()],
        f"Dimensionality of the hidden states for images of one class and of all classes, by three measures: principal components "
        f"for 90% of the variance, participation ratio (corrected for the number of images), and TwoNN, the intrinsic dimension "
        f"estimated from nearest neighbours. Each is computed on {images} images, so that classes and random groups can be "
        f"compared (means over classes, and over groups). Where all images of a class are blank so far, their dimension is 0.",
        "Line charts against the time step, one column for each hidden size and one row for each measure.",
        height=1.75,
    )
