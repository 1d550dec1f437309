"""Reference of `fctfast::fct_views`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops.reference.affine import warp


def fct_views(
    images: Tensor,
    params: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    layout: str = "nhwc",
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    interpolation: str = "nearest",
    originals: bool = True,
) -> Tensor:
    """Normalised originals and transformed views; see `fctfast.ops.fct_views`."""
    if layout == "nhwc":
        images = images.permute(0, 3, 1, 2)
    draws = params if params.dim() == 3 else params[None]
    # The table is float32 by contract; bilinear and float64 callers compute on in float64.
    work = torch.float64 if interpolation == "bilinear" else torch.float32
    shift = torch.tensor(mean, dtype=torch.float32)[:, None, None]
    scale = torch.tensor(std, dtype=torch.float32)[:, None, None]
    normalised = images.float().div(255).sub(shift).div(scale)
    fill = torch.zeros(images.shape[1], 1, 1).div(255).sub(shift).div(scale).flatten()
    views = [normalised.to(work)] if originals else []
    views += [warp(normalised.to(work), p, interpolation, fill) for p in draws]
    if not views:
        views = [normalised[:0].to(work)]
    return torch.cat(views).to(dtype).contiguous(memory_format=memory_format)
