"""Reference of `fctfast::sample_rotate_affine`: Philox4x32-10 in Python integers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, ...]:
    """Ten rounds of Philox4x32.

    Args:
        counter: four 32-bit words.
        key: two 32-bit words.

    Returns:
        Four 32-bit words.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0, c1, c2, c3


def sample_rotate_affine(
    ids: Tensor,
    seed: int,
    draw: int | range,
    degrees: float,
    translate: tuple[float, float],
    size: tuple[int, int],
) -> Tensor:
    """Draw tau's parameters for each id; see `fctfast.ops.sample_rotate_affine`."""
    draws = draw if isinstance(draw, range) else range(draw, draw + 1)
    height, width = size
    reach_x, reach_y = translate[0] * width, translate[1] * height
    out = np.empty((len(draws), ids.numel(), 3), dtype=np.float32)
    key = (seed & _MASK, (seed >> 32) & _MASK)
    for k, number in enumerate(draws):
        for b, sample in enumerate(ids.tolist()):
            words = philox4x32((sample & _MASK, (sample >> 32) & _MASK, number, 0), key)
            # 24 bits: the float32 result can then never round up to +degrees.
            angle, u, v = ((word >> 8) * 2.0**-24 * 2.0 - 1.0 for word in words[:3])
            out[k, b] = (angle * degrees, np.rint(u * reach_x) + 0.0, np.rint(v * reach_y) + 0.0)
    params = torch.from_numpy(out)
    return params if isinstance(draw, range) else params[0]
