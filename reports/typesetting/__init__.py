"""Figures and words in, one PDF out."""
