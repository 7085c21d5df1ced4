"""The claims, the rules by which they are judged, and the findings.

A claim is one file: it makes a `Claim` and registers it. The claims of this folder are imported here, one line each. A claim in an
extension (`HIDDEN_ORBITS_EXTENSIONS`) registers itself the same way and needs no line here.
"""

from analysis.claims import (  # noqa: F401
    c1_test_accuracy,
    c2_blank_or_stop,
    c3_one_blank_row,
    c4_oscillation,
    c5_expansion,
    c6_early_class,
    c7_linear_reading,
    c8_predicted_period,
    c10_length,
)
from analysis.claims.claim import Claim
from analysis.claims.finding import CONTRADICTED, SUPPORTED, UNDECIDED, Finding, by_interval, by_tests
from analysis.claims.registry import CLAIMS, register_claim
from analysis.claims.sample import Sample

__all__ = [
    "CLAIMS",
    "CONTRADICTED",
    "SUPPORTED",
    "UNDECIDED",
    "Claim",
    "Finding",
    "Sample",
    "by_interval",
    "by_tests",
    "register_claim",
]
