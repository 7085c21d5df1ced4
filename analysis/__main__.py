"""The command line of the analysis: ``python -m analysis --study ID``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import quiet_libraries, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True)


@app.command()
def analyse(
    study: Annotated[str, typer.Option(help="A study's run id, or latest.")] = "latest",
    out: Annotated[str, typer.Option(help="A folder for the dataset and the findings, beside MLflow.")] = "",
    embedding: Annotated[str, typer.Option(help="How hidden states are drawn in the plane: tsne, or umap.")] = "tsne",
) -> None:
    """Pull a study's runs, judge the paper's claims, and log bands and verdicts to MLflow."""
    from analysis import study_analysis
    from analysis.embedding import METHODS
    from analysis.findings import words
    from study.errors import InputError
    from study.tracking import connect

    if embedding not in METHODS:
        raise InputError(f"embedding={embedding}: expected one of: {', '.join(METHODS)}")
    if out and Path(out).exists() and not Path(out).is_dir():
        raise InputError(f"out={out}: this is a file; expected a folder, which is made if need be")
    client = connect()
    analysis = study_analysis.analyse(client, study, embedding)
    study_analysis.log(client, analysis)
    if out:
        study_analysis.save(analysis, Path(out))
    for size, n in analysis.findings.withheld.items():
        console.print(f"H={size}: bands withheld, {n} networks are fewer than 6", highlight=False)
    for finding in analysis.findings.ledger:
        console.print(f"{finding.claim:4}H={finding.hidden_size:<5}{finding.verdict:14}{finding.hypothesis}: "
                      f"{words(finding)}", highlight=False)


if __name__ == "__main__":
    quiet_libraries()
    run(app)
