"""The attractors of a network's blank map that test images reach, and what they reveal about the class.

Everything is computed in float64, on whole states. If the map is odd, an attractor and its mirror image count as two, unless they
are the same set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.fft import irfft, rfft, rfftfreq

from study.measurements import lyapunov
from study.measurements.lyapunov import LyapunovExponents
from study.measurements.recording import Recording
from study.networks.cells.cell import BlankMap
from study.schema import labelled

IMAGES = 300  # the first test images
STATE_TRANSIENT = 2000  # blank rows after which an orbit counts as being on its attractor
WINDOW = 1000  # blank rows over which attractors are compared and periods measured
SAME_ATTRACTOR = 0.05  # of the root mean square state: two orbits whose averages differ by less are on the same attractor
NO_DISTANCE = 1e-6  # of the root mean square state: a smaller distance counts as 0
AT_ZERO = 1e-6  # root mean square state below which an orbit is at 0, or approaching it
EXPONENTS = 20  # the largest
LYAPUNOV_STEPS = 10_000
LEAST_GROWTH = 1e-3  # nat per row: a leading exponent above it, and above three standard errors, is chaos; smaller: 0
NOWHERE = -1  # the number of no attractor
PART = WINDOW // 10  # blank rows at the beginning and at the end of the window, of which the sizes of states are compared
GROWN = 2  # times as large at the end as at the beginning: the state grows without bound
KINDS = ("fixed_point", "cycle", "closed_curve", "chaos", "unresolved", "torus", "diverging")  # by index: new ones at the end


@dataclass(frozen=True)
class Orbits:
    """Test images after `STATE_TRANSIENT` blank rows.

    Attributes: their `states` `[n, D]`, `labels` `[n]` and the `attractor` each is on, numbered from the one that most reach, and
    `NOWHERE` where the state grows without bound; `main`, the orbit `[WINDOW, D]` that follows, of one image on number 0, empty
    where there is none.
    """

    states: np.ndarray
    labels: np.ndarray
    attractor: np.ndarray
    main: np.ndarray


def attractors(recording: Recording) -> Iterator[xr.DataArray]:
    """Yields, of the attractor that most of the first test images reach:

    `attractor_kind`, an index into `KINDS`, and its evidence: `lyapunov` over `exponent` with `lyapunov_error`, the standard error,
    and `lyapunov_by_separation`, the leading one from two orbits; `attractor_motion`, how far the state moves in a row, and
    `attractor_recurrence`, how close it comes back, both in units of its root mean square; `period_state`, that of the strongest
    oscillation of the state, and `period_recurrence`, the rows after which it comes closest to where it was.

    Of cells whose states are not bounded, `diverging`: the share of images whose state grows without bound. If that is the fate of
    more images than reach any attractor, `attractor_kind` says so, and the rest of the evidence is missing.

    Of all: `attractors`, their number; `attractor_share`, the share of images on the first; `basin_tells_label`, the adjusted
    mutual information of attractor and class; `phase_tells_label`, the share of the variance of the phase on the first attractor
    that the class explains, less what it would by chance (epsilon squared).
    """
    from sklearn.metrics import adjusted_mutual_info_score

    cell, orbits = recording.network.cell, recording.cached(followed)
    step, main = cell.blank_map(recording.network.parameters), orbits.main
    first, diverging = orbits.attractor == 0, float(np.mean(orbits.attractor == NOWHERE))
    followed_on = first.mean() >= diverging and first.any()
    size = _size(main) if followed_on else np.nan
    unknown = np.full(min(EXPONENTS, orbits.states.shape[1]), np.nan)
    growth, separation = LyapunovExponents(unknown, unknown), np.nan
    kind, motion, lag, closeness, period, phase = "diverging", np.nan, np.nan, np.nan, np.nan, np.zeros((0, 2))
    if followed_on:
        motion = float(np.linalg.norm(np.diff(main, axis=0), axis=1).max()) / size if size >= AT_ZERO else 0.0
        lag, closeness = recurrence(main)
        if cell.smooth_at_rest or size >= AT_ZERO:
            growth = lyapunov.exponents(step.tangent, main[-1], len(unknown), LYAPUNOV_STEPS)
            if step.exact:  # a shorter precision rounds the separation away
                separation = lyapunov.leading_by_separation(step, main[-1], LYAPUNOV_STEPS)
        kind = attractor_kind(motion, closeness, growth.exponents, growth.error)
        period = strongest_period(main) if motion > NO_DISTANCE else np.nan
        phase = _phases(step, orbits.states[first], main, period)
    grows = None if cell.bounded else "the state grows without bound"
    kink = None if cell.smooth_at_rest else "the state rests where the map has no derivative"
    coarse = None if step.exact else "the network does not compute in float64"
    still, no_slope, no_two_orbits = (
        "; or ".join(filter(None, reasons)) or None
        for reasons in (("the state stands still", grows), (kink, grows), (kink, grows, coarse))
    )
    exponents = {"exponent": np.arange(1, len(unknown) + 1)}
    yield labelled(
        "attractor_kind",
        KINDS.index(kind),
        {},
        "kind of the attractor most images reach",
        role="category",
        metric="attractor/kind",
        flag_values=np.arange(len(KINDS)),
        flag_meanings=" ".join(KINDS),
    )
    yield labelled(
        "attractor_motion", motion, {}, "longest step of the state in one row, in units of its root mean square", missing=grows
    )
    yield labelled(
        "attractor_recurrence", closeness, {}, "distance after the best recurrence, in units of the root mean square", missing=grows
    )
    yield labelled(
        "lyapunov",
        growth.exponents,
        exponents,
        "Lyapunov exponents",
        units="nat/row",
        role="curve",
        metric="attractor/lyapunov",
        missing=no_slope,
    )
    yield labelled(
        "lyapunov_error", growth.error, exponents, "standard errors of the Lyapunov exponents", units="nat/row", missing=no_slope
    )
    yield labelled(
        "lyapunov_by_separation",
        separation,
        {},
        "largest Lyapunov exponent, from two orbits",
        units="nat/row",
        missing=no_two_orbits,
    )
    if not cell.bounded:
        yield labelled(
            "diverging",
            diverging,
            {},
            "share of images whose state grows without bound under blank rows",
            role="number",
            metric="attractor/diverging",
            share=True,
        )
    yield labelled(
        "period_state",
        period,
        {},
        "period of the state's strongest oscillation",
        units="rows",
        role="number",
        missing=f"{still}, or comes round less than three times in {WINDOW} rows",
    )
    yield labelled(
        "period_recurrence",
        float(lag) if motion > NO_DISTANCE else np.nan,
        {},
        "rows after which the state comes closest to where it was",
        units="rows",
        missing=still,
    )
    yield labelled(
        "attractors",
        len(np.unique(orbits.attractor[orbits.attractor != NOWHERE])),
        {},
        "distinct attractors that test images reach",
        role="number",
        metric="attractor/number",
        images=len(orbits.labels),
    )
    yield labelled("attractor_share", float(first.mean()), {}, "share of images on the most frequented attractor")
    yield labelled(
        "basin_tells_label",
        float(adjusted_mutual_info_score(orbits.labels, orbits.attractor)),
        {},
        "adjusted mutual information of attractor and class",
        role="number",
        metric="attractor/basin_tells_label",
    )
    yield labelled(
        "phase_tells_label",
        explained(phase, orbits.labels[first]),
        {},
        "share of the variance of the phase on the attractor that the class explains, less chance",
        role="number",
        metric="attractor/phase_tells_label",
        missing="no image on the attractor has a phase, or no class has two",
    )


def followed(recording: Recording) -> Orbits:
    """The orbits of a recording's first test images; ask for them with `Recording.cached`."""
    images = min(IMAGES, len(recording.test))
    step = recording.network.cell.blank_map(recording.network.parameters)
    state = recording.states[-1, :images].double().cpu().numpy()
    sizes = []  # of each image's state, up to the end of the first part of the window and to the beginning of the last
    with np.errstate(all="ignore"):  # a state that is not bounded may overflow
        for _ in range(STATE_TRANSIENT):
            state = step(state)
        start, mean, square = state, np.zeros_like(state), np.zeros_like(state)
        for row in range(WINDOW):
            state = step(state)
            mean += state
            square += state * state
            if row in (PART - 1, WINDOW - PART - 1):
                sizes.append(square.sum(axis=1))
        early, late = sizes[0], square.sum(axis=1) - sizes[1]
        grows = late > GROWN**2 * np.maximum(early, PART * AT_ZERO**2)
    stays = np.isfinite(late) & (recording.network.cell.bounded | ~grows)
    mean, square = mean[stays] / WINDOW, square[stays] / WINDOW
    attractor = np.full(images, NOWHERE)
    attractor[stays] = distinct(np.hstack([mean, np.sqrt(square)]), _size(np.sqrt(square)))
    main = [start[attractor == 0][:1]]
    while len(main) < WINDOW and len(main[0]):
        main.append(step(main[-1]))
    return Orbits(start, recording.test.labels[:images].cpu().numpy(), attractor, np.concatenate(main))


