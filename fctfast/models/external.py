"""Networks of torchvision and timm by name, without their weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fctfast.models.adapters import as_feature_model
from fctfast.seeding import derive_seed

EXTERNAL_LIBRARIES = ("torchvision", "timm")


def build_external(
    library: str, name: str, *, num_classes: int, in_channels: int = 3, seed: int = 0
) -> nn.Module:
    """Build ``name`` of torchvision or timm with random weights keyed by ``seed``.

    Args:
        library: ``"torchvision"`` or ``"timm"``.
        name: the library's own name, for example ``"resnet50"``.
        num_classes: number of logits.
        in_channels: image channels; torchvision's models take 3 only.
        seed: key of the initial weights.

    Returns:
        The network behind the feature protocol.

    Raises:
        ValueError: the library does not know the name or cannot take ``in_channels``.
        ModuleNotFoundError: timm is not installed.
    """
    # Their constructors draw from the global generator; fork_rng gives it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, f"init/{library}:{name}"))
        if library == "torchvision":
            module = _torchvision(name, num_classes, in_channels)
        else:
            module = _timm(name, num_classes, in_channels)
    return as_feature_model(module)


def _torchvision(name: str, num_classes: int, in_channels: int) -> nn.Module:
    from torchvision import models  # noqa: PLC0415 (a second of import time, rarely needed)

    if in_channels != 3:
        raise ValueError(
            f"torchvision:{name}: expected in_channels=3, got {in_channels}; "
            "use timm or one of fctfast's own models"
        )
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(
            f"torchvision has no classification model {name!r}; it has {', '.join(known)}"
        )
    options: dict[str, Any] = {"num_classes": num_classes, "weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    module: nn.Module = models.get_model(name, **options)
    return module


def _timm(name: str, num_classes: int, in_channels: int) -> nn.Module:
    try:
        import timm  # noqa: PLC0415 (optional)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"timm:{name} needs timm: pip install timm") from error
    if not timm.is_model(name):
        raise ValueError(f"timm has no model {name!r}; see timm.list_models()")
    module: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, in_chans=in_channels
    )
    return module
