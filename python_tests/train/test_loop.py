"""A pass: SGD on keyed batches, momentum from stage to stage, clear failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctfast.data import ImageSet
from fctfast.models import create_model
from fctfast.train import (
    AugmentSettings,
    Budget,
    Diverged,
    FitSettings,
    Fitted,
    ScheduleSettings,
    SGDSettings,
    Stage,
    augment,
    cross_entropy,
)
from fctfast.train.stage import shuffled_batches, unfold

Train = Callable[..., Fitted]
Make = Callable[[], nn.Module]
State = Callable[[nn.Module], bytes]
MEAN, STD = (0.4,) * 3, (0.25,) * 3
AUGMENT = AugmentSettings(crop=2, flip=True)


def unlearn(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Ascent on the cross-entropy (Eq. 4)."""
    return -F.cross_entropy(logits, labels)


def test_ascent_unlearns_in_the_same_loop(train: Train, net: Make, images: ImageSet) -> None:
    model = net()
    train(model, Stage("base", images, budget=Budget(epochs=15)))
    before = train(
        model,
        Stage("look", images, budget=Budget(epochs=1)),
        FitSettings(batch_size=16, sgd=SGDSettings(lr=1e-9), precision="float32"),
    ).history[0]["loss"]
    fitted = train(model, Stage("unlearn", images, unlearn, Budget(epochs=2)))
    assert -fitted.history[-1]["loss"] > before


def test_the_loop_is_torchs_sgd_on_keyed_batches(train: Train, net: Make, images: ImageSet) -> None:
    stage = Stage("base", images, budget=Budget(epochs=2), augment=AUGMENT)
    model = net()
    train(model, stage, seed=9)
    plain = net().to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    for pass_ in unfold([stage], 16):
        for where in shuffled_batches(pass_, 16, 9):
            x = augment(
                images.images[where],
                images.ids[where],
                AUGMENT,
                mean=MEAN,
                std=STD,
                seed=9,
                purpose="base",
                epoch=pass_.index,
                memory_format=torch.channels_last,
            )
            sgd.zero_grad()
            F.cross_entropy(plain(x), images.labels[where]).backward()
            sgd.step()
    for a, b in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)


def test_momentum_is_carried_from_stage_to_stage(train: Train, net: Make, images: ImageSet) -> None:
    # A loss of zero gradient: only momentum moves the weights in the second stage.
    def rest(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return 0 * logits.sum()

    settings = FitSettings(
        batch_size=16, sgd=SGDSettings(lr=0.1, weight_decay=0.0), precision="float32"
    )
    model, other = net(), net()
    train(other, Stage("base", images), settings)
    train(model, [Stage("base", images), Stage("rest", images, rest)], settings)
    assert not torch.equal(model.fc.weight, other.fc.weight)
    after_one = other.fc.weight.clone()
    train(other, Stage("rest", images, rest), settings)
    assert torch.equal(other.fc.weight, after_one)


def test_a_loss_of_features_alone_leaves_the_head(
    train: Train, net: Make, images: ImageSet
) -> None:
    def spread(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        assert features.shape[1] == 8
        return features.square().mean()

    model = net()
    before = model.fc.weight.clone()
    train(model, Stage("spread", images, spread))
    assert torch.equal(model.fc.weight, before)
    assert not torch.equal(model.conv.weight, net().conv.weight)


def test_the_history_counts_passes_steps_and_rates(
    train: Train, net: Make, images: ImageSet
) -> None:
    settings = FitSettings(
        batch_size=16,
        sgd=SGDSettings(lr=0.1),
        schedule=ScheduleSettings("multistep", milestones=(1,)),
        precision="float32",
    )
    stages = [Stage("a", images, budget=Budget(min_steps=6)), Stage("b", images)]
    history = train(net(), stages, settings).history
    rows = [(r["pass"], r["stage"], r["steps"], r["step"]) for r in history]
    assert rows == [(0, "a", 4, 4), (1, "a", 2, 6), (2, "b", 4, 10)]
    assert [r["lr"] for r in history] == pytest.approx([0.1, 0.01, 0.01])
    assert all(r["seconds"] > 0 for r in history)


def test_a_nan_loss_names_stage_pass_and_step(
    train: Train, net: Make, images: ImageSet, tmp_path: Path
) -> None:
    calls = []

    def breaks(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        calls.append(1)
        loss = cross_entropy(features, logits, labels)
        return loss * float("nan") if len(calls) == 7 else loss

    path = tmp_path / "state"
    with pytest.raises(Diverged, match=r"loss became nan in stage 'base', pass 1, step 2 of 4"):
        train(net(), Stage("base", images, breaks, Budget(epochs=3)), checkpoint=path)
    # The checkpoint of pass 0 is intact, and a repaired loss goes on from it.
    fitted = train(net(), Stage("base", images, breaks, Budget(epochs=3)), checkpoint=path)
    assert fitted.resumed_at == 1


def test_weights_that_break_in_the_last_step_are_not_kept(
    train: Train, net: Make, images: ImageSet, tmp_path: Path
) -> None:
    def breaks(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return torch.sqrt((logits - logits.detach()).abs()).sum()  # value 0, gradient NaN

    path = tmp_path / "state"
    stage = Stage("base", images, breaks, Budget(max_steps=1))
    with pytest.raises(Diverged, match="weights became NaN or infinite in stage 'base', pass 0"):
        train(net(), stage, checkpoint=path)
    assert not path.exists()


def test_a_network_with_too_few_logits_is_a_clear_error(train: Train, images: ImageSet) -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    with pytest.raises(ValueError, match=r"images have 4 classes.*network gives 3 logits"):
        train(model, Stage("base", images))


def test_a_users_network_is_trained_through_its_last_layer(
    train: Train, images: ImageSet, state: State
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    before = state(model)
    train(model, Stage("base", images))
    assert state(model) != before


def test_clipping_bounds_the_update(train: Train, net: Make, images: ImageSet) -> None:
    sgd = SGDSettings(lr=1.0, momentum=0.0, weight_decay=0.0, clip_norm=0.01)
    model = net()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    stage = Stage("base", images, budget=Budget(max_steps=1))
    train(model, stage, FitSettings(batch_size=16, sgd=sgd, precision="float32"))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)
