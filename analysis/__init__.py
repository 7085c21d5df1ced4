"""Pulls a study's runs out of MLflow and turns them into statistics across networks.

What others use is offered here, and loaded when it is asked for; `__init__.pyi` says where each name comes from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
