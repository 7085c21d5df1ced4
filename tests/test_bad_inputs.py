"""Whatever is handed to a command by mistake: one line that names it and what is accepted, status 2, and nothing is left behind.

The cases are made for every parameter there is; one that is added without any fails `test_every_parameter_has_bad_inputs`.
"""

from __future__ import annotations

import os
import socket
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml
from conftest import ROOT, run_command
from mlflow import MlflowClient

import analysis.__main__
import reports.__main__
import study.__main__
from study.command_line import run
from study.networks.network import RecurrentNetwork
from study.terminal.errors import quoted

APPS = {"study": study.__main__.app, "analysis": analysis.__main__.app, "reports": reports.__main__.app}

LONG = ["x" * 300, "x" * 5000, "y" * 1_000_000]
ODD = ["", " ", "\t", "two\nlines", "nul\0byte", "\x1b[31mred", "\u202egnihton", "\udcff", "$(touch new)", "--", "-", "None", *LONG]
WRITTEN = ["abc", "nan", "inf", "-inf", "1e999", "-1", "+1", "1_0", "\uff11", "²", "0x10", "1 0", "1.", "True", "1;2", "10**12"]
WHOLE = [*ODD, *WRITTEN, "9" * 5000, "1.0", "1e3", "1,2", "1-2", " 1", "1 ", "9" * 30]
COUNT = [*WHOLE, "0"]
REAL = ["abc", "nan", "inf", "1e999", "-1", "0", "+1", "1_0", "\uff11", "0x1p3", "True", "1/2", "1,2", "9" * 5000, *ODD]
INTERVAL = ["1", "1,2,3", "2,1", ",", "1,", "nan,1", "1,inf", "-1,1", "0,1", "1_0,20", "1-2", "abc", *ODD]
LIST = [
    "abc",
    "-1",
    "1-",
    "-",
    "9-0",
    "1,1",
    "0-3,2",
    "1-2-3",
    "1,,2",
    ",",
    "1.5",
    "1e3",
    "\uff11",
    "1_0",
    "+1",
    "0-999999999999",
    "0-100000",
    "9" * 30,
    "1;2",
    "nan",
    "true",
    *(odd for odd in ODD if odd != "-"),
]
WORD = ["nonsense", "AUTO", "0", *ODD]
ADDRESS = ["host:8786", "tcp://host", "tcp://host:0", "tcp://host:99999", "tcp://ho st:1", "tcp://:x", *ODD]
FOLDER = ["nowhere", "{things}/file.svg", "{things}/fifo.svg", *(odd for odd in ODD if odd != " ")]
STUDY = ["nothing", "0123", "LATEST", "latest ", "../..", "a" * 31, "g" * 32, "0" * 33, *ODD]
OUT = [
    "",
    "/",
    ".",
    "..",
    "new/",
    "nul\0byte",
    "two\nlines.svg",
    "x" * 300,
    "x" * 5000,
    "/dev/null",
    "/dev/full",
    "/dev/stdout",
    "/dev/fd/1",
    "/proc/report.svg",
    "nowhere/report.svg",
    "{things}/folder.svg",
    "{things}/fifo.svg",
    "{things}/socket.svg",
    "{things}/link.svg",
    "{things}/dangling.svg",
    "{things}/file.svg/report.svg",
]
OUT_FOLDER = [
    "",
    "nul\0byte",
    "x" * 300,
    "x" * 5000,
    "/dev/null",
    "/proc/results",
    "{things}/file.svg",
    "{things}/fifo.svg",
    "{things}/link.svg",
    "{things}/dangling.svg",
    "{things}/file.svg/results",
    "{things}/linked",
    "{things}/with-link",
    "{things}/with-fifo",
]

