"""An ImageSet is a data set already; the options still apply."""

from __future__ import annotations

from dataclasses import replace

from fctfast.data.image_set import ImageSet
from fctfast.data.registry import register
from fctfast.data.request import Request


@register(
    "image set",
    "an ImageSet made in Python",
    accepts=lambda source: isinstance(source, ImageSet),
    rank=1,
)
def open_image_set(source: ImageSet, request: Request) -> ImageSet:
    """Draw from and resize an ImageSet; ids, paths and quarantined rows stay.

    Args:
        source: the set.
        request: the options; ``split`` does not matter.

    Returns:
        The set itself if nothing is asked for.
    """
    made = request.finish(
        source.name,
        source.images,
        source.labels,
        ids=source.ids,
        class_names=source.class_names,
        paths=source.paths,
    )
    return replace(made, quarantined=source.quarantined)
