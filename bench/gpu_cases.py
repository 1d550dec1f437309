"""The cases of `bench/gpu.py`: shapes, dtypes and layouts, and the bytes each op must move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch

OPS = ("fct_views", "feature_distance", "warp_distance", "contrastive_views", "supcon_loss")
_WORDS = {"nearest": 8 * 4, "bilinear": 6 * 8}  # bytes of one view's coefficients
_PARAMS = 16 * 4  # bytes of one row of contrastive_views' params
_SHORT = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
NCHW, LAST = "nchw", "channels_last"
LABELS, SAMPLES = "labels", "samples"


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        op: name in `fctfast.ops`.
        shape: of the op's input; images are [B, H, W, C] bytes.
        draws: K; of contrastive_views and supcon_loss V, the views of each sample.
        dtype: of the output of an op of views, else of the input.
        layout: of the output of an op of views, else of the input: "nchw", "channels_last" or
            "rows"; of supcon_loss what its groups are: "labels" of ten classes (S-CTL) or
            "samples" (CTL).
        interpolation: "nearest", "bilinear" or "" where nothing is sampled.
        backward: the op's gradient is measured, not the op.
        side: of the views of contrastive_views, which are square; 0 for the other ops.
        tf32: torch may make products of float32 matrices in tf32, and supcon_loss so does.
        both: forward and backward in one call.
    """

    op: str
    shape: tuple[int, ...]
    draws: int
    dtype: torch.dtype
    layout: str
    interpolation: str = ""
    backward: bool = False
    side: int = 0
    tf32: bool = False
    both: bool = False

    @property
    def name(self) -> str:
        """The op, its direction and its interpolation."""
        direction = "forward+backward" if self.both else "backward" if self.backward else ""
        return " ".join(filter(None, [self.op, direction, self.interpolation]))

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
        """The dtype without `torch.`, and whether its products may be made in tf32."""
        return _SHORT[self.dtype] + " (tf32)" * self.tf32

    @property
    def batch(self) -> int:
        """B, the samples that are scored; a loss is one score of all of them."""
        if self.op == "supcon_loss":
            return self.shape[0] if self.backward or self.both else 1
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
    if case.op == "supcon_loss":
        return sum(supcon_bytes(case))
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


def supcon_bytes(case: Case) -> tuple[int, int]:
    """Return what supcon_loss must read and write.

    Forward z and groups become the loss and two float64 a row; backward they, those and the loss's
    gradient become a gradient of z's size. In one call the statistics need not be memory.
    """
    rows = case.shape[0]
    z, groups, statistics, loss = rows * case.shape[1] * case.dtype.itemsize, 8 * rows, 16 * rows, 4
    if case.both:
        return z + groups + loss, loss + z
    if case.backward:
        return z + groups + statistics + loss, z
    return z + groups, statistics + loss


def products_of(case: Case) -> str:
    """Name the products that supcon_loss takes on tensor cores of sm_80 and later, and without."""
    if case.dtype == torch.float32:
        return "tf32" if case.tf32 else "float32"
    return "float16"


def product_operations(case: Case) -> float:
    """Return the operations of the op's matrix products, a multiply-add as two; 0 without any.

    One N x N x D product forward and two backward, as if nothing were symmetric: every way of doing
    it is held against the same number.
    """
    if case.op != "supcon_loss":
        return 0.0
    passes = 3 if case.both else 2 if case.backward else 1
    return 2.0 * passes * case.shape[0] ** 2 * case.shape[1]


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


def _supcon(tiny: bool) -> Iterator[Case]:
    """Every kind of products at 128 features; ragged and wide rows, and CTL, in two dtypes."""
    op, f32, bf16 = "supcon_loss", torch.float32, torch.bfloat16
    sizes, sixteen = [1024, 4096, 8192, 65536], 8192
    width, ragged, wide = 128, (1000, 123), (4096, 512)
    if tiny:
        sizes, sixteen, width, ragged, wide = [48], 48, 16, (50, 11), (40, 140)
    for n, both in product(sizes, (False, True)):
        shape = (n, width)
        for dtype, tf32 in ((f32, False), (f32, True), (bf16, False)):
            yield Case(op, shape, 2, dtype, LABELS, tf32=tf32, both=both)
        if n == sixteen:  # the products are bfloat16's
            yield Case(op, shape, 2, torch.float16, LABELS, both=both)
    of_samples = (sizes[0] if tiny else 4096, width)
    others = [(ragged, LABELS), (wide, LABELS), (of_samples, SAMPLES)]
    for (shape, groups), both, dtype in product(others, (False, True), (f32, bf16)):
        yield Case(op, shape, 2, dtype, groups, both=both)


_OF_OP = {
    "fct_views": _views,
    "feature_distance": _feature,
    "warp_distance": _warp,
    "contrastive_views": _contrastive,
    "supcon_loss": _supcon,
}
