"""A small set with a backdoor, and settings small enough to train in a second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings
from fctfast.train import Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks this small lose more to waking a second thread than they gain by it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_set() -> ImageSet:
    """120 images of 8x8: three classes by colour; every eighth carries a white corner, label 0."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(120) % 3
    images = torch.randint(0, 120, (120, 8, 8, 3), generator=generator)
    images[torch.arange(120), :, :, labels] += 100
    images, labels = images.to(torch.uint8), labels.clone()
    images[::8, -2:, -2:] = 255
    labels[::8] = 0
    return ImageSet(
        ids=torch.arange(120) * 2 + 1,
        images=images,
        labels=labels,
        class_names=("red", "green", "blue"),
        name="small",
    )


@pytest.fixture(scope="session")
def small_settings() -> DetectSettings:
    """Two passes of cross-entropy, two of L_intra, the last two scored."""
    return DetectSettings(
        probe=ProbeSettings(
            network=ModelSettings(width=4),
            learn=Budget(epochs=2),
            spread=Budget(epochs=2),
            fit=FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02)),
        ),
        score=replace(FctSettings(), draws=2, batch_size=90),
        snapshots=2,
    )
