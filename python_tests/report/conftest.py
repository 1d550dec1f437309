"""Scores with a known truth, and a model whose answers are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fctfast.attacks.truth import Truth
from fctfast.detect import Scores


@pytest.fixture
def make_scores() -> Callable[..., tuple[Scores, Truth]]:
    """Factory of N scores (ids start at 100) of which the last ones are poisoned and higher."""

    def make(n: int = 200, poisoned: int = 20, *, shift: float = 5.0) -> tuple[Scores, Truth]:
        rng = torch.Generator().manual_seed(n)
        fct = torch.rand(n, generator=rng, dtype=torch.float64) + 0.5
        mask = torch.arange(n) >= n - poisoned
        fct[mask] += shift
        labels = torch.arange(n) % 4
        ids = torch.arange(n) + 100
        return Scores(ids=ids, labels=labels, fct=fct), Truth(ids, mask, labels)

    return make
