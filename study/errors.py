"""What a person can act on: one line that says what was given, what is accepted and what to do."""

from __future__ import annotations


class InputError(Exception):
    """A mistake in what was handed to a command; it ends the command with this message and status 2."""


class NetworkDiverged(Exception):
    """A network whose loss or weights became non-finite while it was trained."""

    def __init__(self, epoch: int):
        super().__init__(f"training diverged in epoch {epoch}: the loss or a weight is not finite")
        self.epoch = epoch

    def __reduce__(self):
        return type(self), (self.epoch,)
