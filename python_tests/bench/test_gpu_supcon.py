"""supcon_loss in bench/gpu.py: its exact answer, its peers, its rows, without a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from fctfast.ops import reference

BENCH = Path(__file__).resolve().parents[2] / "bench"
MODULES = (
    "gpu",
    "gpu_cases",
    "gpu_contrastive_peers",
    "gpu_dali",
    "gpu_peers",
    "gpu_problems",
    "gpu_supcon",
    "gpu_supcon_peers",
    "gpu_table",
    "gpu_timing",
    "supcon_peers",
)
CPU = torch.device("cpu")
F32, BF16 = torch.float32, torch.bfloat16


@pytest.fixture(scope="module")
def bench(scripts: Any) -> Iterator[SimpleNamespace]:
    with scripts(MODULES) as made:
        yield made


def case_of(bench: SimpleNamespace, shape: tuple[int, int], **how: Any) -> Any:
    how = {"dtype": F32, "layout": "labels"} | how
    return bench.gpu_cases.Case("supcon_loss", shape, 2, **how)


def test_bytes_and_operations_by_hand(bench: SimpleNamespace) -> None:
    count, products = bench.gpu_cases.bytes_to_move, bench.gpu_cases.product_operations
    # 6 rows of 10 numbers: groups of 8 bytes, statistics of 16, a loss of 4.
    assert count(case_of(bench, (6, 10))) == 240 + 48 + 96 + 4
    assert count(case_of(bench, (6, 10), dtype=BF16)) == 120 + 48 + 96 + 4
    # Backward reads those and the loss's gradient; together nobody has to see the statistics.
    assert count(case_of(bench, (6, 10), backward=True)) == 240 + 48 + 96 + 4 + 240
    assert count(case_of(bench, (6, 10), both=True)) == 240 + 48 + 4 + 4 + 240
    assert products(case_of(bench, (6, 10))) == 2 * 36 * 10
    assert products(case_of(bench, (6, 10), backward=True)) == 2 * 2 * 36 * 10
    assert products(case_of(bench, (6, 10), both=True)) == 3 * 2 * 36 * 10
    views = bench.gpu_cases.Case("contrastive_views", (2, 4, 5, 3), 2, F32, "nchw", side=3)
    assert products(views) == 0


def test_the_cases_are_those_promised(bench: SimpleNamespace) -> None:
    cases = bench.gpu_cases.cases(("supcon_loss",))
    for n in (1024, 4096, 8192, 65536):
        for both in (False, True):
            for how in ({}, {"tf32": True}, {"dtype": BF16}):
                assert case_of(bench, (n, 128), both=both, **how) in cases
    assert {c.shape for c in cases if c.layout == "samples"} == {(4096, 128)}
    assert {c.dtype_name for c in cases} == {"float32", "float32 (tf32)", "bfloat16", "float16"}
    assert {c.name for c in cases} == {"supcon_loss", "supcon_loss forward+backward"}
    # Two views of each sample.
    assert all(c.shape[0] % 2 == 0 for c in cases)


@pytest.mark.parametrize("groups", ["labels", "samples"])
@pytest.mark.parametrize("dtype", [F32, BF16])
def test_the_exact_answer_is_the_references(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, groups: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(bench.gpu_supcon, "_ELEMENTS", 7 * 46)  # blocks that do not divide 46 rows
    case = case_of(bench, (46, 9), dtype=dtype, layout=groups)
    z, group = bench.gpu_supcon.data(case, CPU)
    assert (len(group.unique()) == 23) == (groups == "samples")
    group[3] = 1000  # an anchor without a positive
    samples = torch.tensor([0, 3, 45])
    leaf = z.double().requires_grad_()
    t, base = bench.supcon_peers.TEMPERATURE, bench.supcon_peers.BASE
    loss = reference.supcon_loss(leaf, group, t, base)
    found = bench.gpu_supcon.exact(case, z, group, samples)
    torch.testing.assert_close(found, loss.detach().reshape(1, 1), rtol=1e-12, atol=0)
    both = case_of(bench, (46, 9), dtype=dtype, layout=groups, both=True)
    found = bench.gpu_supcon.exact(both, z, group, samples)
    slope = bench.gpu_supcon.UPSTREAM * torch.autograd.grad(loss, leaf)[0]
    torch.testing.assert_close(found[0], slope[samples], rtol=1e-10, atol=1e-9)


def test_the_triangle_has_other_blocks_on_a_gpu(bench: SimpleNamespace) -> None:
    blocks = {n: bench.gpu_supcon_peers.block_of(n) for n in (1000, 8192, 8200, 65536)}
    assert blocks == {1000: 1024, 8192: 1024, 8200: 1025, 65536: 8192}
    triangle, labels = bench.supcon_peers.triangle, torch.arange(20).repeat(2)
    made = torch.Generator().manual_seed(0)
    z = torch.randn(40, 16, generator=made)
    t, base = bench.supcon_peers.TEMPERATURE, bench.supcon_peers.BASE
    for dtype, tolerance in ((F32, 1e-5), (BF16, 3e-2), (torch.float16, 3e-3)):
        slopes = []
        for loss in (
            lambda x: triangle(x, labels, block=12, classes=20),
            lambda x: reference.supcon_loss(x.double(), labels, t, base),
        ):
            leaf = z.to(dtype).requires_grad_()
            slopes.append(torch.autograd.grad(4096 * loss(leaf), leaf)[0].double())
        assert slopes[0].dtype == slopes[1].dtype
        far = float((slopes[0] - slopes[1]).norm() / slopes[1].norm())
        assert far < tolerance, dtype


def test_inf_cl_says_why_not(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(shape: tuple[int, int], groups: str) -> str:
        case = case_of(bench, shape, layout=groups)
        z, _ = bench.gpu_supcon.data(case, CPU)
        with pytest.raises(bench.gpu_peers.Unavailable) as caught:
            bench.gpu_supcon_peers.inf_cl(case, z, torch.tensor(1.0))
        return str(caught.value)

    assert reason((8, 32), "labels") == "one positive a row: no groups"
    assert "multiple of 16" in reason((8, 123), "samples")
    monkeypatch.setitem(sys.modules, "inf_cl", None)
    assert reason((8, 32), "samples").startswith("not installed")
    there = ModuleType("inf_cl")
    there.cal_flash_loss = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inf_cl", there)
    assert reason((8, 32), "samples") == "runs on CUDA alone"


def test_another_loss_is_timed_and_not_compared(bench: SimpleNamespace) -> None:
    t, s = bench.gpu_table, bench.gpu_timing.summarise
    case = case_of(bench, (1000, 128), layout="samples")
    problem = bench.gpu_problems.build(case_of(bench, (8, 16)), CPU, compiling=False)
    peer = bench.gpu_peers.Peer(lambda: torch.tensor(float("nan")), other="another loss")
    cell = bench.gpu._cell(case, problem, lambda: peer, None)
    assert (cell.reason, cell.error, cell.other) == ("", None, "another loss")
    cell.stats = s([1.0])
    row = t.Row(case, kernel=t.Cell(stats=s([2.0])), peers={"Inf-CL": cell})
    table = t.Table([], 1.0, 1, {"float32": 1e12})
    table.rows.append(row)
    text = table.markdown()
    assert "1.0000 (1.0000..1.0000) **0.50x** [" in text
    assert "] another loss\n" in text
    assert "Inf-CL takes 0.50 of our time (another loss)" in text
    assert "- Inf-CL, supcon_loss" not in text  # of the errors
    # 2 x 10^6 x 128 operations in 2 ms, of 10^12 a second.
    head, line = (
        next(x for x in text.splitlines() if x.startswith(start)).split(" | ")
        for start in ("| op |", "| supcon_loss |")
    )
    assert line[head.index("ours: TFLOP/s")] == "0.1"
    assert line[head.index("ours: of matmul")] == "13%"


def test_columns_are_those_of_the_rows(bench: SimpleNamespace) -> None:
    t = bench.gpu_table
    absent = t.Cell(reason=f"triangle: {bench.gpu_peers.ABSENT}")
    case = bench.gpu_cases.cases(("feature_distance",), tiny=True)[0]
    table = t.Table([], 1.0, 2)
    table.rows.append(t.Row(case, peers={"triangle": absent}))
    head = next(x for x in table.markdown().splitlines() if x.startswith("| op |"))
    assert "triangle" not in head
    assert "TFLOP/s" not in head
    assert "Inf-CL" in head  # not asked for: that is said
    table.rows.append(t.Row(case_of(bench, (8, 16)), peers={"triangle": t.Cell()}))
    head = next(x for x in table.markdown().splitlines() if x.startswith("| op |"))
    assert "triangle" in head
    assert "TFLOP/s" in head


def test_tf32_is_allowed_while_its_case_is_measured(bench: SimpleNamespace) -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    with bench.gpu_timing.tf32(True):
        assert matmul.fp32_precision == "tf32"
        with bench.gpu_timing.tf32(False):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    assert matmul.fp32_precision == before


def test_a_dry_run_has_every_row(
    bench: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.gpu.main(["--dry-run", "--ops", "supcon_loss"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(x for x in lines if x.startswith("| op |")).split(" | ")
    assert head[-4:] == ["eager", "torch.compile", "triangle", "Inf-CL |"]
    rows = [x.split(" | ") for x in lines if x.startswith("| supcon_loss")]
    assert len(rows) == len(bench.gpu_cases.cases(("supcon_loss",), tiny=True))
    assert {len(row) for row in rows} == {len(head)}
    assert {row[3] for row in rows} == {"float32", "float32 (tf32)", "bfloat16", "float16"}
    assert {row[4] for row in rows} == {"labels", "samples"}
    assert all(row[6] == row[8] == "ran" for row in rows)
