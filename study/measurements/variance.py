"""The distribution of the variance of states: principal variances, participation ratios, scatter between classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

LEAST_LEFT = 0.05  # of the sample's tr C^2, after removal of its bias: less is lost in noise


def centred(states: torch.Tensor) -> torch.Tensor:
    """States `[N, H]` less their mean, in float64, divided by the largest of all numbers: squares of states that have come very
    close would underflow, and nothing here depends on the scale. Exactly 0 where all states are equal.
    """
    # Subtracting the mean of equal states leaves rounding noise; subtracting the first state does not.
    differences = states.double() - states[0].double()
    differences -= differences.mean(dim=0)
    largest = differences.abs().max()
    return differences.div_(largest) if largest > 0 else differences


def principal_variances(states: torch.Tensor) -> torch.Tensor:
    """The variances of states `[N, H]` along their principal components, largest first, up to a common factor; float64 `[H]`."""
    if len(states) < 2:
        return torch.zeros(states.shape[-1], dtype=torch.float64)
    spread = centred(states)
    return torch.linalg.eigvalsh(spread.mT @ spread).flip(0).clamp_(min=0)


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


def participation_ratio(states: torch.Tensor) -> Participation:
    """The participation ratios of states `[N, H]`, in float64."""
    n = len(states)
    if n < 2:
        return Participation(0.0, 0.0)
    spread = centred(states)
    covariance = spread.mT @ spread / (n - 1)
    trace, square = covariance.trace().item(), covariance.square().sum().item()
    if square <= 0:
        return Participation(0.0, 0.0)
    fourth = spread.square().sum(dim=1).square().sum().item() / (n - 1)
    # Both up to the factor (n - 1) / (n (n - 2) (n - 3)).
    numerator = 2 * square + (n * n - 3 * n + 1) * trace**2 - n * fourth
    denominator = (n - 1) * (n - 2) * square + trace**2 - n * fourth
    naive = trace**2 / square
    told = n > 3 and denominator > LEAST_LEFT * (n - 1) * (n - 2) * square
    return Participation(naive, min(numerator / denominator, states.shape[1]) if told else naive)


def between_class_share(states: torch.Tensor, labels: torch.Tensor, classes: int) -> float:
    """The share tr(B) / tr(T) of the scatter of states `[N, H]` that lies between the means of `labels`' classes, 0 .. 1.

    0 where there is no scatter. By chance it is (K - 1) / (N - 1) for K classes.
    """
    spread = centred(states)
    total = spread.square().sum()
    if total <= 0:
        return 0.0
    sums = torch.zeros(classes, states.shape[-1], dtype=torch.float64, device=states.device).index_add_(0, labels, spread)
    members = torch.bincount(labels, minlength=classes).clamp_(min=1)
    return float((sums.square().sum(dim=1) / members).sum() / total)
