"""Our own drawing of a cat, for the attack that blends one in: shapes in code, no picture file."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

SUPERSAMPLE = 4
"""Points across a pixel, whose colours are averaged: edges without steps."""

BAND = 64
"""Rows of the picture that are drawn at a time."""

Box = tuple[float, float, float, float]
"""Left, right, above, below: nothing of a shape lies outside."""

Mask = Callable[[Tensor, Tensor], Tensor]
Colour = tuple[int, int, int]

_SKY, _FUR, _DARK = (96, 168, 216), (240, 150, 60), (150, 80, 25)
_PINK, _WHITE, _GREEN, _BLACK = (245, 160, 170), (250, 245, 235), (120, 200, 70), (25, 20, 20)


def draw_cat(height: int, width: int) -> Tensor:
    """The head of an orange cat before a blue sky, stretched to the size asked for.

    Args:
        height: in pixels, at least 1.
        width: likewise.

    Returns:
        uint8 [height, width, 3]; the same bits everywhere, not to be written to.
    """
    return _drawn(height, width)


@functools.lru_cache(maxsize=8)
def _drawn(height: int, width: int) -> Tensor:
    out = torch.empty((height, width, 3), dtype=torch.uint8)
    x = _points(0, width, width)[None, :]
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        y = _points(top, bottom, height)[:, None]
        fine = torch.empty(len(y), x.shape[1], 3, dtype=torch.uint8)
        fine[:] = torch.tensor(_SKY, dtype=torch.uint8)
        for colour, (left, right, above, below), inside in _shapes():
            rows, columns = _between(y[:, 0], above, below), _between(x[0], left, right)
            part = fine[rows, columns]
            part[inside(x[:, columns], y[rows])] = torch.tensor(colour, dtype=torch.uint8)
        cells = fine.view(bottom - top, SUPERSAMPLE, width, SUPERSAMPLE, 3)
        # Sums of sixteen bytes are whole numbers: their mean is exact until it is rounded.
        mean = cells.sum((1, 3), dtype=torch.float64) / SUPERSAMPLE**2
        out[top:bottom] = mean.round().to(torch.uint8)
    return out


def _points(first: int, end: int, pixels: int) -> Tensor:
    """Of pixels first..end of a side, in units of the side."""
    number = torch.arange(first * SUPERSAMPLE, end * SUPERSAMPLE, dtype=torch.float64)
    return (number + 0.5) / (pixels * SUPERSAMPLE)


def _between(points: Tensor, low: float, high: float) -> slice:
    """Ascending points of low..high, and one more on either side."""
    first, end = torch.searchsorted(points, torch.tensor([low, high], dtype=torch.float64)).tolist()
    return slice(max(0, first - 1), end + 1)


def _shapes() -> Iterator[tuple[Colour, Box, Mask]]:
    """From back to front, in units of the picture's sides, x to the right and y down."""
    for side in (-1, 1):  # ears, mirrored about the middle
        yield (
            _DARK,
            *_triangle((0.5 + side * 0.40, 0.06), (0.5 + side * 0.42, 0.52), (0.5, 0.34)),
        )
        yield (
            _PINK,
            *_triangle(
                (0.5 + side * 0.36, 0.16), (0.5 + side * 0.36, 0.44), (0.5 + side * 0.14, 0.34)
            ),
        )
    yield _DARK, *_ellipse(0.5, 0.58, 0.42, 0.37)
    yield _FUR, *_ellipse(0.5, 0.58, 0.39, 0.34)
    for across in (-0.12, 0.0, 0.12):  # stripes of the forehead
        yield _DARK, *_ellipse(0.5 + across, 0.31, 0.025, 0.08)
    for side in (-1, 1):
        yield _WHITE, *_ellipse(0.5 + side * 0.10, 0.73, 0.13, 0.10)  # muzzle
        yield _GREEN, *_ellipse(0.5 + side * 0.17, 0.52, 0.095, 0.085)
        yield _BLACK, *_ellipse(0.5 + side * 0.17, 0.52, 0.032, 0.075)
        yield _WHITE, *_ellipse(0.5 + side * 0.17 + 0.03, 0.49, 0.018, 0.018)
        for tilt in (-0.05, 0.02, 0.09):  # whiskers
            yield (
                _BLACK,
                *_line(
                    (0.5 + side * 0.14, 0.71 + tilt / 3), (0.5 + side * 0.47, 0.70 + tilt), 0.006
                ),
            )
    yield _PINK, *_triangle((0.44, 0.635), (0.56, 0.635), (0.5, 0.69))
    yield _BLACK, *_line((0.5, 0.69), (0.5, 0.75), 0.008)


def _ellipse(x: float, y: float, across: float, down: float) -> tuple[Box, Mask]:
    box = (x - across, x + across, y - down, y + down)
    return box, lambda px, py: ((px - x) / across) ** 2 + ((py - y) / down) ** 2 <= 1


def _triangle(*corners: tuple[float, float]) -> tuple[Box, Mask]:
    def inside(px: Tensor, py: Tensor) -> Tensor:
        turns = []
        for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
            turns.append((bx - ax) * (py - ay) - (by - ay) * (px - ax) >= 0)
        return (turns[0] & turns[1] & turns[2]) | ~(turns[0] | turns[1] | turns[2])

    return _box(corners, 0.0), inside


def _line(begin: tuple[float, float], end: tuple[float, float], half: float) -> tuple[Box, Mask]:
    """Points within `half` of the segment."""
    (ax, ay), (bx, by) = begin, end
    dx, dy = bx - ax, by - ay

    def inside(px: Tensor, py: Tensor) -> Tensor:
        along = (((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
        return (px - ax - along * dx) ** 2 + (py - ay - along * dy) ** 2 <= half * half

    return _box((begin, end), half), inside


def _box(points: Sequence[tuple[float, float]], margin: float) -> Box:
    (x, y) = zip(*points, strict=True)
    return min(x) - margin, max(x) + margin, min(y) - margin, max(y) + margin
