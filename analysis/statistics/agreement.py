"""Do the leading eigenvalue at rest, the state and the accuracy have the same period?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from analysis.statistics.intervals import Estimate, mean_interval, share_interval

TOLERANCE = 0.1  # relative: periods that differ by less agree


@dataclass(frozen=True)
class PeriodAgreement:
    """How well predicted periods agree with measured ones, over networks.

    Attributes: `share`, the share of networks in which the measured period is the predicted one or its half, within `TOLERANCE`;
    `half`, the share of networks in which it agrees with the half; `turn`, the mean difference between the measured and the
    predicted angle per row, in radians; `n`, the number of networks that have both periods.
    """

    share: Estimate
    half: Estimate
    turn: Estimate
    n: int


def of_odd_map(predicted: xr.DataArray) -> bool:
    """Whether the predicted periods belong to an odd blank map, as records say; older records do not say it, and all were odd."""
    return str(predicted.attrs.get("odd", 1)) != "0"


def period_agreement(predicted: np.ndarray, measured: np.ndarray, level: float = 0.95, odd: bool = True) -> PeriodAgreement:
    """Compares periods `[n]` in rows, NaN where there is none.

    Where the map is `odd`, as h -> tanh(R h) is, an orbit may be its own mirror image, h(t + T/2) = -h(t). It then passes the same
    distances twice in a period, so that anything even in h, and much of an accuracy, has half the period of the state. A measured
    period is therefore compared with the predicted one or its half, whichever is nearer on a logarithmic scale. `turn` is the
    difference between angles per row, taken on the circle.
    """
    both = np.isfinite(predicted) & np.isfinite(measured)
    predicted, measured = np.asarray(predicted, dtype=float)[both], np.asarray(measured, dtype=float)[both]
    # Time is discrete: half a period of less than two rows appears as its longer alias.
    twice = 2 / predicted % 1
    half = 1 / np.maximum(np.minimum(twice, 1 - twice), 1e-12)
    halves = odd & (np.abs(np.log(measured / half)) < np.abs(np.log(measured / predicted)))
    reference = np.where(halves, half, predicted)
    agrees = np.abs(measured / reference - 1) <= TOLERANCE
    angle = np.angle(np.exp(2j * np.pi * (1 / measured - 1 / reference)))
    count = int(both.sum())
    share, half = (share_interval(int(np.sum(which)), count, level) for which in (agrees, agrees & halves))
    return PeriodAgreement(share, half, mean_interval(angle, level), count)
