"""SIG: a sinusoid added to images of the target class, whose labels stay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fctfast.attacks.blend import add_pattern
from fctfast.attacks.registry import Attack, Form, Kind, register


@register
@dataclass(frozen=True)
class SIG(Attack):
    """x + d sin(2 pi f j / W) in column j, the same in every row and channel.

    The wave has f periods across any width, so it scales with the image. Rounding: the sum is
    clipped to 0..255 and truncated.

    Args:
        amplitude: d of the training samples; default 40.
        test_amplitude: d of the trigger at test time, stronger; default 60.
        frequency: f, periods across the image; default 6.

    Source: Barni et al. 2019; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "sig"
    kind: ClassVar[Kind] = "clean-label"
    form: ClassVar[Form] = "blend"
    summary: ClassVar[str] = "sinusoid over the whole image, labels kept"
    source: ClassVar[str] = "Barni et al. 2019, SIG; FCT paper appendix C.3"
    amplitude: float = 40.0
    test_amplitude: float = 60.0
    frequency: float = 6.0

    def __post_init__(self) -> None:
        """Refuse a wave that is none."""
        for name in ("amplitude", "test_amplitude", "frequency"):
            if not 0 < getattr(self, name) <= 255:
                raise ValueError(f"sig: expected {name} in (0, 255], got {getattr(self, name)}")

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Add the wave of the training or of the test amplitude."""
        width = images.shape[2]
        columns = torch.arange(width, dtype=torch.float64)
        wave = torch.sin(2 * math.pi * self.frequency * columns / width)
        return add_pattern(
            images, (self.amplitude if train else self.test_amplitude) * wave[:, None]
        )
