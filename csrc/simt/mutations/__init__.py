"""What `mutate.py` breaks: one small change to a GPU kernel's source each, which must be noticed.

One file a kernel's header. To add one: a text that stands once in the file, what stands there
instead, and what that breaks. A change that no run could tell from the original is no mutation;
those that look like one are listed in `EQUIVALENT` with the reason.
"""

from __future__ import annotations

from mutations import (
    contrastive_views,
    fct_views,
    feature_distance,
    feature_maps,
    supcon_loss,
    supcon_panels,
    warp_distance,
)
from mutations.mutation import Mutation

KINDS = ("barrier", "mask", "index", "rounding", "edge", "constant")

# A kernel: its op, and those of the op's tests that run before the others ("": no need to).
KERNELS: dict[str, tuple[str, str]] = {
    "contrastive_views": ("contrastive_views", "bits_of_the_cpu_kernel"),
    "fct_views": ("fct_views", ""),
    "feature_distance": ("feature_distance", ""),
    "feature_distance_maps": ("feature_distance", "maps or depend or more_draws"),
    "feature_distance_backward": ("feature_distance", "gradient or gradcheck"),
    "supcon_loss": ("supcon_loss", "ragged_widths or (float64 and shape1) or no_one or without"),
    "warp_distance": ("warp_distance", ""),
    "warp_distance_backward": ("warp_distance", "gradient or gradcheck"),
}

__all__ = ["EQUIVALENT", "KERNELS", "KINDS", "MUTATIONS", "Mutation"]

MUTATIONS = (
    *contrastive_views.MUTATIONS,
    *fct_views.MUTATIONS,
    *feature_distance.FORWARD,
    *feature_distance.BACKWARD,
    *feature_maps.MUTATIONS,
    *supcon_loss.MUTATIONS,
    *supcon_panels.MUTATIONS,
    *warp_distance.FORWARD,
    *warp_distance.BACKWARD,
)

# Changes that look like mistakes and are none: they are not in the list.
EQUIVALENT = {
    "affine.h: px shifted as unsigned": "a negative position becomes 32768 or more, which is "
    "outside every image (at most 32767 a side) as the negative one was",
    "reduce.h: the last lane stores the warp's sum": "every lane holds it",
    "reduce.h: teams of one warp go through shared memory": "the same sum, only slower",
    "feature_distance.h: a short channel's lanes step by 32 * V": "lanes * V covers a channel's "
    "pixels in one step unless lanes is 32",
    "feature_distance.h: more or fewer warps a sample": "another order of the same sum, right as "
    "well",
    "feature_maps.h: other lanes, shares of the channels or pieces that fit": "likewise",
    "*.h: no early return for zero sizes": "zero units of work make a grid of zero blocks, which "
    "is not launched",
    "feature_distance.h: a division by one pixel": "gives the same bits",
    "gpu/*.h: another number of blocks, or of blocks on a unit": "kernels walk in strides of any "
    "grid; `test_kernels.py` shows the same bits for several",
    "contrastive_views.h: sums of views that draw no contrast": "nobody reads them",
    "supcon_walk.h: other rows in the place of those behind the last": "their H is 0, and their "
    "sums are not stored",
    "supcon_products.h: H in float16 without its scale": "costs bits of H below 6e-5 alone, which "
    "are the gradient only from some 16,000 rows on",
    "warp_distance_backward: a barrier or mask": "the kernel has none",
}
