"""How often the statistics err, by simulation: ``python -m benchmarks.error_rates [--repeats 2000] [--study ID]``.

The tests in `tests/analysis` run the same functions at fewer repeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import cache, partial

import numpy as np
from joblib import Parallel, delayed
from scipy import stats

from analysis.statistics.bands import median_band, simultaneous_band
from analysis.statistics.expansion import expansion_then_compression
from analysis.statistics.oscillation import periodicity_test
from benchmarks.machine import describe

STEPS = np.arange(28)
SHAPES = {"flat": np.zeros(28), "rising": STEPS / 2.0, "plateau": np.minimum(STEPS, 10.0)}
LENGTH = 451  # blank rows after the transient


def smooth_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian curves `[networks, points]` of mean 0 and variance 1, correlated over a seventh of their length."""
    return rng.standard_normal((networks, points)) @ _correlation_root(points)


@cache
def _correlation_root(points: int) -> np.ndarray:
    lags = np.arange(points)[:, None] - np.arange(points)
    variances, directions = np.linalg.eigh(np.exp(-0.5 * (lags / (points / 7)) ** 2))
    return (directions * np.sqrt(np.maximum(variances, 0))).T


def skewed_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Chi-squared curves of four degrees of freedom, less their mean."""
    return sum(smooth_curves(networks, points, rng) ** 2 for _ in range(4)) - 4


def lognormal_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Heavily skewed curves, of median 1."""
    return np.exp(smooth_curves(networks, points, rng))


def ceiling_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Shares near their ceiling, of the distribution Beta(8, 0.4) at each point."""
    return CEILING.ppf(stats.norm.cdf(smooth_curves(networks, points, rng)))


def heavy_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of Student's t distribution with two degrees of freedom, of median 0."""
    return smooth_curves(networks, points, rng) / np.sqrt(rng.chisquare(2, (networks, 1)) / 2)


