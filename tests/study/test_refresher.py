from __future__ import annotations

import sys
import time
from pathlib import Path

from study.execution.live import Refresher


def refresher(folder: Path, every: float, lasts: float = 0.0) -> Refresher:
    script = f"import pathlib, time, uuid; pathlib.Path(r'{folder}', uuid.uuid4().hex).touch(); time.sleep({lasts})"
    return Refresher([sys.executable, "-c", script], every)


def results_for(seconds: float, context: Refresher) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.result()
        time.sleep(0.01)


def test_results_start_the_command_once_its_time_has_come(tmp_path):
    with refresher(tmp_path, 0.3, lasts=30) as context:
        context.result()
        assert context._running is None
        results_for(1.5, context)
        assert len(list(tmp_path.iterdir())) == 1  # the first still runs
        process = context._running
    assert process.poll() is not None  # leaving ended it


def test_a_rest_of_twenty_times_what_it_took(tmp_path):
    with refresher(tmp_path, 0.01, lasts=0.2) as context:
        results_for(3, context)
    assert len(list(tmp_path.iterdir())) == 1  # 0.2 s and more, so the next is due after four


def test_zero_is_never(tmp_path):
    with refresher(tmp_path, 0) as context:
        results_for(0.5, context)
    assert not list(tmp_path.iterdir())
