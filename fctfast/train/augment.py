"""Augmentation and normalisation of uint8 batches, vectorised and keyed by sample id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import fct_views
from fctfast.seeding import derive_seed
from fctfast.train.keyed import uniform
from fctfast.train.settings import AugmentSettings


def augment(
    images: Tensor,
    ids: Tensor,
    settings: AugmentSettings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    purpose: str,
    epoch: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Crop, flip and rotate images at random and normalise them.

    What happens to a sample depends on (seed, purpose, epoch, id) only: neither the order of the
    batch nor its size matters.

    Args:
        images: uint8 ``[B, H, W, C]``.
        ids: int64 ``[B]``.
        settings: which transformations; all off means normalisation alone.
        mean: per channel, in [0, 1] units.
        std: per channel, same units.
        seed: the run's seed.
        purpose: what the images are for, for example ``"base"``.
        epoch: number of the pass.
        memory_format: layout of the result, default contiguous.

    Returns:
        float32 ``[B, C, H, W]`` on the device of ``images``.

    Source: paper appendix C.5.
    """
    draws = uniform(derive_seed(seed, f"augment/{purpose}", epoch), ids, 4)
    if settings.crop or settings.flip:
        images = _crop_and_flip(images, draws[:3], settings.crop, settings.flip)
    params = torch.zeros(0, len(images), 3)
    if settings.rotation:
        params = torch.zeros(1, len(images), 3)
        params[0, :, 0] = torch.from_numpy((2 * draws[3] - 1) * settings.rotation)
    return fct_views(
        images,
        params,
        mean,
        std,
        layout="nhwc",
        memory_format=memory_format,
        # Without a rotation the "original" is all there is, and it is the normalised image.
        originals=not settings.rotation,
    )


def normalise(
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Turn uint8 ``[B, H, W, C]`` into normalised float32 ``[B, C, H, W]``.

    Args:
        images: uint8 ``[B, H, W, C]``.
        mean: per channel, in [0, 1] units.
        std: per channel, same units.
        memory_format: layout of the result, default contiguous.
    """
    none = torch.zeros(0, len(images), 3)
    return fct_views(images, none, mean, std, layout="nhwc", memory_format=memory_format)


def _crop_and_flip(images: Tensor, draws: npt.NDArray[np.float64], crop: int, flip: bool) -> Tensor:
    count, height, width, _ = images.shape
    top = np.floor(draws[0] * (2 * crop + 1)).astype(np.int64)
    left = np.floor(draws[1] * (2 * crop + 1)).astype(np.int64)
    rows = top[:, None] + np.arange(height)
    columns = np.broadcast_to(np.arange(width), (count, width))
    if flip:
        # Flipping the columns that are read is flipping the crop: no second pass over the pixels.
        columns = np.where(draws[2][:, None] < 0.5, columns[:, ::-1], columns)
    columns = columns + left[:, None]
    padded = F.pad(images, (0, 0, crop, crop, crop, crop))
    device = images.device
    sample = torch.arange(count, device=device)[:, None, None]
    row = torch.from_numpy(rows).to(device)[:, :, None]
    column = torch.from_numpy(np.ascontiguousarray(columns)).to(device)[:, None, :]
    return padded[sample, row, column]
