"""The state of a run after a pass: weights, buffers, momentum, history; one atomic file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.train.differences import differing_keys

FORMAT = "fctfast-train-1"
_WEIGHT, _MOMENTUM = "weight/", "momentum/"


@dataclass
class TrainState:
    """Where a run stands.

    Args:
        passes: passes finished.
        history: one record a pass.
        stopped: the run ended before its budget, because ``on_epoch`` said so.
        finished: nothing is left to do.
    """

    passes: int
    history: list[dict[str, Any]]
    stopped: bool = False
    finished: bool = False


def save_state(
    path: Path,
    state: TrainState,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    """Write the state of a run atomically.

    Args:
        path: file to write.
        state: where the run stands.
        model: weights and buffers are stored.
        optimiser: momentum buffers are stored, unless the run is finished.
        identity: what the run is (settings, seed, data); resuming compares it.
    """
    tensors = {_WEIGHT + name: tensor for name, tensor in model.state_dict().items()}
    if not state.finished:
        for name, parameter in model.named_parameters():
            buffer = optimiser.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                tensors[_MOMENTUM + name] = buffer
    io.write_tensors(
        path,
        tensors,
        {
            "format": FORMAT,
            "identity": json.dumps(identity, sort_keys=True),
            "state": json.dumps(vars(state), sort_keys=True),
        },
    )


def load_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> TrainState | None:
    """Bring ``model`` and ``optimiser`` to where the run in ``path`` stood.

    Args:
        path: file of :func:`save_state`.
        model: filled in place.
        optimiser: its momentum is filled in place.
        identity: what the run is now.

    Returns:
        Where the run stands, or None if there is no file.

    Raises:
        ValueError: the file is damaged, or belongs to a run with other settings.
    """
    if not path.exists():
        return None
    tensors, metadata = io.read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a training state (format {FORMAT}), got "
            f"{metadata.get('format', 'none')}; delete it to start again"
        )
    differing = differing_keys(json.loads(metadata["identity"]), identity)
    if differing:
        raise ValueError(
            f"{path} belongs to a run with other settings: {'; '.join(differing)}. Use the same "
            "settings to resume it, or another folder for a new run"
        )
    state = TrainState(**json.loads(metadata["state"]))
    model.load_state_dict(_under(tensors, _WEIGHT))
    momentum = _under(tensors, _MOMENTUM)
    for name, parameter in model.named_parameters():
        if name in momentum:
            # empty_like keeps the parameter's strides, which decide the kernel and so the bits.
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            optimiser.state[parameter]["momentum_buffer"] = buffer
    return state


def weights_fingerprint(model: nn.Module) -> str:
    """Hash all weights and buffers of a network."""
    parts = [
        f"{name}:{io.sha256_tensor(tensor)}" for name, tensor in sorted(model.state_dict().items())
    ]
    return io.sha256_tensor(
        torch.frombuffer(bytearray("\n".join(parts).encode()), dtype=torch.uint8)
    )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
