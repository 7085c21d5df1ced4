"""Geometry of the hidden states: dimensionality by three measures, scatter between classes, neighbours; and the controls.

Measures that depend on the number of images use the same number for each class and for random groups of images of any class
(`by_group`). A class is compared with a group, never with all images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
import xarray as xr

from study.data.sources import Images
from study.measurements.dimensionality import components, spreads
from study.measurements.early_class import NEIGHBOUR_IMAGES, early_class
from study.measurements.neighbours import FEWEST, neighbour_agreement, two_nearest_neighbours
from study.measurements.recording import Extent, Recording
from study.networks.network import scaled
from study.networks.variance import Spread
from study.schema import labelled

IMAGES_EACH = 500  # at most, per class and per group: the cost of neighbours is quadratic
EVERY = 9  # slow measures are made at every so many blank rows, beyond the number of rows of an image

RATIO = "participation ratio of the states' covariance"
CORRECTED = f"{RATIO}, without bias in the number of images"
MEASURES = (
    ("participation_ratio", RATIO, "dimensions"),
    ("participation_ratio_corrected", CORRECTED, "dimensions"),
    ("pca90_matched", "principal components for 90% of the variance", "components"),
    ("twonn", "TwoNN intrinsic dimension", "dimensions"),
    ("twonn_dropped", "share of the images that TwoNN left out because they coincide with another", "1"),
)
WHOLE = (
    ("participation_ratio", RATIO, "dimensions"),
    ("participation_ratio_corrected", CORRECTED, "dimensions"),
    ("between_class_share", "share of the states' scatter that lies between the means of the classes", "1"),
)
APPENDED, UNDER_BLANK_ROWS = "_appended", ", under appended blank rows"
FEW = f"fewer than {FEWEST} of the images differ, too few to tell"


def geometry(recording: Recording) -> Iterator[xr.DataArray]:
    """Geometry at each time step.

    Yields over (`source`, `time_step`), of the trained network: `participation_ratio` and `participation_ratio_corrected` of all
    images, and `between_class_share`, the share of the scatter that lies between classes; the two ratios, `pca90` and `twonn` over
    `label` as well, as `..._by_label` (but `pca90_matched_by_label`, on equal image numbers), and over `group`, as `..._by_group`;
    `twonn_dropped`, the share of images TwoNN left out because they coincide. Besides, `neighbour_agreement` over (`time_step`,
    `label`), the share of an image's ten nearest neighbours that show the same class, and `early_class_agreement` over `source`,
    that of the class that separates early, in the trained and the untrained network and in the pixels.
    """
    yield from _over_time({"trained": (recording.hidden, recording.cached(spreads))}, recording.test)
    near = recording.test.first(NEIGHBOUR_IMAGES)
    agreement = np.stack([neighbour_agreement(states[: len(near)], near.labels, near.classes) for states in recording.hidden])
    yield labelled(
        "neighbour_agreement",
        agreement,
        {"time_step": recording.time_steps, "label": np.arange(near.classes)},
        "share of the ten nearest neighbours that show the same class",
        role="curve",
        metric="neighbours/agreement",
        share=True,
        images=len(near),
    )
    yield from _early(recording, near, agreement)


def _early(recording: Recording, near: Images, agreement: np.ndarray) -> Iterator[xr.DataArray]:
    """Whether a class separates early (section 4 of the paper), and whether it does so without training, or in the pixels alone.

    NaN where the data set has no such class.
    """
    named = recording.cached(early_class)
    values = dict.fromkeys([*recording.by_source, "pixels"], np.nan)
    if named.label is not None:
        rows = scaled(near.images[:, : named.step])
        others = {"pixels": rows.flatten(1)}
        if "untrained" in values:
            untrained = recording.untrained.network
            *_, state = untrained.rows(rows)
            others["untrained"] = untrained.cell.observed(state)
        values |= {source: neighbour_agreement(at, near.labels, near.classes)[named.label] for source, at in others.items()}
        values["trained"] = agreement[named.step - 1, named.label]
    yield labelled(
        "early_class_agreement",
        np.array(list(values.values())),
        {"source": list(values)},
        f"share of the ten nearest neighbours of images of the early class that are of it, at step {named.step}",
        role="number",
        metric="neighbours/early_class",
        missing=named.missing or None,
        share=True,
    )


def nulls(recording: Recording) -> Iterator[xr.DataArray]:
    """The same geometry, but for the neighbours, of the untrained network, if there is one, and of the image rows read last."""
    rows = scaled(recording.test.images).transpose(0, 1).contiguous()
    test, networks = recording.test, recording.by_source
    states = {source: (networks[source].hidden, networks[source].cached(spreads)) for source in networks if source != "trained"}
    of_rows = [Spread.of(pixels, test.labels, test.classes) for pixels in rows]
    yield from _over_time(states | {"row": (rows, of_rows)}, test)


def nulls_memory(extent: Extent) -> int:
    """Bytes of the untrained network's states."""
    return extent.states()


