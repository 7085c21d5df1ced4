"""The recipes of CONTRIBUTING.md, and the page on one's own network, as they stand there."""

from __future__ import annotations

import re

import pytest
import xarray as xr
from conftest import ROOT
from made import made_study

from analysis.claims import CLAIMS
from analysis.claims.findings import evaluate
from analysis.study_analysis import of_dataset
from reports.text.claims import sentence
from study.measurements import MEASUREMENTS, measure
from study.measurements.recording import Recording
from study.networks.cells import CELLS

BLOCK = re.compile(r"```python\n# (\S+)\n(.*?)```", re.DOTALL)
RECIPES = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()))


@pytest.fixture
def follow():
    """Runs a recipe; what it registers is gone afterwards."""
    registries = (MEASUREMENTS, CLAIMS, CELLS)
    before = [dict(registry) for registry in registries]

    def run(name: str) -> dict:
        space = {"__name__": name.removesuffix(".py")}
        exec(compile(RECIPES[name], name, "exec"), space)
        return space

    yield run
    for registry, content in zip(registries, before, strict=True):
        registry.clear()
        registry.update(content)


def test_a_measurement(follow, network, test_images, train_images):
    follow("my_measurement.py")
    recording = Recording(network, test_images.first(200), train_images.first(200), blank_rows=2)
    measured = measure(recording, ["strength"])
    assert measured.strength.dims == ("time_step",)
    assert measured.strength.values == pytest.approx(recording.states.double().norm(dim=2).mean(dim=1).numpy())
    assert measured.attrs["measured"] == "strength"


def test_a_claim(follow):
    follow("my_claim.py")
    dataset = made_study(8)
    dataset["peak_dimension"] = dataset.pca90.max("time_step")
    [finding] = [finding for finding in evaluate(dataset).ledger if finding.claim == "X1"]
    assert finding.estimate.n == 8
    assert f"{dataset.peak_dimension.min().item():.0f} at least" in sentence(finding)


def test_a_figure(follow, tmp_path):
    space = follow("reports/figures/loss.py")
    losses = xr.DataArray([1.0, 0.5, 0.4], dims="epoch", coords={"epoch": [1, 2, 3]})
    dataset = made_study(8)
    assert space["loss"](of_dataset(dataset)) is None
    epochs = (dataset.test_accuracy * losses).assign_attrs(role="curve", metric="train/loss", long_name="loss", units="nat")
    figure = space["loss"](of_dataset(dataset.assign(train_loss=epochs)))
    figure.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"loss.svg", "loss.png", "loss.csv"}
    assert list(figure.numbers.step) == [1, 2, 3]


def test_a_cell(follow):
    follow("my_cells.py")
    assert CELLS["biased"].shapes(4, 3)["shift"] == (4,)
    assert not CELLS["biased"].odd


@pytest.mark.slow
def test_a_network_of_one_s_own(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "your-network.md").read_text()
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "my_network"}
    for name, code in BLOCK.findall(page):
        exec(compile(code, name, "exec"), space)
    accuracy = float(re.search(r"test accuracy ([\d.]+)%", capsys.readouterr().out)[1])
    assert accuracy > 50
    measured = xr.load_dataset(tmp_path / "measured.nc")
    assert measured.accuracy_appended.sizes == {"blank_rows": 101}
    assert measured.dimension90.sel(source=[0, 1]).notnull().all()
    # The table names every measurement, and no other.
    named = {
        name for row in re.findall(r"^\| (`.*?) \| (?:made|left out)", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(MEASUREMENTS)
