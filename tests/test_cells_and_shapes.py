"""A cell of one's own, and a data set of another shape, through study, record, MLflow, analysis, figures and report."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import ROOT
from places import new_place, write_data_set

from analysis.dataset import runs
from study.data.sources import Images
from study.networks.network import RecurrentNetwork
from study.record.network_record import MEASUREMENTS, WEIGHTS, read_measurements
from study.tracking.store import fetch

EXTENSION = {"HIDDEN_ORBITS_EXTENSIONS": "biased_cell", "PYTHONPATH": str(ROOT / "tests")}
SMALL = {
    "seeds": "0-1",
    "hidden_sizes": "8",
    "epochs": "2",
    "batch_size": "25",
    "learning_rate": "5e-3",
    "measurements": "standard",
}


def _text(pdf) -> str:
    """The words of a PDF, where the machine can read one."""
    try:
        return " ".join(subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout.split())
    except FileNotFoundError:
        pytest.skip("pdftotext is not installed")


def _command(place, *arguments: str):
    study = place.start(module=arguments[0], command=arguments[1:])
    study.wait(600)
    return study


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    """A study of the biased cell on MNIST, with its report."""
    place = new_place(tmp_path_factory.mktemp("biased"))
    place.environment |= EXTENSION
    report = place.folder / "report.pdf"
    study = place.start(command=("run",), cell="biased_tanh", out=str(report), **SMALL)
    study.wait(900)
    assert study.process.returncode == 0, study.output
    return place


@pytest.mark.slow
def test_a_cell_of_one_s_own_is_trained_measured_and_reported(biased, tmp_path):
    [study] = biased.runs("tags.kind = 'study'")
    networks = biased.runs("tags.kind = 'network'")
    assert {run.data.params["cell"] for run in networks} == {"biased_tanh"}
    assert all("biased_tanh has no code of its own" in run.data.tags["logged_model"] for run in networks)
    folder = fetch(biased.client, networks[0], tmp_path)
    record = read_measurements(folder / MEASUREMENTS)
    assert record.period_predicted.attrs["odd"] == 0
    assert "no rest state" in record.eigenvalue_real.attrs["missing"]
    assert float(record.test_accuracy) > 0.2
    assert (folder / WEIGHTS).is_file()
    dataset = runs.load(study.info.run_id, biased.client)
    assert dataset.eigenvalue_real.dims == ("hidden_size", "seed", "mode")
    words = _text(biased.folder / "report.pdf")
    assert "one recurrent layer of tanh units with a recurrent bias" in words
    assert "eigenvalues of the Jacobian at rest" in words
    assert "period or its half" not in words  # as an odd map's accuracy can have


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "bias", "words", "absent"),
    [
        ("lstm", "true", "one recurrent layer of long short-term memory units (LSTM) with bias", "h -> f(R h) with an odd f"),
        ("relu", "false", "one recurrent layer of rectified linear units without bias", "no derivative at its rest state"),
    ],
)
def test_a_built_in_cell_is_trained_measured_and_reported(cell, bias, words, absent, tmp_path):
    place = new_place(tmp_path)
    report = tmp_path / "report.pdf"
    # All measurements of few images: t-SNE of all steps of MNIST would take minutes.
    digits = {"dataset": "digits", "train_images": "all", "measurements": "full"}
    study = place.start(command=("run",), cell=cell, bias=bias, out=str(report), **SMALL | digits)
    study.wait(900)
    assert study.process.returncode == 0, study.output
    [run] = place.runs("tags.kind = 'study'")
    dataset = runs.load(run.info.run_id, place.client)
    assert dataset.attrs["missing"] == "{}", dataset.attrs["missing"]
    assert dataset.sizes["mode"] == (16 if cell == "lstm" else 8)
    networks = place.runs("tags.kind = 'network'")
    assert {one.data.params["cell"] for one in networks} == {cell + "_bias" * (bias == "true")}
    assert all("logged_model" not in one.data.tags for one in networks)
    text = _text(report)
    assert words in text
    assert absent in text


@pytest.mark.slow
def test_without_its_extension_a_stored_cell_is_a_line_and_the_records_are_analysed(biased, tmp_path):
    without = type(biased)(biased.folder, biased.store)
    study = _command(
        without, "analysis", "--study", "latest", "--data-dir", "data", "--out", str(tmp_path / "out"), "--embedding", "umap"
    )
    assert study.process.returncode == 0, study.output
    assert "biased_tanh: no cell of this name is registered" in study.output
    assert "HIDDEN_ORBITS_EXTENSIONS" in study.output
    assert "Traceback" not in study.output
    assert xr.load_dataset(tmp_path / "out" / "dataset.nc").test_accuracy.notnull().all()
    study = _command(without, "reports", "--study", "latest", "--out", str(tmp_path / "r.pdf"))
    assert study.process.returncode == 0, study.output
    assert "the cell biased_tanh, which is not registered here" in _text(tmp_path / "r.pdf")


def test_a_study_of_a_cell_that_is_not_registered_ends_at_the_door(place):
    study = place.run(cell="biased_tanh")
    assert study.process.returncode == 2
    [line] = study.output.splitlines()
    assert "cell=biased_tanh: no cell of this name is registered" in line
    assert "expected tanh, relu, gru, lstm, or another registered cell" in line


def _shaped(count: int, seed: int) -> Images:
    """Images of 12 rows of 9 pixels: noise, and a bright block whose rows tell which of four classes it is."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.randint(60, (count, 12, 9), generator=draw, dtype=torch.uint8)
    for number, label in enumerate(labels.tolist()):
        images[number, 3 * label : 3 * label + 3, 2:7] += 150
    return Images(images, labels)


