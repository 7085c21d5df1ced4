"""`kill -9` at random moments; nothing is lost, trained differently, or left running."""

from __future__ import annotations

import random
import re
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

KILLS = 20

# What joblib's loky prints for a worker that was only being started when the coordinator was killed: nobody sends it its task.
ORPHAN_AT_START = re.compile(
    r"-{80}\nLokyProcess-\d+ failed with traceback: \n-{80}\nTraceback \(most recent call last\):\n"
    r'  File "[^"\n]*/popen_loky_posix\.py", line \d+, in <module>\n(?:    .*\n)+'
    r"(?:EOFError: Ran out of input|_pickle\.UnpicklingError: pickle data was truncated)\n\s*-{80}\n"
)


def test_a_study_survives_twenty_kills_of_its_workers_and_its_coordinator(place, undisturbed):
    """Each round kills a worker at a random moment and then the coordinator at another; then the study is run to its end."""
    dice = random.Random(20)
    workers_killed = 0
    for number in range(KILLS):
        study = place.start()
        if number % 3:  # on a busy machine workers come late
            study.until(lambda study=study: study.workers() or study.process.poll() is not None)
            time.sleep(dice.uniform(0, 4))
        else:
            time.sleep(dice.uniform(0, 9))
        if workers := study.workers():
            try:
                dice.choice(workers).kill()
                workers_killed += 1
            except psutil.NoSuchProcess:
                pass
            time.sleep(dice.uniform(0, 2))
        study.kill()
        assert "Traceback" not in ORPHAN_AT_START.sub("", study.output)
    assert workers_killed >= KILLS // 3, "hardly any kill came while workers were at work"
    last = place.run()
    assert last.process.returncode == 0, last.output
    assert "4 networks expected: " in last.output
    assert place.dataset().identical(undisturbed.dataset())
    assert not place.runs("attributes.status = 'RUNNING'")
    study = place.studies()[0]
    assert sorted(run.data.params["seed"] for run in place.networks(study)) == list("0123")
    assert not list((place.folder / "cache" / "checkpoints").iterdir())
    assert not list((place.folder / "cache" / "spool").iterdir())
