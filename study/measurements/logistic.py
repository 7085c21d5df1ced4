"""Multinomial logistic regression, for many sets of states at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

PENALTY = 1.0  # on the squared weights, as scikit-learn's default C = 1
ITERATIONS = 300  # at most
TOLERANCE = 1e-5  # nat per image: the iteration ends when the next step would reduce the objective by less


@dataclass(frozen=True)
class LogisticClassifiers:
    """S classifiers of K classes: `weights` `[S, K, H]` and `bias` `[S, K]`."""

    weights: torch.Tensor
    bias: torch.Tensor

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The logits `[S, K, N]` of states `[S, N, H]`, or of the same states `[N, H]` for every classifier."""
        return torch.matmul(self.weights, states.mT) + self.bias[..., None]


def fit(states: torch.Tensor, labels: torch.Tensor, classes: int, start: torch.Tensor | None = None) -> LogisticClassifiers:
    """Minimises, for each set s of states, sum_n -log p(label | state) + PENALTY / 2 |weights|^2; the bias is free.

    Parameters: `states` `[S, N, H]`, `labels` int64 `[N]`, weights to `start` from `[S, K, H]`. The Hessian is at most X'X / 2
    for each class (Boehning 1992, section 3), X being the states and a column of ones, so that one Cholesky factor preconditions
    every step; steps are accelerated, and the momentum is dropped where it points uphill (O'Donoghue & Candes 2015, section 3.2).
    """
    sets, count, features = states.shape
    centre = states.mean(dim=1, keepdim=True)
    centred = states - centre  # bias and weights are then separate: no column of ones
    curvature = torch.matmul(centred.mT, centred).double().mul_(0.5)
    curvature.diagonal(dim1=-2, dim2=-1).add_(PENALTY)
    factor, failed = torch.linalg.cholesky_ex(curvature)
    if failed.any():  # states so large that their products have lost the penalty to rounding: any larger bound serves as well
        diagonal = curvature.diagonal(dim1=-2, dim2=-1)
        diagonal.add_(diagonal.max(dim=-1, keepdim=True).values, alpha=features * torch.finfo(states.dtype).eps)
        factor = torch.linalg.cholesky(curvature)
    # Classes before images throughout: long rows are multiplied and exponentiated several times as fast as rows of ten.
    target = torch.nn.functional.one_hot(labels, classes).to(states.dtype).mT.contiguous()
    weights = start if start is not None else states.new_zeros(sets, classes, features)
    bias = target.mean(dim=1).clamp(min=1 / count).log().expand(sets, classes)
    ahead_weights, ahead_bias, momentum = weights, bias, 1.0
    for _ in range(ITERATIONS):
        excess = torch.matmul(ahead_weights, centred.mT).add_(ahead_bias[..., None]).softmax(dim=1).sub_(target)
        slope = torch.matmul(excess, centred).add_(ahead_weights, alpha=PENALTY)
        slope_bias = excess.sum(dim=2)
        step = torch.cholesky_solve(slope.mT.double(), factor).mT.to(states.dtype)
        step_bias = slope_bias * (2 / count)
        new_weights, new_bias = ahead_weights - step, ahead_bias - step_bias
        uphill = (slope * (new_weights - weights)).sum() + (slope_bias * (new_bias - bias)).sum() > 0
        following = 1.0 if uphill else (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        push = 0.0 if uphill else (momentum - 1) / following
        ahead_weights = new_weights + push * (new_weights - weights)
        ahead_bias = new_bias + push * (new_bias - bias)
        weights, bias, momentum = new_weights, new_bias, following
        promised = (slope * step).sum(dim=(1, 2)) + (slope_bias * step_bias).sum(dim=1)
        if promised.max() < TOLERANCE * count:
            break
    return LogisticClassifiers(weights, bias - torch.matmul(weights, centre.mT)[..., 0])
