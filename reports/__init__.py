"""Draws and typesets what the analysis found; computes nothing of its own."""
