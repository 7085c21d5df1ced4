"""The generated tasks: what their sequences show is what their labels say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study.data import sources, tasks
from study.data.images import DataShape

NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def delayed():
    test = sources.load_images(sources.prepare_data("delayed-match", NOWHERE), train=False)
    return test.images.numpy(), test.labels.numpy(), test.names


@pytest.fixture(scope="module")
def flips():
    test = sources.load_images(sources.prepare_data("flip-flop", NOWHERE), train=False)
    return test.images.numpy(), test.labels.numpy(), test.names


def _direction(shown: np.ndarray) -> np.ndarray:
    """The direction that rings `[..., step, 8]` show, as the population vector tells it."""
    vector = shown.mean(axis=-2) @ np.exp(2j * np.pi * np.arange(8) / 8)
    return np.round(np.angle(vector) * 8 / (2 * np.pi)).astype(int) % 8


@pytest.mark.parametrize(("name", "shape"), [("delayed-match", DataShape(30, 9, 2)), ("flip-flop", DataShape(30, 3, 8))])
def test_a_task_is_the_same_each_time_and_its_parts_differ(name, shape, tmp_path):
    source = sources.prepare_data(name, tmp_path)
    assert source.shape == shape
    train, test = (sources.load_images(source, train=part) for part in (True, False))
    assert (len(train), len(test)) == (sources.training_images(name), 5000)
    assert not (train.images[:5000] == test.images).all()
    tasks._made.cache_clear()
    assert sources.prepare_data(name, NOWHERE).digest == source.digest
    assert not list(tmp_path.iterdir())


def test_the_digests_that_identify_the_tasks():
    """Stored networks are found by them: they change only with a new task, which then needs a new name."""
    digests = {name: sources.prepare_data(name, NOWHERE).digest[:12] for name in tasks.TASKS}
    assert digests == {"delayed-match": "1be1ae72ff6b", "flip-flop": "e32433e7b522"}


def test_delayed_match_shows_a_sample_and_after_a_delay_the_same_or_its_opposite(delayed):
    shown, labels, names = delayed
    assert names == ("match", "non-match")
    assert (shown[:, :28, 0] == 1).all()  # the fixation point, until the decision
    assert not shown[:, 28:].any()  # which is blank
    ring, delays = shown[:, :, 1:], []
    for sequence, label in zip(ring, labels, strict=True):
        during = np.flatnonzero(sequence.any(axis=1))
        sample, test = during[:5], during[5:]
        assert np.array_equal(test, np.arange(23, 28))
        assert np.array_equal(sample, np.arange(sample[0], sample[0] + 5))
        assert sample[0] >= 3
        delays.append(test[0] - sample[-1] - 1)
        assert (_direction(sequence[test]) - _direction(sequence[sample])) % 8 == (4 if label else 0)
    assert set(delays) == set(range(5, 16))
    assert abs(labels.mean() - 0.5) < 0.03


def test_a_stimulus_is_a_cosine_of_the_direction_with_neurogym_s_noise(delayed):
    shown, _, _ = delayed
    test = shown[:, 23:28, 1:]
    turned = np.stack([np.roll(one, -direction, axis=1) for one, direction in zip(test, _direction(test), strict=True)])
    assert np.allclose(turned.mean(axis=(0, 1)), 0.5 + 0.5 * np.cos(2 * np.pi * np.arange(8) / 8), atol=0.01)
    assert np.allclose(turned.std(axis=(0, 1)), 0.1, atol=0.005)


def test_the_flip_flop_s_label_is_the_sign_of_each_channel_s_last_pulse(flips):
    shown, labels, names = flips
    assert set(np.unique(shown)) == {-1, 0, 1}
    assert (shown[:, 0] != 0).all()
    assert abs((shown[:, 1:] != 0).mean() - 0.1) < 0.005
    for sequence, label in zip(shown[:500], labels, strict=False):
        last = [channel[np.flatnonzero(channel)[-1]] for channel in sequence.T]
        assert names[label] == "".join("+" if sign > 0 else "-" for sign in last)
    assert np.bincount(labels).min() > 500


def test_blank_rows_after_a_flip_flop_do_not_change_what_is_to_be_remembered(flips):
    """Its blank row is a time step without a pulse, which is what most of its rows have in most channels."""
    shown, _, _ = flips
    assert (shown == 0).all(axis=2).mean() > 0.6
