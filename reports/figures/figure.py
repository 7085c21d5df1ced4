"""A figure together with what a reader needs in order to trust it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Drawing
from matplotlib.image import AxesImage
from matplotlib.ticker import NullFormatter

from analysis.claims.findings import CurveBands, step_curves
from analysis.claims.sample import present
from analysis.dataset import provenance
from analysis.study_analysis import Analysis
from reports.figures.glyphs import shown
from reports.figures.style import BY_SIZE, GREY, panels, styled
from study.files import durable
from study.schema import SOURCES, by_source, class_names

# File endings, and the metadata left out of each because it differs from one writing to the next.
FORMATS = {".svg": {"Date": None}, ".png": {"Software": None}, ".pdf": {"CreationDate": None}}
PERIODS = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # ticks of an axis of periods, in rows
SHORTEST, LONGEST = 4, 100  # rows, of the periods shown, where a third of the image and twice the image lie between them
TALLEST = 8.3  # inches: what heading and caption leave of a page
TIME = "time step (rows read)"  # the x axis of most curves


@dataclass(frozen=True)
class Figure:
    """A drawing, its `caption` (n, hidden sizes, band and level), its `description` (the alternative text), and the `numbers`
    behind it."""

    name: str
    drawing: Drawing
    caption: str
    description: str
    numbers: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Writes `name.svg`, byte for byte the same for the same data, `name.png` for previews, and `name.csv`."""
        self.draw(folder / f"{self.name}.svg")
        self.draw(folder / f"{self.name}.png")
        self.numbers.to_csv(folder / f"{self.name}.csv", index=False)

    def draw(self, file: Path) -> None:
        """Writes the drawing alone, in the format of the file's ending (`FORMATS`)."""
        ending, drawn = file.suffix.lower(), BytesIO()
        with styled():
            self.drawing.savefig(drawn, format=ending[1:], dpi=200, metadata=FORMATS[ending])
        durable.write(file, drawn.getvalue())


def row_ticks(rows: int, last: int | None = None) -> list[int]:
    """Ticks for an axis of image rows: the first row, the quarters, and the `last` row drawn (by default the last of all)."""
    last = rows if last is None else last
    return sorted({1, last, *(tick for quarter in (1, 2, 3) if 1 < (tick := round(quarter * rows / 4)) < last)})


MOST_LABELS = 12  # names of classes along an axis
LONGEST_LABEL = 14  # characters of one


