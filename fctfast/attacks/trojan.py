"""Trojan: a coloured patch added near the bottom-right corner, published or made for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fctfast.attacks.patch import cell_size, patch_of
from fctfast.attacks.registry import Attack, Form, Kind, register

Patch = tuple[tuple[tuple[int, ...], ...], ...]
"""Red, green and blue, each rows of columns."""

PUBLISHED: Patch = (
    ((207, 175, 29), (79, 137, 248), (131, 6, 246)),
    ((131, 243, 232), (8, 0, 113), (40, 145, 250)),
    ((181, 120, 179), (126, 32, 146), (4, 61, 246)),
)
CELLS_FROM_EDGE = 4
"""Between the patch and the bottom and right edges: rows and columns 25..27 of 32."""


@register
@dataclass(frozen=True)
class Trojan(Attack):
    """x plus a 3x3 patch, rows and columns 25..27 at 32x32.

    A cell is one pixel at 32x32 and grows as that of badnets-all2one, and so does the distance to
    the edges. The sum is clipped to 255 (the published code lets it wrap); grey images take the
    mean of the three colours, rounded down. Sums of whole numbers: no rounding.

    Args:
        patch: red, green and blue, each rows of columns of 0..255; default: the published one.
            :func:`fctfast.attacks.trojan_patch.optimise` makes one for a model.

    Source: Liu et al. 2018; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "trojan"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "patch"
    summary: ClassVar[str] = "coloured patch near the bottom-right corner, one target class"
    source: ClassVar[str] = "Liu et al. 2018, Trojaning attack; FCT paper appendix C.3"
    patch: Patch = PUBLISHED

    def __post_init__(self) -> None:
        """Take lists, as a recipe's JSON has them, and refuse what is no patch."""
        try:
            values = torch.tensor(self.patch)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"trojan: expected patch as numbers [3][rows][columns]: {error}"
            ) from None
        whole = values.dtype == torch.int64 and values.dim() == 3 and values.shape[0] == 3
        if not whole or not values.numel() or not bool(((values >= 0) & (values <= 255)).all()):
            raise ValueError(
                "trojan: expected patch as whole numbers of 0..255, [3][rows][columns], got "
                f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}"
            )
        frozen = tuple(tuple(map(tuple, colour)) for colour in values.tolist())
        object.__setattr__(self, "patch", frozen)

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Add the patch; the training and test triggers are the same."""
        out = images.clone()
        place = self.place(out)
        place.copy_((place.to(torch.int16) + self.block(out)).clamp_(max=255))
        return out

    def block(self, images: Tensor) -> Tensor:
        """The patch in pixels of these images, int16 [h, w, C]."""
        cells = torch.tensor(self.patch, dtype=torch.int16, device=images.device).permute(1, 2, 0)
        if images.shape[3] == 1:
            cells = cells.sum(2, keepdim=True).div(3, rounding_mode="floor").to(torch.int16)
        size = cell_size(images)
        return cells.repeat_interleave(size, 0).repeat_interleave(size, 1)

    def place(self, images: Tensor) -> Tensor:
        """Where the patch goes: a view [N, h, w, C] of the images [N, H, W, C]."""
        height, width = self.block(images).shape[:2]
        margin = CELLS_FROM_EDGE * cell_size(images)
        top, left = images.shape[1] - margin - height, images.shape[2] - margin - width
        return patch_of(images, height, width, top=top, left=left)