@pytest.mark.slow
def test_a_data_set_of_another_shape_passes_through_and_says_what_it_lacks(place, tmp_path):
    folder = write_data_set(tmp_path / "data", _shaped(400, 0), _shaped(120, 1))
    report, out = tmp_path / "report.pdf", tmp_path / "out"
    shape = {"data_dir": str(folder), "train_images": "400", "seeds": "0-5", "blank_rows": "40", "epochs": "4"}
    study = place.start(command=("run",), out=str(report), **(SMALL | shape))
    study.wait(900)
    assert study.process.returncode == 0, study.output
    [run] = place.runs("tags.kind = 'study'")
    dataset = runs.load(run.info.run_id, place.client)
    assert {name: dataset.sizes[name] for name in ("time_step", "rows_shown", "label", "group")} == {
        "time_step": 12,
        "rows_shown": 11,
        "label": 4,
        "group": 4,
    }
    assert float(dataset.test_accuracy.mean()) > 0.4
    assert (dataset.early_class == 0).all()  # whose block is in the first rows
    assert dataset.attrs["features"] == "9"
    study = _command(place, "analysis", "--study", "latest", "--data-dir", str(folder), "--out", str(out))
    assert study.process.returncode == 0, study.output
    assert "left out" not in study.output
    assert re.search(r"^C6 +H=8 .*training separates one class early \(0, by step 2\)", study.output, re.MULTILINE), study.output
    assert xr.load_dataset(out / "embedding-8.nc").time_step.values.tolist() == [2, 7, 12]
    network = place.runs("tags.kind = 'network'")[0]
    [model] = place.client.search_logged_models([network.info.experiment_id], max_results=1)
    assert model.name == "classifier"
    words = _text(report)
    assert "on images in MNIST's format (12 rows of 9 pixels; 4 classes)" in words
    assert "C1, test accuracy is the one asked for: not applicable, because no accuracy was asked for (--accuracy)" in words
    assert "not trained if the mean test accuracy is below 58%" in words  # with four classes
    assert "applied after row 12 (experiment 1)" in words
    assert "row 28" not in words
    assert "step 28" not in words


@pytest.mark.slow
def test_another_number_of_rows_is_another_data_set_from_training_to_report(place, tmp_path):
    folder = write_data_set(tmp_path / "data", _shaped(400, 0), _shaped(120, 1))
    own = SMALL | {"data_dir": str(folder), "train_images": "400", "seeds": "0-5", "blank_rows": "40", "epochs": "2"}
    report = tmp_path / "report.pdf"
    for rows, steps in (("all", 12), ("6", 6), ("24", 24), ("12", 12)):
        study = place.start(command=("run", *(["--no-report"] if rows != "6" else [])), out=str(report), rows=rows, **own)
        study.wait(900)
        assert study.process.returncode == 0, study.output
        trained = 0 if rows == "12" else 6  # the images' own number
        assert f"6 networks expected: {trained} trained, 0 re-measured, {6 - trained} reused" in study.output
        assert runs.load("latest", place.client).sizes["time_step"] == steps
        if rows == "6":
            assert "left out" not in study.output  # the images are found again for t-SNE
            assert "(resampled to 6 rows: neighbours averaged, or each shown several times)" in _text(report)
    refused = place.start(rows="5", **own)
    refused.wait(60)
    assert refused.process.returncode == 2
    assert "rows=5: images of mnist have 12 rows; expected all, or a number that divides 12" in refused.output
    mixed = place.start(module="study", command=("run", "--no-report"), rows="6", **(own | {"seeds": "6"}))
    mixed.wait(300)
    assert mixed.process.returncode == 0, mixed.output
    ids = {
        runs.load(run.info.run_id, place.client).sizes["time_step"]: run.info.run_id
        for run in place.studies()
        if run.data.params["seeds"] == "0-5"
    }
    others = f"{ids[6]},{ids[24]}"
    analysis = place.start(module="analysis", command=("--study", ids[12], "--beside", others, "--data-dir", str(folder)))
    analysis.wait(300)
    assert analysis.process.returncode == 0, analysis.output
    assert re.search(r"^C10 +H=8 .*periods scale with the length of the sequence", analysis.output, re.MULTILINE), analysis.output
    figure = tmp_path / "theory.svg"
    drawn = place.start(
        module="reports", command=("figure", "theory", "--study", ids[12], "--beside", others, "--out", str(figure))
    )
    drawn.wait(300)
    assert drawn.process.returncode == 0, drawn.output
    assert "sequences of other lengths T" in drawn.output
    same = place.start(module="analysis", command=("--study", ids[12], "--beside", ids[12]))
    same.wait(300)
    assert same.process.returncode == 2
    assert "beside: the study itself, or a study twice; expected studies of other lengths" in same.output


