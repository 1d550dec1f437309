"""The ops in plain torch on any device, for devices that have no compiled kernel.

A GPU user without nvcc gets these: the same results to rounding (`fctfast::fct_views` nearest: the
same bits), at eager torch's speed. They lack two things that the compiled kernels promise. On a GPU
the gradient of `warp_distance` adds up in no fixed order; and `contrastive_views` waits for its
parameters, and refuses those that a kernel, which cannot look at a GPU's rows, moves to what fits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops.reference.affine import nearest_source
from fctfast.ops.reference.contrastive_views import contrastive_views as reference_views


def fct_views(
    images: Tensor,
    coefficients: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    nhwc: bool,
    dtype: torch.dtype,
    channels_last: bool,
    originals: bool,
) -> Tensor:
    """As the schema of `fctfast::fct_views`."""
    x = images.permute(0, 3, 1, 2) if nhwc else images
    batch, channels, height, width = x.shape
    # A table made on the CPU: a GPU's own x / 255 is a product with the reciprocal.
    shift, scale = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (mean, std))
    table = (torch.arange(256.0).div(255) - shift).div(scale).to(x.device)
    rows = torch.arange(channels, device=x.device)[:, None, None]
    parts = [table[rows, x.long()].to(dtype)] if originals else []
    for words in coefficients:
        if words.dtype == torch.int32:
            index, valid = nearest_source(words.long(), (height, width))
            index = index[:, None].expand(batch, channels, height * width)
            byte = x.flatten(2).gather(2, index).where(valid[:, None], 0).reshape(x.shape)
            parts.append(table[rows, byte.long()].to(dtype))
        else:
            fill = table[:, :1, None]
            moved = F.grid_sample(
                (table[rows, x.long()] - fill).double(),
                _grid(words, (height, width)),
                align_corners=False,
            )
            parts.append((moved + fill).to(dtype))
    made = torch.cat(parts) if parts else x.new_empty((0, *x.shape[1:]), dtype=dtype)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return made.contiguous(memory_format=memory_format)


def feature_distance(features: Tensor, draws: int, mean: bool) -> Tensor:
    """As the schema of `fctfast::feature_distance`."""
    difference = _differences(features, draws)
    squared = difference.square()
    return squared.mean(2) if mean else squared.sum(2)


def feature_distance_backward(grad: Tensor, features: Tensor, draws: int, mean: bool) -> Tensor:
    """As the schema of `fctfast::feature_distance_backward`."""
    slope = 2 * grad[:, :, None] * _differences(features, draws)
    if mean:
        slope = slope / features.shape[1]
    made = torch.cat([slope.sum(0, keepdim=True), -slope]).flatten(0, 1)
    if features.dim() == 4:
        pixels = features.shape[2] * features.shape[3]
        made = (made / pixels)[:, :, None, None].expand(features.shape)
    last = features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last)
    memory_format = torch.channels_last if last else torch.contiguous_format
    return made.to(features.dtype).contiguous(memory_format=memory_format)


def warp_distance(x: Tensor, coefficients: Tensor, fill: Sequence[float], mean: bool) -> Tensor:
    """As the schema of `fctfast::warp_distance`."""
    wide = _wide(x)
    made = x.new_empty(coefficients.shape[:2], dtype=wide.dtype)
    for row, words in zip(made, coefficients, strict=True):
        squared = (wide - _warp(wide, words, fill)).square()
        row.copy_(squared.mean((1, 2, 3)) if mean else squared.sum((1, 2, 3)))
    return made


def warp_distance_backward(
    grad: Tensor, x: Tensor, coefficients: Tensor, fill: Sequence[float], mean: bool
) -> Tensor:
    """As the schema of `fctfast::warp_distance_backward`."""
    wide = _wide(x)
    made = torch.zeros_like(wide, memory_format=torch.contiguous_format)
    size = (x.shape[2], x.shape[3])
    for slope, words in zip(grad, coefficients, strict=True):
        step = 2 * slope[:, None, None, None] * (wide - _warp(wide, words, fill))
        if mean:
            step = step / x[0].numel()
        made += step
        if words.dtype == torch.int32:
            index, valid = nearest_source(words.long(), size)
            taken = step.flatten(2) * valid[:, None]
            made.flatten(2).scatter_add_(2, index[:, None].expand(taken.shape), -taken)
        else:
            grid = _grid(words, size).to(wide.dtype)
            made -= torch.ops.aten.grid_sampler_2d_backward(
                step.contiguous(), wide, grid, 0, 0, False, [True, False]
            )[0]
    return made.to(x.dtype)


def contrastive_views(
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
    """As the schema of `fctfast::contrastive_views`; torchvision's functions, view by view."""
    sides = images.shape[1:3] if nhwc else images.shape[2:]
    for number, words in enumerate(params.tolist()):
        top, left, tall, wide, _, jittered, order, *factors, hue = words[:11]
        inside = min(top, left) >= 0 and min(tall, wide) >= 1
        if not inside or top + tall > sides[0] or left + wide > sides[1] or not 0 <= order < 24:
            raise RuntimeError(
                f"contrastive_views: expected a crop inside {sides[0]} x {sides[1]} and an order "
                f"of 0 to 23, got {words[:7]} in row {number}"
            )
        if jittered and not (all(0 <= f < math.inf for f in factors) and abs(hue) <= 0.5):
            raise RuntimeError(
                "contrastive_views: expected factors of colours of at least 0 and a hue turned by "
                f"at most half a circle, -.5 to .5, got {factors} and {hue} in row {number}"
            )
    made = reference_views(
        images, params, mean, std, size=(height, width), layout="nhwc" if nhwc else "nchw"
    )
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return made.to(dtype).contiguous(memory_format=memory_format)