BAD = {
    "seeds": [*LIST, str(2**63), f"0,{2**64}"],
    "hidden_sizes": [*LIST, "0", "1000000000", "100001", "90000"],
    "hidden_size": [*COUNT, "1000000000", "90000"],
    "epochs": [*COUNT, "100001", "1000000000000"],
    "learning_rate": [*REAL, "1e300", "1e-300"],
    "learning_rates": [*INTERVAL, "1e-300,1", "1e-5,1e300"],
    "batch_size": [*COUNT, "60001"],
    "batch_sizes": [*INTERVAL, "100,1000000", "1.5,3"],
    "rows": [*COUNT, "27", "1001", "ALL"],
    "trailing_blanks": [*ODD, *WRITTEN, "1.0", "1e3", "1,2", " 1", "1001", "0-1001", "56-0", "0-", "-56", "0-5-9", "0 - 56"],
    "train_images": [*COUNT, "60001", "1000000000000"],
    "blank_rows": [*COUNT, "100001", "1000000000"],
    "patience": [*WHOLE, "604801"],
    "refresh": [*WHOLE, "604801"],
    "jobs": [*COUNT, "10000", "AUTO"],
    "trials": [*COUNT, "10001"],
    "target": [*REAL, "0.1", "1.01", "93.5"],
    "seed": [*WHOLE, "3-9", str(2**63)],
    "width": [*REAL, "1e9", "100.5"],
    "cell": [*WORD, "gru_bias"],
    "bias": [*WORD, "True", "1", "yes"],
    "dataset": [*WORD, "nowhere.npz", "nowhere/", "no/where.nc", "{things}/file.svg", "..", "x" * 300 + ".npz"],
    "order": [*WORD, "ROWS", "diagonals"],
    "measurements": WORD,
    "device": [*WORD, "tpu"],
    "precision": [*WORD, "fp8"],
    "kernels": [*WORD, "fortran", "TORCH"],
    "resume": WORD,
    "backend": WORD,
    "embedding": [*WORD, "pca"],
    "name": WORD,
    "only": WORD,
    "names": ["probes", "recurrent", "weights=a", "recurrent="],
    "words": ["probes"],
    "scheduler": ADDRESS,
    "data_dir": FOLDER,
    "study": STUDY,
    "accuracy": [*WORD, "0.9", "0.95-0.9", "93-94", "0.9-0.9", "0-1.5", "0.9,0.95", "-0.1-0.5", "1e-1-0.5", "\uff10-1"],
    "beside": [*STUDY, "latest", ",", f"{'0' * 32},{'0' * 32}", f"{'0' * 32},", f"{'0' * 32}, {'1' * 32}"],
    "first": STUDY,
    "second": STUDY,
    "storage": OUT,
    "out": OUT,
    "old": ["", "nul\0byte", "two\nlines", "\udcff", "x" * 300, "x" * 5000],
    "new": ["", "nowhere", "nul\0byte", "two\nlines", "x" * 300, "x" * 5000, "/dev/null", "{things}/file.svg", "{things}/fifo.svg"],
    "expect_accuracy": [*REAL, "1.01", "55", "-0.5", "55%"],
    "weights": ["nowhere", "{things}/folder.svg", "{things}/file.svg", "x" * 300, "x" * 5000, "nul\0byte"],
}
FLAGS = {"report", "incomplete"}  # which take no value
# What a command needs beside the parameter that is tried.
NEEDED = {
    ("study", "measure"): {"weights": "{things}/w.safetensors", "data_dir": str(ROOT / "data")},
    ("study", "run"): {"data_dir": str(ROOT / "data")},
    ("study", "tune"): {"data_dir": str(ROOT / "data")},
    ("study", "relocate"): {"old": "/nowhere", "new": "{things}/folder.svg"},
    ("reports", "figure"): {"name": "truncation"},
    ("reports", "compare"): {"first": "latest", "second": "latest"},
    ("analysis", "compare"): {"first": "latest", "second": "latest"},
}
NAMED = {"words": "probes", "first": "study=", "second": "study=", "name": "figure=", "only": "no measurement", "weights": ""}


def _commands():
    """Each command, as (program, name or none, what it takes)."""
    for program, app in APPS.items():
        command = typer.main.get_command(app)
        if command.params:
            yield program, "", command.params
        for name, inner in command.commands.items():
            yield program, name, inner.params


PARAMETERS = [(program, command, parameter.name) for program, command, parameters in _commands() for parameter in parameters]


def _bad(program: str, command: str, parameter: str) -> list[str]:
    if program == "analysis" and parameter == "out":
        return OUT_FOLDER if not command else [value for value in OUT_FOLDER if "fifo" not in value]  # which is in an inner folder
    if parameter == "hidden_size" and program != "study":  # nothing is trained, which 90,000 units would be too many for
        return [value for value in BAD[parameter] if value != "90000"]
    return BAD.get(parameter, [])


