"""A folder of class folders inside a .zip, read in place: nothing is unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fctfast.data.class_folders import open_class_folders
from fctfast.data.image_set import ImageSet
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.data.stores import ZipStore, find_zip


def _accepts(source: Any) -> bool:
    return isinstance(source, Path) and find_zip(source) is not None


@register(
    "zip",
    "class folders inside a .zip, as file.zip or file.zip/inner/folder",
    accepts=_accepts,
    rank=80,
)
def open_zip(source: Path, request: Request) -> ImageSet:
    """Load class folders from a .zip.

    Args:
        source: the .zip, or a folder inside it.
        request: the options.

    Returns:
        RGB images; members that give none are quarantined.

    Raises:
        FileNotFoundError: the archive has no such inner folder.
        ValueError: the file is no readable .zip.
    """
    found = find_zip(source)
    if found is None:
        raise ValueError(f"{source} is not a .zip file")
    path, inner = found
    store = ZipStore(path, inner)
    if inner not in store.tree:
        raise FileNotFoundError(f"{path} holds no folder {'/'.join(inner)!r}")
    return open_class_folders(store, request)
