"""The batched logistic regression against scikit-learn's, and against the gradient that must vanish."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from study.measurements.logistic import PENALTY, fit
from study.measurements.recording import Recording


@pytest.fixture(scope="module")
def states(network, test_images, train_images):
    """Hidden states of 10,000 training and all test images at three time steps."""
    recording = Recording(network, test_images, train_images)
    steps = [5, 14, 27]
    return recording.states_of(train_images.first(10_000))[steps], recording.states[steps]


def test_accuracies_are_scikit_learn_s_within_half_a_point(states, train_images, test_images):
    learned, shown = states
    labels = train_images.labels[:10_000]
    probes = fit(learned, labels, 10)
    ours = (probes.logits(shown).argmax(dim=1) == test_images.labels).double().mean(dim=1)
    for step in range(3):
        theirs = LogisticRegression(max_iter=2000).fit(learned[step].numpy(), labels.numpy())
        assert abs(float(ours[step]) - theirs.score(shown[step].numpy(), test_images.labels.numpy())) < 0.005


def test_sets_fitted_together_are_what_each_is_alone(states, train_images):
    learned, labels = states[0], train_images.labels[:10_000]
    together = fit(learned, labels, 10).logits(learned).softmax(dim=1)
    for step in range(3):
        alone = fit(learned[step : step + 1], labels, 10).logits(learned[step : step + 1]).softmax(dim=1)
        assert (alone[0] - together[step]).abs().mean() < 2e-3  # the one that takes longest decides when they end


def test_the_penalised_gradient_vanishes(monkeypatch):
    monkeypatch.setattr("study.measurements.logistic.TOLERANCE", 1e-12)
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(1, 300, 5, generator=draw, dtype=torch.float64)
    labels = torch.randint(3, (300,), generator=draw)
    probe = fit(states, labels, 3)
    weights, bias = probe.weights[0].clone().requires_grad_(), probe.bias[0].clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(states[0] @ weights.T + bias, labels, reduction="sum")
    (loss + PENALTY / 2 * weights.square().sum()).backward()
    assert weights.grad.abs().max() < 1e-3
    assert bias.grad.abs().max() < 1e-3


def test_states_that_do_not_differ_give_the_shares_of_the_labels():
    labels = torch.tensor([0, 0, 0, 1])
    probabilities = fit(torch.ones(1, 4, 6), labels, 2).logits(torch.ones(1, 1, 6)).softmax(dim=1).flatten()
    assert probabilities.tolist() == pytest.approx([0.75, 0.25], abs=1e-3)
