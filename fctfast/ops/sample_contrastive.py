"""Parameters of contrastive learning's augmentation, keyed by (seed, id, epoch, view)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import (
    image_size,
    numbers,
    require_tensor,
    shape_of,
    side_limit,
    signed64,
    whole,
)

COLUMNS = (
    "top", "left", "height", "width", "flip", "jitter", "order", "brightness", "contrast",
    "saturation", "hue", "grey",
)  # fmt: skip
"""Names of the first columns of a row of parameters; the other four are zero."""

WORDS = 16
JITTER = (0.4, 0.4, 0.4, 0.1)


@torch.library.register_fake("fctfast::sample_contrastive")
def _(
    ids: Tensor,
    seed: int,
    epoch: int,
    views: int,
    height: int,
    width: int,
    scale: Sequence[float],
    jitter: Sequence[float],
    jitter_share: float,
    grey_share: float,
    flip_share: float,
) -> Tensor:
    return ids.new_empty((views * ids.shape[0], WORDS), dtype=torch.float32)


def sample_contrastive(
    ids: Tensor,
    seed: int,
    epoch: int,
    views: int,
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.2, 1.0),
    jitter: tuple[float, float, float, float] = JITTER,
    jitter_share: float = 0.8,
    grey_share: float = 0.2,
    flip_share: float = 0.5,
) -> Tensor:
    """Draw crop, flip, colour jitter and grey for each view of each sample.

    A function of (seed, id, epoch, view) alone: the same bits come out whatever the batch size,
    order, loader, worker, rank or device.

    Args:
        ids: int64 [B] on the CPU, the samples' ids.
        seed: any int of 64 bits.
        epoch: number of the epoch, at least 0.
        views: V, views of each sample.
        size: (height, width) of the images in pixels.
        scale: smallest and largest share of the image's area that a crop takes, default .2 to 1;
            the ratio of its sides is log-uniform from 3/4 to 4/3.
        jitter: reach of the brightness, contrast and saturation factors around 1, and of the hue
            around 0 in turns of the colour circle; default .4, .4, .4, .1.
        jitter_share: share of views with colour jitter, default .8.
        grey_share: share of views without colours, default .2.
        flip_share: share of views whose left and right change places, default .5.

    Returns:
        float32 [V*B, 16], view by view; :data:`COLUMNS` names the first twelve columns: top, left,
        height and width of the crop in pixels; flip, jitter and grey are 0 or 1; order, 0 to 23, is
        the number of a permutation of (brightness, contrast, saturation, hue) in lexical order.

    Raises:
        TypeError: ids is no int64 tensor on the CPU.
        ValueError: ids not one-dimensional, negative numbers, shares outside [0, 1].

    Source: appendix C.5 ("the same as [31]", SimCLR); the published code's pipeline.
    """
    op = "sample_contrastive"
    require_tensor(op, "ids", ids)
    if ids.dtype != torch.int64 or ids.device.type != "cpu":
        raise TypeError(f"{op}: expected ids int64 [B] on the CPU, got {shape_of(ids)}")
    if ids.dim() != 1:
        raise ValueError(f"{op}: expected ids int64 [B], got {shape_of(ids)}")
    epoch, views = whole(op, "epoch", epoch), whole(op, "views", views)
    if not 0 <= epoch < 2**32 or not 0 <= views < 2**24:
        raise ValueError(
            f"{op}: expected 0 <= epoch < 2^32 and 0 <= views < 2^24, got {epoch} and {views}"
        )
    height, width = image_size(op, size)
    if min(height, width) < 1:
        raise ValueError(f"{op}: expected sides of at least one pixel, got {height} x {width}")
    side_limit(op, height, width)
    area, reaches = numbers(op, "scale", scale), numbers(op, "jitter", jitter)
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"{op}: expected 0 < scale[0] <= scale[1] <= 1, got {scale}")
    if len(reaches) != 4 or not all(0 <= reach <= 1 for reach in reaches) or reaches[3] > 0.5:
        raise ValueError(
            f"{op}: expected jitter of four reaches in [0, 1], that of hue at most .5, got {jitter}"
        )
    shares = {"jitter_share": jitter_share, "grey_share": grey_share, "flip_share": flip_share}
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"{op}: expected {name} in [0, 1], got {share}")
    params: Tensor = torch.ops.fctfast.sample_contrastive(
        ids, signed64(op, seed), epoch, views, height, width, area, reaches,
        float(jitter_share),
        float(grey_share),
        float(flip_share),
    )  # fmt: skip
    return params
