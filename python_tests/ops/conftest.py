"""What every op's tests share: the devices they run on and the checks every op passes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

# CUDA only where there is a GPU, so that elsewhere no test is skipped for each op and shape; one
# test (test_library.py) says in its skip that the device was missing. "simt" runs the CUDA kernels'
# own source on the CPU (csrc/simt).
_GPU = torch.cuda.is_available()
DEVICES = ["cpu", pytest.param("simt", marks=pytest.mark.simt)]
DEVICES += [pytest.param("cuda", marks=pytest.mark.cuda)] if _GPU else []


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each device an op runs on: one decorator gives a test its CUDA variants."""
    if request.param != "simt":
        yield str(request.param)
        return
    ops = request.getfixturevalue("simt_ops")
    # Every test meets its own order of threads, the same in every run.
    ops.module.configure(order="random", seed=zlib.crc32(request.node.nodeid.encode()))
    with ops.installed():
        yield "cpu"
    ops.module.configure()


@pytest.fixture
def assert_close_to_reference() -> Callable[..., None]:
    """The op's error against float64 is at most the plain op's in the same dtype, plus a bound."""

    def check(ours: Tensor, plain: Tensor, exact: Tensor, bound: float) -> None:
        assert ours.shape == plain.shape == exact.shape
        scale = exact.abs().max().clamp_min(1e-12)
        ours_error = (ours.double() - exact).abs() / scale
        plain_error = float(((plain.double() - exact).abs() / scale).max()) if plain.numel() else 0
        allowed = plain_error + bound
        assert plain_error < 1.0
        if not bool((ours_error <= allowed).all()):  # NaN is not <= anything
            worst = int(ours_error.argmax())
            raise AssertionError(
                f"element {worst}: ours {ours.flatten()[worst].item()}, exact "
                f"{exact.flatten()[worst].item()}, error {ours_error.max().item():.3g} > "
                f"{allowed:.3g} (plain torch {plain_error:.3g} + {bound:.3g})"
            )

    return check


def supported_instruction_sets() -> list[str]:
    """What the processor can run, by its own word and not by that of the library."""
    capability = torch.backends.cpu.get_cpu_capability()
    above = {"AVX512": ["avx2", "avx512"], "AVX2": ["avx2"]}.get(capability, [])
    return ["baseline", *above]


@pytest.fixture(scope="session")
def run_with_isa() -> Callable[[str, str], str]:
    """Run a Python snippet with another instruction set's kernels; returns what it printed."""

    @functools.cache
    def run(code: str, isa: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "FCTFAST_ISA": isa},
            capture_output=True,
            text=True,
            check=False,
            cwd=os.path.expanduser("~"),
        )
        if isa not in supported_instruction_sets():
            pytest.skip(f"instruction set: this processor has no {isa}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
