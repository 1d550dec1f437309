"""Image sets: samples with ids, and the sources they come from.

``open_dataset`` reads every source; ``ImageSet`` is what it returns. To add a source, write one
file in ``fctfast/data/sources/`` and one test::

    from fctfast.data.registry import register
    from fctfast.data.request import Request

    @register("mine", "what it reads", accepts=lambda source: source == "mine")
    def open_mine(source: str, request: Request) -> ImageSet:
        images, labels = ...  # uint8 [N, H, W, C], int64 [N]
        return request.finish("mine", images, labels)  # draws, resizes, checks

``sources/digits.py`` is the shortest example; nothing else has to be told about the new file.
"""

from __future__ import annotations

from fctfast.data.image_set import ImageSet, Quarantined
from fctfast.data.open import open_dataset
from fctfast.data.progress import ProgressCallback, no_progress, terminal_progress
from fctfast.data.statistics import channel_statistics

__all__ = [
    "ImageSet",
    "ProgressCallback",
    "Quarantined",
    "channel_statistics",
    "no_progress",
    "open_dataset",
    "terminal_progress",
]
