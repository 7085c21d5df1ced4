"""The report of a real study, and of studies that hold too little."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import run_command
from matplotlib import font_manager
from pypdf import PdfReader

from analysis.findings import evaluate
from analysis.study_analysis import Analysis, analyse
from reports.comparison import settings, verdicts
from reports.figures import FIGURES
from reports.pdf import build, build_comparison
from reports.style import FONTS, styled


@pytest.fixture(scope="module")
def analysis(real_study) -> Analysis:
    """A real study; the pictures of its steps are repeated, as if all steps had been embedded."""
    found = analyse(real_study.client, real_study.run_id)
    every = {size: picture.isel(time_step=[step % 3 for step in range(28)]).assign_coords(time_step=range(1, 29))
             for size, picture in found.embeddings.items()}
    dataset, rng = found.dataset, np.random.default_rng(0)
    there = dataset.test_accuracy.notnull()
    for name, dims in FULL.items():  # what `measurements=full` would add
        if name not in dataset:
            drawn = xr.DataArray(rng.random([count for _, count in dims]), dims=[dim for dim, _ in dims])
            dataset[name] = drawn.where(there, np.nan).transpose("hidden_size", "seed", ...)
    return dataclasses.replace(found, dataset=dataset, embeddings=every)


FULL = {
    "accuracy": (("shown", 29), ("blank", 57)),
    "temporal_generalisation": (("probe_step", 28), ("scored_step", 84)),
    "probe_pixels": (("time_step", 28),),
}


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


def test_the_report_is_archival_and_readable_without_seeing_it(analysis, tmp_path):
    """PDF/A-2a and PDF/UA-1, as far as the file says of itself and its tags show."""
    reader = PdfReader(build(analysis, tmp_path))
    catalog = reader.trailer["/Root"]
    metadata = catalog["/Metadata"].get_object().get_data().decode()
    for claim in ("<pdfaid:part>2</pdfaid:part>", "<pdfaid:conformance>A</pdfaid:conformance>", "<pdfuaid:part>1</pdfuaid:part>"):
        assert claim in metadata
    assert catalog["/Lang"].startswith("en")
    assert catalog["/MarkInfo"]["/Marked"]
    assert catalog["/ViewerPreferences"]["/DisplayDocTitle"]
    assert catalog["/OutputIntents"]
    assert reader.metadata.title == "Hidden orbits: dynamics and geometry of recurrent networks"
    alternatives = [str(element["/Alt"]) for element in _elements(catalog["/StructTreeRoot"]) if element.get("/S") == "/Figure"]
    assert len(alternatives) >= len(FIGURES) - 1
    assert all(len(words) > 40 for words in alternatives)
    kinds = {element.get("/S") for element in _elements(catalog["/StructTreeRoot"])}
    assert {"/H1", "/Table", "/TH", "/TD", "/P", "/L", "/Caption"} <= kinds
    fonts = [font["/FontDescriptor"] for page in reader.pages for font in _fonts(page)]
    assert all({"/FontFile2", "/FontFile3"} & set(font) for font in fonts)
    families = {str(font["/FontName"]).partition("+")[2].partition("-")[0] for font in fonts}
    assert families == {"LibertinusSerif", "SourceSansPro", "DejaVuSansMono"}


def test_figures_are_drawn_in_the_font_that_is_shipped():
    with styled():
        assert Path(font_manager.findfont(font_manager.FontProperties(), fallback_to_default=False)).parent == FONTS


def _elements(node):
    """Every structure element under one of the tree's."""
    children = node.get("/K", [])
    for child in children if isinstance(children, list) else [children]:
        child = child.get_object()
        if isinstance(child, dict) and "/S" in child:
            yield child
            yield from _elements(child)


def _fonts(page):
    for font in page["/Resources"].get("/Font", {}).values():
        yield from (descendant.get_object() for descendant in font.get_object().get("/DescendantFonts", [font]))


def test_two_studies_stand_side_by_side(analysis, tmp_path):
    half = _without(analysis, (analysis.dataset.hidden_size == 8) & (analysis.dataset.run_id != ""))
    config = json.loads(half.dataset.attrs["config"]) | {"learning_rate": 0.5}
    half = dataclasses.replace(half, dataset=half.dataset.assign_attrs(config=json.dumps(config), study="b" * 32))
    pdf = build_comparison(analysis, half, tmp_path)
    text = " ".join(page.extract_text() for page in PdfReader(pdf).pages)
    rate = json.loads(analysis.dataset.attrs["config"])["learning_rate"]
    assert settings(analysis, half) == [["learning_rate", str(rate), "0.5"]]
    assert "learning_rate" in text
    assert "not judged" in text  # the other hidden size
    rows = {(row["claim"], row["hidden_size"]): row["studies"] for row in verdicts(analysis, half)}
    assert rows["C1", 8][0] == rows["C1", 8][1]
    assert (tmp_path / "figures" / "A-truncation.svg").read_bytes() != (tmp_path / "figures" / "B-truncation.svg").read_bytes()


@pytest.mark.usefixtures("tracking")
def test_one_figure_by_its_name(real_study, tmp_path):
    from typer.testing import CliRunner

    from reports.__main__ import app

    for ending in (".svg", ".PNG", ".pdf"):
        target = tmp_path / f"f{ending}"
        done = CliRunner().invoke(app, ["figure", "truncation", "--study", real_study.run_id, "--out", str(target)])
        assert done.exit_code == 0, done.output
        assert target.stat().st_size > 5_000
    assert "7 at H = 8" in done.output


@pytest.mark.parametrize(("arguments", "words"), [
    (["figure", "nothing"], "figure=nothing: expected one of: truncation"),
    (["figure"], "figure=: expected one of: truncation"),
    (["figure", "truncation", "--out", "f.gif"], "out=f.gif: expected a file name that ends in one of: .svg"),
    (["figure", "surface", "--out", "s.svg"], "holds too little to draw it"),
    (["compare", "latest", "nothing"], "study=nothing: the tracking store has no such run"),
])
def test_a_figure_that_cannot_be_is_one_line(real_study, arguments, words):
    done = run_command([sys.executable, "-m", "reports", *arguments], real_study.store)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if "INFO" not in line]
    assert words in line


def test_a_step_without_values_is_left_out_of_curves_and_table(analysis):
    dimension = analysis.dataset.twonn_by_group
    dataset = analysis.dataset.assign(twonn_by_group=dimension.where(dimension.time_step != 2).assign_attrs(dimension.attrs))
    drawn = FIGURES["geometry"](dataclasses.replace(analysis, dataset=dataset, findings=evaluate(dataset))).numbers
    drawn = drawn[drawn.variable == "twonn_by_group"]
    assert 2 not in set(drawn.step)
    assert drawn.notna().all(axis=None)


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
