"""All claims, in the order in which they are reported."""

from __future__ import annotations

import re

from analysis.claims.claim import Claim

ID = re.compile("[A-Za-z][A-Za-z0-9]{0,7}", re.ASCII)
CLAIMS: dict[str, Claim] = {}


def register_claim(claim: Claim) -> Claim:
    """Adds a claim to those that are judged and reported; returns it.

    Raises `ValueError` where the id is taken, or is not a letter followed by up to seven letters and digits, or where the claim has
    no bound although its `power` needs one.
    """
    if not ID.fullmatch(claim.id):
        raise ValueError(f"claim {claim.id!r}: expected a letter followed by up to 7 letters and digits as the id")
    if claim.id in CLAIMS:
        raise ValueError(f"claim {claim.id}: this id is taken; expected another id")
    if claim.power != "curve" and claim.bound is None:
        raise ValueError(f"claim {claim.id}: expected a bound, since a {claim.power} decides it")
    CLAIMS[claim.id] = claim
    return claim


def accuracy_only() -> list[str]:
    """The claims about how well networks learn."""
    return [claim.id for claim in CLAIMS.values() if claim.accuracy_only]
