"""bench/gpu.py without a GPU: dry run, refusals, formulas, and its clock on a fake device."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

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


@pytest.fixture(scope="module")
def bench(scripts: Any) -> Iterator[SimpleNamespace]:
    with scripts(MODULES) as made:
        yield made


OPS = ("contrastive_views", "fct_views", "feature_distance", "warp_distance", "supcon_loss")


def rows_of(table: str) -> list[str]:
    return [x for x in table.splitlines() if x.startswith(tuple(f"| {op}" for op in OPS))]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH / "gpu.py"), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_dry_run_runs_every_case_and_says_what_it_is_not(tmp_path: Path) -> None:
    out = tmp_path / "new" / "gpu.md"
    done = run("--dry-run", "--out", str(out))
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    label = "dry run on the CPU: no figure of this table means anything for a GPU"
    assert text.startswith(f"# {label}\n")
    assert "Unfinished" not in text
    assert "WRONG" not in text
    header = next(x for x in text.splitlines() if x.startswith("| op "))
    assert " ms" not in header
    assert "GB/s" not in header
    rows = rows_of(text)
    for op in OPS:
        assert any(x.startswith(f"| {op}") for x in rows)
    for op in (
        "feature_distance backward", "warp_distance backward bilinear",
        "supcon_loss forward+backward",
    ):  # fmt: skip
        assert any(x.startswith(f"| {op} ") for x in rows)
    assert all(x.split(" | ")[6] == "ran" for x in rows)  # eager
    assert "torch.compile: skipped in the dry run" in text
    assert "not asked for" not in text
    assert not list(out.parent.glob(".*"))  # no temporary file left


def test_some_cases_can_be_named(
    bench: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.gpu.main(["--dry-run", "--only", "48x16", "float32 labels"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert len(rows) == 2  # forward, and both ways; none in tf32
    assert all("48x16 | 2 | float32 | labels" in row for row in rows)
    assert bench.gpu.main(["--dry-run", "--only", "48x16", "int8"]) == 2
    assert "no case's label holds 48x16 and int8" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "no GPU: torch"),
    (["--device", "cpu"], "--dry-run"),
    (["--device", "nonsense"], "expected cuda or cuda:N"),
    (["--ops", "supcon_los"], "invalid choice"),
    (["--repeats", "0"], "expected at least 1"),
])  # fmt: skip
def test_refuses_with_a_reason(arguments: list[str], words: str) -> None:
    done = run(*arguments, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_refuses_to_pass_plain_torch_off_as_a_kernel(
    bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    dump = "CUDA: registered at /x/torch/library.py:940 :: (none) [ boxed ]"
    monkeypatch.setattr(torch._C, "_dispatch_dump", lambda name: dump)
    assert bench.gpu.main(["--ops", "warp_distance"]) == 2
    message = capsys.readouterr().err
    assert "warp_distance, warp_distance_backward would run in plain torch" in message
    assert "FCTFAST_CUDA=ON" in message
    cuda = torch.device("cuda")
    assert bench.gpu._refusal(cuda, ["warp_distance"], True) == ""
    dump = "CUDA: registered at /x/csrc/cuda/warp_distance.cu:65 :: (none) [ boxed ]"
    assert bench.gpu._refusal(cuda, ["warp_distance"], False) == ""
    assert "below cuda:1" in bench.gpu._refusal(torch.device("cuda:1"), ["warp_distance"], False)


def test_bytes_are_those_counted_by_hand(bench: SimpleNamespace) -> None:
    case, count = bench.gpu_cases.Case, bench.gpu_cases.bytes_to_move
    f32, bf16 = torch.float32, torch.bfloat16
    # 2 images of 4x5x3: 120 bytes; 2 draws x 2 views x 32; 3 x 120 elements of 2 bytes.
    assert count(case("fct_views", (2, 4, 5, 3), 2, bf16, "nchw", "nearest")) == 120 + 128 + 720
    # bilinear: 48 bytes a view; float32.
    assert count(case("fct_views", (2, 4, 5, 3), 2, f32, "nchw", "bilinear")) == 120 + 192 + 1440
    # 2 rows of 16 params for each image; 4 views of 3x3x3.
    views = case("contrastive_views", (2, 4, 5, 3), 2, bf16, "nchw", side=3)
    assert count(views) == 120 + 4 * 64 + 4 * 27 * 2
    # 15 rows = 3 samples, 4 draws; 15 x 20 x 4 bytes; 12 float32 scores.
    assert count(case("feature_distance", (15, 20), 4, f32, "rows")) == 1200 + 48
    # backward: rows read and written, the scores' gradient read.
    assert count(case("feature_distance", (15, 20), 4, f32, "rows", "", True)) == 2400 + 48
    # 2 x 3 x 4 x 4 x 2 bytes; 2 x 32 of coefficients; 2 scores.
    assert count(case("warp_distance", (2, 3, 4, 4), 1, bf16, "nchw", "nearest")) == 192 + 64 + 8
    made = count(case("warp_distance", (2, 3, 4, 4), 1, f32, "nchw", "bilinear", True))
    assert made == 2 * 384 + 96 + 8


def test_the_cases_are_those_promised(bench: SimpleNamespace) -> None:
    cases, ops = bench.gpu_cases.cases, bench.gpu_cases.OPS
    every = cases(ops)
    assert len(every) == len(set(every))
    shapes = {c.shape for c in every}
    assert {
        (512, 32, 32, 3), (64, 224, 224, 3), (256, 224, 224, 3), (257, 33, 47, 3), (2560, 512),
        (2560, 2048), (640, 512, 4, 4), (640, 512, 7, 7), (320, 2048, 7, 7), (512, 3, 32, 32),
        (64, 3, 224, 224), (256, 512, 4, 4), (64, 256, 256, 3), (1024, 128), (4096, 128),
        (8192, 128), (65536, 128), (1000, 123), (4096, 512),
    } == shapes  # fmt: skip
    views = {(c.draws, c.dtype_name, c.layout, c.interpolation) for c in cases(("fct_views",))}
    assert {v[0] for v in views} == {1, 4}
    assert {v[1] for v in views} == {"float32", "bfloat16", "float16"}
    assert {v[2] for v in views} == {"nchw", "channels_last"}
    assert {v[3] for v in views} == {"nearest", "bilinear"}
    quick = cases(ops, quick=True)
    assert 0 < len(quick) < len(every) / 2
    assert set(quick) <= set(every)
    assert {c.name for c in quick} == {c.name for c in every}


def test_statistics(bench: SimpleNamespace) -> None:
    stats = bench.gpu_timing.summarise([5.0, 1.0, 2.0, 4.0, 3.0], host_bound=1)
    assert (stats.median, stats.q1, stats.q3, stats.count) == (3.0, 2.0, 4.0, 5)
    assert stats.host_bound == 0.2
    alone = bench.gpu_timing.summarise([7.0])
    assert (alone.median, alone.q1, alone.q3) == (7.0, 7.0, 7.0)
    with pytest.raises(ValueError, match="at least one sample"):
        bench.gpu_timing.summarise([])


def test_a_wrong_result_is_seen(bench: SimpleNamespace) -> None:
    problems = bench.gpu_problems
    for case in bench.gpu_cases.cases(bench.gpu_cases.OPS, tiny=True):
        problem = problems.build(case, torch.device("cpu"))
        made = problem.kernel().contiguous()
        assert problems.compare(case, problem, made).share == 0
        last = made.view(-1)[-1:]
        last += 100
        assert problems.compare(case, problem, made).share > 0
        last.fill_(float("nan"))
        with pytest.raises(ValueError, match="not finite"):
            problems.compare(case, problem, made)
        if made.numel() > 1:  # a loss is one number, whatever its shape
            with pytest.raises(ValueError, match="expected"):
                problems.compare(case, problem, made[..., :1])


class FakeEvent:
    """An event of a device that finishes its work at once."""

    def __init__(self, enable_timing: bool) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def query(self) -> bool:
        return False

    def elapsed_time(self, end: FakeEvent) -> float:
        return (end.at - self.at) * 1e3


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough of torch.cuda for the timing code to run on CPU tensors."""

    def zero(*_: Any, **__: Any) -> int:
        return 0

    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "_sleep", zero)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**24, 2**24))
    for name in ("synchronize", "reset_peak_memory_stats", "memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, zero)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 2**30)


@pytest.mark.usefixtures("fake_cuda")
def test_a_timed_table_on_a_fake_device(bench: SimpleNamespace) -> None:
    cpu = torch.device("cpu")
    timer = bench.gpu_timing.Timer(cpu, 2**20, repeats=5)
    timer._buffer = timer._buffer[:1024]  # the CPU need not empty a cache
    bandwidth, copied = timer.copy_bandwidth()
    assert bandwidth > 0
    assert copied == 2**21
    wanted = ["eager", "kornia", "DALI"]
    every = bench.gpu_cases.cases(bench.gpu_cases.OPS, tiny=True)
    chosen = list({c.name: c for c in reversed(every)}.values())
    table = bench.gpu_table.Table(["- head", *bench.gpu._how(timer)], bandwidth, len(chosen))
    for case in chosen:
        table.rows.append(bench.gpu.measure(case, cpu, timer, wanted))
    text = table.markdown()
    assert not any(row.ours_failed for row in table.rows)
    header = next(x for x in text.splitlines() if x.startswith("| op "))
    rows = rows_of(text)
    assert len(rows) == len(chosen)
    assert {x.count("|") for x in rows} == {header.count("|")}
    for row, line in zip(table.rows, rows, strict=True):
        ratio = row.peers["eager"].stats.median / row.kernel.stats.median
        assert f"**{ratio:.2f}x**" in line
        rate = bench.gpu_cases.bytes_to_move(row.case) / row.kernel.stats.median / 1e6
        assert f"| {rate:,.0f} | {rate / bandwidth:.0%} |" in line
    assert "not asked for" in text  # torch.compile and torchvision: named all the same
    assert "DALI: " in text
    assert "Cases that a peer wins:" in text


@pytest.mark.usefixtures("fake_cuda")
def test_what_fails_stays_in_the_table(bench: SimpleNamespace) -> None:
    case = bench.gpu_cases.cases(("feature_distance",), tiny=True)[0]
    problem = bench.gpu_problems.build(case, torch.device("cpu"))

    def broken() -> Any:
        raise RuntimeError("out of memory\nand a long trace")

    cell = bench.gpu._cell(case, problem, broken, None)
    row = bench.gpu_table.Row(case, peers={"eager": cell})
    assert not row.ours_failed
    table = bench.gpu_table.Table([], 1.0, 2)
    table.rows.append(row)
    assert "[1] failed: RuntimeError: out of memory\n" in table.markdown()
    assert "Unfinished: 1 of 2 rows" in table.markdown()
    row.kernel = bench.gpu._cell(case, problem, lambda: bench.gpu_peers.Peer(broken), None)
    assert row.ours_failed
    assert "**WRONG** none [" in table.markdown()


def test_a_lost_case_is_listed(bench: SimpleNamespace) -> None:
    t, s = bench.gpu_table, bench.gpu_timing.summarise
    case = bench.gpu_cases.cases(("fct_views",), tiny=True)[0]
    peers = {"eager": t.Cell(stats=s([1.0])), "DALI": t.Cell(stats=s([6.0], clock="wall"))}
    row = t.Row(case, kernel=t.Cell(stats=s([2.0])), wall=s([3.0]), peers=peers)
    assert t.ratio_to(row.peers["eager"], row) == 0.5
    assert t.ratio_to(row.peers["DALI"], row) == 2.0  # wall clock against wall clock
    table = t.Table([], 1.0, 1)
    table.rows.append(row)
    lost = table.markdown().split("Cases that a peer wins:")[1]
    assert "eager takes 0.50 of our time" in lost
    assert "DALI" not in lost
