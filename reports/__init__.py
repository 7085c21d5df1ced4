"""Draws and typesets what the analysis found; computes nothing.

What others use is offered here, and loaded when it is asked for; `__init__.pyi` says where each name comes from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
