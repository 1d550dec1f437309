"""The executor itself: bounds, what was written, cp.async, atomics (the plain mode's checks)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.simt


def numbers(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal(count).astype(np.float32)


# Kernel, size of its input, what the message says after the thread, and at which line.
BROKEN = [
    ("missing_barrier", 32, "reads 4 bytes that nobody has written: byte 4 of shared memory "
     "`shared` of 4096 bytes", "out["),
    ("missing_barrier_in_global", 32, "reads 4 bytes that nobody has written: byte 4 of buffer "
     "`out` of 256 bytes", "rotate_by_global"),
    ("tile_off_by_one", 32, "reads 4 bytes out of bounds: 1 bytes past shared memory `tile` of 128 "
     "bytes", "sum += tile"),
    ("shared_write_out_of_bounds", 32, "writes 4 bytes out of bounds: 1 bytes past shared memory "
     "`dynamic` of 128 bytes", "reinterpret_cast"),
    ("global_read_out_of_bounds", 32, "reads 4 bytes out of bounds: 1 bytes past buffer `in` of "
     "128 bytes", "in[rank() + 1]"),
    ("global_write_out_of_bounds", 32, "writes 4 bytes out of bounds: 1 bytes past buffer `out` of "
     "128 bytes", "out[rank() + 1]"),
    ("writes_its_input", 32, "writes 4 bytes of a read-only buffer: byte 0 of buffer `in`",
     "const_cast"),
    ("misaligned", 32, "accesses 16 bytes at an address that is no multiple of them: byte 4 of "
     "buffer `in`", "load("),
    ("null_pointer", 32, "reads 4 bytes through a null pointer", "none[rank()]"),
    ("uninitialised_shared", 32, "reads 4 bytes that nobody has written: byte 128 of shared memory "
     "`shared` of 256 bytes", "shared[rank() + 1]"),
    ("reads_its_output", 32, "reads 4 bytes that nobody has written: byte 0 of buffer `out`", "+="),
    ("missing_wait", 128, "reads 4 bytes of a cp.async that was not waited for: byte 0 of shared "
     "memory `shared` of 512 bytes", "out[rank()]"),
    ("never_waits", 128, "exits with a cp.async that it never waited for", None),
    ("pipeline_without_wait", 640, "reads 4 bytes of a cp.async that was not waited for: byte 0 of "
     "shared memory `tiles` of 1024 bytes", "pipeline<"),
    ("pipeline_without_last_wait", 640, "of a cp.async that was not waited for: byte 0",
     "pipeline<"),
    ("pipeline_without_commit", 640, "of a cp.async that was not waited for: byte 0", "pipeline<"),
    ("pipeline_without_barrier", 640, "reads 4 bytes that nobody has written: byte 128 of shared "
     "memory `tiles`", "pipeline<"),
    ("pipeline_without_barrier_before_refill", 640, "reads 4 bytes of a cp.async that was not "
     "waited for: byte 4 of shared memory `tiles`", "pipeline<"),
    ("copy_from_misaligned", 132, "accesses 16 bytes at an address that is no multiple of them: "
     "byte 4 of buffer `in`", "copy_off_by"),
    ("copy_to_misaligned", 128, "accesses 16 bytes at an address that is no multiple of them: "
     "byte 8 of shared memory `shared`", "copy_off_by"),
    ("copy_from_out_of_bounds", 128, "reads 1 bytes out of bounds: 1 bytes past buffer `in` of 512 "
     "bytes", "copy_off_by"),
    ("copy_to_out_of_bounds", 128, "calls cp.async on 1 bytes past shared memory `shared` of 512 "
     "bytes, where shared memory is expected", "copy_off_by"),
    ("copy_to_global", 128, "calls cp.async on byte 0 of buffer `out` of 128 bytes, where shared "
     "memory is expected", "copy_async_16"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "size", "expected", "text"), BROKEN)
def test_broken_kernels(
    name: str, size: int, expected: str, text: str | None, executor: Any, samples: Any
) -> None:
    count = 64 if name == "missing_barrier_in_global" else 32
    said = executor.error(name, numbers(size), shared=128, count=count)
    first, *states = said.split("\n")
    assert first.startswith("thread (")
    assert expected in first
    if text is not None:
        assert f"{samples.line(name, text)}]" in first
    listed = [int(n) for line in states for n in line.split(":")[0].split()[1].split("-")[:1]]
    assert listed[0] == 0
    assert sum(line.endswith(": running") for line in states) == 1, "it says which one failed"


def test_a_hole_in_the_output(executor: Any) -> None:
    said = executor.error("leaves_a_hole", numbers(32))
    assert said == "the kernel never wrote byte 20 of buffer `out` of 128 bytes"


def test_dynamic_shared_memory_is_exactly_what_was_launched(executor: Any, samples: Any) -> None:
    values = numbers(32)
    assert np.array_equal(executor.run("rotate", values, shared=128), np.roll(values, -1))
    for size in (127, 125, 124, 0):
        said = executor.error("rotate", values, shared=size)
        # The last byte of an access that starts inside, the first of one that does not.
        past = 1 if size % 4 == 0 else 128 - size
        where = f"{past} bytes past shared memory `dynamic` of {size} bytes"
        assert f"writes 4 bytes out of bounds: {where}" in said
        assert samples.line("rotate", "shared[rank()] =") in said


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_shared_memory_is_poisoned_again_for_every_block(order: str, executor: Any) -> None:
    launch = {"block": 32, "shared": 128}
    name, values = "reads_what_another_block_wrote", numbers(32)
    got = executor.run(name, values, count=64, **launch)
    assert np.array_equal(got.reshape(32, 2), np.stack([values, values], 1))
    executor.configure(order=order)
    said = executor.error(name, values, grid=2, count=128, **launch)
    assert "of block (1, 0, 0) reads 4 bytes that nobody has written" in said
    assert "of shared memory `array` of 128 bytes" in said


def test_traffic_is_counted(executor: Any) -> None:
    executor.module.take_traffic()
    executor.run("rotate", numbers(64), grid=2, shared=128)
    assert executor.module.take_traffic() == {
        "global_read": 256, "global_written": 256, "shared_read": 256, "shared_written": 256,
        "atomics": 0,
    }  # fmt: skip
    assert set(executor.module.take_traffic().values()) == {0}


# ---- cp.async ----------------------------------------------------------------------------------


def test_copies_arrive_and_end_in_zeros(executor: Any) -> None:
    values = numbers(256)
    got = executor.in_every_order("copies", values, count=256).reshape(32, 8)
    rows = values.reshape(32, 8)
    second = np.roll(rows[:, 4:], -1, axis=0) * [1, 1, 0, 0]  # 8 of its 16 bytes
    assert np.array_equal(got, np.concatenate([rows[:, :4], second], 1))


def test_two_stages_of_copies(executor: Any) -> None:
    values = np.arange(640, dtype=np.float32)
    got = executor.in_every_order("staged_sums", values)
    assert np.array_equal(got, values.reshape(20, 32).sum(0))


def test_ldmatrix_reads_aligned_shared_memory(executor: Any, samples: Any) -> None:
    values = np.arange(256, dtype=np.uint16)
    said = executor.error("matrices_misaligned", values)
    assert "accesses 16 bytes at an address that is no multiple of them: byte 8 of shared" in said
    assert f"{samples.line('matrices_misaligned', 'load_matrices_at')}]" in said
    said = executor.error("matrices_from_global", values)
    assert "calls ldmatrix on byte 0 of buffer `in` of 512 bytes, where shared memory is" in said


# ---- atomics -----------------------------------------------------------------------------------


def test_atomics(executor: Any) -> None:
    values = np.random.default_rng(0).integers(-99, 99, 512, dtype=np.int32)
    executor.module.take_traffic()
    got = executor.in_every_order("atomics", values, block=512, count=6)
    assert executor.module.take_traffic()["atomics"] > 0
    total = got[1:2].view(np.float32)[0]
    # The maximum starts at 0, the minimum at 2^30; sums of whole numbers are exact.
    expected = [512, got[1], max(values.max(), 0), values.min(), 5, 9]
    assert np.array_equal(got, expected)
    assert total == values.sum()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "atomic_out_of_bounds",
            "Add(",
            "updates 4 bytes out of bounds: 1 bytes past buffer",
        ),
        (
            "atomic_on_its_input",
            "Max(",
            "updates 4 bytes of a read-only buffer: byte 0",
        ),
        ("atomic_on_nothing", "Add(", "updates 4 bytes that nobody has written: byte 0 of buffer"),
    ],
)
def test_broken_atomics(name: str, text: str, expected: str, executor: Any, samples: Any) -> None:
    said = executor.error(name, np.ones(32, np.int32))
    assert expected in said
    assert f"[{samples.line(name, text)}]" in said