@pytest.mark.slow
def test_blank_rows_in_training_reach_the_report_and_are_another_network(place, tmp_path):
    folder = write_data_set(tmp_path / "data", _shaped(400, 0), _shaped(120, 1))
    own = SMALL | {"data_dir": str(folder), "train_images": "400", "seeds": "0-5", "blank_rows": "40", "epochs": "2"}
    report = tmp_path / "report.pdf"
    for trailing, trained in (("0", 6), ("0-5", 6), ("0-5", 0)):
        study = place.start(command=("run",), out=str(report), trailing_blanks=trailing, **own)
        study.wait(900)
        assert study.process.returncode == 0, study.output
        assert f"6 networks expected: {trained} trained, 0 re-measured, {6 - trained} reused" in study.output
    assert "and 0 to 5 blank rows after it, a number drawn anew for each batch" in _text(report)


@pytest.mark.slow
def test_data_of_one_s_own_pass_through_and_are_found_again_where_they_were_moved(place, tmp_path):
    """Signed sequences with words for classes: trained on, moved and renamed, asked for again, analysed and reported."""
    train, test = _shaped(400, 0), _shaped(120, 1)
    arrays = {
        f"{part}_{name}": array.numpy().astype(kind)
        for part, images in (("train", train), ("test", test))
        for name, array, kind in (("x", 2.0 * images.images - 100, "f8"), ("y", images.labels, "i2"))
    }
    (tmp_path / "here").mkdir()
    file = tmp_path / "here" / "steps.npz"
    np.savez(file, **arrays, class_names=np.array(["first", "second", "third", "fourth"]))
    own = SMALL | {"train_images": "all", "seeds": "0-5", "blank_rows": "40"}
    study = place.start(dataset=str(file), order="permuted", **own)
    study.wait(900)
    assert study.process.returncode == 0, study.output
    assert "6 networks expected: 6 trained" in study.output
    moved = file.rename(tmp_path / "renamed.npz")
    report = tmp_path / "report.pdf"
    study = place.start(command=("run",), dataset=str(moved), order="permuted", out=str(report), **own)
    study.wait(900)
    assert study.process.returncode == 0, study.output
    assert "0 trained, 0 re-measured, 6 reused" in study.output
    assert "left out" not in study.output  # the data are found again for t-SNE
    again, first = place.studies()
    assert [run.data.params["dataset"] for run in (first, again)] == ["steps.npz", "renamed.npz"]
    assert {name: again.data.params[name] for name in ("time_steps", "features", "classes", "train_images", "order")} == {
        "time_steps": "12",
        "features": "9",
        "classes": "4",
        "train_images": "400",
        "order": "permuted",
    }
    networks = place.networks(again)
    assert {run.data.params["dataset"] for run in networks} == {"own"}
    assert not [run for run in networks if str(tmp_path) in str(run.data.tags | run.data.params)]
    assert RecurrentNetwork.load(fetch(place.client, networks[0], tmp_path) / WEIGHTS, "permuted").features == 9
    assert "renamed.npz" in _text(report)
    assert "of pixels in one random order" in _text(report)
    for data_dir, left_out in ((ROOT / "data", True), (tmp_path, True), (moved, False)):  # it knows the former name
        study = _command(place, "analysis", "--study", first.info.run_id, "--data-dir", str(data_dir))
        assert study.process.returncode == 0, study.output
        assert (f"dataset=steps.npz: there is neither {data_dir}/steps.npz" in study.output) == left_out
        assert ("left out" in study.output) == left_out
