"""Training: stacks of networks with hand-derived backpropagation through time, and their history epoch by epoch."""
