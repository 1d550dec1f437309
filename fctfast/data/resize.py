"""Bringing images to one size: shorter side first (antialiased), then the centre."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from fctfast.data.decode import fit
from fctfast.data.progress import ProgressCallback, no_progress


def resize_images(
    images: torch.Tensor, size: tuple[int, int], progress: ProgressCallback = no_progress
) -> torch.Tensor:
    """Scale images until they cover ``size`` and keep the centre, as decoding files does.

    Args:
        images: uint8 [N, H, W, C], C is 1 or 3.
        size: (height, width) in pixels.
        progress: shows how far it is; default nothing.

    Returns:
        uint8 [N, height, width, C].
    """
    out = torch.empty(len(images), *size, images.shape[3], dtype=torch.uint8)
    numbers = range(len(images))
    for number in progress(numbers, len(images), "resizing"):
        # Pillow has no one-channel image with a channel axis.
        pixels = images[number].numpy()
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        fitted = np.array(fit(image, size)).reshape(*size, -1)
        out[number] = torch.from_numpy(fitted)
    return out