def supcon_loss(
    z: Tensor,
    group: Tensor,
    first: int,
    rows: int,
    temperature: float,
    base_temperature: float,
    tf32: bool,
) -> tuple[Tensor, Tensor]:
    """As the schema of `fctfast::supcon_loss`; so many rows at a time that memory grows with N."""
    rows = len(z) - first if rows == -1 else rows
    unit, _ = _unit_rows(z)
    positives = _positives(group)
    statistics = z.new_empty((rows, 2), dtype=torch.float64)
    statistics[:, 1] = positives[first : first + rows]
    anchors = (statistics[:, 1] > 0).sum().clamp_min(1)
    total = z.new_zeros((), dtype=torch.float64)
    for own in torch.split(torch.arange(first, first + rows, device=z.device), _CHUNK):
        s = unit[own] @ unit.T / temperature
        inside = torch.zeros_like(s).scatter_(1, own[:, None], -math.inf)
        log = (s + inside).logsumexp(1).double()
        alike = (group[own, None] == group).scatter_(1, own[:, None], value=False)
        count = positives[own]
        pulled = (s * alike).sum(1).double() / count.clamp_min(1)
        total += torch.where(count > 0, log - pulled, 0).sum()
        statistics[own - first, 0] = log
    return (total * (temperature / base_temperature) / anchors).float(), statistics


