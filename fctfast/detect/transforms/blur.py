"""Gaussian blur."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.detect.transforms.registry import Step, register, uniform

KERNEL = 15
SIGMA = (0.1, 2.0)


@register
class Blur(Step):
    """Blur with a 15x15 Gaussian of sigma U[.1, 2) pixels, edges mirrored.

    Source: paper Appendix C.5; published code: GaussianBlur(15, sigma=(.1, 2)). Images too small
    for that kernel get the largest that fits.
    """

    name = "blur"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 1, sigma in pixels."""
        low, high = SIGMA
        return low + (high - low) * uniform(ids, seed, draws, "blur", 1)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        batch, height, width, _ = images.shape
        planes = images.permute(3, 0, 1, 2).float()  # [C, B, H, W]: a kernel for each sample
        for axis, side in ((2, height), (3, width)):
            half = min(KERNEL // 2, side - 1)  # mirroring needs as many pixels beside the edge
            x = torch.arange(-half, half + 1, dtype=torch.float32)
            kernel = torch.exp(-0.5 * (x / params).square()).to(images.device)  # [B, 2 half + 1]
            kernel = kernel / kernel.sum(1, keepdim=True)
            border = (0, 0, half, half) if axis == 2 else (half, half, 0, 0)
            padded = F.pad(planes, border, mode="reflect")
            # Not a convolution: autocast would run it in 16 bits, a GPU in TF32.
            planes = torch.zeros_like(planes)
            for k in range(2 * half + 1):
                planes += kernel[:, k].reshape(batch, 1, 1) * padded.narrow(axis, k, side)
        return planes.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