def appended(recording: Recording) -> Iterator[xr.DataArray]:
    """The geometry under appended blank rows (`..._appended`), rolled out in float64, since states may come very close there.

    Fast measures are made after every blank row, over `blank_rows`; slow ones after some, over `blank_rows_sampled`.
    """
    members = _members(recording.test)
    images = torch.cat(members[0])  # as many of each class
    test = Images(recording.test.images[images], recording.test.labels[images], recording.test.classes)
    members = _members(test)
    steps = np.arange(recording.blank_rows + 1)
    sampled = steps[(steps <= recording.rows) | (steps % EVERY == 0)]
    whole, parts = [], []
    state, double = recording.states[-1, images].double(), recording.network.double()
    for step, states in enumerate(chain([state], double.blank_rows(state, recording.blank_rows))):
        hidden = double.cell.observed(states)
        whole.append(_whole(Spread.of(hidden, test.labels, test.classes)))
        if step in sampled:
            parts.append(_parts(hidden, members))
    yield from _labelled_whole(np.array(whole).T, {"blank_rows": steps}, APPENDED)
    yield from _labelled_parts(_gathered(parts), {"blank_rows_sampled": sampled}, len(members[0][0]), APPENDED)


def _over_time(states: Mapping[str, tuple[torch.Tensor, Sequence[Spread]]], test: Images) -> Iterator[xr.DataArray]:
    """The geometry of the states `[T, N, H]` of each source, whose spreads of all images at each step are given."""
    members = _members(test)
    at = {"source": list(states), "time_step": np.arange(1, 1 + test.images.shape[1])}
    whole = [np.array([_whole(spread) for spread in of_all]).T for _, of_all in states.values()]
    yield from _labelled_whole(np.stack(whole, axis=1), at)
    parts = [_gathered([_parts(step, members) for step in points]) for points, _ in states.values()]
    together = [np.stack(part, axis=1) for part in zip(*parts, strict=True)]
    yield from _labelled_parts(together, at, len(members[0][0]))


def _members(test: Images) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The images of each class, and those of as many random groups: as many of each as the rarest class has, at most
    `IMAGES_EACH`."""
    of_label = [torch.nonzero(test.labels == label)[:, 0] for label in range(test.classes)]
    count = min(IMAGES_EACH, *(len(images) for images in of_label if len(images)))
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(0)).to(test.labels.device)
    return [images[:count] for images in of_label], list(order[: test.classes * count].split(count))


def _whole(spread: Spread) -> tuple[float, float, float]:
    ratio = spread.participation_ratio()
    return ratio.naive, ratio.corrected, spread.between_class_share()


def _labelled_whole(values: np.ndarray, at: Mapping[str, Any], suffix: str = "") -> Iterator[xr.DataArray]:
    """The three measures of all images, `[3, ...]`, over the dimensions `at` which they were made."""
    for array, (name, words, units) in zip(values, WHOLE, strict=True):
        yield labelled(
            f"{name}{suffix}",
            array,
            at,
            words + (UNDER_BLANK_ROWS if suffix else ""),
            units=units,
            role="curve",
            metric=f"{name}/whole{suffix}",
            share=name == "between_class_share",
        )


def _parts(states: torch.Tensor, members: tuple[list[torch.Tensor], list[torch.Tensor]]) -> list[np.ndarray]:
    """Each measure of the images of each class, and of each group: a pair of arrays `[measures, K]`."""
    return [np.array([_of_part(states[images]) for images in part]).T for part in members]


def _of_part(states: torch.Tensor) -> tuple[float, ...]:
    spread, dimension = Spread.of(states), two_nearest_neighbours(states)
    ratio = spread.participation_ratio()
    return ratio.naive, ratio.corrected, components(spread), dimension.value, dimension.dropped / max(1, len(states))


def _gathered(values: list[list[np.ndarray]]) -> list[np.ndarray]:
    """What `_parts` gives at each step, as a pair of arrays `[measures, steps, K]`."""
    return [np.stack([value[part] for value in values], axis=1) for part in range(2)]


def _labelled_parts(parts: list[np.ndarray], at: Mapping[str, Any], images: int, suffix: str = "") -> Iterator[xr.DataArray]:
    """The measures of images of one class, and of random groups of as many: a pair of arrays `[measures, ..., K]`."""
    for measured, where, of in zip(
        parts, ("label", "group"), ("images of one class", "random images, as many as of one class"), strict=True
    ):
        for (name, words, units), array in zip(MEASURES, measured, strict=True):
            yield labelled(
                f"{name}_by_{where}{suffix}",
                array,
                {**at, where: np.arange(measured.shape[-1])},
                f"{words}, {of}{UNDER_BLANK_ROWS if suffix else ''}",
                units=units,
                role="detail" if name == "twonn_dropped" else "curve",
                metric=None if name == "twonn_dropped" else f"{name}/by_{where}{suffix}",
                missing=FEW if name == "twonn" else None,
                share=name == "twonn_dropped",
                images=images,
            )
