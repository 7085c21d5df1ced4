"""How often the statistics err, by simulation: ``python -m benchmarks.error_rates [--part PART] [--repeats 2000] [--study ID]``.

The tests in `tests/analysis` run the same functions at fewer repeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import numpy as np
from joblib import Parallel, delayed
from scipy import signal, stats

from analysis.statistics.bands import median_band, simultaneous_band
from analysis.statistics.expansion import expansion_then_compression
from analysis.statistics.oscillation import periodicity_test
from benchmarks.machine import describe

STEPS = np.arange(28)
SHAPES = {"flat": np.zeros(28), "rising": STEPS / 2.0, "plateau": np.minimum(STEPS, 10.0)}
LENGTH = 451  # blank rows after the transient
PERIODS = (2, 3, 5, 8, 12.3, 16, 20, 30, 37, 45, 60)
SHAPES_OF_WAVES = ("sinusoid", "spikes", "doubled", "tripled")


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


def bimodal_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of networks of two kinds, equally frequent and four standard deviations apart, of mean and median 0."""
    return smooth_curves(networks, points, rng) + 2 * rng.choice((-1.0, 1.0), (networks, 1))


def counted_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers that seldom differ between networks; see `MEAN_COUNT`."""
    return np.round(COUNT + 0.4 * smooth_curves(networks, points, rng))


def curves_with_outliers(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of which a tenth lie five standard deviations below the others; see `MEDIAN_WITH_OUTLIERS`."""
    return smooth_curves(networks, points, rng) - 5 * (rng.random((networks, 1)) < OUTLIERS)


