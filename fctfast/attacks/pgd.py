"""Projected gradient descent: small changes that a network cannot read through."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctfast.train.inference import device_of, evaluating
from fctfast.train.precision import repeatable_kernels


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    eps: float = 8.0,
    step: float = 2.0,
    steps: int = 4,
    start: Tensor | None = None,
) -> Tensor:
    """Raise a network's cross-entropy within a small box around each image (L-infinity).

    Each step adds `step` times the sign of the gradient, then moves every number back to at most
    `eps` from the image and into 0..255. The network sees (x / 255 - mean) / std.

    Args:
        model: gives logits; it is used in eval mode, and left in the mode it came in.
        images: uint8 or float [N, H, W, C], in bytes' units, on any device: the work is done where
            the network is.
        labels: int64 [N], whose loss is raised.
        mean: per channel, in [0, 1] units.
        std: per channel.
        eps: half the side of the box, in bytes' units; default 8.
        step: length of a step, likewise; default 2.
        steps: how many; default 4.
        start: float [N, H, W, C] where to begin; default: at the images. It is moved into the box.

    Returns:
        float32 [N, H, W, C], not rounded, on the images' device.

    Source: Madry et al. 2018; FCT paper, appendix C.3 (CL).
    """
    place = device_of(model, images.device)
    clean = images.to(place).float()
    low, high = (clean - eps).clamp_min(0), (clean + eps).clamp_max(255)
    x = (clean if start is None else start.to(place)).clone().clamp_(low, high)
    labels = labels.to(place)
    shift, scale = (torch.tensor(v, device=x.device)[:, None, None] for v in (mean, std))
    with evaluating(model), repeatable_kernels(place):
        for _ in range(steps):
            x.requires_grad_()
            logits = model((x.permute(0, 3, 1, 2) / 255 - shift) / scale)
            # A sum: an image's gradient does not depend on its neighbours.
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
            (slope,) = torch.autograd.grad(loss, x)
            x = torch.clamp(x.detach() + step * slope.sign(), low, high)
    return x.detach().to(images.device)
