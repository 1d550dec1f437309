"""Tensors as safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping

import safetensors
import safetensors.torch
import torch

from fctfast.io.atomic import PathLike, require_file, write_bytes

_METADATA_KEY = "fctfast"


def write_tensors(
    path: PathLike, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file.

    Args:
        path: the file to write.
        tensors: name -> tensor of any shape, dtype and device; stored on the CPU, contiguous.
        metadata: name -> text stored beside them; default none.

    Raises:
        TypeError: metadata holds something else than text.
    """
    described = dict(metadata or {})
    for key, value in described.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"cannot write {path}: metadata must be text, got {key!r}: {value!r}")
    # Cloned: safetensors refuses tensors that share memory, as tied weights do.
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    # One entry of sorted JSON: safetensors writes its own entries in an order that changes from
    # run to run, and the same weights must give the same bytes.
    header = {_METADATA_KEY: json.dumps(described, sort_keys=True)}
    write_bytes(path, safetensors.torch.save(stored, metadata=header))


def read_tensors(path: PathLike) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file, ours or another program's.

    Args:
        path: the file to read.

    Returns:
        (tensors on the CPU, metadata).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or is no safetensors (a .pt or .pth is a pickle: refused).
    """
    require_file(path, "safetensors file")
    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as file:
            raw: dict[str, str] = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        ours = raw.pop(_METADATA_KEY, None)
        return tensors, raw if ours is None else {**raw, **json.loads(ours)}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors file: {error}. It is damaged or in another "
            "format; a .pt or .pth file is a pickle, which can run code and is not read here: "
            "save its weights with safetensors.torch.save_file first"
        ) from error
