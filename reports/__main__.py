"""The command line of the reports: ``python -m reports --study ID --out report.pdf``."""

from __future__ import annotations

from study import stopping

if __name__ == "__main__":
    stopping.listen()  # before what follows, which takes a while to import

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True)

Study = Annotated[str, typer.Option(help="A study's run id, or latest.")]


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    study: Study = "latest",
    out: Annotated[Path, typer.Option(help="The PDF to write.")] = Path("report.pdf"),
) -> None:
    """Draw a study's figures, typeset its report, and log both to the study run."""
    if context.invoked_subcommand:
        return
    from analysis import runs
    from analysis.study_analysis import analyse, describe
    from reports.pages import log_pages
    from reports.pdf import build
    from study.errors import checked_target
    from study.tracking import connect

    checked_target("out", out)
    client = connect(existing=True)
    analysis = analyse(client, study)
    with tempfile.TemporaryDirectory() as folder:
        built = build(analysis, Path(folder))
        runs.log_files(client, analysis.study, Path(folder))
        shutil.copy(built, out)
    describe(client, analysis)
    log_pages(client, analysis.dataset)
    console.print(f"report of study {analysis.study}: {out}", highlight=False)


@app.command("refresh")
def refresh_command(study: Study = "latest") -> None:
    """Draw the figures and verdicts of a study that is still running, from the networks it has so far."""
    from reports.live import refresh
    from study.tracking import connect

    networks = refresh(connect(existing=True), study)
    console.print(f"figures of study {study} drawn from {networks} networks", highlight=False)


@app.command("figure")
def figure_command(
    name: Annotated[str, typer.Argument(help="Its name, such as truncation; without one they are listed.")] = "",
    study: Study = "latest",
    out: Annotated[Path | None, typer.Option(help="The file to write: .svg, .png or .pdf. By default NAME.svg.")] = None,
) -> None:
    """Draw one figure of a study."""
    from analysis import runs
    from analysis.study_analysis import analyse, of_dataset
    from reports.figures import FIGURES, OF_STATES
    from reports.figures.figure import FORMATS
    from study.errors import InputError, checked_target
    from study.tracking import connect

    if name not in FIGURES:
        raise InputError(f"figure={name}: expected one of: {', '.join(FIGURES)}")
    target = out or Path(f"{name}.svg")
    if target.suffix.lower() not in FORMATS:
        raise InputError(f"out={target}: expected a file name that ends in one of: {', '.join(FORMATS)}")
    checked_target("out", target)
    client = connect(existing=True)
    analysis = analyse(client, study) if name in OF_STATES else of_dataset(runs.load(study, client))
    figure = FIGURES[name](analysis)
    if figure is None:
        raise InputError(f"figure={name}: study {analysis.study} holds too little to draw it; it may need more "
                         "networks, more blank rows, or measurements=full")
    figure.draw(target)
    console.print(f"{target}: {figure.caption}", highlight=False)


@app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(help="A study's run id, or latest.")],
    second: Annotated[str, typer.Argument(help="Another study's run id.")],
    out: Annotated[Path, typer.Option(help="The PDF to write.")] = Path("comparison.pdf"),
) -> None:
    """Typeset two studies side by side: their settings, verdicts and figures."""
    from analysis import runs
    from analysis.study_analysis import of_dataset
    from reports.comparison import settings, verdicts
    from reports.pdf import build_comparison
    from study.errors import checked_target
    from study.tracking import connect

    checked_target("out", out)
    client = connect(existing=True)
    one, other = (of_dataset(runs.load(study, client)) for study in (first, second))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(build_comparison(one, other, Path(folder)), out)
    for name, *values in settings(one, other):
        console.print(f"{name}: {' | '.join(values)}", highlight=False)
    for row in verdicts(one, other):
        told = " | ".join(f"{study['estimate']} {study['verdict']}".strip() for study in row["studies"])
        console.print(f"{row['claim']:4}H={row['hidden_size']:<5}{told}", highlight=False)
    console.print(f"comparison of two studies: {out}", highlight=False)


if __name__ == "__main__":
    run(app)
