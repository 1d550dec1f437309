"""Recompute batch-norm statistics, so that eval-mode features belong to the weights at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fctfast.data import ImageSet
from fctfast.seeding import permutation
from fctfast.train import normalise

BATCH = 256
IMAGES = 4096
"""Statistics of 16 batches of 256 are as good as those of the whole set; more only costs time."""


@torch.no_grad()
def recompute_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace running statistics by the plain average over the given batches.

    Running statistics are an exponential average over past steps. While L_intra moves the weights
    quickly they lag behind, and eval-mode features are then of no network that ever existed: one
    such epoch gave AUROC .499 where the next gave .99. Weights do not change;
    dropout and the like stay in eval mode.

    Args:
        model: any module; changed in place and left in the mode it came in.
        batches: float [B, C, H, W] inputs without random augmentation, each with B > 1.

    Returns:
        The number of batch-norm layers that were refreshed (0: nothing was run).

    Raises:
        ValueError: the model has such layers but no batch was given.

    Source: docs/method.md, "The SD module" (the guards).
    """
    layers = _layers(model)
    if not layers:
        return 0
    modes = {m: m.training for m in model.modules()}
    momenta = [m.momentum for m in layers]
    seen = 0
    try:
        model.eval()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average: every batch counts the same
            layer.train()
        for batch in batches:
            model(batch)
            seen += 1
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    if not seen:
        raise ValueError("recompute_batch_norm: expected at least one batch, got none")
    return len(layers)


def statistics_batches(
    data: ImageSet,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
    device: torch.device | str,
) -> Iterator[Tensor]:
    """Yield the normalised images from which statistics are recomputed.

    Args:
        data: the set; at most IMAGES of it are drawn, keyed by seed.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of the draw.
        device: where the model is.

    Yields:
        float32 [B, C, H, W], B in 2 .. BATCH.
    """
    order = permutation(len(data), seed, "batch-norm")[:IMAGES]
    # Of nearly equal size: every batch counts the same, and a last one of one image would weigh as
    # much as 256.
    for positions in torch.tensor_split(order, max(1, -(-len(order) // BATCH))):
        # One sample has no variance; a set of one image still gets its (useless) batch of two.
        rows = positions if len(positions) > 1 else positions.repeat(2)
        yield normalise(data.images[rows].to(device), mean, std, memory_format=torch.channels_last)


@contextmanager
def keep_statistics(model: nn.Module) -> Iterator[None]:
    """Give a block the freedom to recompute statistics; afterwards they are what they were.

    A running training must not notice that it was scored in between: scoring more or fewer
    snapshots would change the weights that follow.

    Args:
        model: its running mean, variance and batch count come back.
    """
    kept = [
        (layer, [buffer.clone() for buffer in layer.buffers(recurse=False)])
        for layer in _layers(model)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, buffers in kept:
                for buffer, value in zip(layer.buffers(recurse=False), buffers, strict=True):
                    buffer.copy_(value)


def _layers(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
