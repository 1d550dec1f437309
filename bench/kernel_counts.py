"""Counts what a kernel's threads ask for, by running it on the executor (csrc/simt) on the CPU."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from gpu_cases import LAST, Case
from gpu_peers import MEAN, STD
from kernel_contrastive import params_of
from kernel_model import data_loads, table_stores

from fctfast import ops

CHECKOUT = Path(__file__).resolve().parents[1]
_SMALL = 1 << 17  # elements that a counted run reads at most, if one sample is not more


@dataclass(frozen=True)
class Count:
    """What the threads of a kernel ask for, in bytes.

    Attributes:
        data: loads of images, features or maps.
        other: loads of coefficients or params, of the distances' gradient, and of the sums that one
            kernel leaves to the next.
        written: stores to global memory.
        shared: stores to shared memory; of fct_views by formula, which the run confirms.
        factor: the batch of the case over the batch that ran.
    """

    data: int
    other: int
    written: int
    shared: int
    factor: int


class Counter:
    """Runs cases on the executor, scaled down in their batch alone."""

    def __init__(self, build: Path) -> None:
        """Build and load the executor; `build` is the folder for that.

        Raises:
            RuntimeError: it cannot be built here.
        """
        tools = CHECKOUT / "csrc" / "simt"
        if not (tools / "harness.py").is_file():
            raise RuntimeError("no csrc/simt/harness.py: run this from a checkout")
        if str(tools) not in sys.path:
            sys.path.insert(0, str(tools))
        harness: Any = importlib.import_module("harness")
        self._ops = importlib.import_module("served_ops").Ops(harness.build("plain", build))
        self.module: ModuleType = self._ops.module

    def count(self, case: Case) -> Count:
        """Count a case's accesses from a run of its first samples.

        The same samples twice must give twice the bytes; only then are they scaled up. The tables
        of fct_views grow with its blocks and not with the batch: they must be as many as the model
        says in both runs.

        Raises:
            RuntimeError: the bytes do not grow with the batch, or the tables are others.
        """
        batch = _counted_batch(case)
        small, words = _scaled(case, batch), _coefficients(case, batch)
        twice = _scaled(case, 2 * batch)
        one, two = self._traffic(small, words), self._traffic(twice, torch.cat([words, words], 1))
        views = case.op == "fct_views"
        if views:
            made = one.pop("shared_written"), two.pop("shared_written")
            if made != (table_stores(small), table_stores(twice)):
                raise RuntimeError(f"{case.label}: other tables than the model's: {made} bytes")
        if any(two[name] != 2 * bytes_ for name, bytes_ in one.items()):
            raise RuntimeError(f"{case.label}: {one} do not double with the batch: {two}")
        factor = case.batch // batch
        data = data_loads(small, words)
        return Count(
            data * factor,
            (one["global_read"] - data) * factor,
            one["global_written"] * factor,
            table_stores(case) if views else one["shared_written"] * factor,
            factor,
        )

    def _traffic(self, case: Case, words: Any) -> dict[str, int]:
        made = torch.Generator().manual_seed(0)
        self.module.take_traffic()
        if case.op == "fct_views":
            images = torch.randint(0, 256, case.shape, dtype=torch.uint8, generator=made)
            self._ops.fct_views(
                images, words, MEAN, STD, True, case.dtype, case.layout == LAST, True
            )
        elif case.op == "contrastive_views":
            images = torch.randint(0, 256, case.shape, dtype=torch.uint8, generator=made)
            self._ops.contrastive_views(
                images, words.flatten(0, 1), MEAN, STD, case.side, case.side, True, case.dtype,
                case.layout == LAST,
            )  # fmt: skip
        else:
            x = torch.randn(case.shape, generator=made).to(case.dtype)
            grad = torch.randn(case.draws, case.batch, generator=made)
            given = (grad, x) if case.backward else (x,)
            run = getattr(self._ops, case.op + ("_backward" if case.backward else ""))
            if case.op == "feature_distance":
                run(*given, case.draws, False)
            else:
                run(*given, words, [0.0] * case.shape[1], False)
        traffic: dict[str, int] = self.module.take_traffic()
        return traffic


def _counted_batch(case: Case) -> int:
    """The largest power of two of samples that is small enough and divides the batch."""
    elements = torch.Size(case.shape).numel() // case.batch * (1 + case.draws)
    batch = 1
    while case.batch % (2 * batch) == 0 and 2 * batch * elements <= _SMALL:
        batch *= 2
    return batch


def _scaled(case: Case, batch: int) -> Case:
    rows = case.shape[0] // case.batch * batch
    return replace(case, shape=(rows, *case.shape[1:]))


def _coefficients(case: Case, batch: int) -> torch.Tensor:
    if case.op == "contrastive_views":
        return params_of(_scaled(case, batch))
    if not case.interpolation:
        return torch.empty(case.draws, batch, 8, dtype=torch.int32)
    size = case.shape[1:3] if case.op == "fct_views" else case.shape[2:]
    params = ops.sample_rotate_affine(
        torch.arange(batch), 0, range(case.draws), 180.0, (0.2, 0.2), size
    )
    words: torch.Tensor = torch.ops.fctfast.affine_coefficients(
        params, *size, case.interpolation == "bilinear"
    )
    return words


def compiler() -> str:
    """Name and major version of the compiler that counts."""
    found = shutil.which("g++")
    if found is None:
        return "no g++"
    done = subprocess.run(  # noqa: S603
        [found, "-dumpversion"], capture_output=True, text=True, check=True
    )
    return f"g++ {done.stdout.strip()}"
