"""Stored runs in, one labelled dataset out."""
