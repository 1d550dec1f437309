"""The executor itself under AddressSanitizer with UBSan, and under ThreadSanitizer.

Right kernels run clean with the plain mode's bits, broken ones end the process with a report that
names the line. Each broken one needs a process of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.simt

Run = Callable[..., "CompletedProcess[str]"]


def numbers(count: int, kind: Any = np.float32) -> np.ndarray:
    return (np.random.default_rng(count).standard_normal(count) * 99).astype(kind)


# Name, input, numbers written, grid, block, dynamic shared memory.
RIGHT = [
    ("rotate", numbers(192), 192, 3, 64, 256),
    ("rotate_twice", numbers(192), 192, 3, 64, 0),
    ("rotate_twice", numbers(512), 512, 1, 512, 0),
    ("rotate_twice", numbers(1024), 1024, 1, 1024, 0),
    ("rotate_in_global", numbers(64), 128, 1, 64, 0),
    ("rotate_in_global", numbers(1024), 2048, 1, 1024, 0),
    ("rotate_in_warp", numbers(96), 96, 1, 96, 0),
    ("sums", numbers(256), 9, 1, 256, 0),
    ("coordinates", numbers(1, np.int32), 6 * 48, [2, 2, 2], [3, 2, 1], 0),
    ("shuffles", numbers(64, np.int32), 512, 1, 64, 0),
    ("wide_shuffles", numbers(32, np.int64), 192, 1, 32, 0),
    ("atomics", numbers(64, np.int32), 6, 1, 64, 0),
    ("copies", numbers(256), 256, 1, 32, 0),
    ("staged_sums", numbers(640), 32, 1, 32, 0),
    ("product_f16", numbers(640).astype(np.float16).view(np.uint16), 256, 1, 32, 0),
    ("product_bf16", numbers(640).astype(np.float16).view(np.uint16), 256, 1, 32, 0),
    ("product_tf32", numbers(320).view(np.uint16), 256, 1, 32, 0),
    ("keep_matrices", numbers(256, np.uint16), 256, 1, 32, 0),
    ("turn_matrices", numbers(256, np.uint16), 256, 1, 32, 0),
    ("fast_math", np.abs(numbers(32)), 256, 1, 32, 0),
]


@pytest.fixture
def run(simt: ModuleType, simt_build: Callable[[str], Path], tmp_path: Path) -> Run:
    """Run cases in a process of the mode."""

    def run(mode: str, cases: list[Any]) -> CompletedProcess[str]:
        done: CompletedProcess[str] = simt.run_in_mode(mode, simt_build(mode), cases, tmp_path)
        return done

    return run


def case(name: str, values: np.ndarray, count: int, *launch: Any) -> tuple[str, list[Any]]:
    return "sample", [name, values, count * values.itemsize, *launch]


@pytest.mark.parametrize("mode", ["address", "thread"])
def test_right_kernels_are_clean_and_give_the_same_bits(
    mode: str, run: Run, executor: Any, simt: ModuleType, tmp_path: Path
) -> None:
    right = [case(*sample) for sample in RIGHT]
    orders = ["forward", "reverse", "random"]
    cases = [c for order in orders for c in (("configure", [order, 3]), *right)]
    done = run(mode, cases)
    assert done.returncode == 0, done.stderr[-4000:]
    assert not re.search("ERROR|WARNING|runtime error", done.stderr)
    got = [result.tobytes() for result in simt.results(tmp_path)]
    expected = [executor.module.sample(*arguments).tobytes() for _, arguments in right]
    assert got == expected * len(orders)


# ---- ThreadSanitizer ---------------------------------------------------------------------------

# Name, threads, blocks, the function and texts of the two lines that race.
RACES = [
    ("missing_barrier", 64, 1, "missing_barrier", ("shared[rank()] =", "out[")),
    ("missing_barrier", 1024, 1, "missing_barrier", ("shared[rank()] =", "out[")),
    ("missing_second_barrier", 64, 1, "missing_second_barrier", ("shared[rank()] =", "value = sh")),
    ("missing_barrier_in_global", 64, 1, "rotate_by_global", ("out[rank()] =", "out[blockDim.x +")),
    ("missing_barrier_in_global", 1024, 1, "rotate_by_global", ("out[rank()] =", "out[blockDim.x")),
    ("missing_syncwarp", 32, 1, "missing_syncwarp", ("shared[rank()] =", "shared[rank() / 32")),
    ("global_race", 64, 1, "global_race", ("out[global_rank()] =", "out[(global_rank()")),
    ("race_between_blocks", 32, 2, "race_between_blocks", ("out[0] =", "out[0] =")),
    ("reads_the_block_before", 32, 2, "reads_the_block_before", ("out[global_rank()]", "if (bl")),
    ("pipeline_without_barrier", 32, 1, "pipeline", ("sum += tiles",)),
    ("pipeline_without_barrier_before_refill", 32, 1, "pipeline", ("sum += tiles",)),
]


@pytest.mark.parametrize(("name", "block", "grid", "function", "texts"), RACES)
def test_races_are_reported_at_their_lines(
    name: str, block: int, grid: int, function: str, texts: tuple[str, ...], run: Run, samples: Any
) -> None:
    count = 1 if name == "race_between_blocks" else block * grid * (1 + ("in_global" in name))
    done = run("thread", [case(name, numbers(max(640, block * grid)), count, grid, block, 0)])
    assert done.returncode == 66, done.stderr[-4000:]
    assert done.stderr.count("WARNING: ThreadSanitizer: data race") == 1
    for text in texts:
        assert f"/{samples.line(function, text)} " in done.stderr


# ---- AddressSanitizer and UBSan ----------------------------------------------------------------

POISONED = "ERROR: AddressSanitizer: use-after-poison"
OUT_OF_BOUNDS = [
    ("tile_off_by_one", np.float32, "sum += tile", POISONED),
    ("shared_write_out_of_bounds", np.float32, "reinterpret_cast", POISONED),
    ("global_read_out_of_bounds", np.float32, "in[rank() + 1]", POISONED),
    ("global_write_out_of_bounds", np.float32, "out[rank() + 1]", POISONED),
    ("atomic_out_of_bounds", np.int32, "atomicAdd", POISONED),
    ("copy_from_out_of_bounds", np.float32, "copy_off_by", POISONED),
    ("local_array_out_of_bounds", np.int32, "mine[in[rank()]]", "index 7 out of bounds for type"),
    ("overflows", np.int32, "* 3", "signed integer overflow"),
    ("null_pointer", np.float32, "none[rank()]", "load of null pointer"),
]


@pytest.mark.parametrize(("name", "kind", "text", "expected"), OUT_OF_BOUNDS)
def test_wrong_accesses_are_reported_at_their_line(
    name: str, kind: Any, text: str, expected: str, run: Run, samples: Any
) -> None:
    size = 128 if name.startswith("copy") else 32
    values = np.full(size, (1 << 30) if name == "overflows" else 7, kind)
    done = run("address", [case(name, values, 32, 1, 32, 128)])
    assert done.returncode != 0
    assert expected in done.stderr
    assert f"/{samples.line(name, text)}" in done.stderr


def test_dynamic_shared_memory_ends_at_its_last_byte(run: Run, samples: Any) -> None:
    done = run("address", [case("rotate", numbers(32), 32, 1, 32, 127)])
    assert done.returncode != 0
    assert POISONED in done.stderr
    assert f"/{samples.line('rotate', 'shared[rank()] =')}" in done.stderr


def test_what_nobody_wrote_reads_as_nan(run: Run, simt: ModuleType, tmp_path: Path) -> None:
    cases = [
        case("uninitialised_shared", numbers(32), 32, 1, 32, 0),
        case("missing_wait", numbers(128), 32, 1, 32, 0),
        case("reads_what_another_block_wrote", numbers(32), 128, 2, 32, 128),
    ]
    done = run("address", cases)
    assert done.returncode == 0, done.stderr[-4000:]
    shared, copied, blocks = (np.isnan(r.view(np.float32)) for r in simt.results(tmp_path))
    assert np.array_equal(shared, np.arange(32) == 31)
    assert copied.all()
    assert np.array_equal(blocks, np.arange(128) >= 64)


# ---- both --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["address", "thread"])
@pytest.mark.parametrize("name", ["divergent_barrier", "lanes_disagree", "copy_to_global"])
def test_the_executors_own_errors_come_through(
    mode: str, name: str, run: Run, executor: Any
) -> None:
    arguments = case(name, numbers(128), 32, 1, 32, 0)
    done = run(mode, [arguments])
    assert done.returncode == 1
    assert "Sanitizer" not in done.stderr
    with pytest.raises(executor.module.Error) as caught:
        executor.module.sample(*arguments[1])
    said = re.sub(r" \[code [0-9a-fx ]*\]", "", str(caught.value))
    assert f"fctfast_simt_{mode}.Error: {said}\n" in done.stderr


def test_cases_travel_as_they_are(simt: ModuleType, tmp_path: Path) -> None:
    given = case("rotate", numbers(8), 8, [1, 2, 3], 8, 32)
    simt._save(tmp_path / "cases.npz", [given])
    ((function, arguments),) = simt._load(tmp_path / "cases.npz")
    assert function == given[0]
    assert np.array_equal(arguments[1], given[1][1])
    assert json.dumps(arguments[2:]) == json.dumps(given[1][2:])
