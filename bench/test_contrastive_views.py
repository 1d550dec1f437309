"""contrastive_views against the ways people make two augmented views, one thread each.

Every row turns the same uint8 images into two normalised float32 views: random resized crop, flip,
colour jitter, grey. `pil` is the published code's pipeline; its images are PIL ones from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import v2

from fctfast.ops import contrastive_views, sample_contrastive

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
SIZES = [(256, 32, 32), (16, 256, 224)]
Sizes = tuple[int, int, int]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(sizes: Sizes) -> Tensor:
    count, side, _ = sizes
    made = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=made)


def ours(images: Tensor, side: int, **how: Any) -> Tensor:
    params = sample_contrastive(torch.arange(len(images)), 0, 0, 2, tuple(images.shape[1:3]))
    return contrastive_views(images, params, MEAN, STD, size=(side, side), **how)


def pil(images: Tensor, side: int) -> Callable[[], object]:
    pictures = [Image.fromarray(image.numpy()) for image in images]
    pipeline = transforms.Compose([
        transforms.RandomResizedCrop(side, scale=(0.2, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    return lambda: torch.stack([pipeline(p) for p in pictures for _ in range(2)])


def torchvision(images: Tensor, side: int) -> Callable[[], object]:
    planar = images.permute(0, 3, 1, 2).contiguous()
    pipeline = v2.Compose([
        v2.RandomResizedCrop(side, scale=(0.2, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])  # fmt: skip
    return lambda: torch.stack([pipeline(image) for image in planar for _ in range(2)])


def kornia(images: Tensor, side: int) -> Callable[[], object]:
    k = pytest.importorskip("kornia.augmentation")
    planar = images.permute(0, 3, 1, 2).contiguous()
    pipeline = k.AugmentationSequential(
        k.RandomResizedCrop((side, side), scale=(0.2, 1.0)),
        k.RandomHorizontalFlip(),
        k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        k.RandomGrayscale(p=0.2),
        k.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    return lambda: pipeline((planar.float() / 255).repeat(2, 1, 1, 1))


@pytest.mark.parametrize("sizes", SIZES, ids=[f"{s}to{o}" for _, s, o in SIZES])
@pytest.mark.parametrize("row", ["ours", "ours_bfloat16", "pil", "torchvision_v2", "kornia"])
def test_two_views(measure: Callable[..., Any], sizes: Sizes, row: str) -> None:
    images, (count, side, out) = batch(sizes), sizes
    make = {"pil": pil, "torchvision_v2": torchvision, "kornia": kornia}
    function = (
        make[row](images, out)
        if row in make
        else lambda: ours(images, out, dtype=torch.bfloat16 if "16" in row else torch.float32)
    )
    kinds = {"ours": "ours", "ours_bfloat16": "variant"}
    measure(
        function,
        group=f"two views of {count} images, {side} to {out} pixels, one thread",
        kind=kinds.get(row, "peer"),
        items=2 * count,
        unit="views",
        rounds=40 if row.startswith("ours") else 8,
        warmup=1,
        note="kornia interpolates without antialiasing" if row == "kornia" else "",
    )
