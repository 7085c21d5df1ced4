"""Disks that are full, and artifacts that are not what was logged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import STUDY, new_place

from analysis.dataset import runs
from study.tracking.store import DamagedRecordError, fetch

pytestmark = pytest.mark.slow


def _can_mount() -> bool:
    mount = "mkdir -p /tmp/can-mount && mount -t tmpfs none /tmp/can-mount"
    return (
        bool(shutil.which("unshare"))
        and subprocess.run(["unshare", "-Urm", "sh", "-c", mount], capture_output=True, check=False).returncode == 0
    )


SMALL_DISK = """
set -eu
mount -t tmpfs -o size=$2 none "$1"
"$3" -m study run --no-report {options} || echo "status $?"
ls -AR "$1"
mount -o remount,size=64m "$1"
"$3" -m study run --no-report {options}
cp -a "$1" "$1.kept"; umount "$1"; cp -a "$1.kept/." "$1"
"""


@pytest.mark.skipif(not _can_mount(), reason="a small file system cannot be mounted here (unshare -Urm)")
@pytest.mark.parametrize(
    ("folder", "size", "message"),
    [
        ("cache/checkpoints", "8k", "error: {folder}/"),
        ("cache/spool", "24k", "error: {folder}/"),
        ("artifacts", "150k", "results could not be logged to the tracking store ([Errno 28] No space left on device"),
    ],
)
def test_a_full_disk_is_a_clear_error_and_no_torn_file_is_taken_for_a_whole_one(folder, size, message, place, undisturbed):
    full = place.folder / folder
    full.mkdir(parents=True, exist_ok=True)
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in (STUDY | {"patience": "2"}).items())
    study = place.popen(["unshare", "-Urm", "sh", "-c", SMALL_DISK.format(options=options), "sh", str(full), size, sys.executable])
    assert study.wait() == 0, study.output
    assert message.format(folder=full) in study.output
    assert "No space left on device" in study.output
    assert "status 1" in study.output
    assert "Traceback" not in study.output
    assert not list(full.rglob("*.part"))  # also none of a worker that was killed while it wrote
    assert study.output.count("4 networks expected: ") == 1  # the second start's
    assert place.dataset().identical(undisturbed.dataset())
    assert not place.runs("attributes.status = 'RUNNING'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study whose artifacts may be damaged."""
    place = new_place(tmp_path_factory.mktemp("finished"))
    study = place.run(epochs="2")
    assert study.process.returncode == 0, study.output
    return place


def _artifact(run, name) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / name


@pytest.mark.parametrize("name", ["measurements.nc", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["altered", "cut short", "missing"])
def test_a_damaged_artifact_is_detected_named_left_out_and_trained_anew(name, damage, finished):
    whole = finished.dataset()
    victims = finished.runs("tags.kind = 'network' and params.seed = '2'")
    kept = {run.info.run_id: _artifact(run, name).read_bytes() for run in victims}
    try:
        for run in victims:  # else another study's copy would stand in
            file = _artifact(run, name)
            if damage == "missing":
                file.unlink()
            else:
                content = kept[run.info.run_id]
                file.write_bytes(content[:-9] if damage == "cut short" else content[:-9] + b"malicious")
        dataset = runs.load("latest", finished.client)
        words = "is missing" if damage == "missing" else "is altered or cut short"
        reason = json.loads(dataset.attrs["missing"])["H=12 seed=2"]
        assert f"{name} {words} in run " in reason
        assert "run the study again to train it anew" in reason
        assert int(dataset.test_accuracy.count()) == 3
        again = finished.run(epochs="2")
        assert again.process.returncode == 0, again.output
        assert f"H=12 seed=2: {name} {words} in run" in again.output
        assert "4 networks expected: 1 trained, 0 re-measured, 3 reused, 0 failed" in again.output
        assert finished.dataset().identical(whole)
    finally:
        for run in victims:
            _artifact(run, name).write_bytes(kept[run.info.run_id])


def test_weights_that_were_altered_are_not_loaded(finished, tmp_path):
    run = finished.networks(finished.studies()[0])[0]
    file = _artifact(run, "weights.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"\0")
    try:
        with pytest.raises(DamagedRecordError, match=r"weights\.safetensors is altered"):
            fetch(finished.client, run, tmp_path)
    finally:
        file.write_bytes(content)
