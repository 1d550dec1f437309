"""Rotation by any angle and shifts by whole pixels, the two that the fused op does at once."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.detect.transforms.registry import Step, register
from fctfast.ops import fct_views, sample_rotate_affine


def warp(images: Tensor, params: Tensor) -> Tensor:
    """Rotate and then shift, nearest pixel, filled with 0.

    Args:
        images: uint8 [B, H, W, C].
        params: float32 [B, 3]: degrees, pixels right, pixels down.

    Returns:
        uint8 [B, H, W, C].
    """
    # Normalised by 0 and 1/255 a byte is itself again, up to float32's rounding.
    made = fct_views(
        images, params, 0.0, 1 / 255, memory_format=torch.channels_last, originals=False
    )
    return made.round_().to(torch.uint8).permute(0, 2, 3, 1)


@register
class Rotate(Step):
    """Rotate about the centre by U[-180, 180) degrees.

    Source: paper Appendix C.5; published code: RandomRotation(180), nearest, fill 0.
    """

    name = "rotate"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 3, as the fused op takes them."""
        return sample_rotate_affine(ids, seed, range(draws), 180.0, (0.0, 0.0), size)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        return warp(images, params)


@register
class Affine(Step):
    """Shift by up to a fifth of the sides.

    Source: paper Appendix C.5; published code: RandomAffine(0, translate=(.2, .2)), fill 0.
    """

    name = "affine"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 3, as the fused op takes them."""
        return sample_rotate_affine(ids, seed, range(draws), 0.0, (0.2, 0.2), size)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        return warp(images, params)
