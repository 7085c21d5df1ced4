"""The command line of a study: ``python -m study run | sync | relocate | measure | tune``."""

from __future__ import annotations

from study.terminal import stopping

if __name__ == "__main__":
    stopping.listen()  # first: the imports below take a while

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True, markup=False, emoji=False)  # stored text may hold anything

# Values reach the configuration as they were written: they are checked in one place, and a mistake is reported in one line.
Text = str | None
DATASET = "mnist, fashion-mnist, kmnist, digits, delayed-match, flip-flop, or a path to your own data (docs/data.md)."
ORDER = "How an image is read: rows, columns, or permuted (its pixels, always in the same way)."


@app.command("run")
def run_command(
    seeds: Annotated[Text, typer.Option(help="Seeds, as a list with ranges: 0-9 or 0,3,7-9.")] = None,
    hidden_sizes: Annotated[Text, typer.Option(help="Hidden sizes, as a list with ranges.")] = None,
    cell: Annotated[Text, typer.Option(help="The recurrent cell: tanh, relu, gru, lstm, or an extension's.")] = None,
    bias: Annotated[Text, typer.Option(help="Whether the recurrent layer has biases: true or false.")] = None,
    epochs: Annotated[Text, typer.Option(help="Passes over the training images.")] = None,
    learning_rate: Annotated[Text, typer.Option(help="Adam's learning rate.")] = None,
    batch_size: Annotated[Text, typer.Option(help="Images per training step.")] = None,
    dataset: Annotated[Text, typer.Option(help=DATASET)] = None,
    data_dir: Annotated[Text, typer.Option(help="The folder that holds the data set.")] = None,
    rows: Annotated[Text, typer.Option(help="Rows read of an image: all, or fewer (averaged), or more (repeated).")] = None,
    order: Annotated[Text, typer.Option(help=ORDER)] = None,
    train_images: Annotated[Text, typer.Option(help="Number of training images, taken from the start, or all.")] = None,
    trailing_blanks: Annotated[
        Text, typer.Option(help="Blank rows after each image in training: a number, or a range such as 0-56, drawn for each batch.")
    ] = None,
    blank_rows: Annotated[Text, typer.Option(help="Blank rows appended in experiment 3.")] = None,
    measurements: Annotated[Text, typer.Option(help="What is measured: paper, standard, or full.")] = None,
    device: Annotated[Text, typer.Option(help="cpu, cuda, or auto.")] = None,
    precision: Annotated[Text, typer.Option(help="fp32; tf32 or bf16 are faster and coarser on a GPU.")] = None,
    kernels: Annotated[Text, typer.Option(help="What multiplies on a CPU: torch, numpy, or auto, the faster one.")] = None,
    jobs: Annotated[Text, typer.Option(help="Number of worker processes, or auto: one per core.")] = None,
    resume: Annotated[Text, typer.Option(help="auto: reuse stored networks; never: train all anew.")] = None,
    backend: Annotated[Text, typer.Option(help="loky: this machine; dask: a cluster.")] = None,
    scheduler: Annotated[Text, typer.Option(help="The cluster's Dask scheduler, as tcp://host:8786.")] = None,
    patience: Annotated[Text, typer.Option(help="Seconds to wait, at the end, for a store that does not answer.")] = None,
    refresh: Annotated[Text, typer.Option(help="Seconds between figure refreshes during the run; 0: never.")] = None,
    out: Annotated[str, typer.Option(help="Where the report is written.")] = "report.pdf",
    report: Annotated[bool, typer.Option(help="Analyse the study and build its report.")] = True,
) -> None:
    """Train and measure every network of a grid, then analyse the study and build its report."""
    given = {name: value for name, value in locals().items() if value is not None and name not in ("out", "report")}
    from study.config import StudyConfig, validated
    from study.files.targets import checked_target

    config = validated(StudyConfig, given)
    target = checked_target("out", out)
    from study.execution.coordinator import run_study

    raise typer.Exit(
        run_study(
            config,
            console,
            lambda run_id: _analyse_and_report(run_id, target, config.data_dir) if report else 0,
            lambda run_id: [sys.executable, "-m", "reports", "refresh", "--study", run_id] if report else [],
            lambda run_id, hidden_size: _of_complete_size(run_id, hidden_size, config.data_dir) if report else [],
        )
    )


def _of_complete_size(run_id: str, hidden_size: int, data_dir: Path) -> list[list[str]]:
    """The commands that do, for one hidden size, what the next two stages would otherwise do after the last network."""
    of_size = ["--study", run_id, "--hidden-size", str(hidden_size)]
    stages = (["analysis", "states", *of_size, "--data-dir", str(data_dir)], ["reports", "pages", *of_size])
    return [[sys.executable, "-m", *stage] for stage in stages]


def _analyse_and_report(run_id: str, out: Path, data_dir: Path) -> int:
    """Runs the next two stages as separate commands, which read the study from MLflow; returns the first status that is not 0."""
    from study.execution.live import run_stage

    study = ["--study", run_id, "--data-dir", str(data_dir)]
    for stage in (["analysis", *study], ["reports", *study, "--out", str(out)]):
        if status := run_stage(stage):
            console.print(f"the networks are stored in run {run_id}; to continue: python -m {shlex.join(stage)}", highlight=False)
            return status
    return 0


@app.command("sync")
def sync_command() -> None:
    """Log the results that wait in the spool because the tracking store was away."""
    from study.execution.syncing import sync

    sync(console)


