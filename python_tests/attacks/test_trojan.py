from __future__ import annotations

import pytest
import torch

from fctfast import attacks, models
from fctfast.attacks.trojan import PUBLISHED, Trojan
from fctfast.attacks.trojan_patch import optimise
from fctfast.train import normalise

MEAN, STD = [0.5] * 3, [0.25] * 3


def test_adds_the_published_patch_and_clips() -> None:
    images = torch.full((1, 32, 32, 3), 10, dtype=torch.uint8)
    images[0, 25, 25] = 200
    out = attacks.get("trojan").apply(images, train=True)
    assert out[0, 25, 25].tolist() == [255, 255, 255]  # 200 + 207, 131, 181: no wrapping
    assert out[0, 25, 27].tolist() == [39, 242, 189]
    assert out[0, 26, 26].tolist() == [147, 10, 42]
    assert out[0, 27, 25].tolist() == [141, 50, 14]
    changed = (out != images).any(3)[0]
    assert changed[25:28, 25:28].all()
    assert int(changed.sum()) == 9


@pytest.mark.parametrize(("side", "cell"), [(28, 1), (64, 2), (224, 7)])
def test_cell_and_distance_to_the_edges_grow(side: int, cell: int) -> None:
    images = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    out = attacks.get("trojan").apply(images, train=False)[0]
    first, last = side - 7 * cell, side - 4 * cell
    assert out[first, first].tolist() == [207, 131, 181]
    assert out[last - 1, last - 1].tolist() == [246, 250, 246]
    assert int((out.sum(2) > 0).sum()) == 9 * cell * cell


def test_grey_images_take_the_mean() -> None:
    out = attacks.get("trojan").apply(torch.zeros(1, 32, 32, 1, dtype=torch.uint8), train=True)
    assert out[0, 25, 25, 0] == (207 + 131 + 181) // 3


def test_a_recipe_keeps_the_patch() -> None:
    attack = attacks.get("trojan", patch=[[[1, 2]], [[3, 4]], [[5, 6]]])
    assert isinstance(attack, Trojan)
    again = attacks.recipe_attack({"attack": "trojan", "options": attack.options()})
    assert again == attack
    assert attacks.get("trojan").options()["patch"] == PUBLISHED


@pytest.mark.parametrize("patch", [[[[1]]], [[[1.5]]] * 3, [[[256]]] * 3, [[[1], [2, 3]]] * 3, 7])
def test_what_is_no_patch_is_refused(patch: object) -> None:
    with pytest.raises(ValueError, match=r"trojan: (expected|option) patch"):
        attacks.get("trojan", patch=patch)


def test_optimise_raises_the_chosen_neurons() -> None:
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8, generator=made)
    model = models.create_model("resnet18", num_classes=4, width=4)
    model.train()
    found = optimise(model, images, mean=MEAN, std=STD, neurons=[1, 5], steps=40)
    assert model.training
    model.eval()
    random = torch.randint(0, 256, (20, 3, 3, 3), generator=made).tolist()
    others = [attacks.get("trojan"), *(attacks.get("trojan", patch=patch) for patch in random)]

    def activation(batch: torch.Tensor) -> float:
        with torch.no_grad():
            return float(model.features(normalise(batch, MEAN, STD))[:, [1, 5]].mean())

    before, after = activation(images), activation(found.attack.apply(images, train=True))
    assert found.before == pytest.approx(before, rel=1e-4)
    assert found.after == pytest.approx(after, rel=1e-4)
    # The activation gain: more than 1.5 times that of the best of the published patch and 20
    # random ones (one step of Adam alone gains less than these).
    best = max(activation(attack.apply(images, train=True)) for attack in others)
    assert best > before
    assert after - before > 1.5 * (best - before)
    again = optimise(model, images, mean=MEAN, std=STD, neurons=[1, 5], steps=40)
    assert again.attack == found.attack


def test_optimise_refuses_neurons_that_are_none() -> None:
    images = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    model = models.create_model("resnet18", num_classes=4, width=4)
    with pytest.raises(ValueError, match=r"neurons of 0\.\.31, got \(32,\)"):
        optimise(model, images, mean=MEAN, std=STD, neurons=[32])
    with pytest.raises(ValueError, match=r"images \[N, H, W, 1 or 3\]"):
        optimise(model, images[..., :2], mean=MEAN, std=STD)


def test_optimise_makes_a_patch_for_grey_images() -> None:
    made = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (16, 28, 28, 1), dtype=torch.uint8, generator=made)
    model = models.create_model("resnet18", num_classes=4, width=4, in_channels=1)
    found = optimise(model, images, mean=[0.5], std=[0.25], neurons=[1], steps=40)
    published = attacks.get("trojan").apply(images, train=True)
    with torch.no_grad():
        seen = model.eval().features(normalise(published, [0.5], [0.25]))[:, 1].mean()
    assert found.after > found.before
    assert found.after > float(seen)
