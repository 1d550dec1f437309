"""Start from weights that somebody else trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fctfast.models.checkpoint import fill, load_weights, replace_head


def load_pretrained(model: nn.Module, source: str | Path, *, name: str) -> nn.Module:
    """Fill a network with pretrained weights and keep its own head if the classes differ.

    Args:
        model: network to fill, changed in place.
        source: a file for :func:`~fctfast.models.load_weights`, or ``imagenet`` for torchvision's
            weights of the same architecture, which torch downloads once and checks by hash.
        name: the network's name, ``resnet18`` or ``torchvision:resnet18``.

    Returns:
        ``model``.

    Raises:
        ValueError: torchvision has no such weights, they do not fit, or they cannot be downloaded.
        FileNotFoundError: no such file.
    """
    if str(source) != "imagenet":
        return load_weights(source, model, head=False)
    fill(f"torchvision's weights of {name}", model, replace_head(model, _torchvision(name)))
    return model


def _torchvision(name: str) -> dict[str, Tensor]:
    from torchvision import models  # noqa: PLC0415 (a second of import time, rarely needed)

    plain = name.removeprefix("torchvision:")
    if plain not in models.list_models(module=models):
        raise ValueError(
            f"pretrained: torchvision has no weights for {name!r}; give the path of a weights file"
        )
    weights: Any = models.get_model_weights(plain).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"pretrained: cannot download {weights.url}: {error}; download it elsewhere and give "
            "its path as model.pretrained"
        ) from error
    return state
