"""The loop: learns, repeats itself bit for bit, one optimiser over all stages, clear failures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.models import create_model
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    Fitted,
    PassEnd,
    ScheduleSettings,
    SGDSettings,
    Stage,
    make_progress,
)

Train = Callable[..., Fitted]
Make = Callable[[], nn.Module]
State = Callable[[nn.Module], bytes]
AUGMENT = AugmentSettings(crop=2, flip=True)


def test_it_learns(train: Train, net: Make, images: ImageSet) -> None:
    fitted = train(net(), Stage("base", images, budget=Budget(epochs=25)))
    assert fitted.history[0]["accuracy"] < 0.7
    assert fitted.history[-1]["accuracy"] > 0.9
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 2
    assert not fitted.stopped


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_bits(
    train: Train, precision: str, images: ImageSet, state: State
) -> None:
    settings = FitSettings(batch_size=16, sgd=SGDSettings(lr=0.1), precision=precision)
    results = []
    for seed in (5, 5, 6):
        model = create_model("resnet18", num_classes=4, width=4, seed=0)
        stage = Stage("base", images, budget=Budget(epochs=2), augment=AUGMENT)
        fitted = train(model, stage, settings, seed=seed)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        results.append((state(model), [r["loss"] for r in fitted.history]))
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]


def test_a_cosine_over_the_run_ends_with_the_run_when_passes_are_cut(
    train: Train, net: Make, images: ImageSet
) -> None:
    settings = FitSettings(
        batch_size=16,
        sgd=SGDSettings(lr=1.0),
        schedule=ScheduleSettings("cosine", per="step"),
        precision="float32",
    )
    cut = Budget(epochs=1, max_steps=1)  # a quarter of a pass
    history = train(net(), [Stage("a", images, budget=cut)] * 8, settings).history
    assert [r["lr"] for r in history] == pytest.approx(
        [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    )


def test_on_epoch_can_stop_and_add_to_the_record(train: Train, net: Make, images: ImageSet) -> None:
    def watch(end: PassEnd) -> bool:
        end.record["share"] = 0.5
        assert end.history[-1] is end.record
        return len(end.history) == 2

    fitted = train(net(), Stage("base", images, budget=Budget(epochs=9)), on_epoch=watch)
    assert fitted.stopped
    assert [r["share"] for r in fitted.history] == [0.5, 0.5]


def test_the_model_ends_in_eval_mode_and_trains_in_training_mode(
    train: Train, net: Make, images: ImageSet
) -> None:
    model = net().eval()

    def watch(end: PassEnd) -> None:
        assert end.model.training
        end.model.eval()  # a callback that scores leaves it so; the next pass must not care

    train(model, Stage("base", images, budget=Budget(epochs=2)), on_epoch=watch)
    assert not model.training
    assert int(model.bn.num_batches_tracked) == 8


def test_no_global_state_changes(train: Train, net: Make, images: ImageSet) -> None:
    model = net()
    before = (torch.random.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled())
    train(model, Stage("base", images, augment=AUGMENT))
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.is_grad_enabled())


def test_progress_is_told(train: Train, net: Make, images: ImageSet) -> None:
    stream = io.StringIO()
    train(net(), Stage("base", images), progress=make_progress(stream=stream), label="probe")
    assert "probe: 4/4" in stream.getvalue()
    assert "loss" in stream.getvalue()
