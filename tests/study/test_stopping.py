from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import sqlalchemy
from places import ROOT
from sqlalchemy.orm import Session

from study.terminal import stopping
from study.terminal.stopping import Stop


class HalfMade:
    """An object whose finaliser relies on what its constructor does last, and whose constructor is stopped before that."""

    finalised = 0

    def __init__(self, stopped: bool):
        if stopped:
            os.kill(os.getpid(), signal.SIGTERM)
            self.whole = True

    def __del__(self):
        HalfMade.finalised += 1
        assert self.whole


@pytest.fixture
def told(monkeypatch):
    """What finalisers failed with, as far as anyone is told."""
    monkeypatch.setattr(HalfMade, "finalised", 0)
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    return told


def test_what_a_stop_left_half_made_fails_in_silence(told):
    def stopped() -> None:
        """The object lives as long as the traceback does, and so longer than the context."""
        with pytest.raises(KeyboardInterrupt), Stop() as stop, stop.heard():
            HalfMade(stopped=True)

    stopped()
    gc.collect()
    assert HalfMade.finalised == 1
    assert not told


def test_without_a_stop_a_failing_finaliser_is_told(told):
    hook = sys.unraisablehook
    with Stop():
        HalfMade(stopped=False)
        assert len(told) == 1
    assert sys.unraisablehook == hook


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_stop_waits_until_what_must_not_be_cut_in_two_is_done_and_comes_once(number):
    done = []
    with pytest.raises(KeyboardInterrupt), Stop() as stop, stop.heard():
        with stop.held():
            os.kill(os.getpid(), number)
            done.append("made")
        done.append("never reached")
    assert done == ["made"]
    with pytest.raises(KeyboardInterrupt), Stop() as stop:
        try:
            with stop.heard():
                os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # impatient users press it twice
            done.append("cleaned up")
    assert done == ["made", "cleaned up"]


def test_a_stop_waits_for_the_end_of_a_database_transaction(monkeypatch, tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'rows.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE made (name TEXT)")
    write = sqlalchemy.text("INSERT INTO made VALUES (:name)")
    stopping.hold_transactions()
    monkeypatch.setattr(stopping, "_process", Stop())
    with pytest.raises(KeyboardInterrupt), stopping._process as stop, stop.heard():
        with Session(engine) as session:
            session.execute(write, {"name": "before"})
            os.kill(os.getpid(), signal.SIGTERM)
            session.execute(write, {"name": "after"})
            session.commit()
        session.execute(write, {"name": "never reached"})
    with engine.begin() as connection:
        assert [name for (name,) in connection.exec_driver_sql("SELECT name FROM made")] == ["before", "after"]
    assert stop._held == 0


def test_a_stop_that_a_library_swallowed_is_heard_where_the_work_ends():
    with pytest.raises(KeyboardInterrupt), Stop() as stop, stop.heard(), suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.came


def test_a_closed_terminal_does_not_end_what_nohup_started():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_was_made_is_ended_however_long_its_end_takes(monkeypatch):
    monkeypatch.setattr(stopping, "LEAVE", 0.2)
    ended = []
    with pytest.raises(KeyboardInterrupt), stopping.ended(lambda: "run", lambda *how: ended.append(how)):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="of the work"), stopping.ended(lambda: "run", lambda *how: ended.append(how)):
        raise ValueError("of the work")
    assert ended == [("run", "KILLED"), ("run", "FAILED")]
    begun = time.monotonic()
    with pytest.raises(ValueError, match="of the work"), stopping.ended(lambda: "run", lambda *how: time.sleep(20)):
        raise ValueError("of the work")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("module", ["study", "analysis", "reports"])
def test_a_command_listens_before_its_imports(module):
    """Each is stopped as soon as Python itself has begun, and says so in one line."""
    script = (
        "import sys, os, signal, runpy, study.terminal.stopping as s; listen = s.listen; "
        "s.listen = lambda: (listen(), os.kill(os.getpid(), signal.SIGHUP)); "
        f"sys.argv[1:] = ['--help']; runpy.run_module('{module}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "error: stopped\n")
