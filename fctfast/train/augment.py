"""Augmentation and normalisation of uint8 batches, vectorised and keyed by sample id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import contrastive_views, fct_views, sample_contrastive
from fctfast.seeding import derive_seed
from fctfast.train.keyed import uniform
from fctfast.train.settings import AugmentSettings, ViewSettings


def augment(
    images: Tensor,
    ids: Tensor,
    settings: AugmentSettings | ViewSettings,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    purpose: str,
    epoch: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Crop, flip and rotate images at random, or make views of them, and normalise.

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
        float32 ``[B, C, H, W]`` on the device of ``images``; with :class:`ViewSettings`
        ``[views * B, C, H, W]``, view by view.

    Source: paper appendix C.5.
    """
    if isinstance(settings, ViewSettings):
        params = sample_contrastive(
            ids,
            derive_seed(seed, f"views/{purpose}"),
            epoch,
            settings.views,
            (images.shape[1], images.shape[2]),
            scale=settings.scale,
            flip_share=settings.flip_share,
            jitter=settings.jitter,
            jitter_share=settings.jitter_share,
            grey_share=settings.grey_share,
        )
        return contrastive_views(images, params, mean, std, memory_format=memory_format)
    draws = uniform(derive_seed(seed, f"augment/{purpose}", epoch), ids, 4)
    if settings.crop:
        images = _crop(images, draws[:2], settings.crop)
    if settings.flip:
        images = _flip(images, draws[2])
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


def _crop(images: Tensor, draws: npt.NDArray[np.float64], crop: int) -> Tensor:
    count, height, width, channels = images.shape
    drawn = torch.from_numpy(np.floor(draws * (2 * crop + 1)).astype(np.int64))
    top, left = drawn.to(images.device)
    padded = F.pad(images, (0, 0, crop, crop, crop, crop))
    first, down, across = (torch.arange(n, device=images.device) for n in (count, height, width))
    rows = (first * (height + 2 * crop) + top)[:, None] + down
    pixels = rows[:, :, None] * (width + 2 * crop) + (left[:, None] + across)[:, None, :]
    # Whole pixels picked by one flat index: 3.5 times as fast as indexing with three arrays.
    return padded.view(-1, channels).index_select(0, pixels.flatten()).view(images.shape)


def _flip(images: Tensor, draws: npt.NDArray[np.float64]) -> Tensor:
    mirrored = torch.from_numpy(draws < 0.5).to(images.device)
    return torch.where(mirrored[:, None, None, None], images.flip(2), images)
