"""The text and tables of the report, made from the data: everything that `report.typ` lays out."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from analysis.claims.claim import Claim
from analysis.claims.finding import CONTRADICTED, NOT_APPLICABLE, NOT_TRAINED, SUPPORTED, UNDECIDED, Finding
from analysis.claims.findings import Findings, estimate_text
from analysis.claims.power import MOST, for_claim
from analysis.claims.registry import CLAIMS, accuracy_only
from analysis.claims.sample import present
from analysis.claims.summary import summaries
from analysis.dataset import provenance
from analysis.dataset.runs import configuration
from analysis.statistics.bands import FEW_NETWORKS, FEWEST_NETWORKS
from analysis.study_analysis import Analysis
from reports.cells import layer
from reports.figures.figure import Figure
from reports.figures.glyphs import shown
from reports.text.claims import sentence
from reports.text.methods import images, methods
from study.networks.cells import TANH
from study.schema import SOURCES


def content(analysis: Analysis, figures: dict[str, Figure]) -> dict:
    """The report's text and tables, ready for JSON; `figures` are those that could be drawn, by name."""
    dataset, config = analysis.dataset, configuration(analysis.dataset)
    missing = json.loads(dataset.attrs["missing"])
    return {
        "title": "Hidden orbits: dynamics and geometry of recurrent networks",
        "subtitle": f"{shown(dataset.attrs['study_name'])} (study {shown(analysis.study, 40)})",
        "answer": _answer(analysis),
        "first": _drawn(figures, FIRST),
        "answers": _answers(analysis.findings),
        "verdicts": _verdicts(analysis.findings),
        "unjudged": [*analysis.findings.inapplicable(), *analysis.findings.unjudged],
        "warnings": _warnings(analysis, missing),
        "sections": _sections(analysis, figures),
        "trends": _trends(analysis),
        "appendix": _drawn(figures, APPENDIX),
        "rules": _rules(analysis.findings),
        "methods": methods(dataset, [analysis.findings.claim(claim) for claim in _judged(analysis.findings.ledger)]),
        "versions": [
            *_versions(dataset),
            ["data sha256", dataset.attrs["data_digest"] or "unknown"],
            ["study run", shown(analysis.study, 40)],
            *([shown(name, 40), shown(str(value))] for name, value in config.items()),
        ],
        "missing": [[shown(name, 40), shown(reason)] for name, reason in missing.items()],
        "runs": _runs(analysis),
    }


def _answer(analysis: Analysis) -> str:
    dataset, ledger = analysis.dataset, analysis.findings.ledger
    sizes = ", ".join(str(h) for h in dataset.hidden_size.values)
    text = (
        "Horoi, Lajoie and Wolf (2020) described the inner dynamics of one recurrent network, of 200 tanh units without bias that "
        f"read MNIST row by row. This study trained {analysis.networks} networks with one layer of {_cell(dataset)} "
        f"({sizes} hidden units, {dataset.seed.size} seed{'s' * (dataset.seed.size != 1)} each) on {images(dataset, ROOM)} and "
        "measured each in the same way."
    )
    if not ledger:
        return text + " None could be measured."
    claims = summaries(ledger)
    mixed = [claim for claim, one in claims.items() if {SUPPORTED, CONTRADICTED} <= set(one.verdicts)]
    overall = " over the hidden sizes at which each is judged," if dataset.hidden_size.size > 1 else ""
    means = {verdict: verdict for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED)}
    means[NOT_TRAINED] = "not judged, because the networks have not learned the task"
    means[NOT_APPLICABLE] = "not applicable"
    alike = {
        verdict: [claim for claim, one in claims.items() if one.verdict == verdict and claim not in mixed] for verdict in means
    }
    parts = [f"{_are(group)} {means[verdict]}" for verdict, group in alike.items() if group]
    if mixed:
        parts.append(f"{_are(mixed)} supported at some hidden sizes and contradicted at others")
    untrained = sorted({finding.hidden_size for finding in ledger if finding.verdict == NOT_TRAINED})
    some = (
        f" With {', '.join(map(str, untrained))} hidden units the networks have not learned the task, so that claims other than "
        f"{', '.join(accuracy_only())} are not judged there."
        if 0 < len(untrained) < dataset.hidden_size.size
        else ""
    )
    ours = [claim for claim in claims if not CLAIMS[claim].paper]
    added = f", and {_are(ours, 'which ')} ours," if ours else ""
    added = added or ("," if overall else "")
    return f"{text} Of the paper's claims{added}{overall} {'; '.join(parts)}.{_why_not(analysis.findings)}{some}"


