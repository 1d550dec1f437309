"""Facts about scoring a set: Eq. 1, keyed by id, independent of order and batch size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect.fct import FLOOR, FctSettings, fct
from fctfast.ops.reference import fct_views, sample_rotate_affine

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Flat(nn.Module):
    """Features that each sample decides alone: no rounding depends on the batch."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.contiguous().flatten(1)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, :3]


def images(n: int = 23) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(
        ids=torch.arange(n) * 7 + 3,
        images=torch.randint(0, 256, (n, 9, 12, 3), dtype=torch.uint8, generator=generator),
        labels=torch.arange(n) % 3,
        class_names=("a", "b", "c"),
        paths=None,
        quarantined=(),
        name="random",
    )


def test_is_equation_one_for_every_draw() -> None:
    data = images()
    result = fct(Flat(), data, mean=MEAN, std=STD, seed=5, settings=FctSettings(draws=3))
    params = sample_rotate_affine(data.ids, 5, range(3), 180.0, (0.2, 0.2), (9, 12))
    for draw in range(3):
        views = fct_views(data.images, params[draw], MEAN, STD).flatten(1)
        original, moved = views[: len(data)], views[len(data) :]
        expected = (original - moved).double().square().sum(1)
        torch.testing.assert_close(result.fct[draw].double(), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(result.norms, original.norm(dim=1))
    torch.testing.assert_close(result.score(), result.fct.double().mean(0))
    want = result.fct.double().prod(0).pow(1 / 3)
    torch.testing.assert_close(result.score("geometric"), want)
    # A draw of tau that changes no pixel does not hide its sample, nor touch another's score.
    hidden = replace(result, fct=result.fct.clone())
    hidden.fct[1, 0] = 0.0
    others = sorted(float(result.fct[draw, 0]) for draw in (0, 2))
    floor = FLOOR * others[0]  # the median of 0 and the two others
    expected = (others[0] * others[1] * floor) ** (1 / 3)
    assert float(hidden.score("geometric")[0]) == pytest.approx(expected)
    assert torch.equal(hidden.score("geometric")[1:], result.score("geometric")[1:])


def test_neither_order_nor_batch_size_matters() -> None:
    data = images()
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(3))
    first = fct(Flat(), data, mean=MEAN, std=STD, settings=FctSettings(batch_size=1))
    for size in (5, 12, 64, 1000):
        again = fct(Flat(), data, mean=MEAN, std=STD, settings=FctSettings(batch_size=size))
        assert torch.equal(first.fct, again.fct)
    shuffled = fct(Flat(), data.select(order), mean=MEAN, std=STD)
    assert torch.equal(first.fct[:, order], shuffled.fct)
    part = fct(Flat(), data.select(torch.tensor([4])), mean=MEAN, std=STD)
    assert torch.equal(first.fct[:, 4:5], part.fct)


def test_more_draws_keep_the_first_ones_and_seeds_differ() -> None:
    data = images()
    two = fct(Flat(), data, mean=MEAN, std=STD, settings=FctSettings(draws=2)).fct
    four = fct(Flat(), data, mean=MEAN, std=STD, settings=FctSettings(draws=4)).fct
    assert torch.equal(two, four[:2])
    assert not torch.equal(four[0], four[1])
    other = fct(Flat(), data, mean=MEAN, std=STD, seed=1, settings=FctSettings(draws=2)).fct
    assert not torch.equal(two, other)


def test_mean_reduction_ranks_the_same() -> None:
    data = images()
    total = fct(Flat(), data, mean=MEAN, std=STD).score()
    mean = fct(Flat(), data, mean=MEAN, std=STD, settings=FctSettings(reduction="mean")).score()
    torch.testing.assert_close(total, mean * 9 * 12 * 3, rtol=1e-5, atol=0)


class Watched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.seen: list[tuple[bool, bool, int]] = []

    def features(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append((self.training, torch.is_inference_mode_enabled(), len(x)))
        out: torch.Tensor = self.net(x).mean((2, 3))
        return out


def test_runs_in_eval_and_inference_mode_within_the_batch_size_and_restores_the_mode() -> None:
    model = Watched().train()
    model.net[1].eval()
    statistics = model.net[1].running_mean.clone()
    result = fct(model, images(), mean=MEAN, std=STD, settings=FctSettings(batch_size=20))
    assert all(not training and inference for training, inference, _ in model.seen)
    assert max(rows for *_, rows in model.seen) == 20
    assert sum(rows for *_, rows in model.seen) == 23 * 5
    assert model.training
    assert not model.net[1].training
    assert torch.equal(statistics, model.net[1].running_mean)
    assert result.predicted.numel() == 0


def test_predictions_are_those_of_the_untransformed_samples() -> None:
    data = images()
    result = fct(Flat(), data, mean=MEAN, std=STD)
    plain = fct_views(data.images, torch.zeros(0, len(data), 3), MEAN, STD).flatten(1)
    assert torch.equal(result.predicted, plain[:, :3].argmax(1))


def test_feature_maps_and_unknown_settings_are_refused() -> None:
    class Map(nn.Module):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(ValueError, match="pool them"):
        fct(Map(), images(), mean=MEAN, std=STD)
    with pytest.raises(ValueError, match="expected one of rotate"):
        FctSettings(transform="shear")
    with pytest.raises(ValueError, match="draws"):
        FctSettings(draws=0)
