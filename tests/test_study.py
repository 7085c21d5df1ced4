"""A real study through `mlflow run`, and what a user meets in MLflow, on disk and at the door."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
import xarray as xr
from conftest import ROOT, SMALL, run_command, tracked_in
from mlflow import MlflowClient

from analysis.claims import CLAIMS
from analysis.dataset import runs
from study.networks.network import RecurrentNetwork

PYTHON = sys.executable


def _children(real_study, kind):
    run = real_study.client.get_run(real_study.run_id)
    found = real_study.client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{real_study.run_id}' and tags.kind = '{kind}'"
    )
    return sorted(found, key=lambda child: child.info.start_time)


def test_the_study_is_one_run_with_its_networks_and_aggregates_one_level_below(real_study):
    run = real_study.client.get_run(real_study.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["networks/trained"] == run.data.metrics["networks/expected"] == 14
    assert run.data.params["hidden_sizes"] == SMALL["hidden_sizes"]
    accuracy = CLAIMS["C1"].about(runs.load(real_study.run_id, real_study.client)).hypothesis
    assert f"| C1: {accuracy} | 8 |" in run.data.tags["mlflow.note.content"]
    assert [i.dataset.name for i in run.inputs.dataset_inputs] == ["mnist"]
    networks = _children(real_study, "network")
    assert {(n.data.params["hidden_size"], n.data.params["seed"]) for n in networks} == {
        (h, str(s)) for h in ("8", "16") for s in range(7)
    }
    assert all(n.info.status == "FINISHED" and n.data.tags["complete"] == "true" for n in networks)
    assert len({n.data.tags["training_key"] for n in networks}) == 14
    assert [a.data.params["hidden_size"] for a in _children(real_study, "aggregate")] == ["8", "16"]


def test_a_network_run_draws_its_curves(real_study):
    network = _children(real_study, "network")[0]
    client = real_study.client

    def steps(metric):
        return [point.step for point in client.get_metric_history(network.info.run_id, metric)]

    assert steps("train/loss") == steps("test/accuracy") == [1, 2, 3]
    assert steps("blanked/accuracy") == steps("truncated/accuracy") == list(range(1, 28))
    assert steps("appended/accuracy") == list(range(91))
    assert steps("pca90/whole") == steps("pca90/by_label_mean") == list(range(1, 29))
    assert {"test_accuracy", "peak_dimension", "period"} <= set(network.data.metrics)


def test_an_aggregate_run_draws_the_band(real_study):
    aggregate = _children(real_study, "aggregate")[0]
    band = {
        part: real_study.client.get_metric_history(aggregate.info.run_id, f"blanked/accuracy/{part}")
        for part in ("lower", "mean", "upper")
    }
    assert [len(points) for points in band.values()] == [27] * 3
    assert all(low.value <= mid.value <= high.value for low, mid, high in zip(*band.values(), strict=True))


def test_the_logged_model_classifies_sequences_of_any_length(real_study, test_images, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    network = _children(real_study, "network")[0]
    [output] = network.outputs.model_outputs
    with tracked_in(real_study.store):
        model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    images = (test_images.images.numpy() / 255).astype(np.float32)
    labels = test_images.labels.numpy()
    assert np.mean(model.predict(images) == labels) == pytest.approx(network.data.metrics["test_accuracy"], abs=1e-4)
    history = {p.step: p.value for p in real_study.client.get_metric_history(network.info.run_id, "truncated/accuracy")}
    assert np.mean(model.predict(images[:, :5]) == labels) == pytest.approx(history[5], abs=1e-4)
    longer = np.concatenate([images, np.zeros((10000, 40, 28), np.float32)], axis=1)
    appended = {p.step: p.value for p in real_study.client.get_metric_history(network.info.run_id, "appended/accuracy")}
    assert np.mean(model.predict(longer) == labels) == pytest.approx(appended[40], abs=1e-4)


def test_the_report_is_logged_and_written(real_study, tmp_path):
    names = {file.path for file in real_study.client.list_artifacts(real_study.run_id)}
    assert {"report.pdf", "figures", "analysis", "study.json", "versions.json"} <= names
    written = real_study.report.read_bytes()
    assert written.startswith(b"%PDF")
    assert Path(real_study.client.download_artifacts(real_study.run_id, "report.pdf", str(tmp_path))).read_bytes() == written
    figures = {file.path for file in real_study.client.list_artifacts(real_study.run_id, "figures")}
    assert {
        f"figures/{name}.{kind}"
        for name in ("truncation", "oscillation", "dimensionality", "embedding", "similarity", "degeneracy", "learning", "theory")
        for kind in ("svg", "png", "csv")
    } <= figures


def test_every_network_run_has_a_page_of_figures(real_study):
    for network in _children(real_study, "network"):
        assert "network.png" in {file.path for file in real_study.client.list_artifacts(network.info.run_id)}


def test_an_aggregate_run_draws_similarity(real_study):
    aggregate = _children(real_study, "aggregate")[0]
    points = real_study.client.get_metric_history(aggregate.info.run_id, "similarity/cka/mean")
    assert [point.step for point in points] == list(range(2, 29))  # at step 1 all states are equal
    assert all(0 < point.value < 1 for point in points)


def test_a_study_printed_plain_lines_with_the_time_left(real_study):
    assert "14/14 networks" in real_study.output
    assert " left)" in real_study.output
    assert "\x1b[" not in real_study.output
    assert "Traceback" not in real_study.output


def test_the_same_network_comes_out_of_another_study_bit_for_bit(real_study, tmp_path):
    """Alone, in one process, beside no other network: the weights and every measured array are the same."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(tmp_path / "artifacts").as_uri())
    options = [
        part
        for name, value in (SMALL | {"seeds": "3", "hidden_sizes": "16", "jobs": "1"}).items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    done = run_command([PYTHON, "-m", "study", "run", *options, "--no-report"], store)
    assert done.returncode == 0, done.stderr
    client = MlflowClient(store)
    [alone] = client.search_runs([e.experiment_id for e in client.search_experiments()], "tags.kind = 'network'")
    [beside] = [n for n in _children(real_study, "network") if (n.data.params["hidden_size"], n.data.params["seed"]) == ("16", "3")]
    assert alone.data.tags["training_key"] == beside.data.tags["training_key"]
    weights, measurements = [], []
    for source, run in ((client, alone), (real_study.client, beside)):
        here = tmp_path / run.info.run_id
        here.mkdir()
        weights.append(Path(source.download_artifacts(run.info.run_id, "weights.safetensors", str(here))).read_bytes())
        measurements.append(xr.load_dataset(source.download_artifacts(run.info.run_id, "measurements.nc", str(here))))
    assert weights[0] == weights[1]
    assert measurements[0].equals(measurements[1])
    versions = [json.loads(measured.attrs["versions"])["torch"] for measured in measurements]
    assert versions[0] == versions[1]


@pytest.mark.slow
def test_measure_needs_no_study(tmp_path, test_images):
    network = RecurrentNetwork.initial(0, 16, 28, 10)
    network.save(tmp_path / "w.safetensors")
    command = [
        PYTHON,
        "-m",
        "study",
        "measure",
        str(tmp_path / "w.safetensors"),
        "--out",
        str(tmp_path / "m.nc"),
        "--blank-rows",
        "5",
    ]
    done = run_command(command, f"sqlite:///{tmp_path / 'unused.db'}")
    assert done.returncode == 0, done.stderr
    everything = xr.load_dataset(tmp_path / "m.nc")
    assert everything.accuracy_appended.sizes == {"blank_rows": 6}
    done = run_command([*command, "--only", "spectrum", "early_classification"], f"sqlite:///{tmp_path / 'unused.db'}")
    assert done.returncode == 0, done.stderr
    some = xr.load_dataset(tmp_path / "m.nc")
    assert set(some) == {
        "eigenvalue_real",
        "eigenvalue_imaginary",
        "spectral_radius",
        "period_predicted",
        "early_accuracy",
        "early_rows",
        "weights_dropped",
    }
    assert all(some[name].equals(everything[name]) for name in some)
    assert not (tmp_path / "unused.db").exists()


BAD = [
    (["study", "run", "--dataset", "cifar"], "dataset=cifar: expected one of: mnist"),
    (["study", "run", "--device", "tpu"], "device=tpu"),
    (["study", "run", "--seeds", "9-0"], "seeds=9-0: the range 9-0 runs backwards"),
    (["study", "run", "--hidden-sizes", "0"], "hidden_sizes=0"),
    (["study", "run", "--epochs", "abc"], "epochs=abc"),
    (["study", "run", "--epoch", "3"], "--epoch"),
    (["study", "run", "--train-images", "60001"], "mnist has 60000 training images"),
    (["study", "run", "--data-dir", "nowhere"], "no data set mnist under data_dir=nowhere"),
    (["study", "run", "--batch-size", "700", "--train-images", "600"], "batch_size=700"),
    (["study", "run", "--measurements", "most"], "measurements=most"),
    (["study", "measure", "absent.safetensors"], "no weights at absent.safetensors"),
    (["study", "measure", "absent.safetensors", "--only", "nothing"], "no measurement nothing: expected some of surface,"),
    (["study", "measure", "absent.safetensors", "probes"], "probes: expected one file of weights"),
    (["analysis", "--embedding", "pca"], "embedding=pca: expected one of: tsne, umap"),
    (["study", "tune", "--learning-rates", "1e-3,1e-4"], "learning_rates=1e-3,1e-4: expected the lowest and the highest"),
    (["study", "tune", "--trials", "none"], "trials=none"),
    (["reports", "--study", "latest"], "the tracking store holds no study"),
    (["reports", "--study", "0123"], "study=0123: the tracking store has no such run"),
    (["reports", "--out", "nowhere/report.pdf"], "out=nowhere/report.pdf"),
    (["study", "run", "--out", "nowhere/report.pdf"], "out=nowhere/report.pdf"),
    (["study", "run", "--data-dir", "README.md"], "no data set mnist under data_dir=README.md"),
    (["study", "run", "--precision", "tf32", "--device", "cpu"], "precision=tf32"),
    pytest.param(
        ["study", "run", "--device", "cuda"],
        "device=cuda was asked for, but PyTorch finds no CUDA GPU here",
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here"),
    ),
    (["analysis", "--out", "README.md"], "out=README.md: this is a file"),
    (["analysis", "--study", "latest"], "the tracking store holds no study"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_a_mistake_ends_at_once_with_one_line(arguments, message, empty_store):
    done = run_command([PYTHON, "-m", *arguments], empty_store)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not _all_runs(empty_store)


def _all_runs(store):
    client = MlflowClient(store)
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('empty') / 'mlflow.db'}"
    MlflowClient(uri).search_experiments()
    return uri


@pytest.mark.slow
@pytest.mark.parametrize("store", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db"])
def test_a_store_that_cannot_be_reached_ends_before_any_training(store):
    begun = time.monotonic()
    done = run_command([PYTHON, "-m", "study", "run", "--epochs", "1"], store)
    assert done.returncode == 2
    assert f"the tracking store {store} cannot be reached" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_make_study_tells_an_unreachable_store_at_once():
    begun = time.monotonic()
    done = run_command(["make", "study"], "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "error: the tracking store http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - begun < 60


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"])
def test_a_run_or_experiment_that_is_not_there_is_named(variable, empty_store):
    done = run_command([PYTHON, "-m", "study", "run"], empty_store, **{variable: "987654"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: no run can be made in the tracking store")
    assert not _all_runs(empty_store)


@pytest.mark.slow
def test_a_run_that_is_no_study_is_named(real_study, tmp_path):
    network = _children(real_study, "network")[0]
    command = [PYTHON, "-m", "reports", "--study", network.info.run_id, "--out", str(tmp_path / "report.pdf")]
    done = run_command(command, real_study.store)
    assert done.returncode == 2
    assert "this run is not a study (its kind: network)" in done.stderr


def test_a_mistake_through_mlflow_run_leaves_no_run_running(empty_store):
    done = run_command(["mlflow", "run", ".", "--env-manager", "local", "-P", "epochs=abc"], empty_store)
    assert done.returncode != 0
    assert "error: epochs=abc" in done.stderr
    [run] = MlflowClient(empty_store).search_runs(["0"])
    assert run.info.status == "FAILED"
    MlflowClient(empty_store).delete_run(run.info.run_id)


@pytest.mark.slow
def test_a_study_that_is_stopped_is_marked_and_ends_soon(tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(store)
    experiment = client.create_experiment("hidden-orbits", artifact_location=(tmp_path / "artifacts").as_uri())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    process = subprocess.Popen(
        [PYTHON, "-m", "study", "run", "--seeds", "0-5", "--hidden-sizes", "100", "--no-report"],
        cwd=ROOT,
        env=environment | {"MLFLOW_TRACKING_URI": store},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(120):
            if client.search_runs([experiment], "tags.kind = 'study'"):
                break
            time.sleep(0.5)
        time.sleep(5)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    [run] = client.search_runs([experiment], "tags.kind = 'study'")
    assert run.info.status == "KILLED"
    assert process.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.slow
def test_few_seeds_are_reported_without_bands(tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(tmp_path / "artifacts").as_uri())
    options = [
        part
        for name, value in (SMALL | {"seeds": "0-1", "hidden_sizes": "8"}).items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    done = run_command([PYTHON, "-m", "study", "run", *options, "--out", str(tmp_path / "few.pdf")], store)
    assert done.returncode == 0, done.stderr
    assert "H=8: bands withheld: 2 networks, fewer than 6" in done.stdout
    assert (tmp_path / "few.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_tuning_goes_on_from_its_journal(tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(store).create_experiment("hidden-orbits", artifact_location=(tmp_path / "artifacts").as_uri())
    command = [
        PYTHON,
        "-m",
        "study",
        "tune",
        "--epochs",
        "1",
        "--train-images",
        "600",
        "--hidden-size",
        "8",
        "--storage",
        str(tmp_path / "journal"),
        "--trials",
    ]
    first, second = (run_command([*command, trials], store) for trials in ("2", "3"))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "trial 2/2" in first.stdout
    assert [line[:9] for line in second.stdout.splitlines() if line.startswith("trial")] == ["trial 3/3"]
    client = MlflowClient(store)
    experiments = [e.experiment_id for e in client.search_experiments()]
    trials = client.search_runs(experiments, "tags.kind = 'trial'")
    jobs = client.search_runs(experiments, "tags.kind = 'tune'")
    assert len(trials) == 3
    assert {t.data.tags["mlflow.parentRunId"] for t in trials} == {j.info.run_id for j in jobs}
    assert all("validation_accuracy" in t.data.metrics for t in trials)
