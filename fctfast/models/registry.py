"""The registry of networks: one name, one builder.

To add a network: write ``fctfast/models/<name>.py`` with a function
``@register("<name>") def build(spec: ModelSpec) -> nn.Module`` whose result has ``features`` and
``classify``. The folder is searched at the first look-up; nothing else needs a change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from fctfast.models.external import EXTERNAL_LIBRARIES, build_external
from fctfast.models.initialise import initialise

STEMS = ("auto", "small", "small-pool", "imagenet")


@dataclass(frozen=True)
class ModelSpec:
    """What a builder needs to know.

    Args:
        name: registered name, or ``torchvision:<name>`` / ``timm:<name>``.
        num_classes: number of logits, at least 1.
        width: channels of the first stage (64 is the published ResNet).
        in_channels: image channels.
        image_size: shorter side in pixels; from 96 on, ``stem="auto"`` is the ImageNet stem.
        stem: ``"small"`` is 3x3, stride 1; ``"small-pool"`` adds a 3x3 stride-2 max-pool;
            ``"imagenet"`` is 7x7, stride 2, and the max-pool.
    """

    name: str
    num_classes: int
    width: int = 64
    in_channels: int = 3
    image_size: int = 32
    stem: str = "auto"

    def __post_init__(self) -> None:
        for field in ("num_classes", "width", "in_channels", "image_size"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{field}: expected an int of at least 1, got {value!r}")
        if self.stem not in STEMS:
            raise ValueError(f"stem: expected one of {', '.join(STEMS)}, got {self.stem!r}")


Builder = Callable[[ModelSpec], nn.Module]

_BUILDERS: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Register a builder under ``name`` (decorator).

    Raises:
        ValueError: the name is taken.
    """

    def add(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise ValueError(f"register: a model named {name!r} exists already")
        _BUILDERS[name] = builder
        return builder

    return add


def _load_folder() -> None:
    package = importlib.import_module("fctfast.models")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"fctfast.models.{module.name}")


def model_names() -> tuple[str, ...]:
    """List the registered names, sorted (``torchvision:`` and ``timm:`` names come on top)."""
    _load_folder()
    return tuple(sorted(_BUILDERS))


def create_model(
    name: str,
    *,
    num_classes: int,
    width: int = 64,
    in_channels: int = 3,
    image_size: int | tuple[int, int] = 32,
    stem: str = "auto",
    seed: int = 0,
) -> nn.Module:
    """Build a network whose weights depend on ``seed`` and the parameters' names only.

    Args:
        name: one of :func:`model_names`, or ``torchvision:<name>`` / ``timm:<name>``.
        num_classes: number of logits.
        width: channels of the first stage, default 64; the libraries' models have their own.
        in_channels: image channels, default 3.
        image_size: pixels a side, or (height, width); default 32.
        stem: see :class:`ModelSpec`, default ``"auto"``.
        seed: key of the initial weights, default 0. Global generators are neither read nor
            advanced.

    Returns:
        A float32 module in training mode that satisfies
        :class:`~fctfast.models.protocol.FeatureModel`.

    Raises:
        ValueError: unknown name, or a size that makes no sense.
    """
    side = image_size if isinstance(image_size, int) else min(image_size)
    spec = ModelSpec(name, num_classes, width, in_channels, side, stem)
    library, _, inner = name.partition(":")
    if library in EXTERNAL_LIBRARIES and inner:
        return build_external(
            library, inner, num_classes=num_classes, in_channels=in_channels, seed=seed
        )
    if name not in model_names():
        raise ValueError(
            f"create_model: unknown model {name!r}; known: {', '.join(model_names())}, "
            "torchvision:<name>, timm:<name>"
        )
    # On the meta device the constructors draw nothing, so the global generator stays untouched.
    with torch.device("meta"):
        model = _BUILDERS[name](spec)
    model.to_empty(device="cpu")
    initialise(model, seed)
    return model
