"""The GPU kernels' own source on the executor: orders, grids, sanitizers.

That they compute the right thing is shown by the op tests (`python_tests/ops`, marked `simt`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch

from fctfast.ops import sample_contrastive, sample_rotate_affine

pytestmark = pytest.mark.simt

FLOATS = ("float32", "float64", "float16", "bfloat16")
Case = tuple[str, list[Any]]


def bits_of(kind: str, *shape: int, seed: int = 0) -> np.ndarray:
    """Random numbers as the executor takes them: 16-bit floats as uint16."""
    made = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=made, dtype=torch.float64).to(getattr(torch, kind))
    return values.view(torch.int16).numpy().view(np.uint16) if "16" in kind else values.numpy()


def words(batch: int, size: tuple[int, int], draws: int, bilinear: bool) -> np.ndarray:
    params = sample_rotate_affine(torch.arange(batch), 3, range(draws), 180.0, (0.2, 0.2), size)
    made = torch.ops.fctfast.affine_coefficients(params, *size, bilinear)
    return np.asarray(made.numpy())


def fct_views(kind: str, ragged: bool) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    batch, height, width, channels = (2, 7, 9, 5) if ragged else (2, 16, 16, 3)
    images = rng.integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
    mean, std = [0.4] * channels, [0.2 + 0.01 * c for c in range(channels)]
    for bilinear in (False, True):
        coefficients = words(batch, (height, width), 2, bilinear)
        for last in (False, True):
            options = [mean, std, True, kind, last, True]
            yield "fct_views", [images, coefficients, *options]


def contrastive_views(kind: str, ragged: bool) -> Iterator[Case]:
    # A block's whole view, whose mean is its own; 37 x 61 pixels are three blocks', the last one
    # not full, whose mean is another kernel's.
    size, out = ((23, 31), (37, 61)) if ragged else ((16, 16), (16, 16))
    params = sample_contrastive(torch.arange(3), 4, 0, 2, size, grey_share=0.5).numpy()
    for channels, last in itertools.product((1, 3), (False, True)):
        images = np.random.default_rng(0).integers(0, 256, (3, *size, channels), dtype=np.uint8)
        numbers = [[0.4] * channels, [0.2] * channels]
        yield "contrastive_views", [images, params, *numbers, *out, True, kind, last]


def feature_distance(kind: str, ragged: bool) -> Iterator[Case]:
    # Short samples are a warp's, long ones a block's, those of 264 channels several blocks'; 2,405
    # pixels come to shared memory in pieces. Five draws are more than a tile of four.
    grad = bits_of("float64" if kind == "float64" else "float32", 5, 2, seed=1)
    for width, pixels in ((11, 15), (1, 2405)) if ragged else ((264, 16),):
        rows = bits_of(kind, 2 * (1 + 5), width * pixels)
        for pixels_last in (False, True):
            for upstream in (None, grad):
                yield "feature_distance", [rows, 5, width, pixels, pixels_last, kind, 0.5, upstream]


def warp_distance(kind: str, ragged: bool) -> Iterator[Case]:
    # Seventeen fills are more than travel as arguments; 37 x 61 pixels are several blocks' parts.
    batch, channels, height, width = (1, 17, 37, 61) if ragged else (2, 3, 16, 16)
    x = bits_of(kind, batch, channels, height, width)
    grad = bits_of("float64" if kind == "float64" else "float32", 2, batch, seed=1)
    fill = [0.1 * c for c in range(channels)]
    for bilinear in (False, True):
        coefficients = words(batch, (height, width), 2, bilinear)
        for upstream in (None, grad):
            yield "warp_distance", [x, coefficients, fill, kind, 0.5, upstream]


def supcon_loss(kind: str, ragged: bool) -> Iterator[Case]:
    # Rows of several chunks, own rows in the middle, which are two panels; or one chunk and all
    # rows, so many columns that they are shared out. The exponents of .005 are relative to each
    # row's largest forward, to its denominator backward.
    rows, width, first, own = (75, 131, 9, 66) if ragged else (128, 32, 0, 128)
    z = bits_of(kind, rows, width)
    group = np.arange(rows, dtype=np.int64) % 5
    made = torch.from_numpy(z).view(getattr(torch, kind)).reshape(rows, width)
    for temperature in (0.1, 0.005):
        how = [first, own, temperature, 0.07]
        _, statistics = torch.ops.fctfast.supcon_loss(
            made, torch.from_numpy(group), 0, rows, temperature, 0.07, False
        )
        backward = [statistics.numpy(), np.array([1.5], np.float32)]
        for tensor_cores, tf32 in ((True, kind == "float32"), (False, False)):
            of_gpu = [tensor_cores, tf32, (4096, 0), 1]
            for given in ([None, None], backward):
                yield "supcon_loss", [z, group, *how, kind, *of_gpu, *given]
    if ragged and kind == "float32":  # the upper triangle: blocks of 128, 128 and 44 rows
        z, group = bits_of(kind, 300, 19), np.arange(300, dtype=np.int64) % 5
        yield (
            "supcon_loss",
            [z, group, 0, 300, 0.1, 0.07, kind, False, False, (100, 128), 0, None, None],
        )


OPS = {
    "contrastive_views": contrastive_views,
    "fct_views": fct_views,
    "feature_distance": feature_distance,
    "supcon_loss": supcon_loss,
    "warp_distance": warp_distance,
}
WITHOUT_FLOAT64 = ("contrastive_views", "fct_views", "supcon_loss")


def cases(op: str, kinds: tuple[str, ...] = FLOATS) -> list[Case]:
    """An aligned and a ragged shape for each dtype of an op, every layout and interpolation."""
    supported = [kind for kind in kinds if op not in WITHOUT_FLOAT64 or kind != "float64"]
    return [c for kind in supported for ragged in (False, True) for c in OPS[op](kind, ragged)]


@pytest.fixture
def module(simt_ops: Any) -> Iterator[ModuleType]:
    yield simt_ops.module
    simt_ops.module.configure()


def run(module: ModuleType, listed: list[Case]) -> list[bytes]:
    return [getattr(module, name)(*arguments).tobytes() for name, arguments in listed]


@pytest.mark.parametrize("op", OPS)
def test_same_bits_in_every_order_of_threads(op: str, module: ModuleType) -> None:
    listed = cases(op)
    expected = run(module, listed)
    for order, seed in (("reverse", 0), ("random", 1), ("random", 2)):
        module.configure(order=order, seed=seed)
        assert run(module, listed) == expected, (order, seed)


@pytest.mark.parametrize("op", OPS)
def test_same_bits_from_a_grid_too_small_for_the_work(op: str, module: ModuleType) -> None:
    listed = cases(op, ("float32", "float16"))
    expected = run(module, listed)
    for blocks in (1, 3):
        module.configure(max_blocks=blocks)
        assert run(module, listed) == expected, f"{blocks} blocks"


@hypothesis.given(n=st.integers(0, 2**63 - 1), divisor=st.integers(1, 2**62 - 1))
@hypothesis.example(n=2**63 - 1, divisor=1)
@hypothesis.example(n=2**63 - 1, divisor=2**61)
@hypothesis.example(n=2**62 - 2, divisor=2**62 - 1)
@hypothesis.settings(
    max_examples=3000,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_a_divider_divides_exactly(n: int, divisor: int, module: ModuleType) -> None:
    for near in {n, n - n % divisor, max(n - n % divisor - 1, 0)}:
        assert module.divide(near, divisor) == near // divisor


def test_more_than_65535_blocks(module: ModuleType) -> None:
    images = np.arange(70_000, dtype=np.uint32).astype(np.uint8).reshape(-1, 1, 1, 1)
    none = np.zeros((0, 70_000, 8), np.int32)
    views = module.fct_views(images, none, [0.0], [1 / 255], True, "float32", False, True)
    assert np.array_equal(np.rint(views.view(np.float32)).astype(np.uint8), images.ravel())


def test_no_atomics_anywhere(module: ModuleType) -> None:
    module.take_traffic()
    for op in OPS:
        run(module, cases(op, ("float32",)))
    traffic = module.take_traffic()
    assert traffic["atomics"] == 0
    assert traffic["global_written"] > 0


@pytest.mark.parametrize("mode", ["address", "thread"])
@pytest.mark.parametrize("op", OPS)
def test_clean_under_the_sanitizers_and_the_same_bits(
    op: str, mode: str, simt: ModuleType, simt_build: Callable[[str], Path], module: ModuleType,
    tmp_path: Path,
) -> None:  # fmt: skip
    listed = cases(op)
    done = simt.run_in_mode(mode, simt_build(mode), listed, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    got = [result.tobytes() for result in simt.results(tmp_path)]
    assert got == run(module, listed)
