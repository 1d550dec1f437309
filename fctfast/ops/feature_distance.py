"""Eq. 1 over a batch: pooled squared distance between samples and their views."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import (
    FLOATING,
    choice,
    no_tangent,
    once_differentiable,
    require_tensor,
    shape_of,
)


def _distance_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


@torch.library.register_fake("fctfast::feature_distance")
def _(features: Tensor, draws: int, mean: bool) -> Tensor:
    batch = features.shape[0] // (1 + draws)
    return features.new_empty((draws, batch), dtype=_distance_dtype(features.dtype))


@torch.library.register_fake("fctfast::feature_distance_backward")
def _backward_fake(grad: Tensor, features: Tensor, draws: int, mean: bool) -> Tensor:
    last = features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last)
    # Not empty_like: it would keep odd strides of sides of 1.
    return torch.empty(
        features.shape,
        dtype=features.dtype,
        device=features.device,
        memory_format=torch.channels_last
        if last and not features.is_contiguous()
        else torch.contiguous_format,
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, ctx.draws, ctx.mean = inputs
    ctx.save_for_backward(features)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    (features,) = ctx.saved_tensors
    made = torch.ops.fctfast.feature_distance_backward(grad, features, ctx.draws, ctx.mean)
    return made, None, None


torch.library.register_autograd("fctfast::feature_distance", _backward, setup_context=_setup)
once_differentiable("feature_distance")


def feature_distance(features: Tensor, draws: int = 1, reduction: str = "sum") -> Tensor:
    """Squared L2 distance between each sample's features and its transformed versions'.

    Feature maps are averaged over their pixels first; pooling, difference and sum are one pass.

    Args:
        features: float32, float64, bfloat16 or float16, [(1+K)B, D] or [(1+K)B, D, h, w]
            (contiguous or channels_last without a copy): the B samples, then draw by draw their
            B views, as `fct_views` orders them.
        draws: K, at least 1.
        reduction: "sum" (Eq. 1) or "mean" over D (what the published code computes).

    Returns:
        float32 (float64 for float64 input) [B] for one draw, [K, B] for more. Differentiable once
        in features; sums are held in float32 or wider, in a fixed order.

    Raises:
        TypeError: features is no floating tensor.
        ValueError: wrong number of dimensions or rows, draws below 1, another reduction.
        NotImplementedError: forward-mode derivatives.

    Source: Eq. 1.

    Example:
        >>> feature_distance(torch.tensor([[1.0, 2.0], [1.0, 0.0]]))
        tensor([4.])
    """
    op = "feature_distance"
    require_tensor(op, "features", features)
    choice(op, "reduction", reduction, ("sum", "mean"))
    no_tangent(op, features)
    if features.dtype not in FLOATING:
        raise TypeError(f"{op}: expected floating features, got {shape_of(features)}")
    if features.dim() not in (2, 4):
        raise ValueError(
            f"{op}: expected features [(1+K)B, D] or [(1+K)B, D, h, w], got {shape_of(features)}"
        )
    if draws < 1 or features.shape[0] % (1 + draws):
        raise ValueError(
            f"{op}: expected (1 + draws) * B rows with draws >= 1, got draws={draws} and "
            f"{shape_of(features)}"
        )
    if 0 in features.shape[1:]:
        raise ValueError(f"{op}: expected at least one feature a row, got {shape_of(features)}")
    distance: Tensor = torch.ops.fctfast.feature_distance(features, draws, reduction == "mean")
    return distance[0] if draws == 1 else distance
