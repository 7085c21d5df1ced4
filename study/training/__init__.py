"""Training: stacks of networks by hand-derived backpropagation through time, and what happened epoch by epoch."""
