"""The public API of Hidden Orbits under one name, for notebooks; see `study`, `analysis` and `reports`."""
