"""Commands beside the training: figure refreshes, and what is done ahead."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from study.execution import live
from study.execution.live import Background


def touching(folder: Path, lasts: float = 0.0, name: str = "{uuid.uuid4().hex}") -> list[str]:
    """A command that leaves a file, and another one when it ends."""
    here = f"pathlib.Path(r'{folder}', f'{name}')"
    script = f"import pathlib, time, uuid; here = {here}; here.touch(); time.sleep({lasts}); here.with_suffix('.end').touch()"
    return [sys.executable, "-c", script]


def results_for(seconds: float, context: Background) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.result()
        time.sleep(0.01)


def results_until(path: Path, context: Background) -> None:
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        context.result()
        time.sleep(0.01)
    assert path.exists()


def begun(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.suffix)


def test_results_start_the_command_once_its_time_has_come(tmp_path):
    with Background(touching(tmp_path, lasts=30), 0.3) as context:
        context.result()
        assert context._running is None
        results_for(1.5, context)
        assert len(begun(tmp_path)) == 1  # the first still runs
        process = context._running
    assert process.poll() is not None  # leaving ended it


def test_a_rest_of_twenty_times_what_it_took(tmp_path):
    with Background(touching(tmp_path, lasts=0.2), 0.01) as context:
        results_for(3, context)
    assert len(begun(tmp_path)) == 1  # 0.2 s and more, so the next is due after four


def test_what_is_done_ahead_is_done_once_and_one_after_the_other(tmp_path):
    with Background(touching(tmp_path, name="refresh"), 0.01) as context:
        for name in ("first", "second"):
            context.ahead(touching(tmp_path, 0.3, name))
        results_until(tmp_path / "first", context)
        assert begun(tmp_path) == ["first"]  # before a refresh, which is due, too
        results_until(tmp_path / "second", context)
        assert (tmp_path / "first.end").exists()
        results_until(tmp_path / "refresh", context)
        assert (tmp_path / "second.end").exists()


def test_the_end_waits_for_what_runs_ahead_and_forgets_the_rest(tmp_path):
    with Background([], 60) as context:
        for name in ("first", "second"):
            context.ahead(touching(tmp_path, 1, name))
        results_until(tmp_path / "first", context)
        context.finish()
        assert (tmp_path / "first.end").exists()
        results_for(0.5, context)
    assert begun(tmp_path) == ["first"]


def test_the_end_does_not_wait_for_a_refresh(tmp_path):
    with Background(touching(tmp_path, 30, "refresh"), 0.01) as context:
        results_until(tmp_path / "refresh", context)
        since = time.monotonic()
        context.finish()
    assert time.monotonic() - since < 15
    assert not (tmp_path / "refresh.end").exists()


def test_an_interrupt_ends_what_runs_ahead(tmp_path):
    context = Background([], 60)
    with context:
        context.ahead(touching(tmp_path, 30, "first"))
        results_until(tmp_path / "first", context)
        process = context._running
    assert process.poll() is not None


def test_zero_is_never(tmp_path):
    with Background(touching(tmp_path), 0) as context:
        context.ahead(touching(tmp_path))
        results_for(0.5, context)
    assert not begun(tmp_path)


def test_the_end_does_not_wait_for_long_for_what_runs_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 0.3)
    with Background([], 60) as context:
        context.ahead(touching(tmp_path, 30, "hangs"))
        results_until(tmp_path / "hangs", context)
        since = time.monotonic()
        context.finish()
        process = context._running
    assert time.monotonic() - since < 10
    assert process.poll() is not None  # leaving ended it
