"""feature_distance and warp_distance against plain torch, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fctfast.ops import feature_distance, reference, sample_rotate_affine, warp_distance

# Features of a ResNet-18 (512 after pooling) and of a ResNet-50's last map, with four draws.
FEATURES = [(2560, 512), (320, 2048, 7, 7)]
MAPS = [(256, 3, 32, 32), (32, 3, 224, 224), (64, 256, 14, 14)]


def name(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def eager_distance(features: Tensor, draws: int) -> Tensor:
    return reference.feature_distance(features, draws)


@pytest.mark.parametrize("shape", FEATURES, ids=name)
@pytest.mark.parametrize("row", ["ours", "eager", "compiled", "read_of_the_input"])
def test_forward(measure: Callable[..., Any], shape: tuple[int, ...], row: str) -> None:
    features = torch.randn(shape)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: feature_distance(features, 4),
        "eager": lambda: eager_distance(features, 4),
        "read_of_the_input": features.sum,
    }
    if row == "compiled":
        compiled = torch.compile(eager_distance)
        functions["compiled"] = lambda: compiled(features, 4)
    kinds = {"ours": "ours", "read_of_the_input": "limit"}
    measure(
        functions[row],
        group=f"feature_distance forward, {name(shape)}, 4 draws",
        kind=kinds.get(row, "peer"),
        items=shape[0] // 5,
        unit="samples",
        rounds=100,
    )


@pytest.mark.parametrize("shape", FEATURES, ids=name)
@pytest.mark.parametrize("row", ["ours", "eager", "compiled"])
def test_forward_and_backward(
    measure: Callable[..., Any], shape: tuple[int, ...], row: str
) -> None:
    features = torch.randn(shape, requires_grad=True)
    functions = {"ours": feature_distance, "eager": eager_distance}
    function = functions.get(row) or torch.compile(eager_distance)
    measure(
        lambda: torch.autograd.grad(function(features, 4).sum(), features),
        group=f"feature_distance forward and backward, {name(shape)}, 4 draws",
        kind="ours" if row == "ours" else "peer",
        items=shape[0] // 5,
        unit="samples",
        rounds=60,
    )


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", MAPS, ids=name)
@pytest.mark.parametrize("row", ["ours", "grid_sample", "read_of_the_input"])
def test_warp(
    measure: Callable[..., Any], shape: tuple[int, ...], row: str, interpolation: str
) -> None:
    x = torch.randn(shape)
    params = sample_rotate_affine(torch.arange(shape[0]), 0, 0, 180.0, (0.2, 0.2), shape[2:])
    height, width = shape[2:]

    def eager() -> Tensor:
        angle = params[:, 0].mul(math.pi / 180)
        cos, sin = angle.cos(), angle.sin()
        u, v = -2 * params[:, 1] / width, -2 * params[:, 2] / height
        # Rotation about the centre in pixels, written in the grid's units of half a side.
        ratio = height / width
        rows = [
            cos,
            -sin * ratio,
            cos * u - sin * ratio * v,
            sin / ratio,
            cos,
            sin / ratio * u + cos * v,
        ]
        theta = torch.stack(rows, 1).reshape(-1, 2, 3)
        grid = torch.nn.functional.affine_grid(theta, list(shape), align_corners=False)
        moved = torch.nn.functional.grid_sample(x, grid, mode=interpolation, align_corners=False)
        return (x - moved).square().sum((1, 2, 3))

    if row == "grid_sample" and interpolation == "bilinear":  # nearest differs where Pillow rounds
        ours = warp_distance(x, params, interpolation=interpolation)
        torch.testing.assert_close(eager(), ours, rtol=1e-4, atol=1e-3)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: warp_distance(x, params, interpolation=interpolation),
        "grid_sample": eager,
        "read_of_the_input": x.sum,
    }
    kinds = {"ours": "ours", "read_of_the_input": "limit"}
    measure(
        functions[row],
        group=f"warp_distance forward, {interpolation}, {name(shape)}",
        kind=kinds.get(row, "peer"),
        items=shape[0],
        unit="samples",
        rounds=30,
    )
