"""What `bench/gpu.py` compares contrastive_views with: batched torch, and torchvision view by view.

The batched form does what the op does and no less: each view has its own crop, factors and order of
the colour steps. Crops are resized by two products with matrices of weights, which are made
beforehand, flips included; each step works on the views whose turn it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from gpu_peers import MEAN, STD, compiled, constants
from torch import Tensor

from fctfast.ops import reference
from fctfast.ops.sample_contrastive import COLUMNS

_STEPS = ("brightness", "contrast", "saturation", "hue")
_ORDERS = list(itertools.permutations(range(4)))


def weights(begin: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Return float32 [N, outputs, inputs]: an antialiased resize of each view's crop of an axis."""
    begin, length = begin.double()[:, None, None], length.double()[:, None, None]
    scale = length / outputs
    centre = begin + scale * (torch.arange(outputs)[None, :, None] + 0.5)
    at = torch.arange(inputs)[None, None, :] + 0.5
    made = (1 - (at - centre).abs() / scale.clamp_min(1)).clamp_min(0)
    made *= (at > begin) & (at < begin + length)
    return (made / made.sum(2, keepdim=True)).float()


def grey(x: Tensor) -> Tensor:
    """[N, 1, H, W] of [N, 3, H, W]."""
    r, g, b = x.unbind(1)
    return (0.2989 * r + 0.587 * g + 0.114 * b)[:, None]


def blend(x: Tensor, factor: Tensor, other: Tensor | float) -> Tensor:
    """torchvision's: factor times x, the rest of another."""
    return (factor * x + (1 - factor) * other).clamp(0, 1)


def turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue by a share of a full circle; value and chroma stay."""
    most, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = most - least
    r, g, b = (channel[:, None] for channel in x.unbind(1))
    above = torch.where(r == most, g - b, torch.where(g == most, b - r, r - g))
    sector = torch.where(r == most, 0.0, torch.where(g == most, 2.0, 4.0))
    hue = above / torch.where(chroma == 0, 1.0, chroma) + sector + 6 * turns
    k = (hue + torch.tensor([5.0, 3.0, 1.0], device=x.device)[:, None, None]).remainder(6)
    return most - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


def _step(name: str, x: Tensor, factor: Tensor) -> Tensor:
    if name == "brightness":
        return blend(x, factor, 0.0)
    if name == "contrast":
        return blend(x, factor, grey(x).mean((2, 3), keepdim=True))
    return blend(x, factor, grey(x)) if name == "saturation" else turn_hue(x, factor)


def batched(
    images: Tensor, params: Tensor, side: int, dtype: torch.dtype, memory_format: Any
) -> Callable[[Tensor], Tensor]:
    """Return images [B, H, W, 3] -> the views of `params` [V * B, 16], on the images' device."""
    device, (batch, height, width, _) = images.device, images.shape
    words = {name: params[:, i] for i, name in enumerate(COLUMNS)}
    down = weights(words["top"], words["height"], height, side).to(device)
    across = weights(words["left"], words["width"], width, side)
    across = torch.where(words["flip"][:, None, None] > 0, across.flip(1), across).mT.to(device)
    order = torch.tensor([_ORDERS[int(n)] for n in words["order"].tolist()])
    turns = []  # step, the views whose turn it is, their factors
    for place, (number, name) in itertools.product(range(4), enumerate(_STEPS)):
        mine = ((order[:, place] == number) & (words["jitter"] > 0)).nonzero().flatten()
        if len(mine):
            factor = words[name][mine][:, None, None, None]
            turns.append((name, mine.to(device), factor.to(device)))
    drained = words["grey"].nonzero().flatten().to(device)
    scale, shift = constants(device)
    scale = 255 * scale

    def views(images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        x = (x / 255).repeat(len(params) // batch, 1, 1, 1)
        x = torch.bmm(x.flatten(1, 2), across).unflatten(1, (3, height))
        x = torch.matmul(down[:, None], x)
        for name, mine, factor in turns:
            x[mine] = _step(name, x[mine], factor)
        if len(drained):
            x[drained] = grey(x[drained]).expand(-1, 3, -1, -1)
        made = torch.empty_like(x, dtype=dtype, memory_format=memory_format)
        return torch.addcmul(shift, x, scale, out=made)

    return views


def compiled_batched(
    images: Tensor, params: Tensor, side: int, dtype: torch.dtype, memory_format: Any
) -> Callable[[Tensor], Tensor]:
    """The same, for the compiler to fuse as it likes."""
    made: Callable[[Tensor], Tensor] = compiled(batched(images, params, side, dtype, memory_format))
    return made


def torchvision(
    images: Tensor, params: Tensor, side: int, dtype: torch.dtype, memory_format: Any
) -> Callable[[Tensor], Tensor]:
    """torchvision v2's functions, view by view: the op's reference."""

    def views(images: Tensor) -> Tensor:
        made = reference.contrastive_views(images, params, MEAN, STD, size=(side, side))
        return made.to(dtype).contiguous(memory_format=memory_format)

    return views
