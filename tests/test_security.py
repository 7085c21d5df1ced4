"""What a store could hold that was not put there by us: pickles, links, odd paths and markup. None of it takes effect."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from places import Place
from pypdf import PdfReader

from analysis import records, runs
from analysis.findings import evaluate, markdown
from analysis.study_analysis import Analysis
from reports.pdf import build
from study import artifact_paths, checkpoints, durable, spool
from study.errors import InputError, reason, without_credentials
from study.network import RecurrentNetwork
from study.record import read_measurements
from study.spool import Spool


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, sprung: Path):
        self.sprung = sprung

    def __reduce__(self):
        return (Path.touch, (self.sprung,))


@pytest.fixture
def trap(request, tmp_path) -> tuple[bytes, Path]:
    """The bytes of a malicious pickle, plain or as `torch.save` wraps it, and the file that unpickling it leaves behind."""
    sprung = tmp_path / "sprung"
    if getattr(request, "param", "pickle") == "pickle":
        content = pickle.dumps(Trap(sprung))
    else:
        torch.save({"weights": Trap(sprung)}, tmp_path / "trap")
        content = (tmp_path / "trap").read_bytes()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap does not work, so it proves nothing"
    sprung.unlink()
    return content, sprung


@pytest.fixture
def small(undisturbed, tmp_path) -> Place:
    """A copy of a small study, to plant things in."""
    folder = tmp_path / "small"
    place = Place(folder, f"sqlite:///{folder / 'mlflow.db'}")
    folder.mkdir()
    MlflowClient(place.store).create_experiment("hidden-orbits", artifact_location=(folder / "artifacts").as_uri())
    shutil.copytree(undisturbed.folder / "cache" / "datasets", folder / "cache" / "datasets")
    study = place.run(seeds="0-1", epochs="6", train_images="400")
    assert study.process.returncode == 0, study.output
    return place


def test_no_pickle_planted_in_a_store_or_a_cache_is_ever_loaded(trap, small, tmp_path):
    content, sprung = trap
    [study] = small.studies()
    root = Path(study.info.artifact_uri.removeprefix("file://"))
    (root / "analysis").mkdir()
    (root / "analysis" / "embedding-8.nc").write_bytes(content)
    assert runs.stored_dataset(small.client, study.info.run_id, "analysis/embedding-8.nc") is None
    for name, run in zip(("weights.safetensors", "measurements.nc"), small.networks(study), strict=True):
        here = Path(run.info.artifact_uri.removeprefix("file://"))
        (here / name).write_bytes(content)
        # Whoever can write the artifact can write its digest, too.
        digests = {file: durable.digest(here / file) for file in ("weights.safetensors", "measurements.nc")}
        small.client.set_tag(run.info.run_id, "digests", json.dumps(digests))
        for extra in ("weights.pkl", "model.pkl", "python_model.pkl"):
            (here / extra).write_bytes(content)
    dataset = runs.load(study.info.run_id, small.client)
    assert int(dataset.test_accuracy.count()) == 1  # the record that is a pickle is left out
    assert "cannot be read" in next(iter(json.loads(dataset.attrs["missing"]).values()))
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        runs.weights(small.networks(study)[0].info.run_id, small.client)
    resumed = small.run(seeds="0-1", epochs="6", train_images="400")
    assert resumed.process.returncode == 0, resumed.output
    assert "measurements.nc cannot be read" in resumed.output
    assert "2 networks expected: 1 reused, 1 trained, 0 failed" in resumed.output
    (root / "study.json").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.json"):
        runs.load(study.info.run_id, small.client)
    assert not sprung.exists()


@pytest.mark.parametrize("trap", ["pickle", "torch"], indirect=True)
def test_no_reader_of_ours_unpickles(trap, tmp_path, monkeypatch):
    content, sprung = trap
    planted = tmp_path / "planted"
    planted.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        RecurrentNetwork.load(planted)
    with pytest.raises((OSError, ValueError)):
        read_measurements(planted)
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    planted.rename(checkpoints.path("key"))
    assert checkpoints.load("key") is None
    monkeypatch.setattr(spool, "FOLDER", tmp_path / "spool")
    box = Spool("study")
    (box.folder / "key").mkdir()
    for name in ("weights.safetensors", "measurements.nc", "result.json"):
        (box.folder / "key" / name).write_bytes(content)
    assert box.entries() == []
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    (tmp_path / "key.nc").write_bytes(content)
    assert records.cached("key") is None
    assert not sprung.exists()


def test_a_checkpoint_that_is_a_pickle_is_set_aside(trap, small):
    content, sprung = trap
    key = small.runs("tags.kind = 'network'")[0].data.tags["network_key"]
    checkpoint = small.folder / "cache" / "checkpoints" / f"{key}.safetensors"
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.write_bytes(content)
    for run in small.runs("tags.kind = 'network'"):
        small.client.delete_tag(run.info.run_id, "complete")
    again = small.run(seeds="0-1", epochs="6", train_images="400")
    assert again.process.returncode == 0, again.output
    assert "0 reused, 2 trained" in again.output
    assert checkpoint.with_suffix(".set-aside").exists()
    assert not sprung.exists()


def test_a_logged_model_that_was_turned_into_a_pickle_does_not_load(trap, small, monkeypatch):
    content, sprung = trap
    run = small.runs("tags.kind = 'network'")[0]
    model = small.client.get_logged_model(run.outputs.model_outputs[0].model_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    description = (folder / "MLmodel").read_text()
    assert "pkl" not in description and not list(folder.rglob("*.pkl"))
    (folder / "python_model.pkl").write_bytes(content)
    turned = re.sub(r"model_code_path: .*", "python_model: python_model.pkl", description)
    (folder / "MLmodel").write_text(turned.replace("mlflow.pyfunc.loaders.code_model", "mlflow.pyfunc.model"))
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with pytest.raises(MlflowException, match=r"(?i)pickle"):
        mlflow.pyfunc.load_model(str(folder))
    assert not sprung.exists()


@pytest.mark.parametrize("path", ["", "../up", "a/../../up", "/etc/passwd", "a\\b", "C:/windows", "a\0b"])
def test_artifact_paths_stay_inside(path, tmp_path):
    with pytest.raises(InputError, match="expected a path inside the run's artifacts"):
        artifact_paths.checked(tmp_path.as_uri(), path)
    assert artifact_paths.checked(tmp_path.as_uri(), "figures/a.svg") == "figures/a.svg"


def test_links_do_not_lead_artifacts_out(small, tmp_path):
    [study] = small.studies()
    outside = tmp_path / "outside"
    outside.mkdir()
    root = Path(study.info.artifact_uri.removeprefix("file://"))
    (root / "figures").symlink_to(outside)
    folder = tmp_path / "mine"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.svg").write_text("<svg/>")
    with pytest.raises(InputError, match=r"a link in .* leads out"):
        runs.log_files(small.client, study.info.run_id, folder)
    assert not list(outside.iterdir())
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link that leads out"):
        runs.log_files(small.client, study.info.run_id, folder, "elsewhere")


MARKUP = ("#let x = [typst] *bold* _it_ $math$ <label> @ref `raw` // comment\n= heading "
          "**md** [link](javascript:alert(1)) | cell | <script>alert('html')</script> <img src=x onerror=alert(2)> &amp;")


def test_markup_in_names_and_reasons_is_plain_text_in_the_report_and_the_description(real_study, tmp_path):
    dataset = runs.load(real_study.run_id, real_study.client)
    first = dataset.run_id.copy()
    first[0, 0] = ""
    dataset = dataset.where(first != "").assign(run_id=first).assign_attrs(
        dataset.attrs | {"study_name": MARKUP, "missing": json.dumps({"H=8 seed=0": MARKUP})})
    findings = evaluate(dataset)
    pdf = PdfReader(build(Analysis(dataset, findings, {}, {}), tmp_path))
    text = "".join("".join(page.extract_text() for page in pdf.pages).split())
    plain = "".join(MARKUP.split())
    assert text.count(plain) == 2
    described = markdown(dataset, findings)
    line = next(line for line in described.splitlines() if line.startswith("- H&#61;8"))
    assert not set("<>[]()*_`$#|@&\\") & set(line.replace("&#", "").replace("- H", "")) - {"#"}


def test_credentials_are_cut_out_of_addresses():
    assert without_credentials("at postgresql://me:s3cret@host:5/db and http://token@git.org/x") == \
        "at postgresql://host:5/db and http://git.org/x"
    assert without_credentials("http://me:p@ss@host/a@b") == "http://host/a@b"
    assert without_credentials("mail me@host") == "mail me@host"
    assert without_credentials("postgresql://me:p/ss@host:5/db") == "postgresql://host:5/db"
    assert without_credentials("host?user=me&password=s3cret&x=1") == "host?user=me&password=***&x=1"
    assert "secret" not in reason(ValueError(f"{'x' * 180} postgresql://user:secretpassword@host/db"))
