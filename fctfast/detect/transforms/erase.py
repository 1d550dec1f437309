"""Fill a random rectangle with noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fctfast.detect.transforms.registry import Step, register, uniform
from fctfast.seeding import generator

AREA = (0.2, 0.3)
RATIO = (0.5, 1.0)
_NOISE_SIDE = 512


@register
class Erase(Step):
    """Fill a rectangle with random bytes: a fifth to three tenths of the image, at any place.

    Source: paper Appendix C.5; published code: RandomErasing(p=1, scale=(.2, .3), ratio=(.5, 1),
    value="random"), whose normal noise becomes bytes modulo 256. Here the bytes are uniform, a
    window of one fixed field of noise for each use.
    """

    name = "erase"

    def draw(self, ids: Tensor, seed: int, draws: int, size: tuple[int, int]) -> Tensor:
        """See :class:`Step`; P = 6: top, left, height, width, and where in the noise."""
        height, width = size
        u = uniform(ids, seed, draws, "erase", 6)
        area = (AREA[0] + (AREA[1] - AREA[0]) * u[..., 0]) * height * width
        low, high = map(math.log, RATIO)
        ratio = torch.exp(low + (high - low) * u[..., 1])
        tall = (area * ratio).sqrt().round().clamp(1, height)
        wide = (area / ratio).sqrt().round().clamp(1, width)
        top = (u[..., 2] * (height - tall + 1)).floor()
        left = (u[..., 3] * (width - wide + 1)).floor()
        window = (u[..., 4:] * _NOISE_SIDE).floor()
        return torch.cat([torch.stack([top, left, tall, wide], -1), window], -1)

    def apply(self, images: Tensor, params: Tensor) -> Tensor:
        """See :class:`Step`."""
        _, height, width, channels = images.shape
        top, left, tall, wide, across, down = (
            column[:, None].to(images.device, torch.int64) for column in params.unbind(1)
        )
        y = torch.arange(height, device=images.device)[None]
        x = torch.arange(width, device=images.device)[None]
        inside = ((y >= top) & (y < top + tall))[:, :, None] & ((x >= left) & (x < left + wide))[
            :, None
        ]
        noise = torch.randint(
            0, 256, (_NOISE_SIDE, _NOISE_SIDE, channels), generator=generator(0, "erase noise"),
            dtype=torch.uint8,
        ).to(images.device)  # fmt: skip
        rows, columns = (y + down) % _NOISE_SIDE, (x + across) % _NOISE_SIDE
        return torch.where(inside[..., None], noise[rows[:, :, None], columns[:, None]], images)
