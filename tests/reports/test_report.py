"""The report of a real study, and of studies that hold too little."""

from __future__ import annotations

import dataclasses
import json

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from analysis.findings import evaluate
from analysis.study_analysis import Analysis, analyse
from reports.figures import FIGURES
from reports.pdf import build


@pytest.fixture(scope="module")
def analysis(real_study) -> Analysis:
    """A real study; the pictures of its steps are repeated, as if all steps had been embedded."""
    found = analyse(real_study.client, real_study.run_id)
    every = {size: picture.isel(time_step=[step % 3 for step in range(28)]).assign_coords(time_step=range(1, 29))
             for size, picture in found.embeddings.items()}
    return dataclasses.replace(found, embeddings=every)


def _without(analysis: Analysis, keep) -> Analysis:
    """The same study with only the networks that `keep` (a mask over size and seed) leaves."""
    dataset = analysis.dataset.where(keep).assign(run_id=analysis.dataset.run_id.where(keep, ""))
    missing = {f"H={int(h)} seed={int(s)}": "no run" for h in dataset.hidden_size for s in dataset.seed
               if dataset.run_id.sel(hidden_size=h, seed=s).item() == ""}
    dataset = dataset.assign_attrs(analysis.dataset.attrs | {"missing": json.dumps(missing)})
    return Analysis(dataset, evaluate(dataset), {}, {})


def test_the_report_is_the_same_byte_for_byte(analysis, tmp_path):
    first, second = (build(analysis, tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    for name in FIGURES:
        one, other = ((tmp_path / copy / "figures" / f"{name}.svg").read_bytes() for copy in "ab")
        assert one == other, name


def test_every_figure_is_drawn_with_its_numbers(analysis, tmp_path):
    for name, draw in FIGURES.items():
        figure = draw(analysis)
        figure.save(tmp_path)
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture[..., :3].std() > 0.02, name
        edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])[:, :3]
        assert edges.min() > 0.99, f"{name}: something is cut off at the edge"
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(figure.numbers) > 0
        assert "H = " in figure.caption
    assert "7 at H = 8, 7 at H = 16" in FIGURES["truncation"](analysis).caption


def test_steps_that_were_not_embedded_are_not_drawn(analysis):
    few = {size: picture.sel(time_step=[4, 16, 28]) for size, picture in analysis.embeddings.items()}
    assert FIGURES["embedding_steps"](dataclasses.replace(analysis, embeddings=few)) is None
    assert FIGURES["embedding"](dataclasses.replace(analysis, embeddings={})) is None


def test_a_report_without_some_or_all_networks_says_so(analysis, tmp_path):
    grid = analysis.dataset.run_id
    cases = {
        "one_size": (analysis.dataset.hidden_size == 8) & (grid != ""),
        "many_sizes": grid != "",
        "few": (analysis.dataset.seed < 3) & (grid != ""),
        "none": grid == "nothing",
    }
    for name, keep in cases.items():
        partial = _without(analysis, keep)
        if name == "many_sizes":
            again = [partial.dataset.assign_coords(hidden_size=[10 * i, 10 * i + 1]) for i in (1, 2, 3)]
            dataset = xr.concat(again, "hidden_size").assign_attrs(partial.dataset.attrs)
            partial = Analysis(dataset, evaluate(dataset), {}, {})
            assert FIGURES["oscillation"](partial).drawing.get_figheight() < 9
        assert build(partial, tmp_path / name).stat().st_size > 10_000
