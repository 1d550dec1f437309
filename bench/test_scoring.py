"""FCT scoring from end to end against the bare network and against two peers in plain torch.

All rows score the same images with the same ResNet-18 of width 16 and one draw of tau, and end
with the scores of every sample in a Parquet file. CIFAR-10 beside the checkout is used when it is
there (the table says which), else random images of its size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import fctfast
from fctfast import io
from fctfast.ops import fct_views, sample_rotate_affine

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
COUNT, BATCH = 2000, 256
CIFAR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10.zip"


@pytest.fixture(scope="module")
def data() -> fctfast.ImageSet:
    if CIFAR.is_file():
        return fctfast.open_dataset(f"{CIFAR}/cifar10", limit=COUNT)
    made = torch.Generator().manual_seed(0)
    return fctfast.ImageSet(
        ids=torch.arange(COUNT),
        images=torch.randint(0, 256, (COUNT, 32, 32, 3), dtype=torch.uint8, generator=made),
        labels=torch.arange(COUNT) % 10,
        class_names=tuple("0123456789"),
    )


@pytest.fixture(scope="module")
def model() -> nn.Module:
    made = fctfast.create_model("resnet18", num_classes=10, width=16)
    return made.to(memory_format=torch.channels_last).eval()


def info(kind: str, rounds: int, note: str = "") -> dict[str, Any]:
    where = "CIFAR-10" if CIFAR.is_file() else "random images (CIFAR-10 is not here)"
    group = f"{COUNT} images of 32 x 32, {where}, ResNet-18 of width 16, one draw"
    return {
        "group": group,
        "kind": kind,
        "items": COUNT,
        "unit": "images",
        "rounds": rounds,
        "warmup": min(2, rounds // 3),  # a slow row needs none
        "note": note,
    }


def test_ours(
    measure: Callable[..., Any], data: fctfast.ImageSet, model: nn.Module, tmp_path: Path
) -> None:
    measure(
        lambda: fctfast.score(
            data, model=model, draws=1, mean=MEAN, std=STD, batch_size=BATCH, device="cpu",
            out=tmp_path / "scores.parquet",
        ),
        **info("ours", 15),
    )  # fmt: skip


def test_bare_forward_passes(
    measure: Callable[..., Any], data: fctfast.ImageSet, model: nn.Module
) -> None:
    params = sample_rotate_affine(data.ids, 0, 0, 180.0, (0.2, 0.2), (32, 32))
    half = BATCH // 2
    batches = [
        fct_views(
            data.images[i : i + half], params[i : i + half], MEAN, STD,
            memory_format=torch.channels_last,
        )
        for i in range(0, COUNT, half)
    ]  # fmt: skip

    def forward() -> None:
        with torch.inference_mode():
            for batch in batches:
                model.features(batch)  # type: ignore[operator]

    measure(forward, **info("limit", 15, "the same batches, made beforehand"))


class PlainViews(torch.utils.data.Dataset[tuple[Tensor, Tensor, int]]):
    """Normalised x and tau(x) as torchvision users write them, one sample at a time."""

    def __init__(self, data: fctfast.ImageSet) -> None:
        from torchvision import transforms

        self.pictures = [Image.fromarray(i) for i in data.images.numpy()]
        self.plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
        self.tau = transforms.Compose(
            [
                transforms.RandomRotation(180),
                transforms.RandomAffine(degrees=0, translate=(0.2, 0.2)),
                self.plain,
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        return self.plain(self.pictures[index]), self.tau(self.pictures[index]), index


def plain_pass(dataset: PlainViews, model: nn.Module, batch: int, workers: int) -> Tensor:
    scores = torch.empty(len(dataset))
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=workers)
    with torch.no_grad():
        for images, views, rows in loader:
            difference = model.features(images) - model.features(views)  # type: ignore[operator]
            scores[rows] = difference.square().sum(1)
    return scores


def write(scores: Tensor, data: fctfast.ImageSet, path: Path) -> None:
    order = scores.argsort()
    split = np.full(len(data), "uncertain", dtype=object)
    split[order[: len(data) // 5]] = "clean"
    split[order[-len(data) // 20 :]] = "poisoned"
    io.write_table(path, {"id": data.ids.numpy(), "fct": scores.numpy(), "split": split.tolist()})


def test_plain_torch_as_a_good_engineer_writes_it(
    measure: Callable[..., Any], data: fctfast.ImageSet, model: nn.Module, tmp_path: Path
) -> None:
    pytest.importorskip("torchvision")
    dataset = PlainViews(data)
    measure(
        lambda: write(plain_pass(dataset, model, BATCH, 2), data, tmp_path / "scores.parquet"),
        **info("peer", 3, "no_grad, batch 256, two workers, each sample indexed and scored once"),
    )


def test_published_style(
    measure: Callable[..., Any], data: fctfast.ImageSet, model: nn.Module, tmp_path: Path
) -> None:
    pytest.importorskip("torchvision")
    dataset = PlainViews(data)

    def run() -> None:
        plain_pass(dataset, model, 128, 2)  # gives the thresholds
        write(plain_pass(dataset, model, 1, 0), data, tmp_path / "scores.parquet")

    measure(
        run,
        **info("peer", 2, "one pass for the thresholds, tau redrawn for the split at batch 1"),
    )
