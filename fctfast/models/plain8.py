"""Eight 3x3 convolutions without shortcuts, for images as small and plain as digits.

On scikit-learn's digits a ResNet learns the digits in 30 steps and a corner trigger only after
100, when clean features are already sharp and FCT no longer separates; without shortcuts and with
max-pooling, which carries one strong response through to the end, both are learnt within 20 steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fctfast.models.registry import ModelSpec, register


class Plain8(nn.Module):
    """Four pairs of convolution, batch norm and ReLU, a max-pool between pairs, then a mean.

    Args:
        spec: width of the first pair (doubled by each further pair), channels and classes.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = spec.in_channels
        for pair in range(4):
            outside = spec.width << pair
            for _ in range(2):
                layers += [
                    nn.Conv2d(inside, outside, 3, padding=1, bias=False),
                    nn.BatchNorm2d(outside),
                    nn.ReLU(inplace=True),
                ]
                inside = outside
            if pair < 3:
                layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inside, spec.num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]``, H and W at least 8, to features ``[B, 8 * width]``."""
        return torch.flatten(self.pool(self.body(x)), 1)

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, num_classes]``."""
        logits: Tensor = self.fc(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to logits ``[B, num_classes]``."""
        return self.classify(self.features(x))


@register("plain8")
def plain8(spec: ModelSpec) -> nn.Module:
    """Eight plain convolutions."""
    return Plain8(spec)
