"""What a step of D-ST spends outside the network, and what the loss costs: the scripts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
Scripts = Callable[[Sequence[str]], Any]


def test_the_share_of_a_step_is_that_of_its_parts(
    scripts: Scripts, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripts(["step_share"]) as bench:
        assert bench.step_share.main(["--rounds", "1"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: row[1:] for row in rows if row[0] in ("before (PIL, N x N)", "with our ops")}
    assert len(table) == 2
    for cells in table.values():
        loader, views, loss, network = map(float, cells[:4])
        assert min(loader, views, loss, network) > 0
        outside = loader + views + loss
        assert float(cells[4].rstrip("%")) == pytest.approx(
            100 * outside / (outside + network), abs=0.2
        )


def test_memory_of_the_loss_is_measured() -> None:
    grown = {}
    for name in ("eager", "ours"):  # of the matrix alone 64 MB
        command = [sys.executable, BENCH / "supcon_costs.py", "--one", name, "4096"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        grown[name] = float(done.stdout)
    assert grown["ours"] < 64 < grown["eager"]


def test_errors_of_the_loss_are_measured(scripts: Scripts) -> None:
    with scripts(["supcon_costs"]) as bench:
        found = bench.supcon_costs.errors(256, 0.3)
    assert found["float32"]["ours"] < 1e-5
    for dtype in ("bfloat16", "float16"):
        assert 0 < found[dtype]["ours"] <= 0.1 * found[dtype]["eager"]
