"""A small set with a backdoor, and D-BR small enough to run in seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.defend import BaseSettings, DBRConfig, RemovalSettings
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings
from fctfast.train import AugmentSettings, Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

QUICK = FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02))


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
def config() -> DBRConfig:
    """Three passes of base training, two rounds of BR."""
    return DBRConfig(
        detect=DetectSettings(
            probe=ProbeSettings(network=ModelSettings(width=4), spread=Budget(epochs=0), fit=QUICK),
            score=FctSettings(draws=2, batch_size=90),
            alpha_c=0.25,
            alpha_p=0.1,
        ),
        base=BaseSettings(
            network=ModelSettings(width=4),
            budget=Budget(epochs=3),
            fit=QUICK,
            augment=AugmentSettings(crop=1, flip=True),
        ),
        removal=RemovalSettings(
            rounds=2, fit=QUICK, augment=AugmentSettings(crop=1, flip=True), stop=None
        ),
    )
