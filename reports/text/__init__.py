"""The text of the report, made from numbers."""
