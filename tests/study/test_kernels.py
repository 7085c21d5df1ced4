"""The two kernels against each other, and which of them a machine and a study use."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from study.config import StudyConfig
from study.networks import kernels
from study.networks.kernels import KERNELS, NUMPY, TORCH, NumpyKernels, TorchKernels
from study.terminal.errors import InputError


@pytest.mark.parametrize("one", KERNELS.values(), ids=list(KERNELS))
def test_kernels_compute_what_they_say(one):
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.rand(shape, generator=draw, dtype=torch.float64) - 0.5 for shape in ((7, 5), (5, 6)))
    expected = a.numpy() @ b.numpy()
    out = torch.empty(7, 6, dtype=torch.float64)
    assert one.product(a, b, out) is out
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(one.product(a, b).numpy(), expected, rtol=1e-13)
    assert one.add_product(out, a, b) is out
    np.testing.assert_allclose(out.numpy(), 2 * expected, rtol=1e-13)
    wide = torch.zeros(7, 12, dtype=torch.float64)  # a view, whose rows do not follow one another
    one.product(a, b, wide[:, 3:9])
    one.add_product(wide[:, 3:9], a, b)
    assert one.tanh(wide).data_ptr() == wide.data_ptr()
    np.testing.assert_allclose(wide[:, 3:9].numpy(), np.tanh(2 * expected), rtol=1e-13)
    assert not wide[:, :3].any()
    assert not wide[:, 9:].any()


def test_torch_s_kernels_compute_stacks():
    a, b, total = torch.rand(3, 4, 5), torch.rand(3, 5, 6), torch.rand(3, 4, 6)
    expected = total + a @ b
    torch.testing.assert_close(TORCH.add_product(total, a, b), expected)
    torch.testing.assert_close(TORCH.product(a, b), a @ b)


def test_kernels_are_chosen_for_a_context_and_for_what_they_can_compute():
    single, rounded = torch.zeros(1), torch.zeros(1, dtype=torch.bfloat16)
    assert kernels.in_use(single) is TORCH
    with pytest.raises(ValueError, match="on purpose"), kernels.using("numpy") as chosen:
        assert chosen is kernels.in_use(single) is NUMPY
        assert kernels.in_use(rounded) is kernels.in_use(torch.zeros(1, device="meta")) is TORCH
        with kernels.using("torch"):
            assert kernels.in_use(single) is TORCH
        raise ValueError("on purpose")
    assert kernels.in_use(single) is TORCH


def test_a_record_says_which_library_computed_for_which_kind_of_processor():
    assert "OpenBLAS" in NUMPY.in_words()
    assert NUMPY.in_words().rpartition(" for ")[2]
    assert torch.backends.cpu.get_cpu_capability() in TORCH.in_words()


@pytest.fixture
def choice(tmp_path, monkeypatch):
    """A cache in which nothing is known of any machine."""
    monkeypatch.setattr(kernels, "CHOICE", tmp_path / "cache" / "kernels.json")
    kernels.fastest.cache_clear()
    yield kernels.CHOICE
    kernels.fastest.cache_clear()


def _slowed(monkeypatch, slow):
    """Makes one of the two kernels take a hundred times as long."""
    tanh = slow.tanh

    def slowly(self, values):
        for _ in range(100):
            tanh(self, values)
        return values

    monkeypatch.setattr(slow, "tanh", slowly)


@pytest.mark.parametrize(("slow", "expected"), [(NumpyKernels, "torch"), (TorchKernels, "numpy")])
def test_the_fastest_kernels_are_measured_once_and_kept(choice, monkeypatch, slow, expected):
    _slowed(monkeypatch, slow)
    assert kernels.fastest() == expected
    assert list(json.loads(choice.read_text()).values()) == [expected]
    monkeypatch.setattr(kernels, "_measured", lambda: pytest.fail("measured again"))
    kernels.fastest.cache_clear()
    assert kernels.fastest() == expected


def test_another_machine_is_measured_anew_and_both_are_kept(choice, monkeypatch):
    kernels.fastest()
    monkeypatch.setattr(kernels, "_machine", lambda: "another")
    monkeypatch.setattr(kernels, "_measured", lambda: "numpy")
    kernels.fastest.cache_clear()
    assert kernels.fastest() == "numpy"
    assert len(json.loads(choice.read_text())) == 2


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"here": "fortran"}', "\x00"])
def test_a_damaged_choice_is_measured_again(choice, monkeypatch, content):
    choice.parent.mkdir()
    choice.write_text(content)
    monkeypatch.setattr(kernels, "_machine", lambda: "here")
    monkeypatch.setattr(kernels, "_measured", lambda: "numpy")
    assert kernels.fastest() == "numpy"
    assert json.loads(choice.read_text())["here"] == "numpy"


def test_a_cache_that_cannot_be_written_costs_the_measurement_only(choice, monkeypatch):
    choice.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(kernels, "_measured", lambda: "numpy")
    assert kernels.fastest() == "numpy"


def test_a_study_uses_the_fastest_kernels_or_those_it_names(monkeypatch):
    monkeypatch.setattr(kernels, "fastest", lambda: "numpy")
    assert {network.kernels for network in StudyConfig(device="cpu").networks()} == {"numpy"}
    assert StudyConfig(device="cpu", kernels="torch").networks()[0].kernels == "torch"
    assert StudyConfig(device="cpu", precision="bf16").networks()[0].kernels == "torch"
    with pytest.raises(InputError, match=r"kernels=numpy.*expected torch"):
        StudyConfig(device="cpu", precision="bf16", kernels="numpy").networks()


def test_a_cell_without_numpy_s_kernels_uses_torch_s(monkeypatch):
    from biased_cell import BIASED

    monkeypatch.setattr(kernels, "fastest", lambda: "numpy")
    assert StudyConfig(device="cpu", cell=BIASED.name).networks()[0].kernels == "torch"
    with pytest.raises(InputError, match=r"kernels=numpy.*expected torch"):
        StudyConfig(device="cpu", cell=BIASED.name, kernels="numpy").networks()
