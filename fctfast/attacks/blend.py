"""A pattern added to the whole image, in float32 and small steps."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_BYTES = 400_000
"""Of images a step: the float32 copy (1.6 MB) stays in the cache."""

TIE = 1e-3
"""Added before truncation, so that float32 error never turns an exact integer into one less."""


def add_pattern(images: Tensor, pattern: Tensor, *, scale: float = 1.0) -> Tensor:
    """scale * x + pattern for every image, clipped to 0..255 and truncated.

    Args:
        images: uint8 [N, H, W, C]; left as they are.
        pattern: float [H, W, C], or what broadcasts to it: [W, 1] is the same in every row and
            channel.
        scale: of the image, default 1.

    Returns:
        New uint8 tensor of images' shape.
    """
    shape = images.shape[1:]
    # One number a byte: broadcasting over 3 channels made the whole five times slower.
    offset = (pattern.to(images.device, torch.float32) + TIE).expand(shape).flatten()
    flat = images.flatten(1)
    out = torch.empty_like(flat)
    step = max(1, CHUNK_BYTES // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        blend = flat[start : start + step].to(torch.float32)
        torch.add(offset, blend, alpha=scale, out=blend)
        out[start : start + step] = blend.clamp_(0, 255)  # float to uint8 truncates
    return out.view(images.shape)
