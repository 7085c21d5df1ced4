from __future__ import annotations

import gc
import os
import signal
import sys

import pytest

from study.stopping import Stop


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
