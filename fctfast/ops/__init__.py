"""The fused ops, registered with torch in the `fctfast` namespace.

One op has one name in every folder: `fctfast/ops/NAME.py` (checks, fake kernel, autograd),
`fctfast/ops/reference/NAME.py` (the same in plain torch), `csrc/ops/NAME.cpp` (schema,
allocation), `csrc/kernels/` (the kernels), `csrc/cuda/NAME.cu`, `python_tests/ops/test_NAME.py`.
Where the CUDA library is not loaded, CUDA tensors are served by `plain.py`.
"""

from __future__ import annotations

from fctfast.ops import plain
from fctfast.ops._library import LibraryStatus, library_status
from fctfast.ops.contrastive_views import contrastive_views
from fctfast.ops.fct_views import fct_views
from fctfast.ops.feature_distance import feature_distance
from fctfast.ops.sample_contrastive import sample_contrastive
from fctfast.ops.sample_rotate_affine import sample_rotate_affine
from fctfast.ops.supcon_loss import semi_supervised_groups, supcon_loss
from fctfast.ops.supcon_modules import SimCLRLoss, SSCTLLoss, SupConLoss
from fctfast.ops.warp_distance import warp_distance

plain.register()

__all__ = [
    "LibraryStatus",
    "SSCTLLoss",
    "SimCLRLoss",
    "SupConLoss",
    "contrastive_views",
    "fct_views",
    "feature_distance",
    "library_status",
    "sample_contrastive",
    "sample_rotate_affine",
    "semi_supervised_groups",
    "supcon_loss",
    "warp_distance",
]
