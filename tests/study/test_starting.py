"""What a command imports before its first line."""

from __future__ import annotations

import subprocess
import sys


def test_a_study_starts_without_what_only_its_measurements_or_analysis_need():
    """Imports are most of the time to a command's first line: these took more than half a second."""
    code = "import sys, study.execution.coordinator; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not {"sklearn", "scipy.cluster", "scipy.stats", "openTSNE", "matplotlib", "optuna", "analysis", "reports"} & set(loaded)


def test_a_command_collects_rarely_and_not_on_its_way_out():
    code = (
        "import atexit, gc, typer\n"
        "from study.command_line import run\n"
        "app = typer.Typer()\n"
        "app.command()(lambda: print(gc.get_threshold()[0]))\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 10_000))\n"
        "run(app)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["100000", "True", "True"]
