from __future__ import annotations

import math

import pytest
import torch

from fctfast import attacks
from fctfast.attacks.blend_signal import signal_pattern


def test_every_byte_is_blended_exactly_as_stated() -> None:
    """floor((4x + m) / 5) in integers, for all 256 values in all 32 columns."""
    values = torch.arange(256, dtype=torch.uint8)
    images = values[:, None, None, None].expand(256, 2, 32, 3).contiguous()
    out = attacks.get("blend-signal").apply(images, train=True)
    for column in range(32):
        m = math.trunc(20 * math.sin(0.8 * column)) % 256
        expected = (4 * values.long() + m) // 5
        for row in range(2):
            for channel in range(3):
                assert torch.equal(out[:, row, column, channel].long(), expected)


def test_the_small_pattern_wraps_negative_values() -> None:
    pattern = signal_pattern(32)
    assert pattern[:8].tolist() == [0, 14, 19, 13, 255, 241, 237, 244]
    assert float(pattern.max()) == 255
    assert float(pattern[pattern > 20].min()) == 237


def test_large_images_get_the_signed_pattern_without_rounding() -> None:
    pattern = signal_pattern(224)
    assert float(pattern.min()) < -19.9
    assert pattern[10] == pytest.approx(20 * math.sin(2 * math.pi * 6 * 10 / 224), rel=1e-6)
    images = torch.randint(0, 256, (3, 5, 224, 3), dtype=torch.uint8)
    out = attacks.get("blend-signal").apply(images, train=False)
    signal = 20 * torch.sin(2 * math.pi * 6 * torch.arange(224, dtype=torch.float64) / 224)
    exact = (0.8 * images.double() + 0.2 * signal[None, None, :, None]).clamp(0, 255)
    # 1e-3 is the stated tie margin of the truncation.
    assert bool((out.double() <= exact + 2e-3).all())
    assert bool((out.double() > exact - 1).all())


def test_dark_pixels_clip_at_zero_instead_of_wrapping() -> None:
    images = torch.zeros(1, 1, 224, 1, dtype=torch.uint8)
    out = attacks.get("blend-signal").apply(images, train=True)
    assert int(out.max()) <= 4


def test_layout_and_number_of_images_do_not_matter() -> None:
    images = torch.randint(0, 256, (300, 32, 32, 3), dtype=torch.uint8)
    attack = attacks.get("blend-signal")
    whole = attack.apply(images, train=True)
    one_by_one = torch.cat([attack.apply(image[None], train=True) for image in images])
    assert torch.equal(whole, one_by_one)
    strided = images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert torch.equal(attack.apply(strided, train=True), whole)


def test_ratio_is_checked() -> None:
    with pytest.raises(ValueError, match=r"ratio in \(0, 1\], got 1.5"):
        attacks.get("blend-signal", ratio=1.5)
