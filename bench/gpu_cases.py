"""The cases of `bench/gpu.py`: shapes, dtypes and layouts, and the bytes each op must move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

OPS = ("fct_views", "feature_distance", "warp_distance", "contrastive_views")
_WORDS = {"nearest": 8 * 4, "bilinear": 6 * 8}  # bytes of one view's coefficients
_PARAMS = 16 * 4  # bytes of one row of contrastive_views' params
_SHORT = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
NCHW, LAST = "nchw", "channels_last"


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        op: name in `fctfast.ops`.
        shape: of the op's input; images are [B, H, W, C] bytes.
        draws: K; of contrastive_views V, the views of each sample.
        dtype: of the output of an op of views, else of the input.
        layout: of the output of an op of views, else of the input: "nchw", "channels_last" or
            "rows".
        interpolation: "nearest", "bilinear" or "" where nothing is sampled.
        backward: the op's gradient is measured, not the op.
        side: of the views of contrastive_views, which are square; 0 for the other ops.
    """

    op: str
    shape: tuple[int, ...]
    draws: int
    dtype: torch.dtype
    layout: str
    interpolation: str = ""
    backward: bool = False
    side: int = 0

    @property
    def name(self) -> str:
        """The op, its direction and its interpolation."""
        return " ".join(
            [self.op, *(["backward"] if self.backward else []), self.interpolation]
        ).strip()

    @property
    def label(self) -> str:
        """Everything, for messages."""
        return f"{self.name} {self.size} K={self.draws} {self.dtype_name} {self.layout}"

    @property
    def size(self) -> str:
        """The shape, and what it becomes where that is another one."""
        resized = f" to {self.side}" if self.side else ""
        return "x".join(map(str, self.shape)) + resized

    @property
    def dtype_name(self) -> str:
        """The dtype without `torch.`."""
        return _SHORT[self.dtype]

    @property
    def batch(self) -> int:
        """B, the samples that are scored."""
        return self.shape[0] // (1 + self.draws) if self.op == "feature_distance" else self.shape[0]


def bytes_to_move(case: Case) -> int:
    """Return what the op must read and write at the least: each input and output byte once.

    Views read a byte of the image that the original has read already; the second read is counted
    on the cache. Arguments given by value (mean, std, fill) are not counted.
    """
    size = case.dtype.itemsize
    elements = 1
    for side in case.shape:
        elements *= side
    scores = 4 * case.draws * case.batch
    if case.op == "contrastive_views":  # what a crop leaves out is counted, too
        rows = case.draws * case.batch
        return elements + rows * (_PARAMS + case.side**2 * case.shape[3] * size)
    if case.op == "fct_views":
        words = case.draws * case.batch * _WORDS[case.interpolation]
        return elements + words + (1 + case.draws) * elements * size
    words = case.draws * case.batch * _WORDS[case.interpolation] if case.interpolation else 0
    # Backward: x and the scores' gradient are read, a gradient of x's size is written.
    return elements * size * (2 if case.backward else 1) + words + scores


def cases(ops: tuple[str, ...], *, quick: bool = False, tiny: bool = False) -> list[Case]:
    """List the cases.

    Args:
        ops: which of `OPS`.
        quick: the first shapes only, float32 and bfloat16, for a look.
        tiny: the same code paths at sizes a CPU runs at once (`--dry-run`).
    """
    made = [c for op in OPS if op in ops for c in _OF_OP[op](tiny)]
    if quick:
        made = [c for c in made if c.dtype != torch.float16]
        first = {(op, len(c.shape)): c.shape for op in OPS for c in reversed(made) if c.op == op}
        made = [c for c in made if first[c.op, len(c.shape)] == c.shape]
    return made


def _views(tiny: bool) -> Iterator[Case]:
    """Both usual settings at every size, K and interpolation; all dtypes at nearest, K=1."""
    op = "fct_views"
    usual = [(torch.float32, NCHW), (torch.bfloat16, LAST)]
    every = list(product((torch.float32, torch.bfloat16, torch.float16), (NCHW, LAST)))
    shapes = [(512, 32, 32, 3), (64, 224, 224, 3), (256, 224, 224, 3)]
    ragged = (257, 33, 47, 3)
    if tiny:
        shapes, ragged = [(5, 12, 12, 3)], (3, 5, 9, 3)
    ways = ("nearest", "bilinear")
    for shape, way, k in product(shapes, ways, (1, 4)):
        for dtype, layout in every if (way, k) == ("nearest", 1) else usual:
            yield Case(op, shape, k, dtype, layout, way)
    for way, (dtype, layout) in product(ways, usual):
        yield Case(op, ragged, 1, dtype, layout, way)


def _feature(tiny: bool) -> Iterator[Case]:
    rows = [(2560, 512), (2560, 2048)]
    maps = [(640, 512, 4, 4), (640, 512, 7, 7), (320, 2048, 7, 7)]
    if tiny:
        rows, maps = [(15, 20)], [(15, 6, 3, 3)]
    shapes = [*((s, "rows") for s in rows), *product(maps, (NCHW, LAST))]
    both = (torch.float32, torch.bfloat16)
    for backward, (shape, layout), dtype in product((False, True), shapes, both):
        yield Case("feature_distance", shape, 4, dtype, layout, backward=backward)


def _warp(tiny: bool) -> Iterator[Case]:
    images, maps = [(512, 3, 32, 32), (64, 3, 224, 224)], [(256, 512, 4, 4)]
    if tiny:
        images, maps = [(5, 3, 12, 12)], [(3, 6, 4, 4)]
    shapes = [*product(images, [NCHW]), *product(maps, (NCHW, LAST))]
    ways, both = ("nearest", "bilinear"), (torch.float32, torch.bfloat16)
    for backward, (shape, layout), way, dtype in product((False, True), shapes, ways, both):
        yield Case("warp_distance", shape, 1, dtype, layout, way, backward)


def _contrastive(tiny: bool) -> Iterator[Case]:
    """Both usual settings everywhere, every dtype and layout at the smallest size."""
    usual = [(torch.float32, NCHW), (torch.bfloat16, LAST)]
    every = list(product((torch.float32, torch.bfloat16, torch.float16), (NCHW, LAST)))
    shapes = [((512, 32, 32, 3), 32), ((64, 256, 256, 3), 224), ((257, 33, 47, 3), 45)]
    if tiny:
        shapes = [((5, 12, 12, 3), 12), ((3, 5, 9, 3), 7)]
    for number, (shape, side) in enumerate(shapes):
        for dtype, layout in every if number == 0 else usual:
            yield Case("contrastive_views", shape, 2, dtype, layout, side=side)


_OF_OP = {
    "fct_views": _views,
    "feature_distance": _feature,
    "warp_distance": _warp,
    "contrastive_views": _contrastive,
}
