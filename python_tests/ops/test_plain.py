"""Facts about the ops in plain torch that serve devices without a compiled kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fctfast.ops import plain, sample_contrastive, sample_rotate_affine

SIZE = (33, 47)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def words(batch: int, interpolation: str, size: tuple[int, int] = SIZE) -> Tensor:
    params = sample_rotate_affine(torch.arange(batch), 3, range(2), 180.0, (0.2, 0.2), size)
    made: Tensor = torch.ops.fctfast.affine_coefficients(params, *size, interpolation == "bilinear")
    return made


@pytest.mark.parametrize("originals", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nhwc", [False, True])
def test_nearest_views_are_the_same_bits(nhwc: bool, dtype: torch.dtype, originals: bool) -> None:
    shape = (5, *SIZE, 3) if nhwc else (5, 3, *SIZE)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    arguments = (images, words(5, "nearest"), [0.5, 0.4, 0.3], [0.2, 0.3, 0.25], nhwc, dtype, True)
    ours = torch.ops.fctfast.fct_views(*arguments, originals)
    assert torch.equal(plain.fct_views(*arguments, originals), ours)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_bilinear_views() -> None:
    images = torch.randint(0, 256, (5, *SIZE, 3), dtype=torch.uint8)
    arguments = (images, words(5, "bilinear"), [0.5], [0.25], True, torch.float32, False, True)
    images = images[..., :1]
    arguments = (images, *arguments[1:])
    ours = torch.ops.fctfast.fct_views(*arguments)
    torch.testing.assert_close(plain.fct_views(*arguments), ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(12, 37), (12, 16, 3, 5)])
def test_feature_distance(shape: tuple[int, ...], dtype: torch.dtype, mean: bool) -> None:
    features, grad = random(*shape, dtype=dtype), random(2, 4)
    ours = torch.ops.fctfast.feature_distance(features, 2, mean)
    made = plain.feature_distance(features, 2, mean)
    torch.testing.assert_close(made, ours)
    torch.testing.assert_close(
        plain.feature_distance_backward(grad.to(made.dtype), features, 2, mean),
        torch.ops.fctfast.feature_distance_backward(grad.to(ours.dtype), features, 2, mean),
    )


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_warp_distance(dtype: torch.dtype, interpolation: str, mean: bool) -> None:
    x, grad = random(5, 3, *SIZE, dtype=dtype), random(2, 5)
    arguments = (x, words(5, interpolation), [0.1, 0.2, 0.3], mean)
    ours = torch.ops.fctfast.warp_distance(*arguments)
    made = plain.warp_distance(*arguments)
    torch.testing.assert_close(made, ours, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        plain.warp_distance_backward(grad.to(made.dtype), *arguments),
        torch.ops.fctfast.warp_distance_backward(grad.to(ours.dtype), *arguments),
        rtol=1e-3 if dtype != torch.bfloat16 else 2e-2,
        atol=1e-3,
    )


def test_contrastive_views() -> None:
    images = torch.randint(0, 256, (5, *SIZE, 3), dtype=torch.uint8)
    params = sample_contrastive(torch.arange(5), 0, 0, 2, SIZE)
    numbers = ([0.5] * 3, [0.25] * 3)
    arguments = (images, params, *numbers, 20, 24, True, torch.bfloat16, True)
    ours = torch.ops.fctfast.contrastive_views(*arguments)
    made = plain.contrastive_views(*arguments)
    assert (made.dtype, made.stride()) == (ours.dtype, ours.stride())
    torch.testing.assert_close(made, ours)


def test_parameters_of_another_size_are_refused() -> None:
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    params = sample_contrastive(torch.arange(1), 0, 0, 1, (32, 32))
    with pytest.raises(RuntimeError, match="expected a crop inside 8 x 8"):
        plain.contrastive_views(
            images, params, [0.5] * 3, [0.2] * 3, 8, 8, True, torch.float32, False
        )


@pytest.mark.parametrize(("column", "value"), [(7, -0.1), (8, float("inf")), (10, 0.6)])
def test_factors_of_colours_are_refused_as_by_the_kernel(column: int, value: float) -> None:
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    params = sample_contrastive(torch.arange(1), 0, 0, 1, (8, 8), jitter_share=1.0)
    params[0, column] = value
    for op in (plain.contrastive_views, torch.ops.fctfast.contrastive_views):
        with pytest.raises(RuntimeError, match=r"factors of colours .* half a circle"):
            op(images, params, [0.5] * 3, [0.2] * 3, 8, 8, True, torch.float32, False)
    params[0, 5] = 0  # no jitter: nobody reads them
    plain.contrastive_views(images, params, [0.5] * 3, [0.2] * 3, 8, 8, True, torch.float32, False)


def test_autocast_does_not_reach_into_a_kernel() -> None:
    z, group = random(200, 24), torch.arange(200) % 9
    how = (z, group, 0, -1, 0.1, 0.07, False)
    with torch.autocast("cpu", torch.bfloat16):
        made = plain.outside_autocast(plain.supcon_loss)(*how)
    assert torch.equal(made[1], plain.supcon_loss(*how)[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize(("rows", "first", "own"), [(200, 0, -1), (1500, 300, 1100), (3, 1, 0)])
def test_supcon_loss(
    rows: int, first: int, own: int, temperature: float, dtype: torch.dtype
) -> None:
    z, group = random(rows, 24, dtype=dtype), torch.arange(rows) % 9
    z[1], group[2] = 0, 77  # a row of zeros, an anchor without a positive
    how = (first, own, temperature, 0.07, False)
    loss, statistics = torch.ops.fctfast.supcon_loss(z, group, *how)
    made, made_statistics = plain.supcon_loss(z, group, *how)
    torch.testing.assert_close(made, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made_statistics, statistics, rtol=1e-5, atol=1e-5)
    every = torch.ops.fctfast.supcon_loss(z, group, 0, rows, temperature, 0.07, False)[1]
    slopes = [
        op(torch.tensor(1.5), z, group, every, *how).float()
        for op in (plain.supcon_loss_backward, torch.ops.fctfast.supcon_loss_backward)
    ]
    room = 1e-5 if dtype == torch.float32 else 1e-2
    assert slopes[0].shape == slopes[1].shape
    assert float((slopes[0] - slopes[1]).norm()) <= room * float(slopes[1].norm())


def test_every_op_serves_cuda_tensors() -> None:
    for name in plain.KERNELS:
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"fctfast::{name}", "CUDA")
    assert plain.register() == ()
