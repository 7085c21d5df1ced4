from .claims import Claim, Finding, Sample, by_interval, register_claim
from .claims.findings import Findings, evaluate
from .dataset.runs import load, load_sweep, table, weights
from .statistics.bands import Band, MedianBand, median_band, quantile_fan, simultaneous_band
from .statistics.expansion import Expansion, expansion_then_compression
from .statistics.intervals import Estimate, greater_than, mean_interval, share_interval
from .statistics.oscillation import Oscillation, oscillation, periodicity_test
from .statistics.trend import Trend, size_trend
from .study_analysis import Analysis, analyse, of_dataset

__all__ = [
    "Analysis",
    "Band",
    "Claim",
    "Estimate",
    "Expansion",
    "Finding",
    "Findings",
    "MedianBand",
    "Oscillation",
    "Sample",
    "Trend",
    "analyse",
    "by_interval",
    "evaluate",
    "expansion_then_compression",
    "greater_than",
    "load",
    "load_sweep",
    "mean_interval",
    "median_band",
    "of_dataset",
    "oscillation",
    "periodicity_test",
    "quantile_fan",
    "register_claim",
    "share_interval",
    "simultaneous_band",
    "size_trend",
    "table",
    "weights",
]
