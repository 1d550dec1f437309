"""Facts about the plain network of the digits."""

from __future__ import annotations

import torch
from torch import nn

from fctfast.models import create_model


def test_eight_convolutions_without_shortcuts() -> None:
    model = create_model("plain8", num_classes=10, width=4, in_channels=1)
    widths = [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [4, 4, 8, 8, 16, 16, 32, 32]
    x = torch.randn(3, 1, 32, 32)
    features = model.eval().features(x)
    assert features.shape == (3, 32)
    torch.testing.assert_close(model(x), model.classify(features))


def test_weights_are_keyed_by_the_seed() -> None:
    first, again = (create_model("plain8", num_classes=3, width=4, seed=s) for s in (1, 1))
    other = create_model("plain8", num_classes=3, width=4, seed=2)
    assert torch.equal(first.body[0].weight, again.body[0].weight)
    assert not torch.equal(first.body[0].weight, other.body[0].weight)
