"""ImageSet: images, labels and the identity of every sample."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from fctfast.io import sha256_tensor


@dataclass(frozen=True)
class Quarantined:
    """A row of the source that could not be read: it keeps its id and says why.

    Args:
        id: the row's number in the source's stable order.
        path: where it stands, or None if the source has no paths.
        label: its class, or -1 if even that is unknown.
        error: the reason, in words.
    """

    id: int
    path: str | None
    label: int
    error: str


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images in memory, each with an id that nothing moves.

    An id is the sample's row in the source's stable order, counting rows that could not be read:
    it stays what it is when a neighbour is damaged, when a subset is taken or the order changes.

    Args:
        ids: int64 [N], unique, not negative.
        images: uint8 [N, H, W, C] on the CPU, C is 1 or 3.
        labels: int64 [N], each in 0 .. len(class_names) - 1.
        class_names: one name a class.
        paths: N names to show a person, or None; default None.
        quarantined: the rows that could not be read; default none.
        name: what to call the set; default "images".

    Raises:
        TypeError: a tensor has another dtype.
        ValueError: a shape, a label, an id or a count does not fit.
    """

    ids: torch.Tensor
    images: torch.Tensor
    labels: torch.Tensor
    class_names: tuple[str, ...]
    paths: tuple[str, ...] | None = None
    quarantined: tuple[Quarantined, ...] = ()
    name: str = "images"

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "quarantined", tuple(self.quarantined))
        if self.paths is not None:
            object.__setattr__(self, "paths", tuple(self.paths))
        _check_tensor("ids", self.ids, torch.int64, "[N]", 1)
        _check_tensor("images", self.images, torch.uint8, "[N, H, W, C]", 4)
        _check_tensor("labels", self.labels, torch.int64, "[N]", 1)
        count = len(self.images)
        if self.images.shape[3] not in (1, 3):
            hint = " (NCHW images? use images.permute(0, 2, 3, 1))"
            raise ValueError(
                "ImageSet: expected images [N, H, W, C] with 1 or 3 channels, got "
                f"{list(self.images.shape)}{hint if self.images.shape[1] in (1, 3) else ''}"
            )
        if 0 in self.images.shape[1:3]:
            raise ValueError(f"ImageSet: images without pixels: {list(self.images.shape)}")
        for what, length in (("ids", len(self.ids)), ("labels", len(self.labels))):
            if length != count:
                raise ValueError(f"ImageSet: {count} images but {length} {what}")
        if self.paths is not None and len(self.paths) != count:
            raise ValueError(f"ImageSet: {count} images but {len(self.paths)} paths")
        self._check_labels()
        self._check_ids()

    def _check_labels(self) -> None:
        if not self.class_names:
            raise ValueError("ImageSet: expected at least one class name, got none")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"ImageSet: a class name occurs twice: {self.class_names}")
        if not len(self.labels):
            return
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise ValueError(
                f"ImageSet: labels must be in 0..{len(self.class_names) - 1} "
                f"({len(self.class_names)} class names), got {low}..{high}"
            )

    def _check_ids(self) -> None:
        bad = torch.tensor([row.id for row in self.quarantined], dtype=torch.int64)
        every, counts = torch.unique(torch.cat([self.ids, bad]), return_counts=True)
        if len(every) and int(every[0]) < 0:
            raise ValueError(f"ImageSet: ids must not be negative, got {int(every[0])}")
        if bool((counts > 1).any()):
            raise ValueError(
                f"ImageSet: id {int(every[counts > 1][0])} occurs more than once; every row has "
                "an id of its own, quarantined rows included"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        """Return (uint8 image [H, W, C], label) at a position, as a map-style dataset does."""
        return self.images[position], int(self.labels[position])

    def __repr__(self) -> str:
        height, width = self.image_size
        bad = f", {len(self.quarantined)} quarantined" if self.quarantined else ""
        return (
            f"ImageSet({self.name!r}: {len(self)} images {height}x{width}x{self.channels}, "
            f"{self.num_classes} classes{bad})"
        )

    @property
    def num_classes(self) -> int:
        """How many classes there are names for."""
        return len(self.class_names)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.images.shape[1]), int(self.images.shape[2])

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return int(self.images.shape[3])

    def positions(self, ids: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """Find where samples stand.

        Args:
            ids: [M] ids of this set, in any order.

        Returns:
            int64 [M] positions, so that ``self.ids[positions] == ids``.

        Raises:
            ValueError: an id is not in the set.
        """
        wanted = torch.as_tensor(ids, dtype=torch.int64).reshape(-1)
        ordered, order = self.ids.sort()
        if not len(ordered):
            found = torch.zeros(len(wanted), dtype=torch.bool)
            place = torch.zeros_like(wanted)
        else:
            place = torch.searchsorted(ordered, wanted).clamp_(max=len(ordered) - 1)
            found = ordered[place] == wanted
        if not bool(found.all()):
            missing = wanted[~found]
            raise ValueError(
                f"{len(missing)} of {len(wanted)} ids are not in {self!r}, the first is "
                f"{int(missing[0])}"
            )
        return order[place] if len(wanted) else place

    def subset(self, ids: torch.Tensor | Sequence[int]) -> ImageSet:
        """Take the samples with these ids, in this order; they keep their ids.

        Args:
            ids: [M] ids of this set.

        Returns:
            A set of M samples, without quarantined rows.

        Raises:
            ValueError: an id is not in the set, or occurs twice.
        """
        return self.select(self.positions(ids))

    def select(self, positions: torch.Tensor | Sequence[int]) -> ImageSet:
        """Take the samples at these positions, in this order; they keep their ids.

        Args:
            positions: [M] positions, or a boolean mask [N].

        Returns:
            A set of M samples, without quarantined rows.

        Raises:
            ValueError: a position occurs twice, or a mask has another length.
            IndexError: a position is out of range.
        """
        chosen = torch.as_tensor(positions)
        if chosen.dtype == torch.bool:
            if chosen.shape != self.ids.shape:
                raise ValueError(f"select: expected a mask [{len(self)}], got {list(chosen.shape)}")
            chosen = chosen.nonzero().reshape(-1)
        chosen = chosen.to(torch.int64).reshape(-1)
        paths = None
        if self.paths is not None:
            paths = tuple(self.paths[position] for position in chosen.tolist())
        return replace(
            self,
            ids=self.ids[chosen],
            images=self.images[chosen],
            labels=self.labels[chosen],
            paths=paths,
            quarantined=(),
        )

    def with_images(
        self, images: torch.Tensor | None = None, labels: torch.Tensor | None = None
    ) -> ImageSet:
        """Put other pixels or labels in place; ids, paths and quarantined rows stay.

        Args:
            images: uint8 [N, H, W, C], or None to keep them.
            labels: int64 [N], or None to keep them.

        Returns:
            The changed set; this one stays as it is.

        Raises:
            ValueError: as the constructor.
        """
        return replace(
            self,
            images=self.images if images is None else images,
            labels=self.labels if labels is None else labels,
        )

    def fingerprint(self) -> str:
        """Hash ids, pixels and labels: two sets with one fingerprint hold the same samples.

        Returns:
            SHA-256 in 64 hexadecimal digits.
        """
        parts = [sha256_tensor(tensor) for tensor in (self.ids, self.images, self.labels)]
        return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()


def _check_tensor(name: str, value: object, dtype: torch.dtype, shape: str, dims: int) -> None:
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"ImageSet: expected {name} to be a tensor, got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"ImageSet: expected {name} as {dtype}, got {value.dtype}")
    if value.ndim != dims:
        raise ValueError(f"ImageSet: expected {name} {shape}, got {list(value.shape)}")
    if value.device.type != "cpu":
        raise ValueError(f"ImageSet: expected {name} on the CPU, got {value.device}")
