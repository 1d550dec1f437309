"""Cut out at a random place of the image with a black border."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.detect.transforms.registry import Step, register, uniform
from fctfast.detect.transforms.turn import warp

BORDER = 8
"""The border is an eighth of each side: 4 pixels at 32, as published."""


@register
class Crop(Step):
    """Put a black border around the image and cut its size out at a random place.

    That is a shift by whole pixels, uniform in -border .. border along each side.

    Source: paper Appendix C.5; published code: RandomCrop(size, padding=4) at 32x32.
    """

    name = "crop"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 3, an angle of 0 and the shift, as `warp` takes them."""
        height, width = size
        border = torch.tensor([max(1, width // BORDER), max(1, height // BORDER)])
        places = uniform(ids, seed, draws, "crop", 2) * (2 * border + 1)
        shift = places.floor() - border
        return torch.cat([torch.zeros(draws, ids.numel(), 1), shift], -1)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        return warp(images, params)
