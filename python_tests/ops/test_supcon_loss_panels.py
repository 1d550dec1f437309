"""The backward of supcon_loss for rows of more than 128 features, on the executor: H in panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from fctfast.ops import reference

pytestmark = pytest.mark.simt

RAW = torch.ops.fctfast
PRODUCTS = ("float32", "tf32", "float16")
BOUND = {"float32": 1e-5, "tf32": 2e-3, "float16": 5e-3}


@pytest.fixture
def gpu(simt_ops: Any) -> Iterator[Any]:
    """The ops on the executor; what a test changes of them is put back."""
    with simt_ops.installed():
        yield simt_ops
    simt_ops.panel_blocks, simt_ops.tf32 = 0, False
    simt_ops.module.configure()


def rows(n: int, width: int, products: str) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(n)
    group = torch.randint(0, 7, (n,), generator=made)
    z = torch.randn(n, width, generator=made) + group[:, None]
    return z.half() if products == "float16" else z, group


def gradient(
    gpu: Any, z: Tensor, group: Tensor, products: str, *, t: float = 0.1, own: slice = slice(None)
) -> Tensor:
    gpu.tf32 = products == "tf32"
    first, end, _ = own.indices(len(z))
    _, statistics = RAW.supcon_loss(z, group, 0, -1, t, 0.07, gpu.tf32)
    how = (first, end - first, t, 0.07, gpu.tf32)
    made: Tensor = RAW.supcon_loss_backward(torch.ones(()), z, group, statistics, *how)
    return made


def exact_gradient(z: Tensor, group: Tensor, t: float = 0.1) -> Tensor:
    z = z.double().requires_grad_()
    return torch.autograd.grad(reference.supcon_loss(z, group, t, 0.07), z)[0]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


# Five blocks of rows, the last of 4: in one panel, in panels of two, two and one, in five.
@pytest.mark.parametrize(
    ("width", "panel_blocks"),  # the last chunk has 2 features, or 44
    [(130, 0), (130, 2), (300, 1)],
)
@pytest.mark.parametrize("products", PRODUCTS)
def test_it_equals_the_reference(products: str, width: int, panel_blocks: int, gpu: Any) -> None:
    gpu.panel_blocks = panel_blocks
    z, group = rows(260, width, products)
    assert error(gradient(gpu, z, group, products), exact_gradient(z, group)) <= BOUND[products]


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("settings", [{"max_blocks": 1}, {"max_blocks": 3}, {"order": "random"}])
def test_bits_do_not_depend_on_which_blocks_run_when(
    settings: dict[str, Any], products: str, gpu: Any
) -> None:
    gpu.panel_blocks = 2
    z, group = rows(200, 150, products)
    expected = gradient(gpu, z, group, products)
    gpu.module.configure(**settings)
    assert torch.equal(gradient(gpu, z, group, products), expected)


@pytest.mark.parametrize("products", PRODUCTS)
def test_a_process_makes_its_own_rows(products: str, gpu: Any) -> None:
    z, group = rows(260, 150, products)
    exact = exact_gradient(z, group)
    for own in (slice(0, 70), slice(33, 200), slice(259, 260)):
        gpu.panel_blocks = 1
        found = gradient(gpu, z, group, products, own=own)
        assert found.shape == exact[own].shape
        assert error(found, exact[own]) <= BOUND[products]


@pytest.mark.parametrize("products", PRODUCTS)
def test_exponents_may_be_relative_to_a_rows_largest(products: str, gpu: Any) -> None:
    gpu.panel_blocks = 1
    z, group = rows(150, 140, products)
    found = gradient(gpu, z, group, products, t=0.01)
    # Ten times the exponents: what the similarities are rounded to weighs ten times as much.
    assert error(found, exact_gradient(z, group, 0.01)) <= 10 * BOUND[products]
