"""The figures of the report: one function a figure, one file a figure.

Each takes an `Analysis` and returns a `Figure` with its caption, its description for readers who cannot see it, and the
numbers behind it; None where the study holds nothing to draw.
"""

from __future__ import annotations

from reports.figures.dimensionality import dimensionality
from reports.figures.embedding import embedding, embedding_steps
from reports.figures.oscillation import oscillation
from reports.figures.similarity import similarity
from reports.figures.truncation import truncation

FIGURES = {
    "truncation": truncation,
    "oscillation": oscillation,
    "dimensionality": dimensionality,
    "embedding": embedding,
    "embedding_steps": embedding_steps,
    "similarity": similarity,
}
