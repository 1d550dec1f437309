"""Weights on disk: safetensors files that say what network they belong to."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.models.adapters import without_adapter
from fctfast.models.registry import create_model

FORMAT = "fctfast-model-1"


@dataclass(frozen=True)
class ModelInfo:
    """What a checkpoint says about itself.

    Args:
        arch: name for :func:`~fctfast.models.registry.create_model`, or ``custom`` for a network
            that only its owner can build.
        num_classes: number of logits.
        width: channels of the first stage.
        in_channels: image channels.
        image_size: (height, width) in pixels.
        stem: stem of the ResNet family.
        mean: per-channel mean the inputs were normalised with, in [0, 1] units.
        std: per-channel standard deviation, same units.
        class_names: one name a class, or empty.
    """

    arch: str
    num_classes: int
    width: int = 64
    in_channels: int = 3
    image_size: tuple[int, int] = (32, 32)
    stem: str = "auto"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # JSON and YAML give lists; a frozen description holds tuples.
        for name in ("image_size", "mean", "std", "class_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.in_channels:
                raise ValueError(
                    f"ModelInfo: expected {self.in_channels} values in {name} (one a channel), "
                    f"got {getattr(self, name)}"
                )
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"ModelInfo: expected {self.num_classes} class names, got {len(self.class_names)}"
            )

    def build(self, *, seed: int = 0) -> nn.Module:
        """Build the network this describes, with fresh weights keyed by ``seed``."""
        if self.arch == "custom":
            raise ValueError(
                "this checkpoint belongs to a network of the user's own; build that network and "
                "pass it: load_model(path, model=network)"
            )
        return create_model(
            self.arch,
            num_classes=self.num_classes,
            width=self.width,
            in_channels=self.in_channels,
            image_size=self.image_size,
            stem=self.stem,
            seed=seed,
        )


def save_model(path: str | Path, model: nn.Module, info: ModelInfo) -> None:
    """Write weights, buffers and ``info`` as one safetensors file, atomically.

    Args:
        path: file to write.
        model: a network; an adapter is stored as the network inside it.
        info: what the file says about itself.
    """
    state = without_adapter(model).state_dict()
    io.write_tensors(path, state, {"format": FORMAT, "info": json.dumps(asdict(info))})


def load_model(path: str | Path, *, model: nn.Module | None = None) -> tuple[nn.Module, ModelInfo]:
    """Read a checkpoint of :func:`save_model`.

    Args:
        path: file to read.
        model: the network to fill, for checkpoints whose ``arch`` is ``custom``; default: built
            from the description.

    Returns:
        The network in eval mode on the CPU, and its description.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, describes no network, or does not fit the network.
    """
    tensors, metadata = io.read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a checkpoint that describes itself (format {FORMAT}), got "
            f"{metadata.get('format', 'none')}; for weights alone build the network and use "
            "fctfast.models.load_weights(path, model)"
        )
    info = _read_info(path, metadata.get("info", ""))
    network = info.build() if model is None else model
    fill(path, network, tensors)
    return network.eval(), info


def load_weights(path: str | Path, model: nn.Module, *, head: bool = True) -> nn.Module:
    """Fill a network from a file that holds weights only.

    Reads safetensors, and ``.pt``/``.pth`` files through torch's weights-only loader, which builds
    tensors and plain containers and runs no code of the file. A state under ``state_dict`` or
    ``model`` and the prefix ``module.`` are unwrapped.

    Args:
        path: file to read.
        model: network to fill, changed in place.
        head: False keeps the network's own last layer when the file's has another shape, as for a
            pretrained backbone with other classes; default True.

    Returns:
        ``model``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, holds something else, or does not fit.
    """
    state = read_weights(path)
    fill(path, model, state if head else replace_head(model, state))
    return model


def replace_head(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the model's own last layer into ``state`` where the shapes differ."""
    own = without_adapter(model).state_dict()
    last = list(own)[-1].rpartition(".")[0]
    return {
        name: own[name]
        if name.rpartition(".")[0] == last and name in own and own[name].shape != tensor.shape
        else tensor
        for name, tensor in state.items()
    }


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read named tensors from safetensors or, weights only, from a ``.pt``/``.pth`` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or it holds anything but named tensors.
    """
    if Path(path).suffix not in (".pt", ".pth"):
        return io.read_tensors(path)[0]
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint not found: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here; all mean: not readable as weights
        raise ValueError(
            f"{path}: not readable as weights only ({type(error).__name__}); it is damaged or "
            "holds code. Save the weights with safetensors.torch.save_file(model.state_dict(), ...)"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ValueError(
            f"{path}: expected a dictionary of named tensors (a state_dict), got "
            f"{type(loaded).__name__}"
        )
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _read_info(path: str | Path, text: str) -> ModelInfo:
    try:
        raw = json.loads(text)
        known = {field.name for field in fields(ModelInfo)}
        return ModelInfo(**{key: value for key, value in raw.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: its description of the network is damaged: {error}") from error


def fill(path: str | Path, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy ``state`` into ``model``; every name and shape must fit.

    Args:
        path: where the state comes from, for the error.
        model: filled in place.
        state: named tensors.

    Raises:
        ValueError: the message names what is missing, unknown or of another shape.
    """
    network = without_adapter(model)
    own = network.state_dict()
    missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    unequal = [
        f"{name} (file {list(state[name].shape)}, network {list(own[name].shape)})"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if missing or foreign or unequal:
        found = [
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in (
                ("missing in the file", missing),
                ("unknown to the network", foreign),
                ("of another shape", unequal),
            )
            if names
        ]
        raise ValueError(
            f"{path}: the weights do not fit {type(network).__name__} ({'; '.join(found)}); "
            "check the architecture, the width and the number of classes"
        )
    network.load_state_dict(dict(state))
