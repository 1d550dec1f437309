"""The embedded digits: always there, always the same."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from fctfast.data import no_progress, open_dataset

# Every published number on the digits rests on these bits.
FINGERPRINT = "d6959f7f1652ab947fea2d7fade3a7900974d3abc1216fcf4f057825c2bbd55f"


def test_train_and_test_are_the_whole_and_never_meet() -> None:
    train = open_dataset("digits", progress=no_progress)
    test = open_dataset("digits", split="test", progress=no_progress)
    assert (len(train), len(test)) == (1500, 297)
    assert torch.cat([train.ids, test.ids]).sort().values.tolist() == list(range(1797))
    assert train.image_size == (32, 32)
    assert train.channels == 3
    assert train.num_classes == 10
    assert train.fingerprint() == FINGERPRINT


def test_pixels_and_labels_are_scikit_learns() -> None:
    test = open_dataset("digits", split="test", progress=no_progress)
    digits = load_digits()
    small = test.images[:, ::4, ::4, 1].numpy().astype(np.float64)
    ids = test.ids.numpy()
    np.testing.assert_allclose(small, digits.images[ids] * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(test.labels.numpy(), digits.target[ids])
    assert test.images.min() == 0
    assert test.images.max() == 255


def test_options_apply() -> None:
    made = open_dataset("digits", image_size=28, limit=50, seed=2, progress=no_progress)
    assert made.images.shape == (50, 28, 28, 3)
    whole = open_dataset("digits", progress=no_progress)
    assert made.labels.tolist() == whole.subset(made.ids).labels.tolist()
