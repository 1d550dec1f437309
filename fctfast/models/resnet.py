"""ResNet-18/34/50 with a stem for small images and a width.

Parameter names are torchvision's, so its checkpoints load into a ``width=64`` network with the
ImageNet stem without a table of renamed keys.

Source: paper appendix C.2; He et al., CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fctfast.models.registry import ModelSpec, register

IMAGENET_STEM_FROM = 96
"""Images at least this large get the 7x7 stride-2 stem with a max-pool."""


def _conv(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inside: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inside, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, inside, H, W]`` to ``[B, planes, H / stride, W / stride]``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(out)
        return result


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride), 1x1 convolutions and a shortcut."""

    expansion = 4

    def __init__(self, inside: int, planes: int, stride: int) -> None:
        super().__init__()
        outside = planes * self.expansion
        self.conv1 = _conv(inside, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = _conv(planes, outside, 1)
        self.bn3 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inside, outside, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, inside, H, W]`` to ``[B, 4 * planes, H / stride, W / stride]``."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        result: Tensor = self.relu(out)
        return result


def _shortcut(inside: int, outside: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and inside == outside:
        return None
    return nn.Sequential(_conv(inside, outside, 1, stride), nn.BatchNorm2d(outside))


class ResNet(nn.Module):
    """A residual network that satisfies :class:`~fctfast.models.protocol.FeatureModel`.

    Args:
        block: residual block class.
        depths: blocks in each of the four stages.
        spec: width, channels, classes and stem.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        spec: ModelSpec,
    ) -> None:
        super().__init__()
        stem = spec.stem
        if stem == "auto":
            stem = "imagenet" if spec.image_size >= IMAGENET_STEM_FROM else "small"
        width = spec.width
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(spec.in_channels, width, 7, 2, 3, bias=False)
        else:
            self.conv1 = _conv(spec.in_channels, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        pooled = stem in ("imagenet", "small-pool")
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pooled else nn.Identity()
        self._inside = width
        self.layer1 = self._stage(block, width, depths[0], 1)
        self.layer2 = self._stage(block, width * 2, depths[1], 2)
        self.layer3 = self._stage(block, width * 4, depths[2], 2)
        self.layer4 = self._stage(block, width * 8, depths[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self._inside, spec.num_classes)

    def _stage(
        self, block: type[BasicBlock] | type[Bottleneck], planes: int, depth: int, stride: int
    ) -> nn.Sequential:
        blocks: list[nn.Module] = []
        for number in range(depth):
            blocks.append(block(self._inside, planes, stride if number == 0 else 1))
            self._inside = planes * block.expansion
        return nn.Sequential(*blocks)

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to globally average-pooled features ``[B, D]``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to logits ``[B, num_classes]``."""
        logits: Tensor = self.fc(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to logits ``[B, num_classes]``."""
        return self.classify(self.features(x))


@register("resnet18")
def resnet18(spec: ModelSpec) -> nn.Module:
    """ResNet-18: two basic blocks in each stage."""
    return ResNet(BasicBlock, (2, 2, 2, 2), spec)


@register("resnet34")
def resnet34(spec: ModelSpec) -> nn.Module:
    """ResNet-34: 3, 4, 6 and 3 basic blocks."""
    return ResNet(BasicBlock, (3, 4, 6, 3), spec)


@register("resnet50")
def resnet50(spec: ModelSpec) -> nn.Module:
    """ResNet-50: 3, 4, 6 and 3 bottleneck blocks."""
    return ResNet(Bottleneck, (3, 4, 6, 3), spec)
