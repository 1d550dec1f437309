"""BadNets with one target class: a small black-and-white grid in the corner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fctfast.attacks.patch import cell_size, stamp
from fctfast.attacks.registry import Attack, Form, Kind, register

PATTERN = torch.tensor([[0, 0, 255], [0, 255, 0], [255, 0, 255]], dtype=torch.uint8)


@register
@dataclass(frozen=True)
class BadNetsAll2One(Attack):
    """3x3 cells flush in the bottom-right corner, the same in all channels.

    A cell is one pixel at 32x32; at other sizes its side is the shorter image side divided by 32,
    rounded, at least 1 (7 pixels at 224x224). Values are written, not blended: no rounding.

    Source: Gu et al. 2019; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "badnets-all2one"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "patch"
    summary: ClassVar[str] = "3x3 grid in the bottom-right corner, one target class"
    source: ClassVar[str] = "Gu et al. 2019, BadNets; FCT paper appendix C.3"

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Stamp the grid; the training and test triggers are the same."""
        cell = cell_size(images)
        side = len(PATTERN) * cell
        top, left = images.shape[1] - side, images.shape[2] - side
        return stamp(images.clone(), PATTERN, top=top, left=left, cell=cell)
