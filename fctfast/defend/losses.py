"""The losses of the defences, by the paper's equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast.ops import supcon_loss


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


@dataclass(frozen=True)
class JointRemoval:
    """Relearning and unlearning in one batch: -log p of D_c's labels, -w log(1 - p) of D_p's.

    The second term says "not this label". Its gradient is p: large where the backdoor answers, and
    none where it no longer does. That of the ascent of Eq. 4 is 1 - p: next to none where the
    backdoor is sure, and largest where it is gone already.

    Args:
        num_classes: C; a target below it is the label of a sample of D_c, C + label one of D_p.
        weight: w, of a sample of D_p against one of D_c.

    Source: paper Eq. 4 and 5, with the loss of complementary labels (Kim et al., "NLNL", 2019) in
    the place of the ascent.
    """

    num_classes: int
    weight: float = 1.0

    def __call__(self, features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over a batch of logits [B, C] and targets int64 [B]; at least 0."""
        labels = (targets % self.num_classes)[:, None]
        others = logits.scatter(1, labels, -torch.inf)
        every = logits.logsumexp(1)
        kept = every - logits.gather(1, labels)[:, 0]
        gone = every - others.logsumexp(1)
        return torch.where(targets >= self.num_classes, self.weight * gone, kept).mean()


@dataclass(frozen=True)
class Contrastive:
    """Contrastive loss of a batch of views; the groups decide which one: CTL, S-CTL or SS-CTL.

    Args:
        temperature: t.
        base_temperature: scales the loss by t / base_temperature.

    Source: paper Eq. 2, 9 and 10.
    """

    temperature: float = 0.1
    base_temperature: float = 0.07

    def __call__(self, features: Tensor, logits: Tensor, groups: Tensor) -> Tensor:
        """Loss of projections [V*B, D], given as logits, and groups int64 [V*B]."""
        return supcon_loss(logits, groups, self.temperature, self.base_temperature)


@dataclass(frozen=True)
class MixedCrossEntropy:
    """Cross-entropy of D_c minus lambda_p times that of D_p.

    Args:
        num_classes: C; a target below it is the label of a sample of D_c, C + label one of D_p.
        lambda_p: weight of the second term.

    Source: paper Eq. 3.
    """

    num_classes: int
    lambda_p: float = 0.001

    def __call__(self, features: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of logits [B, C] and targets int64 [B]; a term without samples is 0."""
        poisoned = targets >= self.num_classes
        each = F.cross_entropy(logits, targets % self.num_classes, reduction="none")
        # Not a mean over a selection: of an empty one it is NaN.
        clean = (each * ~poisoned).sum() / (~poisoned).sum().clamp_min(1)
        flagged = (each * poisoned).sum() / poisoned.sum().clamp_min(1)
        return clean - self.lambda_p * flagged
