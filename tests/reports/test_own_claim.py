"""A person's own claim: one file, named in the environment, judges and reports on a real study without another edit."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from places import ROOT, Place, new_place, write_data_set
from pypdf import PdfReader

pytestmark = pytest.mark.slow

MINE = '''
"""Claims of my own."""

from analysis.claims import Claim, Finding, Sample, by_interval, register_claim
from analysis.statistics.intervals import mean_interval


def judge(sample: Sample) -> Finding:
    peaks = sample.arrays.peak_dimension.values
    estimate = mean_interval(peaks)
    numbers = {"least": peaks.min(), "widest_seeds": sample.arrays.seed.values[peaks == peaks.max()]}
    return Finding("X1", sample.hidden_size, estimate, by_interval(estimate, 1.5), numbers=numbers)


COMMON = {
    "quantity": "peak of the dimensionality",
    "units": "components",
    "test": "a t interval of my own",
    "section": "What I wanted to know",
    "accuracy_only": True,
}
register_claim(
    Claim(
        id="X1",
        hypothesis="states spread over more than one direction",
        paper="",
        needs=("peak_dimension",),
        judge=judge,
        rule="supported if the interval lies above one and a half",
        phrases=("{least:.0f} components at least", "{absent:.0f} of nothing"),
        method="X1 looks at the step where dimensionality is largest.",
        figures=("networks", "no_such_figure"),
        power="mean",
        bound=1.5,
        **COMMON,
    )
)
register_claim(
    Claim(
        id="X2",
        hypothesis="something that nobody measured",
        paper="A thing that the paper says.",
        needs=("unheard_of",),
        judge=judge,
        rule="never",
        **COMMON,
    )
)
'''
NOT_JUDGED = "X2, something that nobody measured: not judged, because it needs unheard_of"


@dataclass(frozen=True)
class Told:
    """What the commands printed and wrote of a study, with the claims of `MINE` registered."""

    place: Place
    folder: Path
    printed: dict[str, str]

    @property
    def report(self) -> str:
        """The text of the report, in one line."""
        return " ".join(" ".join(page.extract_text() for page in PdfReader(self.folder / "report.pdf").pages).split())


@pytest.fixture(scope="module")
def told(tmp_path_factory, train_images, test_images) -> Told:
    folder = tmp_path_factory.mktemp("own")
    place = new_place(folder)
    data = str(write_data_set(folder / "data", train_images.first(600), test_images.first(100)))
    study = place.start(data_dir=data, seeds="0-5", hidden_sizes="4", epochs="1", train_images="600")
    study.wait()
    assert study.process.returncode == 0, study.output
    (folder / "my_claims.py").write_text(MINE)
    commands = {
        "analysis": ["analysis", "--data-dir", data, "--out", str(folder / "out")],
        "report": ["reports", "--data-dir", data, "--out", str(folder / "report.pdf")],
        "power": ["analysis", "power"],
        "compare": ["reports", "compare", "latest", "latest", "--out", str(folder / "comparison.pdf")],
    }
    printed = {}
    for name, command in commands.items():
        own = {"HIDDEN_ORBITS_EXTENSIONS": "my_claims", "PYTHONPATH": f"{folder}:{ROOT}"}
        done = place.popen([sys.executable, "-m", *command], **own)
        done.wait()
        assert done.process.returncode == 0, done.output
        printed[name] = done.output
    return Told(place, folder, printed)


def test_it_has_its_row_among_the_findings(told):
    row = pd.read_csv(told.folder / "out" / "findings.csv").set_index("claim").loc["X1"]
    assert row.hypothesis == "states spread over more than one direction"
    assert row["n"] == 6
    assert row.verdict in ("supported", "contradicted", "undecided")
    assert set(json.loads(row.numbers)) == {"least", "widest_seeds"}
    assert row.lower <= row.value <= row.upper


def test_it_is_printed_and_described(told):
    description = told.place.studies()[0].data.tags["mlflow.note.content"]
    assert "| X1: states spread over more than one direction | 4 |" in description
    assert "; X1 " in description
    for where, mark in (("analysis", "X1  H=4"), ("power", "X1  H=4"), ("compare", "X1  H=4")):
        assert mark in told.printed[where], told.printed[where]
    assert "a verdict with 80% power" in next(line for line in told.printed["power"].splitlines() if line.startswith("X1"))


def test_it_has_its_section_its_rule_and_its_method_in_the_report(told):
    text = told.report
    assert "Of the paper's claims, and X1, which is ours," in text
    assert "X1, states spread over more than one direction:" in text
    assert "components at least." in text
    assert "of nothing" not in text
    assert "What I wanted to know" in text
    assert "a t interval of my own supported if the interval lies above one and a half" in text
    assert "X1 looks at the step where dimensionality is largest." in text


def test_a_claim_that_lacks_what_it_needs_is_said_to_wherever_claims_are_listed(told):
    described = told.place.studies()[0].data.tags["mlflow.note.content"].replace("&#58;", ":").replace("&#95;", "_")
    for text in (*told.printed.values(), told.report, described):
        if "report of study" not in text:  # the command prints no claims
            assert NOT_JUDGED in text
    needed = "C6, training separates one class early: not judged, because it needs early_class and early_cluster_agreement"
    assert needed in told.printed["analysis"]
    assert "X2" not in set(pd.read_csv(told.folder / "out" / "findings.csv").claim)
