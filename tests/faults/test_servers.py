"""Tracking servers that are killed, stay away, ask for passwords, and stand on PostgreSQL."""

from __future__ import annotations

import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from places import Place
from servers import Server, postgresql

from study.networks.network import RecurrentNetwork

SYNC = ("python", "-m", "study", "sync")


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path, f"sqlite:///{tmp_path / 'server.db'}").start()
    yield server
    server.kill()


@pytest.fixture
def served(server, tmp_path) -> Place:
    return Place(tmp_path, server.uri)


def test_a_server_that_is_killed_and_restarted_misses_nothing(server, served, undisturbed):
    study = served.start(patience="120")  # on a busy machine a server takes long to start
    study.until_printed("1/4 networks")
    server.kill()
    study.until_printed("the tracking store took no result")
    study.until_printed("4/4 networks")  # training went on
    assert len(list((served.folder / "cache" / "spool").glob("*/*/result.json"))) >= 2
    server.start()
    assert study.wait() == 0, study.output
    assert "the tracking store takes results again" in study.output
    assert "View run" not in study.output
    assert "4 networks expected: 4 trained, 0 re-measured, 0 reused, 0 failed" in study.output
    assert served.dataset().identical(undisturbed.dataset())
    assert len(served.networks(served.studies()[0])) >= 4
    assert not served.runs("attributes.status = 'RUNNING'")
    assert not list((served.folder / "cache" / "spool").iterdir())


@pytest.mark.slow
def test_results_that_a_server_gone_for_good_did_not_take_are_synced_later(server, served, undisturbed, tmp_path):
    study = served.start(patience="3")
    study.until_printed("1/4 networks")
    server.kill()
    assert study.wait() == 1
    assert "could not be logged to the tracking store" in study.output
    assert "python -m study sync" in study.output
    assert "Traceback" not in study.output
    refused = served.popen([*SYNC])
    assert refused.wait() == 2
    assert "cannot be reached" in refused.output
    server.start()
    done = served.popen([*SYNC])
    assert done.wait() == 0, done.output
    assert "4 of 4 networks are stored" in done.output
    [run] = served.studies()
    assert run.info.status == "FINISHED"
    assert served.dataset().identical(undisturbed.dataset())
    assert not served.runs("attributes.status = 'RUNNING'")
    again = served.popen([*SYNC])
    assert again.wait() == 0
    assert "no result waits in" in again.output


@pytest.mark.slow
def test_a_new_store_takes_the_spool_of_one_that_is_lost(server, served, tmp_path):
    study = served.start(patience="1", seeds="0")
    study.until_printed("networks on cpu")
    server.kill()
    assert study.wait() == 1
    other = Place(tmp_path, f"sqlite:///{tmp_path / 'other.db'}")
    MlflowClient(other.store).create_experiment("hidden-orbits", artifact_location=(tmp_path / "others").as_uri())
    done = other.popen([*SYNC])
    assert done.wait() == 0, done.output
    [run] = other.studies()
    assert run.info.status == "FINISHED"
    assert len(other.networks(run)) == 1
    assert int(other.dataset().test_accuracy.count()) == 1


@pytest.mark.slow
def test_a_study_on_postgresql_behind_a_password(tmp_path):
    """Proxied artifacts, MLflow's own basic auth; secrets stand nowhere afterwards."""
    with postgresql(tmp_path) as database:
        settings = tmp_path / "auth.ini"
        settings.write_text(
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = sqlite:///{tmp_path / 'auth.db'}\n"
            "admin_username = admin\nadmin_password = a-secret-of-the-server\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        server = Server(
            tmp_path,
            database,
            "--app-name",
            "basic-auth",
            MLFLOW_AUTH_CONFIG_PATH=str(settings),
            MLFLOW_FLASK_SERVER_SECRET_KEY="not-a-secret-of-ours",
        ).start()
        try:
            _study_behind_a_password(server, tmp_path)
        finally:
            server.kill()


def _study_behind_a_password(server: Server, folder: Path) -> None:
    for name, password in (("admin", "wrong-secret"), ("nobody", "a-secret-of-the-server")):
        place = Place(folder, server.uri, {"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password})
        begun = time.monotonic()
        study = place.run(seeds="0")
        assert study.process.returncode == 2
        assert "refuses the user name or the password" in study.output
        assert len(study.output.strip().splitlines()) == 1
        assert time.monotonic() - begun < 30
    given = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a-secret-of-the-server"}
    in_address = server.uri.replace("http://", "http://admin:wrong-secret@")
    study = Place(folder, in_address).run(seeds="0")
    assert study.process.returncode == 2
    assert "wrong-secret" not in study.output
    place = Place(folder, server.uri, given)
    study = place.run(seeds="0-1", epochs="1")
    assert study.process.returncode == 0, study.output
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        [run] = place.studies()
        networks = place.networks(run)
        assert len(networks) == 2
        _the_logged_model_is_the_network(networks[0], place, folder)
        assert int(place.dataset().test_accuracy.count()) == 2
        trail = [study.output, str([r.to_dictionary() for r in place.runs()])]
        mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(folder / "down"), tracking_uri=server.uri)
    files = [path for place in ("down", "cache", "proxied") for path in (folder / place).rglob("*") if path.is_file()]
    assert len(files) > 10
    for secret in ("a-secret-of-the-server", "wrong-secret", "database-secret"):
        assert not any(secret in text for text in trail)
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def _the_logged_model_is_the_network(run, place, folder) -> None:
    uri = place.client.get_logged_model(run.outputs.model_outputs[0].model_id).artifact_location
    assert uri.startswith("mlflow-artifacts:")
    path = place.client.download_artifacts(run.info.run_id, "weights.safetensors", str(folder))
    network = RecurrentNetwork.load(Path(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        patch.setenv("MLFLOW_TRACKING_URI", place.store)
        model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    images = np.random.default_rng(0).random((50, 9, 28), dtype=np.float32)
    import torch

    *_, last = network.rows(torch.from_numpy(images))
    assert (model.predict(images) == network.predict(last).numpy()).all()


def test_the_ui_binds_to_this_machine_only():
    from places import ROOT

    assert "mlflow ui --host 127.0.0.1 " in (ROOT / "Makefile").read_text()


@pytest.mark.slow
def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path):
    study = Place(tmp_path, "postgresql://study:database-secret@127.0.0.1:9/none").run(seeds="0")
    assert study.process.returncode == 2
    assert "the tracking store postgresql://127.0.0.1:9/none cannot be reached" in study.output
    assert "database-secret" not in study.output
