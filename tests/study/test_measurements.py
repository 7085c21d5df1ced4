"""Measurements against plain PyTorch and scikit-learn, and against what must hold whatever the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from study.data.sources import Images
from study.measurements import measure, names_in_set
from study.measurements.dimensionality import components
from study.measurements.experiments import _rolled, answers
from study.measurements.recording import Recording
from study.networks.kernels import using
from study.networks.network import scaled, tanh_network
from study.networks.variance import Spread


@pytest.fixture(scope="module")
def measured(network, test_images, train_images):
    return measure(Recording(network, test_images, train_images, blank_rows=80), [*names_in_set("paper"), "surface"])


def _plain_accuracy(network, images: torch.Tensor, labels: torch.Tensor) -> float:
    rnn = nn.RNN(28, network.hidden_size, bias=False, batch_first=True)
    rnn.load_state_dict({"weight_ih_l0": network.input, "weight_hh_l0": network.recurrent})
    with torch.no_grad():
        logits = rnn(images)[0][:, -1] @ network.readout.t() + network.bias
    return float((logits.argmax(1) == labels).double().mean())


@pytest.mark.parametrize("rows", [1, 13, 27])
def test_experiments_1_and_2_equal_plain_pytorch(network, measured, test_images, rows):
    images = scaled(test_images.images)
    blanked = images.clone()
    blanked[:, rows:] = 0
    # A tie between two logits may fall either way: allowed for one image in 10,000.
    assert float(measured.accuracy_blanked.sel(rows_shown=rows)) == pytest.approx(
        _plain_accuracy(network, blanked, test_images.labels), abs=1e-4
    )
    assert float(measured.accuracy_truncated.sel(rows_shown=rows)) == pytest.approx(
        _plain_accuracy(network, images[:, :rows], test_images.labels), abs=1e-4
    )


@pytest.mark.parametrize("blank", [0, 1, 40])
def test_experiment_3_equals_plain_pytorch(network, measured, test_images, blank):
    images = torch.cat([scaled(test_images.images), torch.zeros(10000, blank, 28)], dim=1)
    expected = _plain_accuracy(network, images, test_images.labels)
    assert float(measured.accuracy_appended.sel(blank_rows=blank)) == pytest.approx(expected, abs=1e-4)


def test_the_experiments_are_lines_on_the_accuracy_surface(network, measured, test_images):
    surface, rows = measured.accuracy, measured.rows_shown.values
    assert surface.sizes == {"shown": 29, "blank": 57}
    np.testing.assert_array_equal(measured.accuracy_truncated, surface.sel(shown=rows, blank=0))
    np.testing.assert_array_equal(measured.accuracy_blanked, [surface.sel(shown=n, blank=28 - n) for n in rows])
    np.testing.assert_array_equal(measured.accuracy_appended[:57], surface.sel(shown=28))
    images = scaled(test_images.images)[:, :6]
    images = torch.cat([images, torch.zeros(10000, 50, 28)], dim=1)
    expected = _plain_accuracy(network, images, test_images.labels)
    assert float(surface.sel(shown=6, blank=50)) == pytest.approx(expected, abs=1e-4)
    assert float(surface[0].std()) == 0  # nothing shown: the bias alone decides


def test_the_experiments_are_the_same_alone_as_with_the_surface(network, measured, test_images, train_images):
    alone = measure(Recording(network, test_images, train_images, blank_rows=80), ["experiments"])
    for name in ("accuracy_blanked", "accuracy_truncated", "accuracy_appended", "accuracy_appended_by_half", "predicted"):
        np.testing.assert_array_equal(alone[name], measured[name], err_msg=name)


def test_answers_are_computed_only_where_they_are_asked_for_and_not_yet_known(network, test_images):
    recording = Recording(network, test_images.first(400), test_images, blank_rows=20)
    every, known = answers(recording, 20, range(9)), recording.cached(_rolled)
    rolled = known[20]
    np.testing.assert_array_equal(answers(recording, 20, [0, 8]).accuracy, every.accuracy[[0, 8]])
    np.testing.assert_array_equal(answers(recording, 20, [3, 5]).by_half, every.by_half[[3, 5]])
    assert known[20] is rolled
    assert answers(recording, 21, [0, 7]).accuracy.shape == known[21].accuracy.shape == (2,)
    np.testing.assert_array_equal(answers(recording, 21, [2, 7]).predicted, answers(recording, 21, range(8)).predicted[[2, 7]])


def test_without_blank_rows_experiment_3_is_the_test_accuracy(measured):
    assert float(measured.accuracy_appended[0]) == float(measured.test_accuracy)
    assert float(measured.test_accuracy) > 0.2  # it has learned: chance is 0.1


def test_experiments_1_and_2_meet_where_the_last_row_is_blank(network, test_images, train_images):
    blank_end = test_images.images.clone()
    blank_end[:, 27] = 0
    measured = measure(Recording(network, Images(blank_end, test_images.labels), train_images, blank_rows=1), ["experiments"])
    assert float(measured.accuracy_blanked.sel(rows_shown=27)) == float(measured.test_accuracy)
    assert float(measured.accuracy_truncated.sel(rows_shown=27)) != float(measured.test_accuracy)


@pytest.mark.parametrize("step", [3, 10, 28])
def test_component_counts_equal_scikit_learn_s(network, measured, test_images, step):
    states = Recording(network, test_images, test_images).states[step - 1].double().numpy()

    def count(points):
        return int(np.searchsorted(np.cumsum(PCA().fit(points).explained_variance_ratio_), 0.9)) + 1

    assert int(measured.pca90.sel(time_step=step)) == count(states)
    for label in (0, 6):
        members = states[test_images.labels.numpy() == label]
        assert int(measured.pca90_by_label.sel(time_step=step, label=label)) == count(members)


def test_identical_states_have_dimension_zero(measured):
    assert int(measured.pca90.sel(time_step=1)) == 0  # row 1 of every test image is blank
    assert components(Spread.of(torch.ones(50, 4))) == 0
    assert components(Spread.of(torch.ones(1, 4))) == 0


def test_component_counts_do_not_turn_with_the_axes():
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(400, 12, generator=draw) * torch.arange(1, 13)
    rotation, _ = torch.linalg.qr(torch.randn(12, 12, generator=draw))
    assert components(Spread.of(states @ rotation)) == components(Spread.of(states))
    assert components(Spread.of(torch.randn(5000, 10, generator=draw))) == 9  # isotropic: nine of ten carry 90%


def test_every_variable_says_what_it_is(measured):
    for name, variable in measured.variables.items():
        assert variable.attrs.get("long_name"), name
    assert all("units" in variable.attrs for variable in measured.data_vars.values())


def test_a_network_that_falls_to_zero_is_measured_in_ordinary_time(test_images):
    network = tanh_network(torch.zeros(10, 28), 0.01 * torch.eye(10), torch.ones(10, 10), torch.arange(10.0))
    measured = measure(Recording(network, test_images.first(200), test_images, blank_rows=100), names_in_set("paper"))
    assert float(measured.test_accuracy) == pytest.approx(float((test_images.labels[:200] == 9).double().mean()))
    assert np.isnan(float(measured.period))
    assert int(measured.peak_dimension) == 0


def test_both_kernels_measure_the_same_but_for_rounding(network, test_images, train_images):
    """Logits that tie may fall either way, for one image in a thousand; the first blank rows have not yet amplified rounding."""
    measured = {}
    for kernels in ("torch", "numpy"):
        with using(kernels):
            few = Recording(network, test_images.first(2000), train_images.first(3000), blank_rows=40)
            measured[kernels] = measure(few, ["experiments", "dimensionality", "geometry"])
    ours, theirs = measured["numpy"], measured["torch"]
    assert not ours.equals(theirs)  # they do round differently
    for name, array in ours.data_vars.items():
        if array.dtype.kind in "iu":
            np.testing.assert_array_equal(array, theirs[name], err_msg=str(name))
        elif name != "period":
            np.testing.assert_allclose(array, theirs[name], rtol=1e-4, atol=2e-3, err_msg=str(name))
