"""Makes `torchvision.datasets` importable where torchvision's compiled operators do not match the torch build.

PyPI's torchvision is compiled against PyPI's torch (on Linux: its CUDA build). Beside a CPU build of torch its
operators do not load, and `import torchvision` fails with "operator torchvision::nms does not exist", because the
package registers shape rules for two operators that nobody declared. Declaring the two schemas is enough for its data
sets, the only part used here. Where the compiled operators do load, nothing is changed.
"""

from __future__ import annotations

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a library that is garbage-collected takes its schemas with it


def import_datasets():
    """The module `torchvision.datasets`."""
    try:
        import torchvision.datasets
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)
        import torchvision.datasets
    return torchvision.datasets
