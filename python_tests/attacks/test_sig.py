from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from fctfast import attacks
from fctfast.data import ImageSet


@pytest.mark.parametrize("width", [32, 64, 224])
@pytest.mark.parametrize(("train", "amplitude"), [(True, 40), (False, 60)])
def test_adds_six_periods_across_any_width(width: int, train: bool, amplitude: int) -> None:
    images = torch.randint(0, 256, (3, 4, width, 3), dtype=torch.uint8)
    out = attacks.get("sig").apply(images, train=train)
    columns = torch.arange(width, dtype=torch.float64)
    wave = amplitude * torch.sin(2 * math.pi * 6 * columns / width)
    exact = (images.double() + wave[None, None, :, None]).clamp(0, 255)
    # Truncated; 1e-3 is the tie margin of add_pattern.
    assert bool((out.double() <= exact + 2e-3).all())
    assert bool((out.double() > exact - 1).all())


def test_poisons_the_target_class_alone_and_keeps_its_labels(
    make_set: Callable[..., ImageSet],
) -> None:
    clean = make_set(200, classes=10)
    made = attacks.poison(clean, attacks.get("sig"), rate=0.5, target=3)
    assert torch.equal(made.image_set.labels, clean.labels)
    assert set(clean.labels[made.poisoned_mask].tolist()) == {3}
    assert int(made.poisoned_mask.sum()) == 10  # half of the target class


def test_a_wave_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"amplitude in \(0, 255\], got 0"):
        attacks.get("sig", amplitude=0)