def stuck_curves(networks: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of which 70% hardly leave 0, as networks at chance do, and the others vary about 5; see `MEDIAN_STUCK`."""
    curves = smooth_curves(networks, points, rng)
    return np.where(rng.random((networks, 1)) < STUCK, LEFT * curves, 5 + curves)


CEILING = stats.beta(8, 0.4)
COUNT = 5.2
MEAN_COUNT = float(
    sum(count * (stats.norm.cdf((count + 0.5 - COUNT) / 0.4) - stats.norm.cdf((count - 0.5 - COUNT) / 0.4)) for count in range(12))
)
OUTLIERS, STUCK, LEFT = 0.1, 0.7, 0.01
# Where the distribution of a mixture is one half; what the other part adds there is below 1e-6.
MEDIAN_WITH_OUTLIERS = float(stats.norm.ppf((0.5 - OUTLIERS) / (1 - OUTLIERS)))
MEDIAN_STUCK = float(LEFT * stats.norm.ppf(0.5 / STUCK))
# Curves, their mean, and their median (None: it is no single number that a band could hold).
PROCESSES = {
    "smooth Gaussian curves": (smooth_curves, 0.0, 0.0),
    "lognormal curves": (lognormal_curves, float(np.exp(0.5)), 1.0),
    "shares near their ceiling, Beta(8, 0.4)": (ceiling_curves, float(CEILING.mean()), float(CEILING.median())),
    "heavy tails, t with 2 degrees of freedom": (heavy_curves, 0.0, 0.0),
    "networks of two kinds": (bimodal_curves, 0.0, 0.0),
    "a tenth of the networks are outliers": (curves_with_outliers, -5 * OUTLIERS, MEDIAN_WITH_OUTLIERS),
    "70% of the networks are stuck": (stuck_curves, 5 * (1 - STUCK), MEDIAN_STUCK),
    "counts that seldom differ": (counted_curves, MEAN_COUNT, None),
}


def covered(draw: Callable[[np.random.Generator], np.ndarray], truth: np.ndarray | float, method: str, seed: int) -> bool:
    """Whether the band of one simulated study, for the mean or by `method` ``median``, holds the whole of the true curve."""
    rng = np.random.default_rng(seed)
    curves = draw(rng)
    band = median_band(curves, rng=rng) if method == "median" else simultaneous_band(curves, method=method, rng=rng)
    rounding = 1e-12  # points where all networks agree have no width
    return bool(((band.lower - rounding <= truth) & (truth <= band.upper + rounding)).all())


def filtered(numerator: Sequence[float], denominator: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """A stationary ARMA series of unit variance, in expectation."""
    noise = rng.standard_normal(LENGTH + SETTLED)
    impulse = signal.lfilter(numerator, denominator, np.eye(1, 5000)[0])
    return signal.lfilter(numerator, denominator, noise)[SETTLED:] / np.sqrt(np.sum(impulse**2))


def red_noise(phi: float, rng: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) series of unit variance."""
    return filtered([1], [1, -phi], rng)


def narrow_band(radius: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with a peak at a period of 12 rows: AR(2) with complex poles of this modulus."""
    return filtered([1], [1, -2 * radius * np.cos(2 * np.pi / 12), radius**2], rng)


def one_over_f(rng: np.random.Generator) -> np.ndarray:
    frequencies = np.fft.rfftfreq(8 * LENGTH)
    frequencies[0] = frequencies[1]
    phases = rng.standard_normal((2, len(frequencies)))
    return np.fft.irfft((phases[0] + 1j * phases[1]) / np.sqrt(frequencies))[:LENGTH]


def steps(number: int, rng: np.random.Generator) -> np.ndarray:
    """White noise about a level that jumps."""
    series = rng.standard_normal(LENGTH)
    for _ in range(number):
        series[rng.integers(LENGTH) :] += 3 * rng.standard_normal()
    return series


def damped(rng: np.random.Generator) -> np.ndarray:
    """A wave of 12 rows that is dead by row 150, in white noise."""
    return 5 * np.exp(-TIME / 30) * np.sin(2 * np.pi * TIME / 12 + rng.uniform(0, 6.28)) + rng.standard_normal(LENGTH)


SETTLED = 1000  # rows
TIME = np.arange(LENGTH)
BESIDE = {  # noise that has no oscillation
    "white noise": lambda rng: rng.standard_normal(LENGTH),
    **{f"AR(1), phi = {phi}": partial(red_noise, phi) for phi in (-0.99, -0.5, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.995)},
    **{
        f"AR(1), phi = {phi}, and white noise of {share:.0%} of its RMS": lambda rng, phi=phi, share=share: (
            red_noise(phi, rng) + share * rng.standard_normal(LENGTH)
        )
        for phi, share in ((0.9, 0.2), (0.9, 0.5), (0.97, 0.2), (0.99, 0.1))
    },
    "ARMA(1, 1), 0.9 and 0.5": partial(filtered, [1, 0.5], [1, -0.9]),
    "ARMA(1, 1), 0.9 and -0.5": partial(filtered, [1, -0.5], [1, -0.9]),
    "MA(2)": partial(filtered, [1, 0.8, 0.6], [1]),
    "AR(2), real roots 0.9 and 0.8": partial(filtered, [1], np.convolve([1, -0.9], [1, -0.8])),
    "AR(2), real roots 0.98 and 0.9": partial(filtered, [1], np.convolve([1, -0.98], [1, -0.9])),
    "AR(2), real roots 0.9 and -0.5": partial(filtered, [1], np.convolve([1, -0.9], [1, 0.5])),
    "1/f noise": one_over_f,
    "random walk": lambda rng: rng.standard_normal(LENGTH).cumsum(),
    "decay over 10 rows": lambda rng: 5 * np.exp(-TIME / 10) + rng.standard_normal(LENGTH),
    "decay over 50 rows, in red noise": lambda rng: 5 * np.exp(-TIME / 50) + red_noise(0.9, rng),
    "one step": partial(steps, 1),
    "three steps": partial(steps, 3),
}
PASSING = {  # significant oscillations that do not last
    "damped wave, dead by row 150": damped,
    "narrow-band noise, poles of 0.9": partial(narrow_band, 0.9),
    "narrow-band noise, poles of 0.97": partial(narrow_band, 0.97),
    "narrow-band noise, poles of 0.99": partial(narrow_band, 0.99),
}


def wave(shape: str, period: float, rng: np.random.Generator) -> np.ndarray:
    """A periodic series of unit RMS: a ``sinusoid``; ``spikes``, a twentieth of the period wide; or a sinusoid whose second or
    third subharmonic, weaker than itself, makes it repeat after `period` only (``doubled``, ``tripled``)."""
    phase = rng.uniform(0, 2 * np.pi)
    turns = TIME / period
    if shape == "sinusoid":
        series = np.cos(2 * np.pi * turns + (phase if period > 2 else 0))  # a period of 2 has one phase only
    elif shape == "spikes":
        series = ((turns + phase) % 1 < max(1 / period, 1 / 20)).astype(float)
    else:
        times, weaker = (2, 0.5) if shape == "doubled" else (3, 0.6)
        series = np.sin(2 * np.pi * times * turns + phase) + weaker * np.sin(2 * np.pi * turns + rng.uniform(0, 2 * np.pi))
    return (series - series.mean()) / series.std()


def called_periodic(noise: Callable[[np.random.Generator], np.ndarray], seed: int) -> bool:
    """Whether a sinusoid is seen in noise that has none."""
    return periodicity_test(noise(np.random.default_rng(seed)), seed % NULLS).p <= 0.05


def called_lasting(noise: Callable[[np.random.Generator], np.ndarray], seed: int) -> bool:
    """Whether noise, or an oscillation that dies, is said to oscillate persistently."""
    return periodicity_test(noise(np.random.default_rng(seed)), seed % NULLS).oscillates


def found(phi: float, period: float, strength: float, seed: int) -> bool:
    """Whether a sinusoid, of `strength` times the RMS of red noise, is seen."""
    rng = np.random.default_rng(seed)
    series = red_noise(phi, rng) + strength * wave("sinusoid", period, rng)
    return periodicity_test(series, seed % NULLS).p <= 0.05


def found_by_the_best(phi: float, period: float, strength: float, seed: int) -> bool:
    """Whether a test at 5% sees it that knows the noise's spectrum exactly, and that the frequency is one of N/2: no test that has
    to search can be better by much."""
    rng = np.random.default_rng(seed)
    series = red_noise(phi, rng) + strength * wave("sinusoid", period, rng)
    white = (series[1:] - phi * series[:-1]) / np.sqrt(1 - phi**2)
    power = np.abs(np.fft.rfft(white, 4 * len(white))) ** 2 / len(white)
    return bool(power[12:].max() >= -np.log(1 - 0.95 ** (1 / (len(white) / 2))))


def right_period(shape: str, period: float, strength: float, seed: int) -> bool | None:
    """Whether the reported period is within 5%; None where no oscillation is seen."""
    rng = np.random.default_rng(seed)
    test = periodicity_test(red_noise(0.5, rng) + strength * wave(shape, period, rng), seed % NULLS)
    return bool(abs(test.period / period - 1) <= 0.05) if test.p <= 0.05 else None


NULLS = 5  # so many nulls are drawn, so that a rate does not depend on one


def called_peaked(shape: np.ndarray, networks: int, seed: int) -> bool:
    """Whether curves of a shape without a peak are said to expand and then shrink."""
    rng = np.random.default_rng(seed)
    return expansion_then_compression(shape + rng.standard_normal((networks, len(shape))), rng=rng).p <= 0.05


def rate(repeats: int, function: Callable[..., bool], *arguments: object) -> float:
    """The share of simulated studies of which a function is true."""
    return float(np.mean(each(repeats, function, *arguments)))


def each(repeats: int, function: Callable[..., bool | None], *arguments: object) -> list[bool | None]:
    """What a function says of each of some simulated studies."""
    return Parallel(n_jobs=-1)(delayed(function)(*arguments, seed) for seed in range(repeats))


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
        "dimension90",
        "dimension90_by_label",
        "participation_ratio_corrected",
    ):
        if name in networks:
            for method in ("raw", "beta"):
                yield name, step_curves(networks[name]).values, method


def bands(repeats: int, study: str | None) -> None:
    print("| coverage of whole curves, nominal 0.95 | networks | share covered |\n|---|---|---|")
    for words, networks, share in coverage(repeats, study):
        print(f"| {words} | {networks} | {share:.3f} |", flush=True)
    if study:
        return
    sizes = (6, 10, 20, 40)
    print("\nCoverage of whole mean curves of 28 points by Beta-weighted bands (by raw ones), nominal 0.95, by number of networks")
    print(f"\n{_head('curves', sizes)}")
    for words, (curves, mean, _) in PROCESSES.items():
        shares = [[rate(repeats, covered, partial(curves, n, 28), mean, method) for method in ("beta", "raw")] for n in sizes]
        print(_row(words, [f"{beta:.3f} ({raw:.3f})" for beta, raw in shares]), flush=True)
    sizes = (10, 15, 20, 40)
    print("\nCoverage of whole median curves of 28 points by median bands, nominal 0.95, by number of networks")
    print(f"\n{_head('curves', sizes)}")
    for words, (curves, _, median) in PROCESSES.items():
        if median is not None:
            shares = [rate(repeats, covered, partial(curves, n, 28), median, "median") for n in sizes]
            print(_row(words, [f"{share:.3f}" for share in shares]), flush=True)


def periods(repeats: int, _: str | None) -> None:
    print("| periodicity test at 5%, without an oscillation | share called periodic |\n|---|---|")
    for words, noise in BESIDE.items():
        print(f"| {words} | {rate(repeats, called_periodic, noise):.3f} |", flush=True)
    print("\n| oscillations that do not last | share called periodic | and persistent |\n|---|---|---|")
    for words, noise in PASSING.items():
        shares = [rate(repeats, function, noise) for function in (called_periodic, called_lasting)]
        print(f"| {words} | {shares[0]:.3f} | {shares[1]:.3f} |", flush=True)
    print(f"\nShare found of sinusoids of half the RMS of red noise, by period in rows\n\n{_head('phi, test', PERIODS)}")
    for phi in (0.0, 0.5, 0.9):
        for words, function in (("ours", found), ("the best possible", found_by_the_best)):
            print(_row(f"{phi}, {words}", [f"{rate(repeats, function, phi, period, 0.5):.3f}" for period in PERIODS]), flush=True)
    slower = PERIODS[3:]
    print("\nShare of reported periods within 5%, of those seen in red noise of phi = 0.5 (share seen), by period in rows")
    print(f"\n{_head('shape, RMS over that of the noise', slower)}")
    for shape in SHAPES_OF_WAVES:
        for strength in (0.5, 1.0, 3.0):
            cells = []
            for period in slower:
                seen = [one for one in each(repeats, right_period, shape, period, strength) if one is not None]
                cells.append(f"{np.mean(seen):.3f} ({len(seen) / repeats:.3f})" if seen else "n/a (0)")
            print(_row(f"{shape}, {strength}", cells), flush=True)


def _row(words: str, cells: Sequence[object]) -> str:
    return f"| {words} | {' | '.join(map(str, cells))} |"


def _head(words: str, cells: Sequence[object]) -> str:
    return f"{_row(words, cells)}\n{'|---' * (len(cells) + 1)}|"


def peaks(repeats: int, _: str | None) -> None:
    print("| expansion then compression at 5% | networks | share called a peak |\n|---|---|---|")
    for name, shape in SHAPES.items():
        for networks in (10, 30):
            print(f"| {name} | {networks} | {rate(repeats, called_peaked, shape, networks):.3f} |", flush=True)


PARTS = {"bands": bands, "periods": periods, "peaks": peaks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=list(PARTS), help="one part of the tables; default: all")
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--study", help="a stored study to resample, by run id or latest: its curves alone are then simulated")
    given = parser.parse_args()
    print(f"{describe()}; {given.repeats} repeats")
    for part in ["bands"] if given.study else [given.part] if given.part else PARTS:
        print()
        PARTS[part](given.repeats, given.study)


if __name__ == "__main__":
    from benchmarks import error_rates  # under its own name, by which workers find what they are sent

    error_rates.main()
