"""Figures that are there while a study still runs."""

from __future__ import annotations

import time

import pytest
from places import Place, write_data_set

from reports.live import refresh
from study.tracking.results import holds

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


def test_a_hidden_size_is_analysed_and_drawn_while_others_train(place: Place, tmp_path, train_images, test_images):
    """As soon as its networks are stored; the analysis at the end does not compute it again."""
    folder = write_data_set(place.folder / "data", train_images.first(600), test_images.first(100))
    few = {"data_dir": str(folder), "train_images": "600", "epochs": "400", "measurements": "standard", "jobs": "1"}
    study = place.start(
        command=("run", "--out", str(tmp_path / "report.pdf")), seeds="0-3", hidden_sizes="12,8", refresh="600", **few
    )

    def of_first_size(path: str) -> list:
        networks = place.runs("tags.kind = 'network' and tags.complete = 'true' and params.hidden_size = '12'")
        runs = place.studies() if path.startswith("analysis") else networks
        return [run for run in runs if holds(place.client, run.info.run_id, path)]

    study.until(lambda: of_first_size("analysis/embedding-12.nc"), seconds=240)
    assert of_first_size("analysis/similarity-12.nc")
    time.sleep(1)  # in which an analysis would store all that it has
    assert not of_first_size("analysis/embedding-8.nc")
    assert not of_first_size("analysis/findings.json")
    assert study.wait() == 0, study.output
    assert of_first_size("analysis/embedding-8.nc")
    assert len(of_first_size("network.png")) == 4


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
