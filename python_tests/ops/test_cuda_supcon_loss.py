"""supcon_loss on a device: 65,536 rows, products in tf32, tensors that start anywhere.

Captured graphs, streams and repeats are in `test_cuda.py`, everything that needs no device in
`test_supcon_loss.py` and the files beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from fctfast.ops import plain, supcon_loss

pytestmark = pytest.mark.cuda
if not torch.cuda.is_available():
    pytest.skip("no GPU: large batches and tf32", allow_module_level=True)

RAW = torch.ops.fctfast


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).cuda()


def groups(n: int) -> Tensor:
    return torch.randint(0, 10, (n,), generator=torch.Generator().manual_seed(2)).cuda()


@pytest.fixture
def allow_tf32() -> Iterator[Callable[[bool], None]]:
    """Say whether torch may multiply float32 matrices in tf32; as it was when the test ends."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision

    def allow(tf32: bool) -> None:
        matmul.fp32_precision = "tf32" if tf32 else "ieee"

    yield allow
    matmul.fp32_precision = before


@pytest.mark.parametrize(("dtype", "tf32", "tolerance"), [
    (torch.float32, False, 2e-4),  # two orders of 65,536 terms, whose sums cancel
    (torch.float32, True, 3e-3),
    (torch.bfloat16, False, 1e-2),
    (torch.float16, False, 3e-3),
])  # fmt: skip
def test_supcon_loss_of_65536_rows(
    allow_tf32: Callable[[bool], None], dtype: torch.dtype, tf32: bool, tolerance: float
) -> None:
    allow_tf32(False)  # in plain torch, which is the yardstick
    n, group = 65536, groups(65536)
    z = (random(10, 128)[group] + random(n, 128)).to(dtype)
    how = (0, -1, 0.1, 0.07)
    expected, statistics = plain.supcon_loss(z, group, *how, False)
    loss, found = RAW.supcon_loss(z, group, *how, tf32)
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=0)
    assert torch.equal(found[:, 1], statistics[:, 1])
    torch.testing.assert_close(found[:, 0], statistics[:, 0], rtol=tolerance, atol=0)
    grad = torch.tensor(4096.0).cuda()  # float16 has no numbers for the gradients of so many rows
    slope = plain.supcon_loss_backward(grad, z, group, statistics, *how, False).double()
    made = RAW.supcon_loss_backward(grad, z, group, statistics, *how, tf32)
    assert made.dtype == dtype
    assert float((made.double() - slope).norm() / slope.norm()) < tolerance
    # N x N numbers of one byte would be 4 GiB.
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    RAW.supcon_loss_backward(grad, z, group, statistics, *how, tf32)
    assert torch.cuda.max_memory_allocated() - before < 256 * 2**20


@pytest.mark.skipif(
    torch.cuda.get_device_capability() < (8, 0), reason="tensor cores of sm_80 and later"
)
def test_supcon_loss_is_made_in_tf32_where_torch_allows_it(
    allow_tf32: Callable[[bool], None],
) -> None:
    z, group = random(512, 128), groups(512)
    made = {}
    for tf32 in (False, True):
        allow_tf32(tf32)
        leaf = z.clone().requires_grad_()
        loss = supcon_loss(leaf, group)
        made[tf32] = loss.detach(), torch.autograd.grad(loss, leaf)[0]
        raw, statistics = RAW.supcon_loss(z, group, 0, -1, 0.1, 0.1, tf32)
        slope = RAW.supcon_loss_backward(
            torch.ones((), device=z.device), z, group, statistics, 0, -1, 0.1, 0.1, tf32
        )
        assert torch.equal(made[tf32][0], raw)
        assert torch.equal(made[tf32][1], slope)
    assert not torch.equal(made[False][1], made[True][1])
    far = float((made[False][1] - made[True][1]).norm() / made[False][1].norm())
    assert far < 3e-3
    # 16 bits are multiplied in float16, whatever is allowed.
    half = z.half()
    allow_tf32(False)
    before = supcon_loss(half, group)
    allow_tf32(True)
    assert torch.equal(supcon_loss(half, group), before)


def test_supcon_loss_takes_slices_that_start_between_16_bytes() -> None:
    flat, more = random(1 + 200 * 64), groups(201)
    odd, group = flat[1:].view(200, 64), more[1:]
    assert odd.data_ptr() % 16
    assert group.data_ptr() % 16
    results = []
    for z, g in ((odd, group), (odd.clone(), group.clone())):
        leaf = z.detach().requires_grad_()
        assert leaf.data_ptr() == z.data_ptr()
        loss = supcon_loss(leaf, g)
        results.append((loss.detach(), torch.autograd.grad(loss, leaf)[0]))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
