"""The public API of `study`, `analysis` and `reports` under one name, for notebooks. Each name is loaded on first use.

import hidden_orbits as orbits

dataset = orbits.load("latest")
orbits.draw("oscillation", orbits.of_dataset(dataset)).drawing
"""

import analysis
import reports
import study

PACKAGES = (study, analysis, reports)
__all__ = sorted({name for package in PACKAGES for name in package.__all__})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    for package in PACKAGES:
        if name in package.__all__:
            return getattr(package, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
