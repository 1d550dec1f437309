"""supcon_loss, forward and backward, against eager, compiled and hand-written plain torch.

128 features, temperature .1, ten classes. The limit is a square product of as many operations as
two N x N x D products take. Memory and errors are `supcon_costs.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import supcon_peers as peers
import torch
from torch import Tensor

from fctfast.ops import supcon_loss

WIDTH = 128
ROWS = ("ours", "triangle", "chunked", "eager", "compiled", "metric_learning", "two_products")


def ours(z: Tensor, labels: Tensor) -> Tensor:
    return supcon_loss(z, labels, peers.TEMPERATURE, peers.BASE)


def loss_of(row: str) -> Callable[[Tensor, Tensor], Tensor]:
    if row == "metric_learning":
        pytest.importorskip("pytorch_metric_learning")
        return peers.metric_learning()
    if row == "compiled":
        return torch.compile(peers.eager)
    return {
        "ours": ours, "triangle": peers.triangle, "chunked": peers.chunked, "eager": peers.eager,
    }[row]  # fmt: skip


def pair(n: int) -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(n)
    return torch.randn(n, WIDTH, generator=made), torch.randint(0, 10, (n,), generator=made)


@pytest.mark.parametrize("n", [256, 1024, 4096, 8192])
@pytest.mark.parametrize("row", ROWS)
def test_forward_and_backward(measure: Callable[..., Any], n: int, row: str) -> None:
    z, labels = pair(n)
    z.requires_grad_()
    how = {"group": f"supcon_loss, {n} rows", "items": n, "unit": "rows"}
    rounds = max(9, min(200, 400_000_000 // (n * n)))
    if row == "two_products":
        side = round((2 * n * n * WIDTH) ** (1 / 3))
        square = torch.randn(side, side)
        measure(lambda: square @ square, kind="limit", rounds=rounds, **how)
        return
    loss = loss_of(row)
    wanted = torch.autograd.grad(ours(z, labels), z)[0]
    found = torch.autograd.grad(loss(z, labels), z)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))
    measure(
        lambda: torch.autograd.grad(loss(z, labels), z),
        kind="ours" if row == "ours" else "peer",
        rounds=rounds if row in ("ours", "triangle", "chunked") else max(5, rounds // 3),
        **how,
    )
