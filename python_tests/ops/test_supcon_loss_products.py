"""The products of supcon_loss's GPU kernels that the machine at hand would not choose by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import reference, supcon_loss

pytestmark = pytest.mark.simt

SPREADS = [3.0, 1.0, 0.3, 0.05]


def clustered(spread: float, n: int = 200, width: int = 100) -> tuple[Tensor, Tensor]:
    """float64 rows about ten centres, and the number of each row's centre."""
    made = torch.Generator().manual_seed(0)
    group = torch.randint(0, 10, (n,), generator=made)
    centres = torch.randn(10, width, generator=made, dtype=torch.float64)
    noise = torch.randn(n, width, generator=made, dtype=torch.float64)
    return centres[group] + spread * noise, group


def value_and_slope(
    function: Any, z: Tensor, group: Tensor, temperature: float = 0.1
) -> tuple[Tensor, Tensor]:
    z = z.detach().requires_grad_()
    loss = function(z, group, temperature)
    scale = 2.0**12 if temperature == 0.1 else 2.0**9  # float16: neither 0 nor infinite
    return loss.detach(), torch.autograd.grad(loss, z, loss.new_tensor(scale))[0]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


class Tf32Matmul(torch.autograd.Function):
    """a @ b.T as a GPU makes it in tf32: operands rounded in both passes, float32 sums."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return tf32(a) @ tf32(b).T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        slope = tf32(grads[0])
        return slope @ tf32(b), slope.T @ tf32(a)


def tf32(x: Tensor) -> Tensor:
    bits = x.view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def eager_in_tf32(z: Tensor, group: Tensor, temperature: float) -> Tensor:
    """The usual way, with the matrix products that torch would make."""
    unit = F.normalize(z, dim=1)
    s = Tf32Matmul.apply(unit, unit) / temperature  # type: ignore[no-untyped-call]
    own = torch.eye(len(z), dtype=torch.bool)
    log_p = s - s.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
    alike = reference.same_group(group)
    return torch.neg(((log_p * alike).sum(1) / alike.sum(1)).mean())


@pytest.fixture
def gpu(simt_ops: Any) -> Iterator[Any]:
    """The ops on the executor; what a test changes of them is put back."""
    with simt_ops.installed():
        yield simt_ops
    simt_ops.tensor_cores, simt_ops.tf32 = True, False
    simt_ops.module.configure()


@pytest.mark.parametrize("spread", SPREADS)
def test_tf32_is_as_good_as_eager_in_tf32(spread: float, gpu: Any) -> None:
    gpu.tf32 = True
    z, group = clustered(spread)
    exact = value_and_slope(reference.supcon_loss, z, group)[1]
    found = value_and_slope(supcon_loss, z.float(), group)[1]
    plain = value_and_slope(eager_in_tf32, z.float(), group)[1]
    assert error(found, exact) <= 1.5 * error(plain, exact) + 1e-6
    assert error(found, exact) > 1e-5  # tf32 it was


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [100, 300])
def test_a_gpu_without_these_tensor_cores_multiplies_in_float32(
    dtype: torch.dtype, width: int, gpu: Any
) -> None:
    gpu.tensor_cores, gpu.tf32 = False, True
    gpu.module.configure(shared_limit=64 << 10)  # as sm_75 has
    z, group = clustered(0.3, width=width)
    z = z.to(dtype)
    exact = value_and_slope(reference.supcon_loss, z.double(), group)[1]
    found = value_and_slope(supcon_loss, z, group)[1]
    plain = value_and_slope(reference.supcon_loss, z.float(), group)[1]
    rounding = 0 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert error(found, exact) <= 1.5 * error(plain, exact) + 1e-6 + rounding


@pytest.mark.parametrize("temperature", [0.1, 0.01])
@pytest.mark.parametrize("products", ["float32", "tf32", "float16"])
def test_errors_hold_in_every_order_of_sums_and_for_the_worst_intrinsics(
    products: str, temperature: float, gpu: Any
) -> None:
    gpu.tf32 = products == "tf32"
    dtype = torch.float16 if products == "float16" else torch.float32
    z, group = clustered(0.3)
    z = z.to(dtype)
    exact = value_and_slope(reference.supcon_loss, z.double(), group, temperature)[1]
    plain = eager_in_tf32 if gpu.tf32 else reference.supcon_loss
    allowed = 1.5 * error(value_and_slope(plain, z, group, temperature)[1], exact) + 1e-6
    for order in ("ascending", "descending", "pairwise"):
        for off in (-1.0, 0.0, 1.0):
            gpu.module.configure(mma=order, fast_math_error=off)
            found = value_and_slope(supcon_loss, z, group, temperature)[1]
            assert error(found, exact) <= allowed, (order, off)


@pytest.mark.parametrize("products", ["float32", "tf32", "float16"])
def test_one_tile_in_shared_memory_gives_the_bits_of_two(products: str, gpu: Any) -> None:
    gpu.tf32 = products == "tf32"
    z, group = clustered(0.3)
    z = z.to(torch.float16 if products == "float16" else torch.float32)
    made = []
    for limit in (227, 99, 60):  # KiB: two tiles; float16 one, for a second block; others one
        gpu.module.configure(shared_limit=limit << 10)
        made.append(value_and_slope(supcon_loss, z, group))
    for loss, slope in made[1:]:
        assert torch.equal(loss, made[0][0])
        assert torch.equal(slope, made[0][1])


@pytest.mark.parametrize("width", [7, 64, 128, 129, 260])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_ragged_widths_and_rows(width: int, dtype: torch.dtype, gpu: Any) -> None:
    z, group = clustered(1.0, n=133, width=width)
    z = z.to(dtype)
    exact = value_and_slope(reference.supcon_loss, z.double(), group)[1]
    found = value_and_slope(supcon_loss, z, group)[1]
    assert error(found, exact) <= (1e-5 if dtype == torch.float32 else 5e-3)
