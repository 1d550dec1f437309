"""Augmentation: what it does to pixels, and that only (seed, purpose, epoch, id) decide."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.train import AugmentSettings, ViewSettings, augment, normalise

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
ALL = AugmentSettings(crop=4, flip=True, rotation=15)


def _images(count: int, height: int = 12, width: int = 10) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (count, height, width, 3), dtype=torch.uint8, generator=rng)


def _augment(images: Tensor, ids: Tensor, settings: Any, **other: Any) -> Tensor:
    key = {"seed": 1, "purpose": "base", "epoch": 2} | other
    return augment(images, ids, settings, mean=MEAN, std=STD, **key)


def _pixels(x: Tensor) -> Tensor:
    scale = torch.tensor(STD)[:, None, None]
    return (x.mul(scale).add(torch.tensor(MEAN)[:, None, None]) * 255).round().to(torch.uint8)


def test_without_augmentation_images_are_normalised_as_the_table_says() -> None:
    images = _images(5)
    expected = images.permute(0, 3, 1, 2).float().div(255)
    expected = expected.sub(torch.tensor(MEAN)[:, None, None]).div(torch.tensor(STD)[:, None, None])
    assert torch.equal(_augment(images, torch.arange(5), AugmentSettings()), expected)
    assert torch.equal(normalise(images, MEAN, STD), expected)


@pytest.mark.parametrize(
    "settings", [ALL, AugmentSettings(crop=2), AugmentSettings(flip=True), ViewSettings()]
)
def test_neither_order_nor_batch_size_matters(settings: AugmentSettings | ViewSettings) -> None:
    images, ids = _images(9), torch.arange(9) * 1000
    views = settings.views if isinstance(settings, ViewSettings) else 1

    def by_sample(rows: Tensor) -> Tensor:
        made = _augment(images[rows], ids[rows], settings)
        return made.view(views, len(rows), *made.shape[1:])

    whole = by_sample(torch.arange(9))
    order = torch.tensor([8, 3, 0, 5, 1, 2, 7, 6, 4])
    assert torch.equal(by_sample(order), whole[:, order])
    alone = torch.cat([by_sample(torch.tensor([i])) for i in range(9)], 1)
    assert torch.equal(alone, whole)


@pytest.mark.parametrize("settings", [ALL, ViewSettings()])
@pytest.mark.parametrize("other", [{"seed": 2}, {"epoch": 3}, {"purpose": "relearn"}])
def test_seed_epoch_and_purpose_each_change_the_draws(
    other: dict[str, Any], settings: AugmentSettings | ViewSettings
) -> None:
    images, ids = _images(32), torch.arange(32)
    made = _augment(images, ids, settings)
    assert not torch.equal(made, _augment(images, ids, settings, **other))


def test_every_crop_is_a_window_of_the_padded_image_and_all_windows_occur() -> None:
    image = _images(1)
    count = 3000
    crops = _augment(
        image.expand(count, -1, -1, -1), torch.arange(count), AugmentSettings(crop=2, flip=True)
    )
    padded = F.pad(image[0].permute(2, 0, 1), (2, 2, 2, 2))
    windows = {}
    for top in range(5):
        for left in range(5):
            window = padded[:, top : top + 12, left : left + 10]
            windows[window.numpy().tobytes()] = (top, left, False)
            windows[window.flip(2).numpy().tobytes()] = (top, left, True)
    seen: dict[tuple[int, int, bool], int] = {}
    for crop in _pixels(crops):
        found = windows[crop.contiguous().numpy().tobytes()]
        seen[found] = seen.get(found, 0) + 1
    assert len(seen) == 50
    # 60 expected a window, standard deviation 7.7.
    assert min(seen.values()) > 20
    assert max(seen.values()) < 105


def test_a_flip_alone_mirrors_half_of_the_images() -> None:
    images = _images(400)
    out = _pixels(_augment(images, torch.arange(400), AugmentSettings(flip=True)))
    plain = images.permute(0, 3, 1, 2)
    mirrored = (out == plain.flip(3)).flatten(1).all(1)
    assert ((out == plain).flatten(1).all(1) ^ mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_rotation_stays_within_its_angle() -> None:
    # A bright column through the centre leans by the angle: its top end moves by 15 tan(angle).
    image = torch.zeros(1, 31, 31, 3, dtype=torch.uint8)
    image[:, :, 15] = 255
    count = 500
    out = _pixels(
        _augment(image.expand(count, -1, -1, -1), torch.arange(count), AugmentSettings(rotation=15))
    )
    top = out[:, 0, 0].float()
    lit = top.amax(1) > 0
    shift = top.argmax(1)[lit] - 15
    assert lit.float().mean() > 0.8  # in the other rows rounding loses the end of the column
    assert shift.abs().max() <= 5  # 15 tan 15 degrees = 4.02, and a pixel of rounding
    assert shift.min() <= -3
    assert shift.max() >= 3


def test_channels_last_holds_the_same_numbers() -> None:
    images, ids = _images(4), torch.arange(4)
    plain = _augment(images, ids, ALL)
    last = _augment(images, ids, ALL, memory_format=torch.channels_last)
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_images_are_not_changed_and_no_global_generator_moves() -> None:
    images = _images(4)
    copy, before = images.clone(), torch.random.get_rng_state()
    _augment(images, torch.arange(4), ALL)
    assert torch.equal(images, copy)
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_channel() -> None:
    grey = _images(3)[..., :1]
    out = augment(grey, torch.arange(3), ALL, mean=(0.5,), std=(0.5,), seed=0, purpose="p", epoch=0)
    assert out.shape == (3, 1, 12, 10)
