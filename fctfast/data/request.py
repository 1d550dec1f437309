"""What is asked of a source, and the steps that every source shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fctfast.data.class_names import numbered_classes
from fctfast.data.image_set import ImageSet
from fctfast.data.memory import require_memory
from fctfast.data.progress import ProgressCallback, terminal_progress
from fctfast.data.resize import resize_images
from fctfast.seeding import permutation


@dataclass(frozen=True)
class Request:
    """The options of :func:`fctfast.data.open_dataset`, checked.

    Args:
        split: "train", "test" or "val".
        image_size: (height, width) to bring every image to, or None to keep their size.
        limit: how many samples to draw, or None for all.
        seed: keys the draw.
        progress: shows how far loading is.
        workers: decoder processes, or None for one a core.
    """

    split: str = "train"
    image_size: tuple[int, int] | None = None
    limit: int | None = None
    seed: int = 0
    progress: ProgressCallback = terminal_progress
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.split not in ("train", "test", "val"):
            raise ValueError(f"split: expected 'train', 'test' or 'val', got {self.split!r}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: expected at least 1 sample, got {self.limit}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: expected at least 1 process, got {self.workers}")
        if self.image_size is not None and not (
            len(self.image_size) == 2 and all(1 <= side <= 32767 for side in self.image_size)
        ):
            raise ValueError(
                "image_size: expected one side or (height, width), each 1..32767 pixels, got "
                f"{self.image_size}"
            )

    def rows(self, count: int) -> torch.Tensor:
        """Choose the rows to load: all, or a draw of ``limit`` keyed by the seed.

        The draw looks at row numbers only, and a smaller limit draws a part of a larger one's.

        Args:
            count: how many rows the source has, bad ones included.

        Returns:
            int64 [min(count, limit)], ascending.
        """
        if self.limit is None or self.limit >= count:
            return torch.arange(count)
        return permutation(count, self.seed, "data.limit")[: self.limit].sort().values

    def finish(
        self,
        name: str,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        ids: torch.Tensor | None = None,
        class_names: Sequence[str] | None = None,
        paths: Sequence[str] | None = None,
    ) -> ImageSet:
        """Turn the arrays of a source that was read whole into the set that was asked for.

        Args:
            name: what to call the set.
            images: uint8 [N, H, W, C].
            labels: int64 [N].
            ids: int64 [N]; default 0 .. N-1.
            class_names: names of the classes; default their numbers.
            paths: N names to show; default none.

        Returns:
            The drawn samples at the size asked for.

        Raises:
            ValueError: the arrays do not fit together, or do not fit in memory when resized.
        """
        if class_names is None:
            class_names = numbered_classes(int(labels.max()) + 1 if len(labels) else 1)
        whole = ImageSet(
            ids=torch.arange(len(images)) if ids is None else ids,
            images=images,
            labels=labels,
            class_names=tuple(class_names),
            paths=None if paths is None else tuple(paths),
            name=name,
        )
        if self.limit is not None and self.limit < len(whole):
            whole = whole.select(self.rows(len(whole)))
        if self.image_size is None or self.image_size == whole.image_size:
            return whole
        require_memory(name, len(whole), (*self.image_size, whole.channels))
        return whole.with_images(resize_images(whole.images, self.image_size, self.progress))
