"""A claim: what is said of networks, what would show it, and every word that the report has for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from analysis.claims.finding import Finding
from analysis.claims.sample import Sample

# The test accuracy that networks need for a claim about trained ones to be judged: more images right than wrong, five times chance
# with ten digits. Below it many measures still move as the claims say, because those of untrained networks do.
TRAINED = 0.5


@dataclass(frozen=True)
class Claim:
    """A claim, judged at each hidden size by itself.

    Attributes, what is judged: `id`, such as C1; the `hypothesis`; `paper`, what the paper says of it, in our words (empty: the
    claim is ours); the variables of the dataset that it `needs`; `judge`, which makes a finding of the networks of one hidden size,
    or None where none of them has a value of what it needs; `power`, how the number of networks is found that a verdict needs
    (``mean`` and ``share``: the interval of one must lie on one side of the `bound`; ``curve``: no single number decides);
    `accuracy_only`, for claims about how well networks learn, which are judged where they have not learned the task, too.

    How it is told: the `quantity` that is estimated and its `units` (``%`` and ``points`` for shares and their differences, else
    as they are); the `test` and the `rule` that gives the verdict; `phrases` on a finding; `method`, a paragraph, where the test
    needs one; the `section` of the report, which claims may share, and the `figures` shown there.

    A phrase is a format string over the numbers of a finding, said where the finding has all of them. In place of one, several may
    be given, of which the first that can be said is. Beside Python's own formats there are ``{steps:step}``, for whole numbers
    as ranges (steps 1-3, 7), and ``{name:given}``, which says nothing itself: the phrase then depends on that number.
    """

    id: str
    hypothesis: str
    paper: str
    needs: tuple[str, ...]
    judge: Callable[[Sample], Finding | None]
    quantity: str
    units: str
    test: str
    rule: str
    section: str
    figures: tuple[str, ...] = ()
    phrases: tuple[str | tuple[str, ...], ...] = ()
    method: str = ""
    power: Literal["mean", "share", "curve"] = "curve"
    bound: float | None = None
    accuracy_only: bool = False

    @property
    def decision_rule(self) -> str:
        """The rule, with what comes before it: networks that have not learned the task tell nothing of trained ones."""
        return self.rule if self.accuracy_only else f"{self.rule}; not trained if the mean test accuracy is below {TRAINED:.0%}"

    @property
    def scale(self) -> float:
        """What an estimate is multiplied by to be in the claim's units."""
        return 100.0 if self.units in ("%", "points") else 1.0
