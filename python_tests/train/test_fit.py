"""The loop: learns, repeats itself bit for bit, one optimiser over all stages, clear failures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    PassEnd,
    ScheduleSettings,
    SGDSettings,
    Stage,
    augment,
    cross_entropy,
    fit,
    make_progress,
)
from fctfast.train.stage import shuffled_batches, unfold

Make = Callable[[], nn.Module]
State = Callable[[nn.Module], bytes]
MEAN, STD = (0.4,) * 3, (0.25,) * 3
FAST = FitSettings(batch_size=16, sgd=SGDSettings(lr=0.1), precision="float32")
AUGMENT = AugmentSettings(crop=2, flip=True)


def _fit(model: nn.Module, stages: Any, settings: FitSettings = FAST, **other: Any) -> Any:
    return fit(model, stages, settings=settings, mean=MEAN, std=STD, device="cpu", **other)


def unlearn(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Ascent on the cross-entropy (Eq. 4)."""
    return -F.cross_entropy(logits, labels)


def test_it_learns(net: Make, images: ImageSet) -> None:
    fitted = _fit(net(), Stage("base", images, budget=Budget(epochs=25)))
    assert fitted.history[0]["accuracy"] < 0.7
    assert fitted.history[-1]["accuracy"] > 0.9
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 2
    assert not fitted.stopped


def test_ascent_unlearns_in_the_same_loop(net: Make, images: ImageSet) -> None:
    model = net()
    _fit(model, Stage("base", images, budget=Budget(epochs=15)))
    before = _fit(
        model,
        Stage("look", images, budget=Budget(epochs=1)),
        FitSettings(batch_size=16, sgd=SGDSettings(lr=1e-9), precision="float32"),
    ).history[0]["loss"]
    fitted = _fit(model, Stage("unlearn", images, unlearn, Budget(epochs=2)))
    assert -fitted.history[-1]["loss"] > before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bits(precision: str, images: ImageSet, state: State) -> None:
    settings = FitSettings(batch_size=16, sgd=SGDSettings(lr=0.1), precision=precision)
    results = []
    for seed in (5, 5, 6):
        model = create_model("resnet18", num_classes=4, width=4, seed=0)
        stage = Stage("base", images, budget=Budget(epochs=2), augment=AUGMENT)
        fitted = _fit(model, stage, settings, seed=seed)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        results.append((state(model), [r["loss"] for r in fitted.history]))
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]


def test_the_loop_is_torchs_sgd_on_keyed_batches(net: Make, images: ImageSet) -> None:
    stage = Stage("base", images, budget=Budget(epochs=2), augment=AUGMENT)
    model = net()
    _fit(model, stage, seed=9)
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


