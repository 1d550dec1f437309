"""Facts about the collapse check."""

from __future__ import annotations

import torch

from fctfast.detect.guards import check_collapse

LABELS = torch.arange(100) % 10


def test_a_healthy_probe_passes() -> None:
    health = check_collapse(torch.rand(100), torch.rand(100) + 0.5, LABELS, LABELS, 10)
    assert not health.collapsed
    assert health.training_accuracy == 1.0
    assert health.zero_norm_share == 0.0


def test_zero_features_collapse() -> None:
    norms = torch.ones(100)
    norms[:20] = 0.0
    health = check_collapse(torch.rand(100), norms, LABELS, LABELS, 10)
    assert health.collapsed
    assert health.zero_norm_share == 0.2
    assert check_collapse(torch.zeros(100), torch.zeros(100), LABELS, LABELS, 10).collapsed


def test_chance_accuracy_collapses_but_a_missing_classifier_does_not() -> None:
    chance = torch.zeros(100, dtype=torch.int64)
    assert check_collapse(torch.rand(100), torch.ones(100), chance, LABELS, 10).collapsed
    health = check_collapse(torch.rand(100), torch.ones(100), chance[:0], LABELS, 10)
    assert not health.collapsed
    assert health.training_accuracy is None


def test_of_two_classes_half_is_chance_and_three_quarters_are_not() -> None:
    labels = torch.arange(200) % 2
    for right, collapsed in ((120, True), (130, False), (150, False)):
        predicted = torch.where(torch.arange(200) < right, labels, 1 - labels)
        health = check_collapse(torch.rand(200), torch.ones(200), predicted, labels, 2)
        assert health.collapsed is collapsed


def test_equal_or_non_finite_scores_collapse() -> None:
    assert check_collapse(torch.full((100,), 2.0), torch.ones(100), LABELS, LABELS, 10).collapsed
    # One sample alone has no other to differ from.
    one = torch.ones(1)
    assert not check_collapse(one, one, LABELS[:1], LABELS[:1], 10).collapsed
    broken = torch.rand(100)
    broken[7] = float("inf")
    assert check_collapse(broken, torch.ones(100), LABELS, LABELS, 10).collapsed
