"""Reference of `fctfast::warp_distance`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops.reference.affine import warp


def warp_distance(
    x: Tensor,
    params: Tensor,
    *,
    interpolation: str = "nearest",
    fill: float | Sequence[float] = 0.0,
    reduction: str = "sum",
) -> Tensor:
    """Squared distance between x and its warped self; see `fctfast.ops.warp_distance`."""
    channels = x.shape[1]
    fills = [float(fill)] * channels if isinstance(fill, (int, float)) else list(fill)
    fill_values = torch.tensor(fills, dtype=torch.float64)
    draws = params if params.dim() == 3 else params[None]
    rows = []
    for p in draws:
        squared = (x - warp(x, p, interpolation, fill_values)).square()
        rows.append(squared.sum((1, 2, 3)) if reduction == "sum" else squared.mean((1, 2, 3)))
    distance = torch.stack(rows) if rows else x.new_zeros(0, x.shape[0])
    return distance if params.dim() == 3 else distance[0]
