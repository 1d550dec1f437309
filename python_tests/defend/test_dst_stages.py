"""The two stages of D-ST by themselves: what learns, from which groups, by which loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.defend import (
    DSTConfig,
    train_classifier,
    train_extractor,
)
from fctfast.defend.classifier import Frozen, classifier_parameters
from fctfast.defend.extractor import groups_of
from fctfast.models import create_model
from fctfast.train import Budget, FitSettings, SGDSettings

QUICK = FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02))
NUMBERS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def test_a_user_s_own_classifier_of_two_layers_learns_alone() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.bend = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

        def features(self, x: Tensor) -> Tensor:
            return self.bend(self.body(x)).relu().mean((2, 3))

        def classify(self, features: Tensor) -> Tensor:
            return self.last(self.first(features).relu())

        def forward(self, x: Tensor) -> Tensor:
            return self.classify(self.features(x))

    own = Own()
    own.body.weight.requires_grad_(False)
    Frozen(own, torch.zeros(1, 3, 8, 8))
    learning = {name for name, p in own.named_parameters() if p.requires_grad}
    assert learning == {"first.weight", "first.bias", "last.weight", "last.bias"}


def test_stage_1_learns_features_and_stage_2_the_classifier_alone(
    small_set: ImageSet, secure: DSTConfig
) -> None:
    clean = torch.arange(len(small_set)) % 3 == 0
    network, fitted = train_extractor(small_set, secure.extractor, clean, **NUMBERS, seed=1)
    assert len(fitted.history) == 2
    before = {name: value.clone() for name, value in network.state_dict().items()}
    known = small_set.select(clean)
    poisoned = torch.arange(len(known)) % 5 == 0
    train_classifier(network, known, secure.classifier, poisoned, **NUMBERS, seed=1)
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"fc.weight", "fc.bias"}
    assert all(p.requires_grad for p in network.parameters())
    with pytest.raises(ValueError, match="mce: expected poisoned"):
        train_classifier(network, known, secure.classifier, **NUMBERS)
    with pytest.raises(ValueError, match="ss-ctl: expected clean"):
        train_extractor(small_set, secure.extractor, **NUMBERS)


def test_the_convergence_is_that_of_the_reference(
    small_set: ImageSet, secure: DSTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fctfast.defend import losses
    from fctfast.ops import reference

    settings = replace(
        secure.extractor, budget=Budget(0, min_steps=30), fit=replace(QUICK, precision="float32")
    )
    clean = torch.arange(len(small_set)) % 2 == 0
    curves = []
    for loss in (losses.supcon_loss, reference.supcon_loss):
        monkeypatch.setattr(losses, "supcon_loss", loss)
        _, fitted = train_extractor(small_set, settings, clean, **NUMBERS, seed=1)
        curves.append(torch.tensor([r["loss"] for r in fitted.history]))
    assert float(curves[0][-1]) < float(curves[0][0])
    # 30 steps let a last bit grow (and a GPU's convolutions, in tf32, have fewer of them); a wrong
    # loss would be off from the first.
    rtol = 2e-2 if torch.cuda.is_available() else 1e-3
    torch.testing.assert_close(curves[0], curves[1], rtol=rtol, atol=0)


def test_the_whole_of_d_c_can_be_one_batch(small_set: ImageSet, secure: DSTConfig) -> None:
    known = small_set.select(torch.arange(100))
    settings = replace(
        secure.extractor,
        learning="s-ctl",
        budget=Budget(1),
        fit=replace(QUICK, batch_size=100, precision="float32"),
    )
    made = [
        train_extractor(known, replace(settings, chunk=chunk), **NUMBERS, seed=1)[1].history[0]
        for chunk in (None, 30)
    ]
    assert [record["steps"] for record in made] == [1, 1]
    # Batch norm's statistics are those of a part; the loss compares all 200 views either way. Of
    # parts of 60 views it would be smaller by the logarithm of 3.3, times t / base_temperature.
    assert made[0]["loss"] == pytest.approx(made[1]["loss"], abs=0.5)


def test_groups_say_which_labels_are_trusted(small_set: ImageSet) -> None:
    clean = torch.arange(len(small_set)) % 2 == 0
    alone = -1 - small_set.ids
    assert torch.equal(groups_of(small_set, "ctl", clean), alone)
    assert torch.equal(groups_of(small_set, "s-ctl", None), small_set.labels)
    mixed = groups_of(small_set, "ss-ctl", clean)
    assert torch.equal(mixed, torch.where(clean, small_set.labels, alone))


def test_features_of_a_frozen_network_rest_in_training_mode() -> None:
    network = create_model("resnet18", num_classes=3, width=4)
    x = torch.rand(8, 3, 32, 32)
    frozen = Frozen(network, x).train()
    first = frozen(x)
    first.sum().backward()
    assert torch.equal(frozen(x), first)
    assert network.training is False
    learning = [name for name, p in network.named_parameters() if p.grad is not None]
    assert learning == ["fc.weight", "fc.bias"]
    parameters = classifier_parameters(network, x)
    assert [p is q for p, q in zip(parameters, network.fc.parameters(), strict=True)] == [True] * 2
