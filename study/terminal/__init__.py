"""The interface of a command to its user: signals, output, and one-line error messages without secrets."""