def test_momentum_is_carried_from_stage_to_stage(net: Make, images: ImageSet) -> None:
    # A loss of zero gradient: only momentum moves the weights in the second stage.
    def rest(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return 0 * logits.sum()

    settings = FitSettings(
        batch_size=16, sgd=SGDSettings(lr=0.1, weight_decay=0.0), precision="float32"
    )
    model, other = net(), net()
    _fit(other, Stage("base", images), settings)
    _fit(model, [Stage("base", images), Stage("rest", images, rest)], settings)
    assert not torch.equal(model.fc.weight, other.fc.weight)
    after_one = other.fc.weight.clone()
    _fit(other, Stage("rest", images, rest), settings)
    assert torch.equal(other.fc.weight, after_one)


def test_a_loss_of_features_alone_leaves_the_head(net: Make, images: ImageSet) -> None:
    def spread(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        assert features.shape[1] == 8
        return features.square().mean()

    model = net()
    before = model.fc.weight.clone()
    _fit(model, Stage("spread", images, spread))
    assert torch.equal(model.fc.weight, before)
    assert not torch.equal(model.conv.weight, net().conv.weight)


def test_the_history_counts_passes_steps_and_rates(net: Make, images: ImageSet) -> None:
    settings = FitSettings(
        batch_size=16,
        sgd=SGDSettings(lr=0.1),
        schedule=ScheduleSettings("multistep", milestones=(2,)),
        precision="float32",
    )
    stages = [Stage("a", images, budget=Budget(min_steps=6)), Stage("b", images)]
    history = _fit(net(), stages, settings).history
    rows = [(r["pass"], r["stage"], r["steps"], r["step"]) for r in history]
    assert rows == [(0, "a", 4, 4), (1, "a", 2, 6), (2, "b", 4, 10)]
    assert [r["lr"] for r in history] == pytest.approx([0.1, 0.1, 0.01])
    assert all(r["seconds"] > 0 for r in history)


def test_on_epoch_can_stop_and_add_to_the_record(net: Make, images: ImageSet) -> None:
    def watch(end: PassEnd) -> bool:
        end.record["share"] = 0.5
        assert end.history[-1] is end.record
        return len(end.history) == 2

    fitted = _fit(net(), Stage("base", images, budget=Budget(epochs=9)), on_epoch=watch)
    assert fitted.stopped
    assert [r["share"] for r in fitted.history] == [0.5, 0.5]


def test_the_model_ends_in_eval_mode_and_trains_in_training_mode(
    net: Make, images: ImageSet
) -> None:
    model = net().eval()

    def watch(end: PassEnd) -> None:
        assert end.model.training
        end.model.eval()  # a callback that scores leaves it so; the next pass must not care

    _fit(model, Stage("base", images, budget=Budget(epochs=2)), on_epoch=watch)
    assert not model.training
    assert int(model.bn.num_batches_tracked) == 8


def test_a_nan_loss_names_stage_pass_and_step(net: Make, images: ImageSet, tmp_path: Path) -> None:
    calls = []

    def breaks(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        calls.append(1)
        loss = cross_entropy(features, logits, labels)
        return loss * float("nan") if len(calls) == 7 else loss

    path = tmp_path / "state"
    with pytest.raises(Diverged, match=r"loss became nan in stage 'base', pass 1, step 2 of 4"):
        _fit(net(), Stage("base", images, breaks, Budget(epochs=3)), checkpoint=path)
    # The checkpoint of pass 0 is intact, and a repaired loss goes on from it.
    fitted = _fit(net(), Stage("base", images, breaks, Budget(epochs=3)), checkpoint=path)
    assert fitted.resumed_at == 1


def test_weights_that_break_in_the_last_step_are_not_kept(
    net: Make, images: ImageSet, tmp_path: Path
) -> None:
    def breaks(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        return torch.sqrt((logits - logits.detach()).abs()).sum()  # value 0, gradient NaN

    path = tmp_path / "state"
    stage = Stage("base", images, breaks, Budget(max_steps=1))
    with pytest.raises(Diverged, match="weights became NaN or infinite in stage 'base', pass 0"):
        _fit(net(), stage, checkpoint=path)
    assert not path.exists()


def test_a_network_with_too_few_logits_is_a_clear_error(images: ImageSet) -> None:
    model = create_model("resnet18", num_classes=3, width=4)
    with pytest.raises(ValueError, match=r"images have 4 classes.*network gives 3 logits"):
        _fit(model, Stage("base", images))


def test_a_users_network_is_trained_through_its_last_layer(images: ImageSet, state: State) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)
    )
    before = state(model)
    _fit(model, Stage("base", images))
    assert state(model) != before


def test_clipping_bounds_the_update(net: Make, images: ImageSet) -> None:
    sgd = SGDSettings(lr=1.0, momentum=0.0, weight_decay=0.0, clip_norm=0.01)
    model = net()
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    stage = Stage("base", images, budget=Budget(max_steps=1))
    _fit(model, stage, FitSettings(batch_size=16, sgd=sgd, precision="float32"))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_no_global_state_changes(net: Make, images: ImageSet) -> None:
    model = net()
    before = (torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled())
    _fit(model, Stage("base", images, augment=AUGMENT))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.is_grad_enabled())


def test_progress_is_told(net: Make, images: ImageSet) -> None:
    stream = io.StringIO()
    _fit(net(), Stage("base", images), progress=make_progress(stream=stream), label="probe")
    assert "probe: 4/4" in stream.getvalue()
    assert "loss" in stream.getvalue()