def curves_with_outliers(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of which a tenth lie five standard deviations below the others; see `MEDIAN_WITH_OUTLIERS`."""
    return smooth_curves(networks, points, rng) - 5 * (rng.random((networks, 1)) < OUTLIERS)


def stuck_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of which 70% hardly leave 0, as networks at chance do, and the others vary about 5; see `MEDIAN_STUCK`."""
    curves = smooth_curves(networks, points, rng)
    return np.where(rng.random((networks, 1)) < STUCK, LEFT * curves, 5 + curves)


CEILING = stats.beta(8, 0.4)
OUTLIERS, STUCK, LEFT = 0.1, 0.7, 0.01
# Where the distribution of a mixture is one half; what the other part adds there is below 1e-6.
MEDIAN_WITH_OUTLIERS = float(stats.norm.ppf((0.5 - OUTLIERS) / (1 - OUTLIERS)))
MEDIAN_STUCK = float(LEFT * stats.norm.ppf(0.5 / STUCK))
MEDIANS = {
    "smooth Gaussian curves": (smooth_curves, 0.0),
    "lognormal curves": (lognormal_curves, 1.0),
    "shares near their ceiling, Beta(8, 0.4)": (ceiling_curves, float(CEILING.median())),
    "heavy tails, t with 2 degrees of freedom": (heavy_curves, 0.0),
    "a tenth of the networks are outliers": (curves_with_outliers, MEDIAN_WITH_OUTLIERS),
    "70% of the networks are stuck": (stuck_curves, MEDIAN_STUCK),
}


def covered(draw: Callable[[np.random.Generator], np.ndarray], truth: np.ndarray | float, method: str, seed: int) -> bool:
    """Whether the band of one simulated study, for the mean or by `method` ``median``, holds the whole of the true curve."""
    rng = np.random.default_rng(seed)
    curves = draw(rng)
    band = median_band(curves, rng=rng) if method == "median" else simultaneous_band(curves, method=method, rng=rng)
    rounding = 1e-12  # points where all networks agree have no width
    return bool(((band.lower - rounding <= truth) & (truth <= band.upper + rounding)).all())


def red_noise(phi: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of unit variance."""
    series = rng.standard_normal(LENGTH)
    series[1:] *= np.sqrt(1 - phi**2)
    for t in range(1, LENGTH):
        series[t] += phi * series[t - 1]
    return series


def called_periodic(phi: float, period: float | None, seed: int) -> bool:
    """Whether a series of red noise, with a sinusoid of half its root mean square where a period is given, is called periodic."""
    rng = np.random.default_rng(seed)
    series = red_noise(phi, rng)
    if period:
        series = series + 0.5 * np.sqrt(2) * np.sin(2 * np.pi * np.arange(LENGTH) / period + rng.uniform(0, 2 * np.pi))
    return periodicity_test(series, rng).p <= 0.05


def called_peaked(shape: np.ndarray, networks: int, seed: int) -> bool:
    """Whether curves of a shape without a peak are said to expand and then shrink."""
    rng = np.random.default_rng(seed)
    return expansion_then_compression(shape + rng.standard_normal((networks, len(shape))), rng=rng).p <= 0.05


def rate(repeats: int, function: Callable[..., bool], *arguments: object) -> float:
    """The share of simulated studies of which a function is true."""
    return float(np.mean(Parallel(n_jobs=-1)(delayed(function)(*arguments, seed) for seed in range(repeats))))


def from_a_study(curves: np.ndarray, networks: int, rng: np.random.Generator) -> np.ndarray:
    """A study of networks drawn with replacement from a real one's curves."""
    return curves[rng.integers(len(curves), size=networks)]


def coverage(repeats: int, study: str | None) -> Iterator[tuple[str, int, float]]:
    """Coverage of whole curves, made ones or a stored study's: what is simulated, the number of networks, and the share covered."""
    real = list(_real(study)) if study else []
    for networks in (10, 20, 30):
        for name, curves, method in real:
            draw = partial(from_a_study, curves, networks)
            yield f"{name} of a real study, {method}", networks, rate(repeats, covered, draw, curves.mean(axis=0), method)
        if study:
            continue
        for points in (28, 501):
            for method in ("raw", "beta"):
                draw = partial(smooth_curves, networks, points)
                yield f"smooth Gaussian curves, {points} points, {method}", networks, rate(repeats, covered, draw, 0.0, method)
        for method in ("raw", "beta"):
            draw = partial(skewed_curves, networks, 28)
            yield f"skewed curves (chi-squared), 28 points, {method}", networks, rate(repeats, covered, draw, 0.0, method)


def _real(study: str) -> Iterator[tuple[str, np.ndarray, str]]:
    """Curves of a stored study's hidden size with most networks, and the bands they get; if they are the population, their mean is
    the truth."""
    from analysis.claims.findings import step_curves
    from analysis.claims.sample import present
    from analysis.dataset import runs

    dataset = runs.load(study)
    networks = present(dataset, int(dataset.hidden_size.values[np.argmax((dataset.run_id.values != "").sum(axis=1))]))
    for name in (
        "accuracy_blanked",
        "accuracy_truncated",
        "probe_accuracy",
        "pca90",
        "pca90_by_digit",
        "participation_ratio_corrected",
    ):
        if name in networks:
            for method in ("raw", "beta"):
                yield name, step_curves(networks[name]).values, method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--study", help="a stored study to resample, by run id or latest: its curves alone are then simulated")
    given = parser.parse_args()
    print(f"{describe()}; {given.repeats} repeats\n")
    print("| coverage of whole curves, nominal 0.95 | networks | share covered |\n|---|---|---|")
    for words, networks, share in coverage(given.repeats, given.study):
        print(f"| {words} | {networks} | {share:.3f} |", flush=True)
    if given.study:
        return
    print("\n| coverage of whole median curves, 28 points, nominal 0.95 | networks | share covered |\n|---|---|---|")
    for words, (curves, median) in MEDIANS.items():
        for networks in (10, 15, 20, 40):
            share = rate(given.repeats, covered, partial(curves, networks, 28), median, "median")
            print(f"| {words} | {networks} | {share:.3f} |", flush=True)
    print("\n| periodicity test at 5% | share called periodic |\n|---|---|")
    for phi in (0.0, 0.5, 0.9, 0.97):
        print(f"| red noise, phi = {phi} | {rate(given.repeats, called_periodic, phi, None):.3f} |", flush=True)
    for period in (4, 7, 10, 15, 20):
        share = rate(given.repeats, called_periodic, 0.5, period)
        print(f"| period {period} at half the noise's RMS, phi = 0.5 | {share:.3f} |", flush=True)
    print("\n| expansion then compression at 5% | networks | share called a peak |\n|---|---|---|")
    for name, shape in SHAPES.items():
        for networks in (10, 30):
            print(f"| {name} | {networks} | {rate(given.repeats, called_peaked, shape, networks):.3f} |", flush=True)


if __name__ == "__main__":
    from benchmarks import error_rates  # under its own name, by which workers find what they are sent

    error_rates.main()
