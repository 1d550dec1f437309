"""supcon_loss in docs/kernels.md: its formulas by hand, and against what the kernels do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = (
    "gpu_cases",
    "gpu_contrastive_peers",
    "gpu_peers",
    "gpu_supcon_peers",
    "supcon_peers",
    "kernel_contrastive",
    "kernel_model",
    "kernel_eager",
    "kernel_supcon",
    "kernel_counts",
)
F32, BF16 = torch.float32, torch.bfloat16
KINDS = {
    "float32": {"dtype": F32},
    "tf32": {"dtype": F32, "tf32": True},
    "float16": {"dtype": BF16},
}


@pytest.fixture(scope="module")
def bench(scripts: Any) -> Iterator[SimpleNamespace]:
    with scripts(MODULES) as made:
        yield made


def case_of(bench: SimpleNamespace, n: int, d: int, kind: str, backward: bool = False) -> Any:
    how = {"layout": "labels", "backward": backward} | KINDS[kind]
    return bench.gpu_cases.Case("supcon_loss", (n, d), 2, **how)


def test_half_of_the_similarities_are_needed(bench: SimpleNamespace) -> None:
    needed = bench.kernel_supcon.needed
    # 10 rows of 6: 50 pairs. The scale, a sum, a positive's; two comparisons, a count.
    made = needed(case_of(bench, 10, 6, "float32"))
    assert (made.products, made.exponentials) == (50 * 2 * 6, 50)
    assert (made.floats, made.integers) == (50 * 3, 50 * 3)
    assert needed(case_of(bench, 10, 6, "float16")).floats == 50 * 4
    # Backward multiplies all of H with z: 100 pairs more.
    made = needed(case_of(bench, 10, 6, "float32", backward=True))
    assert (made.products, made.exponentials) == ((50 + 100) * 2 * 6, 50)
    assert (made.floats, made.integers) == (50 * 4, 50 * 2)
    assert needed(case_of(bench, 10, 6, "tf32", backward=True)).floats == 50 * 7


def test_as_built_whole_tiles_are_multiplied(bench: SimpleNamespace) -> None:
    issued = bench.kernel_supcon.issued
    # 65 rows are two blocks of 64, and three tiles of 32 columns or two of 64; 17 features are 32.
    for kind, columns in (("float32", 96), ("tf32", 96), ("float16", 128)):
        assert issued(case_of(bench, 65, 17, kind)).products == 128 * columns * 2 * 32
        both = issued(case_of(bench, 65, 17, kind, backward=True)).products
        assert both == 2 * 128 * columns * 2 * 32
    # Rows of 512 features are four chunks: H is kept, a panel at a time, and not made again.
    wide = issued(case_of(bench, 4096, 512, "float16", backward=True))
    assert wide.products == 2 * 2 * 4096**2 * 512
    assert wide.exponentials == 4096**2
    assert issued(case_of(bench, 4096, 512, "float16")).products == 2 * 4096**2 * 512


def test_panels_by_hand(bench: SimpleNamespace) -> None:
    panels, launches = bench.kernel_supcon.panels, bench.kernel_supcon.launches
    assert panels(case_of(bench, 4096, 128, "float16", backward=True)) == []
    assert panels(case_of(bench, 4096, 512, "float16")) == []
    # 64 blocks of rows. H of 64 rows is 512 KiB in float16, 1 MiB in float32: 64 of them, or 32.
    assert panels(case_of(bench, 4096, 512, "float16", backward=True)) == [64]
    assert panels(case_of(bench, 4096, 512, "float32", backward=True)) == [32, 32]
    # 65 blocks, and 31 fit: three panels of at most 22.
    assert panels(case_of(bench, 4100, 512, "float32", backward=True)) == [22, 22, 21]
    # 16 MiB a block of rows: eight of them all the same.
    assert panels(case_of(bench, 65536, 512, "float32", backward=True)) == [8] * 128
    both = bench.gpu_cases.Case("supcon_loss", (4100, 512), 2, F32, "labels", both=True)
    assert launches(both) == 3 + 1 + 1 + 3 * 3


def test_the_upper_triangle_by_hand(bench: SimpleNamespace) -> None:
    issued, triangle = bench.kernel_supcon.issued, bench.kernel_supcon.triangle
    assert triangle(case_of(bench, 4095, 16, "float32")) == []
    assert triangle(case_of(bench, 4096, 16, "tf32")) == []
    assert triangle(case_of(bench, 4096, 16, "float32", backward=True)) == []
    assert triangle(case_of(bench, 131072, 16, "float32")) == []  # 268 MB of sums
    assert triangle(case_of(bench, 65536, 16, "float32")) == [832] * 78 + [640]
    # 23 blocks of 192 would be 276 pairs, and 264 run at once.
    assert triangle(case_of(bench, 4256, 16, "float32")) == [64] * 66 + [32]
    # 4,100 rows: 21 blocks of 192 and one of 68, which is two of 64 rows and three tiles.
    case = case_of(bench, 4100, 16, "float32")
    assert triangle(case) == [192] * 21 + [68]
    apart = 192 * 192 * 21 * 20 // 2 + 21 * 192 * 96
    pairs = apart + 21 * 192 * 192 + 128 * 96
    work = issued(case)
    assert (work.products, work.exponentials) == (pairs * 2 * 16, pairs)
    assert (work.floats, work.integers) == (pairs * 3 + 2 * apart, pairs * 3 + apart)
    tiles = pairs / 64 / 32
    assert work.shared == tiles * 4 * ((16 + 32) * 16 * 4 + 32 * 8) + apart / 2048 * 1920
    # Each pair of blocks copies the rows of the one, and for each 64 of them those of the other.
    own = sum(192 * (22 - i) for i in range(21)) + 128
    assert work.copied == tiles * 32 * (64 + 8) + own * 64


def test_reads_from_shared_memory_by_hand(bench: SimpleNamespace) -> None:
    issued = bench.kernel_supcon.issued
    # Four warps and one tile: each reads 16 rows and 64 columns of 16 features, and a group and a
    # length of each column; backward the columns' features once more, and their weights.
    one = issued(case_of(bench, 64, 16, "float16"))
    assert one.shared == 4 * ((16 + 64) * 16 * 2 + 64 * 12)
    one = issued(case_of(bench, 64, 16, "float16", backward=True))
    assert one.shared == 4 * ((16 + 64 + 64) * 16 * 2 + 64 * 16)
    # float32: two tiles of 32, no lengths; H is written and read.
    one = issued(case_of(bench, 64, 16, "float32", backward=True))
    assert one.shared == 4 * 2 * ((16 + 32 + 32) * 16 * 4 + 2 * 16 * 32 * 4 + 32 * 12)


def test_columns_are_shared_out_where_rows_are_few(bench: SimpleNamespace) -> None:
    splits = bench.kernel_supcon.splits
    # 16 blocks of rows, and an H100 takes 264 or 396 at once; 16 shares are the most, two tiles the
    # least.
    assert splits(case_of(bench, 1024, 128, "float32")) == 16
    assert splits(case_of(bench, 1024, 128, "float16")) == 8
    assert splits(case_of(bench, 8192, 128, "float16")) == 3
    assert splits(case_of(bench, 8192, 128, "float16", backward=True)) == 2  # one wave, not 1.5
    assert splits(case_of(bench, 65536, 128, "float16")) == 3  # 2.6 waves of whole rows are three
    assert splits(case_of(bench, 65536, 128, "float16", backward=True)) == 1
    # Four chunks are four times the blocks, backward; of a panel.
    assert splits(case_of(bench, 4096, 512, "float16")) == 6
    assert splits(case_of(bench, 4096, 512, "float16", backward=True)) == 1
    assert splits(case_of(bench, 4096, 512, "float32", backward=True)) == 2


def test_floors_use_the_peaks_of_their_products(bench: SimpleNamespace) -> None:
    model, work = bench.kernel_supcon, bench.kernel_supcon.Work
    a100, h100, l4 = bench.kernel_model.DEVICES
    floats, tf32, half = (case_of(bench, 64, 16, kind) for kind in KINDS)

    def found(device: Any, case: Any, made: Any) -> tuple[str, float]:
        floor = model.floor(device, case, made)
        return floor.limit, round(floor.seconds, 9)

    # Fused by name: the full peak; the pairs' operations at half of it, on the same unit.
    assert found(a100, floats, work(19.5e9, 0, 0, 0)) == ("float", 1e-3)
    assert found(a100, floats, work(19.5e9, 0, 19.5e9, 0)) == ("float", 3e-3)
    assert found(a100, tf32, work(156e9, 0, 1e9, 0)) == ("products", 1e-3)
    assert found(h100, half, work(989.4e9, 0, 33e9, 0)) == ("products", 1e-3)
    assert found(l4, half, work(121e9, 0, 16e9, 0)) == ("float", round(16 / 15.15e3, 9))
    # 132 SMs, 16 results each of 1.98e9 clocks; 128 bytes each of them.
    assert found(h100, half, work(0, 16 * 132 * 1.98e6, 0, 0)) == ("exp", 1e-3)
    assert found(h100, half, work(0, 0, 0, 0, 128 * 132 * 1.98e6)) == ("shared", 1e-3)


def test_units_fit_the_published_float_peaks(bench: SimpleNamespace) -> None:
    lanes = {"A100": 64, "H100": 128, "L4": 128}  # of an SM, a multiply-add as two
    for device in bench.kernel_model.DEVICES:
        peaks = bench.kernel_supcon.PEAKS[device.name]
        assert peaks.exponentials / 16 * lanes[device.name] * 2 == pytest.approx(
            device.floats, rel=1e-3
        )
        assert peaks.shared == 8 * peaks.exponentials


def test_eager_is_launches_at_1024_rows(bench: SimpleNamespace) -> None:
    def trace(n: int, both: bool) -> list[Any]:
        case = bench.gpu_cases.Case("supcon_loss", (n, 128), 2, F32, "labels", both=both)
        made: list[Any] = bench.kernel_eager.passes(case)
        return made

    made = trace(1024, both=False)
    names = [p.name for p in made]
    assert len(names) == len(trace(8192, both=False)) == 23  # they do not grow with N
    assert names[:4] == ["linalg_vector_norm", "clamp_min", "div", "mm"]
    square = 4 * 1024**2
    moved = {p.name: (p.moved.read, p.moved.written) for p in made}
    assert moved["mm"] == (4 * 1024 * 128, square)  # both operands are one buffer
    assert moved["exp"] == (square, square)
    assert moved["ones_like"] == (0, square)
    both = [p.name for p in trace(1024, both=True)]
    assert both[:23] == names
    assert both.count("mm") == 3
    launches, of = bench.kernel_supcon.launches, bench.gpu_cases.Case
    for rows, dtype, walk, all_of_it in ((1024, F32, 3, 6), (8192, F32, 4, 7), (8192, BF16, 3, 6)):
        shape = (rows, 128)
        assert launches(of("supcon_loss", shape, 2, dtype, "labels")) == walk
        assert launches(of("supcon_loss", shape, 2, dtype, "labels", both=True)) == all_of_it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(64, 16), (200, 16), (130, 140)])
def test_what_is_copied_to_shared_memory_is_what_the_kernels_store_there(
    bench: SimpleNamespace, simt_build: Callable[[str], Path], kind: str, n: int, d: int
) -> None:
    counter = bench.kernel_counts.Counter(simt_build("plain").parents[1])
    ops, stored = counter._ops, []
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(0)).to(KINDS[kind]["dtype"])
    group, how = torch.arange(n) % 5, (0, -1, 0.1, 0.1, kind == "tf32")
    ops.tf32 = kind == "tf32"
    counter.module.take_traffic()
    _, statistics = ops.supcon_loss(z, group, *how)
    stored.append(counter.module.take_traffic()["shared_written"])
    ops.supcon_loss_backward(torch.ones(1), z, group, statistics, *how)
    stored.append(counter.module.take_traffic()["shared_written"])
    forward = bench.kernel_supcon.issued(case_of(bench, n, d, kind))
    backward = bench.kernel_supcon.issued(case_of(bench, n, d, kind, backward=True))
    # Two float64 of each warp that adds up the loss; one of each that counts anchors.
    assert stored[0] == forward.copied + 2 * 32 * 8
    chunks = -(-d // 128)  # float32's H passes through it for each
    of_h = 4 * backward.exponentials * chunks if kind == "float32" else 0
    assert stored[1] == backward.copied + 8 * 8 + of_h