def supcon_loss_backward(
    grad: Tensor,
    z: Tensor,
    group: Tensor,
    statistics: Tensor,
    first: int,
    rows: int,
    temperature: float,
    base_temperature: float,
    tf32: bool,
) -> Tensor:
    """As the schema of `fctfast::supcon_loss_backward`."""
    rows = len(z) - first if rows == -1 else rows
    unit, norm = _unit_rows(z)
    log_denominator, positives = statistics.float().unbind(1)
    anchor = (positives > 0).float()
    push = anchor / (positives.clamp_min(1) * temperature)
    made = torch.empty((rows, z.shape[1]), dtype=torch.float32, device=z.device)
    for own in torch.split(torch.arange(first, first + rows, device=z.device), _CHUNK):
        s = unit[own] @ unit.T / temperature
        h = (s - log_denominator[own, None]).exp() * anchor[own, None]
        h += torch.where(anchor > 0, (s - log_denominator).exp(), 0)
        h /= temperature
        alike = group[own, None] == group
        h -= alike * (push[own, None] + push)
        h.scatter_(1, own[:, None], 0)
        made[own - first] = h @ unit
    mine, length = unit[first : first + rows], norm[first : first + rows]
    across = made - (made * mine).sum(1, keepdim=True) * mine
    factor = grad * (temperature / base_temperature) / (positives > 0).sum().clamp_min(1)
    slope = torch.where(length == 0, 0, across / length)
    return torch.mul(slope, factor).to(z.dtype)


_CHUNK = 1024


def _unit_rows(z: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of length 1 (rows of zeros stay), and their lengths [N, 1], float32."""
    norm = z.double().norm(dim=1, keepdim=True)
    unit = torch.where(norm == 0, 0.0, z.double() / norm)
    return unit.float(), norm.float()


def _positives(group: Tensor) -> Tensor:
    """How many rows share each row's group."""
    _, number, counts = torch.unique(group, return_inverse=True, return_counts=True)
    return torch.sub(counts[number], 1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _differences(features: Tensor, draws: int) -> Tensor:
    wide = _wide(features)
    pooled = wide.mean((2, 3)) if wide.dim() == 4 else wide
    rows = pooled.reshape(1 + draws, -1, pooled.shape[1])
    return rows[:1] - rows[1:]


def _grid(words: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    xx, xy, x0, yx, yy, y0 = (w[:, None, None].double() / 2**32 for w in words.unbind(-1))
    x = torch.arange(width, device=words.device, dtype=torch.float64)[None, None, :]
    y = torch.arange(height, device=words.device, dtype=torch.float64)[None, :, None]
    across = xx * x + xy * y + x0 + 0.5
    down = yx * x + yy * y + y0 + 0.5
    return torch.stack([2 * across / width - 1, 2 * down / height - 1], dim=-1)


def _warp(x: Tensor, words: Tensor, fill: Sequence[float]) -> Tensor:
    level = torch.tensor(fill, dtype=x.dtype, device=x.device)[:, None]
    if words.dtype == torch.int32:
        index, valid = nearest_source(words.long(), (x.shape[2], x.shape[3]))
        taken = x.flatten(2).gather(2, index[:, None].expand(x.flatten(2).shape))
        return taken.where(valid[:, None], level).reshape(x.shape)
    grid = _grid(words, (x.shape[2], x.shape[3])).to(x.dtype)
    level = level[..., None]
    return F.grid_sample(x - level, grid, align_corners=False) + level


KERNELS: dict[str, Callable[..., Any]] = {
    "fct_views": fct_views,
    "feature_distance": feature_distance,
    "feature_distance_backward": feature_distance_backward,
    "contrastive_views": contrastive_views,
    "supcon_loss": supcon_loss,
    "supcon_loss_backward": supcon_loss_backward,
    "warp_distance": warp_distance,
    "warp_distance_backward": warp_distance_backward,
}


def outside_autocast(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Run a kernel in the precision it is written in; torch leaves autocast on inside of an op."""

    @functools.wraps(kernel)
    def run(*arguments: Any) -> Any:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            return kernel(*arguments)

    return run


def register() -> tuple[str, ...]:
    """Serve CUDA tensors in every op that the loaded libraries have no CUDA kernel for.

    Returns:
        Names of the ops that run in plain torch on CUDA.
    """
    has: Callable[[str, str], Any] = torch._C._dispatch_has_kernel_for_dispatch_key
    missing = tuple(name for name in KERNELS if not has(f"fctfast::{name}", "CUDA"))
    for name in missing:
        torch.library.register_kernel(f"fctfast::{name}", "cuda", outside_autocast(KERNELS[name]))
    return missing
