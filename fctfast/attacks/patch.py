"""Patches: a small pattern written over part of an image, at any image size."""

from __future__ import annotations

from torch import Tensor

LARGE_IMAGE = 96
"""Shorter side from which an attack's ImageNet geometry holds, where the paper has one."""


def cell_size(images: Tensor) -> int:
    """Side in pixels of one cell of a pattern that was published for 32x32 images.

    Args:
        images: [N, H, W, C].

    Returns:
        round(min(H, W) / 32), at least 1: 1 at 28 or 32, 2 at 64, 7 at 224.
    """
    return max(1, round(min(images.shape[1], images.shape[2]) / 32))


def stamp(images: Tensor, pattern: Tensor, *, top: int, left: int, cell: int = 1) -> Tensor:
    """Write a pattern into every image, in place.

    Args:
        images: uint8 [N, H, W, C]; changed.
        pattern: uint8 [h, w], the same in all channels.
        top: row of the pattern's first row, in pixels.
        left: column of the pattern's first column, in pixels.
        cell: each entry of the pattern becomes cell x cell pixels; default 1.

    Returns:
        images.

    Raises:
        ValueError: the pattern does not lie inside the image.
    """
    block = pattern.repeat_interleave(cell, 0).repeat_interleave(cell, 1).to(images.device)
    place = patch_of(images, *block.shape[:2], top=top, left=left)
    place.copy_(block[None, :, :, None])
    return images


def patch_of(images: Tensor, height: int, width: int, *, top: int, left: int) -> Tensor:
    """The part of every image that a patch covers.

    Args:
        images: [N, H, W, C].
        height: of the patch, in pixels.
        width: likewise.
        top: its first row.
        left: its first column.

    Returns:
        [N, height, width, C], a view.

    Raises:
        ValueError: the patch does not lie inside the image.
    """
    if top < 0 or left < 0 or top + height > images.shape[1] or left + width > images.shape[2]:
        raise ValueError(
            f"trigger: a {height}x{width} patch at its distance from the edges does not fit into "
            f"images of {images.shape[1]}x{images.shape[2]}; use larger images"
        )
    return images[:, top : top + height, left : left + width, :]
