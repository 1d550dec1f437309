"""tau by name: one step, or two in order, and the views of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fctfast.detect.transforms.registry import Step, steps
from fctfast.ops import fct_views, sample_rotate_affine
from fctfast.seeding import derive_seed

FUSED: dict[str, tuple[float, tuple[float, float]]] = {
    "rotate+affine": (180.0, (0.2, 0.2)),
    "rotate": (180.0, (0.0, 0.0)),
    "affine": (0.0, (0.2, 0.2)),
}
"""What the fused op makes in one pass: largest angle in degrees, largest shift as a share."""


@dataclass(frozen=True)
class Drawn:
    """tau with its random numbers drawn for a whole set.

    Args:
        steps: applied in this order; empty: the fused op.
        params: one float32 [K, N, P] a step; the fused op's [K, N, 3].
    """

    steps: tuple[Step, ...]
    params: tuple[Tensor, ...]

    def views(
        self, images: Tensor, rows: slice, mean: Sequence[float], std: Sequence[float]
    ) -> Tensor:
        """Make the originals of some rows and, draw by draw, their transformed selves.

        Args:
            images: uint8 [B, H, W, C], the images of those rows.
            rows: which rows of the set they are.
            mean: per channel, in [0, 1] units.
            std: per channel.

        Returns:
            float32 [(1 + K) B, C, H, W], channels last, normalised.
        """
        last = torch.channels_last
        if not self.steps:
            return fct_views(images, self.params[0][:, rows], mean, std, memory_format=last)
        made = [images]
        for draw in range(self.params[0].shape[0]):
            view = images
            for step, params in zip(self.steps, self.params, strict=True):
                view = step.apply(view, params[draw, rows])
            made.append(view)
        nothing = torch.empty(0, images.shape[0] * len(made), 3)
        return fct_views(torch.cat(made), nothing, mean, std, memory_format=last)


@dataclass(frozen=True)
class Transform:
    """A transformation by its name.

    Args:
        name: "a" or "a+b", as :func:`parse` takes it.
        parts: the steps, in order.
    """

    name: str
    parts: tuple[Step, ...]

    def draw(
        self, ids: Tensor, *, seed: int, draws: int, size: tuple[int, int], fused: bool = True
    ) -> Drawn:
        """Draw its random numbers for a whole set, each a function of (seed, id, draw) alone.

        Args:
            ids: int64 [N].
            seed: key.
            draws: K.
            size: (height, width) in pixels.
            fused: use the fused op where there is one; tests compare both.

        Returns:
            What makes views of any rows.
        """
        if fused and self.name in FUSED:
            degrees, translate = FUSED[self.name]
            drawn = sample_rotate_affine(ids, seed, range(draws), degrees, translate, size)
            return Drawn((), (drawn,))
        # The second step of "blur+blur" draws anew.
        keys = [derive_seed(seed, "tau", place) for place in range(len(self.parts))]
        params = tuple(
            step.draw(ids, key, draws, size) for step, key in zip(self.parts, keys, strict=True)
        )
        return Drawn(self.parts, params)


def parse(name: str) -> Transform:
    """Find a transformation.

    Args:
        name: one of :func:`names`, or two of them joined by a plus sign; the first is done first.

    Returns:
        The transformation.

    Raises:
        ValueError: no such step, or more than two.

    Source: paper Appendices C.5 and E (the 36 ordered pairs of Fig. 11).

    Example:
        >>> parse("blur+rotate").name
        'blur+rotate'
    """
    known, wanted = steps(), name.split("+")
    if len(wanted) > 2 or any(part not in known for part in wanted):
        raise ValueError(
            f"transform: expected one of {', '.join(known)}, or two of them as a+b (a first), "
            f"got {name!r}"
        )
    return Transform(name, tuple(known[part] for part in wanted))


def check_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Check a list of transformations.

    Args:
        wanted: names that :func:`parse` takes.

    Returns:
        The same, as a tuple.

    Raises:
        ValueError: an unknown one, one twice, or none.
    """
    names = not isinstance(wanted, str) and all(isinstance(name, str) for name in wanted)
    if not names or not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"transforms: expected a list of distinct names, got {wanted!r}")
    return tuple(parse(name).name for name in wanted)
