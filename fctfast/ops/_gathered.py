"""supcon_loss over several processes: own anchors against the rows of all."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from fctfast.ops._checks import refuse_second_derivative

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Of rows of `supcon_loss`."""


class GatheredSupConLoss(torch.autograd.Function):
    """See `fctfast.ops.supcon_loss` with a process group.

    Each process computes the denominators of its own anchors. H is symmetric, so with everybody's
    denominators a process has the whole gradient of its own rows, and no gradient is exchanged.
    """

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        group: Tensor,
        temperature: float,
        base_temperature: float,
        tf32: bool,
        process_group: ProcessGroup,
    ) -> Tensor:
        counts = _counts(z, temperature, base_temperature, tf32, process_group)
        rows, groups = (_gather(t, counts, process_group) for t in (z, group))
        first = sum(counts[: dist.get_rank(process_group)])
        how = (first, len(z), temperature, base_temperature, tf32)
        mean, own = torch.ops.fctfast.supcon_loss(rows, groups, *how)
        statistics = _gather(own, counts, process_group)
        # A process returns the mean over its own anchors; those without a positive are none.
        anchors, every = ((s[:, 1] > 0).sum().double() for s in (own, statistics))
        loss = mean.double() * anchors / every.clamp_min(1)
        dist.all_reduce(loss, group=process_group)
        ctx.how, ctx.processes = how, len(counts)
        ctx.save_for_backward(z, rows, groups, statistics)
        made: Tensor = loss.float()
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, *gathered = ctx.saved_tensors
        with torch.no_grad():
            # Times the processes: DDP takes the mean of gradients that are each a part of the sum.
            made = torch.ops.fctfast.supcon_loss_backward(grad * ctx.processes, *gathered, *ctx.how)
        return _OnceDifferentiable.apply(made, z, grad), None, None, None, None, None


class _OnceDifferentiable(torch.autograd.Function):
    """A gradient as it is, whose own derivative is refused where autograd would drop it."""

    @staticmethod
    def forward(ctx: Any, made: Tensor, z: Tensor, grad: Tensor) -> Tensor:
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> None:
        refuse_second_derivative("supcon_loss")


def _counts(
    z: Tensor, temperature: float, base: float, tf32: bool, group: ProcessGroup
) -> list[int]:
    """How many rows each process has; all of them fail where they ask for different losses."""
    facts = (len(z), z.shape[1], DTYPES.index(z.dtype), temperature, base, tf32)
    mine = torch.tensor(facts, dtype=torch.float64, device=z.device)
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(every, mine, group=group)
    table = torch.stack(every).tolist()
    asked = [tuple(row[1:]) for row in table]
    for rank, other in enumerate(asked):
        if other != asked[0]:
            raise ValueError(
                "supcon_loss: expected the same of every process of process_group, got "
                f"{_words(asked[0])} of rank 0 and {_words(other)} of rank {rank}"
            )
    return [int(row[0]) for row in table]


def _words(asked: tuple[float, ...]) -> str:
    width, dtype, temperature, base, tf32 = asked
    products = " in tf32" if tf32 else ""
    return (
        f"{str(DTYPES[int(dtype)]).removeprefix('torch.')} rows of {int(width)}{products}, "
        f"temperature {temperature}, base_temperature {base}"
    )


def _gather(t: Tensor, counts: list[int], group: ProcessGroup) -> Tensor:
    """Everybody's rows, in the order of ranks; sent as bytes, for any dtype and backend."""
    sent = t.new_zeros((max(counts), *t.shape[1:]))
    sent[: len(t)] = t
    every = [torch.empty_like(sent) for _ in counts]
    dist.all_gather([_bytes(part) for part in every], _bytes(sent), group=group)
    return torch.cat([part[:count] for part, count in zip(every, counts, strict=True)])


def _bytes(t: Tensor) -> Tensor:
    return t.view(torch.uint8)
