"""The parameters of contrastive views: reproducible, in range, distributed as published."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fctfast.ops import reference, sample_contrastive
from fctfast.ops.sample_contrastive import COLUMNS


def column(params: Tensor, name: str) -> Tensor:
    return params[:, COLUMNS.index(name)]


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (200, 9), (9, 200), (1, 1)])
def test_they_are_those_of_the_reference(size: tuple[int, int]) -> None:
    ids = torch.tensor([0, 5, 2**40, -3, *range(100, 160)])
    for seed, how in (
        (7, {}),
        (
            -(2**60),
            {"scale": (0.08, 0.5), "jitter": (0.1, 0.2, 0.3, 0.5), "flip_share": 0.1},
        ),
    ):
        ours = sample_contrastive(ids, seed, 3, 2, size, **how)
        assert torch.equal(ours, reference.sample_contrastive(ids, seed, 3, 2, size, **how))
        top, left, height, width = (ours[:, i] for i in range(4))
        assert bool((top >= 0).all() and (top + height <= size[0]).all() and (height >= 1).all())
        assert bool((left >= 0).all() and (left + width <= size[1]).all() and (width >= 1).all())


def test_they_belong_to_seed_id_epoch_and_view() -> None:
    ids = torch.arange(50)
    made = sample_contrastive(ids, 1, 2, 2, (32, 32))
    turned = sample_contrastive(ids.flip(0), 1, 2, 2, (32, 32))
    assert torch.equal(turned.view(2, 50, 16).flip(1), made.view(2, 50, 16))
    assert torch.equal(sample_contrastive(ids, 1, 2, 1, (32, 32)), made[:50])
    for other in (
        made[50:],
        sample_contrastive(ids, 2, 2, 1, (32, 32)),
        sample_contrastive(ids, 1, 3, 1, (32, 32)),
        sample_contrastive(ids + 50, 1, 2, 1, (32, 32)),
    ):
        assert float((other[:, :11] == made[:50, :11]).float().mean()) < 0.3


def test_they_have_the_distribution_of_the_published_pipeline() -> None:
    made = sample_contrastive(torch.arange(20_000), 0, 0, 2, (32, 32))
    for name, share in (("flip", 0.5), ("jitter", 0.8), ("grey", 0.2)):
        assert float(column(made, name).mean()) == pytest.approx(share, abs=0.01)
    assert torch.bincount(column(made, "order").long(), minlength=24).min() > 1_400  # of 1,667
    for name in ("brightness", "contrast", "saturation"):
        factor = column(made, name)
        assert 0.6 <= float(factor.min()) < 0.61
        assert 1.39 < float(factor.max()) <= 1.4
    assert float(column(made, "hue").abs().max()) <= 0.1
    # torchvision draws the same crops, from another stream.
    from torchvision.transforms.v2 import RandomResizedCrop

    torch.manual_seed(0)
    theirs = RandomResizedCrop(32, scale=(0.2, 1.0))
    drawn = [theirs.make_params([torch.empty(3, 32, 32)]) for _ in range(20_000)]
    for name in ("top", "left", "height", "width"):
        wanted = torch.tensor([float(d[name]) for d in drawn])
        found = column(made, name)
        assert float(found.mean()) == pytest.approx(float(wanted.mean()), abs=0.1)
        assert float(found.std()) == pytest.approx(float(wanted.std()), rel=0.03)


def test_opcheck() -> None:
    numbers = (torch.arange(3), 0, 0, 2, 8, 8, [0.2, 1.0], [0.4, 0.4, 0.4, 0.1], 0.8, 0.2, 0.5)
    torch.library.opcheck(torch.ops.fctfast.sample_contrastive, numbers)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"ids": torch.zeros(3)}, TypeError, "ids int64"),
        ({"ids": torch.zeros(3, 1, dtype=torch.int64)}, ValueError, r"int64 \[B\]"),
        ({"epoch": -1}, ValueError, "0 <= epoch"),
        ({"size": (0, 8)}, ValueError, "at least one pixel"),
        ({"size": 32}, TypeError, r"size \(height, width\) in pixels, got 32"),
        ({"size": (32.5, 32)}, TypeError, "height to be a whole number, got 32.5"),
        ({"epoch": 1.5}, TypeError, "epoch to be a whole number, got 1.5"),
        ({"scale": (0.5, 0.2)}, ValueError, r"0 < scale\[0\]"),
        ({"scale": (0.5,)}, ValueError, r"0 < scale\[0\]"),
        ({"epoch": 2**32}, ValueError, r"epoch < 2\^32"),
        ({"jitter": (0.4, 0.4, 0.4, 0.6)}, ValueError, "that of hue at most .5"),
        ({"scale": 0.5}, TypeError, "scale to be a sequence of numbers, got 0.5"),
        ({"jitter": 0.4}, TypeError, "jitter to be a sequence of numbers, got 0.4"),
        ({"seed": 0.5}, TypeError, "seed to be a whole number, got 0.5"),
        ({"grey_share": 1.5}, ValueError, "grey_share in"),
    ],
)
def test_errors_teach(change: dict[str, Any], kind: type[Exception], words: str) -> None:
    good: dict[str, Any] = {
        "ids": torch.arange(3), "seed": 0, "epoch": 0, "views": 2, "size": (8, 8),
    }  # fmt: skip
    with pytest.raises(kind, match=words):
        sample_contrastive(**{**good, **change})
