"""Probes and their controls, early classification, and the whole of what is measured, on a small trained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from study.data.sources import Images
from study.measurements import MEASUREMENTS, SETS, known, measure, names_in_set
from study.measurements.early import TEMPERATURES, temperature
from study.measurements.recording import Recording
from study.networks.network import tanh_network
from study.schema import ROLES, by_source, metric_name, of_source
from study.terminal.errors import InputError


@pytest.fixture(scope="module")
def measured(network, test_images, train_images):
    return measure(Recording(network, test_images, train_images, blank_rows=60))


def test_a_probe_reads_more_than_the_readout(measured):
    probe, readout = of_source(measured.probe_accuracy), measured.readout_accuracy
    np.testing.assert_array_equal(readout, measured.accuracy.sel(blank=0).values[1:])
    np.testing.assert_array_equal(readout[:-1], measured.accuracy_truncated)
    assert float(readout[-1]) == float(measured.test_accuracy)
    assert float((probe - readout)[10]) > 0.1
    assert float(probe[0]) == pytest.approx(0.1135, abs=0.02)  # row 1 is blank: the commonest class


def test_controls_stand_where_they_must(measured):
    probes = dict(by_source(measured.probe_accuracy))
    assert list(probes) == ["trained", "untrained", "permuted", "pixels"]
    assert float(probes["permuted"].mean()) == pytest.approx(0.1, abs=0.04)
    assert float(probes["untrained"][0]) == float(probes["pixels"][0])  # nothing seen yet
    assert float(probes["pixels"][27]) == pytest.approx(0.9, abs=0.02)  # logistic regression of MNIST on 10,000 images
    assert float(probes["pixels"][13]) > float(probes["untrained"][13])


def test_the_diagonal_of_temporal_generalisation_is_the_probe(measured):
    matrix = measured.temporal_generalisation
    assert matrix.sizes == {"probe_step": 28, "scored_step": 84}
    np.testing.assert_allclose(np.diagonal(matrix.values), of_source(measured.probe_accuracy), atol=2e-4)  # ties
    assert float(matrix[27, 27]) > float(matrix[27, 10])


def test_early_classification_trades_rows_for_accuracy(measured):
    assert float(measured.early_rows[-1]) == 28
    assert float(measured.early_accuracy[-1]) == pytest.approx(float(of_source(measured.probe_accuracy)[-1]), abs=1e-12)
    assert (np.diff(measured.early_rows) >= 0).all()
    assert float(measured.early_rows.sel(confidence=80)) < 27


def test_a_temperature_makes_overconfident_logits_likely():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 20_000, generator=draw, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=0).T, 1, generator=draw)[:, 0]
    assert temperature(3 * logits, labels) == pytest.approx(3, rel=0.06)
    assert temperature(logits[:, :0], labels[:0]) == 1


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 2.5, 8.0, 100.0])
def test_the_most_likely_of_all_temperatures_is_found(scale):
    draw = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(5, 300, generator=draw)
    labels = torch.randint(5, (300,), generator=draw).where(torch.rand(300, generator=draw) < 0.3, logits.argmax(dim=0))
    losses = [torch.nn.functional.cross_entropy(logits.mT.double() / one, labels) for one in TEMPERATURES]
    assert temperature(logits, labels) == float(TEMPERATURES[int(torch.stack(losses).argmin())])


def test_every_variable_says_what_it_is_and_what_is_missing(measured):
    for name, variable in measured.variables.items():
        assert variable.attrs.get("long_name"), name
    for name, variable in measured.data_vars.items():
        assert "units" in variable.attrs, name
        assert np.isfinite(variable).all() or variable.attrs.get("missing"), name
        if variable.attrs.get("valid_max"):
            assert 0 <= float(variable.min()) <= float(variable.max()) <= 1, name
        assert variable.attrs["role"] in ROLES, name
    shown = {name: variable for name, variable in measured.data_vars.items() if variable.attrs["role"] != "detail"}
    metrics = [metric_name(variable, source) for variable in shown.values() for source, _ in by_source(variable)]
    assert len(metrics) == len(set(metrics))
    assert [name for name, variable in shown.items() if variable.attrs["role"] == "category"] == ["attractor_kind"]


def test_the_geometry_agrees_with_what_is_counted_on_all_images(measured):
    trained = measured.sel(source="trained")
    assert float(abs(trained.pca90_matched_by_label - measured.pca90_by_label).max()) <= 2
    corrected = trained.participation_ratio_corrected
    assert (abs(trained.participation_ratio_corrected_by_group.mean("group") / corrected - 1)[8:] < 0.05).all()
    assert (trained.between_class_share[20:] > of_source(measured.between_class_share, "untrained")[20:]).all()
    assert int(trained.pca90_matched_by_group[0].max()) == 0
    np.testing.assert_allclose(measured.between_class_share_appended[0], trained.between_class_share[-1], atol=0.03)
    np.testing.assert_allclose(measured.predicted.sum("label"), 1)
    assert [source for source, _ in by_source(measured.twonn_by_group)] == ["trained", "untrained", "row"]
    assert [source for source, _ in by_source(measured.early_class_agreement)] == ["trained", "untrained", "pixels"]


def test_a_measurement_is_the_same_alone_and_again(network, test_images, train_images, measured):
    for name in ("experiments", "early_classification", "attractors"):
        alone = measure(Recording(network, test_images, train_images, blank_rows=60), [name])
        for variable in alone.data_vars:
            assert alone[variable].identical(measured[variable]), variable
    alone = measure(Recording(network, test_images, train_images, blank_rows=60), ["probes"]).probe_accuracy
    assert of_source(alone).identical(of_source(measured.probe_accuracy).assign_attrs(alone.attrs))
    assert list(dict(by_source(alone))) == ["trained"]
    assert alone.attrs["measurement"] == "probes - - - -"
    assert measured.probe_accuracy.attrs["measurement"] == "probes probe_controls probe_controls probe_of_pixels -"


def test_sets_grow():
    assert names_in_set("paper") == ["experiments", "dimensionality"]
    assert set(names_in_set("paper")) < set(names_in_set("standard")) < set(names_in_set("full"))
    assert names_in_set(SETS[-1]) == list(MEASUREMENTS)
    with pytest.raises(InputError, match="no measurement nothing"):
        known(["nothing"])


@pytest.mark.parametrize("case", ["saturated", "collapsed", "constant"])
def test_a_degenerate_network_has_defined_values(case, network, train_images):
    few = train_images.first(120)
    altered = {
        "saturated": tanh_network(1e4 * network.input, 1e4 * network.recurrent, network.readout, network.bias),
        "collapsed": tanh_network(*(torch.zeros_like(weight) for weight in network.state_dict().values())),
        "constant": network,
    }[case]
    images = Images(torch.full_like(few.images, 9), few.labels) if case == "constant" else few
    measured = measure(Recording(altered, images, images, blank_rows=70))
    assert set(measured) >= {"accuracy", "twonn_by_group", "lyapunov", "fixed_points", "probe_accuracy", "period"}
    for name, variable in measured.data_vars.items():
        assert np.isfinite(variable).all() or variable.attrs.get("missing"), name
    if case != "saturated":
        assert float(of_source(measured.twonn_dropped_by_group).min()) > 0.5
        assert float(of_source(measured.participation_ratio).max()) == 0


def test_weights_that_are_not_finite_are_counted_and_nothing_else(network, test_images, train_images):
    broken = network.recurrent.clone()
    broken[0, :3] = torch.nan
    altered = tanh_network(network.input, broken, network.readout, network.bias)
    measured = measure(Recording(altered, test_images, train_images))
    assert list(measured) == ["weights_dropped"]
    assert int(measured.weights_dropped) == 3
