"""Channel statistics against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fctfast.data import channel_statistics


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (5000, 2, 3, 1), (7, 33, 47, 3)])
def test_mean_and_std_are_numpys(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    mean, std = channel_statistics(torch.from_numpy(images))
    exact = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-12)
    expected = exact.std((0, 1, 2))
    np.testing.assert_allclose(std, np.where(expected == 0, 1, expected), rtol=1e-9)


def test_order_does_not_show() -> None:
    images = torch.randint(0, 256, (100, 4, 4, 3), dtype=torch.uint8)
    assert channel_statistics(images) == channel_statistics(images.flip(0))


def test_a_constant_channel_can_be_divided_by() -> None:
    assert channel_statistics(torch.full((2, 2, 2, 1), 255, dtype=torch.uint8)) == ((1.0,), (1.0,))


def test_other_inputs_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected uint8 images, got torch\.float32"):
        channel_statistics(torch.zeros(1, 2, 2, 3))
    with pytest.raises(ValueError, match=r"N > 0, got \[0, 2, 2, 3\]"):
        channel_statistics(torch.zeros(0, 2, 2, 3, dtype=torch.uint8))
