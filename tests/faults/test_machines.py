"""Machines without shared memory, with few open files, and where output has nowhere to go."""

from __future__ import annotations

import subprocess
import sys

import pytest
from places import STUDY
from test_disks import _can_mount

pytestmark = pytest.mark.slow

TINY = {"seeds": "0-1", "epochs": "1", "train_images": "400"}
RUN = f"{sys.executable} -m study run --no-report " + " ".join(
    f"--{name.replace('_', '-')} {value}" for name, value in (STUDY | TINY).items()
)


def shell(place, script: str, **environment: str):
    """A study started by a shell, which may disturb it first; it has ended."""
    study = place.popen(["unshare", "-Urm", "sh", "-c", script] if "mount" in script else ["sh", "-c", script], **environment)
    study.wait()
    assert "Traceback" not in study.output
    assert not place.runs("attributes.status = 'RUNNING'")
    return study


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="a file system cannot be mounted here (unshare -Urm)")


@needs_mounts
@pytest.mark.parametrize(
    "disturbed",
    [
        "mount -t tmpfs -o size=4k none /dev/shm && ! head -c 9999 /dev/zero > /dev/shm/full 2> /dev/null",
        "mount -t tmpfs -o ro none /dev/shm",
    ],
)
def test_without_shared_memory_networks_are_computed_one_after_another(disturbed, place):
    study = shell(place, f"{disturbed} && {RUN}")
    assert study.process.returncode == 0, study.output
    assert "2 networks expected: 2 trained, 0 re-measured, 0 reused, 0 failed" in study.output
    [line] = [line for line in study.output.splitlines() if "/dev/shm" in line]
    assert "networks are computed one after another" in line


@needs_mounts
def test_a_full_folder_of_temporary_files_loses_nothing(place):
    folder = place.folder / "tmp"
    folder.mkdir()
    study = shell(place, f"mount -t tmpfs -o size=16k none {folder} && TMPDIR={folder} {RUN} --patience 0")
    assert study.process.returncode == 1
    assert "error: 2 results could not be logged to the tracking store ([Errno 28] No space left on device" in study.output
    again = place.run(**TINY)
    assert "2 networks expected: 0 trained, 0 re-measured, 2 reused, 0 failed" in again.output


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"LOKY_MAX_CPU_COUNT=abc {RUN}", "LOKY_MAX_CPU_COUNT=abc: expected the number of cores to use, or unset it"),
        (f"ulimit -n 20; {RUN} --jobs 2", "this process may open 20 files and needs 48 for 2 jobs: allow more (ulimit -n 1024)"),
    ],
)
def test_limits_that_no_study_can_keep_are_named_before_it_begins(script, words, place):
    study = shell(place, script)
    assert study.process.returncode == 2
    assert study.output.startswith("error: ") and study.output.count("\n") == 1
    assert words in study.output
    assert not place.studies()


@pytest.mark.parametrize(
    ("redirected", "status"), [("> /dev/full", 1), ("> /dev/full 2> /dev/full", 1), (">&- 2>&-", 0), ("| head -1", 0)]
)
def test_a_study_whose_output_goes_nowhere_ends_well_all_the_same(redirected, status, place):
    study = shell(place, f"({RUN}; echo status $? > {place.folder}/status) {redirected}")
    assert (place.folder / "status").read_text() == f"status {status}\n"
    [run] = place.studies()
    assert run.info.status == "FINISHED"
    assert len(place.networks(run)) == 2
    if redirected == "> /dev/full":
        assert study.output == "error: the output could not be written (No space left on device); the command itself succeeded\n"


def test_a_cache_that_is_removed_while_a_study_runs_costs_no_more_than_what_was_in_it(place):
    study = place.start(seeds="0-5", epochs="6")
    study.until_printed("1/6 networks", 90)
    # A file that is written meanwhile keeps its folder: rm then fails, and is repeated.
    study.until(lambda: subprocess.run(["rm", "-rf", place.folder / "cache"], check=False).returncode == 0)
    status = study.wait()
    assert "Traceback" not in study.output
    assert not place.runs("attributes.status = 'RUNNING'")
    assert status == 0 or study.output.count("error: ") == 1
    again = place.run(seeds="0-5", epochs="6")
    assert again.process.returncode == 0, again.output
    assert int(place.dataset().test_accuracy.count()) == 6
