"""The training benchmark runs, and its file has the fields it promises."""

from __future__ import annotations

import importlib
import json
import sys

import pytest
from conftest import run_command
from places import ROOT

from benchmarks.training import Row, rates, table


@pytest.mark.slow
def test_the_quick_benchmark_measures_every_cpu_row(tmp_path):
    target = tmp_path / "rows.json"
    done = run_command([sys.executable, "-m", "benchmarks.training", "--quick", "--json", str(target)], "unused")
    assert done.returncode == 0, done.stderr
    rows = json.loads(target.read_text())
    assert all({"against", "hidden_size", "cores", "ratio", "target"} <= set(row) for row in rows)
    measured = [row for row in rows if row["ratio"]]
    assert {row["cores"] for row in measured} >= {1, 2}
    # Noise-proof: slower than the plain loop would be a defect, not a bad day.
    assert all(row["ratio"] > 1 for row in measured if row["against"].startswith("nn.RNN"))
    assert all(row["ratio"] is None for row in rows if row["cores"] == 0 and "no GPU" in done.stdout)


@pytest.mark.slow
def test_every_cell_is_measured_beside_pytorch_s_layers(tmp_path):
    target = tmp_path / "rows.json"
    done = run_command([sys.executable, "-m", "benchmarks.training", "--quick", "--cells", "--json", str(target)], "unused")
    assert done.returncode == 0, done.stderr
    rows = json.loads(target.read_text())
    assert len({row["against"] for row in rows}) == 8
    assert all(row["ratio"] > 0 for row in rows)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_a_benchmark_imports_what_there_is(name):
    importlib.import_module(f"benchmarks.{name}")


def test_rates_are_of_whole_networks():
    [_, _, line] = rates([Row("nn.RNN + autograd", 200, 2, 2.5, 1.0, 2.0, 3.0, 2.0), Row("JAX", 200, 2, 2.0, 1.0)]).splitlines()
    assert line == "| 2 cores | 200 | 100.0 | 40.0 |"  # 36 s each: 30 epochs of 600 steps of 2 ms


def test_the_table_marks_what_missed_its_target():
    lines = table(
        [Row("a", 200, 1, 1.2, 1.5, 1.1, 1.3, 5.0), Row("b", 200, 2, 3.0, 2.8, 2.9, 3.1, 2.0), Row("c", 200, 0, None, 15.0)]
    ).splitlines()
    assert "(missed)" in lines[2]
    assert "1 core" in lines[2]
    assert "(missed)" not in lines[3]
    assert "one GPU" in lines[4]
    assert "not measured" in lines[4]
