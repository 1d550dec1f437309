"""Facts about the probe: its stages, its budget in steps, no augmentation, no global randomness."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import DetectSettings, ProbeSettings, train_probe
from fctfast.detect.l_intra import l_intra
from fctfast.detect.probe import intra_loss
from fctfast.train import AugmentSettings, Budget
from fctfast.train.stage import unfold

MEAN, STD = (0.5,) * 3, (0.25,) * 3


def test_cross_entropy_then_l_intra_with_one_optimiser_and_no_augmentation(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    settings = small_settings.probe
    stages = settings.stages(small_set)
    assert [s.name for s in stages] == ["probe", "spread"]
    assert all(s.augment == AugmentSettings() for s in stages)
    model, fitted = train_probe(small_set, settings, mean=MEAN, std=STD, device="cpu")
    assert [r["stage"] for r in fitted.history] == ["probe"] * 2 + ["spread"] * 2
    assert not model.training
    # L_intra is a mean of cosines, cross-entropy of three classes starts above 1.
    assert fitted.history[0]["loss"] > 0.5
    assert -1.0 <= fitted.history[-1]["loss"] <= 1.0


def test_an_anchor_is_cross_entropy_beside_l_intra(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    (*_, spread) = replace(small_settings.probe, anchor=0.3).stages(small_set)
    features, logits = torch.randn(30, 8), torch.randn(30, 3)
    labels = torch.arange(30) % 3
    of_classes = torch.nn.functional.cross_entropy(logits, labels)
    expected = l_intra(features, labels) + 0.3 * of_classes
    torch.testing.assert_close(spread.loss(features, logits, labels), expected)
    # Its weight is part of what a checkpoint must have been made with.
    assert "0.3" in repr(spread.loss)
    assert small_settings.probe.stages(small_set)[-1].loss is intra_loss
    assert replace(small_settings, probe=ProbeSettings(anchor=1.0)).published().probe.anchor == 0
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="anchor"):
            ProbeSettings(anchor=wrong)


def test_segments_cut_the_budget_into_scored_pieces(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    # 120 samples in batches of 30 are 4 steps an epoch: 10 steps in pieces of 3.
    settings = replace(small_settings.probe, learn=Budget(0, 10), spread=Budget(0), segment=3)
    passes = unfold(settings.stages(small_set), settings.fit.batch_size)
    assert [p.batches for p in passes] == [3, 3, 3, 1]
    assert settings.moments(small_set) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="segment"):
        replace(settings, segment=0)


def test_a_moment_is_the_end_of_a_segment_however_small_the_set(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    # 4 steps an epoch: a segment of 10 is passes of 4, 4 and 2 steps.
    settings = replace(small_settings.probe, learn=Budget(0, 20), spread=Budget(0, 6), segment=10)
    passes = unfold(settings.stages(small_set), settings.fit.batch_size)
    assert [p.batches for p in passes] == [4, 4, 2, 4, 4, 2, 4, 2]
    assert settings.moments(small_set) == [2, 5, 7]
    assert replace(settings, segment=None).moments(small_set) == list(range(7))
    assert replace(settings, learn=Budget(0), spread=Budget(0)).moments(small_set) == []


@pytest.mark.parametrize(
    ("samples", "steps"),
    [
        (300, [157, 314, 471, 626, 1094]),
        (2000, [157, 314, 471, 626, 1094]),
        (20000, [157, 314, 471, 628, 785, 942, 1099, 1252, 2191]),
    ],
)
def test_two_cores_recipe_gives_a_small_set_its_steps(samples: int, steps: list[int]) -> None:
    settings = DetectSettings.from_recipe("cifar10-cpu").probe
    rows = torch.arange(samples)
    data = ImageSet(
        images=torch.zeros(samples, 1, 1, 3, dtype=torch.uint8), labels=rows % 2, ids=rows,
        class_names=("a", "b"), name="black",
    )  # fmt: skip
    passes = unfold(settings.stages(data), settings.fit.batch_size)
    ends = [passes[i].first_step + passes[i].batches for i in settings.moments(data)]
    assert ends == steps


def test_global_generators_are_not_touched(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_probe(small_set, small_settings.probe, mean=MEAN, std=STD, device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_defaults_are_the_papers() -> None:
    settings = ProbeSettings()
    assert (settings.learn.epochs, settings.spread.epochs) == (2, 10)
    assert settings.network.name == "resnet18"
    assert settings.network.width == 64
