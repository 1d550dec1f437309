"""A batch larger than memory: the loss sees all of it, the network a part at a time.

The outputs are made without a gradient, the loss gives the gradient of each, and every part goes
through the network once more to take its own back (Gao et al. 2021, "gradient cache").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fctfast.train.stage import batch_bounds

Forward = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Rows [b] -> (features [V*b, D], outputs [V*b, K]), view by view; the same each time."""

SAME = 1e-2
"""How far the two passes may differ, relative to their norm: rounding, and not a layer's chance."""


def backward_in_chunks(
    network: nn.Module,
    forward: Forward,
    rows: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    chunk: int,
    views: int = 1,
) -> Tensor:
    """Add the gradient of a loss over a whole batch to the network's parameters.

    It is the gradient of one pass over the batch, if the network treats samples one by one. Batch
    norm in training mode does not: its statistics are those of a part, as with so many processes;
    running statistics move once a part.

    In a DistributedDataParallel network every part's backward waits for the other processes: give
    every process as many parts.

    Args:
        network: what ``forward`` runs.
        forward: see :data:`Forward`; random augmentation must be keyed.
        rows: int64 [B], in the order in which the loss gets them.
        loss: (features [V*B, D], outputs [V*B, K]) -> scalar.
        chunk: rows that go through the network at once.
        views: V.

    Returns:
        The loss, without a gradient.

    Raises:
        ValueError: chunk below 1, no rows, or two passes that differ, as they do where a layer
            drops at random; gradients of the parts before it have then been added.
    """
    if chunk < 1:
        raise ValueError(f"chunk: expected at least 1 row, got {chunk}")
    if not len(rows):
        raise ValueError("rows: expected at least one, got none")
    parts = [rows[first:end] for first, end in batch_bounds(len(rows), chunk)]
    with torch.no_grad():
        made = [forward(part) for part in parts]
    whole = [_join([one[kind] for one in made], views).requires_grad_() for kind in (0, 1)]
    del made
    value = loss(*whole)
    slopes = torch.autograd.grad(value, whole, allow_unused=True)
    cuts = [[None] * len(parts) if slope is None else _cut(slope, parts, views) for slope in slopes]
    seen = [_cut(one.detach(), parts, views) for one in whole]
    with _resting_statistics(network):
        for part, *given, features, others in zip(parts, *cuts, *seen, strict=True):
            outputs = forward(part)
            _check_same((features, others), outputs)
            pairs = [(o, g) for o, g in zip(outputs, given, strict=True) if g is not None]
            torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])
    return value.detach()


def _check_same(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    for before, now in zip(first, second, strict=True):
        differ = torch.linalg.vector_norm(now.detach() - before)
        if float(differ) > SAME * float(torch.linalg.vector_norm(before)):
            raise ValueError(
                "chunk: the network gave other outputs when a part went through it once more, so "
                "something in it draws at random (dropout?); use a network without, or the whole "
                "batch at once"
            )


def _join(parts: Sequence[Tensor], views: int) -> Tensor:
    """[V*b, D] of each part -> [V*B, D], view by view."""
    return torch.cat([_by_view(part, views) for part in parts], 1).flatten(0, 1)


def _cut(whole: Tensor, parts: Sequence[Tensor], views: int) -> list[Tensor]:
    """The inverse of :func:`_join`."""
    pieces = torch.split(_by_view(whole, views), [len(part) for part in parts], dim=1)
    return [piece.flatten(0, 1) for piece in pieces]


def _by_view(t: Tensor, views: int) -> Tensor:
    return t.reshape(views, len(t) // views, *t.shape[1:])


@contextmanager
def _resting_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay as they are inside; they have seen this batch."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [norm.momentum for norm in norms]
    counted = [norm.num_batches_tracked for norm in norms]
    kept = [None if c is None else c.clone() for c in counted]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum, count, value in zip(norms, before, counted, kept, strict=True):
            norm.momentum = momentum
            if count is not None and value is not None:
                count.copy_(value)
