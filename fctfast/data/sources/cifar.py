"""torchvision's CIFAR-10 and CIFAR-100 folders, the python version (never unpickled) and binary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from fctfast.data.class_names import checked_class_names
from fctfast.data.image_set import ImageSet
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.data.safe_pickle import array_of, read_plain_pickle

Part: TypeAlias = tuple[npt.NDArray[np.uint8], list[int]]  # pixels [N, 3072] and labels
_PIXELS = 3 * 32 * 32
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class _Version:
    """One of the four forms in which CIFAR is handed out."""

    name: str
    classes: int
    folder: str
    train: tuple[str, ...]
    test: str
    read: Callable[[Path], Part]
    names: Callable[[Path], list[str]]


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"this CIFAR folder is not complete: {path} is missing")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is larger than any CIFAR file: {path.stat().st_size:,} bytes")
    return path.read_bytes()


def _read_python(path: Path) -> Part:
    content = read_plain_pickle(_read_file(path), str(path))
    labels = None
    if isinstance(content, dict):
        labels = content.get("fine_labels", content.get("labels"))
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise ValueError(f"{path}: expected a CIFAR dict with 'data' and 'labels'")
    pixels = array_of(content.get("data"), str(path))
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS):
        raise ValueError(
            f"{path}: expected uint8 data [{len(labels)}, {_PIXELS}], got {pixels.dtype} "
            f"{list(pixels.shape)}"
        )
    return pixels, labels


def _read_binary(label_bytes: int) -> Callable[[Path], Part]:
    def read(path: Path) -> Part:
        content = np.frombuffer(_read_file(path), np.uint8)
        row = label_bytes + _PIXELS
        if len(content) % row or not len(content):
            raise ValueError(
                f"{path}: expected a multiple of {row} bytes, got {len(content):,}: the file is "
                "truncated or no CIFAR file"
            )
        rows = content.reshape(-1, row)
        return rows[:, label_bytes:], rows[:, label_bytes - 1].tolist()

    return read


def _python_names(file: str, key: str) -> Callable[[Path], list[str]]:
    def names(folder: Path) -> list[str]:
        if not (folder / file).is_file():
            return []
        content: Any = read_plain_pickle(_read_file(folder / file), str(folder / file))
        listed = content.get(key) if isinstance(content, dict) else None
        return [str(name) for name in listed] if isinstance(listed, list) else []

    return names


def _text_names(file: str) -> Callable[[Path], list[str]]:
    def names(folder: Path) -> list[str]:
        if not (folder / file).is_file():
            return []
        text = _read_file(folder / file).decode("utf-8", "replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    return names


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_VERSIONS = (
    _Version(
        "CIFAR-10",
        10,
        "cifar-10-batches-py",
        _BATCHES,
        "test_batch",
        _read_python,
        _python_names("batches.meta", "label_names"),
    ),
    _Version(
        "CIFAR-10",
        10,
        "cifar-10-batches-bin",
        tuple(f"{batch}.bin" for batch in _BATCHES),
        "test_batch.bin",
        _read_binary(1),
        _text_names("batches.meta.txt"),
    ),
    _Version(
        "CIFAR-100",
        100,
        "cifar-100-python",
        ("train",),
        "test",
        _read_python,
        _python_names("meta", "fine_label_names"),
    ),
    _Version(
        "CIFAR-100",
        100,
        "cifar-100-binary",
        ("train.bin",),
        "test.bin",
        _read_binary(2),
        _text_names("fine_label_names.txt"),
    ),
)


def _find(source: Any) -> tuple[_Version, Path] | None:
    if not isinstance(source, Path) or not source.is_dir():
        return None
    for version in _VERSIONS:
        for folder in (source, source / version.folder):
            if any((folder / file).is_file() for file in (*version.train, version.test)):
                return version, folder
    return None


@register(
    "cifar",
    "the CIFAR-10 or CIFAR-100 folder that torchvision unpacks (python or binary version)",
    accepts=lambda source: _find(source) is not None,
    rank=20,
)
def open_cifar(source: Path, request: Request) -> ImageSet:
    """Load CIFAR; ids are row numbers, batch after batch.

    Args:
        source: the folder with the batch files, or the one above it.
        request: the options; "val" is the test split.

    Returns:
        uint8 RGB images of 32x32, or of the size asked for.

    Raises:
        FileNotFoundError: a batch file is missing.
        ValueError: a file is damaged or tampered with.
    """
    found = _find(source)
    if found is None:
        raise ValueError(f"{source} is no CIFAR folder")
    version, folder = found
    files = version.train if request.split == "train" else (version.test,)
    parts = [version.read(folder / file) for file in request.progress(files, len(files), "reading")]
    pixels = np.concatenate([part for part, _ in parts])
    labels = torch.tensor([label for _, part in parts for label in part], dtype=torch.int64)
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return request.finish(
        f"{version.name} {request.split}",
        torch.from_numpy(images),
        labels,
        class_names=checked_class_names(version.names(folder), version.classes),
    )
