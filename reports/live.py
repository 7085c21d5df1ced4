"""Figures of a study that is still running: whoever browses it can watch the bands tighten."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow import MlflowClient

from analysis.study_analysis import describe, of_records
from reports.figures import drawn
from study.tracking import results

FOLDER = "figures"  # where the report will put them


def refresh(client: MlflowClient, study: str) -> int:
    """Logs the figures and the description of a study, from the networks it has so far; returns the number of networks.

    Slow parts are left to the report: figures of hidden states, and the pages of single networks.
    """
    analysis = of_records(client, study)
    with tempfile.TemporaryDirectory() as folder:
        for figure in drawn(analysis).values():
            figure.save(Path(folder))
        results.log_files(client, analysis.study, Path(folder), FOLDER)
    describe(client, analysis, running=True)
    return analysis.networks