@app.command("relocate")
def relocate_command(
    old: Annotated[str, typer.Argument(help="The folder in the store, as this command lists it, or one above it.")] = "",
    new: Annotated[str, typer.Argument(help="The folder that replaces it.")] = "",
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Accept that some complete networks are missing.")] = False,
) -> None:
    """Tell the store where its artifacts are after their folder was moved. Without arguments: list where it looks for them."""
    from study.terminal.errors import InputError, quoted
    from study.tracking import relocation

    if bool(old) != bool(new):
        raise InputError(
            f"old={quoted(old)}, new={quoted(new)}: expected two folders (where the artifacts were and where they "
            "are), or none to list them"
        )
    if not old:
        for root in relocation.roots():
            there = "not on this machine" if root.there is None else f"{root.there} of {root.complete} complete networks are there"
            console.print(f"{root.place}: {root.runs} runs; {there}", highlight=False)
        return
    moved = relocation.relocate(old, Path(new), incomplete)
    rewritten = ", ".join(f"{count} {name}" for name, count in moved.rewritten.items())
    already = f"; {moved.already} locations were in the new folder already" if moved.already else ""
    console.print(
        f"from {old} to {new}: {rewritten}; {moved.there} of {moved.complete} complete networks are there{already}", highlight=False
    )


@app.command("check")
def check_command() -> None:
    """Check that the tracking store answers; create it if it is a file that does not exist yet."""
    from study.tracking import connect

    connect()


@app.command("measure")
def measure_command(
    weights: Annotated[str, typer.Argument(help="A network's weights: a safetensors file, or one of torch.save.")],
    out: Annotated[str, typer.Option(help="The netCDF file to write.")] = "measurements.nc",
    dataset: Annotated[str, typer.Option(help=DATASET)] = "mnist",
    data_dir: Annotated[str, typer.Option(help="The folder that holds the data set.")] = "data",
    rows: Annotated[str, typer.Option(help="Rows read of an image: all, or fewer (averaged), or more (repeated).")] = "all",
    order: Annotated[str, typer.Option(help=ORDER)] = "rows",
    blank_rows: Annotated[str, typer.Option(help="Blank rows appended in experiment 3.")] = "500",
    seed: Annotated[str, typer.Option(help="The seed of the untrained network for comparison.")] = "0",
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME ...", help="Make only these measurements, and those they need.")
    ] = None,
    expect_accuracy: Annotated[Text, typer.Option(help="The test accuracy the network should have, such as 0.55.")] = None,
    cell: Annotated[Text, typer.Option(help="tanh, relu, gru or lstm, where the file does not say it.")] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART=TENSOR ...", help="Which tensor is which part, where it is ambiguous: recurrent, input, readout ..."
        ),
    ] = None,
    words: Annotated[list[str] | None, typer.Argument(metavar="", hidden=True)] = None,
) -> None:
    """Measure any network, without a study: one recurrent layer (tanh, relu, GRU, LSTM) and one linear readout."""
    from study.config import MeasureConfig, validated
    from study.files.targets import checked_target
    from study.terminal.errors import InputError, quoted

    given = {
        "weights": weights,
        "dataset": dataset,
        "data_dir": data_dir,
        "rows": rows,
        "order": order,
        "blank_rows": blank_rows,
        "seed": seed,
        "cell": cell,
        "expect_accuracy": expect_accuracy,
    }
    config = validated(MeasureConfig, given)
    target = checked_target("out", out)
    if target.resolve() == config.weights.resolve():
        raise InputError(f"out={quoted(out)}: these are the weights that are measured; expected the name of another file")
    # Words that follow the one of --only or of --names are arguments to the parser.
    more, tensors, chosen = ([part for word in given or [] for part in word.split(",")] for given in (words, names, only))
    tensors += [word for word in more if "=" in word and names]
    chosen += [word for word in more if "=" not in word and only]
    if stray := [word for word in more if word not in (*tensors, *chosen)]:
        raise InputError(f"{quoted(stray[0])}: expected one file of weights; name measurements after --only, tensors after --names")
    from study.execution.measuring import measure_file
    from study.measurements import known
    from study.networks.foreign import checked_names

    measure_file(config, known(chosen), target, console, checked_names(tensors))


@app.command("tune")
def tune_command(
    trials: Annotated[str, typer.Option(help="Total number of trials, including those of earlier sessions.")] = "20",
    target: Annotated[str, typer.Option(help="The validation accuracy to approach.")] = "0.935",
    learning_rates: Annotated[str, typer.Option(help="Lowest and highest learning rate.")] = "2e-5,2e-4",
    batch_sizes: Annotated[str, typer.Option(help="Lowest and highest batch size.")] = "100,300",
    storage: Annotated[str, typer.Option(help="The Optuna journal, continued where it exists.")] = "tune.journal",
    hidden_size: Annotated[str, typer.Option(help="Hidden units of the trial networks.")] = "200",
    epochs: Annotated[str, typer.Option(help="Passes over the training images.")] = "30",
    train_images: Annotated[str, typer.Option(help="Number of training images, including the validation images, or all.")] = "all",
    dataset: Annotated[str, typer.Option(help=DATASET)] = "mnist",
    data_dir: Annotated[str, typer.Option(help="The folder that holds the data set.")] = "data",
    order: Annotated[str, typer.Option(help=ORDER)] = "rows",
    jobs: Annotated[str, typer.Option(help="Number of worker processes, or auto: one per core.")] = "auto",
) -> None:
    """Search for the learning rate and batch size whose validation accuracy comes closest to a target."""
    values = dict(locals())
    from study.config import validated
    from study.files.targets import checked_target

    checked_target("storage", storage)
    from study.execution.tuning import TuningConfig, tune

    tune(validated(TuningConfig, values), console)


if __name__ == "__main__":
    run(app)
