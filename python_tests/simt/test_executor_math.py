"""The executor itself: tensor-core products, ldmatrix, fast intrinsics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.simt

MMA_ORDERS = ("ascending", "descending", "pairwise")
U = 2.0**-24  # the rounding of one float32 addition
TF32 = 2.0**-11  # the rounding of a number to tf32


def widen(kind: str, words: np.ndarray) -> np.ndarray:
    """What 16-bit words mean, in float64."""
    if kind == "f16":
        return words.view(np.float16).astype(np.float64)
    return (words.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def words_of(kind: str, values: np.ndarray) -> np.ndarray:
    """Numbers in the operands' type; bfloat16 by leaving bits out, tf32 as it comes."""
    if kind == "f16":
        return values.astype(np.float16).view(np.uint16)
    if kind == "bf16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float32)


def operands(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a [16, K] and b [K, 8] in the kind's own words, c [16, 8]."""
    rng, depth = np.random.default_rng(seed), 8 if "tf32" in kind else 16
    a, b = rng.standard_normal((16, depth)), rng.standard_normal((depth, 8))
    c = rng.standard_normal((16, 8)).astype(np.float32)
    return words_of(kind, a), words_of(kind, b), c


def product(executor: Any, kind: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    packed = np.concatenate([np.ravel(m).view(np.uint16) for m in (a, b, c)])
    got = executor.run(f"product_{kind}", packed, count=256)
    return np.asarray(got.view(np.float32).reshape(16, 8))


def to_tf32(values: np.ndarray) -> np.ndarray:
    """As cvt.rna.tf32: to the nearest of 10 bits of mantissa, ties away from zero."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


# ---- products ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["f16", "bf16", "tf32", "raw_tf32"])
def test_small_whole_numbers_are_exact_so_every_element_has_its_place(
    kind: str, executor: Any
) -> None:
    for seed in range(3):
        rng, depth = np.random.default_rng(seed), 8 if "tf32" in kind else 16
        a, b, c = (rng.integers(-9, 10, s) for s in ((16, depth), (depth, 8), (16, 8)))
        for mma in MMA_ORDERS:
            executor.configure(mma=mma, seed=seed)
            got = product(executor, kind, words_of(kind, a), words_of(kind, b), c.astype("f4"))
            assert np.array_equal(got, c + a @ b)


@pytest.mark.parametrize("kind", ["f16", "bf16", "tf32"])
def test_products_within_the_rounding_of_their_sum(kind: str, executor: Any) -> None:
    a, b, c = operands(kind, 0)
    if kind == "tf32":
        left, right = to_tf32(a).astype(np.float64), to_tf32(b).astype(np.float64)
    else:
        left, right = widen(kind, a), widen(kind, b)
    exact = c + left @ right
    # Products of 11 by 11 bits are exact in float32; each of the K additions rounds once.
    bound = len(right) * U * (1 + 1e-5) * (np.abs(c) + np.abs(left) @ np.abs(right))
    made = {}
    for mma in MMA_ORDERS:
        for order, seed in (("forward", 0), ("reverse", 1), ("random", 2)):
            executor.configure(mma=mma, order=order, seed=seed)
            got = product(executor, kind, a, b, c)
            assert (np.abs(got - exact) <= bound).all()
            assert np.array_equal(made.setdefault(mma, got), got), "threads' order and seed"
    first, second, third = made.values()
    assert (first != second).any()
    assert (first != third).any()
    assert (second != third).any()


def test_the_three_orders_of_a_sum(executor: Any) -> None:
    big = 4096.0  # its square, 2^24, swallows a one that is added to it
    for row, column, expected in (
        ((big, 1, -big), (big, 1, big), (0, 1, 1)),
        ((big, -big, 1), (big, big, 1), (1, 1, 0)),
    ):
        for kind, depth in (("f16", 16), ("bf16", 16), ("tf32", 8)):
            a, b = np.zeros((16, depth)), np.zeros((depth, 8))
            a[:, :3], b[:3] = row, np.array(column)[:, None]
            for mma, sum_ in zip(MMA_ORDERS, expected, strict=True):
                executor.configure(mma=mma)
                c = np.zeros((16, 8), np.float32)
                got = product(executor, kind, words_of(kind, a), words_of(kind, b), c)
                assert (got == sum_).all(), (kind, mma)


def test_tf32_without_its_conversion_shows(executor: Any) -> None:
    a, b, c = operands("tf32", 1)
    exact = c + a.astype(np.float64) @ b.astype(np.float64)
    size = np.abs(a).astype(np.float64) @ np.abs(b)
    sums = 8 * U * (np.abs(c) + size) * 1.01
    converted, raw = [], []
    for seed in range(5):
        executor.configure(seed=seed)
        converted.append(product(executor, "tf32", a, b, c))
        raw.append(product(executor, "raw_tf32", a, b, c))
    # Each converted operand is off by 2^-11 of itself at most; what the seed changes is nothing.
    for got in converted:
        assert np.array_equal(got, converted[0])
        assert (np.abs(got - exact) <= (2 * TF32 + TF32**2) * size + sums).all()
    # A raw one loses 13 bits, of which it gets others: 2^-10 of itself at most.
    for got in raw:
        assert (np.abs(got - exact) <= (4 * TF32 + 4 * TF32**2) * size + sums).all()
    spread = np.ptp(np.array(raw), axis=0)
    assert (spread > 0).all()
    assert (spread > 100 * U * size).mean() > 0.9, "far more than the last bits"
    # Numbers that are tf32 already need no conversion.
    kept = [product(executor, kind, to_tf32(a), to_tf32(b), c) for kind in ("tf32", "raw_tf32")]
    assert np.array_equal(*kept)
    assert np.array_equal(kept[0], converted[0])


@pytest.mark.parametrize(("name", "turned"), [("keep_matrices", False), ("turn_matrices", True)])
def test_ldmatrix(name: str, turned: bool, executor: Any) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (4, 8, 8)).astype(np.uint16)
    got = executor.in_every_order(name, values, count=256).reshape(4, 8, 8)
    assert np.array_equal(got, values.transpose(0, 2, 1) if turned else values)


# ---- fast intrinsics ---------------------------------------------------------------------------


def documented(x: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray | float]]:
    """Name, exact value, largest error (CUDA C++ Programming Guide, intrinsic functions)."""

    def ulps(exact: np.ndarray, count: np.ndarray | float) -> np.ndarray:
        return np.asarray(np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64) * count)

    near_one = (x >= 0.5) & (x <= 2)
    log, log2 = np.log(x), np.log2(x)
    return [
        ("__expf", np.exp(x), ulps(np.exp(x), 2 + np.floor(np.abs(1.173 * x)))),
        ("__logf", log, np.where(near_one, 2**-21.41, ulps(log, 3))),
        ("__log2f", log2, np.where(near_one, 2.0**-22, ulps(log2, 2))),
        ("__sinf", np.sin(x), 2**-21.41),
        ("__cosf", np.cos(x), 2**-21.19),
        ("__fdividef", x / 3, ulps(x / 3, 2)),
        ("rsqrtf", 1 / np.sqrt(x), ulps(1 / np.sqrt(x), 2)),
        ("__exp10f", 10**x, ulps(10**x, 2 + np.floor(np.abs(2.97 * x)))),
    ]


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.5, 1.0])
def test_fast_intrinsics_are_off_by_their_documented_error(share: float, executor: Any) -> None:
    values = np.linspace(0.05, 3.1, 128, dtype=np.float32)
    executor.configure(fast_math_error=share)
    got = executor.in_every_order("fast_math", values, block=128, count=1024).reshape(128, 8).T
    if share:  # in_every_order resets what it does not set
        executor.configure(fast_math_error=share)
        got = executor.run("fast_math", values, block=128, count=1024).reshape(128, 8).T
    for made, (name, exact, bound) in zip(got, documented(values.astype(np.float64)), strict=True):
        half = 0.5 * np.spacing(np.abs(made)).astype(np.float64)  # float32 rounds the result
        error = made.astype(np.float64) - exact
        assert (np.abs(error - share * bound) <= half * 1.001).all(), name
