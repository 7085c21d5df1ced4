"""The common style of all figures: font sizes as printed, colours safe for colour-blind readers, line styles for greyscale."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

FONTS = Path(__file__).parents[1] / "fonts"  # Source Sans Pro (Hunt 2012; SIL Open Font License), the same on every machine
WIDTH = 6.5  # inches: the text width of the A4 report, so that font sizes are those in print

# Okabe & Ito (2008); two conditions that are compared always differ in line style, too.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
GREY, INK = "#8A8A8A", "#222222"

# Ten colours for classes, ordered so that consecutive ones differ in lightness; the class is printed as well.
CLASSES = ("#332288", "#88CCEE", "#117733", "#DDCC77", "#882255", "#44AA99", "#CC6677", "#999933", "#AA4499", "#BBBBBB")
BY_SIZE = ((BLUE, "o"), (VERMILION, "^"), (GREEN, "s"), (PURPLE, "D"), (ORANGE, "v"), (SKY, "P"))  # by hidden size, in turn


def colours(count: int) -> list[str]:
    """One colour per class: `CLASSES`, or a scale from dark to light where there are more classes."""
    if count <= len(CLASSES):
        return list(CLASSES[:count])
    return [to_hex(matplotlib.colormaps["viridis"](place / (count - 1))) for place in range(count)]


RC = {
    "font.family": "Source Sans Pro",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "svg.hashsalt": "hidden-orbits",
    "svg.fonttype": "path",
}


for font in sorted(FONTS.glob("*.ttf")):
    font_manager.fontManager.addfont(font)
# Matplotlib takes the first of equal fonts: the shipped one, not another version installed on this machine.
font_manager.fontManager.ttflist.sort(key=lambda entry: Path(entry.fname).parent != FONTS)

# Matplotlib's own defaults, not those of a matplotlibrc or a notebook. Figures are drawn without a backend.
DEFAULTS: dict[Any, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}


@contextmanager
def styled() -> Iterator[None]:
    """Draws in the style of the report, whatever the user's settings, and restores them afterwards."""
    settings: dict[Any, Any] = DEFAULTS | RC
    with matplotlib.rc_context(settings):
        yield


def panels(columns: int, rows: int = 1, height: float = 2.3, **options) -> tuple[Figure, list[list[Axes]]]:
    """A figure as wide as the text, `height` inches per row, and its axes by row and column."""
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options).tolist()
