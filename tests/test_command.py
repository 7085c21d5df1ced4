"""`orbits` is the other commands under one name, from any folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

import analysis.__main__
import reports.__main__
import study.__main__
from hidden_orbits.command import application

ORBITS = [sys.executable, "-c", "import sys; sys.argv[0] = 'orbits'; from hidden_orbits.command import main; main()"]


def _orbits(folder, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    return subprocess.run([*ORBITS, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_command_of_the_packages_is_one_of_orbits():
    names = [command.name for command in application().registered_commands]
    there = [command.name for main in (study, reports) for command in main.__main__.app.registered_commands]
    there += ["difference" if info.name == "compare" else info.name for info in analysis.__main__.app.registered_commands]
    assert sorted(names) == sorted([*there, "analyse", "report"])
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_a_command_of_orbits_does_what_the_package_s_does_from_any_folder(network, tmp_path):
    network.save(tmp_path / "w.safetensors")
    arguments = ["measure", "w.safetensors", "--only", "spectrum", "--blank-rows", "2"]
    done = _orbits(tmp_path, *arguments, "--out", "one.nc")
    assert done.returncode == 0, done.stderr
    package = [sys.executable, "-m", "study", *arguments, "--out", "two.nc"]
    subprocess.run(package, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure", "nothing"], "figure=nothing: expected one of: truncation"),
        pytest.param(["power", "--width", "0"], "width=0: expected a number greater than 0", marks=pytest.mark.slow),
        pytest.param(["report"], "is not there, or empty: run a study first", marks=pytest.mark.slow),
        (["nonsense"], "expected orbits with the commands run, sync"),
    ],
)
def test_a_mistake_is_one_line(arguments, words, tmp_path):
    done = _orbits(tmp_path, *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert words in done.stderr
