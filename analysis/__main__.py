"""The command line of the analysis: ``python -m analysis --study ID``."""

from __future__ import annotations

from study.terminal import stopping

if __name__ == "__main__":
    stopping.listen()  # first: the imports below take a while

from typing import Annotated

import typer
from rich.console import Console

from study.command_line import Accuracy, Beside, DataDir, Study, run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console(soft_wrap=True, markup=False, emoji=False)  # stored text may hold anything


@app.callback(invoke_without_command=True)
def analyse(
    context: typer.Context,
    study: Study = "latest",
    out: Annotated[
        str | None, typer.Option(help="A folder to write the dataset and the findings to, in addition to MLflow.")
    ] = None,
    embedding: Annotated[str, typer.Option(help="How hidden states are embedded in the plane: tsne or umap.")] = "tsne",
    data_dir: DataDir = None,
    beside: Beside = "none",
    accuracy: Accuracy = "none",
) -> None:
    """Pull a study's runs, judge the paper's claims, and log bands and verdicts to MLflow."""
    if context.invoked_subcommand:
        return
    from study.files.targets import checked_folder
    from study.terminal.errors import InputError, checked_studies, checked_study, quoted

    checked_study(study)
    others = checked_studies("beside", beside)
    folder = checked_folder("out", out, ("*.nc", "*.csv"), "tables") if out is not None else None
    from analysis.states.embedding import METHODS
    from study.data.sources import checked_data_dir

    if embedding not in METHODS:
        raise InputError(f"embedding={quoted(embedding)}: expected one of: {', '.join(METHODS)}")
    images = checked_data_dir(data_dir)
    from analysis import study_analysis
    from analysis.claims.c1_test_accuracy import checked_accuracy
    from analysis.claims.findings import estimate_text
    from analysis.dataset import runs
    from study.tracking import connect

    checked_accuracy(accuracy)
    client = connect(existing=True)
    analysis = study_analysis.analyse(client, study, embedding, images, others, accuracy)
    study_analysis.log(client, analysis)
    if folder is not None:
        study_analysis.save(analysis, folder)
        runs.save_tables(analysis.dataset, folder / "tables")
    for line in analysis.left_out:
        console.print(line, highlight=False)
    for size, n in analysis.findings.withheld.items():
        console.print(f"H={size}: bands withheld: {n} network{'s' * (n != 1)}, fewer than 6", highlight=False)
    for caution in analysis.findings.cautions:
        console.print(f"note: {caution}", highlight=False)
    for finding in analysis.findings.ledger:
        console.print(
            f"{finding.claim:4}H={finding.hidden_size:<5}{finding.verdict:16}{analysis.findings.claim(finding.claim).hypothesis}: "
            f"{estimate_text(finding)}",
            highlight=False,
        )
    for line in (*analysis.findings.inapplicable(), *analysis.findings.unjudged):
        console.print(line, highlight=False)


@app.command("states")
def states_command(
    hidden_size: Annotated[str, typer.Option(help="The hidden size, such as 200.")] = "",
    study: Study = "latest",
    data_dir: DataDir = None,
) -> None:
    """Embed and compare the hidden states of one hidden size's networks, ahead of an analysis, which takes them from the store."""
    from study.config import validated
    from study.data.sources import checked_data_dir
    from study.terminal.errors import checked_study

    checked_study(study)
    images = checked_data_dir(data_dir)
    from analysis.study_analysis import OfSize, log_states
    from study.tracking import connect

    size = validated(OfSize, {"hidden_size": hidden_size}).hidden_size
    names = log_states(connect(existing=True), study, size, images)
    console.print(f"H={size}: {', '.join(names)} stored", highlight=False)


@app.command("power")
def power_command(
    study: Annotated[str, typer.Option(help="The pilot: a study's run id, or latest.")] = "latest",
    width: Annotated[str, typer.Option(help="The greatest width of a band, in points of accuracy or in dimensions.")] = "5",
) -> None:
    """Estimate from a pilot study how many seeds each claim, or a band of a given width, needs."""
    from analysis.claims.power import MOST, Need, PowerConfig, for_band, for_claim, why_no_number
    from study.config import validated
    from study.terminal.errors import checked_study

    checked_study(study)
    widest = validated(PowerConfig, {"width": width}).width
    from analysis.claims.findings import step_curves
    from analysis.claims.sample import present
    from analysis.study_analysis import of_records
    from study.tracking import connect

    pilot = of_records(connect(existing=True), study)
    dataset, findings = pilot.dataset, pilot.findings

    def say(goal: str, need: Need) -> None:
        console.print(f"{goal}: {need.networks or f'more than {MOST}'} seeds", highlight=False)

    for caution in findings.cautions:
        console.print(f"note: {caution}", highlight=False)
    for finding in findings.ledger:
        place = f"{finding.claim:4}H={finding.hidden_size:<5}"
        if need := for_claim(finding, findings.tested):
            say(f"{place}a verdict with 80% power at the pilot's estimate", need)
        else:
            console.print(f"{place}no number: {why_no_number(finding)}", highlight=False)
    for line in findings.unjudged:
        console.print(line, highlight=False)
    for size in dataset.hidden_size.values:
        sample = present(dataset, int(size))
        for name, scale, units in (
            ("accuracy_blanked", 100, "points"),
            ("accuracy_truncated", 100, "points"),
            ("dimension90", 1, "dimensions"),
        ):
            if sample.sizes["seed"] > 1 and name in sample:
                need = for_band(scale * step_curves(sample[name]).values, widest)
                say(f"H={size:<5}a band of {name} at most {widest:g} {units} wide", need)


@app.command("compare")
def compare_command(
    first: Annotated[str, typer.Argument(help="A study's run id, or latest.")],
    second: Annotated[str, typer.Argument(help="Another study's run id.")],
    out: Annotated[str | None, typer.Option(help="A folder to write the differences to, as CSV tables.")] = None,
) -> None:
    """Print by how much two studies differ, claim by claim and number by number, with intervals and tests."""
    from study.files.targets import checked_folder
    from study.terminal.errors import checked_study

    studies = [checked_study(first), checked_study(second)]
    folder = checked_folder("out", out, ("*.csv",)) if out is not None else None
    from analysis.claims.comparison import compare_claims, compare_numbers, in_words, table
    from analysis.study_analysis import of_records
    from study.files import durable
    from study.tracking import connect

    client = connect(existing=True)
    one, other = (of_records(client, study) for study in studies)
    for letter, analysis in (("A", one), ("B", other)):
        console.print(f"{letter}: study {analysis.study}, {analysis.networks} networks", highlight=False)
        for caution in analysis.findings.cautions:
            console.print(f"note on {letter}: {caution}", highlight=False)
    claims, numbers = compare_claims(one.findings, other.findings), compare_numbers(one.dataset, other.dataset)
    for contrast in (*claims, *numbers):
        console.print(f"{contrast.name:4} H={contrast.hidden_size:<5}{in_words(contrast)}", highlight=False)
    if not claims and not numbers:
        console.print("nothing to compare: the studies have no hidden size in common", highlight=False)
    if folder is not None:
        for name, contrasts in (("claims", claims), ("numbers", numbers)):
            durable.write(folder / f"difference-{name}.csv", table(contrasts).to_csv(index=False).encode())


if __name__ == "__main__":
    run(app)
