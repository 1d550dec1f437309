"""Fixtures of the networks' tests."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


@pytest.fixture
def x() -> Tensor:
    """Four small colour images."""
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
