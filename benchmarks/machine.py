"""The machine a benchmark ran on, in words."""

from __future__ import annotations

import platform
from pathlib import Path

import psutil
import torch

from study.networks.kernels import KERNELS, fastest
from study.record.network_record import versions


def describe() -> str:
    """Processor, cores, memory, GPU, versions and kernels, in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    memory = psutil.virtual_memory().total / 2**30
    processor = names[0] if names else platform.processor()
    return (
        f"{processor}, {psutil.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()}), "
        f"{memory:.0f} GiB, {gpu}; Python {platform.python_version()}, torch {versions()['torch']}; kernels: {fastest()} of "
        f"{'; '.join(one.in_words() for one in KERNELS.values())}\n"
    )
