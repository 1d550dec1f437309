"""Small random image sets for the attacks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

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
