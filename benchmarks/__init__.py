"""The measured comparisons: each a script that prints its table, run with ``python -m benchmarks.NAME``."""
