"""One item of a user's dataset: turned into uint8 pixels and a label, or an error that teaches."""

from __future__ import annotations

from collections.abc import Iterator
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fctfast.data.decode import fit

# Transforms that make floats; named in the error so that the user finds the line to change.
_MAKES_FLOAT = ("ToTensor", "Normalize", "ConvertImageDtype", "ToDtype", "LinearTransformation")


def split_item(item: Any, number: int) -> tuple[Any, int]:
    """Take an item apart.

    Args:
        item: what the dataset returned.
        number: its index, for messages.

    Returns:
        (image, label).

    Raises:
        TypeError: it is no pair of an image and an integer.
    """
    if not isinstance(item, tuple | list) or len(item) < 2:
        got = f"a dict with {', '.join(map(str, item))}" if isinstance(item, dict) else _kind(item)
        raise TypeError(
            f"item {number} of the dataset: expected (image, label), got {got}; wrap the dataset "
            "so that it returns such a pair"
        )
    image, label = item[0], item[1]
    try:
        # A one-element float tensor would pass int(), and 3.7 is no class.
        return image, index(label)
    except TypeError:
        raise TypeError(
            f"item {number} of the dataset: expected an integer label, got {label!r:.80}"
        ) from None


def item_pixels(
    image: Any, number: int, size: tuple[int, int] | None, dataset: Any
) -> npt.NDArray[np.uint8]:
    """Turn an item's image into pixels.

    Args:
        image: a PIL image, a uint8 tensor [C, H, W] or [H, W], or a uint8 array [H, W, C] or
            [H, W]; a tensor [H, W, C] is understood where only that can be meant.
        number: its index, for messages.
        size: (height, width) to bring it to, or None.
        dataset: where it came from: its transforms are named in the error.

    Returns:
        uint8 [H, W, C], C is 1 or 3.

    Raises:
        TypeError: it is of another type, such as float.
        ValueError: it has another shape.
    """
    if isinstance(image, Image.Image):
        picture = image if image.mode in ("L", "RGB") else image.convert("RGB")
        return _with_channel(np.array(picture if size is None else fit(picture, size)))
    if not isinstance(image, torch.Tensor | np.ndarray):
        raise TypeError(
            f"item {number} of the dataset: expected a PIL image or uint8 pixels, got "
            f"{_kind(image)}"
        )
    if image.dtype not in (torch.uint8, np.uint8):
        raise TypeError(
            f"item {number} of the dataset: expected a PIL image or uint8 pixels, got "
            f"{_kind(image)}: {_advice(dataset)}"
        )
    if isinstance(image, torch.Tensor):
        pixels = image.detach().cpu().numpy()
        if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
            pixels = pixels.transpose(1, 2, 0)
    else:
        pixels = image
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise ValueError(
            f"item {number} of the dataset: expected a tensor [C, H, W] or an array [H, W, C] with "
            f"1 or 3 channels, got {list(image.shape)}"
        )
    pixels = _with_channel(pixels)
    if size is None or pixels.shape[:2] == size:
        return pixels
    flat = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return _with_channel(np.array(fit(Image.fromarray(flat), size)))


def transform_names(dataset: Any) -> Iterator[str]:
    """Name the transforms of a torchvision-like dataset, also inside Compose and Subset.

    Args:
        dataset: any object.

    Yields:
        Class names of transforms, as far as they can be found.
    """
    waiting, seen = [dataset], set()
    while waiting:
        thing = waiting.pop()
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        yield type(thing).__name__
        parts = getattr(thing, "__dict__", {})
        for name in ("dataset", "transform", "transforms", "datasets"):
            part = parts.get(name)
            waiting += list(part) if isinstance(part, list | tuple) else [part]
        # torch.nn.Sequential keeps its parts elsewhere.
        modules = parts.get("_modules")
        waiting += list(modules.values()) if isinstance(modules, dict) else []


def _advice(dataset: Any) -> str:
    names = set(transform_names(dataset))
    found = [name for name in _MAKES_FLOAT if name in names]
    if not found:
        return (
            "the audit needs the pixels as stored: return them before scaling and normalisation "
            "(mean= and std= say how to normalise)"
        )
    return (
        f"the audit needs the pixels as stored: remove {' and '.join(found)} from the dataset's "
        "transform (mean= and std= say how to normalise)"
    )


def _with_channel(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    with_axis: npt.NDArray[np.uint8] = pixels[..., None] if pixels.ndim == 2 else pixels
    return with_axis


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array {list(value.shape)}"
    return type(value).__name__
