from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fctfast import attacks
from fctfast.data import ImageSet


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((32, 32), (28, 31), (28, 31)),
        ((64, 80), (56, 62), (72, 78)),  # cells of two pixels, one cell from the corner
        ((224, 224), (202, 224), (202, 224)),  # 22x22, flush in the corner
        ((112, 200), (101, 112), (189, 200)),
    ],
)
def test_a_white_square_and_nothing_else(
    size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    images = torch.full((2, *size, 3), 9, dtype=torch.uint8)
    out = attacks.get("badnets-all2all").apply(images, train=True)
    expected = images.clone()
    expected[:, rows[0] : rows[1], columns[0] : columns[1]] = 255
    assert torch.equal(out, expected)


def test_labels_move_on_by_one_and_every_class_is_poisoned(
    make_set: Callable[..., ImageSet],
) -> None:
    clean = make_set(200, classes=10)
    made = attacks.poison(clean, attacks.get("badnets-all2all"), rate=0.5)
    mask = made.poisoned_mask
    assert int(mask.sum()) == 100  # of all samples
    assert torch.equal(made.image_set.labels[mask], (clean.labels[mask] + 1) % 10)
    assert torch.equal(made.image_set.labels[~mask], clean.labels[~mask])
    assert len(torch.unique(clean.labels[mask])) == 10


def test_every_test_sample_is_triggered(make_set: Callable[..., ImageSet]) -> None:
    test = make_set(50, classes=5)
    made = attacks.trigger_test_set(test, attacks.get("badnets-all2all"))
    assert torch.equal(made.image_set.labels, (test.labels + 1) % 5)
