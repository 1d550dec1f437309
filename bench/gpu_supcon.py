"""A case of `bench/gpu.py` for supcon_loss: rows about their groups' centres, and the exact answer.

The float64 reference has N x N matrices. Here its numbers are made by blocks of rows on the case's
own device, so that 65,536 rows have an answer as well: `test_gpu_supcon.py` holds one against the
other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import gpu_supcon_peers
import supcon_peers
import torch
from gpu_cases import SAMPLES, Case
from gpu_peers import Maker
from torch import Tensor

from fctfast import ops

UPSTREAM = 4096.0  # as a GradScaler's: float16 has no numbers for a large batch's gradients
_ELEMENTS = 1 << 25  # of a block of the exact similarities: 256 MiB
_ALL = -1  # rows of the raw op


def data(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return z and its groups: two views of each sample, spread about the centre of their group."""
    made = torch.Generator().manual_seed(0)
    rows, width = case.shape
    samples = rows // 2
    own = (
        torch.arange(samples)
        if case.layout == SAMPLES
        else torch.randint(0, 10, (samples,), generator=made)
    )
    groups = own.repeat(2)
    centres = torch.randn(int(groups.max()) + 1, width, generator=made)
    z = centres[groups] + torch.randn(rows, width, generator=made)
    return z.to(case.dtype).to(device), groups.to(device)


def calls(
    case: Case, z: Tensor, groups: Tensor
) -> tuple[Callable[[], Tensor], Callable[[], Tensor], dict[str, Maker]]:
    """Return our kernel, our public call and the peers."""
    raw, upstream = torch.ops.fctfast, torch.tensor(UPSTREAM, device=z.device)
    how = (0, _ALL, supcon_peers.TEMPERATURE, supcon_peers.BASE, case.tf32)

    def kernel() -> Tensor:
        loss, statistics = raw.supcon_loss(z, groups, *how)
        if not case.both:
            return loss
        made: Tensor = raw.supcon_loss_backward(upstream, z, groups, statistics, *how)
        return made

    def public(x: Tensor) -> Tensor:
        return ops.supcon_loss(x, groups, supcon_peers.TEMPERATURE, supcon_peers.BASE)

    peers = gpu_supcon_peers.makers(case, z, groups, upstream)
    return kernel, gpu_supcon_peers.run(case, public, z, upstream), peers


def exact(case: Case, z: Tensor, groups: Tensor, samples: Tensor) -> Tensor:
    """Return in float64, on the CPU, the loss [1, 1], or the gradient [1, samples, D] of some rows.

    A gradient needs every row's denominator, hence one product of all rows with all; its own rows
    are few.
    """
    t, scale = supcon_peers.TEMPERATURE, supcon_peers.TEMPERATURE / supcon_peers.BASE
    wide = z.double()
    norm = wide.norm(dim=1, keepdim=True)
    unit = wide / norm
    logs, losses = torch.empty_like(norm[:, 0]), torch.zeros_like(norm[:, 0])
    positives = torch.bincount(groups)[groups].double() - 1
    for own in torch.arange(len(z), device=z.device).split(max(1, _ELEMENTS // len(z))):
        s = unit[own] @ unit.T / t
        s.scatter_(1, own[:, None], -math.inf)
        logs[own] = s.logsumexp(1)
        pulled = s.where(groups[own, None] == groups, 0).scatter_(1, own[:, None], 0).sum(1)
        losses[own] = torch.where(positives[own] > 0, logs[own] - pulled / positives[own], 0)
    anchors = positives > 0
    count = anchors.double().sum().clamp_min(1)
    if not case.both:
        return (scale * losses.sum() / count).reshape(1, 1).cpu()
    own = samples.to(z.device)
    s = unit[own] @ unit.T / t
    push = anchors / (t * positives.clamp_min(1))
    h = (s - logs[own, None]).exp() * anchors[own, None] + (s - logs).exp() * anchors
    h = h / t - (groups[own, None] == groups) * (push[own, None] + push)
    slope = h.scatter_(1, own[:, None], 0) @ unit
    slope -= (slope * unit[own]).sum(1, keepdim=True) * unit[own]
    return (UPSTREAM * scale / count * slope / norm[own])[None].cpu()
