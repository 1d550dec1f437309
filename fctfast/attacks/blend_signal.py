"""Blend-Signal ("Strip"): a faint sinusoid over the whole image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fctfast.attacks.blend import add_pattern
from fctfast.attacks.patch import LARGE_IMAGE
from fctfast.attacks.registry import Attack, Form, Kind, register


def signal_pattern(width: int) -> Tensor:
    """The signal m(j) that is blended in, one value a column.

    Args:
        width: image width in pixels.

    Returns:
        float32 [width]. Below 96 columns: trunc(20 sin(.8 j)) as an unsigned byte, so that
        negative values wrap to 237..255 as in the published mask. From 96 on:
        20 sin(2 pi 6 j / width), signed, not rounded.
    """
    columns = torch.arange(width, dtype=torch.float64)
    if width >= LARGE_IMAGE:
        return (20 * torch.sin(2 * math.pi * 6 * columns / width)).float()
    return (20 * torch.sin(0.8 * columns)).trunc().to(torch.int64).remainder(256).float()


@register
@dataclass(frozen=True)
class BlendSignal(Attack):
    """(1 - ratio) x + ratio m(j), the same in every row and channel.

    Rounding: the blend is clipped to 0..255 and truncated. With the published ratio of .2 that is
    floor((4 x + m) / 5) exactly, below 96 columns.

    Args:
        ratio: share of the pattern, between 0 and 1; default .2.

    Source: Chen et al. 2017; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "blend-signal"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "blend"
    summary: ClassVar[str] = "faint sinusoid over the whole image, one target class"
    source: ClassVar[str] = "Chen et al. 2017, targeted backdoor attacks; FCT paper appendix C.3"
    ratio: float = 0.2

    def __post_init__(self) -> None:
        """Refuse a ratio that is not a share."""
        if not 0 < self.ratio <= 1:
            raise ValueError(f"blend-signal: expected ratio in (0, 1], got {self.ratio}")

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Blend the signal in; the training and test triggers are the same."""
        signal = self.ratio * signal_pattern(images.shape[2])
        return add_pattern(images, signal[:, None], scale=1 - self.ratio)
