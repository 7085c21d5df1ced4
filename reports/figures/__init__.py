"""The figures of the report: one function and one file per figure.

Each function takes an `Analysis`. It returns a `Figure` with its caption, an alternative text and the numbers behind it, or None
where the study does not have the data for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from analysis.study_analysis import Analysis
from reports.figures.decoding import decoding
from reports.figures.degeneracy import degeneracy
from reports.figures.dimensionality import dimensionality
from reports.figures.early_classification import early_classification
from reports.figures.embedding import embedding, embedding_steps
from reports.figures.figure import Figure
from reports.figures.geometry import geometry
from reports.figures.interventions import interventions
from reports.figures.learning import learning
from reports.figures.networks import networks
from reports.figures.oscillation import oscillation
from reports.figures.predicted import predicted
from reports.figures.similarity import similarity
from reports.figures.spectrum import spectrum
from reports.figures.surfaces import generalisation, surface
from reports.figures.theory import theory
from reports.figures.truncation import truncation

FIGURES = {
    figure.__name__: figure
    for figure in (
        truncation,
        surface,
        oscillation,
        predicted,
        dimensionality,
        geometry,
        embedding,
        embedding_steps,
        decoding,
        generalisation,
        early_classification,
        theory,
        learning,
        interventions,
        spectrum,
        similarity,
        degeneracy,
        networks,
    )
}
OF_STATES = (
    "embedding",
    "embedding_steps",
    "similarity",
    "degeneracy",
)  # figures that need the networks themselves, not only their records


def draw(name: str, analysis: Analysis) -> Figure | None:
    """One of `FIGURES` by name; None where the study does not have the data for it. Raises `KeyError` for any other name."""
    return FIGURES[name](analysis)


def drawn(analysis: Analysis, names: Iterable[str] = FIGURES) -> dict[str, Figure]:
    """The named figures, without those for which the study does not have the data."""
    return {name: figure for name in names if (figure := FIGURES[name](analysis))}
