"""Normalised images and their rotated + shifted views, from uint8 in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import coefficients, image_batch, nonzero, per_channel

MAX_CUDA_CHANNELS = 16  # csrc/kernels/gpu/fct_views.h holds mean and std in its arguments


@torch.library.register_fake("fctfast::fct_views")
def _(
    images: Tensor,
    coefficients: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    nhwc: bool,
    dtype: torch.dtype,
    channels_last: bool,
    originals: bool,
) -> Tensor:
    batch = images.shape[0]
    height, width, channels = images.shape[1:] if nhwc else (*images.shape[2:], images.shape[1])
    rows = (coefficients.shape[0] + (1 if originals else 0)) * batch
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(
        (rows, channels, height, width),
        dtype=dtype,
        device=images.device,
        memory_format=memory_format,
    )


def fct_views(
    images: Tensor,
    params: Tensor,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    layout: str = "nhwc",
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    interpolation: str = "nearest",
    originals: bool = True,
) -> Tensor:
    """Normalise images and, for each draw, their tau(image): rotate, then shift, fill 0.

    Each output element is written once; no grid tensor and no intermediate image exists. With
    `interpolation="nearest"` the pixels are those of Pillow's rotate followed by an integer shift,
    bit for bit; "bilinear" samples the composed map once.

    Args:
        images: uint8 [B, H, W, C] (layout "nhwc") or [B, C, H, W] ("nchw"), any strides; sides
            of at most 32,767 pixels, and with "nearest" longest side + diagonal below 65,536
            (squares up to 27,145); on CUDA at most 16 channels.
        params: float32 [B, 3] or [K, B, 3] from `sample_rotate_affine`.
        mean: per-channel mean of images scaled to [0, 1]; a number or C numbers.
        std: per-channel standard deviation, likewise; not zero.
        layout: "nhwc" (default) or "nchw".
        dtype: float32 (default), bfloat16 or float16, rounded to nearest even.
        memory_format: of the output, `torch.contiguous_format` or `torch.channels_last`.
        interpolation: "nearest" (default, the published setting) or "bilinear".
        originals: put the B normalised images in front.

    Returns:
        [(1+K)B, C, H, W]: the originals, then draw by draw the B views. Fill is byte 0, normalised.

    Raises:
        TypeError: images is not uint8, params not float32, dtype not one of the three.
        ValueError: shapes, sides, words or a zero std.

    Source: Eq. 1's x and tau(x); Pillow's `affine_fixed`.

    Example:
        >>> images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        >>> params = torch.tensor([[30.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
        >>> fct_views(images, params, 0.5, 0.25).shape
        torch.Size([4, 3, 32, 32])
    """
    op = "fct_views"
    batch, height, width, channels = image_batch(op, images, layout, dtype, memory_format)
    if images.is_cuda and channels > MAX_CUDA_CHANNELS:
        raise ValueError(
            f"{op}: expected at most {MAX_CUDA_CHANNELS} channels on CUDA, got {channels}; the CPU "
            "takes any number"
        )
    shift = per_channel(op, "mean", mean, channels)
    scale = per_channel(op, "std", std, channels)
    nonzero(op, "std", scale)
    words = coefficients(op, params, batch, (height, width), interpolation)
    views: Tensor = torch.ops.fctfast.fct_views(
        images,
        words.to(images.device, non_blocking=True),
        shift,
        scale,
        layout == "nhwc",
        dtype,
        memory_format == torch.channels_last,
        originals,
    )
    return views
