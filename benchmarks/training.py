"""The training engine beside what else there is: ``python -m benchmarks.training [--quick] [--cells] [--json FILE]``.

Ours and theirs run in turns in one session, because machines are noisy and only ratios travel; a row is the median over rounds of
networks per second, ours over theirs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks import loops
from benchmarks.machine import describe
from study.networks.kernels import KERNELS, LIBRARY_NAMES, fastest
from study.training.hand_derived import first_rows

BATCH = 100
EPOCHS, IMAGES = 30, 60_000  # of a network
SIZES = (25, 50, 100, 200, 400)


@dataclass(frozen=True)
class Row:
    """One comparison; `ratio` is ours over theirs in networks per second (None: not measured), `cores` 0 on a GPU; `lowest` and
    `highest` over the rounds; `ours_ms` a training step of one network."""

    against: str
    hidden_size: int
    cores: int
    ratio: float | None
    target: float | None
    lowest: float | None = None
    highest: float | None = None
    ours_ms: float | None = None


def seconds(run: loops.Run, steps: int) -> float:
    """Seconds per step."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    begun = time.perf_counter()
    run(steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - begun) / steps


class TwoWorkers:
    """Two processes of one thread each that train side by side, as a study's workers do."""

    def __init__(self, hidden: int):
        context = get_context("spawn")
        self.ends = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(theirs, hidden), daemon=True).start()
            self.ends.append(ours)
        for end in self.ends:
            end.recv()

    def __call__(self, steps: int) -> None:
        for end in self.ends:
            end.send(steps)
        for end in self.ends:
            end.recv()

    def close(self) -> None:
        for end in self.ends:
            end.send(0)


def _serve(end, hidden: int) -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
    run = loops.engine(hidden, BATCH)
    run(5)
    end.send("ready")
    while steps := end.recv():
        run(steps)
        end.send("done")


