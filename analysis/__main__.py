"""The command line of the analysis: ``python -m analysis --study ID``."""

from __future__ import annotations

from study import stopping

if __name__ == "__main__":
    stopping.listen()  # before what follows, which takes a while to import

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from study.command_line import run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True)


@app.callback(invoke_without_command=True)
def analyse(
    context: typer.Context,
    study: Annotated[str, typer.Option(help="A study's run id, or latest.")] = "latest",
    out: Annotated[str, typer.Option(help="A folder for the dataset and the findings, beside MLflow.")] = "",
    embedding: Annotated[str, typer.Option(help="How hidden states are drawn in the plane: tsne, or umap.")] = "tsne",
) -> None:
    """Pull a study's runs, judge the paper's claims, and log bands and verdicts to MLflow."""
    if context.invoked_subcommand:
        return
    from analysis import runs, study_analysis
    from analysis.embedding import METHODS
    from analysis.ledger import words
    from study.errors import InputError
    from study.tracking import connect

    if embedding not in METHODS:
        raise InputError(f"embedding={embedding}: expected one of: {', '.join(METHODS)}")
    if out and Path(out).exists() and not Path(out).is_dir():
        raise InputError(f"out={out}: this is a file; expected a folder, which is made if need be")
    client = connect(existing=True)
    analysis = study_analysis.analyse(client, study, embedding)
    study_analysis.log(client, analysis)
    if out:
        study_analysis.save(analysis, Path(out))
        runs.save_tables(analysis.dataset, Path(out) / "tables")
    for size, n in analysis.findings.withheld.items():
        console.print(f"H={size}: bands withheld, {n} networks are fewer than 6", highlight=False)
    for finding in analysis.findings.ledger:
        console.print(f"{finding.claim:4}H={finding.hidden_size:<5}{finding.verdict:14}{finding.hypothesis}: "
                      f"{words(finding)}", highlight=False)


@app.command("power")
def power_command(
    study: Annotated[str, typer.Option(help="The pilot: a study's run id, or latest.")] = "latest",
    width: Annotated[float, typer.Option(help="How wide a band may be, in points of accuracy or in components.")] = 5.0,
) -> None:
    """Tell how many seeds a claim, or a band of a given width, needs, from a pilot study."""
    from analysis import runs
    from analysis.findings import evaluate, present, step_curves
    from analysis.power import MOST, OF_CURVES, Need, for_band, for_claim
    from study.errors import InputError
    from study.tracking import connect

    if width <= 0:
        raise InputError(f"width={width}: expected a number above 0")
    dataset = runs.load(study, connect(existing=True))

    def say(goal: str, need: Need) -> None:
        console.print(f"{goal}: {need.networks or f'more than {MOST}'} seeds", highlight=False)

    for finding in evaluate(dataset).ledger:
        place = f"{finding.claim:4}H={finding.hidden_size:<5}"
        if need := for_claim(finding):
            say(f"{place}a verdict with 80% power at the pilot's estimate", need)
        else:
            why = "a whole curve decides it" if finding.claim in OF_CURVES else "the pilot has no interval for it"
            console.print(f"{place}no number: {why}", highlight=False)
    for size in dataset.hidden_size.values:
        networks = present(dataset, int(size))
        for name, scale, units in (("accuracy_blanked", 100, "points"), ("accuracy_truncated", 100, "points"),
                                   ("pca90", 1, "components")):
            if networks.sizes["seed"] > 1:
                need = for_band(scale * step_curves(networks[name]).values, width)
                say(f"H={size:<5}a band of {name} at most {width:g} {units} wide", need)


if __name__ == "__main__":
    run(app)
