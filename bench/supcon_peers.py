"""The supervised contrastive loss as others compute it, for `test_supcon_loss.py` and its costs.

`eager` is the usual way, with the N x N matrix and autograd. `chunked` and `triangle` are what
plain torch can do at its best: no N x N array, gradients by hand, `triangle` with half of the
products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE, BASE = 0.1, 0.07
BLOCK = 512
"""Rows of a block; of 256, 512 and 1,024 a CPU's fastest at 1,024 to 8,192 rows, by a little."""


def eager(z: Tensor, labels: Tensor) -> Tensor:
    """Mask, logits minus their row's largest, log-probabilities, mean over the positives."""
    unit = F.normalize(z, dim=1)
    logits = unit @ unit.T / TEMPERATURE
    logits = logits - logits.max(1, keepdim=True).values.detach()
    others = torch.ones_like(logits).fill_diagonal_(0)
    mask = (labels[:, None] == labels[None, :]).to(z.dtype) * others
    log_p = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    return -(TEMPERATURE / BASE) * ((mask * log_p).sum(1) / mask.sum(1)).mean()


def metric_learning() -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of pytorch-metric-learning, which has no base temperature."""
    from pytorch_metric_learning.losses import SupConLoss

    loss = SupConLoss(temperature=TEMPERATURE)
    return lambda z, labels: loss(z, labels) * (TEMPERATURE / BASE)


def _weights(labels: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    members = torch.zeros(classes, device=labels.device)
    members.index_add_(0, labels, torch.ones(len(labels), device=labels.device))
    positives = members[labels] - 1
    anchor = (positives > 0).float()
    return anchor, positives.clamp_min(1), anchor.sum().clamp_min(1)


def _attraction(unit: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum of s over the positives, by the sums of the classes."""
    sums = unit.new_zeros((classes, unit.shape[1])).index_add_(0, labels, unit)
    return (unit * (sums[labels] - unit)).sum(1)


def _through_the_norm(slope: Tensor, unit: Tensor, z: Tensor, factor: Tensor) -> Tensor:
    slope = slope - (slope * unit).sum(1, keepdim=True) * unit
    return slope * (factor / z.float().norm(dim=1, keepdim=True))


class _Blocks(torch.autograd.Function):
    """Rows by blocks; `triangle` visits each pair of blocks once.

    Products are made in z's dtype, everything else in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, labels: Tensor, triangle: bool, block: int, classes: int
    ) -> Tensor:
        unit = F.normalize(z.float(), dim=1)
        rounded = unit.to(z.dtype)
        n, width = len(z), block if triangle else len(z)
        total = unit.new_zeros(n)
        for i in range(0, n, block):
            rows = rounded[i : i + block]
            for j in range(i if triangle else 0, n, width):
                e = (rows @ rounded[j : j + width].T).float().mul_(1 / TEMPERATURE).exp_()
                if i == j or not triangle:
                    e.diagonal(i - j).zero_()
                total[i : i + block] += e.sum(1)
                if triangle and i != j:
                    total[j : j + block] += e.sum(0)
        anchor, positives, count = _weights(labels, classes)
        losses = total.log() - _attraction(unit, labels, classes) / (TEMPERATURE * positives)
        ctx.how = triangle, block, classes
        ctx.save_for_backward(z, labels, unit, total)
        return (losses * anchor).sum() / count * (TEMPERATURE / BASE)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, labels, unit, total = ctx.saved_tensors
        triangle, block, classes = ctx.how
        rounded = unit.to(z.dtype)
        anchor, positives, count = _weights(labels, classes)
        pull, push = anchor / (TEMPERATURE * total), anchor / (TEMPERATURE * positives)
        slope = torch.zeros_like(unit)
        n, width = len(z), block if triangle else len(z)
        for i in range(0, n, block):
            rows = slice(i, i + block)
            for j in range(i if triangle else 0, n, width):
                columns = slice(j, j + width)
                h = (rounded[rows] @ rounded[columns].T).float().mul_(1 / TEMPERATURE).exp_()
                h.mul_(pull[rows, None] + pull[columns])
                alike = labels[rows, None] == labels[columns]
                h.sub_((push[rows, None] + push[columns]).mul_(alike))
                if i == j or not triangle:
                    h.diagonal(i - j).zero_()
                _add_product(slope[rows], h, rounded[columns])
                if triangle and i != j:
                    _add_product(slope[columns], h.T, rounded[rows])
        factor = grad * (TEMPERATURE / BASE) / count
        return _through_the_norm(slope, unit, z, factor).to(z.dtype), None, None, None, None


def _add_product(sums: Tensor, h: Tensor, rows: Tensor) -> None:
    if rows.dtype == sums.dtype:
        sums.addmm_(h, rows)
    else:
        sums += h.to(rows.dtype) @ rows


def chunked(z: Tensor, labels: Tensor) -> Tensor:
    """Blocks of rows against all columns; three N x N x D products."""
    made: Tensor = _Blocks.apply(z, labels, False, BLOCK, int(labels.max()) + 1)
    return made


def triangle(
    z: Tensor, labels: Tensor, *, block: int = BLOCK, classes: int | None = None
) -> Tensor:
    """Pairs of blocks, each once; two products.

    Args:
        z: [N, D].
        labels: int64 [N], at least 0.
        block: rows of a block.
        classes: more than the largest label; default: found in `labels`, for which a GPU is waited.
    """
    classes = int(labels.max()) + 1 if classes is None else classes
    made: Tensor = _Blocks.apply(z, labels, True, block, classes)
    return made
