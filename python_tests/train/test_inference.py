"""A model in use: its mode, its device, its classes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fctfast.train.inference import device_of, evaluating, predict


def test_predict_normalises_and_keeps_the_mode() -> None:
    seen = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((x, self.training))
            return x.flatten(1)

    model = Look().train()
    images = torch.randint(0, 256, (5, 2, 2, 3), dtype=torch.uint8)
    out = predict(model, images, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), batch_size=2)
    assert out.shape == (5,)
    assert [len(x) for x, _ in seen] == [2, 2, 1]
    assert not any(training for _, training in seen)
    assert model.training
    expected = (images[0, 1, 0, 2].float() / 255 - 0.3) / 0.7
    assert seen[0][0][0, 2, 1, 0] == pytest.approx(float(expected), rel=1e-6)


def test_networks_that_flatten_by_view_are_served() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.size(0), -1)

    images = torch.zeros(4, 2, 2, 3, dtype=torch.uint8)
    images[torch.arange(4), torch.arange(4) // 2, torch.arange(4) % 2, 1] = 255
    classes = predict(Flat(), images, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert classes.tolist() == [4, 5, 6, 7]  # the second channel's pixels, row by row


def test_no_images_have_no_classes() -> None:
    none = torch.zeros(0, 2, 2, 3, dtype=torch.uint8)
    assert predict(nn.Flatten(), none, mean=(0.5,) * 3, std=(0.5,) * 3).shape == (0,)


def test_every_submodule_gets_its_own_mode_back() -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())
    model[0].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, False, True]
    with evaluating(len):
        pass


def test_a_models_device_is_that_of_its_parameters() -> None:
    assert device_of(nn.Linear(2, 2, device="meta")) == torch.device("meta")
    assert device_of(nn.Flatten()) == torch.device("cpu")
    assert device_of(nn.Flatten(), torch.device("meta")) == torch.device("meta")
