"""The executor itself: launches, the order of threads and blocks, barriers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.simt

NONE = np.zeros(1, np.int32)


def numbers(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal(count).astype(np.float32)


# ---- right kernels -----------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 32, 50, 1024])
@pytest.mark.parametrize(("name", "turns"), [("rotate", 1), ("rotate_twice", 2)])
def test_neighbours_by_shared_memory(name: str, turns: int, block: int, executor: Any) -> None:
    values = numbers(3 * block)
    got = executor.in_every_order(name, values, grid=3, block=block, shared=4 * block)
    assert np.array_equal(got.reshape(3, -1), np.roll(values.reshape(3, -1), -turns, axis=1))


def test_neighbours_by_global_memory_and_within_warps(executor: Any) -> None:
    values = numbers(96)
    got = executor.in_every_order("rotate_in_global", values, block=96, count=192)
    assert np.array_equal(got.reshape(2, 96), [values, np.roll(values, -1)])
    got = executor.in_every_order("rotate_in_warp", values, block=96)
    assert np.array_equal(got.reshape(3, 32), np.roll(values.reshape(3, 32), -1, axis=1) + 1)


def test_the_kernels_own_sums(executor: Any) -> None:
    values = np.arange(256, dtype=np.float32)  # every partial sum is exact
    got = executor.in_every_order("sums", values, block=256, count=9)
    assert np.array_equal(got, [*3 * values.reshape(8, 32).sum(1), values.sum()])


def test_every_thread_knows_where_it_is(executor: Any) -> None:
    grid, block = (3, 2, 4), (5, 3, 2)
    got = executor.in_every_order("coordinates", NONE, grid=grid, block=block, count=24 * 30 * 6)
    expected = np.indices((*grid[::-1], *block[::-1])).reshape(6, -1)[[2, 1, 0, 5, 4, 3]].T
    assert np.array_equal(got.reshape(-1, 6), expected)


# ---- order -------------------------------------------------------------------------------------


def turns(executor: Any, **settings: Any) -> np.ndarray:
    """[2, 100]: when each thread of a block came, before a barrier and after it."""
    executor.configure(**settings)
    got: np.ndarray = executor.run("turns", NONE, block=100, count=200)
    return got.reshape(100, 2).T


def test_threads_run_forward_in_reverse_and_at_random(executor: Any) -> None:
    assert np.array_equal(turns(executor), [np.arange(100)] * 2)
    assert np.array_equal(turns(executor, order="reverse"), [np.arange(100)[::-1]] * 2)
    first = turns(executor, order="random", seed=1)
    assert np.array_equal(np.sort(first, axis=1), [np.arange(100)] * 2)
    assert not np.array_equal(first[0], first[1]), "shuffled again after the barrier"
    assert np.array_equal(first, turns(executor, order="random", seed=1))
    assert not np.array_equal(first, turns(executor, order="random", seed=2))


@pytest.mark.parametrize("blocks", [1, 2, 3, 10, 97])
def test_every_order_runs_every_block(blocks: int, executor: Any) -> None:
    got = executor.in_every_order("coordinates", NONE, grid=blocks, block=1, count=6 * blocks)
    assert np.array_equal(got[::6], np.arange(blocks))


def test_a_block_that_needs_the_one_before_it(executor: Any, samples: Any) -> None:
    launch = {"grid": 8, "block": 32}
    executor.run("reads_the_block_before", numbers(256), **launch)  # by luck
    for order in ("reverse", "random"):
        executor.configure(order=order)
        said = executor.error("reads_the_block_before", numbers(256), **launch)
        assert "reads 4 bytes that nobody has written: byte " in said
        assert f"[{samples.line('reads_the_block_before', 'if (blockIdx')}]" in said


# ---- launches ----------------------------------------------------------------------------------


def test_a_large_grid(executor: Any) -> None:
    got = executor.run("coordinates", NONE, grid=70_000, block=1, count=6 * 70_000)
    assert np.array_equal(got[::6], np.arange(70_000))
    got = executor.run("coordinates", NONE, grid=(1, 65_535, 1), block=1, count=6 * 65_535)
    assert np.array_equal(got[1::6], np.arange(65_535))


@pytest.mark.parametrize(
    ("launch", "expected"),
    [
        ({"block": 0}, "expected 1 to 1024 threads a block, got 0"),
        ({"block": 1025}, "expected 1 to 1024 threads a block, got 1025"),
        ({"block": (32, 32, 2)}, "expected 1 to 1024 threads a block, got 2048"),
        ({"block": (1, 1, 65)}, "expected block.z of at most 64, got 65"),
        ({"grid": 0}, "expected a grid of at least one block"),
        ({"grid": (1, 1, 0)}, "expected a grid of at least one block"),
        ({"grid": 1 << 31}, "expected grid.x of at most 2147483647, got 2147483648"),
        ({"grid": (1, 65_536, 1)}, "expected grid.y and grid.z of at most 65535, got 65536 and 1"),
        ({"grid": (1, 1, 65_536)}, "expected grid.y and grid.z of at most 65535, got 1 and 65536"),
        ({"shared": 232_449}, "expected at most 232448 bytes of dynamic shared memory, got 232449"),
    ],
)
def test_launch_limits(launch: dict[str, Any], expected: str, executor: Any) -> None:
    assert executor.error("rotate", numbers(32), count=32, **launch) == f"launch: {expected}"


def test_limits_of_shared_memory(executor: Any, samples: Any) -> None:
    said = executor.error("too_much_static_shared", numbers(32))
    declared = samples.line("too_much_static_shared", "FCT_SHARED")
    assert f"declares 65536 bytes of static shared memory, more than 49152 [{declared}]" in said
    # Static and dynamic together: rotate_twice has 4096 bytes of its own.
    values = numbers(32)
    executor.run("rotate_twice", values, shared=(227 << 10) - 4096)
    said = executor.error("rotate_twice", values, shared=(227 << 10) - 4095)
    assert "needs 232449 bytes of shared memory, more than 232448" in said
    executor.configure(static_shared_limit=4095)
    said = executor.error("rotate_twice", values)
    assert "declares 4096 bytes of static shared memory, more than 4095" in said
    executor.configure(shared_limit=64 << 10)
    said = executor.error("rotate", values, shared=(64 << 10) + 1)
    assert said == "launch: expected at most 65536 bytes of dynamic shared memory, got 65537"


def test_an_unknown_setting_is_refused(executor: Any) -> None:
    for setting in ({"order": "sideways"}, {"mma": "sideways"}):
        with pytest.raises(ValueError, match="unknown setting: sideways"):
            executor.configure(**setting)


# ---- barriers ----------------------------------------------------------------------------------


def test_threads_at_different_barriers(executor: Any, samples: Any) -> None:
    first = samples.line("divergent_barrier", "__syncthreads")
    second = samples.line("divergent_barrier", "__syncthreads();\n  }\n  out")
    assert first != second
    assert executor.error("divergent_barrier", numbers(8), block=6) == (
        "block (0, 0, 0): threads wait at different barriers"
        f"\n  threads 0, 2, 4: at __syncthreads, {first}"
        f"\n  threads 1, 3, 5: at __syncthreads, {second}"
    )


def test_an_exit_before_a_barrier_that_others_wait_at(executor: Any, samples: Any) -> None:
    barrier = samples.line("exit_before_barrier", "__syncthreads")
    for order in ("forward", "reverse", "random"):
        executor.configure(order=order)
        assert executor.error("exit_before_barrier", numbers(64), block=64) == (
            "block (0, 0, 0): a thread exited before a barrier others wait at"
            f"\n  threads 0-39: at __syncthreads, {barrier}"
            "\n  threads 40-63: exited"
        )


def test_a_barrier_that_only_a_subset_reaches(executor: Any, samples: Any) -> None:
    place = [samples.line("barrier_against_warp", text) for text in ("__syncthreads", "__syncwarp")]
    assert executor.error("barrier_against_warp", numbers(64), block=64) == (
        "block (0, 0, 0): some threads wait at a barrier while others wait in their warp"
        f"\n  threads 0-31: at __syncthreads, {place[0]}"
        f"\n  threads 32-47: in __syncwarp, mask 0xffffffff, {place[1]}"
        "\n  threads 48-63: exited"
    )


def test_an_error_leaves_nothing_behind(executor: Any) -> None:
    values = numbers(64)
    for broken in ("divergent_barrier", "lanes_disagree", "missing_barrier", "never_waits"):
        executor.error(broken, np.tile(values, 4), block=64)
        got = executor.run("rotate", values, block=64, shared=256)
        assert np.array_equal(got, np.roll(values, -1))
