from .claims import Claim, Finding, Sample, by_interval, by_tests, register_claim
from .claims.comparison import Contrast, compare_claims, compare_numbers
from .claims.findings import Findings, evaluate
from .dataset.runs import load, load_sweep, table, weights
from .statistics.bands import Band, MedianBand, median_band, quantile_fan, simultaneous_band
from .statistics.expansion import Expansion, expansion_then_compression
from .statistics.intervals import Estimate, OneSided, greater_than, mean_interval, mean_test, share_interval, share_test
from .statistics.oscillation import Oscillation, Periodicity, oscillation, periodicity_test
from .statistics.trend import Trend, size_trend
from .study_analysis import Analysis, analyse, of_dataset

__all__ = [
    "Analysis",
    "Band",
    "Claim",
    "Contrast",
    "Estimate",
    "Expansion",
    "Finding",
    "Findings",
    "MedianBand",
    "OneSided",
    "Oscillation",
    "Periodicity",
    "Sample",
    "Trend",
    "analyse",
    "by_interval",
    "by_tests",
    "compare_claims",
    "compare_numbers",
    "evaluate",
    "expansion_then_compression",
    "greater_than",
    "load",
    "load_sweep",
    "mean_interval",
    "mean_test",
    "median_band",
    "of_dataset",
    "oscillation",
    "periodicity_test",
    "quantile_fan",
    "register_claim",
    "share_interval",
    "share_test",
    "simultaneous_band",
    "size_trend",
    "table",
    "weights",
]
