"""The two losses of backdoor removal."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def l_unlearn(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean log-probability of the given labels; minimising it makes the model forget them.

    Args:
        features: [B, D], not used.
        logits: float32 [B, C].
        labels: int64 [B], as given with the data, i.e. the attacker's.

    Returns:
        Scalar, at most 0; gradient ascent on the cross-entropy of D_p.

    Source: paper Eq. 4.
    """
    return -F.cross_entropy(logits, labels)


def l_relearn(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy on D_c.

    Args:
        features: [B, D], not used.
        logits: float32 [B, C].
        labels: int64 [B].

    Returns:
        Scalar, at least 0.

    Source: paper Eq. 5.
    """
    return F.cross_entropy(logits, labels)
