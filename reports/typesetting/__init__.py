"""Typesetting: figures and text in, one PDF out."""
