"""The distribution of the variance of states: principal variances, participation ratios, scatter between classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from study.networks import kernels

LEAST_LEFT = 0.05  # of the sample's tr C^2, after removal of its bias: less is lost in noise
ROUNDING = 4  # units in the last place of the largest state: smaller differences are those of rounding
SAFE = 1e-30, 1e30  # differences between which squares of squares neither underflow nor overflow in float64


def centred(states: torch.Tensor) -> torch.Tensor:
    """States `[N, H]` less their mean, in float64, up to a common factor: squares of states that have come very close would
    underflow, and nothing here depends on the scale. Exactly 0 where all states are equal, up to rounding.
    """
    # Subtracting the mean of equal states leaves rounding noise; subtracting the first state does not.
    differences = states.to(torch.float64, copy=True)
    size = _largest(states)
    differences -= differences[0].clone()
    if _largest(differences) <= ROUNDING * torch.finfo(states.dtype).eps * size:
        return differences.zero_()
    differences -= differences.mean(dim=0)
    largest = _largest(differences)
    return differences if SAFE[0] < largest < SAFE[1] or largest == 0 else differences.div_(largest)


def _largest(values: torch.Tensor) -> float:
    least, most = values.aminmax()
    return max(-float(least), float(most))


@dataclass(frozen=True)
class Participation:
    """Participation ratios (tr C)^2 / tr C^2 of a covariance matrix C: the number of equal variances with the same ratio.

    `naive` puts in the covariance of the sample, and is at most the number of images; `corrected` estimates numerator and
    denominator without bias in the number of images (Himeno & Yamada 2014), so that samples of different sizes can be compared.
    Both are 0 where the variance is 0. `corrected` is at most the dimension of the space, and `naive` where fewer than four states
    are given, or where tr C^2 cannot be told from its bias, because a few images hold almost all of the variance.
    """

    naive: float
    corrected: float


@dataclass(frozen=True)
class Spread:
    """How N states are spread about their mean, up to a common factor; in float64.

    Attributes: the `number` of states; their `scatter` matrix `[H, H]`, the sum of products of centred states; `fourth`, the sum of
    their norms' fourth powers; `between`, how much of the trace of the scatter lies between the means of classes.
    """

    number: int
    scatter: torch.Tensor
    fourth: float
    between: float = 0.0

    @classmethod
    def of(cls, states: torch.Tensor, labels: torch.Tensor | None = None, classes: int = 0) -> Spread:
        """The spread of states `[N, H]`, and of the means of the classes of `labels` `[N]` where these are given."""
        if len(states) < 2:
            return cls(len(states), torch.zeros(states.shape[-1], states.shape[-1], dtype=torch.float64), 0.0)
        spread = centred(states)
        squares = torch.linalg.vector_norm(spread, dim=1).square()
        between = 0.0 if labels is None else _between(spread, labels, classes)
        return cls(len(states), kernels.in_use(spread).product(spread.mT, spread), float(squares.square().sum()), between)

    def principal_variances(self) -> torch.Tensor:
        """The variances along the principal components, largest first; float64 `[H]`."""
        return torch.linalg.eigvalsh(self.scatter).flip(0).clamp_(min=0)

    def participation_ratio(self) -> Participation:
        """The participation ratios of the states' covariance."""
        n = self.number
        trace, square = (float(value) / max(1, n - 1) for value in (self.scatter.trace(), self.scatter.square().sum()))
        square /= max(1, n - 1)
        if square <= 0:
            return Participation(0.0, 0.0)
        fourth = self.fourth / (n - 1)
        # Both up to the factor (n - 1) / (n (n - 2) (n - 3)).
        numerator = 2 * square + (n * n - 3 * n + 1) * trace**2 - n * fourth
        denominator = (n - 1) * (n - 2) * square + trace**2 - n * fourth
        naive = trace**2 / square
        told = n > 3 and denominator > LEAST_LEFT * (n - 1) * (n - 2) * square
        return Participation(naive, min(numerator / denominator, self.scatter.shape[0]) if told else naive)

    def between_class_share(self) -> float:
        """The share tr(B) / tr(T) of the scatter that lies between the means of classes, 0 .. 1.

        0 where there is no scatter. By chance it is (K - 1) / (N - 1) for K classes.
        """
        total = float(self.scatter.trace())
        return self.between / total if total > 0 else 0.0


def _between(centred: torch.Tensor, labels: torch.Tensor, classes: int) -> float:
    """The scatter of the means of classes about the mean of all `[N, H]` centred states."""
    sums = torch.zeros(classes, centred.shape[-1], dtype=torch.float64, device=centred.device).index_add_(0, labels, centred)
    members = torch.bincount(labels, minlength=classes).clamp_(min=1)
    return float((sums.square().sum(dim=1) / members).sum())
