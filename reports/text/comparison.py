"""Two studies side by side: the settings that differ, the verdicts of each, and their figures one above the other."""

from __future__ import annotations

import dataclasses

from analysis.claims.comparison import compare_claims, difference_in_words
from analysis.claims.finding import Finding
from analysis.claims.findings import estimate_text
from analysis.claims.registry import CLAIMS
from analysis.dataset import provenance
from analysis.dataset.runs import configuration
from analysis.study_analysis import Analysis
from reports.figures import drawn
from reports.figures.figure import Figure
from reports.figures.glyphs import shown

COMPARED = ("truncation", "oscillation", "dimensionality", "decoding", "spectrum")
LETTERS = "AB"


def comparison(first: Analysis, second: Analysis) -> tuple[dict, dict[str, Figure]]:
    """The content that `comparison.typ` lays out, and the figures by name: `A-truncation`, `B-truncation` and so on."""
    studies = (first, second)
    by_study = {letter: drawn(study, COMPARED) for letter, study in zip(LETTERS, studies, strict=True)}
    figures = {
        f"{letter}-{name}": dataclasses.replace(of_study[name], name=f"{letter}-{name}")
        for name in COMPARED
        for letter, of_study in by_study.items()
        if name in of_study
    }
    return {
        "title": "Hidden orbits: two studies side by side",
        "studies": [
            {
                "letter": letter,
                "name": shown(study.dataset.attrs["study_name"]),
                "id": shown(study.study, 40),
                "networks": study.networks,
            }
            for letter, study in zip(LETTERS, studies, strict=True)
        ],
        "cautions": [
            f"Study {letter}. {caution}"
            for letter, study in zip(LETTERS, studies, strict=True)
            for caution in (*study.findings.cautions, *study.findings.unjudged)
        ],
        "settings": [[shown(name, 40), *map(shown, values)] for name, *values in settings(first, second)],
        "verdicts": verdicts(first, second),
        "figures": [
            {"name": name, "caption": f"Study {name[0]}. {figure.caption}", "description": f"Study {name[0]}. {figure.description}"}
            for name, figure in figures.items()
        ],
    }, figures


def settings(first: Analysis, second: Analysis) -> list[list[str]]:
    """Each setting in which two studies differ, and each library version or kind of device that differs between them."""
    one, other = configuration(first.dataset), configuration(second.dataset)
    differing = [
        [name, str(one.get(name, "none")), str(other.get(name, "none"))]
        for name in sorted(one | other)
        if one.get(name) != other.get(name)
    ]
    made_by = [
        {name: ", ".join(sorted(values)) for name, values in provenance.versions(study.dataset).items()}
        for study in (first, second)
    ]
    return differing + [
        [f"made by {name}", *(values.get(name, "unknown") for values in made_by)]
        for name in provenance.NAMES
        if made_by[0].get(name) != made_by[1].get(name)
    ]


def verdicts(first: Analysis, second: Analysis) -> list[dict]:
    """One row per claim and hidden size that either study judges, with the difference where both do."""
    ledgers = [{(finding.claim, finding.hidden_size): finding for finding in study.findings.ledger} for study in (first, second)]
    rows = []
    order = list(CLAIMS)
    contrasts = {(one.name, one.hidden_size): one for one in compare_claims(first.findings, second.findings)}
    for claim, size in sorted(ledgers[0].keys() | ledgers[1].keys(), key=lambda place: (order.index(place[0]), place[1])):
        judged = [_judged(ledger.get((claim, size))) for ledger in ledgers]
        difference = difference_in_words(contrasts[claim, size]) if (claim, size) in contrasts else ""
        names = {"claim": claim, "hypothesis": first.findings.claim(claim).hypothesis, "hidden_size": size}
        rows.append(names | {"studies": judged, "difference": difference})
    return rows


def _judged(finding: Finding | None) -> dict:
    return (
        {"estimate": estimate_text(finding), "verdict": finding.verdict} if finding else {"estimate": "not judged", "verdict": ""}
    )
