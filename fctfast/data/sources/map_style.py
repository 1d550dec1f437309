"""Any map-style dataset: an object with a length whose items are (image, label)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from fctfast.data.class_names import checked_class_names
from fctfast.data.image_set import ImageSet, Quarantined
from fctfast.data.items import item_pixels, split_item
from fctfast.data.memory import require_memory
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.seeding import permutation

_CHECK_ALL = 2000  # up to this many items, each is fetched twice
_CHECK_SOME = 512  # beyond: enough to meet a random flip, crop or erasing for certain


def _accepts(source: Any) -> bool:
    return (
        not isinstance(source, str | bytes | dict | ImageSet)
        and hasattr(source, "__getitem__")
        and hasattr(source, "__len__")
    )


@register(
    "dataset",
    "a map-style dataset object: dataset[i] is (PIL or uint8 image, integer label)",
    accepts=_accepts,
    rank=95,
)
def open_map_style(source: Any, request: Request) -> ImageSet:
    """Fetch the items of a dataset; the id of an item is its index.

    An item whose fetch raises is quarantined. Items are fetched twice (all of them in a set of up
    to 2,000, else 512 drawn ones) and must not differ: FCT compares an image with a transformed
    copy of itself, and random augmentation would be measured instead of the backdoor.

    Args:
        source: the dataset.
        request: the options; ``split`` does not matter.

    Returns:
        The images; grey ones stay one-channel.

    Raises:
        TypeError: an item is no (PIL or uint8 image, integer).
        ValueError: items differ on a second fetch, in size, or in channels; or the dataset is
            empty.
    """
    name = type(source).__name__
    count = len(source)
    if not count:
        raise ValueError(f"{name}: the dataset is empty")
    chosen: list[int] = request.rows(count).tolist()
    twice = set(chosen)
    if len(chosen) > _CHECK_ALL:
        drawn = permutation(len(chosen), request.seed, "data.second_fetch")[:_CHECK_SOME]
        twice = {chosen[place] for place in drawn.tolist()}
    fetched = _fetch(source, chosen, twice, request)
    images: torch.Tensor | None = None
    ids: list[int] = []
    labels: list[int] = []
    bad: list[Quarantined] = []
    for number, result in request.progress(fetched, len(chosen), f"reading {name}"):
        if isinstance(result, str):
            bad.append(
                Quarantined(number, _path(source, number), _known_label(source, number), result)
            )
            continue
        pixels, label = result
        if images is None:
            require_memory(name, len(chosen), (pixels.shape[0], pixels.shape[1], pixels.shape[2]))
            images = torch.empty(len(chosen), *pixels.shape, dtype=torch.uint8)
        if pixels.shape != images.shape[1:]:
            raise ValueError(
                f"{name}: images differ in shape (height, width, channels): item {ids[0]} is "
                f"{list(images.shape[1:])}, item {number} is {list(pixels.shape)}; bring them to "
                "one size with image_size= (--image-size) and to one mode with convert('RGB')"
            )
        images.numpy()[len(ids)] = pixels
        ids.append(number)
        labels.append(label)
    if images is None:
        raise ValueError(
            f"{name}: none of {len(chosen)} items could be fetched; item {bad[0].id}: "
            f"{bad[0].error}"
        )
    if min(labels) < 0:
        at = labels.index(min(labels))
        raise ValueError(f"{name}: item {ids[at]} has the negative label {labels[at]}")
    highest = max(labels + [row.label for row in bad])
    paths = [_path(source, number) for number in ids]
    known = tuple(path for path in paths if path is not None)
    return ImageSet(
        ids=torch.tensor(ids, dtype=torch.int64),
        images=images[: len(ids)],
        labels=torch.tensor(labels, dtype=torch.int64),
        class_names=checked_class_names(_classes(source), highest + 1),
        paths=known if len(known) == len(ids) else None,
        quarantined=tuple(bad),
        name=name,
    )


def _fetch(
    source: Any, chosen: list[int], twice: set[int], request: Request
) -> Iterator[tuple[int, tuple[Any, int] | str]]:
    for number in chosen:
        try:
            item = source[number]
            again = source[number] if number in twice else None
        except Exception as error:  # the user's own code may raise whatever it likes
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield number, f"the dataset raised {reason[:300]}"
            continue
        image, label = split_item(item, number)
        pixels = item_pixels(image, number, request.image_size, source)
        if number in twice:
            other, other_label = split_item(again, number)
            repeated = item_pixels(other, number, request.image_size, source)
            if label != other_label or not np.array_equal(pixels, repeated):
                raise ValueError(
                    f"item {number} of the dataset differs on a second fetch: it is augmented at "
                    "random. Give the dataset without random transforms (transform=None): the "
                    "audit needs the image that is stored"
                )
        yield number, (pixels, label)


def _base(source: Any, number: int) -> tuple[Any, int]:
    """Follow torch.utils.data.Subset down to the dataset that knows paths and labels."""
    while hasattr(source, "dataset") and hasattr(source, "indices"):
        source, number = source.dataset, int(source.indices[number])
    return source, number


def _path(source: Any, number: int) -> str | None:
    base, number = _base(source, number)
    for name in ("samples", "imgs"):
        listed = getattr(base, name, None)
        if isinstance(listed, list) and number < len(listed):
            entry = listed[number]
            if isinstance(entry, tuple) and entry and isinstance(entry[0], str):
                return entry[0].encode("utf-8", "backslashreplace").decode("utf-8")
    return None


def _known_label(source: Any, number: int) -> int:
    base, number = _base(source, number)
    try:
        return int(base.targets[number])
    except (AttributeError, LookupError, TypeError, ValueError):
        return -1


def _classes(source: Any) -> list[Any]:
    base, _ = _base(source, 0)
    classes = getattr(base, "classes", None)
    return list(classes) if isinstance(classes, list | tuple) else []
