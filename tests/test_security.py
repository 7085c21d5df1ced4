"""What a store could hold that was not put there by us: pickles, links, odd paths and markup. None of it takes effect."""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from places import ROOT, Place
from pypdf import PdfReader

from analysis.claims.findings import evaluate, markdown
from analysis.dataset import records, runs
from analysis.study_analysis import Analysis
from reports.typesetting.pdf import build_report
from study.config import StudyConfig, validated
from study.execution import checkpoints
from study.files import artifact_paths, durable
from study.networks.network import RecurrentNetwork
from study.record import spool
from study.record.network_record import read_measurements
from study.record.spool import Spool
from study.terminal.errors import InputError, reason, without_credentials
from study.tracking.results import log_files


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


@pytest.mark.slow
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
    assert "cannot be read as safetensors" in resumed.output
    assert "2 networks expected: 2 trained, 0 re-measured, 0 reused, 0 failed" in resumed.output
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


@pytest.mark.slow
def test_a_checkpoint_that_is_a_pickle_is_set_aside(trap, small):
    content, sprung = trap
    key = small.runs("tags.kind = 'network'")[0].data.tags["training_key"]
    checkpoint = small.folder / "cache" / "checkpoints" / f"{key}.safetensors"
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.write_bytes(content)
    for run in small.runs("tags.kind = 'network'"):
        small.client.delete_tag(run.info.run_id, "complete")
    again = small.run(seeds="0-1", epochs="6", train_images="400")
    assert again.process.returncode == 0, again.output
    assert "2 trained, 0 re-measured, 0 reused" in again.output
    assert checkpoint.with_suffix(".set-aside").exists()
    assert not sprung.exists()


@pytest.mark.slow
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


@pytest.mark.slow
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
        log_files(small.client, study.info.run_id, folder)
    assert not list(outside.iterdir())
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="is a link that leads out"):
        log_files(small.client, study.info.run_id, folder, "elsewhere")


MARKUP = (
    "#let x = [typst] *bold* _it_ $math$ <label> @ref `raw` // comment\n= heading "
    "**md** [link](javascript:alert(1)) | cell | <script>alert('html')</script> <img src=x onerror=alert(2)> &amp;"
)


def test_markup_in_names_and_reasons_is_plain_text_in_the_report_and_the_description(real_study, tmp_path):
    dataset = runs.load(real_study.run_id, real_study.client)
    first = dataset.run_id.copy()
    first[0, 0] = ""
    dataset = (
        dataset.where(first != "")
        .assign(run_id=first)
        .assign_attrs(dataset.attrs | {"study_name": MARKUP, "missing": json.dumps({"H=8 seed=0": MARKUP})})
    )
    findings = evaluate(dataset)
    pdf = PdfReader(build_report(Analysis(dataset, findings, {}, {}), tmp_path))
    text = "".join("".join(page.extract_text() for page in pdf.pages).split())
    plain = "".join(MARKUP.split())
    assert text.count(plain) == 2
    described = markdown(dataset, findings)
    line = next(line for line in described.splitlines() if line.startswith("- H&#61;8"))
    assert not set("<>[]()*_`$#|@&\\") & set(line.replace("&#", "").replace("- H", "")) - {"#"}


def test_credentials_are_cut_out_of_addresses():
    assert (
        without_credentials("at postgresql://me:s3cret@host:5/db and http://token@git.org/x")
        == "at postgresql://host:5/db and http://git.org/x"
    )
    assert without_credentials("http://me:p@ss@host/a@b") == "http://b"  # the password may be p@ss@host/a
    assert without_credentials("mail me@host") == "mail me@host"
    assert without_credentials("postgresql://me:p/ss@host:5/db") == "postgresql://host:5/db"
    assert without_credentials("host?user=me&password=s3cret&x=1") == "host?user=me&password=***&x=1"
    assert "secret" not in reason(ValueError(f"{'x' * 180} postgresql://user:secretpassword@host/db"))


