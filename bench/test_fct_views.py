"""fct_views against every way people make normalised originals plus rotated + shifted views.

Each row turns the same uint8 NHWC batch into the float32 batch [originals, views].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fctfast.ops import fct_views, sample_rotate_affine

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
SHIFT, SCALE = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
SIZES = [(512, 32), (64, 224)]


@pytest.fixture(params=SIZES, ids=[f"{b}x{s}" for b, s in SIZES])
def batch(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    count, side = request.param
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=made)
    params = sample_rotate_affine(torch.arange(count), 0, 0, 180.0, (0.2, 0.2), (side, side))
    return images, params


def info(images: Tensor, kind: str, **more: Any) -> dict[str, Any]:
    count, side = images.shape[:2]
    group = f"{count} images of {side} x {side}, one draw, float32"
    return {"group": group, "kind": kind, "items": count, "unit": "images", **more}


def normalise(images: Tensor) -> Tensor:
    # Contiguous first: torch's broadcast over a permuted batch takes twice as long.
    planar = images.permute(0, 3, 1, 2).contiguous()
    return planar.float().div_(255).sub_(SHIFT).div_(SCALE)


def test_ours(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    measure(lambda: fct_views(images, params, MEAN, STD), **info(images, "ours"))


def test_ours_channels_last(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    last = torch.channels_last
    measure(
        lambda: fct_views(images, params, MEAN, STD, memory_format=last), **info(images, "variant")
    )


def test_ours_bfloat16(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    measure(
        lambda: fct_views(images, params, MEAN, STD, dtype=torch.bfloat16),
        **info(images, "variant", note="writes half the bytes of the other rows"),
    )


def test_ours_bilinear(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    measure(
        lambda: fct_views(images, params, MEAN, STD, interpolation="bilinear"),
        **info(images, "variant"),
    )


def grid_sample_views(images: Tensor, params: Tensor) -> Tensor:
    count, height, width, channels = images.shape
    x = normalise(images)
    angle = params[:, 0].mul(math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    u, v = -2 * params[:, 1] / width, -2 * params[:, 2] / height
    theta = torch.stack([cos, -sin, cos * u - sin * v, sin, cos, sin * u + cos * v], 1)
    grid = torch.nn.functional.affine_grid(
        theta.reshape(-1, 2, 3), [count, channels, height, width], align_corners=False
    )
    # Sampling before normalising would cost the same; fill is normalised zero either way.
    moved = torch.nn.functional.grid_sample(
        x - (0 - SHIFT) / SCALE, grid, mode="nearest", align_corners=False
    )
    return torch.cat([x, moved + (0 - SHIFT) / SCALE])


def test_grid_sample_batched(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    fill_free = "fill added back after sampling"
    measure(
        lambda: grid_sample_views(images, params), **info(images, "peer", rounds=20, note=fill_free)
    )


def test_grid_sample_batched_black_fill_ignored(
    measure: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    """The cheapest form of the peer: pixels without a source become 0 after normalising."""
    images, params = batch

    def views() -> Tensor:
        x = normalise(images)
        angle = params[:, 0].mul(math.pi / 180)
        cos, sin = angle.cos(), angle.sin()
        zero = torch.zeros_like(cos)
        theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3)
        theta[:, :, 2] = theta[:, :, :2] @ torch.tensor([0.1, 0.1])
        grid = torch.nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
        moved = torch.nn.functional.grid_sample(x, grid, mode="nearest", align_corners=False)
        return torch.cat([x, moved])

    measure(views, **info(images, "peer", rounds=20, note="least work: wrong fill, no shift drawn"))


def test_kornia(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    kornia = pytest.importorskip("kornia", reason="kornia is not installed")
    images, params = batch

    def views() -> Tensor:
        x = normalise(images)
        centre = torch.full((len(x), 2), (x.shape[2] - 1) / 2)
        matrix = kornia.geometry.transform.get_affine_matrix2d(
            params[:, 1:], centre, torch.ones(len(x), 2), params[:, 0]
        )[:, :2]
        moved = kornia.geometry.transform.warp_affine(
            x, matrix, (x.shape[2], x.shape[3]), mode="nearest", align_corners=True
        )
        return torch.cat([x, moved])

    measure(views, **info(images, "peer", rounds=15, note="fill is 0 after normalising"))


def test_torchvision_v2_per_sample(
    measure: Callable[..., Any], batch: tuple[Tensor, Tensor]
) -> None:
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images, params = batch
    planar = images.permute(0, 3, 1, 2).contiguous()
    rows = params.tolist()

    def view(image: Tensor, angle: float, dx: float, dy: float) -> Tensor:
        turned = functional.rotate(image, angle)
        moved = functional.affine(turned, 0.0, [int(dx), int(dy)], 1.0, [0.0, 0.0])
        return functional.normalize(
            functional.to_dtype(moved, torch.float32, scale=True), MEAN, STD
        )

    def views() -> Tensor:
        originals = [
            functional.normalize(functional.to_dtype(i, torch.float32, scale=True), MEAN, STD)
            for i in planar
        ]
        return torch.stack(originals + [view(i, *p) for i, p in zip(planar, rows, strict=True)])

    measure(views, **info(images, "peer", rounds=5))


def test_pillow_per_sample(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    side = images.shape[1]
    pictures = [Image.fromarray(i) for i in images.numpy()]
    rows = params.tolist()

    def views() -> Tensor:
        moved = [
            p.rotate(angle).transform(
                (side, side), Image.Transform.AFFINE, (1, 0, -int(dx), 0, 1, -int(dy))
            )
            for p, (angle, dx, dy) in zip(pictures, rows, strict=True)
        ]
        stacked = np.stack([np.asarray(p) for p in pictures + moved])
        return normalise(torch.from_numpy(stacked))

    measure(views, **info(images, "peer", rounds=10))


def test_copy_of_the_output(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    source = fct_views(images, params, MEAN, STD)
    target = torch.empty_like(source)
    measure(
        lambda: target.copy_(source),
        **info(images, "limit", note="into memory already touched; ours allocates afresh"),
    )


def test_fill_of_the_output(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    target = fct_views(images, params, MEAN, STD)
    note = "writes only: ours reads a byte where the copy reads four"
    measure(lambda: target.fill_(0.5), **info(images, "other limit", note=note))


def test_clone_of_the_output(measure: Callable[..., Any], batch: tuple[Tensor, Tensor]) -> None:
    images, params = batch
    source = fct_views(images, params, MEAN, STD)
    measure(source.clone, **info(images, "other limit", note="a copy into fresh memory"))