def compare(
    ours: loops.Run, theirs: loops.Run, ours_networks: int, theirs_networks: int, steps: int, rounds: int, threads: tuple[int, int]
) -> tuple[list[float], float]:
    """The ratios over rounds, and our milliseconds per step and network; `threads` of torch for ours and for theirs."""
    ratios, times = [], []
    for number in range(rounds + 1):
        torch.set_num_threads(threads[0])
        with threadpool_limits(threads[0], "blas"):
            mine = seconds(ours, steps) / ours_networks
        torch.set_num_threads(threads[1])
        other = seconds(theirs, max(2, steps // theirs_networks)) / theirs_networks
        if number:  # the first round warms up
            ratios.append(other / mine)
            times.append(1000 * mine)
    return ratios, statistics.median(times)


def floor(hidden: int, seconds_each: float) -> Callable[[], float]:
    """Seconds of the work that a step does, at this core's best rate: the products of images that have begun, at the rate of the
    faster BLAS for large matrices (torch's or NumPy's), and their tanh, by the faster of the two.
    """
    images = loops.training_images()
    first = first_rows(images.images)
    begun = float((images.images.shape[1] - first).sum()) / len(images)  # rows from the first one with ink, per image
    products = 2 * hidden * (3 * (begun - 1) * hidden + 2 * begun * 28 + 3 * 10)
    sides = (512, 768, 1024)
    squares = [(torch.randn(n, n), torch.randn(n, n), torch.empty(n, n)) for n in sides]
    values = torch.randn(BATCH, hidden)
    out = torch.empty_like(values)

    def rate(call, work: float) -> float:
        call()
        best, until = 0.0, time.perf_counter() + seconds_each
        while time.perf_counter() < until:
            begun = time.perf_counter()
            call()
            best = max(best, work / (time.perf_counter() - begun))
        return best

    def measure() -> float:
        torch.set_num_threads(1)
        peak = max(rate(lambda s=s, one=one: one.product(*s), 2 * len(s[0]) ** 3) for s in squares for one in KERNELS.values())
        tanh = max(rate(lambda one=one: one.tanh(out.copy_(values)), values.numel()) for one in KERNELS.values())
        return BATCH * (products / peak + begun * hidden / tanh)

    return measure


def cpu_rows(quick: bool) -> list[Row]:
    rows, rounds = [], 3 if quick else 7
    for hidden in (200,) if quick else SIZES:
        steps = max(4, int((40 if quick else 100) * 200 / hidden))
        torch.set_num_threads(1)
        one, plain = loops.engine(hidden, BATCH), loops.plain_loop(hidden, BATCH)
        for against, theirs, target in (
            ("nn.RNN + autograd + fused Adam", plain, 3.4 if hidden == 200 else 1.0),
            ("the same, by torch.compile", loops.compiled_loop(hidden, BATCH), 1.0),
        ):
            rows.append(_row(against, hidden, 1, target, *compare(one, theirs, 1, 1, steps, rounds, (1, 1))))
        rows.extend(_other_kernels(hidden, batch, steps * BATCH // batch, rounds) for batch in (BATCH, 2 * BATCH))
        if hidden == 200:
            bound = floor(hidden, 0.1 if quick else 0.4)
            with threadpool_limits(1):
                pairs = [(seconds(one, steps), bound()) for _ in range(rounds)]
            rows.append(
                _row(
                    "the floor: products at the best GEMM's peak + tanh",
                    hidden,
                    1,
                    0.75,
                    [f / s for s, f in pairs],
                    1000 * statistics.median(s for s, _ in pairs),
                )
            )
        two = TwoWorkers(hidden)
        try:
            rows.append(
                _row(
                    "nn.RNN + autograd + fused Adam, two threads", hidden, 2, 1.0, *compare(two, plain, 2, 1, steps, rounds, (1, 2))
                )
            )
            if hidden == 200:
                rows.extend(_two_core_rows(two, hidden, steps, rounds))
        finally:
            two.close()
    return rows


def cell_rows(quick: bool) -> list[Row]:
    """Every cell, with biases and without, on one core, in batches of the default regime's size."""
    rows, rounds = [], 3 if quick else 9
    for hidden in (50,) if quick else (50, 200):
        for cell in loops.LAYERS:
            for bias in (False, True):
                ours, theirs = (loop(hidden, 2 * BATCH, cell=cell, bias=bias) for loop in (loops.engine, loops.plain_loop))
                steps = max(4, int(20 * 200 / hidden))
                against = f"{cell}, {'with' if bias else 'without'} bias: PyTorch's layer + autograd + fused Adam"
                rows.append(_row(against, hidden, 1, 1.0, *compare(ours, theirs, 1, 1, steps, rounds, (1, 1))))
    return rows


def _two_core_rows(two: TwoWorkers, hidden: int, steps: int, rounds: int) -> list[Row]:
    rows = [
        _row(
            "DataLoader + ToTensor + nn.RNN",
            hidden,
            2,
            5.0,
            *compare(two, loops.tutorial_loop(hidden, BATCH), 2, 1, steps, rounds, (1, 2)),
        )
    ]
    for name, ensemble, target in (
        ("torch.func ensemble of 8", loops.func_ensemble, 3.3),
        ("JAX vmap + scan, 8 networks", loops.jax_ensemble, 4.5),
        ("Equinox + Optax, 8 networks", loops.equinox_ensemble, 1.0),
    ):
        if run := ensemble(hidden, BATCH):
            rows.append(_row(name, hidden, 2, target, *compare(two, run, 2, 8, steps, rounds, (1, 2))))
        else:
            rows.append(Row(f"{name} (not installed)", hidden, 2, None, target))
    return rows


def _other_kernels(hidden: int, batch: int, steps: int, rounds: int) -> Row:
    """The kernels that are chosen here against the others, at the default regime's size of a batch, too."""
    chosen = fastest()
    [other] = set(KERNELS) - {chosen}
    ours, theirs = (loops.engine(hidden, batch, kernels=kernels) for kernels in (chosen, other))
    times = compare(ours, theirs, 1, 1, steps, rounds, (1, 1))
    return _row(f"ours by {LIBRARY_NAMES[other]}'s kernels, batches of {batch}", hidden, 1, 1.0, *times)


def gpu_rows(quick: bool) -> list[Row]:
    if not torch.cuda.is_available():
        return [
            Row("cuDNN nn.RNN, fused Adam, TF32 off", 200, 0, None, 15.0),
            Row("2.5 networks per second, fp32 (ratio: of that rate)", 200, 0, None, 1.0),
            Row("5 networks per second, TF32 (ratio: of that rate)", 200, 0, None, 1.0),
        ]
    rows, width, steps, rounds = [], 128, 60, 3 if quick else 7
    torch.backends.cudnn.rnn.fp32_precision = "ieee"
    for precision, rate in (("fp32", 2.5), ("tf32", 5.0)):
        torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        ours = loops.engine(200, BATCH, width, "cuda", precision)
        if precision == "fp32":
            plain = loops.plain_loop(200, BATCH, "cuda")
            rows.append(
                _row("cuDNN nn.RNN, fused Adam, TF32 off", 200, 0, 15.0, *compare(ours, plain, width, 1, steps, rounds, (1, 1)))
            )
        else:
            seconds(ours, steps)
        each = [seconds(ours, steps) / width for _ in range(rounds)]
        rates = [1 / (second * 600 * 30) / rate for second in each]
        rows.append(
            _row(
                f"{rate:g} networks per second, {precision} (ratio: of that rate)",
                200,
                0,
                1.0,
                rates,
                1000 * statistics.median(each),
            )
        )
    return rows


def _row(against: str, hidden: int, cores: int, target: float, ratios: list[float], ours_ms: float) -> Row:
    return Row(
        against,
        hidden,
        cores,
        round(statistics.median(ratios), 3),
        target,
        round(min(ratios), 3),
        round(max(ratios), 3),
        round(ours_ms, 3),
    )


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| on | against | hidden size | ours / theirs | range | target | ours, ms per step |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        place = f"{row.cores} core{'s' * (row.cores > 1)}" if row.cores else "one GPU"
        if row.ratio is None:
            measured = ["not measured", "", f"{row.target:g}", ""]
        else:
            met = "" if row.ratio >= row.target else " (missed)"
            spread = f"{row.lowest:.2f} to {row.highest:.2f}"
            measured = [f"**{row.ratio:.2f}**{met}", spread, f"{row.target:g}", f"{row.ours_ms:.3f}"]
        lines.append("| " + " | ".join([place, row.against, str(row.hidden_size), *measured]) + " |")
    return "\n".join(lines)


def rates(rows: list[Row]) -> str:
    """Networks an hour, ours and those of plain PyTorch, as Markdown: trained on 60,000 images for 30 epochs, and not measured."""
    lines = ["| on | hidden size | ours, networks an hour | nn.RNN + autograd + fused Adam |", "|---|---|---|---|"]
    for row in rows:
        if row.cores and row.ratio and row.ours_ms and row.against.startswith("nn.RNN"):
            ours = 3_600_000 / (row.ours_ms * EPOCHS * IMAGES / BATCH)
            lines.append(f"| {row.cores} core{'s' * (row.cores > 1)} | {row.hidden_size} | {ours:.1f} | {ours / row.ratio:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="H = 200 alone, few rounds: under a minute")
    parser.add_argument("--cells", action="store_true", help="every cell beside PyTorch's layers, and nothing else")
    parser.add_argument("--json", type=Path, help="also write the rows to a file")
    options = parser.parse_args()
    rows = cell_rows(options.quick) if options.cells else cpu_rows(options.quick) + gpu_rows(options.quick)
    print(describe())
    print(table(rows))
    if not options.cells:
        print(f"\n{rates(rows)}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
