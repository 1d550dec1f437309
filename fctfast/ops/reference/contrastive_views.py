"""References of `fctfast::sample_contrastive` and `fctfast::contrastive_views`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fctfast.ops.reference.sample_rotate_affine import philox4x32

_MASK = 0xFFFFFFFF
_FIRST = 0x40000000
STEPS = ("brightness", "contrast", "saturation", "hue")
COLUMNS = ("top", "left", "height", "width", "flip", "jitter", "order", *STEPS, "grey")


def sample_contrastive(
    ids: Tensor,
    seed: int,
    epoch: int,
    views: int,
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.2, 1.0),
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    jitter_share: float = 0.8,
    grey_share: float = 0.2,
    flip_share: float = 0.5,
) -> Tensor:
    """Draw the parameters in Python integers; see `fctfast.ops.sample_contrastive`."""
    rows = []
    key = (seed & _MASK, (seed >> 32) & _MASK)
    for view, sample in itertools.product(range(views), ids.tolist()):
        counter = (sample & _MASK, (sample >> 32) & _MASK, epoch)

        def block(
            number: int, counter: tuple[int, int, int] = counter, view: int = view
        ) -> list[float]:
            words = philox4x32((*counter, _FIRST + 16 * view + number), key)
            return [(word >> 8) * 2.0**-24 for word in words]

        flip, jittered, grey, order = block(0)
        factors = [
            centre + reach * (2 * u - 1)
            for centre, reach, u in zip((1, 1, 1, 0), jitter, block(1), strict=True)
        ]
        row = [
            *_crop([block(2 + attempt) for attempt in range(10)], size, scale),
            float(flip < flip_share), float(jittered < jitter_share), math.floor(24 * order),
            *factors, float(grey < grey_share),
        ]  # fmt: skip
        rows.append(row + [0.0] * (16 - len(row)))
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 16).float()


def _crop(
    attempts: list[list[float]], size: tuple[int, int], scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    height, width = size
    for u in attempts:
        area = height * width * (scale[0] + (scale[1] - scale[0]) * u[0])
        ratio = math.exp(math.log(4 / 3) * (2 * u[1] - 1))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return math.floor(u[2] * (height - h + 1)), math.floor(u[3] * (width - w + 1)), h, w
    ratio = width / height
    h = round(width / 0.75) if ratio < 0.75 else height
    w = round(height * (4 / 3)) if ratio > 4 / 3 else width
    return (height - h) // 2, (width - w) // 2, h, w


def contrastive_views(
    images: Tensor,
    params: Tensor,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    size: tuple[int, int] | None = None,
    layout: str = "nhwc",
) -> Tensor:
    """Make the views with torchvision's v2 functions; see `fctfast.ops.contrastive_views`."""
    # Here: it takes a second to import, and the ops import this package.
    from torchvision.transforms.v2 import functional as V  # noqa: PLC0415

    adjust = {
        "brightness": V.adjust_brightness,
        "contrast": V.adjust_contrast,
        "saturation": V.adjust_saturation,
        "hue": V.adjust_hue,
    }
    x = (images.permute(0, 3, 1, 2) if layout == "nhwc" else images).float() / 255
    channels = x.shape[1]
    shift, spread = (
        torch.as_tensor(v, dtype=x.dtype, device=x.device).expand(channels).reshape(-1, 1, 1)
        for v in (mean, std)
    )
    made = []
    for row, words in enumerate(params.tolist()):
        image = x[row % len(x)]
        named = dict(zip(COLUMNS, words, strict=False))
        crop = [int(named[name]) for name in ("top", "left", "height", "width")]
        out = list(size or image.shape[1:])
        image = V.resized_crop(image, *crop, size=out, antialias=True)
        if named["flip"]:
            image = V.horizontal_flip(image)
        if named["jitter"]:
            for step in list(itertools.permutations(STEPS))[int(named["order"])]:
                image = adjust[step](image, named[step])
        if named["grey"] and channels == 3:
            image = V.rgb_to_grayscale(image, num_output_channels=3)
        made.append((image - shift) / spread)
    return torch.stack(made) if made else x.new_empty((0, channels, *(size or x.shape[2:])))
