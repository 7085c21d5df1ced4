"""Figures of a study that is still running, so that those who browse it see its bands tighten."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mlflow import MlflowClient

from analysis import runs
from analysis.findings import markdown
from analysis.study_analysis import of_dataset
from reports.figures import FIGURES, OF_STATES

FOLDER = "figures"  # where the report puts them in the end
THUMBNAIL = f"{FOLDER}/truncation.png"


def refresh(client: MlflowClient, study: str) -> int:
    """Logs the figures and the description of a study from the networks it has so far; returns their number.

    What takes long is left to the report: figures of hidden states, and the pages of single networks.
    """
    analysis = of_dataset(runs.load(study, client))
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in FIGURES.items():
            if name not in OF_STATES and (figure := draw(analysis)):
                figure.save(Path(folder))
        runs.log_files(client, analysis.dataset.attrs["study"], Path(folder), FOLDER)
    words = markdown(analysis.dataset, analysis.findings, running=True)
    runs.log_description(client, analysis.dataset.attrs["study"], words, THUMBNAIL)
    return int((analysis.dataset.run_id != "").sum())
