"""Makes recurrent networks and measures them: one MLflow run per network.

The public names are loaded on first use; `__init__.pyi` says where each comes from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
