"""The intra-class loss that pushes the class centres apart, poisoned clusters included."""

from __future__ import annotations

import torch
from torch import Tensor


def l_intra(features: Tensor, labels: Tensor) -> Tensor:
    """Mean cosine between the mini-batch's class centres.

    The paper writes centres of the whole set and 1/N^2 over N classes; the published code, which
    is followed here, takes the classes present in the mini-batch, sets the diagonal of their
    cosine matrix to zero and averages all of its K^2 entries. There is no cross-entropy term.

    Args:
        features: floating [B, D], the penultimate features.
        labels: int64 [B], as given with the data (not the truth).

    Returns:
        Scalar of features' dtype, in [-1, 1]; 0 when only one class is present. Differentiable.

    Raises:
        ValueError: shapes do not fit, or an empty batch.

    Source: paper Eq. 8, with the class means of the mini-batch, as the published code has it.
    """
    if features.dim() != 2 or labels.shape != features.shape[:1] or features.shape[0] == 0:
        raise ValueError(
            "l_intra: expected features [B, D] and labels [B] with B > 0, got "
            f"{list(features.shape)} and {list(labels.shape)}"
        )
    present, group = torch.unique(labels, return_inverse=True)
    member = torch.nn.functional.one_hot(group, present.numel()).to(features.dtype)
    centres = (member.T @ features) / member.sum(0)[:, None]
    unit = torch.nn.functional.normalize(centres, dim=1)
    cosine = unit @ unit.T
    off_diagonal = 1.0 - torch.eye(present.numel(), dtype=features.dtype, device=features.device)
    return (cosine * off_diagonal).mean()
