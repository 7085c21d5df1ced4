"""Kernels: the library that computes the matrix products and the tanh of which training and measuring mostly consist.

Which library is faster depends on the processor. On Intel's, torch multiplies through MKL at the machine's peak; on AMD's, MKL
takes a path for older processors, and NumPy's OpenBLAS is up to twice as fast. Their results differ in rounding: the kernels of a
study are therefore chosen once, are the same for all its networks, and are part of a network's training key.
"""

from __future__ import annotations

import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from study.data.places import CACHE
from study.files import durable
from study.terminal.errors import StudyError

KernelsName = Literal["torch", "numpy"]
LIBRARY_NAMES: dict[str, str] = {"torch": "torch", "numpy": "NumPy"}
CHOICE = CACHE / "kernels.json"  # the fastest kernels, by what they depend on
MEASURED_FOR = 0.05  # seconds, both kernels together
ADVANTAGE = 1.1  # how many times as fast as torch's kernels NumPy's have to be: smaller differences are noise
UNITS, IMAGES = 200, 200  # of the product and the tanh that are measured: those of the default regime


class Kernels(ABC):
    """Products and tanh of torch's tensors on the CPU, in place, on the calling thread alone if so configured."""

    name: ClassVar[KernelsName]

    @abstractmethod
    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The product a b of matrices `[.., m, k]` and `[.., k, n]`, in `out` where given."""

    @abstractmethod
    def add_product(self, total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """total += a b; the total."""

    @abstractmethod
    def tanh(self, values: torch.Tensor) -> torch.Tensor:
        """The tanh of each value, in place."""

    @abstractmethod
    def in_words(self) -> str:
        """What computes here, for a record: the library of products, and the kind of processor it was written for."""


class TorchKernels(Kernels):
    """Torch's own: MKL, or whatever this build of torch multiplies with; also on GPUs."""

    name = "torch"

    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        return torch.matmul(a, b) if out is None else torch.matmul(a, b, out=out)

    def add_product(self, total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        if total.ndim == 2:
            return total.addmm_(a, b)
        return total.baddbmm_(a, b) if a.ndim == b.ndim == 3 else total.add_(torch.matmul(a, b))

    def tanh(self, values: torch.Tensor) -> torch.Tensor:
        return values.tanh_()

    def in_words(self) -> str:
        return f"torch with {'MKL' if torch.backends.mkl.is_available() else 'its BLAS'}, {torch.backends.cpu.get_cpu_capability()}"


class NumpyKernels(Kernels):
    """NumPy's: its OpenBLAS, and its vectorised tanh."""

    name = "numpy"

    def product(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        with np.errstate(all="ignore"):  # as torch, which does not warn of infinities either
            if out is None:
                return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
            np.matmul(a.numpy(), b.numpy(), out=out.numpy())
        return out

    def add_product(self, total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        values = total.numpy()
        with np.errstate(all="ignore"):
            np.add(values, np.matmul(a.numpy(), b.numpy()), out=values)
        return total

    def tanh(self, values: torch.Tensor) -> torch.Tensor:
        np.tanh(values.numpy(), out=values.numpy())
        return values

    def in_words(self) -> str:
        return f"NumPy with {_numpys_blas()}"


TORCH, NUMPY = TorchKernels(), NumpyKernels()
KERNELS: dict[KernelsName, Kernels] = {kernels.name: kernels for kernels in (TORCH, NUMPY)}
_CHOSEN: ContextVar[Kernels] = ContextVar("kernels", default=TORCH)


@contextmanager
def using(name: KernelsName) -> Iterator[Kernels]:
    """A context in which products and tanh are computed by the kernels of this name; torch's outside of any."""
    before = _CHOSEN.set(KERNELS[name])
    try:
        yield KERNELS[name]
    finally:
        _CHOSEN.reset(before)


def in_use(tensor: torch.Tensor) -> Kernels:
    """The kernels for computing with a tensor: those of `using`, but torch's on a GPU, and for numbers that NumPy does not have."""
    return _CHOSEN.get() if tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64) else TORCH


@cache
def fastest() -> KernelsName:
    """The kernels that are faster on this machine: NumPy's, where they need at most 1 / `ADVANTAGE` of the time of torch's for a
    product and a tanh of the default regime's size, on one thread.

    Measured once, for some 50 ms, and kept in the cache for this processor and these libraries.
    """
    here = _machine()
    known = _kept()
    if known.get(here) not in KERNELS:
        known[here] = _measured()
        with suppress(StudyError):  # a cache that cannot be written costs 50 ms a command
            durable.write(CHOICE, json.dumps(known, indent=1).encode())
    return "numpy" if known[here] == "numpy" else "torch"


def _kept() -> dict[str, str]:
    try:
        kept = json.loads(Path(CHOICE).read_text()[: 1 << 20])
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in kept.items()} if isinstance(kept, dict) else {}


def _machine() -> str:
    """What the choice depends on, in words."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    return f"{processor}; {libraries}; {TORCH.in_words()}; {NUMPY.in_words()}"


def _numpys_blas() -> str:
    """The name and architecture of the BLAS that NumPy multiplies with; a wheel of NumPy brings its own."""
    found = [one for one in threadpool_info() if one["user_api"] == "blas"]
    ours = [one for one in found if "numpy" in Path(one["filepath"]).parent.name]
    others = [one for one in found if not {"torch", "scipy"} & {name.partition(".")[0] for name in Path(one["filepath"]).parts}]
    if not (chosen := [*ours, *others]):
        return "its BLAS"
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}.get(chosen[0]["internal_api"], chosen[0]["internal_api"])
    return f"{name} {chosen[0]['version'] or 'of unknown version'} for {chosen[0].get('architecture') or 'this processor'}"


def _measured() -> KernelsName:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.rand(shape, generator=draw) - 0.5 for shape in ((IMAGES, UNITS), (UNITS, UNITS)))
    out, threads = torch.empty(IMAGES, UNITS), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            times = _least_times(lambda kernels: kernels.tanh(kernels.product(a, b, out)))
    finally:
        torch.set_num_threads(threads)
    return "numpy" if times["numpy"] * ADVANTAGE <= times["torch"] else "torch"


def _least_times(step: Callable[[Kernels], object]) -> dict[KernelsName, float]:
    """The least time of a step with each of the kernels, in seconds, of as many turns as fit into `MEASURED_FOR`."""
    for one in KERNELS.values():
        step(one)
    least, end = dict.fromkeys(KERNELS, float("inf")), time.perf_counter() + MEASURED_FOR
    while time.perf_counter() < end:
        for name, one in KERNELS.items():
            begun = time.perf_counter()
            step(one)
            least[name] = min(least[name], time.perf_counter() - begun)
    return least
