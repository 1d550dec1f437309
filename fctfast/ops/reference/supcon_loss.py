"""Reference of `fctfast::supcon_loss`, and readings of Eq. 2 that the op does not follow."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def supcon_loss(
    z: Tensor,
    group: Tensor,
    temperature: float = 0.1,
    base_temperature: float | None = None,
) -> Tensor:
    """Supervised contrastive loss with the whole N x N matrix; see `fctfast.ops.supcon_loss`."""
    return contrastive_loss(z, same_group(group).to(z.dtype), temperature, base_temperature)


def contrastive_loss(
    z: Tensor,
    weights: Tensor,
    temperature: float = 0.1,
    base_temperature: float | None = None,
    *,
    normalise: bool = True,
) -> Tensor:
    """Mean over anchors of minus the weighted mean log-probability of their positives.

    Args:
        z: floating [N, D]; rows are normalised here, rows of zeros stay.
        weights: floating [N, N], of column j as a positive of anchor i; the diagonal is not used.
        temperature: t.
        base_temperature: scales the loss; default: temperature.
        normalise: divide each anchor's weights by their sum, and the total by the anchors that have
            any; otherwise the sums stand as they are.
    """
    norm = z.square().sum(1, keepdim=True)
    # Not a plain division: its gradient at a row of zeros would be NaN.
    unit = torch.where(norm == 0, 0, z / torch.where(norm == 0, 1, norm).sqrt())
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    s = unit @ unit.T / temperature
    log_p = s - s.masked_fill(own, -math.inf).logsumexp(1, keepdim=True)
    weights = weights.masked_fill(own, 0)
    total = weights.sum(1)
    # An anchor alone has log-probabilities of infinity, and a weight of 0.
    losses = -torch.where(weights > 0, weights * log_p, 0).sum(1)
    scale = temperature / (temperature if base_temperature is None else base_temperature)
    if not normalise:
        return scale * losses.sum()
    anchors = (total > 0).sum().clamp_min(1)
    return scale * (losses / total.where(total > 0, 1)).sum() / anchors


def same_group(group: Tensor) -> Tensor:
    """Positives by group, bool [N, N]."""
    return (group[:, None] == group[None, :]) & ~torch.eye(
        len(group), dtype=torch.bool, device=group.device
    )


def official_positives(labels: Tensor, clean: Tensor, views: int = 2) -> Tensor:
    """Positives of SS-CTL as the published code has them, bool [V*B, V*B]; not symmetric.

    An anchor of D_c takes every column of its label, flagged ones too; any other anchor its own
    views alone.
    """
    sample = torch.arange(len(labels), device=labels.device).repeat(views)
    every, of_clean = labels.repeat(views), clean.repeat(views)
    alike = (every[:, None] == every[None, :]) & of_clean[:, None]
    return (alike | (sample[:, None] == sample[None, :])) & ~torch.eye(
        len(sample), dtype=torch.bool, device=labels.device
    )


def pair_weights(labels: Tensor, clean: Tensor) -> Tensor:
    """Weights of Eq. 2 read to the letter, float64 [2B, 2B], two views, for `normalise=False`.

    Each pair of clean samples of a class adds a third of each of its three positives (Eq. 10), so
    an anchor's own other view counts once for each partner; other samples have Eq. 9.
    """
    sample = torch.arange(len(labels), device=labels.device)
    alike = (labels[:, None] == labels[None, :]) & clean[:, None] & clean[None, :]
    alike &= sample[:, None] != sample[None, :]
    others = alike.double() / 3
    own = torch.where(clean, alike.sum(1).double() / 3, 1.0)
    return others.repeat(2, 2) + torch.diag(own).repeat(2, 2).fill_diagonal_(0)