@pytest.mark.parametrize(
    "password",
    [
        "hunter2",
        "hun ter2",
        "hun/ter2",
        "hun@ter2",
        "hun:ter2",
        "hun#ter2",
        "hun?ter2",
        "hun%ter2",
        "hun'ter2",
        'hun"ter2',
        "h/un@te r2",
        "hun&ter2=x",
        "hun://ter2",
    ],
)
def test_a_password_in_an_address_is_cut_out_however_it_is_written(password, monkeypatch):
    address = f"http://alice:{password}@127.0.0.1:9"
    for text in (address, f"Failed to parse: {address}/api", f"({address!r}, 'x')", json.dumps({"uri": address})):
        assert without_credentials(f"at {address} or {text}").count("127.0.0.1:9") == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}\n")
    told = [
        password,
        quote(password),
        quote_plus(password),
        repr(password),
        f"host '{password.split('@')[-1]}@127.0.0.1'",
        base64.b64encode(f"alice:{unquote(password)}".encode()).decode(),
        *(part for part in re.split(r"[/@#?]", password)),
    ]
    for text in told:
        clean = reason(ValueError(f"the server said: {text} (user alice)"))
        assert not [part for part in ("hun", "ter2", "alice") if part in clean], clean
        assert clean.startswith("the server said: ")
    with pytest.raises(InputError) as refused:
        raise InputError(f"{address} and {password}")
    assert "ter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://h/x?pass=abc1&y=2", "http://h/x?pass=***&y=2"),
        ("postgresql://h/db?sslpassword=abc1", "postgresql://h/db?sslpassword=***"),
        ("http://h?api_key=abc1&access_token=abc2", "http://h?api_key=***&access_token=***"),
        ("host=h password='ab c1' port=5", "host=h password=*** port=5"),
        ("{'password': 'abc1', 'x': 1}", "{'password': '***', 'x': 1}"),
        ("Authorization: Basic YWJjMQ== end", "Authorization: *** end"),
        ("me:abc1@host:8786 is away", "host:8786 is away"),
        ("postgresql+psycopg://me:abc1@host/db", "postgresql+psycopg://host/db"),
        ("s3://abc0:ab/c1@bucket/a", "s3://bucket/a"),
        ('authentication failed for user "abc1"', "authentication failed for user '***'"),
        ("sqlite:////home/me@uni/mlflow.db", "sqlite:////home/me@uni/mlflow.db"),
        ("file:///home/me@uni/a b", "file:///home/me@uni/a b"),
        ("set MLFLOW_TRACKING_PASSWORD to the password: none", "set MLFLOW_TRACKING_PASSWORD to the password: none"),
    ],
)
def test_what_looks_like_a_secret_is_cut_out_and_what_does_not_stays(text, clean):
    assert without_credentials(text) == clean


def test_every_line_that_a_command_prints_is_screened():
    """Through loggers, warnings and tracebacks, too, and what a server echoes."""
    code = (
        "import logging, sys, warnings\nfrom study.terminal.output import guard\nguard()\n"
        "print('on', 'hunter2-token'); warnings.warn('hunter2-token'); logging.getLogger('urllib3').warning('hunter2-token')\n"
        "raise ValueError('http://me:hunter2@host hunter2-token')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"MLFLOW_TRACKING_TOKEN": "hunter2-token"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "on ***\n"
    assert done.stderr.count("***") >= 3
    assert "hunter2" not in done.stdout + done.stderr


class Echo(BaseHTTPRequestHandler):
    """A server that repeats in its error what it was sent."""

    def do_GET(self) -> None:
        text = json.dumps({"error_code": "INTERNAL_ERROR", "message": f"no: {self.headers['Authorization']}; hunter2 of alice"})
        self.send_response(400)
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        pass


def test_what_a_server_echoes_is_not_printed(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        study = Place(tmp_path, uri, {"MLFLOW_TRACKING_USERNAME": "alice", "MLFLOW_TRACKING_PASSWORD": "hunter2"}).popen(
            [sys.executable, "-m", "study", "check"]
        )
        assert study.wait() == 2
        server.shutdown()
    assert f"the tracking store {uri} cannot be reached (" in study.output
    assert not [secret for secret in ("alice", "hunter2", base64.b64encode(b"alice:hunter2").decode()) if secret in study.output]


def test_a_scheduler_with_a_password_is_refused_and_so_never_stored():
    for scheduler in ("tcp://me:hunter2@127.0.0.1:8786", "me:hunter2@127.0.0.1:8786", "tcp://127.0.0.1:8786?token=hunter2"):
        with pytest.raises(InputError, match="expected none, or the address that dask scheduler prints") as refused:
            validated(StudyConfig, {"backend": "dask", "scheduler": scheduler})
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("word", ["y", "y.", "a@", "a:", "x-", "user ", "token", "://"])
def test_a_long_text_without_secrets_stays_as_it_is_and_does_not_hold_a_command_up(word):
    text = word * (200_000 // len(word))  # for minutes, where a search took the square of it
    if "@" not in word:
        assert without_credentials(text) == text
    assert without_credentials(f"user{' ' * 100_000}x") == f"user{' ' * 100_000}x"
