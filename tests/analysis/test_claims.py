"""Claims as objects: what they promise of themselves, and findings that are stored and read back."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made import made_study

from analysis.claims import CLAIMS, register_claim, stored
from analysis.claims.findings import evaluate
from reports.figures import FIGURES
from reports.text.claims import filled
from reports.text.content import APPENDIX, sections
from study.measurements.attractors import STATE_TRANSIENT, WINDOW
from study.measurements.early_class import LEAST
from study.measurements.probes import LEARNED


def test_methods_name_the_numbers_that_the_measurements_use():
    assert f"A class whose mean is below {LEAST:g} does not separate early." in " ".join(CLAIMS["C6"].method.split())
    assert f"of {LEARNED:,} training images" in " ".join(CLAIMS["C7"].method.split())
    for claim in ("C4", "C8"):
        assert f"after {STATE_TRANSIENT:,} blank rows" in " ".join(CLAIMS[claim].method.split())
    assert f"within {WINDOW // 2} rows" in " ".join(CLAIMS["C4"].method.split())


def test_every_figure_has_its_section_and_every_claim_s_figure_is_one():
    shown = [name for _, figures in sections().values() for name in figures] + [*APPENDIX]
    assert sorted(shown) == sorted(FIGURES)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, "is taken"), ({"id": "C 99"}, "expected a letter"), ({"id": "C99", "power": "mean"}, "expected a bound")],
)
def test_a_claim_that_cannot_be_registered_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        register_claim(dataclasses.replace(CLAIMS["C1"], **changes))
    assert "C99" not in CLAIMS


def test_a_phrase_is_said_where_its_numbers_are_there():
    numbers = {"a": 1.5, "rows": (1.0, 2.0, 3.0, 7.0), "one": (4.0,), "none": ()}
    phrases = ("{a:.1f} and {b:.1f}", ("{b:.1f}", "{a:.2f}", "neither"), "at {rows:row}", "at {one:step}", "at {none:step}")
    assert filled(phrases, numbers) == ["1.50", "at rows 1-3, 7", "at step 4", "at no step"]
    assert filled(("this is so{a:given}", "this is not{b:given}", "{rows:.0f}"), numbers) == ["this is so", "1, 2, 3, 7"]


@pytest.fixture(scope="module")
def study() -> tuple[xr.Dataset, bytes]:
    """A study of two hidden sizes, one of them with too few networks for a verdict, and what is stored of it."""
    few = made_study(8, missing=4, rng_seed=1).assign_coords(hidden_size=[300])
    dataset = xr.concat([made_study(8), few], "hidden_size", data_vars="all", combine_attrs="override")
    return dataset, stored.as_json(dataset, evaluate(dataset))


@pytest.fixture
def evaluated_once(monkeypatch):
    """Findings must not be made anew."""

    def again(_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(stored, "evaluate", again)


@pytest.mark.usefixtures("evaluated_once")
def test_stored_findings_are_read_back_as_they_were(study):
    dataset, text = study
    before, after = evaluate(dataset), stored.current_or_new(dataset, text)
    for name in ("table", "trend_table", "spectrum_table", "cycle_table"):
        pd.testing.assert_frame_equal(getattr(before, name)(), getattr(after, name)(), check_exact=True)
    for one, other in zip(before.bands, after.bands, strict=True):
        assert (one.variable, one.hidden_size, one.metric) == (other.variable, other.hidden_size, other.metric)
        for field in dataclasses.fields(one.band):
            np.testing.assert_array_equal(getattr(one.band, field.name), getattr(other.band, field.name))
        np.testing.assert_array_equal(one.steps, other.steps)
    for size, one in before.oscillations.items():
        pd.testing.assert_frame_equal(*(found.periods(np.arange(len(one.tests))) for found in (one, after.oscillations[size])))
    assert (before.withheld, before.cautions, before.unjudged) == (after.withheld, after.cautions, after.unjudged)
    assert [dict(one.numbers) for one in before.ledger] == [dict(one.numbers) for one in after.ledger]


def _changed(dataset: xr.Dataset) -> list[xr.Dataset]:
    other = dataset.copy(deep=True)
    other.pca90[0, 0, 5] += 1
    marked = dataset.copy()
    marked["pca90"] = dataset.pca90.assign_attrs(metric="elsewhere")
    return [other, marked, dataset.drop_vars("early_cluster_kept"), dataset.assign_coords(seed=dataset.seed + 1)]


def test_findings_of_other_numbers_or_other_claims_are_made_anew(study, monkeypatch):
    dataset, text = study
    monkeypatch.setattr(stored, "evaluate", lambda dataset: "anew")
    assert stored.current_or_new(dataset, None) == "anew"
    assert all(stored.current_or_new(changed, text) == "anew" for changed in _changed(dataset))
    monkeypatch.setitem(CLAIMS, "X1", dataclasses.replace(CLAIMS["C1"], id="X1", judge=_changed))  # of this very file
    assert stored.current_or_new(dataset, text) == "anew"


BIG = 10**400
OF_EACH = ("period", "p", "amplitude", "sustained", "coherence")
HOSTILE = {
    "no finding": lambda found: found.pop("ledger"),
    "more": lambda found: found.update(path="/etc/passwd"),
    "a text for a number": lambda found: found["ledger"][0].update(value="93"),
    "an unknown claim": lambda found: found["ledger"][0].update(claim="C99"),
    "an unknown verdict": lambda found: found["ledger"][0].update(verdict="#import"),
    "twice": lambda found: found["ledger"].append(found["ledger"][0]),
    "another size": lambda found: found["ledger"][0].update(hidden_size=51),
    "a number that has no end": lambda found: found["ledger"][0].update(value=1e300),
    "an endless number": lambda found: found["ledger"][0].update(n=BIG),
    "a p above 1": lambda found: found["ledger"][0].update(p=1.5),
    "more networks than there are": lambda found: found["ledger"][0].update(n=9),
    "an interval upside down": lambda found: found["ledger"][0].update(lower=0.9, upper=0.1),
    "a share above 1": lambda found: [one.update(value=5.0) for one in found["ledger"] if one["claim"] == "C4"],
    "many numbers": lambda found: found["ledger"][0].update(numbers={f"n{i}": 1.0 for i in range(101)}),
    "a long list": lambda found: found["ledger"][0].update(numbers={"rows": [1.0] * 1001}),
    "a name with markup": lambda found: found["ledger"][0].update(numbers={"{0.__class__}": 1.0}),
    "an unknown variable": lambda found: found["bands"][0].update(variable="nothing"),
    "another step": lambda found: found["bands"][0]["steps"].__setitem__(0, 99),
    "a short band": lambda found: found["bands"][0]["band"]["mean"].pop(),
    "a network less": lambda found: [found["oscillations"][0][name].pop() for name in OF_EACH],
    "a size less": lambda found: found["oscillations"].pop(),
    "an impossible p": lambda found: found["oscillations"][0]["p"].__setitem__(0, -1.0),
    "a trend of names": lambda found: found["trends"][0].update(variable="run_id"),
    "a trend over other sizes": lambda found: found["trends"][0]["pairs"][0].update(sizes=[50, 51]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_stored_findings_that_cannot_be_are_made_anew(study, name, monkeypatch):
    dataset, text = study
    found = json.loads(text)
    HOSTILE[name](found)
    monkeypatch.setattr(stored, "evaluate", lambda dataset: "anew")
    assert stored.current_or_new(dataset, json.dumps(found).encode()) == "anew"


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b'{"key": NaN}', b"\xff\xfe", b"null"])
def test_what_is_no_json_of_findings_is_made_anew(study, text, monkeypatch):
    monkeypatch.setattr(stored, "evaluate", lambda dataset: "anew")
    assert stored.current_or_new(study[0], text) == "anew"


def test_numbers_that_no_file_of_ours_holds_are_stored_as_missing(study):
    dataset, _ = study
    findings = evaluate(dataset)
    findings.ledger[0] = dataclasses.replace(findings.ledger[0], p=math.inf)
    assert json.loads(stored.as_json(dataset, findings))["ledger"][0]["p"] is None
