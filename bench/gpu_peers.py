"""What `bench/gpu.py` compares with: each peer at its cheapest honest form, on any device.

Every peer gets what our kernel gets: inputs on the device and the draw's parameters prepared
there (matrices where we take integers). Sampling is done in float32 whatever the output's dtype:
a 16-bit grid cannot name the pixels of a 224-wide image. A maker raises `Unavailable` with the
reason where there is nothing to compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch._functorch.config
from torch import Tensor
from torch.nn import functional as F

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
NAMES = (
    "eager", "torch.compile", "kornia", "torchvision v2", "DALI", "triangle", "Inf-CL",
)  # fmt: skip


class Unavailable(Exception):
    """Why a peer has no figure in a case."""


@dataclass(frozen=True)
class Peer:
    """A call that is ready to be timed.

    Attributes:
        call: does the work once.
        tensor: turns what `call` returned into a tensor that is laid out as ours.
        clock: "events", or "wall" where the work is not on torch's stream.
        other: what it computes instead, where that is not the op's result: it is timed and not
            compared with the reference.
    """

    call: Callable[[], Any]
    tensor: Callable[[Any], Tensor] = lambda made: made
    clock: str = "events"
    other: str = ""


Maker = Callable[[], Peer]
ABSENT = "has no such op"
Sampler = Callable[[Tensor, int], Tensor]  # (float maps [B, C, H, W], number of the draw) -> moved


def backward_matrices(params: Tensor, height: int, width: int) -> Tensor:
    """Return float64 [..., 2, 3]: where each output position comes from, in pixels from the corner.

    tau turns about the centre, then shifts; its inverse shifts back, then turns back.
    """
    angle, dx, dy = params.double().unbind(-1)
    cos, sin = angle.mul(math.pi / 180).cos(), angle.mul(math.pi / 180).sin()
    x, y = width / 2 + dx, height / 2 + dy
    rows = [cos, -sin, width / 2 - cos * x + sin * y, sin, cos, height / 2 - sin * x - cos * y]
    return torch.stack(rows, -1).unflatten(-1, (2, 3))


def grid_matrices(params: Tensor, height: int, width: int) -> Tensor:
    """Return float32 [..., 2, 3] for `affine_grid(align_corners=False)`: units of half a side."""
    top, bottom = backward_matrices(params, height, width).unbind(-2)
    (a, b, c), (d, e, f) = top.unbind(-1), bottom.unbind(-1)
    rows = [
        a, b * height / width, a + b * height / width + 2 * c / width - 1,
        d * width / height, e, d * width / height + e + 2 * f / height - 1,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (2, 3)).float()


def grid_sampler(params: Tensor, size: Sequence[int], mode: str, device: torch.device) -> Sampler:
    """affine_grid + grid_sample, batched."""
    theta = grid_matrices(params, *size).to(device)

    def sample(x: Tensor, draw: int) -> Tensor:
        grid = F.affine_grid(theta[draw], list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, mode=mode, align_corners=False)

    return sample


def kornia_sampler(params: Tensor, size: Sequence[int], mode: str, device: torch.device) -> Sampler:
    """kornia's warp_affine, batched, its matrices made beforehand."""
    try:
        from kornia.geometry import transform
    except ImportError as error:
        raise Unavailable(f"not installed ({error})") from error
    height, width = size
    # kornia takes the way forward, between pixel centres; ours is the way back, between corners.
    back = F.pad(backward_matrices(params, height, width), (0, 0, 0, 1))
    back[..., 2, 2] = 1
    to_corner = torch.tensor([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    forward = torch.linalg.inv(torch.linalg.inv(to_corner) @ back @ to_corner)
    matrices = forward[..., :2, :].float().to(device)

    def sample(x: Tensor, draw: int) -> Tensor:
        return transform.warp_affine(
            x, matrices[draw], (height, width), mode=mode, align_corners=True
        )

    return sample


def torchvision_sampler(params: Tensor, mode: str) -> Sampler:
    """torchvision v2's affine, sample by sample: it takes one angle for a whole batch."""
    try:
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.v2 import functional
    except ImportError as error:
        raise Unavailable(f"not installed ({error})") from error
    rows, way = params.tolist(), InterpolationMode(mode)

    def sample(x: Tensor, draw: int) -> Tensor:
        return torch.stack(
            [
                functional.affine(image, -angle, [dx, dy], 1.0, [0.0, 0.0], interpolation=way)
                for image, (angle, dx, dy) in zip(x, rows[draw], strict=True)
            ]
        )

    return sample


def constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and shift [C, 1, 1] so that a byte times scale plus shift is normalised."""
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def views_by(
    sample: Sampler, images: Tensor, draws: int, dtype: torch.dtype, memory_format: Any
) -> Callable[[], Tensor]:
    """Originals and views; bytes are sampled before they are normalised: fill 0 is then right."""
    scale, shift = constants(images.device)
    batch, height, width, channels = images.shape

    def views() -> Tensor:
        x = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        made = torch.empty(
            ((1 + draws) * batch, channels, height, width),
            dtype=dtype, device=x.device, memory_format=memory_format,
        )  # fmt: skip
        # Each part is normalised, rounded and laid out by the kernel that puts it in its place.
        torch.addcmul(shift, x, scale, out=made[:batch])
        for k in range(draws):
            place = made[(1 + k) * batch : (2 + k) * batch]
            torch.addcmul(shift, sample(x, k), scale, out=place)
        return made

    return views


def compiled_views(
    sample: Sampler, images: Tensor, draws: int, dtype: torch.dtype, memory_format: Any
) -> Callable[[], Tensor]:
    """The same without writes into slices, for the compiler to fuse as it likes."""
    scale, shift = constants(images.device)

    def views(images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).float()
        parts = [x, *(sample(x, k) for k in range(draws))]
        made = torch.cat([(part * scale + shift).to(dtype) for part in parts])
        return made.contiguous(memory_format=memory_format)

    made = compiled(views)
    return lambda: made(images)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for one shape; without a reset the ninth shape would silently run uncompiled."""
    torch._dynamo.reset()
    return torch.compile(function, dynamic=False, fullgraph=True)


def feature_distance(features: Tensor, draws: int) -> Tensor:
    """Eq. 1 in eager torch: sums in float32, no widened copy of a 16-bit input."""
    pooled = features.mean((2, 3), dtype=torch.float32) if features.dim() == 4 else features
    rows = pooled.unflatten(0, (1 + draws, -1))
    return (rows[:1].float() - rows[1:]).square().sum(2)


def warp_distance_by(sample: Sampler) -> Callable[[Tensor], Tensor]:
    """Squared distance between x and its warp, which is written out."""

    def distance(x: Tensor) -> Tensor:
        wide = x.float()
        return (wide - sample(wide, 0)).square().sum((1, 2, 3))

    return distance


def gradient_of(
    function: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor
) -> Callable[[], Tensor]:
    """Return a call that runs only the backward pass of `function` at x."""
    leaf = x.detach().clone().requires_grad_()
    # A compiled backward that may reuse its buffers refuses to run twice.
    with torch._functorch.config.patch(donated_buffer=False):
        made = function(leaf)
        upstream = grad.view_as(made)
        torch.autograd.grad(made, leaf, upstream, retain_graph=True)
    return lambda: torch.autograd.grad(made, leaf, upstream, retain_graph=True)[0]
