"""The forward of supcon_loss over the upper triangle, on the executor and with few rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fctfast.ops import reference

pytestmark = pytest.mark.simt

RAW = torch.ops.fctfast


@pytest.fixture
def gpu(simt_ops: Any) -> Iterator[Any]:
    """The ops on the executor; what a test changes of them is put back."""
    before = simt_ops.triangle, simt_ops.tf32
    with simt_ops.installed():
        yield simt_ops
    simt_ops.triangle, simt_ops.tf32 = before
    simt_ops.module.configure()


def rows(n: int, width: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(n)
    group = torch.randint(0, 7, (n,), generator=made)
    return torch.randn(n, width, generator=made) + group[:, None], group


def whole(gpu: Any, *how: Any) -> tuple[Tensor, Tensor]:
    """The same without the triangle."""
    gpu.triangle, taken = (1 << 40, 0), gpu.triangle
    made: tuple[Tensor, Tensor] = RAW.supcon_loss(*how)
    gpu.triangle = taken
    return made


# Blocks of 64 rows, two and four of them; of 128, the last of them 44 and 1 rows; one block alone.
@pytest.mark.parametrize(("n", "block"), [(128, 64), (250, 64), (300, 128), (257, 128), (90, 128)])
@pytest.mark.parametrize("width", [16, 150])  # 150: rows of two chunks
def test_it_equals_the_reference(n: int, block: int, width: int, gpu: Any) -> None:
    gpu.triangle = (1, block)
    z, group = rows(n, width)
    loss, statistics = RAW.supcon_loss(z, group, 0, n, 0.1, 0.07, False)
    exact = reference.supcon_loss(z.double(), group, 0.1, 0.07)
    assert float(loss) == pytest.approx(float(exact), rel=1e-6)
    _, every_column = whole(gpu, z, group, 0, n, 0.1, 0.07, False)
    assert torch.equal(statistics[:, 1], every_column[:, 1])
    torch.testing.assert_close(statistics[:, 0], every_column[:, 0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"max_blocks": 1}, {"max_blocks": 4}, {"shared_limit": 64 << 10}]
)
def test_bits_do_not_depend_on_how_many_blocks_run_or_how_tiles_are_staged(
    settings: dict[str, int], gpu: Any
) -> None:
    gpu.triangle = (1, 128)
    z, group = rows(300, 40)
    expected = RAW.supcon_loss(z, group, 0, 300, 0.1, 0.07, False)
    gpu.module.configure(**settings)
    found = RAW.supcon_loss(z, group, 0, 300, 0.1, 0.07, False)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(found[1], whole(gpu, z, group, 0, 300, 0.1, 0.07, False)[1])


def test_a_row_that_is_not_a_number_reaches_the_loss(gpu: Any) -> None:
    gpu.triangle = (1, 128)
    z, group = rows(200, 16)
    z[77, 3] = torch.nan
    assert RAW.supcon_loss(z, group, 0, 200, 0.1, 0.07, False)[0].isnan()


@pytest.mark.parametrize("case", ["few rows", "own rows", "relative exponents", "tf32", "float16"])
def test_where_it_is_not_taken(case: str, gpu: Any) -> None:
    gpu.triangle = (301 if case == "few rows" else 1, 128)
    gpu.tf32 = case == "tf32"
    z, group = rows(300, 16)
    z = z.half() if case == "float16" else z
    own = 299 if case == "own rows" else 300
    how = (z, group, 0, own, 0.005 if case == "relative exponents" else 0.1, 0.07, False)
    expected, found = whole(gpu, *how), RAW.supcon_loss(*how)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
