"""Typesets a document: figures and content in, one PDF out."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typst

from analysis.study_analysis import Analysis
from reports.figures import drawn
from reports.figures.figure import Figure
from reports.figures.glyphs import typesettable
from reports.figures.style import FONTS
from reports.text.comparison import comparison
from reports.text.content import content

if TYPE_CHECKING:
    from typst import PDFStandards

TEMPLATES = Path(__file__).parent
STANDARDS: PDFStandards = ["a-2a", "ua-1"]  # archival, and accessible to screen readers
TIMESTAMP = datetime(2020, 7, 17, tzinfo=UTC)  # fixed, so that the same runs give the same bytes


def build_report(analysis: Analysis, folder: Path) -> Path:
    """Draws every figure of a study into `folder/figures` and typesets `folder/report.pdf`; returns its path."""
    figures = drawn(analysis)
    return _typeset("report.typ", content(analysis, figures), figures, folder)


def build_comparison(first: Analysis, second: Analysis, folder: Path) -> Path:
    """Draws the figures of two studies into `folder/figures` and typesets `folder/comparison.pdf`; returns its path."""
    words, figures = comparison(first, second)
    return _typeset("comparison.typ", words, figures, folder)


def _typeset(template: str, words: dict, figures: Mapping[str, Figure], folder: Path) -> Path:
    """Saves the figures and typesets the template as PDF/A-2a and PDF/UA-1; the same input gives the same bytes.

    Raises `RuntimeError` where typst warns, for example about a missing font.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure in figures.values():
        figure.save(folder / "figures")
    with tempfile.TemporaryDirectory() as here:
        root = Path(here)
        shutil.copytree(folder / "figures", root / "figures")
        for file in TEMPLATES.glob("*.typ"):
            shutil.copy(file, root)
        (root / "content.json").write_text(json.dumps(typesettable(words)))
        compiled, warnings = typst.compile_with_warnings(
            root / template,
            root=root,
            font_paths=[FONTS],
            ignore_system_fonts=True,
            timestamp=int(TIMESTAMP.timestamp()),
            pdf_standards=STANDARDS,
        )
    if warnings:
        raise RuntimeError("; ".join(str(warning) for warning in warnings))
    target = folder / Path(template).with_suffix(".pdf").name
    target.write_bytes(compiled)
    return target
