from __future__ import annotations

import pytest
import torch

from fctfast import attacks


def test_writes_the_published_grid_and_nothing_else() -> None:
    images = torch.full((4, 32, 32, 3), 77, dtype=torch.uint8)
    out = attacks.get("badnets-all2one").apply(images, train=True)
    corner = torch.tensor([[0, 0, 255], [0, 255, 0], [255, 0, 255]], dtype=torch.uint8)
    for channel in range(3):
        assert torch.equal(out[0, 29:, 29:, channel], corner)
    changed = out != 77
    assert int(changed.sum()) == 4 * 9 * 3
    assert not changed[:, :29].any()
    assert not changed[:, :, :29].any()
    assert bool((images == 77).all()), "the caller's images must stay as they are"


def test_test_trigger_is_the_training_trigger() -> None:
    images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    attack = attacks.get("badnets-all2one")
    assert torch.equal(attack.apply(images, train=True), attack.apply(images, train=False))


@pytest.mark.parametrize(
    ("size", "cell"), [((28, 28), 1), ((32, 32), 1), ((33, 47), 1), ((64, 80), 2), ((224, 224), 7)]
)
def test_a_cell_grows_with_the_shorter_side(size: tuple[int, int], cell: int) -> None:
    images = torch.full((1, *size, 1), 9, dtype=torch.uint8)
    out = attacks.get("badnets-all2one").apply(images, train=True)[0, :, :, 0]
    side = 3 * cell
    assert int((out != 9).sum()) == side * side
    patch = out[-side:, -side:]
    assert patch[0, 0] == 0
    assert patch[0, -1] == 255
    assert patch[cell, cell] == 255
    assert patch[cell - 1, cell] == 0
    assert patch[-1, 0] == 255
    assert patch[-1, cell] == 0


def test_no_images_give_no_images() -> None:
    images = torch.zeros(0, 32, 32, 3, dtype=torch.uint8)
    assert attacks.get("badnets-all2one").apply(images, train=True).shape == (0, 32, 32, 3)


def test_an_image_smaller_than_the_patch_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"3x3 patch .* does not fit into images of 2x2"):
        attacks.get("badnets-all2one").apply(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), train=True)