def label_ticks(axes: Axes, dataset: xr.Dataset) -> None:
    """Names the classes of a study's data, or of a network's record, along the y axis; of many, every second, third and so on."""
    names = short_names(dataset)
    places = range(0, len(names), -(-len(names) // MOST_LABELS))
    axes.set_yticks(places, [names[place] for place in places])


def short_names(dataset: xr.Dataset) -> tuple[str, ...]:
    """The names of the classes as far as there is room for them on an axis; their numbers, where long names begin alike."""
    names = names_of_classes(dataset)
    cut = tuple(name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1].rstrip()}…" for name in names)
    return cut if len(set(cut)) == len(cut) else tuple(map(str, range(len(names))))


def names_of_classes(dataset: xr.Dataset) -> tuple[str, ...]:
    """The names of the classes of a study's data, or of a network's record, so that they can be drawn."""
    return tuple(shown(name) for name in class_names(dataset.attrs, dataset.sizes["label"]))


def period_limits(rows: int) -> tuple[int, int]:
    """The shortest and the longest period shown, in rows, for images of so many rows: what lies beyond is drawn at the edge."""
    return SHORTEST if rows > 3 * SHORTEST else 2, LONGEST if rows <= 0.6 * LONGEST else 2 * rows


def period_ticks(axis: Axis, limits: tuple[float, float]) -> None:
    """Ticks of a logarithmic axis of periods between two limits."""
    shortest, longest = limits
    plain_ticks(axis, [tick for tick in PERIODS if shortest <= tick <= longest])


def image_rows(dataset: xr.Dataset) -> int:
    """The number of rows of an image, from a study's dataset or a network's record."""
    return dataset.sizes["time_step"]


def first_states_equal(dataset: xr.Dataset) -> bool:
    """Whether at step 1 the states of all images are equal in every network: row 1 then carries no information."""
    first = dataset.pca90.sel(time_step=1)
    return bool((first.isnull() | (first == 0)).all())


def chance(dataset: xr.Dataset) -> float:
    """The accuracy of guessing, in percent."""
    return 100 / dataset.sizes["label"]


def sizes(analysis: Analysis) -> list[int]:
    """The hidden sizes that have networks."""
    return [int(h) for h in analysis.dataset.hidden_size.values if present(analysis.dataset, int(h)).sizes["seed"]]


def sizes_in_colour(analysis: Analysis) -> Iterator[tuple[int, str, str]]:
    """The hidden sizes that have networks, each with its colour and marker."""
    for size, (colour, marker) in zip(sizes(analysis), cycle(BY_SIZE), strict=False):
        yield size, colour, marker


def counts(analysis: Analysis) -> str:
    """The number of networks per hidden size, for captions, with a remark if they were not all made alike."""
    alike = "" if not provenance.mixed(analysis.dataset) else " (not all made by the same versions on the same kind of device)"
    return ", ".join(f"{present(analysis.dataset, h).sizes['seed']} at H = {h}" for h in sizes(analysis)) + alike


@dataclass(frozen=True)
class Curve:
    """How a variable of the dataset, of one source, is drawn; it is averaged over classes and groups."""

    variable: str
    label: str
    colour: str
    style: str | tuple
    source: str = SOURCES[0]

    def of(self, networks: xr.Dataset) -> xr.DataArray:
        """The curves over (`seed`, step) of the networks of one hidden size."""
        return step_curves(networks[self.variable], self.source)


@dataclass(frozen=True)
class Row:
    """A row of panels with one label `y`, a `scale` that values are multiplied by, the upper limit `top` (None: fitted), the height
    of a `reference` line, and the `curves`; curves that were not measured are left out."""

    y: str
    curves: Sequence[Curve]
    scale: float = 1.0
    top: float | None = None
    reference: float | None = None


def _measured(analysis: Analysis, curves: Iterable[Curve]) -> list[Curve]:
    dataset = analysis.dataset
    return [curve for curve in curves if curve.variable in dataset and curve.source in dict(by_source(dataset[curve.variable]))]


def curve_figure(
    analysis: Analysis,
    name: str,
    rows: Sequence[Row],
    caption: str,
    description: str,
    x: tuple[str, Sequence[int]] | None = None,
    height: float = 2.5,
) -> Figure:
    """Curves and their bands against `x` (axis label and ticks; by default the time step): one column of panels per hidden size.

    The number of networks and an explanation of the bands are added to the caption.
    """
    with styled():
        drawing = _curve_panels(analysis, rows, x or (TIME, row_ticks(image_rows(analysis.dataset))), height)
    numbers = curve_numbers(analysis, [curve for row in rows for curve in _measured(analysis, row.curves)])
    return Figure(name, drawing, f"{caption} Networks: {counts(analysis)}. {band_words(analysis)}", description, numbers)


def _curve_panels(analysis: Analysis, rows: Sequence[Row], x: tuple[str, Sequence[int]], height: float) -> Drawing:
    """All panels of a row show the same curves; all panels of a column share their x axis."""
    shown = sizes(analysis)
    figure, grid = panels(len(shown), len(rows), height=height, sharey="row", sharex=True)
    for row, line in zip(rows, grid, strict=True):
        for axes, size in zip(line, shown, strict=True):
            sample = present(analysis.dataset, size)
            for curve in _measured(analysis, row.curves):
                values = curve.of(sample)
                draw_curves(
                    axes,
                    values[values.dims[1]].values,
                    values.values,
                    analysis.findings.band(curve.variable, size, curve.source),
                    curve.colour,
                    curve.style,
                    curve.label,
                    row.scale,
                )
            if row.reference is not None:
                reference(axes, row.reference)
        line[0].set_ylabel(row.y)
        line[0].set_ylim(0, row.top)  # the panels of a row share their axis
    for axes, size in zip(grid[0], shown, strict=True):
        axes.set_title(f"H = {size}")
    for axes in grid[-1]:
        axes.set(xlabel=x[0], xticks=x[1])
    handles = {label: handle for line in grid for handle, label in zip(*line[0].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles) if len(handles) < 5 else 3)
    return figure


def draw_curves(
    axes: Axes,
    steps: np.ndarray,
    curves: np.ndarray,
    band: CurveBands | None,
    colour: str,
    style: str | tuple,
    label: str,
    scale: float = 1.0,
) -> None:
    """Every network as a thin line, and the mean with its band; the mean alone where the band is withheld."""
    axes.plot(steps, scale * curves.T, color=colour, linewidth=0.4, alpha=0.35, linestyle=style)
    if band is None:
        axes.plot(steps, scale * curves.mean(axis=0), color=colour, linestyle=style, label=label)
        return
    axes.fill_between(band.steps, scale * band.band.lower, scale * band.band.upper, color=colour, alpha=0.25, linewidth=0)
    axes.plot(band.steps, scale * band.band.mean, color=colour, linestyle=style, label=label)


def band_words(analysis: Analysis) -> str:
    """What the shaded bands are, and which hidden sizes have none."""
    bands = analysis.findings.bands
    words = ["Thin lines: single networks."]
    if bands:
        words.append(
            f"Thick lines and shading: mean and its simultaneous {bands[0].band.level:.0%} confidence band "
            "(sup-t over the whole curve, networks as the unit). It has no width where all networks agree."
        )
    if withheld := [f"H = {h}" for h, n in analysis.findings.withheld.items() if n]:
        words.append(f"No band at {', '.join(withheld)}: fewer than 6 networks; the thick line is their mean.")
    return " ".join(words)


def curve_numbers(analysis: Analysis, drawn: Iterable[Curve]) -> pd.DataFrame:
    """The mean and band of curves as a long table: one row per hidden size, curve and step."""
    frames = []
    for size in sizes(analysis):
        sample = present(analysis.dataset, size)
        for curve in drawn:
            banded = analysis.findings.band(curve.variable, size, curve.source)
            curves = curve.of(sample)
            dimension = str(curves.dims[1])
            steps = banded.steps if banded else curves[dimension].values
            frames.append(
                pd.DataFrame(
                    {
                        "hidden_size": size,
                        "variable": curve.variable,
                        "source": curve.source,
                        "step_name": dimension,
                        "step": steps,
                        "n": banded.band.n if banded else int(curves.notnull().any(dimension).sum()),
                        "mean": banded.band.mean if banded else curves.mean("seed").values,
                        "lower": banded.band.lower if banded else np.nan,
                        "upper": banded.band.upper if banded else np.nan,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def heat(axes: Axes, shares: xr.DataArray, first: tuple[float, float], upside_down: bool = False, **options) -> AxesImage:
    """A heat map of shares over (y, x), in percent; cells are centred on whole numbers, starting at `first` (y, x)."""
    (y, x), (rows, columns) = first, shares.shape
    extent = (x - 0.5, x + columns - 0.5, *((y + rows - 0.5, y - 0.5) if upside_down else (y - 0.5, y + rows - 0.5)))
    return axes.imshow(
        100 * shares.values,
        origin="upper" if upside_down else "lower",
        aspect="auto",
        interpolation="nearest",
        cmap="cividis",
        vmin=0,
        extent=extent,
        **options,
    )


def reference(axes: Axes, value: float) -> None:
    """A thin grey line to read a curve against."""
    axes.axhline(value, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)


def plain_ticks(axis: Axis, ticks: Sequence[int]) -> None:
    """Ticks of a logarithmic axis, in plain numbers."""
    axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())
