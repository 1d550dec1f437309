"""The executor itself: shuffles, votes and the masks they are called with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.simt

LANES = np.arange(32)


def test_shuffles_and_votes_against_numpy(executor: Any) -> None:
    for block in (32, 96):
        values = np.random.default_rng(block).integers(0, 1000, (block // 32, 32), dtype=np.int32)
        got = executor.in_every_order("shuffles", values, block=block, count=8 * block)
        ballot = ((values % 2 != 0) << LANES).sum(1)
        expected = np.stack(
            [
                values[:, (LANES + 5) % 32],  # a source lane counts modulo the width
                values[:, np.where(LANES % 16 >= 3, LANES - 3, LANES)],
                values[:, np.where(LANES % 16 < 13, LANES + 3, LANES)],
                values[:, LANES ^ 9],
                np.broadcast_to(ballot[:, None], values.shape),
                np.broadcast_to((values == 7).any(1)[:, None], values.shape),
                np.ones_like(values),
                values[:, np.where(LANES < 16, LANES ^ 1, LANES ^ 2)],
            ],
            axis=2,
        )
        assert np.array_equal(got.view(np.uint32).reshape(expected.shape), expected & 0xFFFFFFFF)


def test_votes_see_every_lane_and_no_other(executor: Any) -> None:
    values = np.full(32, 2, np.int32)
    for only in (0, 31):
        one = values.copy()
        one[only] = 7
        got = executor.run("shuffles", one, count=256).reshape(32, 8)
        assert (got[:, 5] == 1).all(), "any"
        one[only] = -1
        got = executor.run("shuffles", one, count=256).reshape(32, 8)
        assert (got[:, 6] == 0).all(), "all"
        assert (got[:, 4].view(np.uint32) == 1 << only).all(), "ballot"
    assert (executor.run("shuffles", values, count=256).reshape(32, 8)[:, 5] == 0).all()


def test_eight_bytes_widths_and_masks_with_holes(executor: Any) -> None:
    values = np.random.default_rng(0).integers(-9, 9, 32) + (1 << 40) * (LANES % 3 - 1)
    got = executor.in_every_order("wide_shuffles", values, count=192).reshape(32, 6)
    odd = LANES % 2 != 0
    votes = ((values > 0) & odd) << LANES
    assert np.array_equal(got[:, 0], values[LANES // 8 * 8 + 3])
    # Of xor with a width, lanes of later groups are out of reach, those of earlier ones are not.
    partner = LANES ^ 12
    assert np.array_equal(got[:, 1], values[np.where(partner // 8 > LANES // 8, LANES, partner)])
    assert np.array_equal(got[:, 2], values[np.where(LANES < 2, LANES + 30, LANES)])
    assert np.array_equal(got[:, 3], values[np.where(LANES == 31, 0, LANES)])
    assert np.array_equal(got[:, 4], np.where(odd, values[np.maximum(LANES - 2, LANES % 2)], -1))
    all_of = (values[odd] > 0).all()
    word = 4 * votes.sum() + 2 * all_of + (values[odd] > 9).any()
    assert np.array_equal(got[:, 5], np.where(odd, word, -1))


# Kernel, order, what the message says; {text} stands for that text's line.
WRONG_MASKS = [
    ("mask_without_itself", "reverse", "thread (31, 0, 0) of block (0, 0, 0) calls "
     "__shfl_down_sync with mask 0xffff, which leaves out its own lane 31 ({__shfl_down_sync})"),
    ("syncwarp_without_itself", "forward", "calls __syncwarp with mask 0x7fffffff, which leaves "
     "out its own lane 31 ({__syncwarp})"),
    ("mask_of_half", "forward", "block (0, 0, 0): a warp waits for lanes that do not come\n"
     "  threads 0-15: in __shfl_xor_sync, mask 0xffffffff, {__shfl_xor_sync}\n"
     "  threads 16-31: exited"),
    ("mask_of_half", "reverse", "calls __shfl_xor_sync with mask 0xffffffff, but lane 16 has "
     "exited ({__shfl_xor_sync})"),
    ("mask_of_an_exited_lane", "forward", "a warp waits for lanes that do not come\n"
     "  threads 0-30: in __syncwarp, mask 0xffffffff, {__syncwarp}\n  threads 31: exited"),
    ("mask_of_an_exited_lane", "reverse", "calls __syncwarp with mask 0xffffffff, but lane 31 has "
     "exited ({__syncwarp})"),
    ("lanes_disagree", "forward", "thread (16, 0, 0) of block (0, 0, 0) calls __shfl_xor_sync, "
     "mask 0xffffffff, {: __shfl_xor_sync}, while lane 0 of its mask is in __shfl_xor_sync, mask "
     "0xffffffff, {? __shfl_xor_sync}"),
    ("votes_disagree", "forward", "thread (8, 0, 0) of block (0, 0, 0) calls __all_sync, mask "
     "0xffffffff, {__all_sync}, while lane 0 of its mask is in __any_sync, mask 0xffffffff, "
     "{__any_sync}"),
    ("masks_disagree", "forward", "calls __syncwarp, mask 0xffffffff, {__syncwarp}, while lane 0 "
     "of its mask is in __syncwarp, mask 0xffff, {__syncwarp}"),
    ("reads_outside_mask", "forward", "meets lane 0 in a shuffle that reads lane 20, which mask "
     "0xffff leaves out ({__shfl_sync})"),
    ("width_of_24", "forward", "shuffles with a width that is no power of two up to 32: 24 "
     "[{__shfl_down_sync}]"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "order", "expected"), WRONG_MASKS)
def test_wrong_masks_and_lanes_that_disagree(
    name: str, order: str, expected: str, executor: Any, samples: Any
) -> None:
    executor.configure(order=order)
    kind = np.float32 if f"{name}(const float" in samples.text else np.int32
    said = executor.error(name, np.ones(32, kind))
    pieces = expected.replace("}", "{").split("{")
    pieces[1::2] = [samples.line(name, text) for text in pieces[1::2]]
    assert "".join(pieces) in said


def test_a_wrong_mask_is_found_in_every_order(executor: Any) -> None:
    for name in sorted({name for name, *_ in WRONG_MASKS}):
        for order, seed in (("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)):
            executor.configure(order=order, seed=seed)
            assert "\n  threads " in executor.error(name, np.ones(32, np.int32)), (name, order)


def test_a_warp_that_is_not_full(executor: Any) -> None:
    said = executor.error("shuffles", np.ones(40, np.int32), block=40, count=320)
    assert "calls __shfl_sync with mask 0xffffffff, which names lane 8, but the block ends" in said
    for name, kind, sizes in (
        ("product_bf16", np.uint16, 640),
        ("turn_matrices", np.uint16, 256),
    ):
        said = executor.error(name, np.ones(sizes, kind), block=16, count=256)
        assert "mask 0xffffffff, which names lane 16, but the block ends before it (ptx.h:" in said
