"""The command line of the reports: ``python -m reports --study ID --out report.pdf``."""

from __future__ import annotations

from study.terminal import stopping

if __name__ == "__main__":
    stopping.listen()  # first: the imports below take a while

import logging
import os
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import Accuracy, Beside, DataDir, Study, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True, markup=False, emoji=False)  # stored text may hold anything


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    study: Study = "latest",
    out: Annotated[str, typer.Option(help="The PDF to write.")] = "report.pdf",
    data_dir: DataDir = None,
    beside: Beside = "none",
    accuracy: Accuracy = "none",
) -> None:
    """Draw a study's figures, typeset its report, and log both to the study run."""
    if context.invoked_subcommand:
        return
    from study.data.sources import checked_data_dir
    from study.files.targets import checked_target
    from study.terminal.errors import checked_studies, checked_study

    checked_study(study)
    others = checked_studies("beside", beside)
    target = checked_target("out", out)
    images = checked_data_dir(data_dir)
    from analysis.claims.c1_test_accuracy import checked_accuracy
    from analysis.study_analysis import analyse, describe
    from reports.pages import log_pages
    from reports.typesetting.pdf import build_report
    from study.files import durable
    from study.tracking import connect, results

    checked_accuracy(accuracy)
    client = connect(existing=True)
    analysis = analyse(client, study, data_dir=images, beside=others, accuracy=accuracy)
    for line in analysis.left_out:
        console.print(line, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        built = build_report(analysis, Path(folder))
        results.log_files(client, analysis.study, Path(folder))
        durable.write(target, built.read_bytes())
    describe(client, analysis)
    log_pages(client, analysis.dataset, jobs=-1)
    console.print(f"report of study {analysis.study}: {out}", highlight=False)


@app.command("refresh")
def refresh_command(study: Study = "latest") -> None:
    """Draw the figures and verdicts of a study that is still running, from the networks it has so far."""
    from study.terminal.errors import checked_study

    checked_study(study)
    from reports.live import refresh
    from study.tracking import connect

    count = refresh(connect(existing=True), study)
    console.print(f"figures of study {study} drawn from {count} networks", highlight=False)


@app.command("pages")
def pages_command(
    study: Study = "latest", hidden_size: Annotated[str | None, typer.Option(help="Of this hidden size only.")] = None
) -> None:
    """Draw the pages of a study's networks that have none yet, ahead of a report."""
    from study.terminal.errors import checked_study

    checked_study(study)
    from analysis.dataset import runs
    from analysis.study_analysis import OfSize
    from reports.pages import log_pages
    from study.config import validated
    from study.tracking import connect

    size = validated(OfSize, {"hidden_size": hidden_size}).hidden_size if hidden_size is not None else None
    client = connect(existing=True)
    count = log_pages(client, runs.load(study, client), size)
    console.print(f"{count} page{'s' * (count != 1)} drawn", highlight=False)


@app.command("figure")
def figure_command(
    name: Annotated[str, typer.Argument(help="Name of the figure, such as truncation; without one, the names are listed.")] = "",
    study: Study = "latest",
    out: Annotated[str | None, typer.Option(help="The file to write: .svg, .png or .pdf. By default NAME.svg.")] = None,
    data_dir: DataDir = None,
    beside: Beside = "none",
    accuracy: Accuracy = "none",
) -> None:
    """Draw one figure of a study."""
    from reports.figures import FIGURES, OF_STATES
    from reports.figures.figure import FORMATS
    from study.data.sources import checked_data_dir
    from study.files.targets import checked_target
    from study.terminal.errors import InputError, checked_studies, checked_study, quoted

    if name not in FIGURES:
        raise InputError(f"figure={quoted(name)}: expected one of: {', '.join(FIGURES)}")
    checked_study(study)
    others = checked_studies("beside", beside)
    file = out if out is not None else f"{name}.svg"
    if Path(file).suffix.lower() not in FORMATS:
        raise InputError(f"out={quoted(file)}: expected a file name that ends in one of: {', '.join(FORMATS)}")
    target = checked_target("out", file)
    images = checked_data_dir(data_dir)
    from analysis.claims.c1_test_accuracy import checked_accuracy
    from analysis.study_analysis import analyse, of_records
    from study.tracking import connect

    checked_accuracy(accuracy)
    client = connect(existing=True)
    of_states = name in OF_STATES
    if of_states:
        analysis = analyse(client, study, data_dir=images, beside=others, accuracy=accuracy)
    else:
        analysis = of_records(client, study, others, accuracy)
    figure = FIGURES[name](analysis)
    if figure is None and analysis.left_out:
        raise InputError(f"figure={name}: {'; '.join(analysis.left_out)}")
    if figure is None:
        raise InputError(
            f"figure={name}: study {analysis.study} does not have the data for it; it may need more "
            "networks, more blank rows, or measurements=full"
        )
    figure.draw(target)
    console.print(f"{target}: {figure.caption}", highlight=False)


@app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(help="A study's run id, or latest.")],
    second: Annotated[str, typer.Argument(help="Another study's run id.")],
    out: Annotated[str, typer.Option(help="The PDF to write.")] = "comparison.pdf",
) -> None:
    """Typeset two studies side by side: their settings, verdicts and figures."""
    from study.files.targets import checked_target
    from study.terminal.errors import checked_study

    studies = [checked_study(first), checked_study(second)]
    target = checked_target("out", out)
    from analysis.study_analysis import of_records
    from reports.text.comparison import settings, verdicts
    from reports.typesetting.pdf import build_comparison
    from study.files import durable
    from study.terminal.visible import visible
    from study.tracking import connect

    client = connect(existing=True)
    one, other = (of_records(client, study) for study in studies)
    with tempfile.TemporaryDirectory() as folder:
        durable.write(target, build_comparison(one, other, Path(folder)).read_bytes())
    for letter, study in (("A", one), ("B", other)):
        for caution in (*study.findings.cautions, *study.findings.unjudged):
            console.print(f"note on {letter}: {caution}", highlight=False)
    for name, *values in settings(one, other):
        console.print(f"{visible(name, 40)}: {' | '.join(map(visible, values))}", highlight=False)
    for row in verdicts(one, other):
        judged = " | ".join(f"{study['estimate']} {study['verdict']}".strip() for study in row["studies"])
        difference = f" | {row['difference']}" if row["difference"] else ""
        console.print(f"{row['claim']:4}H={row['hidden_size']:<5}{judged}{difference}", highlight=False)
    console.print(f"comparison of two studies: {out}", highlight=False)


def import_matplotlib() -> None:
    """Imports matplotlib with its installed defaults, for this process. It reads the user's matplotlibrc and backend on import, and
    those may be a notebook's, or broken.
    """
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where its folder cannot be written, and works without
    with chdir(Path(__file__).parent):  # a matplotlibrc in the current folder would come first
        import matplotlib  # noqa: F401


if __name__ == "__main__":
    import_matplotlib()
    run(app)
