"""Modules of a person's own are imported by every command and every worker."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT


def _command(folder, extensions: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"HIDDEN_ORBITS_EXTENSIONS": extensions, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["study", "analysis", "reports"])
def test_a_command_imports_the_modules_that_the_environment_names(command, tmp_path):
    (tmp_path / "mine.py").write_text("print('mine was imported')\n")
    (tmp_path / "other.py").write_text("print('other was imported')\n")
    done = _command(tmp_path, "mine, other", command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine was imported\nother was imported\n")


@pytest.mark.parametrize(
    ("name", "content"), [("absent", None), ("broken", "1 / 0\n"), ("torn", "def (\n"), ("rude", "raise Exception('no')")]
)
def test_a_module_that_cannot_be_imported_is_one_line(name, content, tmp_path):
    if content:
        (tmp_path / f"{name}.py").write_text(content)
    done = _command(tmp_path, f"os,{name}", "study", "--help")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"HIDDEN_ORBITS_EXTENSIONS={name}: this module cannot be imported" in line
    assert "expected names of Python modules" in line
