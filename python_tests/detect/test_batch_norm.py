"""Facts about recomputed batch-norm statistics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect.batch_norm import BATCH, IMAGES, recompute_batch_norm, statistics_batches
from fctfast.seeding import permutation
from fctfast.train import normalise


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())


def test_statistics_are_the_plain_average_over_batches() -> None:
    model = network().eval()
    model[1].running_mean.fill_(100.0)
    batches = [torch.randn(8, 3, 5, 5), 3 * torch.randn(8, 3, 5, 5)]
    assert recompute_batch_norm(model, batches) == 1
    with torch.no_grad():
        outs = [model[0](b) for b in batches]
    mean = torch.stack([o.mean((0, 2, 3)) for o in outs]).mean(0)
    variance = torch.stack([o.var((0, 2, 3), correction=1) for o in outs]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, variance)


def test_weights_modes_and_momentum_stay_as_they_were() -> None:
    model = network()
    model[1].momentum = 0.3
    model[2].eval()
    before = [p.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    recompute_batch_norm(model, [torch.randn(4, 3, 2, 2)])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [m.training for m in model.modules()] == modes
    assert model[1].momentum == 0.3


def test_modes_come_back_after_an_error() -> None:
    model = network().eval()
    with pytest.raises(RuntimeError):
        recompute_batch_norm(model, [torch.randn(4, 7, 2, 2)])
    assert not any(m.training for m in model.modules())
    assert model[1].momentum == 0.1


def test_no_layers_means_nothing_to_run_and_no_batches_is_an_error() -> None:
    assert recompute_batch_norm(nn.Linear(2, 2), iter([])) == 0
    with pytest.raises(ValueError, match="at least one batch"):
        recompute_batch_norm(network(), [])


def batches_of(count: int) -> tuple[ImageSet, list[torch.Tensor]]:
    pixels = torch.arange(count * 3) % 251
    data = ImageSet(
        ids=torch.arange(count),
        images=pixels.to(torch.uint8).reshape(count, 1, 1, 3),
        labels=torch.zeros(count, dtype=torch.int64),
        class_names=("a",),
        name="pixels",
    )
    made = statistics_batches(data, mean=(0.5,) * 3, std=(0.25,) * 3, seed=3, device="cpu")
    return data, list(made)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (1, [2]),
        (2, [2]),
        (255, [255]),
        (257, [129, 128]),
        (600, [200, 200, 200]),
        (IMAGES - 1, [BATCH] * 15 + [BATCH - 1]),
        (IMAGES + 1, [BATCH] * 16),
    ],
)
def test_batches_are_of_nearly_equal_size(count: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches_of(count)[1]] == sizes


@pytest.mark.parametrize("count", [BATCH, 3 * BATCH, IMAGES + 9])
def test_whole_batches_are_the_first_256_images_of_the_order_and_so_on(count: int) -> None:
    data, made = batches_of(count)
    order = permutation(count, 3, "batch-norm")[:IMAGES]
    for rows, batch in zip(order.split(BATCH), made, strict=True):
        whole = normalise(data.images[rows], (0.5,) * 3, (0.25,) * 3)
        assert torch.equal(batch, whole)
