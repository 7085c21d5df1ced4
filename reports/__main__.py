"""The command line of the reports: ``python -m reports --study ID --out report.pdf``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import quiet_libraries, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True)


@app.command()
def report(
    study: Annotated[str, typer.Option(help="A study's run id, or latest.")] = "latest",
    out: Annotated[Path, typer.Option(help="The PDF to write.")] = Path("report.pdf"),
) -> None:
    """Draw a study's figures, typeset its report, and log both to the study run."""
    from analysis import runs
    from analysis.study_analysis import analyse
    from reports.pages import log_pages
    from reports.pdf import build
    from study.errors import checked_target
    from study.tracking import connect

    checked_target("out", out)
    client = connect()
    analysis = analyse(client, study)
    with tempfile.TemporaryDirectory() as folder:
        built = build(analysis, Path(folder))
        runs.log_files(client, analysis.dataset.attrs["study"], Path(folder))
        shutil.copy(built, out)
    log_pages(client, analysis.dataset)
    console.print(f"report of study {analysis.dataset.attrs['study']}: {out}", highlight=False)


if __name__ == "__main__":
    quiet_libraries()
    run(app)
