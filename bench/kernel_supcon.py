"""What supcon_loss on the GPU multiplies, computes and moves, and how long that takes at the peaks.

Products have other peaks than float operations, exponentials a unit of their own, and operands come
from shared memory, which no other kernel here has as a limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from gpu_cases import LABELS, Case, products_of, supcon_bytes
from kernel_model import Device, Floor

_ROWS, _CHUNK = 64, 128  # kBlockRows, kChunk
_UNITS, _START, _MOST = 132, 2, 16  # kSupConUnits, kSupConStart, kMostShares
_TRIANGLE_FROM, _TRIANGLE_ROWS = 4096, 960  # kSupConTriangleFrom, kMostTriangleRows
_TRIANGLE_BYTES, _READ = 128 << 20, 500000  # kMostBytes, kReadMeanwhile
_PANEL_BYTES, _PANEL_LEAST = 32 << 20, 8  # kBytes, kLeast of supcon_panel_blocks()
_PULLS = 8 << 10  # kPullsOfTile * sizeof(Pulls): H of 64 rows and a tile's columns


@dataclass(frozen=True)
class Peaks:
    """Published peaks that `kernel_model.Device` has not, operations a second.

    Attributes:
        tf32: dense tensor-core products, a multiply-add as two.
        float16: the same of float16 operands, sums in float32.
        exponentials: results of the special function units: 16 a clock and SM.
        shared: bytes a second from shared memory: 128 a clock and SM.
    """

    tf32: float
    float16: float
    exponentials: float
    shared: float


def _units(sms: int, clock: float) -> dict[str, float]:
    return {"exponentials": 16 * sms * clock, "shared": 128 * sms * clock}


PEAKS = {
    "A100": Peaks(156e12, 312e12, **_units(108, 1.410e9)),
    "H100": Peaks(494.7e12, 989.4e12, **_units(132, 1.980e9)),
    "L4": Peaks(60e12, 121e12, **_units(58, 2.040e9)),
}


@dataclass(frozen=True)
class Work:
    """What one pass does, a multiply-add of a product as two operations.

    Attributes:
        products: operations of the matrix products.
        exponentials: how many.
        floats: the pairs' other float operations, none of them fused.
        integers: comparisons of groups, which have 64 bits, and counts.
        shared: bytes that warps read from shared memory, those that its lanes share once.
        copied: bytes that blocks copy to shared memory, from L2 where they have met before.
    """

    products: float
    exponentials: float
    floats: float
    integers: float
    shared: float = 0
    copied: float = 0


@dataclass(frozen=True)
class Tile:
    """Of a policy of supcon_products.h: kColumns, an element's bytes and kForwardBlocks.

    A warp makes the similarities of 16 rows and all columns of a tile. For each feature it reads
    that many rows and columns from shared memory, whatever the policy.
    """

    columns: int
    element: int
    forward_blocks: int


TILES = {"float32": Tile(32, 4, 2), "tf32": Tile(32, 4, 3), "float16": Tile(64, 2, 3)}
_BACKWARD_BLOCKS = 2  # kBlocksOnUnit
_WARP_ROWS = 16  # kWarpRows


def cases() -> list[Case]:
    """List the rows of the tables."""
    kinds = ((torch.float32, False), (torch.float32, True), (torch.bfloat16, False))
    return [
        Case("supcon_loss", shape, 2, dtype, LABELS, backward=backward, tf32=tf32)
        for backward in (False, True)
        for shape in ((1024, 128), (8192, 128), (65536, 128), (4096, 512))
        for dtype, tf32 in kinds
    ]


def _pairs(case: Case, pairs: float, products: float) -> Work:
    """Count what `pairs` similarities cost beside the products.

    Forward: the scale, a sum, a positive's sum; two comparisons and a count. Backward: the scale,
    the sum of two weights, their product with the exponential, a positive's part; two comparisons.
    Tensor cores multiply z's rows: S is divided by a length, and backward H once more and rounded.
    """
    lengths = products_of(case) != "float32"
    if case.backward:
        return Work(products, pairs, pairs * (4 + 3 * lengths), pairs * 2)
    return Work(products, pairs, pairs * (3 + lengths), pairs * 3)


def needed(case: Case) -> Work:
    """Of the loss: S is symmetric, so half of it is enough; dZ = H Z takes all of H."""
    n, d = case.shape
    return _pairs(case, n * n / 2, n * n * d * (3 if case.backward else 1))


def splits(case: Case) -> int:
    """Shares of the columns: supcon_splits()."""
    return _splits(case)[0]


def _splits(case: Case) -> tuple[int, float]:
    n, d = case.shape
    tile = TILES[products_of(case)]
    tiles = math.ceil(n / tile.columns)
    blocks = panels(case)[0] * _chunks(d) if panels(case) else math.ceil(n / _ROWS)
    slots = _UNITS * (_BACKWARD_BLOCKS if case.backward else tile.forward_blocks)
    best, least = 1, math.inf
    for shares in range(1, min(max(tiles // 2, 1), _MOST) + 1):
        time = math.ceil(blocks * shares / slots) * (math.ceil(tiles / shares) + _START)
        if 20 * time < 19 * least:
            best, least = shares, time
    return best, least


def _padded(width: int) -> int:
    return math.ceil(width / 16) * 16


def _chunks(width: int) -> int:
    return math.ceil(_padded(width) / _CHUNK)


def panels(case: Case) -> list[int]:
    """Blocks of rows of each panel whose H is kept, or none: supcon_panel_blocks()."""
    n, d = case.shape
    if not case.backward or _chunks(d) == 1:
        return []
    tiles = math.ceil(n / TILES[products_of(case)].columns)
    blocks = math.ceil(n / _ROWS)
    most = max(_PANEL_BYTES // (tiles * _PULLS), _PANEL_LEAST)
    one = math.ceil(blocks / math.ceil(blocks / most))
    return [min(one, blocks - begin) for begin in range(0, blocks, one)]


def triangle(case: Case) -> list[int]:
    """Rows of each block of the upper triangle, or none: supcon_triangle_block()."""
    n, tile = case.shape[0], TILES["float32"]
    if case.backward or products_of(case) != "float32" or n < _TRIANGLE_FROM:
        return []
    best, least = 0, _splits(case)[1]
    for block in range(_ROWS, _TRIANGLE_ROWS + 1, _ROWS):
        blocks = math.ceil(n / block)
        if blocks * n * 16 > _TRIANGLE_BYTES:
            continue
        turns = math.ceil(blocks * (blocks + 1) // 2 / (_UNITS * tile.forward_blocks))
        walk = block // tile.columns + _START
        time = turns * block // _ROWS * walk + blocks * n // _READ
        if 20 * time < 19 * least:
            best, least = block, time
    if not best:
        return []
    blocks = math.ceil(n / best)
    return [best] * (blocks - 1) + [n - best * (blocks - 1)]


def launches(case: Case) -> int:
    """Of launch_supcon_as(): rows, the walk, loss or gradient; the triangle's loss takes two.

    Rows of several chunks, backward: the rows, then H, its product and the gradient of each panel.
    """
    of_panels = panels(replace(case, both=False, backward=True)) if case.both else panels(case)
    forward = 0 if case.backward else 3 + bool(triangle(case))
    backward = (1 + 3 * len(of_panels) if of_panels else 3) if case.both or case.backward else 0
    return forward + backward


def _triangle_issued(case: Case, blocks: Sequence[int]) -> Work:
    """Every pair of blocks once, a block with itself whole."""
    width, tile = _padded(case.shape[1]), TILES["float32"]
    rows = [math.ceil(b / _ROWS) * _ROWS for b in blocks]
    columns = [math.ceil(b / tile.columns) * tile.columns for b in blocks]
    pairs = sum(r * sum(columns[i:]) for i, r in enumerate(rows))
    apart = sum(r * sum(columns[i + 1 :]) for i, r in enumerate(rows))
    work = _pairs(case, pairs, 2.0 * pairs * width)
    row, tiles = width * tile.element, pairs / (_ROWS * tile.columns)
    of_s = _ROWS // _WARP_ROWS * ((_WARP_ROWS + tile.columns) * row + tile.columns * 8)
    # The four warps' sums of a tile and its totals, of three numbers a column.
    of_columns = apart / (_ROWS * tile.columns) * 3 * (4 + 1) * tile.columns * 4
    own = sum(r * (len(rows) - i) for i, r in enumerate(rows))
    if _chunks(case.shape[1]) > 1:  # the own rows travel with every tile
        own = tiles * _ROWS
    lists = 8 * _chunks(case.shape[1])
    return Work(
        # Columns add up exponentials, positives and their number, too.
        work.products, work.exponentials, work.floats + 2 * apart, work.integers + apart,
        tiles * of_s + of_columns, tiles * tile.columns * (row + lists) + own * row,
    )  # fmt: skip


def issued(case: Case) -> Work:
    """As built: all of S, whole tiles, features by sixteens.

    Of the forward in float32 from 4,096 rows on the upper triangle.
    """
    if blocks := triangle(case):
        return _triangle_issued(case, blocks)
    n, d = case.shape
    tile = TILES[products_of(case)]
    row_blocks, tiles = math.ceil(n / _ROWS), math.ceil(n / tile.columns)
    width, chunks = _padded(d), _chunks(d)
    pairs = row_blocks * _ROWS * tiles * tile.columns
    work = _pairs(case, pairs, 2.0 * pairs * width * (1 + case.backward))
    # A warp's operands of S: its own 16 rows and the tile's columns, each feature once.
    warps = row_blocks * _ROWS // _WARP_ROWS * tiles
    of_s = (_WARP_ROWS + tile.columns) * width * tile.element
    # Of H Z: the tile's columns once more; float32's H passes through shared memory, too.
    of_h = tile.columns * width * tile.element + (
        2 * _WARP_ROWS * tile.columns * 4 * chunks if products_of(case) == "float32" else 0
    )
    # A column's group and, where there are any, its length and weight: with every chunk.
    lists = 8 + 4 * (products_of(case) != "float32") + 4 * case.backward
    of_pairs = tile.columns * lists
    row = width * tile.element
    own = _ROWS * row * (tiles if chunks > 1 else splits(case))
    # H in panels: its product copies the columns again, each chunk by blocks of its own.
    walks = 1 + bool(panels(case))
    copied = row_blocks * (tiles * tile.columns * (row * walks + lists * chunks) + own)
    return Work(
        work.products, work.exponentials, work.floats, work.integers,
        warps * (of_s + of_h * case.backward + of_pairs), copied,
    )  # fmt: skip


def floor(device: Device, case: Case, work: Work) -> Floor:
    """Return the longest of the times that a device needs for each part at its peak rates.

    The parts run side by side on different units at best. Products of float32 share theirs with the
    pairs' operations; the kernel asks for fused multiply-adds by name, so -fmad=false leaves them
    at the full peak, and halves it for the others.
    """
    peaks, products = PEAKS[device.name], products_of(case)
    floats = work.floats / (device.floats / 2)
    times = {
        "bytes": sum(supcon_bytes(case)) / device.bandwidth,
        "exp": work.exponentials / peaks.exponentials,
        "int": work.integers / device.integers,
        "shared": work.shared / peaks.shared,
    }
    if products == "float32":
        times["float"] = work.products / device.floats + floats
    else:
        times["products"] = work.products / getattr(peaks, products)
        times["float"] = floats
    limit = max(times, key=lambda name: times[name])
    return Floor(times[limit], limit)
