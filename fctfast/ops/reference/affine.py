"""Geometry of tau = rotate, then whole-pixel shift, as Pillow computes it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rotation_matrix(angle: float, height: int, width: int) -> tuple[float, ...]:
    """Output-to-input matrix of `PIL.Image.rotate(angle)` on the same canvas.

    Args:
        angle: degrees, counter-clockwise.
        height: rows of the image.
        width: columns of the image.

    Returns:
        Six float64 numbers (a, b, c, d, e, f): x_in = a x + b y + c, y_in = d x + e y + f.

    Source: Pillow's `Image.rotate`; the 15-digit rounding makes multiples of 90 degrees exact.
    """
    radians = -math.radians(angle % 360.0)
    cos, sin = round(math.cos(radians), 15), round(math.sin(radians), 15)
    negative_sin = round(-math.sin(radians), 15)
    center_x, center_y = width / 2, height / 2
    c = cos * -center_x + sin * -center_y + 0.0 + center_x
    f = negative_sin * -center_x + cos * -center_y + 0.0 + center_y
    return cos, sin, c, negative_sin, cos, f


def fixed_point_coefficients(params: Tensor, size: tuple[int, int]) -> Tensor:
    """Integers from which the nearest-neighbour tau is computed, exactly as Pillow computes it.

    Args:
        params: float32 [..., 3]: angle in degrees, whole-pixel dx, dy.
        size: (height, width) in pixels.

    Returns:
        int64 [..., 8]: 16.16 fixed-point x step per column and row and offset, the same for y,
        then dx, dy.

    Source: Pillow's `affine_fixed` (Geometry.c).
    """
    height, width = size
    rows = []
    for angle, dx, dy in params.reshape(-1, 3).double().tolist():
        a, b, c, d, e, f = rotation_matrix(angle, height, width)
        sides = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
        rows.append([math.floor(v * 65536.0 + 0.5) for v in sides] + [int(dx), int(dy)])
    return torch.tensor(rows, dtype=torch.int64).reshape(*params.shape[:-1], 8)


def nearest_source(coefficients: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which source pixel each output pixel takes.

    Args:
        coefficients: int64 [M, 8] from `fixed_point_coefficients`.
        size: (height, width) in pixels.

    Returns:
        index int64 [M, H*W] into the flattened image (0 where invalid) and valid bool [M, H*W]:
        False where the shifted position leaves the intermediate frame or the rotated one leaves
        the image; such pixels take the fill value.
    """
    height, width = size
    a0, a1, a2, a3, a4, a5, dx, dy = (c[:, None, None] for c in coefficients.unbind(-1))
    x = torch.arange(width, device=coefficients.device)[None, None, :] - dx
    y = torch.arange(height, device=coefficients.device)[None, :, None] - dy
    x_in = (a2 + a1 * y + a0 * x) >> 16
    y_in = (a5 + a4 * y + a3 * x) >> 16
    valid = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    valid = valid & (x_in >= 0) & (x_in < width) & (y_in >= 0) & (y_in < height)
    index = torch.where(valid, y_in * width + x_in, torch.zeros_like(x_in))
    return index.flatten(1), valid.flatten(1)


def bilinear_grid(params: Tensor, size: tuple[int, int]) -> Tensor:
    """Sampling grid of the composed map (shift, then rotation) for `grid_sample`.

    Args:
        params: float32 [M, 3].
        size: (height, width) in pixels.

    Returns:
        float64 [M, H, W, 2] for `align_corners=False`.
    """
    height, width = size
    grids = []
    for angle, dx, dy in params.double().tolist():
        a, b, c, d, e, f = rotation_matrix(angle, height, width)
        x = torch.arange(width, dtype=torch.float64)[None, :] + 0.5 - dx
        y = torch.arange(height, dtype=torch.float64)[:, None] + 0.5 - dy
        x_in, y_in = a * x + b * y + c, d * x + e * y + f
        grids.append(torch.stack([2 * x_in / width - 1, 2 * y_in / height - 1], dim=-1))
    return torch.stack(grids) if grids else torch.zeros(0, height, width, 2, dtype=torch.float64)


def warp(x: Tensor, params: Tensor, interpolation: str, fill: Tensor) -> Tensor:
    """tau applied to float maps.

    Args:
        x: floating [M, C, H, W].
        params: float32 [M, 3].
        interpolation: "nearest" or "bilinear".
        fill: [C], the value of pixels without a source.

    Returns:
        [M, C, H, W] of x's dtype; differentiable in x.
    """
    m, channels, height, width = x.shape
    fill = fill.to(x.dtype).reshape(1, channels, 1)
    if interpolation == "nearest":
        coefficients = fixed_point_coefficients(params, (height, width))
        index, valid = nearest_source(coefficients, (height, width))
        index = index[:, None].expand(m, channels, height * width)
        moved = torch.where(valid[:, None], x.flatten(2).gather(2, index), fill)
        return moved.reshape(x.shape)
    grid = bilinear_grid(params, (height, width)).to(x.dtype)
    lowered = x - fill[..., None]
    moved = torch.nn.functional.grid_sample(
        lowered, grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return moved + fill[..., None]
