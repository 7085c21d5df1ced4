"""The report of a real study, and of studies that hold too little."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path

import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import typst
import xarray as xr
from conftest import ROOT, run_command, tracked_in
from matplotlib import font_manager
from pypdf import PdfReader

from analysis.claims.findings import evaluate, markdown
from analysis.dataset import runs
from analysis.study_analysis import Analysis, analyse
from reports.figures import FIGURES
from reports.figures.figure import counts
from reports.figures.glyphs import DRAWN, shown
from reports.figures.style import FONTS, styled
from reports.text.comparison import comparison, settings, verdicts
from reports.text.content import content
from reports.typesetting.pdf import _typeset, build_comparison, build_report


@pytest.fixture(scope="module")
def analysis(real_study) -> Analysis:
    """A real study; the pictures of its steps are repeated, as if all steps had been embedded."""
    found = analyse(real_study.client, real_study.run_id)
    every = {
        size: picture.isel(time_step=[step % 3 for step in range(28)]).assign_coords(time_step=range(1, 29))
        for size, picture in found.embeddings.items()
    }
    dataset, rng = found.dataset, np.random.default_rng(0)
    there = dataset.test_accuracy.notnull()
    for name, dims in FULL.items():  # what `measurements=full` would add
        if name not in dataset:
            drawn = xr.DataArray(rng.random([count for _, count in dims]), dims=[dim for dim, _ in dims])
            dataset[name] = drawn.where(there, np.nan).transpose("hidden_size", "seed", ...)
    probes = dataset.probe_accuracy
    dataset["probe_accuracy"] = probes.where(dataset.source != "pixels", probes.sel(source="trained") / 2)
    return dataclasses.replace(found, dataset=dataset, embeddings=every)


@pytest.fixture(scope="module")
def report(analysis, tmp_path_factory) -> Path:
    """Its report, with the figures beside it."""
    return build_report(analysis, tmp_path_factory.mktemp("report"))


FULL = {
    "accuracy": (("shown", 29), ("blank", 57)),
    "temporal_generalisation": (("probe_step", 28), ("scored_step", 84)),
    "intact_outcome": (("outcome", 3),),
    **{f"{change}_mode_outcome": (("neutral_mode", 8), ("outcome", 3)) for change in ("without", "unread", "slower")},
    **{f"{change}_plane_outcome": (("neutral_mode", 8), ("plane", 4), ("outcome", 3)) for change in ("without", "unread")},
}


def _without(analysis: Analysis, keep) -> Analysis:
    """The same study with only the networks that `keep` (a mask over size and seed) leaves."""
    dataset = analysis.dataset.where(keep).assign(run_id=analysis.dataset.run_id.where(keep, ""))
    missing = {
        f"H={int(h)} seed={int(s)}": "no run"
        for h in dataset.hidden_size
        for s in dataset.seed
        if dataset.run_id.sel(hidden_size=h, seed=s).item() == ""
    }
    dataset = dataset.assign_attrs(analysis.dataset.attrs | {"missing": json.dumps(missing)})
    return Analysis(dataset, evaluate(dataset), {}, {})


def test_the_report_is_the_same_byte_for_byte(analysis, report, tmp_path):
    again = build_report(analysis, tmp_path)
    assert again.read_bytes() == report.read_bytes()
    for name in FIGURES:
        one, other = ((pdf.parent / "figures" / f"{name}.svg").read_bytes() for pdf in (report, again))
        assert one == other, name


def test_every_figure_is_drawn_with_its_numbers(analysis, report):
    for name, draw in FIGURES.items():
        figure = draw(analysis)
        picture = matplotlib.image.imread(report.parent / "figures" / f"{name}.png")
        assert picture[..., :3].std() > 0.02, name
        edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])[:, :3]
        assert edges.min() > 0.99, f"{name}: something is cut off at the edge"
        assert len(pd.read_csv(report.parent / "figures" / f"{name}.csv")) == len(figure.numbers) > 0
        assert "H = " in figure.caption
    assert "7 at H = 8, 7 at H = 16" in FIGURES["truncation"](analysis).caption


def test_the_report_is_archival_and_readable_without_seeing_it(report):
    """PDF/A-2a and PDF/UA-1, as far as the file says of itself and its tags show."""
    reader = PdfReader(report)
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


NOTEBOOK = {
    "text.usetex": True,
    "axes.grid": True,
    "figure.autolayout": True,
    "savefig.bbox": "tight",
    "svg.fonttype": "none",
    "lines.linewidth": 9,
    "axes.prop_cycle": matplotlib.cycler("color", ["r"]),
    "figure.dpi": 30,
    "font.family": "monospace",
    "axes.formatter.use_locale": True,
    "image.cmap": "jet",
    "path.sketch": (1, 100, 2),
}


def test_a_user_s_settings_of_matplotlib_change_no_figure_and_stay(analysis, tmp_path):
    names = ("truncation", "oscillation", "embedding")
    (tmp_path / "plain").mkdir()
    (tmp_path / "set").mkdir()
    for name in names:
        FIGURES[name](analysis).save(tmp_path / "plain")
    with matplotlib.rc_context(NOTEBOOK):
        backend, before = matplotlib.get_backend(), dict(matplotlib.rcParams)
        for name in names:
            FIGURES[name](analysis).save(tmp_path / "set")
        assert dict(matplotlib.rcParams) == before
        assert matplotlib.get_backend() == backend
        assert matplotlib.pyplot.get_fignums() == []
    for file in sorted((tmp_path / "plain").iterdir()):
        assert file.read_bytes() == (tmp_path / "set" / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_a_command_reads_no_matplotlibrc_and_no_backend(analysis, real_study, tmp_path):
    here, broken = tmp_path / "here", tmp_path / "broken"
    for folder in (here, broken):
        folder.mkdir()
        (folder / "matplotlibrc").write_bytes(b"text.usetex: True\n\xff\xfe")
    done = run_command(
        [sys.executable, "-m", "reports", "figure", "truncation", "--study", real_study.run_id, "--out", "f.svg"],
        real_study.store,
        here,
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        MATPLOTLIBRC=str(broken),
        MPLCONFIGDIR="/proc/nowhere",
        PYTHONPATH=str(ROOT),
    )
    assert done.returncode == 0, done.stderr
    assert "atplotlib" not in done.stderr
    FIGURES["truncation"](analysis).draw(tmp_path / "f.svg")
    assert (here / "f.svg").read_bytes() == (tmp_path / "f.svg").read_bytes()


TEXTS = {
    "emoji": "a study \U0001f9ea \U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "chinese": "\u7814\u7a76",
    "thai": "\u0e17\u0e14\u0e2a\u0e2d\u0e1a",
    "arabic": "\u062f\u0631\u0627\u0633\u0629",
    "marks": "e\u0301 x" + "\u0301" * 60,
    "controls": "a\x00\x1b[31mred\x07",
    "lines": "a\nb\tc\r\nd\u2028e\x85f",
    "surrogates": "a\ud800b\udfff",
    "unseen": "a\u200bb\u202ec\u2066d\ufeff\u00ad",
    "private": "\ue000\U000f0000",
    "unassigned": "\u0378\U000e0fff\uffff\U0010ffff",
    "a name": "name " * 1000,
    "a word": "w" * 2000,
    "a Chinese word": "\u7814" * 5000,
    "a path": "/a/long/" + "folder-with-a-name/" * 20,
    "nothing": "",
    "spaces": "  \u3000 ",
    "markup": '#import "x": * _y_ $z$ <a> @b [c] `d` \\ // [/x] :smile: {e} %',
    "entities": "&lt;b> &#8238;",
    "any": "".join(chr(code) for code in np.random.default_rng(0).integers(0, 0x110000, 3000)),
}


@pytest.mark.parametrize(
    "name", [name if name in ("emoji", "markup", "any") else pytest.param(name, marks=pytest.mark.slow) for name in TEXTS]
)
def test_any_text_typesets(analysis, tmp_path, monkeypatch, name):
    """In place of a study's name and id, a setting and its name, a missing network and its reason, and a variable's long name."""
    text, dataset = TEXTS[name], analysis.dataset.copy()
    config, missing = (json.loads(dataset.attrs[attribute]) for attribute in ("config", "missing"))
    dataset["test_accuracy"] = dataset.test_accuracy.assign_attrs(long_name=text)
    dataset = dataset.assign_attrs(
        study_name=text,
        study=text,
        config=json.dumps(config | {"data_dir": text, text: text}),
        missing=json.dumps(missing | {text: text, "H=8 seed=99": text}),
    )
    named = dataclasses.replace(analysis, dataset=dataset)
    words, _ = comparison(named, analysis)
    compiled, pictures = typst.compile_with_warnings, []

    def pictured(*arguments, pdf_standards, **options):
        pages, _ = compiled(*arguments, **options, format="png", ppi=36)
        pictures.extend(pages if isinstance(pages, list) else [pages])
        return compiled(*arguments, pdf_standards=pdf_standards, **options)

    monkeypatch.setattr(typst, "compile_with_warnings", pictured)
    _typeset("report.typ", content(named, {}), {}, tmp_path)
    _typeset("comparison.typ", words | {"figures": []}, {}, tmp_path)
    assert 4 <= len(pictures) <= 16
    for picture in pictures:
        pixels = matplotlib.image.imread(io.BytesIO(picture))[..., :3]
        margin = int(0.1 * pixels.shape[1])  # of 22 mm on 210 mm
        assert pixels[:, -margin:].min() > 0.9, "something runs off the page"
    told = markdown(dataset, analysis.findings)
    told.encode()
    assert len(told) < 60_000
    assert not any(unseen in told for unseen in ("\u202e", "&#8238;", "&#8203;", "\u200b"))


def test_what_has_no_glyph_or_is_not_seen_is_shown_by_its_code_points():
    assert shown("a \u202e\U0001f9ea b") == "a [U+202E U+1F9EA] b"
    assert shown("e\u0301 \u2192 \u03c0 \u20ac") == "\u00e9 \u2192 \u03c0 \u20ac"
    assert shown("a\n\tb") == "a b"
    assert shown("x" * 5000) == "x" * 200 + "\u2026 (5,000 characters)"
    assert shown(shown("\u7814" * 5000), 4000) == shown("\u7814" * 5000)


def test_every_character_that_is_kept_has_a_glyph_in_all_three_fonts(tmp_path):
    text = "".join(sorted(DRAWN))
    parts = [text[start : start + 150] for start in range(0, len(text), 150)]
    words = {
        "title": "Characters",
        "settings": [["sans", part, ""] for part in parts],
        "cautions": parts,
        "verdicts": [],
        "studies": [{"letter": "A", "name": "mono", "id": part, "networks": 0} for part in parts],
        "figures": [],
    }
    assert {shown(character) for character in DRAWN - {" "}} <= DRAWN  # some in their normal form
    pdf = _typeset("comparison.typ", words, {}, tmp_path)
    families = {
        str(font["/FontDescriptor"]["/FontName"]).partition("+")[2].partition("-")[0]
        for page in PdfReader(pdf).pages
        for font in _fonts(page)
    }
    assert families == {"LibertinusSerif", "SourceSansPro", "DejaVuSansMono"}


def test_a_renamed_study_is_reported(analysis, own_tags, tmp_path):
    own_tags.client.set_tag(own_tags.run_id, "mlflow.runName", "\u7814\u7a76 \U0001f9ea " + "long " * 500)
    dataset = runs.load(own_tags.run_id, own_tags.client)
    assert dataset.attrs["study_name"].startswith("\u7814")
    named = dataclasses.replace(analysis, dataset=analysis.dataset.assign_attrs(dataset.attrs))
    pdf = _typeset("report.typ", content(named, {}), {}, tmp_path)
    assert "[U+7814 U+7A76] [U+1F9EA]" in " ".join(PdfReader(pdf).pages[0].extract_text().split())


def test_networks_made_differently_or_not_trained_stand_on_the_first_page(analysis, tmp_path):
    made = json.loads(analysis.dataset.attrs["versions"])
    made["torch"] = {"2.13.0": {"8": "0-6", "16": "0-5"}, "2.12.1": {"16": "6"}}
    dataset = analysis.dataset.assign_attrs(versions=json.dumps(made))
    learned = xr.where(dataset.hidden_size == 16, 0.5 + dataset.test_accuracy / 2, dataset.test_accuracy / 2)
    dataset["test_accuracy"] = learned.transpose("hidden_size", "seed").assign_attrs(dataset.test_accuracy.attrs)
    mixed = Analysis(dataset, evaluate(dataset), {}, {})
    pdf = _typeset("report.typ", content(mixed, {}), {}, tmp_path)
    pages = [" ".join(page.extract_text().split()) for page in PdfReader(pdf).pages]
    assert "7 at H = 16 (not all made by the same versions" in counts(mixed)
    assert "With 8 hidden units the networks have not learned the task" in pages[0]
    assert "H = 8: not trained. The mean test accuracy is" in pages[0]
    assert "torch 2.13.0 (13 networks), 2.12.1 (1 network)" in pages[0]
    rest = " ".join(pages)
    assert "2.12.1 (H = 16 seed 6)" in rest
    assert "not trained if the mean test accuracy is below 50%" in rest
    rows = verdicts(mixed, analysis)
    assert {row["studies"][0]["verdict"] for row in rows if row["hidden_size"] == 8 and row["claim"] != "C1"} == {"not trained"}
    pdf = _typeset("comparison.typ", comparison(mixed, analysis)[0] | {"figures": []}, {}, tmp_path)
    text = " ".join(PdfReader(pdf).pages[0].extract_text().split())
    assert "Study A. The networks were made by different versions" in text
    assert "made by torch" in text


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


def test_one_figure_by_its_name(real_study, tmp_path):
    from typer.testing import CliRunner

    from reports.__main__ import app

    for ending in (".svg", ".PNG", ".pdf"):
        target = tmp_path / f"f{ending}"
        with tracked_in(real_study.store):
            done = CliRunner().invoke(app, ["figure", "truncation", "--study", real_study.run_id, "--out", str(target)])
        assert done.exit_code == 0, done.output
        assert target.stat().st_size > 5_000
    assert "7 at H = 8" in done.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figure", "nothing"], "figure=nothing: expected one of: truncation"),
        (["figure"], "figure=: expected one of: truncation"),
        (["figure", "truncation", "--out", "f.gif"], "out=f.gif: expected a file name that ends in one of: .svg"),
        (["figure", "surface", "--out", "s.svg"], "does not have the data for it"),
        (["compare", "latest", "nothing"], "study=nothing: the tracking store has no such run"),
    ],
)
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


@pytest.mark.slow
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
        assert build_report(partial, tmp_path / name).stat().st_size > 10_000