def distinct(signatures: np.ndarray, size: float) -> np.ndarray:
    """Numbers orbits by their time averages `[n, 2 D]`, from 0 for the attractor that most are on; `[n]`.

    Those within `SAME_ATTRACTOR` of the `size` of states are on one attractor.
    """
    if size < AT_ZERO or len(signatures) < 2:
        return np.zeros(len(signatures), dtype=int)
    from scipy.cluster.hierarchy import fcluster, linkage  # half a second, with scikit-learn, of every command otherwise

    cluster = fcluster(linkage(signatures, "single"), SAME_ATTRACTOR * size, "distance")
    names, members = np.unique(cluster, return_counts=True)
    order = names[np.argsort(-members, kind="stable")]
    return np.argmax(cluster[:, None] == order, axis=1)


def recurrence(orbit: np.ndarray) -> tuple[int, float]:
    """The lag, up to half of an orbit `[W, H]`, after which the state is closest to where it was, and how close it comes.

    Of lags that bring it equally close, to within `NO_DISTANCE`, it is the shortest. The distance is the root mean square one, in
    units of the state's root mean square. (1, 0) for a state at 0.
    """
    size = _size(orbit)
    if size < AT_ZERO:
        return 1, 0.0
    length = len(orbit)
    # |h(t + k) - h(t)|^2 summed over t, for all k at once, from the autocorrelation.
    energy = np.sum(orbit**2, axis=1)
    spectrum = rfft(orbit, 2 * length, axis=0)
    product = irfft(np.sum(np.abs(spectrum) ** 2, axis=1), 2 * length)[: length // 2 + 1]
    partial = np.concatenate([[0], np.cumsum(energy)])
    lags = np.arange(1, length // 2 + 1)
    squares = (partial[length - lags] + partial[length] - partial[lags] - 2 * product[1:]) / (length - lags)
    near = int(lags[np.argmax(squares <= squares.min() + (NO_DISTANCE * size) ** 2)])
    # Near a recurrence the autocorrelation has lost its digits: the distance itself is taken from the states.
    return near, float(np.sqrt(np.mean(np.sum((orbit[near:] - orbit[:-near]) ** 2, axis=1))) / size)


def strongest_period(orbit: np.ndarray) -> float:
    """The period, in rows, at the largest peak of the power of all units of an orbit `[W, H]` together; NaN where it is
    constant, or does not complete three cycles.

    The series are tapered (Hann) and padded four times, and the peak is placed by the parabola through its logarithm.
    """
    centred = (orbit - orbit.mean(axis=0)) * np.hanning(len(orbit))[:, None]
    power = np.sum(np.abs(rfft(centred, 4 * len(orbit), axis=0)) ** 2, axis=1)
    frequencies = rfftfreq(4 * len(orbit))
    lowest = 12  # of the padded frequencies: three cycles in the window
    peak = lowest + int(np.argmax(power[lowest:]))
    if power[peak] <= 0 or power[peak - 1] > power[peak]:  # not a peak, but the flank of an oscillation too slow to resolve
        return float("nan")
    if peak + 1 == len(power):
        return float(1 / frequencies[peak])
    left, centre, right = np.log(np.maximum(power[peak - 1 : peak + 2], 1e-300))
    curvature = left - 2 * centre + right
    shift = float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0
    return float(1 / (frequencies[peak] + shift * frequencies[1]))


def attractor_kind(motion: float, recurrence: float, exponents: np.ndarray, error: np.ndarray) -> str:
    """One of `KINDS`: a constant state; a state that recurs exactly; a closed curve (one exponent 0, the next one negative); a
    torus (two exponents 0, the third negative); or chaos (neighbouring orbits diverge)."""
    leading, room = exponents[0], max(LEAST_GROWTH, 3 * error[0])
    contracting = exponents < -np.maximum(LEAST_GROWTH / 10, 3 * error)
    if motion <= NO_DISTANCE:
        return "fixed_point"
    if recurrence <= NO_DISTANCE:
        return "cycle"
    if leading > room:
        return "chaos"
    if abs(leading) <= LEAST_GROWTH and contracting[1:2].all():
        return "closed_curve"
    if (np.abs(exponents[:2]) <= LEAST_GROWTH).all() and contracting[2:3].any():
        return "torus"
    return "unresolved"


def _phases(step: BlankMap, states: np.ndarray, main: np.ndarray, period: float) -> np.ndarray:
    """Each orbit's phase at the period, in the leading principal direction of the attractor's orbit, as `[n, 2]` (cos, sin)."""
    if not np.isfinite(period):
        return np.zeros((0, 2))
    centre = main.mean(axis=0)
    direction = np.linalg.svd(main - centre, full_matrices=False)[2][0]
    cycles = max(1, round(200 / period))
    total = np.zeros(len(states), dtype=complex)
    for row in range(round(cycles * period)):
        total += (states - centre) @ direction * np.exp(-2j * np.pi * row / period)
        states = step(states)
    moving = np.abs(total) > 0
    phase = np.angle(total)
    return np.stack([np.cos(phase), np.sin(phase)], axis=1) * moving[:, None]


def explained(phase: np.ndarray, labels: np.ndarray) -> float:
    """The share of the variance of phases `[n, 2]` between classes, less chance: 1 - (within / (n - K)) / (total / (n - 1)); NaN
    where there is no variance or no class twice."""
    names, index = np.unique(labels[: len(phase)], return_inverse=True)
    count = len(phase)
    if count <= len(names):
        return float("nan")
    total = np.sum((phase - phase.mean(axis=0)) ** 2)
    means = np.stack([phase[index == k].mean(axis=0) for k in range(len(names))])
    within = np.sum((phase - means[index]) ** 2)
    return float(1 - (within / (count - len(names))) / (total / (count - 1))) if total > 1e-12 * count else float("nan")


def _size(states: np.ndarray) -> float:
    """The root mean square norm of states `[n, H]`, 0 where there are none."""
    return 0.0 if not len(states) else float(np.sqrt(np.mean(np.sum(states**2, axis=1))))
