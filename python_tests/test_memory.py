"""Freed memory is kept for the next step, or given back and faulted in again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from fctfast.memory import keep_freed_memory

kept = keep_freed_memory() if sys.argv[1] == "kept" else True
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(10 << 20, dtype=np.float32)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, how],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"},  # or 512 pages at a time, by luck
    )
    took_effect, number = map(int, done.stdout.split())
    if not took_effect:
        pytest.skip("C library: not glibc")
    return number


def test_pages_are_faulted_in_once() -> None:
    # 40 MiB ten times over, above what glibc keeps by itself (32 MiB).
    kept, given_back = faults("kept"), faults("given back")
    assert given_back > 90_000
    assert kept < 15_000
