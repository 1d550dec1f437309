from __future__ import annotations

import pytest
import torch

from fctfast.data.request import Request


def test_a_request_without_workers_is_refused() -> None:
    assert Request(workers=2).workers == 2
    with pytest.raises(ValueError, match="expected at least 1 process, got 0"):
        Request(workers=0)


def test_a_smaller_draw_is_part_of_a_larger_one() -> None:
    small, large = (Request(limit=n, seed=3).rows(500) for n in (20, 100))
    assert len(small) == 20
    assert bool(torch.isin(small, large).all())
    assert torch.equal(large, large.sort().values)
    assert torch.equal(Request(limit=900).rows(500), torch.arange(500))
