"""Small images and a small network, so that a training run takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.models.initialise import initialise
from fctfast.train import FitSettings, Fitted, SGDSettings, fit


class SmallNet(nn.Module):
    """A convolution, batch norm and a head: the parts whose state a checkpoint must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def features(self, x: Tensor) -> Tensor:
        """Pooled features [B, 8]."""
        return torch.relu(self.bn(self.conv(x))).mean((2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Logits [B, 4]."""
        logits: Tensor = self.fc(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 4]."""
        return self.classify(self.features(x))


@pytest.fixture
def net() -> Callable[[], nn.Module]:
    """Make the small network; the same weights each time."""

    def make() -> nn.Module:
        model = SmallNet()
        initialise(model, 11)
        return model

    return make


@pytest.fixture
def images() -> ImageSet:
    """Fifty images of four classes that differ in brightness; ids do not start at 0."""
    rng = torch.Generator().manual_seed(3)
    labels = torch.arange(50) % 4
    noise = torch.randint(0, 60, (50, 12, 12, 3), generator=rng)
    pixels = (noise + 45 * labels[:, None, None, None]).to(torch.uint8)
    return ImageSet(torch.arange(50) * 3 + 7, pixels, labels, ("a", "b", "c", "d"))


@pytest.fixture
def state() -> Callable[[nn.Module], bytes]:
    """Give all weights and buffers as bytes."""

    def read(model: nn.Module) -> bytes:
        return b"".join(
            name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes()
            for name, tensor in model.state_dict().items()
        )

    return read


@pytest.fixture
def train() -> Callable[..., Fitted]:
    """Call fit with settings that suit the small images."""
    settings = FitSettings(batch_size=16, sgd=SGDSettings(lr=0.1), precision="float32")

    def run(model: nn.Module, stages: Any, given: FitSettings = settings, **other: Any) -> Fitted:
        return fit(
            model, stages, settings=given, mean=(0.4,) * 3, std=(0.25,) * 3, device="cpu", **other
        )

    return run
