"""Statistics across networks: pure functions of arrays."""
