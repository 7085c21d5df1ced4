"""Plans, starts, watches and continues the work: which networks, on which workers, after which crash."""