def _why_not(findings: Findings) -> str:
    """What does not apply to any network of the study, and why."""
    claims: dict[str, list[str]] = {}
    for claim, one in findings.overall().items():
        reasons = {finding.reason for finding in findings.ledger if finding.claim == claim}
        if one.verdict == NOT_APPLICABLE and reasons != {""}:
            claims.setdefault("; ".join(sorted(reasons - {""})), []).append(claim)
    return "".join(f" {_are(names)} not applicable because {reason}." for reason, names in claims.items())


def _cell(dataset: xr.Dataset) -> str:
    return shown(layer(configuration(dataset).get("cell", TANH.name)))


def _are(claims: list[str], between: str = "") -> str:
    """The subject of a sentence and its verb: C1 is; C1, C2 and C3 are."""
    listed = " and ".join(filter(None, (", ".join(claims[:-1]), claims[-1])))
    return f"{listed}{',' if between else ''} {between}{'are' if len(claims) > 1 else 'is'}"


def _judged(ledger: list[Finding]) -> list[str]:
    """The claims that have a finding, in order."""
    return list(dict.fromkeys(finding.claim for finding in ledger))


def _verdicts(findings: Findings) -> list[dict]:
    """One group per claim, with one row per hidden size."""
    groups: dict[str, dict] = {}
    for finding in findings.ledger:
        hypothesis = findings.claim(finding.claim).hypothesis
        group = groups.setdefault(finding.claim, {"claim": finding.claim, "hypothesis": hypothesis, "rows": []})
        ps = [_p(finding.p), _p(finding.p_adjusted)]
        group["rows"].append([str(finding.hidden_size), estimate_text(finding), *ps, finding.verdict])
    return list(groups.values())


def _answers(findings: Findings) -> list[list[str]]:
    """One row per claim, over the hidden sizes at which it is judged; none where there is one size."""
    if len({finding.hidden_size for finding in findings.ledger}) < 2:
        return []
    return [
        [claim, findings.claim(claim).hypothesis, estimate_text(summary), summary.verdict]
        for claim, summary in findings.overall().items()
    ]


def _p(p: float) -> str:
    if np.isnan(p):
        return "n/a"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _warnings(analysis: Analysis, missing: dict[str, str]) -> list[str]:
    lines = [*analysis.findings.cautions]
    for size in analysis.dataset.hidden_size.values:
        n = present(analysis.dataset, int(size)).sizes["seed"]
        if n < FEWEST_NETWORKS:
            lines.append(
                f"H = {size}: {n} network{'s' * (n != 1)}. Bands and verdicts are withheld below {FEWEST_NETWORKS}, because "
                "resampling so few networks does not show how much they vary."
            )
        elif n < FEW_NETWORKS:
            lines.append(
                f"H = {size}: {n} networks. Below {FEW_NETWORKS}, bands of skewed curves cover less than 95%: in simulations of 6 "
                "networks 84% of strongly skewed curves, and 95% of smooth ones."
            )
    if missing:
        lines.append(f"{len(missing)} of {analysis.dataset.run_id.size} networks are missing; see the reasons under Networks.")
    return [*lines, *(f"{line[0].upper()}{line[1:]}." for line in analysis.left_out)]


ROOM = 120  # characters for the names of classes on the first page
ALIKE = ("How alike the networks are", ("similarity", "degeneracy"))  # a section without a claim
FIRST = ("theory",)  # the figure on the first page
APPENDIX = ("networks",)


def sections() -> dict[str, tuple[list[str], list[str]]]:
    """The sections of the report by title, as the claims define them: the claims judged there and the figures shown."""
    by_title: dict[str, tuple[list[str], list[str]]] = {}
    for claim in CLAIMS.values():
        claims, figures = by_title.setdefault(claim.section, ([], []))
        claims.append(claim.id)
        figures.extend(name for name in claim.figures if name not in figures)
    title, names = ALIKE
    by_title.setdefault(title, ([], []))[1].extend(names)
    return by_title


