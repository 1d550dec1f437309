"""A folder of class folders: ``<root>/<class>/<image>``, or ``<root>/<split>/<class>/<image>``."""

from __future__ import annotations

from pathlib import Path

from fctfast.data.class_folders import open_class_folders
from fctfast.data.image_set import ImageSet
from fctfast.data.registry import register
from fctfast.data.request import Request
from fctfast.data.stores import FolderStore


@register(
    "folder",
    "a folder of class folders with JPEG, PNG, WebP or BMP images",
    accepts=lambda source: isinstance(source, Path) and source.is_dir(),
    rank=90,
)
def open_folder(source: Path, request: Request) -> ImageSet:
    """Load a folder of class folders.

    Args:
        source: the folder.
        request: the options.

    Returns:
        RGB images; files that give none are quarantined.
    """
    return open_class_folders(FolderStore(source), request)
