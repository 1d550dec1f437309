"""docs/kernels.md: its formulas by hand, its tables against what the kernels do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fctfast.ops.sample_contrastive import COLUMNS

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
    "kernel_supcon_tables",
    "kernel_counts",
    "kernel_costs",
)
F32, BF16 = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def bench(scripts: Any) -> Iterator[SimpleNamespace]:
    with scripts(MODULES) as made:
        yield made


def test_must_move_is_what_the_gpu_benchmark_divides_by(bench: SimpleNamespace) -> None:
    for case in [*bench.kernel_costs.cases(), *bench.kernel_supcon.cases()]:
        assert bench.kernel_model.must_move(case).total == bench.gpu_cases.bytes_to_move(case)


def test_must_move_by_hand(bench: SimpleNamespace) -> None:
    case, must = bench.gpu_cases.Case, bench.kernel_model.must_move
    views = must(case("fct_views", (512, 32, 32, 3), 4, F32, "nchw", "nearest"))
    assert (views.read, views.written) == (1_572_864 + 65_536, 31_457_280)
    rows = must(case("feature_distance", (2560, 512), 4, BF16, "rows", backward=True))
    assert (rows.read, rows.written) == (2_621_440 + 8_192, 2_621_440)
    warp = must(case("warp_distance", (64, 512, 4, 4), 1, F32, "nchw", "bilinear"))
    assert (warp.read, warp.written) == (2_097_152 + 64 * 48, 256)


def test_needed_operations_by_hand(bench: SimpleNamespace) -> None:
    case, needed = bench.gpu_cases.Case, bench.kernel_model.needed
    # 10 rows of 6 channels: pooling 9 pixels is 9 sums and a division; 8 views' channels take 3.
    pooled = needed(case("feature_distance", (10, 6, 3, 3), 4, F32, "nchw"))
    assert (pooled.integers, pooled.floats) == (0, 10 * 6 * 10 + 8 * 6 * 3)
    # 4 x 4 places: geometry 21; in each of 2 channels two addresses and 3 float operations.
    warp = needed(case("warp_distance", (1, 2, 4, 4), 1, F32, "nchw", "nearest"))
    assert (warp.integers, warp.floats) == (16 * (21 + 2 * 2), 16 * 2 * 3)


def drawn(**words: float) -> torch.Tensor:
    """Params [1, 1, 16] of one view: a crop of 4 x 4 pixels from the corner, unless told."""
    row = torch.zeros(1, 1, 16)
    for name, value in ({"height": 4, "width": 4} | words).items():
        row[0, 0, COLUMNS.index(name)] = value
    return row


def test_contrastive_views_are_counted_by_hand(bench: SimpleNamespace) -> None:
    counts, model = bench.kernel_contrastive.counts_of, bench.kernel_contrastive
    small = bench.gpu_cases.Case("contrastive_views", (1, 8, 8, 3), 1, F32, "nchw", side=2)
    # 4 inputs to 2 outputs: the triangle of either reaches 2 inputs to both sides of its centre at
    # 1 or 3, and holds the middles of 3 that exist; its fourth lies outside of the crop.
    once = counts(small, drawn(jitter=1, grey=1))
    assert once == model.Counts(4, 4, 4 * 3, 4 * 3, 4 * 9, 4, 4)
    wide = counts(small, drawn(width=1))  # one input for both outputs
    assert (wide.row_taps, wide.column_taps, wide.taps) == (12, 4, 12)
    # 33 x 33 pixels are more than a block's: with a contrast to draw they are walked over twice.
    large = bench.gpu_cases.Case("contrastive_views", (1, 8, 8, 3), 1, F32, "nchw", side=33)
    twice, plain = counts(large, drawn(jitter=1)), counts(large, drawn())
    assert (twice.walked, plain.walked, twice.pixels) == (2 * 33**2, 33**2, 33**2)
    assert twice.taps == 2 * plain.taps
    assert counts(large, drawn(jitter=1), as_built=False).taps == plain.taps
    # A pixel of one tap: 61 for its place, 2 for the tap, 2 a channel; in float 5 + 3 for the
    # scale, 3 an axis for totals, 2 for the weight of a row and of a tap, 2 a channel for each, 2
    # to normalise a channel.
    one = model.Counts(1, 1, 1, 1, 1, 0, 0)
    assert model.operations(small, one) == (61 + 2 + 6, 8 + 6 + 2 * (2 + 6) + 6)
    assert model.operations(small, model.Counts(1, 1, 1, 1, 1, 1, 1))[1] == 36 + 105 + 5


def test_geometry_is_repeated_as_the_kernels_do(bench: SimpleNamespace) -> None:
    case, repeats = bench.gpu_cases.Case, bench.kernel_model.geometry_repeats
    # Eight elements of five channels touch 2, 3, 2, 3 and 2 pixels in turn: 12 for 8.
    assert repeats(case("fct_views", (1, 32, 32, 5), 1, BF16, "channels_last", "nearest")) == 1.5
    assert repeats(case("fct_views", (1, 32, 32, 3), 1, BF16, "channels_last", "nearest")) == 1
    assert repeats(case("fct_views", (1, 32, 32, 3), 1, BF16, "nchw", "nearest")) == 1
    # 16 pixels are 4, 2 or 8 vectors: 64, 128 or 32 rows of threads in 2, 1 or 4 parts.
    for dtype, way in ((F32, "nearest"), (BF16, "nearest"), (F32, "bilinear"), (BF16, "bilinear")):
        assert repeats(case("warp_distance", (1, 512, 4, 4), 1, dtype, "nchw", way)) == 128
    # 8 channels need a part for 64 rows of threads; a plane in parts has none along channels.
    assert repeats(case("warp_distance", (1, 8, 4, 4), 1, F32, "nchw", "nearest")) == 64
    assert repeats(case("warp_distance", (1, 512, 224, 224), 1, F32, "nchw", "nearest")) == 1
    assert repeats(case("warp_distance", (1, 512, 64, 64), 1, F32, "nchw", "nearest")) == 32
    back = case("warp_distance", (1, 9, 4, 4), 1, F32, "nchw", "nearest", backward=True)
    assert repeats(back) == 3


def test_floor_names_its_limit(bench: SimpleNamespace) -> None:
    model = bench.kernel_model
    a100 = model.DEVICES[0]
    by_bytes = model.floor(a100, 2.039e9, model.Work(0, 0))
    assert (by_bytes.limit, round(by_bytes.seconds, 9)) == ("bytes", 1e-3)
    by_floats = model.floor(a100, 0, model.Work(1, 19.5e9), fused=False)
    assert (by_floats.limit, round(by_floats.seconds, 9)) == ("float", 2e-3)


def test_blocks_share_their_table_among_pieces_once_there_are_enough(
    bench: SimpleNamespace,
) -> None:
    case, model = bench.gpu_cases.Case, bench.kernel_model
    # 32 x 32 float32 are 256 vectors: a piece for each view.
    blocks = {8: 40, 512: 2048, 4096: 2560}  # 5 views of each sample
    for batch, wanted in blocks.items():
        views = case("fct_views", (batch, 32, 32, 3), 4, F32, "nchw", "nearest")
        assert model.view_blocks(views) == wanted
        assert model.table_stores(views) == wanted * 768 * 4
    # 28 vectors of 8 pixels a row, 224 rows: 24.5 pieces of 256, and 25 a view.
    views = case("fct_views", (256, 224, 224, 3), 4, BF16, "channels_last", "nearest")
    assert model.view_blocks(views) == 25 * 5 * 256 // 8
    assert model.table_stores(views) == 25 * 5 * 256 // 8 * 768 * 2


def test_backward_tests_four_places_or_nine(bench: SimpleNamespace) -> None:
    case, needed = bench.gpu_cases.Case, bench.kernel_model.needed
    # A pixel of one channel. Nearest: 21 for its own source, 25 a candidate, 2 and 2 for the
    # addresses of its own value and its taker's; 20 for the middle, 3 and 4.
    one = needed(case("warp_distance", (1, 1, 1, 1), 1, F32, "nchw", "nearest", backward=True))
    assert (one.integers, one.floats) == (21 + 4 * 25 + 2 + 2, 20 + 3 + 4)
    # Bilinear: 34 and 8, 29 a candidate, 14 and 6 + 3 for each of four takers, whose values take 5
    # and 8 + 4; 2 a candidate's point.
    one = needed(case("warp_distance", (1, 1, 1, 1), 1, F32, "nchw", "bilinear", backward=True))
    assert one.integers == 34 + 9 * 29 + 4 * 14 + 5 + 4 * 5
    assert one.floats == 8 + 16 + 9 * 2 + 4 * (6 + 3) + (8 + 3) + 4 * (8 + 4)


def test_eager_passes_by_hand(bench: SimpleNamespace) -> None:
    case = bench.gpu_cases.Case("feature_distance", (2560, 512), 4, BF16, "rows")
    made = [(p.name, p.moved.read, p.moved.written) for p in bench.kernel_eager.passes(case)]
    batch, views = 512 * 512, 4 * 512 * 512
    assert made == [
        ("_to_copy", 2 * batch, 4 * batch),
        ("sub", 4 * batch + 2 * views, 4 * views),
        ("pow", 4 * views, 4 * views),
        ("sum", 4 * views, 4 * 4 * 512),
    ]


def test_passes_over_some_views_move_those_alone(bench: SimpleNamespace) -> None:
    case = bench.gpu_cases.Case("contrastive_views", (8, 6, 6, 3), 2, F32, "nchw", side=4)
    params = bench.kernel_contrastive.params_of(case)
    jittered = int(params[..., COLUMNS.index("jitter")].sum())
    drained = int(params[..., COLUMNS.index("grey")].sum())
    made = bench.kernel_eager.passes(case)
    taken = sum(p.moved.read for p in made if p.name == "index")
    assert taken == (4 * jittered + drained) * 3 * 4 * 4 * 4  # a step, a view; 48 float32


def test_part_between_the_markers_is_replaced(bench: SimpleNamespace) -> None:
    costs = bench.kernel_costs
    text = f"before\n{costs.BEGIN}\nold\n{costs.END}\nafter\n"
    assert costs.replaced(text, "new") == f"before\n{costs.BEGIN}\n\nnew\n\n{costs.END}\nafter\n"
    with pytest.raises(ValueError, match="expected one"):
        costs.replaced("no markers", "new")


@pytest.fixture(scope="module")
def counter(bench: SimpleNamespace, simt_build: Callable[[str], Path]) -> Any:
    """Counts on the executor; skips where that cannot be built."""
    return bench.kernel_counts.Counter(simt_build("plain").parents[1])


def test_counts_by_hand(bench: SimpleNamespace, counter: Any) -> None:
    case = bench.gpu_cases.Case
    rows = counter.count(case("feature_distance", (40, 16), 4, F32, "rows", backward=True))
    # Four channels a thread: each reads one gradient for each of its views.
    assert (rows.data, rows.other, rows.written) == (40 * 64, 8 * 4 * 4 * 4, 40 * 64)
    # 8 x 8 pixels are one block's: 256 threads read 12 words of params.
    views = counter.count(case("contrastive_views", (4, 8, 8, 3), 2, BF16, "nchw", side=8))
    assert (views.other, views.written) == (8 * 256 * 48, 8 * 3 * 64 * 2)
    views = counter.count(case("fct_views", (8, 16, 16, 3), 1, F32, "nchw", "bilinear"))
    # Four pixels a thread: 64 threads of a moved image read its 48 bytes; 16 blocks make tables.
    assert (views.other, views.written) == (8 * 64 * 48, 2 * 8 * 768 * 4)
    assert views.shared == 16 * 768 * 4
    # Where pieces outnumber the blocks that are enough, a block makes one table for several.
    many = counter.count(case("fct_views", (2048, 16, 16, 3), 1, F32, "nchw", "bilinear"))
    assert (many.shared, many.other) == (2048 * 768 * 4, 2048 * 64 * 48)


def test_the_document_is_not_stale(
    bench: SimpleNamespace, simt_build: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    build = simt_build("plain").parents[1]
    costs = bench.kernel_costs
    text = costs.DOCUMENT.read_text(encoding="utf-8")
    for made_by in (f"counted with {costs.compiler()};", f"torch {costs.torch_version()}."):
        if made_by not in text:
            pytest.skip(f"docs/kernels.md was made with other versions than {made_by}")
    assert costs.main(["--check", "--build", str(build)]) == 0, capsys.readouterr().err
