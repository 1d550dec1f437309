"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fctfast.data.image_set import ImageSet
from fctfast.data.memory import require_bytes
from fctfast.data.registry import register
from fctfast.data.request import Request

_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_UNSIGNED_BYTE = 8
_PREFIX = {"train": "train", "test": "t10k", "val": "t10k"}


def _file(folder: Path, split: str, what: str) -> Path | None:
    for dash in ("-", "."):  # some mirrors write images.idx3 instead of images-idx3
        stem = f"{_PREFIX[split]}-{what}{dash}idx{3 if what == 'images' else 1}-ubyte"
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    return None


def _folder(source: Any) -> Path | None:
    if not isinstance(source, Path) or not source.is_dir():
        return None
    for folder in (source, source / "FashionMNIST" / "raw", source / "MNIST" / "raw"):
        if any(_file(folder, split, "images") for split in _PREFIX):
            return folder
    return None


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the file; unpacked on the way if it ends in .gz.

    Returns:
        uint8 array of the shape the file's header names.

    Raises:
        ValueError: the file is truncated, too long, or no IDX file of unsigned bytes.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTE:
                raise ValueError(f"{path} is no IDX file of unsigned bytes: it starts {magic!r}")
            header = file.read(4 * magic[3])
            if len(header) != 4 * magic[3]:
                raise ValueError(f"{path} is truncated inside its header")
            shape = tuple(int(side) for side in np.frombuffer(header, ">u4"))
            size = math.prod(shape)
            require_bytes(f"{path}, whose header claims shape {list(shape)}", size)
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(content) != size:
        held = "more" if len(content) > size else f"{len(content):,}"
        raise ValueError(
            f"{path} is damaged: its header promises {size:,} bytes (shape {list(shape)}) and it "
            f"holds {held}"
        )
    pixels: npt.NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(shape).copy()
    return pixels


@register(
    "idx",
    "a folder with MNIST's or Fashion-MNIST's IDX files (.gz too)",
    accepts=lambda source: _folder(source) is not None,
    rank=20,
)
def open_idx(source: Path, request: Request) -> ImageSet:
    """Load IDX files; ids are row numbers.

    Args:
        source: the folder with the four files, or torchvision's root above it.
        request: the options; "val" is the test split.

    Returns:
        uint8 grey images [N, H, W, 1].

    Raises:
        FileNotFoundError: the split's images or labels are missing.
        ValueError: a file is damaged, or images and labels differ in number.
    """
    folder = _folder(source) or source
    arrays = []
    for what in ("images", "labels"):
        path = _file(folder, request.split, what)
        if path is None:
            raise FileNotFoundError(
                f"{folder}: no {request.split} {what}: expected {_PREFIX[request.split]}-{what}-"
                f"idx{3 if what == 'images' else 1}-ubyte or the same with .gz"
            )
        arrays.append(read_idx(path))
    images, labels = arrays
    if images.ndim != 3 or labels.ndim != 1:
        raise ValueError(
            f"{folder}: expected images [N, H, W] and labels [N], got {list(images.shape)} and "
            f"{list(labels.shape)}"
        )
    fashion = "fashion" in str(folder).lower()
    count = int(labels.max()) + 1 if len(labels) else 0
    return request.finish(
        f"{folder} {request.split}",
        torch.from_numpy(images[..., None]),
        torch.from_numpy(labels.astype(np.int64)),
        class_names=_FASHION if fashion and count <= len(_FASHION) else None,
    )
