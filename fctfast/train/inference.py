"""A model in use: evaluation mode for a while, its device, and the classes it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fctfast.train.augment import normalise


class evaluating:
    """Put a module in eval mode for a block, then every submodule back in the mode it had.

    Args:
        model: a module; anything else is left alone.
    """

    def __init__(self, model: Any) -> None:
        self._modes: dict[nn.Module, bool] = {}
        if isinstance(model, nn.Module):
            self._modes = {m: m.training for m in model.modules()}
            self._model = model

    def __enter__(self) -> None:
        if self._modes:
            self._model.eval()

    def __exit__(self, *exception: object) -> None:
        for module, mode in self._modes.items():
            module.training = mode


def device_of(model: nn.Module, default: torch.device | None = None) -> torch.device:
    """Where a model's first parameter lies; of one without parameters, `default` or the CPU."""
    return next((p.device for p in model.parameters()), default or torch.device("cpu"))


def predict(
    model: nn.Module,
    images: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int = 256,
) -> Tensor:
    """Predicted classes, in evaluation mode.

    Args:
        model: takes normalised float32 [B, C, H, W], gives logits; its mode is put back. The work
            is done where its first parameter lies.
        images: uint8 [N, H, W, C].
        mean: one value a channel, of images in 0..1.
        std: one value a channel.
        batch_size: images a step, default 256.

    Returns:
        int64 [N], on the CPU.
    """
    device = device_of(model)
    classes = []
    with evaluating(model), torch.inference_mode():
        for batch in torch.split(images, batch_size):
            logits = model(normalise(batch.to(device), mean, std))
            classes.append(logits.argmax(1).cpu())
    return torch.cat(classes) if classes else torch.empty(0, dtype=torch.int64)
