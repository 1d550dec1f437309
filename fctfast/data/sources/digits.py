"""The embedded default: scikit-learn's handwritten digits as 32x32 RGB, no download."""

from __future__ import annotations

import numpy as np
import torch

from fctfast.data.image_set import ImageSet
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.seeding import permutation

_TEST = 297  # of 1,797; drawn once for ever, so that train and test never meet
_SCALE = 4  # 8x8 to 32x32, each pixel repeated: the same bits with every library version


@register(
    "digits",
    "1,797 handwritten digits (1,500 train, 297 test) that ship with scikit-learn",
    accepts=lambda source: source == "digits",
    rank=0,
)
def open_digits(source: str, request: Request) -> ImageSet:
    """Load the digits; ids are scikit-learn's row numbers.

    Args:
        source: "digits".
        request: the options; "val" is the test split.

    Returns:
        uint8 RGB images of 32x32, or of the size asked for.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 (a second that others need not wait)

    digits = load_digits()
    order = permutation(len(digits.target), 0, "data.digits.split")
    chosen = order[_TEST:] if request.split == "train" else order[:_TEST]
    ids = chosen.sort().values
    grey = np.rint(digits.images[ids.numpy()] * (255 / 16)).astype(np.uint8)
    pixels = grey.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)[..., None].repeat(3, axis=3)
    return request.finish(
        f"digits {request.split}",
        torch.from_numpy(pixels),
        torch.from_numpy(digits.target[ids.numpy()].astype(np.int64)),
        ids=ids,
        class_names=[str(name) for name in digits.target_names],
    )