def test_every_parameter_has_bad_inputs():
    assert not [one for one in PARAMETERS if not _bad(*one) and one[2] not in FLAGS]
    assert sum(len(_bad(*one)) for one in PARAMETERS) > 300
    for name, entry in yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"].items():
        _, _, program, *words = entry["command"].split()
        command = words[0] if not words[0].startswith("-") else ""
        options = dict(pairwise(words))
        for parameter in entry["parameters"]:
            assert options[f"--{parameter.replace('_', '-')}"] == f"{{{parameter}}}", name
            assert (program, command, parameter) in PARAMETERS


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> Path:
    """A folder of what no output may take the place of."""
    folder = tmp_path_factory.mktemp("things")
    (folder / "file.svg").write_text("kept")
    (folder / "folder.svg").mkdir()
    os.mkfifo(folder / "fifo.svg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.svg"))
    (folder / "link.svg").symlink_to(folder / "file.svg")
    (folder / "dangling.svg").symlink_to(folder / "nothing")
    (folder / "linked").symlink_to(folder / "folder.svg")
    (folder / "with-link").mkdir()
    (folder / "with-link" / "findings.csv").symlink_to(folder / "file.svg")
    (folder / "with-fifo" / "tables").mkdir(parents=True)
    os.mkfifo(folder / "with-fifo" / "tables" / "networks.csv")
    RecurrentNetwork.initial(0, 4, 28, 10).save(folder / "w.safetensors")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, things) -> Path:
    """An empty folder to run commands in; it is empty afterwards, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    before = sorted(things.rglob("*"))
    yield tmp_path
    assert not list(tmp_path.iterdir())
    assert sorted(things.rglob("*")) == before
    assert (things / "file.svg").read_text() == "kept"


def _arguments(program: str, command: str, given: dict[str, str], things: Path) -> list[str]:
    kinds = {
        parameter.name: parameter
        for name, one, parameters in _commands()
        if (name, one) == (program, command)
        for parameter in parameters
    }
    values = {name: value.replace("{things}", str(things)) for name, value in (NEEDED.get((program, command), {}) | given).items()}
    options = [
        part
        for name, kind in kinds.items()
        if name in values and kind.param_type_name == "option"
        for part in (kind.opts[0], values[name])
    ]
    arguments = [values[name] for name, kind in kinds.items() if name in values and kind.param_type_name == "argument"]
    return [*([command] if command else []), *options, "--", *arguments]


def _line(program: str, arguments: list[str], monkeypatch, capsys) -> str:
    """The one line that a command prints in this process."""
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as ended:
        run(APPS[program])
    printed = capsys.readouterr()
    assert ended.value.code == 2, printed.err
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1, printed.err
    assert printed.err.rstrip("\n").isprintable()
    assert len(printed.err) < 800
    return printed.err


@pytest.mark.parametrize(("program", "command", "parameter"), PARAMETERS, ids=[" ".join(filter(None, one)) for one in PARAMETERS])
def test_a_bad_value_is_one_line_that_says_what_is_accepted(program, command, parameter, place, things, monkeypatch, capsys):
    for value in _bad(program, command, parameter):
        line = _line(program, _arguments(program, command, {parameter: value}, things), monkeypatch, capsys)
        named = " ".join(quoted(value.replace("{things}", str(things))).split())
        assert named in line, (value[:100], line)
        assert NAMED.get(parameter, f"{parameter}=") in line, (value[:100], line)
        assert "expected" in line or "or name the" in line, (value[:100], line)


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("study", [], "the commands run, sync"),
        ("study", ["bogus"], "the commands run, sync"),
        ("study", ["run", "--epoch", "3"], "--epochs"),
        ("study", ["run", "extra"], "(extra)"),
        ("study", ["run", "--report=3"], "--report"),
        ("study", ["run", "--seeds"], "--seeds"),
        ("study", ["sync", "extra"], "expected"),
        ("study", ["check", "extra"], "expected"),
        ("study", ["measure"], "expected"),
        ("analysis", ["bogus"], "the commands states, power"),
        ("analysis", ["--widht", "3"], "--study"),
        ("analysis", ["power", "--widht", "3"], "--width"),
        ("reports", ["bogus"], "the commands refresh, pages, figure, compare"),
        ("reports", ["figure"], "truncation"),
        ("reports", ["figure", "truncation", "oscillation"], "(oscillation)"),
        ("reports", ["figure", "truncation", "--out", "figure.gif"], ".svg"),
        ("reports", ["compare"], "FIRST SECOND"),
        ("reports", ["compare", "latest"], "FIRST SECOND"),
        ("reports", ["compare", "latest", "latest", "latest"], "FIRST SECOND"),
        ("study", ["x" * 5000], "the commands run, sync"),
        ("study", ["run", f"--{'x' * 5000}"], "--seeds"),
    ],
)
def test_wrong_arguments_are_one_line_that_says_which_there_are(program, arguments, words, place, monkeypatch, capsys):
    assert words in _line(program, arguments, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--seeds", "0-99999", "--hidden-sizes", "8,9"], "200,000 networks; expected at most 100,000"),
        (["run", "--train-images", "100"], "batch_size=200: more than train_images=100"),
        (["run", "--hidden-sizes", "8", "--epochs", "100000", "--batch-size", "60000", "--hidden-sizes", "20000"], "GiB of memory"),
        (["run", "--backend", "dask"], "scheduler=tcp://host:8786"),
        (["run", "--scheduler", "tcp://host:8786"], "only backend=dask has one"),
        (["run", "--precision", "tf32", "--device", "cpu"], "precision=tf32"),
        (["run", "--kernels", "numpy", "--precision", "bf16", "--device", "cpu"], "precision=bf16 expected torch, or auto"),
        (["tune", "--train-images", "600", "--batch-sizes", "100,501"], "at most 500 images per batch"),
        (["measure", "{things}/w.safetensors", "--out", "{things}/w.safetensors"], "these are the weights"),
    ],
)
def test_values_that_do_not_go_together_are_one_line(arguments, words, place, things, monkeypatch, capsys):
    given = [argument.replace("{things}", str(things)) for argument in arguments]
    assert words in _line("study", [*given, "--data-dir", str(ROOT / "data")], monkeypatch, capsys)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('empty') / 'mlflow.db'}"
    MlflowClient(uri).search_experiments()
    return uri


COMMAND, PROJECT = [sys.executable, "-m"], ["mlflow", "run", ".", "--env-manager", "local"]


ONCE = [([*COMMAND, "study", "run", "--out", "/dev/stdout"], "out=/dev/stdout")]
MORE = [
    ([*PROJECT, "-e", "report", "-P", "out=/dev/null"], "out=/dev/null"),
    ([*COMMAND, "study", "tune", "--storage", "/dev/full"], "storage=/dev/full"),
    ([*COMMAND, "study", "measure", "w.safetensors", "--seed", "3-9"], "seed=3-9"),
    ([*COMMAND, "analysis", "--study", "nope"], "study=nope"),
    ([*COMMAND, "analysis", "power", "--width", "nan"], "width=nan"),
    ([*COMMAND, "reports", "--out", "/dev/null"], "out=/dev/null"),
    ([*COMMAND, "reports", "compare", "latest"], "FIRST SECOND"),
    ([*PROJECT, "-P", "seeds=0-999999999999"], "seeds=0-999999999999"),
    ([*PROJECT, "-e", "analyse", "-P", "study=nope"], "study=nope"),
    ([*PROJECT, "-e", "tune", "-P", "batch_sizes=100,1000000"], "batch_sizes=100,1000000"),
]


@pytest.mark.parametrize(
    ("command", "words"),
    [*ONCE, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE)],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_a_real_command_ends_with_that_line_and_nothing_running(command, words, empty_store):
    done = run_command(command, empty_store)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in done.stdout + done.stderr
    client = MlflowClient(empty_store)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    if command[0] == "mlflow":
        assert done.returncode != 0
        assert {run.info.status for run in runs} == {"FAILED"}
    else:
        assert done.returncode == 2
        assert done.stderr == f"{line}\n"
    for made in runs:
        client.delete_run(made.info.run_id)


@pytest.mark.parametrize("cache", ["x" * 300, "two\nlines", "/dev/null", "{things}/file.svg", "{things}/file.svg/cache"])
@pytest.mark.parametrize("command", [["run"], ["tune"], ["measure", "{things}/w.safetensors"]])
def test_a_cache_that_cannot_be_is_named(command, cache, place, things, monkeypatch, capsys):
    folder = Path(cache.replace("{things}", str(things)))
    monkeypatch.setattr("study.data.places.CACHE", folder)
    arguments = [*(part.replace("{things}", str(things)) for part in command), "--data-dir", str(ROOT / "data")]
    assert f"HIDDEN_ORBITS_CACHE={quoted(folder)}" in _line("study", arguments, monkeypatch, capsys)


@pytest.mark.parametrize("command", ["run", "tune"])
def test_an_experiment_that_cannot_be_is_named(command, empty_store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty_store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "x" * 5000)
    MlflowClient(empty_store).search_experiments()  # which makes the store's tables, and says so
    capsys.readouterr()
    line = _line("study", [command, "--data-dir", str(ROOT / "data")], monkeypatch, capsys)
    assert f"MLFLOW_EXPERIMENT_NAME={quoted('x' * 5000)}" in line
    assert not list(tmp_path.iterdir())
