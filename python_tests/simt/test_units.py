"""Shared memory that a block's next unit of work takes over: races that only small grids show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fctfast.ops  # noqa: F401  (registers affine_coefficients)

pytestmark = pytest.mark.simt


def units(name: str) -> list[Any]:
    """A call whose work is several units of a whole block each."""
    op, *variant = name.split(" ")
    made = np.random.default_rng(0)
    if op == "feature_distance":
        rows = made.standard_normal((3 * 2, 300 * 16), dtype=np.float32)
        return [rows, 1, 300, 16, True, "float32", 1.0, None]
    if op == "supcon_loss":  # backward: every unit has scratch of its warps, and tiles in turn
        z, group = made.standard_normal((200, 40), dtype=np.float32), np.arange(200) % 7
        statistics = np.column_stack([np.full(200, 8.0), np.full(200, 28.0)])
        how = [0, 200, 0.1, 0.07, "float32", False, False]
        if variant:  # forward: pairs of blocks of 128 and 72 rows
            return [z, group, *how, (1, 128), 0, None, None]
        return [z, group, *how, (4096, 0), 0, statistics, np.ones(1, np.float32)]
    params = torch.tensor([[[30.0, 1.0, -1.0]] * 3])
    words = torch.ops.fctfast.affine_coefficients(params, 16, 16, False).numpy()
    if op == "fct_views":
        images = made.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
        return [images, words, [0.5] * 3, [0.25] * 3, True, "float32", False, True]
    x = made.standard_normal((3, 2, 16, 16), dtype=np.float32)
    return [x, words, [0.0, 0.0], "float32", 1.0, None]


@pytest.mark.parametrize("mode", ["thread"])
@pytest.mark.parametrize(
    "name",
    ["fct_views", "feature_distance", "supcon_loss", "supcon_loss triangle", "warp_distance"],
)
def test_no_race_between_the_units_of_one_block(
    name: str, mode: str, simt: ModuleType, simt_build: Callable[[str], Path], tmp_path: Path
) -> None:
    one_block = ("configure", ["forward", 0, "ascending", 0.0, 1])
    calls = [one_block, (name.split(" ", maxsplit=1)[0], units(name))]
    done = simt.run_in_mode(mode, simt_build(mode), calls, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
