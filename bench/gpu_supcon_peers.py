"""What `bench/gpu.py` compares supcon_loss with: eager, compiled and triangular torch, and Inf-CL.

The torch forms are those of `supcon_peers.py`, which the CPU's benchmark measures too. Eager works
in z's dtype throughout, its cheapest form: in 16 bits its errors show what that costs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import gpu_peers as peers
import supcon_peers
import torch
from gpu_cases import SAMPLES, Case
from gpu_peers import Maker, Peer, Unavailable
from torch import Tensor
from torch.nn import functional as F

Loss = Callable[[Tensor], Tensor]
INF_CL = (
    "another loss on as many pairs: each row's denominator includes the row itself, a row has one "
    "positive; its error is not compared"
)


def run(case: Case, loss: Loss, z: Tensor, upstream: Tensor) -> Callable[[], Tensor]:
    """Return the call that is measured: the loss, or z's gradient and the loss before it.

    Backward alone would not be comparable: eager leaves N x N matrices to its backward pass, where
    others begin anew.
    """
    if not case.both:
        return lambda: loss(z)
    leaf = z.detach().clone().requires_grad_()
    gradients = {dtype: upstream.to(dtype) for dtype in (torch.float32, z.dtype)}

    def both() -> Tensor:
        made = loss(leaf)
        return torch.autograd.grad(made, leaf, gradients[made.dtype])[0]

    return both


def block_of(rows: int) -> int:
    """Rows of a block of the triangle on a GPU: 36 of 64 products, in few launches."""
    return min(max(1024, -(-rows // 8)), 8192)


def makers(case: Case, z: Tensor, groups: Tensor, upstream: Tensor) -> dict[str, Maker]:
    """Return the peers by name, for `Problem.peers`."""
    classes = int(groups.max()) + 1

    def by(loss: Loss) -> Maker:
        return lambda: Peer(run(case, loss, z, upstream))

    def compiled() -> Peer:
        eager = peers.compiled(supcon_peers.eager)
        return Peer(run(case, lambda x: eager(x, groups), z, upstream))

    return {
        "eager": by(lambda x: supcon_peers.eager(x, groups)),
        "torch.compile": compiled,
        "triangle": by(
            functools.partial(
                supcon_peers.triangle, labels=groups, block=block_of(len(z)), classes=classes
            )
        ),
        "Inf-CL": lambda: inf_cl(case, z, upstream),
    }


def inf_cl(case: Case, z: Tensor, upstream: Tensor) -> Peer:
    """Inf-CL's Triton kernels, two modalities that are both z: the other view is the positive.

    Raises:
        Unavailable: the case's positives cannot be told to it, or it is not installed.
    """
    if case.layout != SAMPLES:
        raise Unavailable("one positive a row: no groups")
    rows, width = case.shape
    head = next((d for d in (256, 128, 64, 32, 16) if width % d == 0), 0)
    if not head:
        raise Unavailable(f"rows of {width} features: a multiple of 16 is needed")
    try:
        from inf_cl import cal_flash_loss
    except ImportError as error:
        raise Unavailable(f"not installed ({error})") from error
    if not z.is_cuda:
        raise Unavailable("runs on CUDA alone")
    other = torch.arange(rows, device=z.device).roll(rows // 2)

    def loss(x: Tensor) -> Tensor:
        unit = F.normalize(x.float(), dim=1)
        each = cal_flash_loss(
            unit, unit, labels=other, scale=1 / supcon_peers.TEMPERATURE, head_dim=head
        )
        made: Tensor = each.mean() * (supcon_peers.TEMPERATURE / supcon_peers.BASE)
        return made

    return Peer(run(case, loss, z, upstream), other=INF_CL)
