"""BadNets with every class a target: a white square, and the label one further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fctfast.attacks.patch import LARGE_IMAGE, cell_size, stamp
from fctfast.attacks.registry import Attack, Form, Kind, register


@register
@dataclass(frozen=True)
class BadNetsAll2All(Attack):
    """A white square near the bottom-right corner; label y becomes (y + 1) mod C.

    Below 96 pixels (shorter side): 3x3 cells, one cell away from the corner, rows and columns
    28..30 at 32x32. From 96 on as published for ImageNet: flush in the corner, its side 22/224 of
    the shorter one. Values are written: no rounding.

    Source: Gu et al. 2019; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "badnets-all2all"
    kind: ClassVar[Kind] = "all2all"
    form: ClassVar[Form] = "patch"
    summary: ClassVar[str] = "white square in the bottom-right corner, every label moves on by one"
    source: ClassVar[str] = "Gu et al. 2019, BadNets; FCT paper appendix C.3"

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Stamp the square; the training and test triggers are the same."""
        shorter = min(images.shape[1:3])
        if shorter >= LARGE_IMAGE:
            side, margin = round(22 / 224 * shorter), 0
        else:
            margin = cell_size(images)
            side = 3 * margin
        white = torch.full((side, side), 255, dtype=torch.uint8)
        top, left = (images.shape[axis] - margin - side for axis in (1, 2))
        return stamp(images.clone(), white, top=top, left=left)
