"""A search for a regime: what it proposes, and what its journal bears."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from conftest import ROOT
from mlflow import MlflowClient
from optuna.trial import TrialState
from rich.console import Console

from study.__main__ import console
from study.config import validated
from study.execution.tuning import TuningConfig, tune
from study.files.journal import held, replayed
from study.terminal.errors import InputError, StudyError

SEARCH = {
    "target": "0.935",
    "learning_rates": "2e-5,2e-4",
    "batch_sizes": "100,300",
    "hidden_size": "4",
    "epochs": "1",
    "train_images": "600",
    "dataset": "mnist",
    "data_dir": str(ROOT / "data"),
    "jobs": "1",
}


def _search(storage: Path, trials: int, **values: str) -> list[dict]:
    """Searches, and what all finished trials in the journal proposed."""
    tune(validated(TuningConfig, SEARCH | {"storage": str(storage), "trials": str(trials)} | values), Console(quiet=True))
    return _finished(storage)


def _finished(storage: Path) -> list[dict]:
    with held(storage) as (journal, _):
        told = replayed(journal)
        return [
            trial.params
            for study in told.get_all_studies()
            for trial in told.get_all_trials(study._study_id, states=(TrialState.COMPLETE,))
        ]


def test_a_search_that_is_resumed_goes_on_as_if_it_had_not_stopped(tracking, tmp_path):
    at_once = _search(tmp_path / "at_once", 4)
    for trials in (1, 3, 4):
        resumed = _search(tmp_path / "resumed", trials)
    assert resumed == at_once
    assert len({json.dumps(proposed) for proposed in resumed}) == 4


def test_brackets_in_a_name_are_no_markup(tracking, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = Path("[")
    storage.mkdir()
    storage /= "bold]"
    _search(storage, 1)
    storage.write_bytes(storage.read_bytes() + b'{"op_code"')
    with console.capture() as printed:
        tune(validated(TuningConfig, SEARCH | {"storage": str(storage), "trials": "1"}), console)
    assert printed.get().startswith("[/bold]: 10 bytes of a record that was cut off are removed")


def test_a_trial_that_was_stopped_is_not_waited_for(tracking, tmp_path):
    _search(tmp_path / "journal", 1)
    with held(tmp_path / "journal") as (journal, _):
        told = replayed(journal)
        optuna.load_study(study_name=told.get_all_studies()[0].study_name, storage=told).ask()
    assert len(_search(tmp_path / "journal", 2)) == 2
    with held(tmp_path / "journal") as (journal, _):
        states = [trial.state for trial in replayed(journal).get_all_trials(0)]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_a_search_in_which_nothing_can_be_trained_fails(tracking, tmp_path, store):
    with pytest.raises(StudyError, match="no trial's network could be trained"):
        _search(tmp_path / "journal", 2, learning_rates="1e38,3e38")
    client = MlflowClient(store)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    [run] = client.search_runs(experiments, "tags.kind = 'tune'", max_results=1, order_by=["start_time DESC"])
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(("name", "value"), [("batch_sizes", "100,501"), ("batch_sizes", "100,1000000"), ("target", "0.05")])
def test_what_would_find_nonsense_is_refused(name, value, tmp_path):
    with pytest.raises(InputError, match=f"^{name}={value}: expected"):
        tune(validated(TuningConfig, SEARCH | {"storage": str(tmp_path / "journal"), "trials": "1", name: value}), console)


@pytest.fixture
def journal(tmp_path) -> Path:
    """The journal of two finished trials."""
    path = tmp_path / "journal"
    with held(path) as (file, _):
        search = optuna.create_study(storage=replayed(file), study_name="search")
        for _ in range(2):
            trial = search.ask()
            search.tell(trial, trial.suggest_float("learning_rate", 1, 2))
    return path


def test_a_torn_last_record_costs_that_record_only(journal):
    whole = journal.read_bytes()
    finished = _finished(journal)
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in (start + 1, (start + len(whole)) // 2, len(whole) - 2):
        journal.write_bytes(whole[:cut])
        assert _finished(journal) == finished[:1]
        assert journal.read_bytes() == whole[:start]
    journal.write_bytes(whole[:-1])  # only the end of the line is missing
    assert _finished(journal) == finished
    assert journal.read_bytes() == whole
    for torn in (b"\0" * 100, b'{"op_code":4,"stu', b"\xff\xfe", b"{" * 200_000):
        journal.write_bytes(whole + torn)
        with held(journal) as (_, taken):
            assert taken == len(torn)
        assert journal.read_bytes() == whole


def test_a_record_behind_a_torn_one_is_read(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    finished = _finished(journal)
    journal.write_bytes(b"".join([*lines[:-1], b'{"op_code":4,"stu', lines[-1]]))
    with held(journal) as (_, taken):
        assert taken == 17
    assert _finished(journal) == finished


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\0\0\0",
        b"5",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"op_code":99}',
        b'{"op_code":4}',
        b'{"op_code":0,"study_name":"a","directions":[9],"worker_id":"w"}',
        b"",
    ],
)
def test_a_line_that_is_no_record_is_named_and_nothing_is_changed(journal, line):
    lines = journal.read_bytes().splitlines(keepends=True)
    content = b"".join([*lines[:3], line + b"\n", *lines[3:]])
    journal.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as an Optuna journal") as caught:
        _finished(journal)
    assert "\n" not in str(caught.value)
    assert journal.read_bytes() == content


@pytest.mark.parametrize("content", [b"text", b"text\n", b"\x89HDF\r\n\x1a\n" + bytes(100), b"{", b'{"a": 1}'])
def test_another_file_is_not_touched(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    if content == b"{":  # what a first record that was cut off may look like
        assert _finished(tmp_path / "file") == []
        return
    with pytest.raises(InputError, match="line 1 is not one of its records"):
        _finished(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content


def test_a_stale_lock_beside_a_journal_holds_nothing_up(journal, monkeypatch):
    monkeypatch.chdir(journal.parent)
    Path("sub").mkdir()
    journal.rename("sub/journal")
    Path("sub/journal.lock").symlink_to("sub/journal")  # as Optuna leaves it; from the folder it is in it leads nowhere
    assert len(_finished(Path("sub/journal"))) == 2


def test_one_search_at_a_time_holds_a_journal(journal):
    with held(journal), pytest.raises(InputError, match="another search is using this journal"), held(journal):
        pass
    assert len(_finished(journal)) == 2


def test_a_full_disk_is_one_line_and_the_search_goes_on_afterwards(journal):
    finished, size = _finished(journal), journal.stat().st_size
    with held(journal) as (file, _):
        search = optuna.load_study(study_name="search", storage=replayed(file))
        with _files_up_to(size + 20), pytest.raises(StudyError, match="journal cannot be written"):
            search.ask()
    assert journal.stat().st_size == size + 20
    assert _finished(journal) == finished


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_journal_cannot_be_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "journal")
    with pytest.raises(InputError, match="cannot be read as an Optuna journal"):
        _finished(tmp_path / "journal")
