"""Reference of `fctfast::feature_distance`."""

from __future__ import annotations

from torch import Tensor


def feature_distance(features: Tensor, draws: int = 1, reduction: str = "sum") -> Tensor:
    """Pooled squared feature distance, Eq. 1; see `fctfast.ops.feature_distance`."""
    if features.dim() == 4:
        features = features.mean(dim=(2, 3))
    rows = features.reshape(1 + draws, -1, features.shape[1])
    squared = (rows[:1] - rows[1:]).square()
    distance = squared.sum(2) if reduction == "sum" else squared.mean(2)
    return distance[0] if draws == 1 else distance
