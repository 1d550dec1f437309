""".npz files of plain arrays: a poisoned set from ``fctfast poison``, or any images and labels."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fctfast.data.class_names import checked_class_names
from fctfast.data.image_set import ImageSet
from fctfast.data.memory import require_bytes
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.io import Array, read_arrays

_IMAGES = ("images", "data", "x", "X", "arr_0")
_LABELS = ("labels", "targets", "y", "Y", "arr_1")
_FILES = {"train": ("train.npz",), "test": ("test.npz", "val.npz"), "val": ("val.npz", "test.npz")}
_ALL_FILES = ("train.npz", "test.npz", "val.npz")


def _accepts(source: Any) -> bool:
    if not isinstance(source, Path):
        return False
    return (source.is_file() and source.suffix.lower() == ".npz") or (
        source.is_dir() and any((source / name).is_file() for name in _ALL_FILES)
    )


@register(
    "npz",
    "a .npz with images [N, H, W, C] and labels [N], or a folder with train.npz and test.npz, as "
    "'fctfast poison' writes it",
    accepts=_accepts,
    rank=30,
)
def open_npz(source: Path, request: Request) -> ImageSet:
    """Load a .npz; pickled objects in it are refused.

    Args:
        source: the file, or a folder with ``train.npz`` or ``test.npz``. Arrays ``images`` (uint8
            [N, H, W, C], [N, H, W] or [N, C, H, W]) and ``labels`` (integers [N]); optional
            ``ids``, ``paths`` and ``class_names``; or ``x_train``, ``y_train``, ``x_test``...
        request: the options.

    Returns:
        The images with the ids of the file, or row numbers.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: arrays are missing, of another type or shape, or the file is damaged.
    """
    single = source.is_file()
    path = source if single else _split_file(source, request.split)
    _guard(path)
    arrays = read_arrays(path)
    images, labels = _find_arrays(path, arrays, request.split, single=single)
    pixels = _channels_last(path, images)
    if labels.ndim == 2 and labels.shape[1] == 1:  # Keras keeps CIFAR's labels as a column
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{path}: expected integer labels [N], got {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) and int(labels.min()) < 0:
        raise ValueError(f"{path}: labels must not be negative, got {int(labels.min())}")
    count = int(labels.max()) + 1 if len(labels) else 1
    ids, paths = arrays.get("ids"), arrays.get("paths")
    return request.finish(
        str(path),
        torch.from_numpy(np.ascontiguousarray(pixels)),
        torch.from_numpy(labels.astype(np.int64)),
        ids=None if ids is None else torch.from_numpy(ids.astype(np.int64)),
        class_names=checked_class_names(arrays.get("class_names", np.array([])).tolist(), count),
        paths=None if paths is None else [str(name) for name in paths.tolist()],
    )


def _split_file(folder: Path, split: str) -> Path:
    for name in _FILES[split]:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder}: no {split} split: expected {' or '.join(_FILES[split])}, found "
        f"{', '.join(name for name in _ALL_FILES if (folder / name).is_file())}"
    )


def _guard(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        return  # reading it says what is wrong
    require_bytes(str(path), size)


def _find_arrays(
    path: Path, arrays: dict[str, Array], split: str, *, single: bool
) -> tuple[Array, Array]:
    part = "train" if split == "train" else "test"
    if f"x_{part}" in arrays and f"y_{part}" in arrays:
        return arrays[f"x_{part}"], arrays[f"y_{part}"]
    images = next((arrays[name] for name in _IMAGES if name in arrays), None)
    labels = next((arrays[name] for name in _LABELS if name in arrays), None)
    if images is None or labels is None:
        raise ValueError(
            f"{path}: expected arrays 'images' and 'labels', found {', '.join(arrays) or 'none'}"
        )
    if single and split != "train" and path.name not in _FILES[split]:
        raise FileNotFoundError(
            f"{path}: asked for the split {split!r}, found one set without splits; to read it as "
            "it stands use --split train (split='train')"
        )
    return images, labels


def _channels_last(path: Path, images: Array) -> Array:
    if images.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected images as uint8 (0..255), got {images.dtype}; store the pixels "
            "before any scaling or normalisation"
        )
    if images.ndim == 3:
        grey: Array = images[..., None]
        return grey
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        moved: Array = images.transpose(0, 2, 3, 1)
        return moved
    if images.ndim != 4:
        raise ValueError(f"{path}: expected images [N, H, W, C], got {list(images.shape)}")
    return images
