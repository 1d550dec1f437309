"""Small random image sets for the attacks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from fctfast.attacks import Attack, stegastamp_training
from fctfast.data import ImageSet


@pytest.fixture
def make_set() -> Callable[..., ImageSet]:
    """Factory of random sets with balanced classes and ids that are not row numbers."""

    def make(
        n: int = 200, *, classes: int = 10, size: tuple[int, int] = (32, 32), channels: int = 3
    ) -> ImageSet:
        rng = torch.Generator().manual_seed(n)
        return ImageSet(
            ids=torch.arange(n) * 3 + 5,
            images=torch.randint(0, 256, (n, *size, channels), dtype=torch.uint8, generator=rng),
            labels=torch.arange(n) % classes,
            class_names=tuple(f"class-{i}" for i in range(classes)),
            paths=None,
            quarantined=(),
            name="random",
        )

    return make


@pytest.fixture(scope="session")
def pictures() -> Callable[..., ImageSet]:
    """pictures(n, (height, width), channels): soft shapes, in which bits hide as in photographs."""

    def make(n: int, size: tuple[int, int], channels: int, seed: int = 0) -> ImageSet:
        random = torch.Generator().manual_seed(seed)
        coarse = torch.rand(n, channels, 4, 4, generator=random)
        soft = F.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
        images = soft.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return ImageSet(
            ids=torch.arange(n), images=images, labels=torch.arange(n) % 4,
            class_names=("a", "b", "c", "d"),
        )  # fmt: skip

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Made networks are kept here and not in the user's cache."""
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hardly_trained(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders of one step: whatever does not depend on how well they hide."""
    made = functools.partial(stegastamp_training.StampTraining, steps=1, batch_size=2)
    monkeypatch.setattr(stegastamp_training, "StampTraining", made)


@pytest.fixture
def applicable(hardly_trained: None) -> Callable[[Attack, torch.Tensor], Attack]:
    """Make an attack ready to trigger test images like these."""

    def make(attack: Attack, images: torch.Tensor) -> Attack:
        if not attack.test_needs_model:
            return attack
        count = len(images)
        names = tuple(f"class-{i}" for i in range(2))
        labels = torch.arange(count) % 2
        some = ImageSet(ids=torch.arange(count), images=images, labels=labels, class_names=names)
        return attack.prepared(some, target=0, seed=0)

    return make
