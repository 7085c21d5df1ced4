"""Typesets the report: figures and content in, one PDF out."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import typst

from analysis.study_analysis import Analysis
from reports.content import content
from reports.figures import FIGURES

TEMPLATE = Path(__file__).with_name("report.typ")
TIMESTAMP = datetime(2020, 7, 17, tzinfo=UTC)  # fixed, so that the same runs give the same bytes


def build(analysis: Analysis, folder: Path) -> Path:
    """Draws every figure into `folder/figures` and typesets `folder/report.pdf`; returns its path.

    Raises `RuntimeError` where typst warns, such as of a font it has not.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    figures = {name: figure for name, draw in FIGURES.items() if (figure := draw(analysis))}
    for figure in figures.values():
        figure.save(folder / "figures")
    with tempfile.TemporaryDirectory() as here:
        root = Path(here)
        shutil.copytree(folder / "figures", root / "figures")
        shutil.copy(TEMPLATE, root)
        (root / "content.json").write_text(json.dumps(content(analysis, figures)))
        compiled, warnings = typst.compile_with_warnings(
            root / TEMPLATE.name, root=root, ignore_system_fonts=True, timestamp=int(TIMESTAMP.timestamp()))
    if warnings:
        raise RuntimeError("; ".join(str(warning) for warning in warnings))
    target = folder / "report.pdf"
    target.write_bytes(compiled)
    return target
