"""Forward-mode derivatives: the kernels have none, and torch would make zeros of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from fctfast.ops import feature_distance, reference, supcon_loss, warp_distance

GROUP = torch.arange(8) % 4
TAU = torch.tensor([[30.0, 1.0, 0.0]]).repeat(8, 1)
CASES: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "supcon_loss": (
        (8, 4),
        lambda z: supcon_loss(z, GROUP),
        lambda z: reference.supcon_loss(z, GROUP),
    ),
    "feature_distance": ((8, 4), feature_distance, reference.feature_distance),
    "warp_distance": (
        (8, 1, 4, 4),
        lambda x: warp_distance(x, TAU),
        lambda x: reference.warp_distance(x, TAU),
    ),
}


@pytest.mark.parametrize("op", CASES)
def test_is_refused_in_words_that_lead_to_the_reference(op: str) -> None:
    shape, ours, theirs = CASES[op]
    x, direction = torch.randn(2, *shape, generator=torch.Generator().manual_seed(5))
    words = f"use fctfast.ops.reference.{op} for forward mode"
    with pytest.raises(NotImplementedError, match=words):
        torch.func.jvp(ours, (x,), (direction,))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match=words):
        ours(forward_ad.make_dual(x, direction))
    # As good as said: there it is what backward mode gives.
    wide, along = x.double(), direction.double()
    _, slope = torch.func.jvp(theirs, (wide,), (along,))
    _, backward = torch.func.vjp(lambda value: theirs(value).sum(), wide)
    torch.testing.assert_close(
        slope.sum(), (backward(torch.ones((), dtype=wide.dtype))[0] * along).sum()
    )
    with forward_ad.dual_level():
        assert ours(x).isfinite().all()  # no tangent, no error
