"""Images of a set where the network is: on a GPU the whole set is copied once, if it fits."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.data import ImageSet

SHARE = 0.25
"""Of a GPU's free memory that a set may take; a larger one is copied batch by batch."""


class Resident:
    """Hands out batches of images on a device.

    Args:
        device: where to.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.whole: dict[int, tuple[ImageSet, Tensor | None]] = {}  # the set keeps its id taken

    def __call__(self, data: ImageSet, positions: Tensor) -> Tensor:
        """Take uint8 ``[B, H, W, C]`` at int64 ``[B]`` positions out of a set."""
        if self.device.type != "cuda":
            return data.images[positions].to(self.device)
        if id(data) not in self.whole:
            free, _ = torch.cuda.mem_get_info(self.device)
            fits = data.images.nbytes <= SHARE * free
            self.whole[id(data)] = data, data.images.to(self.device) if fits else None
        images = self.whole[id(data)][1]
        if images is None:
            return data.images[positions].to(self.device)
        return images[positions.to(self.device)]
