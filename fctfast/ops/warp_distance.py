"""Distance between a map and its rotated + shifted self, without writing the warp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import (
    FLOATING,
    choice,
    coefficients,
    no_tangent,
    once_differentiable,
    per_channel,
    require_tensor,
    shape_of,
)


@torch.library.register_fake("fctfast::warp_distance")
def _(x: Tensor, coefficients: Tensor, fill: Sequence[float], mean: bool) -> Tensor:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty((coefficients.shape[0], x.shape[0]), dtype=dtype)


@torch.library.register_fake("fctfast::warp_distance_backward")
def _backward_fake(
    grad: Tensor, x: Tensor, coefficients: Tensor, fill: Sequence[float], mean: bool
) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, words, ctx.fill, ctx.mean = inputs
    ctx.save_for_backward(x, words)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    x, words = ctx.saved_tensors
    made = torch.ops.fctfast.warp_distance_backward(grad, x, words, ctx.fill, ctx.mean)
    return made, None, None, None


torch.library.register_autograd("fctfast::warp_distance", _backward, setup_context=_setup)
once_differentiable("warp_distance")


def warp_distance(
    x: Tensor,
    params: Tensor,
    *,
    interpolation: str = "nearest",
    fill: float | Sequence[float] = 0.0,
    reduction: str = "sum",
) -> Tensor:
    """Squared distance between x and tau(x): transform and reduction in one kernel.

    With images it is FCT in pixel space (the cheapest baseline), with feature maps FCT of an
    intermediate layer.

    Args:
        x: float32, float64, bfloat16 or float16 [B, C, H, W]; sides of at most 32,767, and
            with "nearest" longest side + diagonal below 65,536 (squares up to 27,145).
        params: float32 [B, 3] or [K, B, 3], drawn with `size` = x's own (H, W).
        interpolation: "nearest" or "bilinear".
        fill: value of pixels without a source, a number or one a channel.
        reduction: "sum" or "mean" over C, H and W.

    Returns:
        float32 (float64 for float64 input) [B], or [K, B] for params [K, B, 3]. Differentiable
        once in x.

    Raises:
        TypeError: x is no floating tensor, params not float32.
        ValueError: shapes, sides or words out of range.
        NotImplementedError: forward-mode derivatives.

    Source: Eq. 1 with f the identity, or a layer's map.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> warp_distance(x, torch.tensor([[180.0, 0.0, 0.0]]))
        tensor([20.])
    """
    op = "warp_distance"
    require_tensor(op, "x", x)
    choice(op, "reduction", reduction, ("sum", "mean"))
    no_tangent(op, x)
    if x.dtype not in FLOATING:
        raise TypeError(f"{op}: expected floating x, got {shape_of(x)}")
    if x.dim() != 4:
        raise ValueError(f"{op}: expected x [B, C, H, W], got {shape_of(x)}")
    fills = per_channel(op, "fill", fill, x.shape[1])
    words = coefficients(op, params, x.shape[0], (x.shape[2], x.shape[3]), interpolation)
    distance: Tensor = torch.ops.fctfast.warp_distance(
        x, words.to(x.device, non_blocking=True), fills, reduction == "mean"
    )
    return distance if params.dim() == 3 else distance[0]
