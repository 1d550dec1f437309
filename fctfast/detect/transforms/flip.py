"""Mirror left and right."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.detect.transforms.registry import Step, register


@register
class Flip(Step):
    """Mirror every image left-right; twice is nothing at all.

    Source: paper Appendix C.5; published code: RandomHorizontalFlip(p=1).
    """

    name = "flip"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 0."""
        return torch.empty(draws, ids.numel(), 0)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        return images.flip(2)
