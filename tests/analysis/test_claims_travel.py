"""Claims are about any cell and data: what they need they ask for, and what does not exist is not applicable, with the reason."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
import xarray as xr
from biased_cell import BIASED
from made import made_study

from analysis.claims import CLAIMS, stored
from analysis.claims.c1_test_accuracy import ASKED, NOTHING_ASKED, checked_accuracy
from analysis.claims.finding import Finding
from analysis.claims.findings import Findings, evaluate, markdown
from analysis.dataset.records import stack
from analysis.study_analysis import of_dataset
from reports.figures import drawn
from study.data.sources import Images
from study.measurements import measure
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork
from study.record.network_record import RECORD_VERSION, write_measurements
from study.terminal.errors import InputError

FORM = "the cell's blank map is not h -> f(R h) with an odd f"


def _found(findings: Findings, claim: str) -> Finding:
    [finding] = [finding for finding in findings.ledger if finding.claim == claim]
    return finding


def _of_a_cell_of_another_form() -> xr.Dataset:
    """What the measurements of modes yield for a cell to which the theory does not apply."""
    dataset = made_study(8)
    for name in ("period_selected", "period_quasilinear", "mode_period", "mode_energy", "mode_tie", "quasilinear_iterations"):
        told = {"missing": FORM if name == "quasilinear_iterations" else f"the mode does not turn; or {FORM}"}
        dataset[name] = dataset[name].where(False).assign_attrs(told)
    return dataset.assign_attrs(config=json.dumps({"cell": "gru"}))


def test_the_theory_does_not_apply_to_cells_of_another_form():
    findings = evaluate(_of_a_cell_of_another_form())
    for claim in ("C8", "C9"):
        finding = _found(findings, claim)
        assert (finding.verdict, finding.reason) == ("not applicable", FORM)
        assert np.isnan(finding.p) and np.isnan(finding.estimate.value) and finding.estimate.n == 0
    line = f"C9, the period of the accuracy is that of a mode: not applicable, because {FORM}."
    assert line in findings.inapplicable()
    assert not any(line.startswith(("C8", "C9")) for line in findings.unjudged)
    assert findings.overall()["C8"].verdict == "not applicable"
    for claim in ("C2", "C3", "C4", "C5", "C6", "C7"):
        assert _found(findings, claim).verdict == "supported"


def test_reasons_are_told_in_the_description_and_the_table_and_stay_when_findings_are_read_back():
    dataset = _of_a_cell_of_another_form()
    findings = evaluate(dataset)
    table = findings.table().set_index("claim")
    assert table.reason["C8"] == FORM
    assert table.reason["C2"] == ""
    assert "C8, R predicts the period" in markdown(dataset, findings)
    restored = stored.restored(dataset, stored.as_json(dataset, findings))
    assert [one.reason for one in restored.ledger] == [one.reason for one in findings.ledger]
    assert restored.inapplicable() == findings.inapplicable()


def test_what_is_measured_of_such_a_cell_says_so(tmp_path):
    draw = torch.Generator().manual_seed(0)
    images = Images(torch.randint(256, (60, 8, 5), generator=draw, dtype=torch.uint8), torch.arange(60) % 3)
    names = ["experiments", "dimensionality", "spectrum", "attractors", "modes", "orbit_modes", "dynamic_modes"]
    record = measure(Recording(RecurrentNetwork.initial(0, 6, 5, 3, BIASED), images, images, blank_rows=60), names)
    write_measurements(record.assign_attrs(record_version=str(RECORD_VERSION)), tmp_path / "m.nc")
    dataset, left_out = stack({(6, 0): tmp_path / "m.nc"}, [6], [0])
    assert not left_out
    attributes = {"missing": "{}", "config": json.dumps({"cell": BIASED.name}), "study": "s"}
    dataset = dataset.assign(run_id=(("hidden_size", "seed"), np.array([["a"]]))).assign_attrs(attributes)
    findings = evaluate(dataset)
    assert {claim: _found(findings, claim).reason for claim in ("C1", "C8", "C9")} == {"C1": NOTHING_ASKED, "C8": FORM, "C9": FORM}
    assert "theory" not in drawn(of_dataset(dataset))


def test_without_a_period_of_the_state_there_is_none_to_predict():
    dataset = made_study(8)
    dataset["period_state"] = dataset.period_state.where(False).assign_attrs(missing="the state does not oscillate")
    finding = _found(evaluate(dataset), "C8")
    assert (finding.verdict, finding.reason) == ("not applicable", "the state does not oscillate")


def test_a_theory_that_finds_no_turning_mode_is_wrong_and_not_inapplicable():
    dataset = made_study(8)
    for name in ("period_selected", "period_quasilinear", "mode_period"):
        dataset[name] = dataset[name].where(False).assign_attrs(missing="the mode does not turn")
    assert _found(evaluate(dataset), "C8").estimate.value == 0


@pytest.mark.parametrize(
    "config", [{"cell": "tanh_bias"}, {"dataset": "kmnist"}, {"order": "columns"}, {"rows": "14"}, {"trailing_blanks": "0-28"}]
)
def test_no_accuracy_is_expected_of_networks_of_another_kind_unless_one_is_asked_for(config):
    dataset = made_study(8).assign_attrs(config=json.dumps(config))
    finding = _found(evaluate(dataset), "C1")
    assert (finding.verdict, finding.reason) == ("not applicable", NOTHING_ASKED)
    assert finding.estimate.value == pytest.approx(0.935, abs=0.01), "it is described"
    for text, verdict in (("0.93-0.94", "supported"), ("0.5-0.6", "contradicted")):
        findings = evaluate(dataset.assign_attrs({ASKED: text}))
        assert _found(findings, "C1").verdict == verdict
        least, most = (100 * float(end) for end in text.split("-"))
        assert findings.claim("C1").hypothesis == f"test accuracy is the one asked for, between {least:g}% and {most:g}%"


def test_data_that_are_called_mnist_and_are_others_are_of_another_kind():
    assert _found(evaluate(made_study(8).assign_attrs(data_digest="0" * 64)), "C1").reason == NOTHING_ASKED


def test_an_accuracy_that_is_asked_for_is_judged_at_all_sizes_and_findings_of_another_are_made_anew():
    dataset = made_study(8).assign_coords(hidden_size=[50])
    assert _found(evaluate(dataset), "C1").verdict == "not applicable"
    asked = dataset.assign_attrs({ASKED: "0.9-0.95"})
    assert _found(evaluate(asked), "C1").verdict == "supported"
    assert _found(stored.current_or_new(asked, stored.as_json(dataset, evaluate(dataset))), "C1").verdict == "supported"


@pytest.mark.parametrize("text", ["", "0.9", "0.95-0.9", "93-94", "a-b", "0.9-", ".-.", "0.5-0.5", "0-1.5", "1e-1-0.5", "0-0.5 "])
def test_an_accuracy_that_is_no_range_is_refused(text):
    with pytest.raises(InputError, match=r"accuracy=.*expected a range of shares between 0 and 1"):
        checked_accuracy(text)


def test_the_class_that_separates_early_is_named_by_the_data():
    assert evaluate(made_study(8)).claim("C6").hypothesis == "training separates one class early (6, by step 4)"
    names = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
    dataset = made_study(8)
    named = dataset.assign(early_class=0 * dataset.early_class + 9).assign_attrs(class_names=json.dumps(names))
    claim = evaluate(named).claim("C6")
    assert claim.hypothesis == "training separates one class early (ankle boot, by step 4)"
    assert "images of class ankle boot" in claim.quantity
    assert "the pixels of the first 4 rows" in " ".join(claim.method.split())
    assert "class ankle boot" in evaluate(named).claim("C6b").hypothesis
    assert "{" not in "".join((claim.hypothesis, claim.quantity, claim.test, claim.rule, claim.method))


def test_where_no_class_separates_early_c6_does_not_apply():
    dataset, why = made_study(8), "no class stands apart in the training images' first 4 rows"
    for name in ("early_class", "early_cluster_agreement", "early_cluster_kept"):
        dataset[name] = dataset[name].where(False).assign_attrs(missing=why)
    findings = evaluate(dataset)
    for claim in ("C6", "C6b", "C6c"):
        assert (_found(findings, claim).verdict, _found(findings, claim).reason) == ("not applicable", why)
    assert findings.claim("C6").hypothesis == "training separates one class early"
    assert "that class" in findings.claim("C6b").hypothesis


def test_clusters_of_different_classes_are_not_averaged():
    dataset = made_study(8)
    mixed = dataset.early_class.copy()
    mixed[0, 0] = 2
    finding = _found(evaluate(dataset.assign(early_class=mixed)), "C6")
    assert finding.verdict == "not applicable"
    assert "another class in others" in finding.reason


def _of_two_classes(pixels: float) -> xr.Dataset:
    """A study of two classes, of which readout and probes know nothing in the first rows but by chance; the highest accuracy of a
    probe of the pixels."""
    dataset = made_study(8).isel(label=slice(2))
    dataset["early_class"] = xr.full_like(dataset.early_class, 1.0)
    by_chance = 0.5 + 0.02 * (dataset.time_step % 2)
    dataset["readout_accuracy"] = xr.where(dataset.time_step > 25, 0.94, by_chance).broadcast_like(dataset.readout_accuracy)
    reads = dataset.probe_accuracy > 0.5
    dataset["probe_accuracy"] = xr.where(reads, dataset.probe_accuracy, by_chance).transpose(*dataset.probe_accuracy.dims)
    of_pixels = dataset.probe_accuracy.source == "pixels"
    dataset["probe_accuracy"] = dataset.probe_accuracy.where(~of_pixels, dataset.probe_accuracy.clip(max=pixels))
    return dataset


def test_what_counts_as_reading_is_above_the_chance_of_the_classes():
    dataset = _of_two_classes(pixels=0.95)
    finding = _found(evaluate(dataset), "C7")
    assert finding.verdict == "supported"
    assert finding.numbers["readout_step"] == 26 and finding.numbers["probe_step"] == 13
    assert CLAIMS["C7"].about(dataset).quantity == "steps by which a probe passes 72% before the readout"
    assert "exceeds 72% accuracy" in CLAIMS["C7"].about(dataset).method
    assert CLAIMS["C7"].about(made_study(6)).quantity == "steps by which a probe passes 50% before the readout"
    figure = drawn(of_dataset(dataset), ["decoding"])["decoding"]
    assert "Dotted line: 72%, at which" in figure.caption


def test_where_pixels_do_not_tell_the_labels_linearly_c7_does_not_apply():
    finding = _found(evaluate(_of_two_classes(pixels=0.6)), "C7")
    assert finding.verdict == "not applicable"
    assert finding.reason.startswith("a linear probe of the pixels never passes 72%")
    assert finding.estimate.value == 13  # which is known all the same
    dataset = _of_two_classes(pixels=0.6)
    dataset["test_accuracy"] = xr.full_like(dataset.test_accuracy, 0.6)
    assert _found(evaluate(dataset), "C7").verdict == "not trained"


def test_sequences_that_are_too_short_are_not_judged():
    dataset = made_study(8)
    finding = _found(evaluate(dataset.isel(time_step=slice(2))), "C5")
    assert (finding.verdict, finding.reason) == ("not applicable", "sequences have 2 rows, and it takes 3")


def test_a_measurement_that_the_networks_lack_is_no_reason_that_a_claim_does_not_apply():
    dataset = made_study(8)
    dataset["attractor_kind"] = dataset.attractor_kind.where(False).assign_attrs(measurement="attractors")
    lacking = dataset.assign_attrs(not_measured=json.dumps({"attractors": [f"H=200 seed={seed}" for seed in range(8)]}))
    assert "C4" not in {finding.claim for finding in evaluate(lacking).ledger}
    assert any(line.startswith("C4") and "it needs attractor_kind" in line for line in evaluate(lacking).unjudged)


def test_texts_without_words_of_the_data_say_something(monkeypatch):
    for claim in CLAIMS.values():
        about = claim.about(xr.Dataset())
        assert "{" not in "".join((about.hypothesis, about.quantity, about.test, about.rule, about.method))
    own = dataclasses.replace(CLAIMS["C2"], id="X9", hypothesis="a set {x} of states")
    monkeypatch.setitem(CLAIMS, "X9", own)
    assert own.about(made_study(6)).hypothesis == "a set {x} of states"


def test_the_name_of_a_class_is_no_code_in_the_description():
    dataset = made_study(8)
    names = [f"<b>|{label}`" for label in range(dataset.sizes["label"])]
    named = dataset.assign(early_class=0 * dataset.early_class + 3).assign_attrs(class_names=json.dumps(names))
    text = markdown(named, evaluate(named))
    assert "<b>" not in text
    assert "&#60;b&#62;&#124;3&#96;" in text