def _sections(analysis: Analysis, figures: dict[str, Figure]) -> list[dict]:
    laid_out, shown_before = [], {*FIRST, *APPENDIX}
    for title, (claims, names) in sections().items():
        paragraphs = [paragraph for claim in claims if (paragraph := _of_claim(analysis, claim))]
        drawn = _drawn(figures, [name for name in names if name not in shown_before])
        if paragraphs and names and not set(names) & set(figures):
            paragraphs.append({"text": "The study does not have the data for this figure.", "items": [], "change": ""})
        if paragraphs or drawn:
            see = [*(name for name in names if name in FIRST and name in figures), *(item["name"] for item in drawn)]
            laid_out.append({"title": title, "paragraphs": paragraphs, "figures": drawn, "see": see})
        shown_before |= {item["name"] for item in drawn}
    return laid_out


def _drawn(figures: dict[str, Figure], names: Sequence[str]) -> list[dict]:
    return [
        {
            "name": name,
            "caption": figures[name].caption,
            "description": f"{figures[name].description} The numbers are in {name}.csv.",
        }
        for name in names
        if name in figures
    ]


def _of_claim(analysis: Analysis, claim: str) -> dict | None:
    """A claim in words: one item per hidden size, and what would change the verdict."""
    findings = [finding for finding in analysis.findings.ledger if finding.claim == claim]
    if not findings:
        return None
    about = analysis.findings.claim(claim)
    return {
        "text": f"{claim}, {about.hypothesis}:",
        "items": [sentence(finding, about) for finding in findings],
        "change": _change(findings, about, analysis.findings.tested),
    }


def _change(findings: list[Finding], claim: Claim, verdicts: int) -> str:
    """What would change the verdicts on a claim: its rule, and how many networks would decide where it is undecided."""
    needs = [(f.hidden_size, need.networks) for f in findings if f.verdict == UNDECIDED and (need := for_claim(f, verdicts))]
    text = f"What would change the verdict: it is {claim.decision_rule}."
    for size, count in needs:
        deciding = f"about {count} networks would decide" if count else f"even {MOST:,} networks would not decide"
        text += f" At H = {size}, {deciding} if the estimate stayed the same (80% power)."
    return text


def _trends(analysis: Analysis) -> dict | None:
    """How every number changes with the hidden size: header and rows of a table; None where there is only one size."""
    changes = [change for change in analysis.findings.trends if np.isfinite(change.trend.p)]
    if not changes:
        return None
    adjusted = [{pair.sizes: pair.p_adjusted for pair in change.pairs} for change in changes]
    pairs = sorted({sizes for by_pair in adjusted for sizes in by_pair})
    header = ["number", "per doubling of H", "p", *(f"{small} and {large}" for small, large in pairs)]
    rows = [
        [
            analysis.dataset[change.variable].attrs["long_name"] + ("" if change.source == SOURCES[0] else f" ({change.source})"),
            f"{change.trend.slope:+.3g}",
            _p(change.trend.p),
            *(_p(by_pair.get(sizes, np.nan)) for sizes in pairs),
        ]
        for change, by_pair in zip(changes, adjusted, strict=True)
    ]
    return {"header": header, "rows": rows}


def _versions(dataset: xr.Dataset) -> list[list[str]]:
    """What made the networks: one row per value; where a name has several values, with the networks of each."""
    return [
        [name, value if len(values) == 1 else f"{value} ({provenance.places_in_words(places)})"]
        for name, values in provenance.versions(dataset).items()
        for value, places in values.items()
    ]


def _rules(findings: Findings) -> list[dict]:
    claims = map(findings.claim, _judged(findings.ledger))
    return [{"claim": claim.id, "test": claim.test, "rule": claim.decision_rule} for claim in claims]


def _runs(analysis: Analysis) -> list[list[str]]:
    rows = []
    for size in analysis.dataset.hidden_size.values:
        sample, oscillation = present(analysis.dataset, int(size)), analysis.findings.oscillations.get(int(size))
        for seed, period in zip(sample.seed.values, oscillation.confirmed_periods if oscillation else (), strict=True):
            one = sample.sel(seed=seed)
            rows.append(
                [
                    str(size),
                    str(seed),
                    f"{float(one.test_accuracy):.2%}",
                    f"{period:.1f}" if np.isfinite(period) else "none",
                    f"{float(one.peak_dimension):.0f}",
                    str(one.run_id.item()),
                ]
            )
    return rows
