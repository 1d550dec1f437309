"""Identity of files and tensors."""

from __future__ import annotations

import hashlib

import torch

from fctfast.io.atomic import PathLike, require_file

_READ_BLOCK = 1 << 20


def sha256_file(path: PathLike) -> str:
    """Hash a file's content.

    Args:
        path: the file to read.

    Returns:
        SHA-256 in 64 hexadecimal digits.

    Raises:
        FileNotFoundError: there is no such file.
    """
    require_file(path, "file")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_tensor(tensor: torch.Tensor) -> str:
    """Hash a tensor's dtype, shape and values; strides and device do not count.

    Args:
        tensor: any shape, dtype and device.

    Returns:
        SHA-256 in 64 hexadecimal digits.
    """
    plain = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype}{list(plain.shape)}".encode("ascii"))
    if plain.numel():
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
