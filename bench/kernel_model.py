"""What the GPU kernels must move and compute, as formulas, and what a GPU can do at its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from gpu_cases import LAST, Case, bytes_to_move, supcon_bytes
from kernel_contrastive import counts_of, operations, params_of
from torch import Tensor

_WORDS = {"nearest": 8 * 4, "bilinear": 6 * 8, "": 0}  # bytes of one item's coefficients
_THREADS, _MAX_BLOCKS = 256, 1 << 20  # kThreads and kMaxBlocks of device.h
_CHANNEL_TILE, _MAX_PARTS = 4, 32  # kChannelTile and kMaxParts of warp_forward.h


@dataclass(frozen=True)
class Device:
    """A GPU's published peaks.

    Attributes:
        name: as the tables show it.
        bandwidth: of its memory, bytes a second.
        floats: float32 operations a second, a multiply-add counted as two.
        integers: 32-bit integer operations a second, counted alike; of the L4 half of `floats`.
    """

    name: str
    bandwidth: float
    floats: float
    integers: float


DEVICES = (
    Device("A100", 2039e9, 19.5e12, 19.5e12),
    Device("H100", 3350e9, 66.9e12, 33.5e12),
    Device("L4", 300e9, 30.3e12, 15.1e12),
)


@dataclass(frozen=True)
class Bytes:
    """Bytes read from and written to global memory."""

    read: float
    written: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.read + self.written


@dataclass(frozen=True)
class Work:
    """Operations; a multiply-add is two, a 64-bit integer operation is two of 32 bits."""

    integers: float
    floats: float


@dataclass(frozen=True)
class Floor:
    """A computed time in seconds, and which limit sets it."""

    seconds: float
    limit: str


def floor(device: Device, moved: float, work: Work, *, fused: bool = True) -> Floor:
    """Return the longest of the three times that a device needs at its peak rates.

    Without fused multiply-adds (the kernels are compiled with -fmad=false) float operations run at
    half the peak, which counts a fused one as two.
    """
    times = {
        "bytes": moved / device.bandwidth,
        "float": work.floats / (device.floats if fused else device.floats / 2),
        "int": work.integers / device.integers,
    }
    limit = max(times, key=lambda name: times[name])
    return Floor(times[limit], limit)


def _elements(case: Case) -> int:
    return math.prod(case.shape)


def _scores(case: Case) -> int:
    return 4 * case.draws * case.batch


def _coefficients(case: Case) -> int:
    return case.draws * case.batch * _WORDS[case.interpolation]


def must_move(case: Case) -> Bytes:
    """Each input byte once, each output byte once; the sum is `gpu_cases.bytes_to_move`."""
    if case.op == "supcon_loss":
        return Bytes(*supcon_bytes(case))
    n, size = _elements(case), case.dtype.itemsize
    if case.op == "contrastive_views":
        written = case.draws * case.batch * case.side**2 * case.shape[3] * size
        return Bytes(bytes_to_move(case) - written, written)
    words = _coefficients(case)
    if case.op == "fct_views":
        return Bytes(n + words, (1 + case.draws) * n * size)
    if case.backward:
        return Bytes(n * size + words + _scores(case), n * size)
    return Bytes(n * size + words, _scores(case))


# ---- operations ------------------------------------------------------------------------------

# Per place of a warp: from (x, y) to the offset of its source. Nearest: 2 differences, two forms of
# 2 products and 2 sums, 2 shifts, 4 comparisons, 3 ands, 2 for the offset. Bilinear: two forms of 4
# operations in 64 bits, 2 shifts, 2 conversions (and 2 float products); 8 to tell which taps lie
# inside and 6 for their offsets; the 4 weights from 2 fractions take 6 float operations.
_POINT = {"nearest": Work(21, 0), "bilinear": Work(20, 2)}
_TAPS = {"nearest": Work(0, 0), "bilinear": Work(14, 6)}
# Per place and channel: addresses, and the weighted sum.
_TAKE = {"nearest": Work(1, 0), "bilinear": Work(4, 8)}
_LOOK_UP = {"nearest": 1, "bilinear": 4}  # of fct_views: the place in the table, one a tap
_CANDIDATES = {"nearest": 2 * 2, "bilinear": 3 * 3}  # kCandidates of warp_backward.h, squared
_TAKERS = {"nearest": 1, "bilinear": 4}  # places of the warp that use a pixel, at most on average
# Float operations a pixel, without what depends on the item alone: 2 conversions, 2 differences, 8
# for the linear system, 2 to go down by the reach, 2 to round up; nearest adds 2 halves, 2 shifts.
_MIDDLE = {"nearest": 20, "bilinear": 16}


def _sum(*terms: tuple[float, Work]) -> Work:
    return Work(sum(k * w.integers for k, w in terms), sum(k * w.floats for k, w in terms))


def needed(case: Case) -> Work:
    """Operations of the algorithm: geometry once for each place, everything else per element."""
    if case.op == "contrastive_views":
        return Work(*operations(case, counts_of(case, params_of(case), as_built=False)))
    return _work(case, repeats=1.0)


def issued(case: Case) -> Work:
    """The same with geometry as often as the kernel repeats it, and the tables of fct_views."""
    if case.op == "contrastive_views":
        return Work(*operations(case, counts_of(case, params_of(case))))
    made = _work(case, repeats=geometry_repeats(case))
    if case.op == "fct_views":
        channels = case.shape[3]
        return Work(made.integers, made.floats + 3 * 256 * channels * view_blocks(case))
    return made


def _work(case: Case, repeats: float) -> Work:
    if case.op == "feature_distance":
        rows = case.shape[0] * case.shape[1]
        pixels = math.prod(case.shape[2:])
        pooling = rows * (pixels + 1) if pixels > 1 else 0
        # A view's channel: difference, square or product with g, sum.
        return Work(0, pooling + 3 * case.draws * case.batch * case.shape[1])
    way = case.interpolation
    locate, take = _sum((1, _POINT[way]), (1, _TAPS[way])), _TAKE[way]
    if case.op == "fct_views":
        batch, height, width, channels = case.shape
        places, bytes_taken = case.draws * batch * height * width, _elements(case)
        per_byte = Work(take.integers + _LOOK_UP[way], take.floats)
        return _sum(
            (places * repeats, locate),
            (case.draws * bytes_taken, per_byte),
            (bytes_taken, Work(2, 0)),
        )
    batch, channels, height, width = case.shape
    places = case.draws * batch * height * width
    own = Work(take.integers + 1, take.floats + 3)
    if not case.backward:
        return _sum((places * repeats, locate), (places * channels, own))
    # A candidate: 3 to stay inside, its source, what share it took (bilinear: 6, and 3 if any).
    bilinear = way == "bilinear"
    candidate = _sum((1, _POINT[way]), (1, Work(3 + (6 if bilinear else 1), 0)))
    taker = _sum((1, _TAPS[way]), (1, Work(0, 3 if bilinear else 0)))
    pushed = Work(take.integers + 1, take.floats + 4)
    return _sum(
        (places * repeats, locate),
        (places * repeats, Work(0, _MIDDLE[way])),
        (places * repeats * _CANDIDATES[way], candidate),
        (places * repeats * _TAKERS[way], taker),
        (places * channels, own),
        (places * channels * _TAKERS[way], pushed),
    )


def _vector(case: Case, along: int) -> int:
    """Elements of one access of a gathering kernel: kFull of fct_views.h, kWarpVec, or 1."""
    full = 16 // case.dtype.itemsize
    if case.interpolation == "bilinear":
        full = min(full, 4) if case.op == "fct_views" else 2
    return full if along % full == 0 else 1


def _makes_elements(case: Case) -> bool:
    """Whether a thread of fct_views makes V elements, and not V pixels: Order of fct_views.h."""
    return case.layout == LAST and case.shape[3] != 3


def geometry_repeats(case: Case) -> float:
    """How often the kernel finds one place's source."""
    if case.op == "fct_views" and _makes_elements(case):
        # V neighbouring elements: a thread finds every pixel that they touch.
        channels, row = case.shape[3], case.shape[2] * case.shape[3]
        v = _vector(case, row)
        touched = sum((i * v % channels + v + channels - 1) // channels for i in range(row // v))
        return touched / case.shape[2]
    if case.op == "warp_distance" and case.backward:
        return math.ceil(case.shape[1] / _CHANNEL_TILE)
    if case.op == "warp_distance":
        pixels = case.shape[2] * case.shape[3]
        vectors, along = math.ceil(pixels / _vector(case, pixels)), 1
        while along < min(_THREADS, vectors):
            along *= 2
        rows, channel_parts = _THREADS // along, 1
        if vectors <= 4 * along:
            channel_parts = min(math.ceil(case.shape[1] / (4 * rows)), _MAX_PARTS)
        return rows * channel_parts
    return 1.0


def view_blocks(case: Case) -> int:
    """Blocks of a launch of fct_views, each of which makes its own table: views_blocks()."""
    batch, height, width, channels = case.shape
    row = width * (channels if _makes_elements(case) else 1)
    vectors = row // _vector(case, row)
    tile = 8 if vectors % 8 == 0 else 4
    rows = 32 // tile if vectors % tile == 0 and vectors > tile else 1
    a_view = math.ceil(math.ceil(height / rows) * rows * vectors / _THREADS)
    pieces = a_view * (1 + case.draws) * batch
    return min(max(math.ceil(pieces / 8), min(pieces, 2048)), _MAX_BLOCKS)


def table_stores(case: Case) -> int:
    """Bytes that the blocks of a launch of fct_views store to shared memory: their tables."""
    entry = 4 if case.interpolation == "bilinear" else case.dtype.itemsize
    return view_blocks(case) * 256 * case.shape[3] * entry


# ---- loads of data, from the geometry --------------------------------------------------------


def data_loads(case: Case, coefficients: Tensor) -> int:
    """Bytes of images or features that the kernel's threads ask for, repeats included.

    Args:
        case: which; its batch is that of `coefficients`.
        coefficients: integers of `fctfast::affine_coefficients`, [K, B, 8 or 6], or params of
            contrastive_views, [V, B, 16]; unused where nothing is sampled.
    """
    if case.op == "contrastive_views":
        return counts_of(case, coefficients).taps * case.shape[3]
    n, size = _elements(case), case.dtype.itemsize
    if case.op == "feature_distance":
        tiles = 1 if case.backward else math.ceil(case.draws / 4)  # kDrawTile
        return (n + (tiles - 1) * n // (1 + case.draws)) * size
    views = case.op == "fct_views"
    height, width = case.shape[1:3] if views else case.shape[2:]
    channels = case.shape[3] if views else case.shape[1]
    inside, weighed = _taps(coefficients, height, width)  # [items, places], [items, places]
    taps = channels * int(inside.sum())
    if views:
        return n + taps
    own = case.draws * n
    # A taker's own value and the taps of its warp, once for each tap that it took.
    pushed = channels * int((weighed * (1 + inside)).sum()) if case.backward else 0
    return (own + taps + pushed) * size


def _taps(coefficients: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Count each place's taps inside the image, and those of them that have a weight."""
    words = coefficients.flatten(0, -2).long()
    x, y = torch.arange(width)[None, None, :], torch.arange(height)[None, :, None]
    if coefficients.dtype == torch.int32:
        from fctfast.ops.reference.affine import nearest_source

        _, valid = nearest_source(words, (height, width))
        return valid.long(), valid.long()
    xx, xy, x0, yx, yy, y0 = (w[:, None, None] for w in words.unbind(-1))
    px, py = x0 + xy * y + xx * x, y0 + yy * y + yx * x
    inside = torch.zeros_like(px)
    weighed = torch.zeros_like(px)
    for right in (0, 1):
        for down in (0, 1):
            column, row = (px >> 32) + right, (py >> 32) + down
            within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            # The kernel keeps 24 bits of the fraction: below that a tap has no weight.
            heavy = ((px >> 8 & 0xFFFFFF) > 0) | (right == 0)
            heavy = heavy & (((py >> 8 & 0xFFFFFF) > 0) | (down == 0))
            inside += within
            weighed += within & heavy
    return inside.flatten(1), weighed.flatten(1)
