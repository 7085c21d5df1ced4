"""Figures and words of data of any number of rows, features and classes: nothing is cut, no tick hides another."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text

from analysis.claims.findings import evaluate
from analysis.dataset.records import stack
from analysis.study_analysis import Analysis
from reports.figures import drawn
from reports.figures.early_classification import confidence_curve
from reports.figures.figure import period_limits, row_ticks, short_names
from reports.figures.network import network
from reports.figures.style import styled
from reports.text.content import content
from study.data.sources import Images
from study.measurements import measure
from study.measurements.recording import Recording
from study.networks.network import RecurrentNetwork
from study.record.network_record import RECORD_VERSION, write_measurements

CHOSEN = ("surface", "experiments", "dimensionality", "dimensionality_null", "geometry", "probes", "probe_of_pixels")
CHOSEN += ("early_classification", "early_cluster", "spectrum", "modes", "attractors")
SHAPES = {
    "8 x 8, 10 classes": (8, 8, tuple(map(str, range(10)))),
    "40 x 5, 2 classes": (40, 5, ("left hand", "right hand")),
    "12 x 9, 26 classes with long names": (12, 9, tuple(f"a rather long name of class {chr(65 + c)}" for c in range(26))),
}


def _images(rows: int, features: int, names: tuple[str, ...], count: int, seed: int) -> Images:
    """Noise, and a pattern for each class."""
    patterns = torch.rand(len(names), rows, features, generator=torch.Generator().manual_seed(0)) < 0.4
    draw, labels = torch.Generator().manual_seed(seed), torch.arange(count) % len(names)
    noise = torch.randint(80, (count, rows, features), generator=draw)
    return Images((noise + 150 * patterns[labels]).to(torch.uint8), labels, len(names), names)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=list(SHAPES))
def study(request, tmp_path_factory) -> Analysis:
    """An untrained network of each of two sizes, measured on such data."""
    rows, features, names = request.param
    test, train = _images(rows, features, names, 156, 1), _images(rows, features, names, 312, 2)
    files, pictures, folder = {}, {}, tmp_path_factory.mktemp("records")
    for size in (6, 12):
        one = RecurrentNetwork.initial(0, size, features, len(names))
        record = measure(Recording(one, test, train, blank_rows=120), CHOSEN)
        files[size, 0] = folder / f"{size}.nc"
        write_measurements(record.assign_attrs(record_version=str(RECORD_VERSION)), files[size, 0])
        pictures[size] = _picture(test)
    dataset, left_out = stack(files, [6, 12], [0])
    assert not left_out
    attributes = {"missing": "{}", "study": "s", "study_name": "s", "data_digest": "0", "config": json.dumps(CONFIG)}
    dataset = dataset.assign(run_id=(("hidden_size", "seed"), np.array([["a"], ["b"]]))).assign_attrs(attributes)
    return Analysis(dataset, evaluate(dataset), pictures, {})


def _picture(test: Images) -> xr.Dataset:
    """A place in the plane for each image at all steps, near those of its class."""
    rng, steps = np.random.default_rng(0), np.arange(1, 1 + test.shape.rows)
    centres, labels = rng.normal(size=(test.classes, 2)), test.labels.numpy()
    points = centres[labels] + 0.1 * rng.normal(size=(len(steps), len(test), 2))
    shares = {name: ("time_step", np.full(len(steps), 0.5)) for name in ("agreement_states", "agreement_plane", "neighbours_kept")}
    coordinates = {"time_step": steps, "label": ("image", labels)}
    return xr.Dataset({"points": (("time_step", "image", "axis"), points)} | shares, coordinates, {"method": "tsne", "seed": 0})


CONFIG = {
    "cell": "tanh",
    "dataset": "mnist",
    "train_images": 312,
    "epochs": 1,
    "learning_rate": 1e-3,
    "batch_size": 20,
    "precision": "fp32",
    "blank_rows": 120,
}


def _texts(drawing: Drawing) -> list[tuple[Text, np.ndarray]]:
    """All texts that are drawn, with their corners in pixels."""
    canvas = FigureCanvasAgg(drawing)
    with styled():
        canvas.draw()
    found = [text for text in drawing.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent(canvas.get_renderer()).get_points()) for text in found]


def _assert_legible(drawing: Drawing, name: str) -> None:
    extents = {id(text): corners for text, corners in _texts(drawing)}
    width, height = drawing.bbox.size
    for axes in drawing.axes:
        ticks = {0: axes.get_xticklabels(), 1: axes.get_yticklabels()}
        for direction, labels in ticks.items():
            limits = sorted((axes.get_xlim(), axes.get_ylim())[direction])
            shown = [
                extents[id(label)]
                for label in labels
                if id(label) in extents and axes.get_visible() and limits[0] <= label.get_position()[direction] <= limits[1]
            ]
            for corners in shown:
                assert corners.min() >= -2 and (corners[1] <= (width + 2, height + 2)).all(), f"{name}: a tick is cut"
            ordered = sorted(shown, key=lambda corners: corners[0][direction])
            for one, other in pairwise(ordered):
                assert one[1][direction] <= other[0][direction] + 1, f"{name}: ticks overlap"
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            if id(text) in extents and axes.get_visible():
                corners = extents[id(text)]
                assert corners.min() >= -2 and (corners[1] <= (width + 2, height + 2)).all(), f"{name}: {text.get_text()} is cut"
    for legend in drawing.legends:
        box = legend.get_window_extent().get_points()
        assert box.min() >= -2 and (box[1] <= (width + 2, height + 2)).all(), f"{name}: the legend is cut"


@pytest.mark.slow
def test_nothing_is_cut_and_no_tick_hides_another(study):
    figures = drawn(study)
    expected = {"truncation", "surface", "predicted", "dimensionality", "geometry", "embedding", "decoding", "networks"}
    assert expected <= set(figures)
    for name, figure in figures.items():
        _assert_legible(figure.drawing, name)
    _assert_legible(network(study.dataset.sel(hidden_size=12, seed=0)), "network")


def test_the_first_page_and_the_methods_name_the_data(study):
    told, dataset = content(study, {}), study.dataset
    rows, classes = dataset.sizes["time_step"], dataset.sizes["label"]
    for text in (told["answer"], " ".join(told["methods"])):
        assert f"({rows} rows of {dataset.attrs['features']} pixels; {classes} classes" in text
    assert "with one layer of tanh units without bias" in told["answer"]
    assert "C1 is not applicable because no accuracy was asked for (--accuracy)" in told["answer"]
    if classes == 2:
        assert "2 classes: left hand, right hand)" in told["answer"]
    if classes == 26:
        assert "long name" not in told["answer"] and "long name of class Z" in told["methods"][0]


def test_names_of_classes_that_begin_alike_are_numbered():
    def named(*names: str) -> tuple[str, ...]:
        return short_names(xr.Dataset(coords={"label": range(len(names))}, attrs={"class_names": json.dumps(names)}))

    assert named("bag", "ankle boot") == ("bag", "ankle boot")
    assert named("bag", "a boot up to the ankle") == ("bag", "a boot up to…")
    assert named("a boot up to the ankle", "a boot up to the knee") == ("0", "1")
    assert named("\u304a", "b") == ("[U+304A]", "b")


def test_confidences_at_one_place_share_a_label_that_is_inside_the_panel():
    given = {"confidence": [50, 80, 99, 100]}
    curves = ([1.0, 24, 24.5, 30], [50.0, 99.9, 100, 100])
    read, right = (xr.DataArray(values, coords=given, dims="confidence") for values in curves)
    with styled():
        drawing = Drawing(figsize=(3, 2.4))
        axes = drawing.subplots()
        confidence_curve(axes, read, right)
        renderer = FigureCanvasAgg(drawing).get_renderer()
        drawing.draw(renderer)
    assert [text.get_text() for text in axes.texts] == ["50%", "80%, 99%"]
    assert all(axes.bbox.y0 < text.get_window_extent(renderer).y0 for text in axes.texts)


@pytest.mark.parametrize(("rows", "limits"), [(2, (2, 100)), (8, (2, 100)), (14, (4, 100)), (28, (4, 100)), (200, (4, 400))])
def test_periods_of_one_to_three_in_an_image_are_shown(rows, limits):
    assert period_limits(rows) == limits


def test_ticks_of_rows_are_rows():
    assert row_ticks(8) == [1, 2, 4, 6, 8]
    assert row_ticks(2) == [1, 2]
    assert row_ticks(40, 39) == [1, 10, 20, 30, 39]
