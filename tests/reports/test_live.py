"""Figures that are there while a study still runs."""

from __future__ import annotations

import pytest
from places import Place

from reports.live import refresh

pytestmark = pytest.mark.slow


def test_a_running_study_shows_its_figures_and_preliminary_verdicts(place: Place, tmp_path):
    study = place.start(command=("run", "--out", str(tmp_path / "report.pdf")), seeds="0-15", epochs="16", jobs="1", refresh="1")
    study.until(lambda: "preliminary" in _description(place), seconds=240)
    [run] = place.studies()
    assert run.info.status == "RUNNING"
    names = {file.path for file in place.client.list_artifacts(run.info.run_id, "figures")}
    assert {"figures/truncation.svg", "figures/dimensionality.png", "figures/truncation.csv"} <= names
    assert study.wait() == 0, study.output
    assert "preliminary" not in _description(place)
    assert "16 of 16 networks** measured." in _description(place)


def test_a_study_without_a_network_so_far_says_so(place: Place):
    study = place.start(refresh="0")
    study.until(lambda: place.studies() and "in training" in _description(place))
    run = place.studies()[0]
    networks = refresh(place.client, run.info.run_id)
    assert f"**{networks} of 4 networks**" in _description(place)
    study.wait()


def _description(place: Place) -> str:
    studies = place.studies()
    return studies[0].data.tags.get("mlflow.note.content", "") if studies else ""
