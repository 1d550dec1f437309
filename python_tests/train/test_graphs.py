"""Captured graphs of a network in training: which networks, and the bits of one without."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.models import create_model
from fctfast.train import AugmentSettings, Budget, FitSettings, Stage, cross_entropy, fit
from fctfast.train.graphs import COMES_AGAIN, Graphs, Outputs, capturable

NUMBERS = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


def network(seed: int = 0) -> nn.Module:
    return create_model("resnet18", num_classes=3, width=8, seed=seed)


def test_networks_that_draw_or_look_are_not_captured() -> None:
    assert capturable(network())
    for layer in (nn.Dropout(), nn.Softplus()):
        assert not capturable(nn.Sequential(nn.Flatten(), layer))

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if float(x.sum()) > 0 else -x

    assert not capturable(nn.Sequential(nn.Flatten(), Looks()))

    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn_like(x))

    assert not capturable(nn.Sequential(nn.Flatten(), Noisy(4, 2)))
    watched = network()
    watched.register_forward_hook(lambda *_: None)
    assert not capturable(watched)


def test_without_a_gpu_nothing_is_captured() -> None:
    graphs = Graphs(Outputs(network(), "float32", torch.device("cpu")))
    images = torch.randn(2, 3, 8, 8)
    for _ in range(COMES_AGAIN + 2):
        graphs(images)
    assert not graphs.captured


def test_small_batches_that_come_again_are_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Graphs, "_capture", lambda self, images: self.outputs)
    graphs = Graphs(Outputs(network(), "float32", torch.device("cpu")))
    graphs.possible = True
    monkeypatch.setattr("fctfast.train.graphs.MOST_PIXELS", 3 * 8 * 8)
    small, large, rare = (torch.randn(b, 3, 8, 8) for b in (3, 4, 2))
    for images in [small, large] * (COMES_AGAIN + 1) + [rare]:
        graphs(images)
    assert list(graphs.captured) == [small.shape]


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_replay_trains_as_a_call_does(
    small_set: ImageSet, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: captured graphs of a training step")
    settings = FitSettings(batch_size=32, precision=precision)
    stage = Stage(
        "base", small_set, cross_entropy, Budget(epochs=12), AugmentSettings(crop=1, flip=True)
    )
    made = {}
    for wanted in ("0", "1"):
        monkeypatch.setenv("FCTFAST_CUDA_GRAPHS", wanted)
        model, began = network(), time.monotonic()
        fitted = fit(model, stage, settings=settings, **NUMBERS, seed=3, device="cuda")
        print(f"graphs {wanted}: {time.monotonic() - began:.2f} s for {12 * 4} steps")
        made[wanted] = [r["loss"] for r in fitted.history], model.state_dict()
    assert made["0"][0] == made["1"][0]
    for name, value in made["0"][1].items():
        assert torch.equal(value, made["1"][1][name]), name
