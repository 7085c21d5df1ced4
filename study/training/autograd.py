"""Training of any cell by PyTorch's automatic differentiation, for cells without hand-derived gradients."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from study.config import NetworkConfig
from study.data.sources import Images
from study.networks.network import scaled
from study.training.lane import Batch, Lane, Layout


class AutogradLane(Lane):
    """A lane with one network of any cell."""

    stacked = False
    kept = 8  # for a cell of a few operations

    def __init__(self, weights: torch.Tensor, layout: Layout, config: NetworkConfig, train: Images):
        super().__init__(weights, layout, config, train)
        self._layout = layout

    def backpropagate(self, batch: Batch) -> torch.Tensor:
        indices = batch.indices
        leaf = self.weights.detach().requires_grad_()
        network = self._layout.network(leaf)
        images = scaled(self.images[indices], leaf.dtype)
        # bf16: products are rounded, weights are not.
        with torch.autocast(leaf.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            state = network.start(len(indices))
            for row in images.unbind(dim=1):
                state = network.cell.step(network.parameters, state, row)
            for _ in range(batch.blanks):
                state = network.cell.step(network.parameters, state, torch.zeros_like(images[:, 0]))
            logits = network.cell.observed(state) @ network.readout.mT + network.bias
        loss = cross_entropy(logits.to(leaf.dtype), self.labels[indices])
        [gradient] = torch.autograd.grad(loss, leaf)
        self.gradient.copy_(gradient)
        return loss.detach()
