"""What is computed once for all networks of a study."""

from __future__ import annotations

import numpy as np
import pytest

from study.measurements import of_data
from study.measurements.of_data import shares_of_data


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """A cache of this test's own, and a computation that counts its calls."""
    monkeypatch.setattr(of_data, "FOLDER", tmp_path / "of-data")
    monkeypatch.setattr(of_data, "KEPT", {})
    calls = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.linspace(0, 1, 28)

    return calls, compute


def test_it_is_computed_once_and_read_by_other_processes(counted, train_images, test_images, monkeypatch):
    calls, compute = counted
    first = shares_of_data("a", (train_images, test_images), (28,), compute)
    assert shares_of_data("a", (train_images, test_images), (28,), compute) is first
    monkeypatch.setattr(of_data, "KEPT", {})  # as in another process
    np.testing.assert_array_equal(shares_of_data("a", (train_images, test_images), (28,), compute), first)
    assert len(calls) == 1
    shares_of_data("b", (train_images, test_images), (28,), compute)
    shares_of_data("a", (train_images.first(100), test_images), (28,), compute)
    shares_of_data("a", (train_images, test_images.first(100)), (28,), compute)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "content", [b"", b"x", b"x" * (28 * 8), b"x" * 2_000_000, np.zeros(5), np.full(28, 1.5), np.full(28, np.nan)]
)
def test_a_damaged_file_is_made_anew(counted, train_images, test_images, monkeypatch, content):
    calls, compute = counted
    first = shares_of_data("a", (train_images, test_images), (28,), compute)
    [file] = of_data.FOLDER.iterdir()
    file.write_bytes(content if isinstance(content, bytes) else content.tobytes())
    monkeypatch.setattr(of_data, "KEPT", {})
    np.testing.assert_array_equal(shares_of_data("a", (train_images, test_images), (28,), compute), first)
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_to_is_done_without(counted, train_images, test_images):
    _, compute = counted
    of_data.FOLDER.write_text("a file where the folder should be")
    np.testing.assert_array_equal(shares_of_data("a", (train_images, test_images), (28,), compute), compute())
