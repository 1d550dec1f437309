"""The views that contrastive learning compares, from uint8 in one op."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import (
    image_batch,
    nonzero,
    per_channel,
    require_tensor,
    shape_of,
    side_limit,
)
from fctfast.ops.sample_contrastive import WORDS


@torch.library.register_fake("fctfast::contrastive_views")
def _(
    images: Tensor,
    params: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    height: int,
    width: int,
    nhwc: bool,
    dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    return torch.empty(
        (params.shape[0], images.shape[3 if nhwc else 1], height, width),
        dtype=dtype,
        device=images.device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )


def contrastive_views(
    images: Tensor,
    params: Tensor,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    size: tuple[int, int] | None = None,
    layout: str = "nhwc",
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Crop, resize (bilinear, antialiased), flip, jitter colours, grey, normalise.

    Equals torchvision's v2 functions on float images in [0, 1], one after the other and without
    rounding between them, to about 1e-5 before normalising (sums in another order). The CUDA kernel
    is written for the same bits as the CPU's. Nothing here waits for the device.

    Args:
        images: uint8 [B, H, W, C] (layout "nhwc") or [B, C, H, W] ("nchw"), C 1 or 3, any strides.
            With one channel saturation, hue and grey change nothing.
        params: float32 [V*B, 16] from :func:`~fctfast.ops.sample_contrastive` for this H and W,
            view by view. For images on CUDA either on the CPU, where they are checked and then
            copied, or on the same device, where nobody can look at them without waiting: crops
            that reach beyond the image are then moved inside of it, hues beyond half a turn to it
            (without a compiled CUDA kernel the rows are waited for, and refused).
        mean: per-channel mean of images scaled to [0, 1]; a number or C numbers.
        std: per-channel standard deviation, likewise; not zero.
        size: (height, width) of the views; default: H and W.
        layout: "nhwc" (default) or "nchw".
        dtype: float32 (default), bfloat16 or float16, rounded to nearest even.
        memory_format: of the output, `torch.contiguous_format` or `torch.channels_last`.

    Returns:
        [V*B, C, height, width], view by view, as `supcon_loss` takes its rows.

    Raises:
        TypeError: images is not uint8, params not float32, dtype not one of the three.
        ValueError: shapes, sides, words or a zero std.
        RuntimeError: params on the CPU that were drawn for another size (a crop outside of the
            image), or factors of colours below 0 or not finite, or a hue beyond half a turn.

    Source: appendix C.5; Chen et al. 2020 (SimCLR).

    Example:
        >>> images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        >>> params = sample_contrastive(torch.arange(2), 0, epoch=0, views=2, size=(32, 32))
        >>> contrastive_views(images, params, 0.5, 0.25).shape
        torch.Size([4, 3, 32, 32])
    """
    op = "contrastive_views"
    require_tensor(op, "params", params)
    batch, height, width, channels = image_batch(op, images, layout, dtype, memory_format)
    if channels not in (1, 3):
        raise ValueError(f"{op}: expected images of 1 or 3 channels, got {shape_of(images)}")
    if params.dtype != torch.float32:
        raise TypeError(f"{op}: expected params float32, got {shape_of(params)}")
    rows = params.shape[0] if params.dim() else 0
    if params.dim() != 2 or params.shape[1] != WORDS or (rows % batch if batch else rows):
        raise ValueError(f"{op}: expected params [V*{batch}, {WORDS}], got {shape_of(params)}")
    whole = isinstance(size, Sequence) and all(isinstance(side, int) for side in size)
    if size is not None and (not whole or len(size) != 2):
        raise ValueError(f"{op}: expected size (height, width) in whole pixels, got {size}")
    out = (height, width) if size is None else size
    if min(out) < 1 or min(height, width) < 1:
        raise ValueError(f"{op}: expected sides of at least one pixel, got {out} of {images.shape}")
    side_limit(op, height, width)
    side_limit(op, *out)
    scale = per_channel(op, "std", std, channels)
    nonzero(op, "std", scale)
    views: Tensor = torch.ops.fctfast.contrastive_views(
        images, params if images.is_cuda else params.cpu(), per_channel(op, "mean", mean, channels),
        scale, out[0], out[1], layout == "nhwc", dtype, memory_format == torch.channels_last,
    )  # fmt: skip
    return views
